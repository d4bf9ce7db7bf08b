"""Protect what `line` states about a part that an earlier process of it handled."""

import pytest

from appliance.schema.clocks import HostNs
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition, Verdict
from appliance.services._line_gate import GATE_CAUSE, held_disposition
from firmware_bridge.messages import GateCause, GateEvent, Lane


def event(cause: GateCause, verdict_seq: int) -> GateEvent:
    lane = Lane.ACCEPT if cause is GateCause.ACCEPTED else Lane.REJECT
    return GateEvent(event=1, part=1, tick=1, counts=1, lane=lane, cause=cause, verdict_seq=verdict_seq)


def test_every_cause_of_the_microcontroller_has_a_name() -> None:
    """A cause that nobody can read is no cause."""
    assert set(GateCause) == set(GATE_CAUSE)


@pytest.mark.parametrize("disposition", list(Disposition))
@pytest.mark.parametrize("cause", [GateCause.ACCEPTED, GateCause.HOST_LOST])
def test_a_known_verdict_is_stated_as_it_is(disposition: Disposition, cause: GateCause) -> None:
    """What this process decided on is never read from the microcontroller's memory."""
    verdict = Verdict(PartId(1, 1), disposition, (), HostNs(0), HostNs(1), 3)

    assert disposition is held_disposition(verdict, event(cause, 3), replayed=True)


@pytest.mark.parametrize(
    ("cause", "sequence", "replayed", "held"),
    [
        (GateCause.ACCEPTED, 7, True, Disposition.ACCEPT),
        (GateCause.ACCEPTED, 0, True, Disposition.NO_VERDICT),
        (GateCause.ACCEPTED, 7, False, Disposition.NO_VERDICT),
        (GateCause.HOST_LOST, 7, True, Disposition.NO_VERDICT),
        (GateCause.NO_DECISION, 0, True, Disposition.NO_VERDICT),
    ],
)
def test_the_microcontroller_vouches_only_for_accepts_it_was_given(
    cause: GateCause, sequence: int, replayed: bool, held: Disposition
) -> None:
    """An ACCEPT is stated for a part of an earlier process only when the gate opened on a verdict it can name."""
    assert held is held_disposition(None, event(cause, sequence), replayed=replayed)
