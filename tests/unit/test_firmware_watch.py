"""What the core believes of encoder, lamps and host, and when it makes a part for the PLC."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from appliance.schema.clocks import EncoderCounts
from firmware_bridge import messages
from firmware_bridge.build import build_core
from firmware_bridge.messages import (
    Decision,
    Disarm,
    EncoderFault,
    Fault,
    FaultEvent,
    GateCause,
    GateEvent,
    Lane,
    PartEvent,
    ReleaseFault,
    SoftTrigger,
    State,
    StateChanged,
    StateReason,
)  # fmt: skip
from tests.unit.firmware_rig import BUILD, GATE_MS
from tests.unit.firmware_watched import PLC_STATION, WatchedRig, armed, in_doubt, station


@pytest.fixture
def core() -> Path:
    return build_core(BUILD)


def test_encoder_too_fast(core: Path) -> None:
    """Counts that no belt makes are noise: nothing is accepted on them."""
    rig = armed(core)
    rig.accepted()
    rig.board.slipped += 200
    rig.run(GATE_MS)

    assert (Fault.ENCODER, EncoderFault.TOO_FAST) == rig.fault()
    assert [(Lane.REJECT, GateCause.FAULT)] == [(g.lane, g.cause) for g in rig.all(GateEvent)]


def test_encoder_backwards(core: Path) -> None:
    """A belt that runs back shows its parts to the sensor twice; a recoil is no such thing."""
    rig = armed(core)
    rig.board.set_belt(-10_000)
    rig.run(9)
    recoil = list(rig.all(FaultEvent))
    rig.run(5)

    assert [] == recoil
    assert (Fault.ENCODER, EncoderFault.BACKWARDS) == rig.fault()


def test_encoder_standing(core: Path) -> None:
    """Parts that keep coming at an encoder that stands mean a broken wire or coupling."""
    rig = armed(core)
    rig.run(200).accepted()
    rig.board.set_belt(0)
    for level in (True, False) * 3:
        rig.board.step(rig.board.tick, rig.board.counts, part_sensor=level)
    bounced = rig.stats.state
    for level in (True, False):
        rig.board.step(rig.board.tick, rig.board.counts, part_sensor=level)

    assert State.ARMED == bounced
    assert (State.FAULT, EncoderFault.STANDING) == (rig.stats.state, rig.fault()[1])


def test_encoder_transitions(core: Path) -> None:
    """An illegal transition is a lost count, and a lost count moves every part."""
    rig = armed(core)
    rig.accepted()
    rig.board.encoder_errors += 1
    rig.run(GATE_MS)

    assert (Fault.ENCODER, EncoderFault.TRANSITIONS) == rig.fault()
    assert [Lane.REJECT] == [g.lane for g in rig.all(GateEvent)]
    assert 1 == rig.stats.encoder_errors


def test_encoder_doubt_while_purging(core: Path) -> None:
    """The way that the belt ran empty counts only if the encoder was to be believed all along."""
    rig = in_doubt(core)
    rig.send(ReleaseFault()).run(400)
    rig.board.encoder_errors += 1
    rig.run(300)
    still = rig.stats.state
    rig.run(300)

    assert (State.FAULT, State.CONFIGURED) == (still, rig.stats.state)


def test_strobe_rests(core: Path) -> None:
    """A lamp flashes for its time and then rests nine times as long, whoever asks; a part without light is rejected."""
    rig = armed(core, station(strobe_us=(5000, 0)))
    at = rig.board.counts + 100
    rig.board.set_belt(38_000)  # 200 counts in 5.3 ms, the lamp rests 50
    for n in range(8):
        rig.board.place_part(EncoderCounts(at + 250 * n), EncoderCounts(at + 250 * n + 40))
    rig.run(20).send(*(Decision(n + 1, 1, n) for n in range(8))).run(200)
    gate = {g.part: g.cause for g in rig.all(GateEvent)}
    apart = [b.at - a.at for a, b in itertools.pairwise(rig.board.camera_edges)]

    assert 8 == len(gate)
    assert len(rig.board.camera_edges) == 8 - rig.stats.strobes_refused > 0
    assert min(apart, default=50_000_000) >= 50_000_000
    dark = [cause for part, cause in gate.items() if part not in {1, 8}]
    assert GateCause.TOO_CLOSE in dark
    assert rig.stats.strobes_refused == sum(cause is GateCause.TOO_CLOSE for cause in gate.values())


def test_tested_lamp_rests(core: Path) -> None:
    """Tests of an output spare the lamp as well, and tell the timer how long it may be on."""
    rig = WatchedRig(core, station(strobe_us=(5000, 0)))
    rig.run(700).send(rig.station)
    rig.run(3)
    for _ in range(20):
        rig.send(messages.TestOutput(messages.TestTarget.CAMERA0, 1))  # 3 ms each

    assert 2 == len(rig.board.camera_edges)
    assert 18 == rig.stats.strobes_refused


def test_lost_rejects_disarm(core: Path) -> None:
    """Three parts in a row rejected for a lost host disarm, before the 500 ms do; two do not."""
    rig = armed(core)
    rig.board.set_belt(38_000)
    at = rig.board.counts + 100
    for n in range(6):
        rig.board.place_part(EncoderCounts(at + 700 * n), EncoderCounts(at + 700 * n + 40))
    rig.run(20)
    rig.cut = True
    rig.run(135)
    seen = []
    for _ in range(250):
        rig.run(1)
        seen.append(rig.board.outputs.run_permit)
    rig.cut = False
    rig.run(700)
    causes = [g.cause for g in rig.all(GateEvent)]

    assert (1, 0) == (seen[0], seen[-1])
    assert {Lane.REJECT} == {g.lane for g in rig.all(GateEvent)}
    assert causes.count(GateCause.HOST_LOST) >= 3
    assert (State.CONFIGURED, StateReason.HOST_LOST) in {(c.state, c.reason) for c in rig.all(StateChanged)} | {
        (rig.stats.state, StateReason.HOST_LOST)
    }


def test_trigger_makes_a_part(core: Path) -> None:
    """Where the PLC makes the parts, each request makes one, here and now; repeats and sensor edges make none."""
    rig = armed(core, PLC_STATION)
    rig.run(30).send(SoftTrigger(7), SoftTrigger(7)).run(100)
    at = EncoderCounts(rig.board.counts + 20)
    rig.board.place_part(at, EncoderCounts(at + 40), taken=True)
    rig.run(10).send(SoftTrigger(8), SoftTrigger(0))

    assert [7, 8] == [event.request for event in rig.all(PartEvent)]
    assert 2 == rig.stats.refused_triggers


def test_no_trigger_unless_armed(core: Path) -> None:
    """Disarmed, or where the sensor makes the parts, a request makes none."""
    rig = armed(core, PLC_STATION)
    rig.send(Disarm(), SoftTrigger(7))
    by_sensor = armed(core)
    by_sensor.send(SoftTrigger(7))

    assert ([], []) == (rig.all(PartEvent), by_sensor.all(PartEvent))
    assert (1, 1) == (rig.stats.refused_triggers, by_sensor.stats.refused_triggers)
