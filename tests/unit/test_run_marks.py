"""The mark of a part on the run screen is what was decided of it, heard in time or not."""

import pytest

from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition
from hmi.screens.run.shown import mark_of
from hmi.state import SeenPart

PART = PartId(7, 1)


def gated(disposition: Disposition) -> SeenPart:
    """Give a part of which the touchscreen, that started late, heard the gate alone."""
    lane = Lane.ACCEPT if disposition is Disposition.ACCEPT else Lane.REJECT
    gate = Actuation(PART, lane, Cause.ACCEPTED, disposition, 3, HostNs(5), McuTicks(5), EncoderCounts(5))
    return SeenPart(PART, HostNs(0), actuation=gate)


@pytest.mark.parametrize("disposition", list(Disposition))
def test_a_verdict_that_was_not_heard_is_the_one_the_gate_held(disposition: Disposition) -> None:
    """A part that passed is not said to have no verdict, nor one without a verdict to have passed."""
    assert disposition.value == mark_of(gated(disposition), Mode.PRIMARY)


def test_in_parallel_mode_the_gate_tells_nothing() -> None:
    """Before a person has spoken the mark is empty, whatever the gate did."""
    assert {""} == {mark_of(gated(disposition), Mode.PARALLEL) for disposition in Disposition}
