"""Every part is where the table says: the gate's own sensor, and the empty belt that ends a doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.schema.clocks import EncoderCounts
from firmware_bridge import messages
from firmware_bridge.build import build_core
from firmware_bridge.messages import (
    Arm,
    Fault,
    FaultEvent,
    GateCause,
    GateEvent,
    Lane,
    PartEvent,
    ReleaseFault,
    State,
    StateChanged,
    StateReason,
)  # fmt: skip
from tests.unit.firmware_rig import BUILD, GATE_MS
from tests.unit.firmware_watched import GATE_SENSOR, STATION, WINDOW, WatchedRig, armed, in_doubt


@pytest.fixture
def core() -> Path:
    return build_core(BUILD)


def test_parts_in_their_windows(core: Path) -> None:
    """Parts that the gate's sensor sees where they must be pass as if there were none."""
    rig = armed(core)
    parts = [rig.accepted() for _ in range(8)]
    rig.run(GATE_MS + 20)

    assert [(part, GateCause.ACCEPTED) for part in parts] == [(g.part, g.cause) for g in rig.all(GateEvent)]
    assert (0, 0, 8) == (rig.stats.missing_parts, rig.stats.extra_parts, rig.stats.gate_edges)


def test_missing_part(core: Path) -> None:
    """A part taken from the belt loses sync: it and all behind it are rejected, and the run permit falls."""
    rig = armed(core)
    gone = rig.accepted(taken=True)
    rig.accepted()
    rig.run(GATE_MS + 50)

    assert (Fault.SYNC_LOST, gone) == rig.fault()
    assert {(Lane.REJECT, GateCause.FAULT)} == {(g.lane, g.cause) for g in rig.all(GateEvent)}
    assert ([], 0, 1) == (rig.board.gate_moves, rig.board.outputs.run_permit, rig.stats.missing_parts)


def test_extra_part(core: Path) -> None:
    """A part that nobody saw enter loses sync before it can pass with an accepted one."""
    rig = armed(core)
    rig.run(600).accepted()
    at = rig.last(PartEvent).counts + GATE_SENSOR - WINDOW - 10
    rig.board.place_at_gate(EncoderCounts(at), EncoderCounts(at + 30))
    rig.run(GATE_MS)

    assert (Fault.SYNC_LOST, 0) == rig.fault()
    assert [(Lane.REJECT, GateCause.FAULT)] == [(g.lane, g.cause) for g in rig.all(GateEvent)]
    assert [] == rig.board.gate_moves


def test_second_edge_in_a_window(core: Path) -> None:
    """Each part is seen once: a second one inside its window is one too many."""
    rig = armed(core)
    rig.run(600).accepted()
    at = rig.last(PartEvent).counts + GATE_SENSOR + 42
    rig.board.place_at_gate(EncoderCounts(at), EncoderCounts(at + 30))
    rig.run(GATE_MS)

    assert (Fault.SYNC_LOST, 0) == rig.fault()
    assert 0 == rig.board.outputs.lane


def test_slipped_belt(core: Path) -> None:
    """An encoder that slowly runs ahead of the belt is found out at the gate's sensor."""
    rig = armed(core)
    rig.accepted()
    for _ in range(80):
        rig.board.slipped += 1
        rig.run(1)
    rig.run(GATE_MS)

    assert (Fault.SYNC_LOST, 1) == rig.fault()
    assert {Lane.REJECT} == {g.lane for g in rig.all(GateEvent)}


def test_stuck_gate_sensor(core: Path) -> None:
    """A sensor that always sees something sees no part."""
    rig = armed(core)
    rig.run(600).board.gate_sensor_stuck = True
    rig.run(1)
    rig.accepted()
    rig.run(GATE_MS)

    assert Fault.SYNC_LOST == rig.fault()[0]
    assert {Lane.REJECT} == {g.lane for g in rig.all(GateEvent)}


def test_crowded_parts(core: Path) -> None:
    """What enters too close is rejected together, and may well be one part under a bouncing sensor: no loss of sync."""
    rig = armed(core)
    at = rig.board.counts + 700
    rig.board.place_part(EncoderCounts(at), EncoderCounts(at + 20))
    rig.board.place_part(EncoderCounts(at + 50), EncoderCounts(at + 80), taken=True)
    rig.run(GATE_MS + 150)

    assert [GateCause.TOO_CLOSE] * 2 == [g.cause for g in rig.all(GateEvent)]
    assert ([], State.ARMED) == (rig.all(FaultEvent), rig.stats.state)


def test_parts_from_before_a_boot(core: Path) -> None:
    """Parts that were on the belt when the MCU restarted are no loss of sync; one that comes after them is."""
    rig = armed(core)
    for _ in range(3):
        rig.accepted()
    rig.board.set_belt(0)
    rig.board.reset(6)
    rig.run(700).arm()
    rig.board.set_belt(10_000)
    rig.run(600)
    calm = list(rig.all(FaultEvent))
    at = EncoderCounts(rig.board.counts + 10)
    rig.board.place_at_gate(at, EncoderCounts(at + 20))
    rig.run(5)

    assert [] == calm
    assert (Fault.SYNC_LOST, 0) == rig.fault()


def test_purge_before_release(core: Path) -> None:
    """After lost sync the release waits until the belt has run empty from sensor to gate; nothing arms by itself."""
    rig = in_doubt(core)
    permit_before = rig.board.outputs.run_permit
    rig.send(ReleaseFault(), Arm())
    asked = [(c.state, c.reason) for c in rig.all(StateChanged)][-2:]
    permit_during = rig.board.outputs.run_permit
    rig.run(350)
    waiting = rig.stats
    rig.run(100)

    assert [(State.FAULT, StateReason.NOT_PURGED), (State.FAULT, StateReason.NOT_ALLOWED_NOW)] == asked
    assert (0, 1, 0) == (permit_before, permit_during, rig.board.outputs.run_permit)
    assert (State.FAULT, 1) == (waiting.state, waiting.purging)
    assert State.CONFIGURED == rig.last(StateChanged).state
    assert (0, Fault.NONE) == (rig.stats.purge_counts, rig.stats.fault)


def test_no_purge_without_a_wish(core: Path) -> None:
    """An empty belt alone releases nothing."""
    rig = in_doubt(core)
    rig.run(2000)

    assert (State.FAULT, Fault.SYNC_LOST, 0) == (rig.stats.state, rig.stats.fault, rig.stats.purge_counts)


def test_purge_starts_again_at_each_part(core: Path) -> None:
    """What comes at either sensor while the belt runs empty begins the way anew; all of it is rejected."""
    rig = in_doubt(core)
    rig.send(ReleaseFault()).run(400)
    at = EncoderCounts(rig.board.counts + 10)
    rig.board.place_at_gate(at, EncoderCounts(at + 30))
    rig.run(300)
    part = rig.part(30)
    rig.run(300)
    still = rig.stats.state
    rig.run(800)

    assert State.FAULT == still
    assert [(part, Lane.REJECT, GateCause.FAULT)] == [(g.part, g.lane, g.cause) for g in rig.all(GateEvent)]
    assert State.CONFIGURED == rig.stats.state


def test_no_purge_with_a_part_under_a_sensor(core: Path) -> None:
    """A sensor that never becomes free is no empty belt."""
    rig = in_doubt(core)
    rig.board.gate_sensor_stuck = True
    rig.send(ReleaseFault()).run(1500)

    assert (State.FAULT, 1) == (rig.stats.state, rig.stats.purge_counts)


def test_purge_needs_its_host(core: Path) -> None:
    """A host that dies while the belt runs empty takes its wish and the run permit with it."""
    rig = in_doubt(core)
    rig.send(ReleaseFault())
    rig.cut = True
    rig.run(200)
    permit = rig.board.outputs.run_permit
    rig.run(400)
    rig.cut = False
    rig.run(800)

    assert (0, State.FAULT, 0) == (permit, rig.stats.state, rig.stats.purging)


def test_no_gate_test_on_a_belt_that_may_hold_parts(core: Path) -> None:
    """The tested gate opens for whatever comes: refused until the belt ran empty since boot and since the last part."""
    rig = WatchedRig(core)
    wish = messages.TestOutput(messages.TestTarget.GATE_ACCEPT, 100)
    rig.part(100)
    rig.run(50).send(STATION, wish)
    before = rig.board.outputs.lane
    rig.run(1100).send(wish)
    empty = rig.board.outputs.lane
    at = EncoderCounts(rig.board.counts + 100)
    rig.board.place_at_gate(at, EncoderCounts(at + 30))
    rig.run(15)

    assert [GateCause.NOT_ARMED] == [g.cause for g in rig.all(GateEvent)]
    assert (Lane.REJECT, Lane.ACCEPT, Lane.REJECT) == (before, empty, rig.board.outputs.lane)
