"""One contract for every board: whatever the core runs on, the host sees and the gate does the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.schema.clocks import MS
from firmware_bridge import messages
from firmware_bridge.configuration import configuration
from firmware_bridge.messages import (
    EVENTS,
    SCHEMA_HASH,
    Arm,
    ConfigureAck,
    ConfigureReason,
    Decision,
    DecisionAck,
    DecisionOutcome,
    Disarm,
    EventRequest,
    Fault,
    FaultEvent,
    GateCause,
    GateEvent,
    HelloAck,
    Lane,
    PartEvent,
    ReleaseFault,
    ResetReason,
    State,
    StateChanged,
    StateReason,
    Stats,
)  # fmt: skip
from tests.contract.board_rigs import (
    BOARDS,
    GATE,
    STATION,
    Rig,
    armed_link,
    by_hand,
    configured_link,
    greeted_link,
    idle,
    kinds,
    make_rig,
    new_link,
    talk,
)  # fmt: skip

OTHER = configuration(
    gate_counts=GATE + 1, lead_counts=300, camera_counts=(-1, -1), min_gap_counts=200, gate_hold_counts=200
)


@pytest.fixture(params=BOARDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    yield from make_rig(request.param, tmp_path)


def test_hello_names_board_and_schema(rig: Rig) -> None:
    """A session begins with what the board is: its boot, its schema, no configuration, safe."""
    link, hello = greeted_link(rig)

    assert (link.session, SCHEMA_HASH, State.UNCONFIGURED, 0) == (
        hello.host_session, hello.schema_hash, hello.state, hello.config_crc
    )  # fmt: skip
    assert hello.boot != 0
    assert [] == rig.gate()


def test_another_schema_does_not_arm(rig: Rig) -> None:
    """A host of another release is told so, and the gate stays where it is."""
    link = configured_link(rig)
    rig.write(by_hand(link, Arm(SCHEMA_HASH ^ 1)))
    got = talk(rig, link, lambda got: bool(kinds(got, StateChanged)))

    refused = (State.CONFIGURED, StateReason.SCHEMA_MISMATCH)
    assert refused == (kinds(got, StateChanged)[-1].state, kinds(got, StateChanged)[-1].reason)


def test_nothing_arms_without_configuration(rig: Rig) -> None:
    """No geometry, no gate."""
    link, _ = greeted_link(rig)
    link.send(Arm(), rig.now())
    got = talk(rig, link, lambda got: bool(kinds(got, StateChanged)))

    assert StateReason.NOT_CONFIGURED == kinds(got, StateChanged)[-1].reason


def test_a_damaged_configuration_is_refused(rig: Rig) -> None:
    """The checksum over the geometry is the station's, not the frame's."""
    link, _ = greeted_link(rig)
    link.send(replace(STATION, crc=STATION.crc ^ 1), rig.now())
    got = talk(rig, link, lambda got: bool(kinds(got, ConfigureAck)))

    assert [(0, ConfigureReason.CRC)] == [(a.accepted, a.reason) for a in kinds(got, ConfigureAck)]


def test_each_part_gets_its_own_decision(rig: Rig) -> None:
    """Accept, reject, silence, a late word, a word for a part that never was: only the accept opens, round its part."""
    link = armed_link(rig)
    at = [rig.place_part(300 + 500 * n) for n in range(4)]

    def react(message: object) -> None:
        if isinstance(message, PartEvent) and message.part < 3:
            link.send(Decision(message.part, int(message.part == 1), message.part + 70), rig.now())
        if isinstance(message, PartEvent) and message.part == 1:
            link.send(Decision(400, 1, 9), rig.now())
        if isinstance(message, GateEvent) and message.part == 1:
            link.send(Decision(1, 0, 99), rig.now())

    got = talk(rig, link, lambda got: len(kinds(got, GateEvent)) == 4 and len(kinds(got, DecisionAck)) == 4, react)

    assert [
        (1, Lane.ACCEPT, GateCause.ACCEPTED, 71, at[0] + GATE),
        (2, Lane.REJECT, GateCause.DECIDED_REJECT, 72, at[1] + GATE),
        (3, Lane.REJECT, GateCause.NO_DECISION, 0, at[2] + GATE),
        (4, Lane.REJECT, GateCause.NO_DECISION, 0, at[3] + GATE),
    ] == [(m.part, m.lane, m.cause, m.verdict_seq, m.counts) for m in kinds(got, GateEvent)]
    assert [DecisionOutcome.LATE] == [a.outcome for a in kinds(got, DecisionAck) if a.verdict_seq == 99]
    assert [DecisionOutcome.UNKNOWN] == [a.outcome for a in kinds(got, DecisionAck) if a.part == 400]
    assert [(at[0] + GATE - 100, Lane.ACCEPT), (at[0] + GATE + 100, Lane.REJECT)] == rig.gate()


def test_a_silent_host_loses_its_parts_and_the_line(rig: Rig) -> None:
    """After the silence an accept that was taken is worth nothing, and the board arms only on a new wish."""
    link = armed_link(rig)
    rig.place_part(200)

    def react(message: object) -> None:
        if isinstance(message, PartEvent):
            link.send(Decision(1, 1, 1), rig.now())

    talk(rig, link, lambda got: bool(kinds(got, DecisionAck)), react)
    idle(rig, 650 * MS)
    got = talk(rig, link, lambda got: bool(kinds(got, GateEvent)) and bool(kinds(got, Stats)))

    assert [(Lane.REJECT, GateCause.HOST_LOST)] == [(m.lane, m.cause) for m in kinds(got, GateEvent)]
    assert (State.CONFIGURED, 0) == (kinds(got, Stats)[-1].state, kinds(got, Stats)[-1].run_permit)
    assert [] == rig.gate()


def test_a_new_session_inherits_nothing(rig: Rig) -> None:
    """Parts that an earlier host saw are rejected, its decisions and its arming are gone; their events are not."""
    first = armed_link(rig)
    rig.place_part(300)
    talk(rig, first, lambda got: bool(kinds(got, PartEvent)))
    first.send(Decision(1, 1, 1), rig.now())
    talk(rig, first, lambda got: bool(kinds(got, DecisionAck)))
    second, hello = greeted_link(rig, 900)
    second.send(Decision(1, 1, 2), rig.now())
    got = talk(rig, second, lambda got: bool(kinds(got, GateEvent)))

    assert State.CONFIGURED == hello.state
    assert [DecisionOutcome.REFUSED] == [a.outcome for a in kinds(got, DecisionAck)]
    assert [(Lane.REJECT, GateCause.OLD_SESSION)] == [(m.lane, m.cause) for m in kinds(got, GateEvent)]
    assert [] == rig.gate()


def test_frames_of_an_old_session_are_stale(rig: Rig) -> None:
    """A word from a session that is over does not count, however late the line delivers it."""
    first = armed_link(rig)
    old = by_hand(first, Disarm())
    second = armed_link(rig, 900)
    rig.write(old)
    got = talk(rig, second, lambda got: any(m.stale_frames for m in kinds(got, Stats)))

    assert State.ARMED == kinds(got, Stats)[-1].state


def test_events_are_given_again(rig: Rig) -> None:
    """What the line lost can be asked for, as it was."""
    link = armed_link(rig)
    rig.place_part(100)
    first = kinds(talk(rig, link, lambda got: bool(kinds(got, GateEvent))), EVENTS)
    again, _ = greeted_link(rig, 900)
    got = talk(rig, again, lambda got: len(kinds(got, EVENTS)) >= len(first))
    rig.write(by_hand(again, EventRequest(1, 1)))

    assert first == kinds(got, EVENTS)[: len(first)]
    assert list(range(1, 1 + len(first))) == [e.event for e in first]


def test_an_output_can_be_tested_only_at_rest(rig: Rig) -> None:
    """Disarmed, for a bounded time, and the spring takes the gate back."""
    link = configured_link(rig)
    start = rig.now()
    talk(rig, link, lambda _: rig.now() > start + 700 * MS)  # the belt has carried away what no one saw
    link.send(messages.TestOutput(messages.TestTarget.GATE_ACCEPT, 60), rig.now())
    talk(rig, link, lambda _: len(rig.gate()) == 2)
    opened, closed = rig.gate()
    link.send(Arm(), rig.now())
    link.send(messages.TestOutput(messages.TestTarget.GATE_ACCEPT, 60), rig.now())
    got = talk(rig, link, lambda got: len(kinds(got, StateChanged)) == 2)

    assert (Lane.ACCEPT, Lane.REJECT) == (opened[1], closed[1])
    assert 550 <= closed[0] - opened[0] <= 1500
    assert StateReason.NOT_ALLOWED_NOW == kinds(got, StateChanged)[-1].reason
    assert 2 == len(rig.gate())


def test_two_hundred_of_two_hundred_recoveries(rig: Rig) -> None:
    """After each damage done to the line the very next good frame is understood."""
    link = configured_link(rig)
    noise = random.Random(11)
    answered = 0
    for turn in range(200):
        whole = by_hand(link, Disarm())  # answered with StateChanged, and without effect at rest
        kind = turn % 4
        if kind == 0:
            harm = whole[: noise.randrange(2, len(whole) - 1)] + b"\0"
        elif kind == 1:
            at = noise.randrange(1, len(whole) - 1)
            harm = whole[:at] + bytes([whole[at] ^ 1 << noise.randrange(8)]) + whole[at + 1 :]
        elif kind == 2:
            harm = noise.randbytes(noise.randrange(1, 300)) + b"\0"
        else:
            harm = bytes(noise.randrange(1, 256) for _ in range(noise.randrange(1, 600))) + b"\0"
        rig.write(harm)
        rig.write(whole)
        answered += bool(kinds(talk(rig, link, lambda got: bool(kinds(got, StateChanged))), StateChanged))
        talk(rig, link, lambda _: link.wake_at is not None)

    got = talk(rig, link, lambda got: bool(kinds(got, Stats)))
    assert 200 == answered
    assert 1 == link.sessions
    assert kinds(got, Stats)[-1].crc_errors >= 150


def crowd(rig: Rig) -> None:
    """Put more parts between sensor and gate than the table holds."""
    for n in range(66):
        rig.place_part(150 + 60 * n)


def test_a_fault_is_latched_until_it_is_released(rig: Rig) -> None:
    """More parts than the table holds: everything is rejected until a host releases the fault on purpose."""
    link = armed_link(rig)
    crowd(rig)
    got = talk(rig, link, lambda got: bool(kinds(got, FaultEvent)))
    link.send(Arm(), rig.now())
    refused = kinds(talk(rig, link, lambda got: bool(kinds(got, StateChanged))), StateChanged)[-1]
    link.send(ReleaseFault(), rig.now())
    released = kinds(talk(rig, link, lambda got: bool(kinds(got, StateChanged))), StateChanged)[-1]

    assert Fault.TABLE_OVERFLOW == kinds(got, FaultEvent)[-1].fault
    assert State.FAULT == refused.state
    assert State.CONFIGURED == released.state
    assert [] == rig.gate()


def test_a_fault_outlives_a_reset(rig: Rig) -> None:
    """Whoever pulls the reset pin has repaired nothing: the board comes back in fault, and says which."""
    link = armed_link(rig)
    crowd(rig)
    talk(rig, link, lambda got: bool(kinds(got, FaultEvent)))
    rig.reset()
    link, hello = greeted_link(rig, 900)
    link.send(STATION, rig.now())
    link.send(Arm(), rig.now())
    got = talk(rig, link, lambda got: bool(kinds(got, StateChanged)) and bool(kinds(got, Stats)))
    link.send(ReleaseFault(), rig.now())
    released = talk(rig, link, lambda got: any(m.state == State.CONFIGURED for m in kinds(got, StateChanged)))

    assert (State.FAULT, Fault.TABLE_OVERFLOW) == (hello.state, hello.fault)
    assert State.FAULT == kinds(got, StateChanged)[-1].state
    assert (65, ResetReason.PIN) == (kinds(got, Stats)[-1].fault_detail, kinds(got, Stats)[-1].reset)
    assert [] == [m for m in kinds(released, GateEvent) if m.lane == Lane.ACCEPT]


def test_another_configuration_needs_a_reset(rig: Rig) -> None:
    """The geometry that was taken holds until a reset; the same one again is no other."""
    link = configured_link(rig)
    link.send(replace(STATION, gate_counts=STATION.gate_counts + 1), rig.now())  # with a checksum that does not fit
    link.send(OTHER, rig.now())
    link.send(STATION, rig.now())
    got = talk(rig, link, lambda got: len(kinds(got, ConfigureAck)) == 3)
    rig.reset()
    link, hello = greeted_link(rig, 900)
    link.send(OTHER, rig.now())
    again = talk(rig, link, lambda got: bool(kinds(got, ConfigureAck)))

    assert [ConfigureReason.CRC, ConfigureReason.IMMUTABLE, ConfigureReason.ACCEPTED] == [
        a.reason for a in kinds(got, ConfigureAck)
    ]
    assert 0 == hello.config_crc
    assert [ConfigureReason.ACCEPTED] == [a.reason for a in kinds(again, ConfigureAck)]


def test_a_reset_is_seen_and_forgives_nothing(rig: Rig) -> None:
    """Another boot, no configuration, and nothing that was decided before."""
    link = armed_link(rig)
    before = link.hello.boot
    rig.place_part(300)
    talk(rig, link, lambda got: bool(kinds(got, PartEvent)))
    link.send(Decision(1, 1, 1), rig.now())
    talk(rig, link, lambda got: bool(kinds(got, DecisionAck)))
    rig.reset()
    link, hello = greeted_link(rig, 900)
    idle_until = rig.now() + 800 * MS
    got = talk(rig, link, lambda _: rig.now() > idle_until)

    assert hello.boot != before
    assert (State.UNCONFIGURED, 0) == (hello.state, hello.config_crc)
    assert [] == [m for m in kinds(got, GateEvent) if m.lane == Lane.ACCEPT]
    assert [] == [move for move in rig.gate() if move[1] == Lane.ACCEPT]


def test_a_fresh_link_finds_the_board_again(rig: Rig) -> None:
    """Arm, reset, arm: the way back needs no more than the way in."""
    armed_link(rig)
    rig.reset()
    link = armed_link(rig, 900)
    start = rig.now()
    talk(rig, link, lambda _: rig.now() > start + 50 * MS)
    at = rig.place_part(400)

    def react(message: object) -> None:
        if isinstance(message, PartEvent):
            link.send(Decision(message.part, 1, 3), rig.now())

    got = talk(rig, link, lambda got: bool(kinds(got, GateEvent)), react)

    assert [(GateCause.ACCEPTED, at + GATE)] == [(m.cause, m.counts) for m in kinds(got, GateEvent)]
    assert new_link(rig).hello is None
    assert 1 == len(kinds(got, HelloAck)) or link.connected
