"""Protect the draw: fair, known to the last digit, the same for ever, and over would-be accepts alone."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.calibration import clopper_pearson
from appliance.decision.sampling import Sampled, is_drawn, sampled
from appliance.schema.part import PartId
from appliance.schema.policy import Policy
from appliance.schema.verdict import Disposition, Reason

PARTS = st.builds(PartId, st.integers(0, 2**32 - 1), st.integers(1, 10**9))
SHARES = st.floats(0, 1)
FINE = (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,))


@given(PARTS, st.integers())
def test_none_and_all_are_exact(part: PartId, seed: int) -> None:
    """A share of 0 draws nothing, a share of 1 everything."""
    assert (False, True) == (is_drawn(part, seed, 0.0), is_drawn(part, seed, 1.0))


@given(PARTS, st.integers(), SHARES, SHARES)
def test_a_larger_share_draws_no_part_less(part: PartId, seed: int, one: float, other: float) -> None:
    """The same part has the same number, whatever the share: raising it only adds parts."""
    low, high = sorted((one, other))

    assert is_drawn(part, seed, low) <= is_drawn(part, seed, high)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_share_is_the_share(share: float) -> None:
    """Over 20,000 parts in a row the count lies where a fair draw puts it (99.99 %)."""
    drawn = sum(is_drawn(PartId(7, number), 1, share) for number in range(1, 20_001))
    low, high = clopper_pearson(drawn, 20_000, 0.9999)

    assert low <= share <= high


def test_neither_seed_nor_boot_nor_number_tells_of_another() -> None:
    """Parts drawn under one seed or boot are drawn under another as often as any."""
    first = [number for number in range(1, 20_001) if is_drawn(PartId(7, number), 1, 0.1)]
    for other in (
        [is_drawn(PartId(7, number), 2, 0.1) for number in first],
        [is_drawn(PartId(8, number), 1, 0.1) for number in first],
        [is_drawn(PartId(7, number + 1), 1, 0.1) for number in first],
    ):
        low, high = clopper_pearson(sum(other), len(first), 0.9999)

        assert low <= 0.1 <= high


def test_the_draw_is_the_same_for_ever() -> None:
    """A record made years ago names the probability of a draw that anyone can repeat."""
    assert [105, 222, 233, 268, 292, 311, 350] == [
        number for number in range(1, 400) if is_drawn(PartId(0xC0FFEE, number), 1, 0.01)
    ]


@given(PARTS, SHARES)
def test_the_threshold_loses_no_digit(part: PartId, share: float) -> None:
    """The probability kept with a part is the one it was drawn with: share and threshold differ by less than 2^-64."""
    assert abs(Fraction(share) - Fraction(share * (1 << 64)) / (1 << 64)) == 0
    assert is_drawn(part, 1, share) == is_drawn(part, 1, float(Fraction(share)))


def test_a_drawn_part_goes_to_a_person_and_says_why() -> None:
    """RANDOM_SAMPLE first, then what would have opened the gate; both outcomes state the probability."""
    drawn, left = PartId(0xC0FFEE, 105), PartId(0xC0FFEE, 106)

    assert Sampled(Disposition.REVIEW, (Reason.RANDOM_SAMPLE, Reason.WITHIN_LIMITS), 0.01) == sampled(
        FINE, drawn, Policy()
    )
    assert Sampled(Disposition.ACCEPT, (Reason.WITHIN_LIMITS,), 0.01) == sampled(FINE, left, Policy())


@given(PARTS, st.sampled_from([one for one in Disposition if one is not Disposition.ACCEPT]), SHARES)
def test_what_would_not_be_accepted_is_not_in_the_draw(part: PartId, disposition: Disposition, share: float) -> None:
    """A part that is held back anyway keeps its disposition and states no probability."""
    judged = (disposition, (Reason.MODEL_FAULT,))

    assert Sampled(*judged, 0.0) == sampled(judged, part, Policy(sample_share=share))


@given(PARTS, SHARES, st.integers())
def test_no_draw_makes_an_accept(part: PartId, share: float, seed: int) -> None:
    """The draw takes accepts away and gives none."""
    policy = Policy(sample_share=share, sample_seed=seed)
    after = sampled(FINE, part, policy)

    assert {Disposition.ACCEPT, Disposition.REVIEW} >= {after.disposition}
    assert (after.disposition is Disposition.REVIEW) == is_drawn(part, seed, share)
