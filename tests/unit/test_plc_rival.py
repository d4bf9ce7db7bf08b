"""Protect the conformance run from a second PLC: what two of them do to an appliance says nothing about it."""

import pytest

from appliance.schema.clocks import MS, HostNs
from appliance.sim.plc_conformance import RIVAL_WATCH, rival


class ControlBlock:
    """Answer reads of the control block, in which somebody moves a heartbeat now and then, on a clock of its own."""

    def __init__(self, beat_ms: int) -> None:
        self._now, self._beat_ms = 0, beat_ms

    def now(self) -> HostNs:
        return HostNs(self._now)

    def wait(self, seconds: float) -> None:
        self._now += int(seconds * 1e9)

    def ask(self, pdu: bytes) -> bytes:
        beats = self._now // (self._beat_ms * MS) if self._beat_ms else 0
        return pdu[:1] + bytes([2, 0x80 * (beats % 2), 1])

    def cut(self) -> None:
        raise AssertionError("watching cuts nothing")

    def intrude(self, noise: bytes) -> None:
        raise AssertionError("watching disturbs nothing")


@pytest.mark.parametrize(("beat_ms", "found"), [(0, False), (50, True), (100, True), (390, True)])
def test_a_plc_that_writes_is_seen(beat_ms: int, found: bool) -> None:
    """A heartbeat in the control block is another PLC's; words that a PLC left behind and nobody moves are none."""
    wire = ControlBlock(beat_ms)

    assert found is rival(wire)
    assert wire.now() <= RIVAL_WATCH + 100 * MS
