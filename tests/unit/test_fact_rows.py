"""Protect what counts as the same fact when the microcontroller's memory is read a second time."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartExposed, PartId
from appliance.storage.fact_rows import same

NUMBERS = st.integers(0, 1 << 40)


def exposed(index: int, host: int, uncertainty: int, tick: int, counts: int) -> PartExposed:
    return PartExposed(PartId(1, 1), "top", index, HostNs(host), uncertainty, McuTicks(tick), EncoderCounts(counts))


@given(NUMBERS, NUMBERS, NUMBERS, NUMBERS)
def test_an_exposure_read_again_is_the_same(first: int, second: int, one: int, other: int) -> None:
    """A new process carries the same tick to host time by a new fit: no contradiction, and no alarm."""
    assert same(exposed(4, first, one, 9, 8), exposed(4, second, other, 9, 8))


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_an_exposure_with_other_stamps_is_another(first: tuple[int, int, int], second: tuple[int, int, int]) -> None:
    """Trigger index, tick and counts are the microcontroller's own; where one differs the facts contradict."""
    one, other = (exposed(index, 5, 5, tick, counts) for index, tick, counts in (first, second))

    assert (first == second) == same(one, other)
