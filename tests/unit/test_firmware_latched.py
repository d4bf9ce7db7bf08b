"""Faults outlive a reset, and some resets are faults."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import pytest

from firmware_bridge.build import build_core
from firmware_bridge.messages import (
    Arm,
    Fault,
    GateEvent,
    HelloAck,
    Lane,
    ReleaseFault,
    ResetReason,
    State,
    StateChanged,
    StateReason,
    Stats,
)  # fmt: skip
from tests.unit.firmware_rig import BUILD, GATE_MS
from tests.unit.firmware_watched import STATION, WatchedRig, armed, in_doubt


@pytest.fixture
def core() -> Path:
    return build_core(BUILD)


def test_fault_kept_over_reset(core: Path) -> None:
    """A reset ends no fault: the next boot begins in it, and says which, and for how long it has to be purged."""
    rig = in_doubt(core)
    rig.board.reset(6)
    rig.run(700)
    hello = rig.last(HelloAck)
    rig.send(ReleaseFault())
    unknown_way = rig.last(StateChanged).reason
    rig.send(STATION, Arm())
    refused = rig.last(StateChanged)
    rig.send(ReleaseFault()).run(600)

    assert (6, State.FAULT, Fault.SYNC_LOST) == (hello.boot, hello.state, hello.fault)
    assert StateReason.NOT_CONFIGURED == unknown_way
    assert (State.FAULT, StateReason.NOT_ALLOWED_NOW) == (refused.state, refused.reason)
    assert (State.CONFIGURED, 1) == (rig.stats.state, rig.stats.faults)
    rig.board.reset(7)
    assert State.UNCONFIGURED == rig.run(800).last(Stats).state


def test_reset_by_failure(core: Path) -> None:
    """A program that hung or crashed, and a supply that sagged, are faults that a person has to release."""
    failures = {
        ResetReason.WATCHDOG: Fault.WATCHDOG,
        ResetReason.BROWN_OUT: Fault.BROWN_OUT,
        ResetReason.CRASH: Fault.CRASH,
        ResetReason.PIN: Fault.NONE,
        ResetReason.POWER_ON: Fault.NONE,
        ResetReason.HOST_REQUEST: Fault.NONE,
    }
    found = {}
    for reason in failures:
        rig = armed(core)
        rig.board.reset(6, reason)
        rig.run(800)
        found[reason] = rig.stats.fault
        assert (found[reason] is not Fault.NONE) == (rig.stats.state is State.FAULT)
        assert reason == rig.stats.reset

    assert failures == found


def test_damaged_memory(core: Path) -> None:
    """If what was kept cannot be read a fault may have been in it; only power-on may find noise there."""
    found = []
    for reason in (ResetReason.PIN, ResetReason.POWER_ON):
        rig = in_doubt(core)
        rig.board.retained.detail += 1
        rig.board.reset(6, reason)
        rig.run(800)
        found.append(rig.stats.fault)

    assert [Fault.MEMORY, Fault.NONE] == found


def test_fault_seen_by_the_board(core: Path) -> None:
    """A broken stack canary is a fault like any other: nothing passes, and it is released by a person."""
    rig = armed(core)
    rig.accepted()
    rig.board.fault(Fault.STACK, 3)
    rig.run(GATE_MS)
    state = rig.stats.state
    rig.send(ReleaseFault())

    assert (Fault.STACK, 3) == rig.fault()
    assert (State.FAULT, State.CONFIGURED) == (state, rig.last(StateChanged).state)
    assert [Lane.REJECT] == [g.lane for g in rig.all(GateEvent)]


def damage(rig: WatchedRig) -> None:
    """Let the way to the gate fall to under 256 counts in the core's memory."""
    start, size = ctypes.addressof(rig.board._state), ctypes.sizeof(rig.board._state)
    at = ctypes.string_at(start, size).index(struct.pack("<ii", 5000, 300))
    ctypes.memset(start + at + 1, 0, 1)


def test_damaged_way_ends_no_purge(core: Path) -> None:
    """A way to the gate that fell over in memory is not believed: the fault stays over it, until a reset."""
    rig = in_doubt(core)
    rig.send(ReleaseFault())
    damage(rig)
    rig.run(1000)

    assert (State.FAULT, Fault.SYNC_LOST, -1) == (rig.stats.state, rig.stats.fault, rig.stats.purge_counts)
    rig.board.reset(6)
    rig.run(700).send(STATION, ReleaseFault()).run(600)
    assert State.CONFIGURED == rig.stats.state


def test_damaged_configuration(core: Path) -> None:
    """A bit that falls over in the configuration is found within 100 ms, and the release asks for it anew."""
    rig = armed(core)
    damage(rig)
    state = rig.stats.state
    rig.send(ReleaseFault()).run(110)

    assert (State.FAULT, Fault.CONFIGURATION) == (state, rig.fault()[0])
    assert (State.UNCONFIGURED, 0) == (rig.stats.state, rig.stats.config_crc)


def test_watchdog_fed_by_all(core: Path) -> None:
    """The watchdog is fed only after every source of life has shown some since the last time."""
    rig = armed(core)
    board, every = rig.board, 15
    board.feed(0, 0)
    fed = [board.feed(signs, every) for signs in (0, 2, 4, 8, 0, 14)]
    rig.run(1)

    assert [False, False, False, False, False, False] == fed
    assert board.feed(0, every)
    assert not board.feed(14, every)
