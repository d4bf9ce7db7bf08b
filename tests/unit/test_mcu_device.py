"""Protect the microcontroller's place in the loop: messages while there is a wire, patience while there is none."""

from pathlib import Path

import pytest

from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.errors import LinkError
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.device import REOPEN_PERIOD, McuDevice
from firmware_bridge.messages import ClockReply, HelloAck, ReleaseFault, Stats

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
BEGIN = 1 * S


class Cable:
    """Be the wire to a core, which can be pulled out."""

    def __init__(self) -> None:
        self.board = CoreBoard(build_core(BUILD), 5, HostNs(BEGIN))
        self.plugged = True
        self.opened = self.closed = 0
        self.fails_at_write = False

    def open(self) -> "Cable":
        if not self.plugged:
            raise LinkError("mcu: /dev/mcu is absent; plug it in")
        self.opened += 1
        return self

    def fileno(self) -> int:
        return 3

    def read(self) -> bytes:
        if not self.plugged:
            raise LinkError("mcu: the far end is gone; check the cable")
        return self.board.read()

    def write(self, data: bytes) -> None:
        if not self.plugged or self.fails_at_write:
            raise LinkError("mcu: cannot write; check the cable")
        self.board.write(data)

    def close(self) -> None:
        self.closed += 1


class Rig:
    """Hold a device with its cable and a clock."""

    def __init__(self, *, plugged: bool = True) -> None:
        self.cable = Cable()
        self.cable.plugged = plugged
        self.sessions = 0
        self.now = BEGIN
        self.device = McuDevice(self.cable.open, self._session, HostNs(BEGIN))

    def _session(self) -> int:
        self.sessions += 1
        return self.sessions

    def run(self, ms: int) -> list:
        """Let time pass and read whenever the device wants a turn or the core has spoken."""
        got: list = []
        for _ in range(ms):
            self.now += MS
            self.cable.board.run_until(HostNs(self.now))
            got += self.device.read(HostNs(self.now))
        return got


def kinds(messages: list) -> list[type]:
    return [type(message) for message in messages]


def test_a_wire_gives_a_session_and_its_messages() -> None:
    """Hello first, then what the microcontroller says of itself, without anybody asking."""
    rig = Rig()
    got = rig.run(400)

    assert kinds(got)[0] is HelloAck
    assert {HelloAck, ClockReply, Stats} <= set(kinds(got))
    assert (3, "") == (rig.device.fileno(), rig.device.cause)


def test_it_wants_a_turn_in_time() -> None:
    """The loop may sleep until `wake_at`; heartbeats need one every 50 ms at the latest."""
    rig = Rig()
    rig.run(100)
    wake = rig.device.wake_at

    assert wake is not None
    assert wake - rig.now <= 50 * MS


def test_an_absent_wire_is_tried_again() -> None:
    """A missing board costs one attempt each 200 ms, has no descriptor, and says why."""
    rig = Rig(plugged=False)
    got = rig.run(500)

    assert ([], -1, 0) == (got, rig.device.fileno(), rig.cable.opened)
    assert "is absent" in rig.device.cause
    assert rig.device.wake_at is not None
    assert rig.now < rig.device.wake_at <= rig.now + REOPEN_PERIOD

    rig.cable.plugged = True
    got = rig.run(300)

    assert (1, "") == (rig.cable.opened, rig.device.cause)
    assert kinds(got)[0] is HelloAck


def test_a_pulled_wire_is_closed_once_and_opened_again() -> None:
    """The error ends in a cause for a technician, not in the process; what the board says is heard again."""
    rig = Rig()
    rig.run(300)
    rig.cable.plugged = False
    rig.run(1000)

    assert (1, -1) == (rig.cable.closed, rig.device.fileno())

    rig.cable.plugged = True
    got = rig.run(800)

    assert (2, "") == (rig.cable.opened, rig.device.cause)
    assert kinds(got).count(Stats) >= 5


def test_a_write_that_fails_drops_the_wire() -> None:
    """Half a broken wire is a broken wire."""
    rig = Rig()
    rig.run(300)
    rig.cable.fails_at_write = True
    rig.device.write(ReleaseFault(), HostNs(rig.now))

    assert (1, -1, "mcu: cannot write; check the cable") == (
        rig.cable.closed, rig.device.fileno(), rig.device.cause
    )  # fmt: skip


@pytest.mark.parametrize("plugged", [True, False])
def test_a_message_without_a_session_is_gone(plugged: bool) -> None:
    """What cannot be said now is not said later: a decision would meet another part."""
    rig = Rig(plugged=plugged)
    rig.device.write(ReleaseFault(), HostNs(rig.now))

    assert rig.device._link.unsent == 1
    assert rig.device._link.idle


def test_it_gives_the_wire_back() -> None:
    """Closing twice closes once."""
    rig = Rig()
    rig.device.close()
    rig.device.close()

    assert (1, -1) == (rig.cable.closed, rig.device.fileno())
