"""A gauge says what the judge decided: same limits, same zones, captions at the limits that they name."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.decision.disposition import judge_view
from appliance.decision.gauge import gauge_of, zone
from appliance.schema.finding import Finding, ViewResult
from appliance.schema.limits import Limits
from appliance.schema.policy import Bands, Basis, Policy, RiskLimits
from appliance.schema.verdict import Disposition

BUNDLE, PRECISION = "sha256:a", "f32"
SCORES = st.floats(-50, 50)
SHARES = st.floats(0, 1)


def view(score: float, probability: float | None = None, *findings: Finding) -> ViewResult:
    return ViewResult("top", 1, 2, score, None, findings, probability=probability)


def limits(accept: float | None, reject: float | None, base_rate: float | None = 0.5) -> Limits:
    return Limits(accept, reject, base_rate, "anomaly", {"scratch": "anomaly"})


@given(SCORES, SCORES, SCORES)
def test_a_score_lies_in_the_zone_that_was_decided(score: float, accept: float, reject: float) -> None:
    """By limits: the zone under the marker is the judge's own disposition."""
    assume(accept <= reject)
    policy, known = Policy(novelty="off"), limits(accept, reject)
    gauge = gauge_of(view(score), known, policy)
    assert gauge is not None

    assert judge_view(view(score), known, policy, BUNDLE, PRECISION)[0] is zone(gauge)


@given(SHARES, st.lists(SHARES, max_size=4), SHARES, SHARES, st.floats(0.05, 0.95))
def test_a_confidence_lies_in_the_zone_that_was_decided(
    probability: float, found: list[float], one: float, other: float, rate: float
) -> None:
    """By confidence: of the view and its findings the worst is shown, and its zone is the judge's disposition."""
    low, high = sorted((one, other))
    policy = Policy(basis=Basis.CONFIDENCE, bands=Bands(high, low), novelty="off", defect_rate=rate)
    known = limits(None, None, 0.3)
    seen = view(0.5, probability, *(Finding("scratch", 0.5, share) for share in found))
    gauge = gauge_of(seen, known, policy)
    assume(low > 0)
    assert gauge is not None

    assert judge_view(seen, known, policy, BUNDLE, PRECISION)[0] is zone(gauge)


@given(SCORES, SCORES, SCORES, SCORES)
def test_what_is_better_stands_further_along(accept: float, reject: float, one: float, other: float) -> None:
    """The axis runs from reject to accept, and each limit stands on its own zone's edge."""
    assume(reject - accept > 1e-6)
    gauge = gauge_of(view(one), limits(accept, reject), Policy(novelty="off"))
    assert gauge is not None

    assert (gauge.place(one) - gauge.place(other)) * (one - other) <= 0
    assert 0 < gauge.place(gauge.reject) < gauge.place(gauge.accept) < 1
    assert 0 <= gauge.place(one) <= 1


def test_the_common_bands_stand_apart() -> None:
    """0.70 and 0.95 are a quarter of the axis apart, so that both captions have room."""
    gauge = gauge_of(view(0.5, 0.2), limits(None, None), Policy(basis=Basis.CONFIDENCE, novelty="off"))
    assert gauge is not None

    assert (0.8, True, "") == (gauge.value, gauge.is_confidence, gauge.kind)
    assert gauge.place(gauge.accept) - gauge.place(gauge.reject) > 0.25
    assert Disposition.REVIEW is zone(gauge)


def test_the_class_that_decided_is_named() -> None:
    """A finding with stricter bands of its own is shown with them."""
    policy = Policy(basis=Basis.CONFIDENCE, class_bands={"scratch": Bands(0.999, 0.99)}, novelty="off")
    gauge = gauge_of(view(0.5, 0.01, Finding("scratch", 0.5, 0.02)), limits(None, None), policy)
    assert gauge is not None

    assert ("scratch", 0.99, 0.999) == (gauge.kind, gauge.reject, gauge.accept)


RISK = RiskLimits(1.0, 2.0, 0.001, 0.95, 3000, 1, 1000, BUNDLE, PRECISION, "0" * 64)


@pytest.mark.parametrize(
    ("score", "known", "policy"),
    [
        (1.5, limits(None, None), Policy()),
        (1.5, limits(None, 2.0), Policy()),
        (math.nan, limits(1.0, 2.0), Policy()),
        (math.inf, limits(1.0, 2.0), Policy()),
        (1.5, limits(None, None), Policy(basis=Basis.CONFIDENCE)),
        (1.5, Limits(), Policy(basis=Basis.RISK, risk=RISK)),
        (1.5, limits(1.0, 2.0), Policy(basis=Basis.RISK)),
    ],
)
def test_what_was_held_against_nothing_has_no_gauge(score: float, known: Limits, policy: Policy) -> None:
    """Without limits, or without a number, there is nothing to show."""
    assert None is gauge_of(view(score), known, policy)


def test_limits_by_risk_are_the_recipes_own() -> None:
    """The bundle's limits are not those that decided."""
    gauge = gauge_of(view(1.5), limits(5.0, 6.0), Policy(basis=Basis.RISK, risk=RISK))
    assert gauge is not None

    assert (1.0, 2.0, Disposition.REVIEW) == (gauge.accept, gauge.reject, zone(gauge))
