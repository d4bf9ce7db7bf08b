"""The rules of the MCU, one by one, on the real core with a virtual clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.schema.clocks import MS, EncoderCounts, HostNs
from appliance.schema.errors import LinkError
from firmware_bridge import framing, messages
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.configuration import configuration
from firmware_bridge.events import EventsLost
from firmware_bridge.framing import Frame
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Configure,
    ConfigureAck,
    ConfigureReason,
    Decision,
    DecisionAck,
    DecisionOutcome,
    Disarm,
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

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
STATION = configuration(
    gate_counts=5000, lead_counts=300, camera_counts=(1000, -1), min_gap_counts=200, gate_hold_counts=200
)
GATE_TEST = messages.TestTarget.GATE_ACCEPT
CLOSE_MS = 470
GATE_MS = 500


class Rig:
    """One core, one link, a perfect wire, a belt of 10 counts per ms."""

    def __init__(self, boot: int = 5) -> None:
        self.board = CoreBoard(build_core(BUILD), boot, HostNs(0))
        self.board.set_belt(10_000)
        self.sessions = itertools.count(1)
        self.link = Link(lambda: next(self.sessions), HostNs(0))
        self.now = 0
        self.got: list[object] = []
        self.cut = False

    def run(self, ms: int) -> Rig:
        for _ in range(ms):
            self.now += MS
            self.board.run_until(HostNs(self.now))
            data = self.board.read()
            if not self.cut:
                self.got += self.link.feed(data, HostNs(self.now))
                self.board.write(self.link.outgoing(HostNs(self.now)))
        return self

    def send(self, *wishes: messages.Message) -> Rig:
        for wish in wishes:
            assert self.link.send(wish, HostNs(self.now))
        return self.run(3)

    def arm(self) -> Rig:
        return self.run(30).send(STATION, Arm())

    def part(self, in_counts: int = 100) -> int:
        """Schedule a part `in_counts` ahead and run until it is seen; return its number."""
        at = self.board.counts + in_counts
        self.board.place_part(EncoderCounts(at), EncoderCounts(at + 30))
        self.run(in_counts // 10 + 1)
        return self.all(PartEvent)[-1].part

    def all(self, kind: type) -> list:
        return [m for m in self.got if isinstance(m, kind)]

    def last(self, kind: type):
        return self.all(kind)[-1]


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


def test_a_silent_host_loses_even_what_it_accepted(rig: Rig) -> None:
    """Host lost when the window closes is a reject; after 500 ms the run permit falls and stays off."""
    part = rig.part()
    rig.send(Decision(part, 1, 1))
    rig.cut = True
    rig.run(450)
    permit_before = rig.board.outputs.run_permit
    rig.run(200)
    permit_after = rig.board.outputs.run_permit
    rig.cut = False
    rig.run(300)

    assert (1, 0, 0) == (permit_before, permit_after, rig.board.outputs.run_permit)
    assert [GateCause.HOST_LOST] == [g.cause for g in rig.all(GateEvent)]
    assert [] == rig.board.gate_moves


def test_a_host_lost_when_the_window_closes_is_a_reject(rig: Rig) -> None:
    """An accept in hand is not enough: the host must be alive when the decision closes, even if it returns at once."""
    part = rig.part()
    rig.send(Decision(part, 1, 1)).run(CLOSE_MS - 230)
    rig.cut = True
    rig.run(240)
    rig.cut = False
    rig.run(100)

    assert (Lane.REJECT, GateCause.HOST_LOST) == (rig.last(GateEvent).lane, rig.last(GateEvent).cause)
    assert State.ARMED == rig.run(110).last(Stats).state


def test_a_part_right_after_a_boot_is_rejected(rig: Rig) -> None:
    """One may have passed unseen just before the boot, too close for the gate to part them."""
    rig.part()
    rig.run(10).board.set_belt(0)
    rig.board.reset(6)
    rig.run(700).arm()
    rig.board.set_belt(10_000)
    numbers = [rig.part(100), rig.part(300)]
    rig.send(*(Decision(n, 1, n) for n in numbers)).run(GATE_MS + 10)

    assert [GateCause.TOO_CLOSE, GateCause.ACCEPTED] == [g.cause for g in rig.all(GateEvent)][-2:]


def test_a_new_session_must_first_show_its_own_heartbeat(rig: Rig) -> None:
    """The old session's heartbeat, however fresh, does not let a new one arm."""
    rig.got.clear()
    hello = messages.PACK[messages.Hello](messages.Hello(999))
    rig.board.write(framing.encode(Frame(1, 1, 0, 0, 0, 999, hello)))
    arm = messages.PACK[Arm](Arm())
    rig.board.write(framing.encode(Frame(1, 3, framing.RELIABLE, 1, 0, 999 ^ 5, arm)))
    frames = framing.Decoder().feed(rig.board.read())
    changes = [messages.UNPACK[f.id](f.payload) for f in frames if f.id == messages.IDS[StateChanged]]

    expected = [StateReason.NEW_SESSION, StateReason.NOT_ALLOWED_NOW]
    assert expected == [c.reason for c in changes]
    assert not rig.board.outputs.run_permit


def test_a_short_silence_refuses_new_accepts(rig: Rig) -> None:
    """After 150 ms without heartbeat an accept is refused although the rest of the link works."""
    part = rig.part()
    rig.cut = True
    rig.run(160)
    key = rig.link.session ^ 5
    wire = framing.encode(Frame(1, 7, framing.RELIABLE, 3, 0, key, messages.PACK[Decision](Decision(part, 1, 1))))
    rig.board.write(wire)
    rig.cut = False
    rig.run(GATE_MS)

    assert [DecisionOutcome.REFUSED] == [a.outcome for a in rig.all(DecisionAck)]
    assert GateCause.NO_DECISION == rig.last(GateEvent).cause


def test_a_new_session_rejects_the_parts_before_it(rig: Rig) -> None:
    """A restarted host cannot decide parts that it did not see enter, and has to arm."""
    part = rig.part()
    rig.send(Decision(part, 1, 1))
    rig.link = Link(lambda: 4711, HostNs(rig.now))
    rig.arm().send(Decision(part, 1, 2)).run(GATE_MS)

    assert GateCause.OLD_SESSION == rig.last(GateEvent).cause
    assert DecisionOutcome.REFUSED == rig.last(DecisionAck).outcome
    assert State.CONFIGURED == rig.all(HelloAck)[-1].state
    assert STATION.crc == rig.all(HelloAck)[-1].config_crc


def test_a_repeated_hello_changes_nothing(rig: Rig) -> None:
    """The same Hello again, as after a lost answer, keeps session, parts and state."""
    part = rig.part()
    rig.send(Decision(part, 1, 1))
    rig.board.write(framing.encode(Frame(1, 1, 0, 0, 0, rig.link.session, messages.PACK[messages.Hello](
        messages.Hello(rig.link.session)))))  # fmt: skip
    rig.run(GATE_MS)

    assert GateCause.ACCEPTED == rig.last(GateEvent).cause


def test_frames_for_another_boot_are_dropped(rig: Rig) -> None:
    """What was meant for the MCU before its reset never reaches the MCU after it, same session or not."""
    wire = framing.encode(
        Frame(1, 7, framing.RELIABLE, 3, 0, rig.link.session ^ 6, messages.PACK[Decision](Decision(1, 1, 1)))
    )
    rig.board.write(wire)
    rig.run(110)

    assert [] == rig.all(DecisionAck)
    assert 1 == rig.last(Stats).stale_frames


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


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"crc": 1}, "CRC"),
        ({"tick_hz": 1000}, "TICK_RATE"),
        ({"gate_counts": 0}, "GATE"),
        ({"lead_counts": 5000}, "LEAD"),
        ({"gate_hold_counts": 602}, "HOLD"),
        ({"min_gap_counts": 199}, "MIN_GAP"),
        ({"min_gap_counts": 4701}, "MIN_GAP"),
        ({"camera_counts": (5000, -1)}, "CAMERA"),
        ({"heartbeat_timeout_ms": 401}, "HEARTBEAT"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_reason(change: dict, reason: str) -> None:
    """Geometry that could open the gate for the neighbour never becomes active."""
    fields = {f: getattr(STATION, f) for f in Configure.__struct_fields__ if f not in ("crc", "tick_hz")}
    tick_hz = change.pop("tick_hz", None)
    crc = change.pop("crc", None)
    wish = configuration(**{**fields, **change})
    if tick_hz:
        wish = replace(wish, tick_hz=tick_hz)
        wish = replace(wish, crc=messages_crc(wish))
    if crc:
        wish = replace(wish, crc=crc)
    rig = Rig().run(30).send(wish)

    assert (0, reason) == (rig.last(ConfigureAck).accepted, rig.last(ConfigureAck).reason.name)
    assert State.UNCONFIGURED == rig.run(110).last(Stats).state


def messages_crc(wish: Configure) -> int:
    return framing.zlib.crc32(messages.PACK[Configure](wish)[:-4])


def test_configuring_while_armed_is_refused_unless_equal(rig: Rig) -> None:
    """The geometry under parts in flight stays as it was."""
    other = configuration(
        gate_counts=6000, lead_counts=300, camera_counts=(1000, -1), min_gap_counts=200, gate_hold_counts=200
    )
    rig.send(other, STATION)

    assert [ConfigureReason.ARMED, ConfigureReason.ACCEPTED] == [a.reason for a in rig.all(ConfigureAck)][-2:]


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda rig: rig.run(30), StateReason.NOT_CONFIGURED),
        (lambda rig: rig.run(30).send(STATION), StateReason.SCHEMA_MISMATCH),
    ],
)
def test_arming_is_refused_with_its_reason(prepare: Callable[[Rig], Rig], reason: StateReason) -> None:
    """Neither an unconfigured MCU nor one of another schema is armed."""
    rig = prepare(Rig())
    rig.send(Arm(0 if reason == StateReason.SCHEMA_MISMATCH else messages.SCHEMA_HASH))

    assert reason == rig.last(StateChanged).reason
    assert State.ARMED != rig.last(StateChanged).state


def test_the_host_refuses_to_arm_another_schema() -> None:
    """A HelloAck with another schema hash makes Arm a clear error."""
    link = Link(lambda: 9, HostNs(0))
    link.outgoing(HostNs(0))
    ack = HelloAck(9, 5, 1, messages.SCHEMA_HASH ^ 1, State.UNCONFIGURED, Fault.NONE, 1, 1, 0)
    link.feed(framing.encode(Frame(1, 33, 2, 0, 0, 9, messages.PACK[HelloAck](ack))), HostNs(0))

    with pytest.raises(LinkError, match=r"schema .* differs .* flash the firmware"):
        link.send(Arm(), HostNs(0))


def test_an_output_is_tested_only_disarmed_and_for_half_a_second(rig: Rig) -> None:
    """A test never drives the gate while armed, longer than 500 ms or with a part on its way."""
    rig.send(messages.TestOutput(GATE_TEST, 100))
    armed = rig.board.outputs.lane
    rig.send(Disarm(), messages.TestOutput(GATE_TEST, 501))
    long = rig.board.outputs.lane
    rig.send(messages.TestOutput(GATE_TEST, 100))
    tested = rig.board.outputs.lane
    rig.run(105)
    after = rig.board.outputs.lane
    rig.send(messages.TestOutput(GATE_TEST, 400))
    rig.part()

    expected = (Lane.REJECT, Lane.REJECT, Lane.ACCEPT, Lane.REJECT, Lane.REJECT)
    assert expected == (armed, long, tested, after, rig.board.outputs.lane)


def test_events_older_than_the_ring_are_named_lost(rig: Rig) -> None:
    """A host that was away too long learns exactly which events are gone."""
    rig.cut = True
    for n in range(150):
        at = EncoderCounts(rig.board.counts + 10 + n * 250)
        rig.board.place_part(at, EncoderCounts(at + 20))
    rig.run(4600)
    rig.cut = False
    rig.run(400)

    lost = rig.last(EventsLost)
    events = [m.event for m in rig.all(messages.EVENTS)]
    assert (5, 1) == (lost.boot, lost.first)
    assert list(range(lost.first + lost.count, lost.first + lost.count + 256)) == events
    assert 300 + len(rig.board.camera_edges) == events[-1]


def test_a_core_restart_is_a_new_boot_for_the_link(rig: Rig) -> None:
    """After a reset of the MCU the link opens a new session, parts count from 1, and nothing is lost silently."""
    rig.part()
    rig.run(10).board.reset(6)
    rig.run(700)
    rig.arm()

    assert [5, 6] == [h.boot for h in rig.all(HelloAck)]
    assert 1 == rig.part(300)
    assert 2 == rig.link.sessions


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
