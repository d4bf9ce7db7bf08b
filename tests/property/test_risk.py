"""The promised escape rate is broken in no more than the stated share of calibrations, whatever the scores are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.calibration import at_most
from appliance.decision.review_load import Shift, reject_limit
from appliance.decision.risk import Promise, allowed, escape_limit, needed, suspicion
from appliance.decision.risk_plan import HeldOut, Plan, Wish, plan
from appliance.schema.policy import Guarantee

RESAMPLES = 2000
POPULATIONS = ("normal", "heavy", "stepped")
SCORES = st.lists(st.floats(0, 10, width=16) | st.just(math.nan), min_size=1, max_size=120)


def drawn(name: str, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Give scores of defective parts, (resamples, parts)."""
    uniform = generator.random(shape)
    if name == "heavy":
        return 1 / uniform
    return np.floor(20 * uniform) if name == "stepped" else generator.normal(size=shape)


def escape_rate(name: str, limit: float) -> float:
    """Give the true share of defective parts that score up to a limit."""
    if name == "heavy":
        return min(1.0, max(0.0, 1 - 1 / limit)) if limit > 0 else 0.0
    if name == "stepped":
        return min(1.0, max(0.0, (math.floor(limit) + 1) / 20))
    return 0.5 * math.erfc(-limit / math.sqrt(2))


def most_breaches(share: float) -> int:
    """Give the breaches that a true share shows at most in 999 of 1000 such tests."""
    return next(k for k in range(RESAMPLES + 1) if at_most(k, RESAMPLES, share) >= 0.999)


@pytest.mark.parametrize("name", POPULATIONS)
@pytest.mark.parametrize(("rate", "assurance", "parts"), [(0.05, 0.95, 140), (0.1, 0.9, 60), (0.02, 0.8, 300)])
def test_an_assured_rate_is_broken_as_rarely_as_stated(name: str, rate: float, assurance: float, parts: int) -> None:
    """Of 2,000 calibrations on a known population at most 1 - assurance give a limit over the rate; naive ones more."""
    generator = np.random.default_rng(2026)
    samples = drawn(name, generator, (RESAMPLES, parts))
    promise = Promise(rate, assurance)
    limits = [escape_limit(row, promise) for row in samples.tolist()]
    broken = sum(limit is not None and escape_rate(name, limit) > rate for limit in limits)

    assert None not in limits
    assert broken <= most_breaches(1 - assurance)
    # The rule inverted: the loosest limit whose share of escapes among these very parts is no more than promised.
    naive = np.sort(samples, axis=1)[:, int(rate * parts)]
    breaches = sum(escape_rate(name, math.nextafter(one, -math.inf)) > rate for one in naive.tolist())
    if name != "stepped":
        assert breaches > 0.3 * RESAMPLES


@pytest.mark.parametrize("name", POPULATIONS)
def test_an_expected_rate_holds_on_average(name: str) -> None:
    """The mean true rate over 2,000 calibrations is at most the promised one, within its own noise."""
    samples = drawn(name, np.random.default_rng(7), (RESAMPLES, 99))
    promise = Promise(0.05, guarantee=Guarantee.EXPECTED)
    rates = np.array([escape_rate(name, escape_limit(row, promise)) for row in samples.tolist()])

    assert rates.mean() <= 0.05 + 3 * rates.std() / math.sqrt(RESAMPLES)
    assert (rates > 0.05).mean() > 0.1 or name == "stepped"


def test_the_worst_class_keeps_the_rate_as_well() -> None:
    """Two classes, each promised: that either is over the rate happens no more often than stated."""
    generator, rate, broken = np.random.default_rng(3), 0.1, 0
    good = tuple(np.linspace(-9, 9, 50).tolist())
    for _ in range(RESAMPLES // 4):
        own, other = generator.normal(size=60), generator.normal(0.3, 1, 60)
        parts = HeldOut((*own.tolist(), *other.tolist()), (("a",),) * 60 + (("b",),) * 60, good)
        found = plan(Wish(Promise(rate, 0.9), each_class=True), parts)
        assert isinstance(found, Plan)
        broken += max(escape_rate("normal", found.accept_below - shift) for shift in (0, 0.3)) > rate

    assert broken <= 0.1 * 500 + 3.1 * math.sqrt(500 * 0.09)


def test_reviews_exceed_the_minutes_as_rarely_as_stated() -> None:
    """The share of good parts between the limits that are chosen is over the budget's in 1 - assurance at most."""
    generator, broken = np.random.default_rng(4), 0
    shift = Shift(parts=1000, seconds=60, minutes=250)
    for row in generator.normal(size=(RESAMPLES // 8, 150)).tolist():
        limit = reject_limit(row, 0.2, 9.0, shift, 0.0, 0.9)
        share = escape_rate("normal", limit) - escape_rate("normal", 0.2)
        broken += shift.minutes_of(share) > shift.minutes

    assert 0 < broken <= 0.1 * 250 + 3.1 * math.sqrt(250 * 0.09)


@given(SCORES, st.floats(0.01, 0.9), st.floats(0.5, 0.99))
def test_escapes_of_a_limit_are_allowed_and_one_more_is_not(scores: list[float], rate: float, assurance: float) -> None:
    """A limit lets no more held-out defects pass than the proof allows, and the next score up would, ties together."""
    promise = Promise(rate, assurance)
    limit, most = escape_limit(scores, promise), allowed(promise, len(scores))

    assert (limit is None) == (most is None) == (len(scores) < needed(promise))
    if limit is not None and most is not None:
        assert sum(score <= limit for score in scores) <= most
        ranked = [suspicion(score) for score in scores]
        assert sum(score <= math.nextafter(limit, math.inf) for score in ranked) > most


@given(SCORES, st.floats(0.01, 0.5), st.floats(0.01, 0.3))
def test_a_stricter_promise_never_raises_the_limit(scores: list[float], rate: float, less: float) -> None:
    """Fewer escapes or more assurance give the same limit or a lower one, or none."""
    loose = escape_limit(scores, Promise(rate, 0.8))
    for strict in (Promise(rate * (1 - less), 0.8), Promise(rate, 0.8 + less * 0.6)):
        found = escape_limit(scores, strict)
        assert found is None or (loose is not None and found <= loose)
