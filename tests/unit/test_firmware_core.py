"""How the MCU treats parts: camera line, decision, gate and account, on the real core with a virtual clock."""

from __future__ import annotations

import pytest

from appliance.schema.clocks import MS, EncoderCounts, HostNs
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Decision,
    DecisionAck,
    DecisionOutcome,
    ExposedEvent,
    Fault,
    FaultEvent,
    GateCause,
    GateEvent,
    HelloAck,
    Lane,
    PartEvent,
    ReleaseFault,
    State,
    StateChanged,
    StateReason,
    Stats,
)  # fmt: skip
from tests.unit.firmware_rig import BUILD, CLOSE_MS, GATE_MS, STATION, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig().arm()


def test_an_accept_in_time_opens_the_gate_round_the_part_only(rig: Rig) -> None:
    """The gate is in the accept lane half the hold before and after the part, and returns by itself."""
    part = rig.part()
    at = rig.last(PartEvent).counts
    rig.send(Decision(part, 1, 77)).run(GATE_MS + 50)

    assert [(at + 4900, Lane.ACCEPT), (at + 5100, Lane.REJECT)] == [(m.counts, m.lane) for m in rig.board.gate_moves]
    gate = rig.last(GateEvent)
    assert (part, Lane.ACCEPT, GateCause.ACCEPTED, 77, at + 5000) == (
        gate.part, gate.lane, gate.cause, gate.verdict_seq, gate.counts
    )  # fmt: skip


def test_the_camera_line_fires_at_its_count(rig: Rig) -> None:
    """The edge carries the exact count, whenever the loop looks."""
    rig.part()
    rig.run(200)
    at = rig.last(PartEvent).counts

    assert [(0, at + 1000)] == [(e.camera, e.counts) for e in rig.board.camera_edges]
    assert [(1, 0, 1, at + 1000)] == [(e.part, e.camera, e.trigger_index, e.counts) for e in rig.all(ExposedEvent)]


@pytest.mark.parametrize(
    ("wishes", "outcomes", "cause"),
    [
        ([], [], GateCause.NO_DECISION),
        ([0], ["ACCEPTED"], GateCause.DECIDED_REJECT),
        ([1, 1], ["ACCEPTED", "DUPLICATE"], GateCause.ACCEPTED),
        ([0, 1], ["ACCEPTED", "REFUSED"], GateCause.DECIDED_REJECT),
        ([1, 0], ["ACCEPTED", "ACCEPTED"], GateCause.DECIDED_REJECT),
        ([1, 0, 1], ["ACCEPTED", "ACCEPTED", "REFUSED"], GateCause.DECIDED_REJECT),
        ([2], ["ACCEPTED"], GateCause.DECIDED_REJECT),
    ],
)
def test_a_decision_changes_only_towards_reject(
    rig: Rig, wishes: list[int], outcomes: list[str], cause: GateCause
) -> None:
    """One-shot: after a reject nothing opens the gate, and only the value 1 accepts."""
    part = rig.part()
    for wish in wishes:
        rig.send(Decision(part, wish, 9))
    rig.run(GATE_MS)

    assert outcomes == [a.outcome.name for a in rig.all(DecisionAck)]
    assert cause == rig.last(GateEvent).cause


def test_late_and_unknown_are_told_apart_and_counted(rig: Rig) -> None:
    """A late accept changes nothing, and neither does one for a part that never was."""
    part = rig.part()
    rig.run(CLOSE_MS + 5).send(Decision(part, 1, 1), Decision(part + 1, 1, 2)).run(200)
    stats = rig.last(Stats)

    assert [DecisionOutcome.LATE, DecisionOutcome.UNKNOWN] == [a.outcome for a in rig.all(DecisionAck)]
    assert (1, 1) == (stats.late_decisions, stats.unknown_decisions)
    assert [] == rig.board.gate_moves


def test_a_stopped_belt_does_not_expire_a_part(rig: Rig) -> None:
    """The deadline is in counts: a decision during a line stop is in time."""
    part = rig.part()
    rig.board.set_belt(0)
    rig.run(3000).send(Decision(part, 1, 1))
    rig.board.set_belt(10_000)
    rig.run(GATE_MS + 10)

    assert GateCause.ACCEPTED == rig.last(GateEvent).cause


@pytest.mark.parametrize("state", ["unconfigured", "disarmed", "fault"])
def test_every_part_is_accounted_for_in_every_state(state: str) -> None:
    """One PartEvent and one GateEvent per part, rejected with the state as the cause."""
    rig = Rig().run(30)
    if state != "unconfigured":
        rig.send(STATION)
    if state == "fault":
        overflow(rig)
        rig.got.clear()
    numbers = [rig.part(300) for _ in range(3)]
    rig.run(GATE_MS + 200)

    cause = GateCause.FAULT if state == "fault" else GateCause.NOT_ARMED
    assert numbers == [g.part for g in rig.all(GateEvent)][-3:]
    assert {(Lane.REJECT, cause)} == {(g.lane, g.cause) for g in rig.all(GateEvent)}
    assert [] == rig.board.camera_edges
    assert rig.last(Stats).parts == rig.last(Stats).rejects


def overflow(rig: Rig) -> None:
    """Put more parts between sensor and gate than the table holds."""
    for n in range(70):
        at = EncoderCounts(rig.board.counts + 10 + n * 40)
        rig.board.place_part(at, EncoderCounts(at + 20))
    rig.run(1200)


def test_a_full_table_is_a_latched_fault(rig: Rig) -> None:
    """More parts than the table holds: fault, all rejected and still accounted for; arming needs a release."""
    overflow(rig)
    fault = rig.last(FaultEvent)
    rig.send(Arm())
    refused = rig.last(StateChanged)
    rig.send(ReleaseFault(), Arm())

    assert (Fault.TABLE_OVERFLOW, 65) == (fault.fault, fault.detail)
    assert (State.FAULT, StateReason.NOT_ALLOWED_NOW) == (refused.state, refused.reason)
    assert State.ARMED == rig.last(StateChanged).state
    assert 70 == len({g.part for g in rig.all(GateEvent)}) == len(rig.all(GateEvent))
    assert {Lane.REJECT} == {g.lane for g in rig.all(GateEvent)}


def test_parts_too_close_are_both_rejected(rig: Rig) -> None:
    """The gate cannot part them, so the good one goes with the bad one."""
    at = rig.board.counts + 100
    for enter in (at, at + 150, at + 800):
        rig.board.place_part(EncoderCounts(enter), EncoderCounts(enter + 30))
    rig.run(12).send(Decision(1, 1, 1)).run(90).send(Decision(2, 1, 2), Decision(3, 1, 3)).run(GATE_MS + 10)

    expected = [GateCause.TOO_CLOSE, GateCause.TOO_CLOSE, GateCause.ACCEPTED]
    assert expected == [g.cause for g in rig.all(GateEvent)]


def test_a_gate_that_moved_too_late_is_no_accept(rig: Rig) -> None:
    """An accepted part that a slow board carried past the gate in one step went to the reject lane, and says so."""
    part = rig.part()
    rig.send(Decision(part, 1, 1))
    board = rig.board
    board.step(board.tick + 1000, board.counts + 6000, part_sensor=False)
    rig.got += rig.link.feed(board.read(), HostNs(rig.now))

    gate = rig.last(GateEvent)
    assert (Lane.REJECT, GateCause.GATE_LATE) == (gate.lane, gate.cause)
    assert [] == board.gate_moves


def test_steps_go_on_across_the_wrap_of_the_counter() -> None:
    """Positions are compared wrap-safe: a part that enters before the wrap meets the gate after it."""
    board = CoreBoard(build_core(BUILD), 5, HostNs(0))
    link = Link(lambda: 1, HostNs(0))
    start, got, top = 2**63 - 9000, [], 2**64
    for ms in range(1400):
        counts = (start + ms * 10 + 2**63) % top - 2**63
        board.step(ms * 1000, counts, part_sensor=500 <= ms < 520)
        new = link.feed(board.read(), HostNs(ms * MS))
        got += new
        answers = {HelloAck: [STATION, Arm()], PartEvent: [Decision(1, 1, 1)]}
        for wish in [wish for message in new for wish in answers.get(type(message), [])]:
            link.send(wish, HostNs(ms * MS))
        board.write(link.outgoing(HostNs(ms * MS)))

    gates = [m for m in got if isinstance(m, GateEvent)]
    assert [(GateCause.ACCEPTED, start + 10_000 - top)] == [(g.cause, g.counts) for g in gates]
