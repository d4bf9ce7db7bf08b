"""Who the MCU listens to: sessions, heartbeats and boots, on the real core with a virtual clock."""

from __future__ import annotations

import pytest

from appliance.schema.clocks import EncoderCounts, HostNs
from firmware_bridge import framing, messages
from firmware_bridge.events import EventsLost
from firmware_bridge.framing import Frame
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Decision,
    DecisionAck,
    DecisionOutcome,
    GateCause,
    GateEvent,
    HelloAck,
    Lane,
    State,
    StateChanged,
    StateReason,
    Stats,
)  # fmt: skip
from tests.unit.firmware_rig import CLOSE_MS, GATE_MS, STATION, Rig


@pytest.fixture
def rig() -> Rig:
    return Rig().arm()


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


def test_a_frame_that_comes_twice_acts_once(rig: Rig) -> None:
    """A message is known by session and number: a repeat is acknowledged, and obeyed no second time."""
    part = rig.part()
    key = rig.link.session ^ 5
    for accept, seq in ((1, 3), (0, 3), (0, 5), (1, 3)):
        decision = messages.PACK[Decision](Decision(part, accept, 7))
        rig.board.write(framing.encode(Frame(1, 7, framing.RELIABLE, seq, 0, key, decision)))
    frames = framing.Decoder().feed(rig.board.read())
    answers = [messages.UNPACK[f.id](f.payload) for f in frames if f.id == messages.IDS[DecisionAck]]

    assert [DecisionOutcome.ACCEPTED] == [answer.outcome for answer in answers]
    assert {3} == {f.ack for f in frames[-3:]}
    assert frames[-1].flags & framing.NAK or any(f.flags & framing.NAK for f in frames)
