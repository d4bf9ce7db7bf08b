"""Every board speaks the link alike: the way of a part, the clocks, a bad wire; the other rules are in test_boards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schema.clocks import MS, HostNs, S
from firmware_bridge.clocksync import ClockSync
from firmware_bridge.framing import Decoder
from firmware_bridge.messages import (
    EVENTS,
    IDS,
    UNPACK,
    ClockReply,
    Decision,
    DecisionAck,
    DecisionOutcome,
    ExposedEvent,
    GateCause,
    GateEvent,
    Lane,
    PartEvent,
)  # fmt: skip
from tests.contract.board_rigs import BOARDS, GATE, Rig, VirtualRig, armed_link, kinds, make_rig, talk


@pytest.fixture(params=BOARDS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    yield from make_rig(request.param, tmp_path)


def test_a_part_goes_from_sensor_to_gate(rig: Rig) -> None:
    """Hello, configure, arm; edges carry the true counts; accept in time opens the gate, its absence does not."""
    link = armed_link(rig)
    at = [rig.place_part(500), rig.place_part(1500)]

    def react(message: object) -> None:
        if isinstance(message, PartEvent) and message.part == 1:
            link.send(Decision(1, 1, 9), rig.now())

    got = talk(rig, link, lambda got: len(kinds(got, GateEvent)) == 2, react)

    assert [(1, at[0]), (2, at[1])] == [(m.part, m.counts) for m in kinds(got, PartEvent)]
    assert [(1, at[0] + 700), (2, at[1] + 700)] == [(m.part, m.counts) for m in kinds(got, ExposedEvent)]
    assert [DecisionOutcome.ACCEPTED] == [m.outcome for m in kinds(got, DecisionAck)]
    assert [
        (1, Lane.ACCEPT, GateCause.ACCEPTED, 9, at[0] + GATE),
        (2, Lane.REJECT, GateCause.NO_DECISION, 0, at[1] + GATE),
    ] == [(m.part, m.lane, m.cause, m.verdict_seq, m.counts) for m in kinds(got, GateEvent)]
    assert list(range(1, 7)) == [m.event for m in kinds(got, EVENTS)]


def test_the_clocks_meet(rig: Rig) -> None:
    """A part's tick maps to the host instant at which the belt really was there."""
    link, clock = armed_link(rig), ClockSync()

    def react(message: object) -> None:
        if isinstance(message, ClockReply):
            clock.update(HostNs(message.host_ns), rig.now(), message.tick)

    talk(rig, link, lambda got: len(kinds(got, ClockReply)) >= 12, react)
    rig.place_part(500)
    got = talk(rig, link, lambda got: bool(kinds(got, PartEvent)), react)
    part = kinds(got, PartEvent)[0]
    epoch = getattr(rig, "epoch", 0)
    host_ns, uncertainty_ns = clock.to_host(part.tick)

    assert abs(host_ns - epoch - part.counts * 100_000) <= uncertainty_ns + 2_000
    assert uncertainty_ns < 5 * MS


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), loss=st.floats(0, 0.4))
def test_a_bad_wire_loses_no_reliable_message_and_no_event(seed: int, loss: float) -> None:
    """Lost, damaged and doubled chunks both ways: each decision arrives once and in order, each event once in order."""
    rng = random.Random(seed)
    rig = VirtualRig(emulated=False)
    link = armed_link(rig)
    for n in range(20):
        rig.place_part(1000 + 300 * n)
    wanted = [Decision(1000 + n, 1, n) for n in range(30)]
    to_send = list(wanted)

    taken: list[int] = []
    events: list = []
    give_up = rig.now() + 30 * S
    while rig.now() < give_up:
        while to_send and link.connected and link.send(to_send[0], rig.now()):
            to_send.pop(0)
        rig.write(spoil(link.outgoing(rig.now()), rng, loss))
        clear = rig.wait(link.wake_at or HostNs(0))
        # What the MCU took is read from its answers before the wire spoils them.
        taken += [m.verdict_seq for m in answers(clear)]
        events += kinds(link.feed(spoil(clear, rng, loss), rig.now()), EVENTS)
        if link.idle and not to_send and len(kinds(events, GateEvent)) == 20:
            break

    assert link.sessions == 1 or loss > 0.1
    if link.sessions == 1:
        assert list(range(30)) == taken
    assert list(range(1, len(events) + 1)) == [e.event for e in events]
    assert list(range(1, 21)) == [e.part for e in kinds(events, GateEvent)]


def spoil(data: bytes, rng: random.Random, loss: float) -> bytes:
    """Lose, damage or double chunks of 32 bytes, each with a third of `loss`."""
    out = b""
    for at in range(0, len(data), 32):
        chunk = data[at : at + 32]
        dice = rng.random()
        if dice < loss / 3:
            continue
        if dice < loss * 2 / 3:
            chunk = bytes([chunk[0] ^ rng.randint(1, 255)]) + chunk[1:]
        elif dice < loss:
            chunk *= 2
        out += chunk
    return out


def answers(data: bytes) -> list[DecisionAck]:
    """DecisionAcks in whole frames of the current session."""
    frames = Decoder().feed(data)
    found = [UNPACK[f.id](f.payload) for f in frames if f.id == IDS[DecisionAck]]
    return [m for m in found if isinstance(m, DecisionAck)]
