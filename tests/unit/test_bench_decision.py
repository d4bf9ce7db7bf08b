"""What the decision bench applies to a million parts at once is the product's own policy, part by part."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from appliance.decision import bands
from appliance.decision.calibration import conformal_p_value
from appliance.decision.disposition import SEVERITY, judge_view
from appliance.decision.fusion import fuse
from appliance.learning.confidence import confidence_of, fit_curve
from appliance.schema.finding import ViewResult
from appliance.schema.limits import Limits
from appliance.schema.policy import Bands, Basis, Policy, RiskLimits
from bench import decision, policy_arrays
from bench.drift_alarm import tripped_at
from bench.populations import GOOD, Floats, Parts, Scenario, found, shown

EACH = 1250
VIEWS = 3
RISK = RiskLimits(0.4, 1.6, 0.01, 0.95, 300, 0, 1000, "sha256:b", "f32", "")
CALIBRATED = Limits(0.5, 1.5, 0.3, "anomaly", known_parts=99)
CURVE_ONLY = Limits(None, None, 0.3, "anomaly", known_parts=5)
UNCALIBRATED = Limits(task="anomaly")
ODD = (math.nan, math.inf, -math.inf, 0.4, 0.5, 1.5, 1.6)
"""Scores that are none, and scores that lie on a limit."""


@dataclass
class Drawn:
    """Hold random parts: (n, views) each, and (n,)."""

    score: Floats
    probability: Floats | None
    novelty_p: Floats | None
    expired: np.ndarray


def draw(rng: np.random.Generator, *, seen: bool, detector: bool) -> Drawn:
    score = rng.normal(0.5, 1.0, (EACH, VIEWS))
    odd = rng.random(score.shape) < 0.03
    score[odd] = rng.choice(ODD, odd.sum())
    return Drawn(
        score,
        rng.random(score.shape) ** 4 if seen else None,
        rng.integers(1, 101, score.shape) / 100 if detector else None,
        rng.random(EACH) < 0.2,
    )


def one_by_one(parts: Drawn, limits: Limits, policy: Policy) -> list[int]:
    """Dispose of each part by the product's own functions."""
    told = []
    for row in range(EACH):
        views = []
        for view in range(VIEWS):
            result = ViewResult(
                "top",
                1,
                row,
                float(parts.score[row, view]),
                None,
                (),
                probability=None if parts.probability is None else float(parts.probability[row, view]),
                novelty_p=None if parts.novelty_p is None else float(parts.novelty_p[row, view]),
            )
            views.append(judge_view(result, limits, policy, "sha256:b", "f32", expired=bool(parts.expired[row])))
        told.append(SEVERITY.index(fuse(views, VIEWS)[0]))
    return told


POLICIES = [
    (Policy(basis=Basis.LIMITS), CALIBRATED, True, True),
    (Policy(basis=Basis.LIMITS, novelty="off"), UNCALIBRATED, False, False),
    (Policy(basis=Basis.RISK, risk=RISK, unknown_rate=0.05), CALIBRATED, True, True),
    (Policy(basis=Basis.RISK, risk=RISK), UNCALIBRATED, False, True),
    (Policy(basis=Basis.RISK, risk=RISK), CALIBRATED, False, False),
    (Policy(basis=Basis.CONFIDENCE, bands=Bands(0.9, 0.6), defect_rate=0.01), CURVE_ONLY, True, True),
    (Policy(basis=Basis.CONFIDENCE, novelty="off"), CALIBRATED, True, False),
    (Policy(basis=Basis.CONFIDENCE), UNCALIBRATED, False, True),
]


def test_ten_thousand_parts_are_disposed_of_as_the_product_does(rng: np.random.Generator) -> None:
    """Under every basis, with and without calibration, detector and promise, both ways give the same answer."""
    counts = np.zeros(len(SEVERITY), np.int64)
    for policy, limits, seen, detector in POLICIES:
        parts = draw(rng, seen=seen, detector=detector)
        at_once = policy_arrays.dispose(
            parts.score, parts.probability, parts.novelty_p, limits, policy, parts.expired
        ).tolist()
        counts += np.bincount(at_once, minlength=len(SEVERITY))

        assert one_by_one(parts, limits, policy) == at_once

    assert 10_000 == counts.sum()
    assert counts.min() > 50


def test_arrays_of_p_values_and_probabilities_are_the_products(rng: np.random.Generator) -> None:
    """What goes into the policy is computed as the product computes it."""
    known = np.sort(rng.normal(0, 1, 200).round(1))
    values = rng.normal(0, 2, 500).round(1)
    scores = rng.normal(0, 1, 300)
    curve = fit_curve("", scores, rng.random(300) < 1 / (1 + np.exp(-3 * scores)), [str(one) for one in range(300)])

    assert [conformal_p_value(value, known.tolist()) for value in values] == policy_arrays.p_values(
        values, known
    ).tolist()
    assert [confidence_of(curve, value) for value in values] == pytest.approx(
        policy_arrays.probabilities(curve, values)
    )
    assert [bands.at_rate(0.3, 0.2, rate) for rate in (0.001, 0.5)] == [
        float(policy_arrays.at_rate(np.array(0.3), 0.2, rate)) for rate in (0.001, 0.5)
    ]


def test_the_alarm_for_drift_sleeps_on_a_steady_line_and_wakes_on_a_shifted_one(rng: np.random.Generator) -> None:
    """Parts drawn alike do not trip it; parts that all score half a deviation higher do."""
    plant = found(Scenario("steady", "", holds=True), rng)

    def drawn(count: int, shift: float) -> Parts:
        kind = np.full(count, GOOD)
        return shown(plant, kind, np.linspace(0, 1, count), np.full(count, shift), rng)

    held = drawn(1000, 0.0)

    assert math.inf == tripped_at(drawn(5000, 0.0), held)
    assert tripped_at(drawn(5000, 0.5), held) < 0.2


def test_a_family_is_summed_up() -> None:
    """Every part is counted once, and a promise is held against the true rate of each world."""
    told = decision.family(decision.SCENARIOS[0], 3)
    risk = told["risk"]

    assert 3 * decision.SHIFT_PARTS == told["parts"] == risk["parts"]
    assert 0 <= risk["escaped_with_expiry"] <= risk["escaped"] <= risk["defective"]
    assert 3 == told["promises"]["escape_rate"]["broken"]["n"]
    assert 0 < risk["good_held"]["mean"] < 1
    assert risk["good_held"]["mean"] <= risk["good_held_with_expiry"]["mean"]
    assert told["unknown_class"]["passed"]["mean"] is None


def test_a_world_that_breaks_the_promise_is_counted() -> None:
    """Held-out defects that were found because they were flagged promise what the line does not keep."""
    flagged = next(one for one in decision.SCENARIOS if one.name == "flagged")
    told = decision.family(flagged, 3)

    assert told["promises"]["escape_rate"]["broken"]["k"] >= 2
