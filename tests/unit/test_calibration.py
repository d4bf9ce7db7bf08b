"""Limits set from good images promise what they say."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision import calibration
from appliance.decision.calibration import Band
from appliance.schema.errors import ConfigError

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=80)


def test_clopper_pearson_matches_published_values() -> None:
    """Exact intervals: 0 of 60, 5 of 50 and 50 of 50 as tabulated."""
    assert (0.0, pytest.approx(1 - 0.025 ** (1 / 60), abs=1e-12)) == calibration.clopper_pearson(0, 60)
    assert (pytest.approx(0.03327509, abs=1e-8), pytest.approx(0.21813537, abs=1e-8)) == calibration.clopper_pearson(
        5, 50
    )
    assert (pytest.approx(0.025 ** (1 / 50), abs=1e-12), 1.0) == calibration.clopper_pearson(50, 50)
    assert (0.0, 1.0) == calibration.clopper_pearson(0, 0)


@settings(deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_is_symmetric_and_holds_the_rate(case: tuple[int, int]) -> None:
    """Counting misses instead of hits mirrors the interval, and the seen rate lies inside."""
    hits, count = case
    low, high = calibration.clopper_pearson(hits, count)
    mirrored_low, mirrored_high = calibration.clopper_pearson(count - hits, count)

    assert low <= hits / count <= high
    assert (pytest.approx(1 - mirrored_high, abs=1e-9), pytest.approx(1 - mirrored_low, abs=1e-9)) == (low, high)


@pytest.mark.parametrize("hits", [-1, 3])
def test_impossible_counts_are_refused(hits: int) -> None:
    """More hits than trials, or fewer than none, are a caller's mistake."""
    with pytest.raises(ValueError, match="hits"):
        calibration.clopper_pearson(hits, 2)


def test_limit_at_the_largest_of_60() -> None:
    """At the largest of 60 good scores: 1.6 % overkill expected, at most 4.9 % (95 %)."""
    limits = calibration.calibrate([float(value) for value in range(60)])

    assert (60, 59.0) == (limits.images, limits.accept_below)
    assert pytest.approx(1 / 61) == limits.overkill_expected
    assert pytest.approx(1 - 0.05 ** (1 / 60), abs=1e-12) == limits.overkill_upper


def test_hold_back_takes_a_lower_rank() -> None:
    """Allowing 5 % of 60 good parts to be held back puts the limit on the third largest score."""
    limits = calibration.calibrate([float(value) for value in range(60)], hold_back=0.05)

    assert 57.0 == limits.accept_below
    assert pytest.approx(3 / 61) == limits.overkill_expected


@settings(deadline=None)
@given(SCORES, st.floats(0, 0.4), st.floats(1, 3), st.floats(1, 3))
def test_limits_are_ordered(scores: list[float], hold_back: float, margin: float, reject_margin: float) -> None:
    """The reject limit never lies under the accept limit, nor the accept limit under the middle of good scores."""
    limits = calibration.calibrate(scores, hold_back, margin, reject_margin)

    assert sorted(scores)[len(scores) // 2] <= limits.accept_below <= limits.reject_above
    assert limits.overkill_expected <= limits.overkill_upper


@settings(deadline=None)
@given(SCORES, st.floats(-1e3, 1e3), st.floats(0.1, 10))
def test_limits_follow_the_scores(scores: list[float], shift: float, factor: float) -> None:
    """Shifting and scaling all scores shifts and scales the limits: no unit is built in."""
    moved = calibration.calibrate([shift + factor * score for score in scores], margin=1.3)
    limits = calibration.calibrate(scores, margin=1.3)

    assert pytest.approx(shift + factor * limits.accept_below, rel=1e-6, abs=1e-3) == moved.accept_below


@pytest.mark.parametrize("scores", [[1.0] * 19, [1.0] * 30 + [math.nan], [1.0] * 30 + [math.inf]])
def test_unusable_scores_are_refused(scores: list[float]) -> None:
    """Fewer than 20 good images, or a score that is no number, set no limit."""
    with pytest.raises(ConfigError, match="calibration"):
        calibration.calibrate(scores)


@pytest.mark.parametrize(
    "arguments", [{"margin": 0.9}, {"reject_margin": 0.5}, {"hold_back": 0.5}, {"hold_back": -0.1}]
)
def test_unsafe_options_are_refused(arguments: dict[str, float]) -> None:
    """A margin under 1 would break the stated overkill."""
    with pytest.raises(ConfigError, match="margin"):
        calibration.calibrate([1.0] * 30, **arguments)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (1.0, Band.BELOW),
        (1.5, Band.BETWEEN),
        (2.0, Band.BETWEEN),
        (2.1, Band.ABOVE),
        (math.nan, Band.ABOVE),
        (math.inf, Band.ABOVE),
    ],
)
def test_bands(score: float, expected: Band) -> None:
    """Up to the accept limit is below, over the reject limit or no number at all is above."""
    assert expected == calibration.band(score, 1.0, 2.0)


@settings(deadline=None)
@given(SCORES, st.floats(-2e6, 2e6))
def test_p_value_counts_itself(scores: list[float], score: float) -> None:
    """The p-value is the share of good images at least as suspicious, never zero."""
    good = sorted(scores)
    expected = (1 + sum(other >= score for other in good)) / (len(good) + 1)

    assert expected == calibration.conformal_p_value(score, good)


def test_p_value_of_no_number_is_the_smallest() -> None:
    """A score that is no number looks like no good image."""
    assert 1 / 21 == calibration.conformal_p_value(math.nan, [0.0] * 20)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=40))
def test_p_values_of_good_images_are_valid(scores: list[float]) -> None:
    """Left out one by one, at most a share a of good images has a p-value of a or less."""
    values = [calibration.conformal_p_value(s, sorted(scores[:i] + scores[i + 1 :])) for i, s in enumerate(scores)]
    for level in values:
        assert sum(value <= level for value in values) <= level * len(scores) + 1e-9


@given(st.lists(st.floats(0, 1), min_size=20, max_size=80), st.floats(0, 1))
def test_a_cap_never_accepts_more_and_says_what_it_costs(scores: list[float], at_most: float) -> None:
    """The limit is never raised, and the stated overkill covers the good scores that it holds back."""
    before = calibration.calibrate(scores, 0.05)
    after = calibration.capped(before, at_most)
    held = sum(score > after.accept_below for score in scores)

    assert after.accept_below == min(before.accept_below, at_most)
    assert after.reject_above == before.reject_above
    assert held / (len(scores) + 1) <= after.overkill_expected <= after.overkill_upper + 1 / (len(scores) + 1)
    assert before.overkill_expected <= after.overkill_expected
