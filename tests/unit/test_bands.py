"""Protect where bands and limits end, the way of a probability to another base rate, and the work that bands make."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.bands import UNCALIBRATED, at_rate, by_bands, by_limits
from appliance.decision.workload import Passed, passed, workload
from appliance.schema.clocks import HostNs, S
from appliance.schema.policy import Bands
from appliance.schema.verdict import Disposition, Reason

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
SHARES = st.floats(0, 1)
OPEN = st.floats(1e-3, 1 - 1e-3)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.9, Disposition.ACCEPT),
        (1.0, Disposition.ACCEPT),
        (1.0000001, Disposition.REVIEW),
        (2.0, Disposition.REVIEW),
        (2.0000001, Disposition.REJECT),
    ],
)
def test_limits_belong_to_the_lower_band(score: float, expected: Disposition) -> None:
    """A score on a limit is what a score just under it is, as the calibration counted it."""
    assert expected is by_limits(score, 1.0, 2.0)[0]


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0.9500001, (Disposition.ACCEPT, Reason.CONFIDENT)),
        (0.95, (Disposition.REVIEW, Reason.BETWEEN_BANDS)),
        (0.70, (Disposition.REVIEW, Reason.BETWEEN_BANDS)),
        (0.6999999, (Disposition.REJECT, Reason.LOW_CONFIDENCE)),
        (None, UNCALIBRATED),
        (math.nan, UNCALIBRATED),
    ],
)
def test_both_ends_of_the_bands_are_a_persons(confidence: float | None, expected: tuple[Disposition, Reason]) -> None:
    """By default over 0.95 decides by itself, from 0.70 to 0.95 a person looks, under 0.70 is rejected."""
    assert expected == by_bands(confidence, Bands())


@given(NUMBERS, NUMBERS, NUMBERS)
def test_only_a_score_within_both_limits_is_accepted(score: float, accept_below: float, reject_above: float) -> None:
    """Whatever score and limits are, those the wrong way round among them, an ACCEPT is under both."""
    accepted = by_limits(score, accept_below, reject_above)[0] is Disposition.ACCEPT

    assert accepted == (score < math.inf and score <= accept_below and not score > reject_above)


@given(SHARES, SHARES, SHARES)
def test_bands_the_wrong_way_round_reject(confidence: float, accept_above: float, reject_below: float) -> None:
    """Where both would speak, the reject does."""
    said = by_bands(confidence, Bands(accept_above, reject_below))[0]

    assert (confidence < reject_below) == (said is Disposition.REJECT)
    assert (confidence > accept_above and confidence >= reject_below) == (said is Disposition.ACCEPT)


@given(OPEN, OPEN, OPEN)
def test_a_probability_there_and_back_is_itself(probability: float, measured: float, expected: float) -> None:
    """Carrying over to another base rate loses nothing."""
    there = at_rate(probability, measured, expected)

    assert pytest.approx(probability, rel=1e-6, abs=1e-9) == at_rate(there, expected, measured)


@given(OPEN, OPEN)
def test_the_odds_move_as_the_base_rates_odds(probability: float, expected: float) -> None:
    """Bayes: the likelihood ratio stays, the prior odds change."""
    carried = at_rate(probability, 0.5, expected)

    assert pytest.approx(probability / (1 - probability) * expected / (1 - expected), rel=1e-6) == carried / (
        1 - carried
    )


@pytest.mark.parametrize("measured", [None, 0.0, 1.0])
def test_without_a_true_base_rate_nothing_is_carried_over(measured: float | None) -> None:
    """Calibration data that held only good or only bad parts says nothing about another rate, nor about none."""
    assert at_rate(0.1, measured, 0.01) is None
    assert pytest.approx(0.1) == at_rate(0.1, measured, None)


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_certainty_stays_certain(certain: float) -> None:
    """Both ends of the scale are probabilities, at any base rate."""
    assert [certain, certain] == [at_rate(certain, 0.5, expected) for expected in (None, 0.001)]


@pytest.mark.parametrize("probability", [None, math.nan, -0.1, 1.1])
def test_what_is_no_probability_is_none(probability: float | None) -> None:
    """A number out of its range is no confidence, carried over or not."""
    assert (None, None) == (at_rate(probability, 0.5, 0.01), at_rate(probability, 0.5, None))


def test_fewer_defects_on_the_line_mean_more_confidence() -> None:
    """A calibration with half defects errs towards review on a line with one in a thousand."""
    assert 0.2 > at_rate(0.2, 0.5, 0.001)
    assert pytest.approx(0.2 * 0.001 / (0.2 * 0.001 + 0.8 * 0.999)) == at_rate(0.2, 0.5, 0.001)


def told(second: float, disposition: Disposition, *reasons: Reason) -> Passed:
    return passed(HostNs(int(second * S)), disposition, reasons)


def test_work_is_counted_at_the_current_rate() -> None:
    """One part a second, of which one in four lies in the band, is 900 an hour; not every review does."""
    four = [
        (Disposition.ACCEPT, Reason.WITHIN_LIMITS),
        (Disposition.REVIEW, Reason.BETWEEN_BANDS),
        (Disposition.REVIEW, Reason.RANDOM_SAMPLE),
        (Disposition.UNKNOWN, Reason.UNKNOWN_DEFECT),
    ]
    work = workload([told(second, *four[second % 4]) for second in range(400)], HostNs(399 * S))

    rates = [round(rate) for rate in (work.all, work.between, work.review, work.unknown)]

    assert (400, [3600, 900, 1800, 900]) == (work.parts, rates)


def test_a_line_that_stands_still_makes_less_and_less() -> None:
    """The rate is that of now, not of the last good hour."""
    recent = [told(second, Disposition.ACCEPT, Reason.CONFIDENT) for second in range(101)]

    assert [3600, 1800] == [round(workload(recent, HostNs(at * S)).all) for at in (100, 200)]


@given(st.lists(st.integers(0, 10**12), max_size=5), st.integers(0, 10**12))
def test_any_few_parts_give_a_number_or_none(instants: list[int], now: int) -> None:
    """Clocks that stand or parts that come at once break nothing."""
    work = workload([Passed(HostNs(at), Disposition.ACCEPT, between=False) for at in instants], HostNs(now))

    assert (len(instants) < 2) == (work is None)
    assert work is None or work.all >= 0
