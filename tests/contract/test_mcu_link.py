"""Every board answers the link alike: the core on a virtual clock, and the firmware process on its pty."""

from __future__ import annotations

import itertools
import mmap
import random
import select
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from firmware_bridge.board import CoreBoard, PtyBoard
from firmware_bridge.build import build_core, build_host
from firmware_bridge.clocksync import ClockSync
from firmware_bridge.configuration import configuration
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    EVENTS,
    Arm,
    ClockReply,
    ConfigureAck,
    Decision,
    DecisionAck,
    DecisionOutcome,
    ExposedEvent,
    GateCause,
    GateEvent,
    HelloAck,
    Lane,
    PartEvent,
    State,
    StateChanged,
)  # fmt: skip

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
STATION = configuration(
    gate_counts=6000,
    lead_counts=300,
    camera_counts=(700, -1),
    min_gap_counts=200,
    gate_hold_counts=200,
    heartbeat_timeout_ms=400,  # a busy test machine, not the 150 ms of a line
)


class Rig(Protocol):
    """A board, the clock it runs on and a belt of 10 counts per ms."""

    def now(self) -> HostNs: ...
    def wait(self, until: HostNs) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def place_part(self, in_counts: int) -> int: ...


class CoreRig:
    def __init__(self) -> None:
        self.board = CoreBoard(build_core(BUILD), 5, HostNs(0), tick_offset=10**9, ppm=80)
        self.board.set_belt(10_000)

    def now(self) -> HostNs:
        return self.board.now

    def wait(self, until: HostNs) -> bytes:
        self.board.run_until(HostNs(max(self.board.now + MS, min(until, self.board.now + 5 * MS))))
        return self.board.read()

    def write(self, data: bytes) -> None:
        self.board.write(data)

    def place_part(self, in_counts: int) -> int:
        at = EncoderCounts(self.board.counts + in_counts)
        self.board.place_part(at, EncoderCounts(at + 50))
        return at


class ProcessRig:
    """Written by hand against plant.h: belt at 16, parts_scheduled at 48, parts at 56, file of 32,456 bytes."""

    def __init__(self, folder: Path) -> None:
        self.file = (folder / "plant").open("w+b")
        self.file.truncate(32456)
        self.plant = mmap.mmap(self.file.fileno(), 32456)
        struct.pack_into("<IIQ", self.plant, 0, 0x544E4C50, 1, 32456)
        self.epoch = time.monotonic_ns()
        struct.pack_into("<IIQqq", self.plant, 16, 0, 0, self.epoch, 0, 10_000)
        link = folder / "mcu"
        self.process = subprocess.Popen([build_host(BUILD), "--plant", folder / "plant", "--link", link, "--ppm", "80"])
        give_up = time.monotonic() + 10
        while not link.exists() and time.monotonic() < give_up:
            select.select([], [], [], 0.002)
        self.board = PtyBoard(link)
        self.parts = 0

    def now(self) -> HostNs:
        return HostNs(time.monotonic_ns())

    def wait(self, until: HostNs) -> bytes:
        select.select([self.board], [], [], max(0, min(until - self.now(), 50 * MS)) / S)
        return self.board.read()

    def write(self, data: bytes) -> None:
        self.board.write(data)

    def place_part(self, in_counts: int) -> int:
        at = (time.monotonic_ns() - self.epoch) // 100_000 + in_counts
        self.parts += 1
        struct.pack_into("<Qqq", self.plant, 56 + self.parts % 256 * 24, self.parts, at, at + 50)
        struct.pack_into("<I", self.plant, 48, self.parts)
        return at

    def close(self) -> None:
        self.board.close()
        self.process.kill()
        self.process.wait()
        self.plant.close()
        self.file.close()


@pytest.fixture(params=["core", "process"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    if request.param == "core":
        yield CoreRig()
        return
    process = ProcessRig(tmp_path)
    yield process
    process.close()


def talk(rig: Rig, link: Link, done: Callable[[list], bool], react: Callable[[object], None] | None = None) -> list:
    """Run link and board until `done` holds for the messages so far, at most 8 s of the rig's clock."""
    got: list = []
    give_up = rig.now() + 8 * S
    while not done(got):
        assert rig.now() < give_up, got[-5:]
        rig.write(link.outgoing(rig.now()))
        for message in link.feed(rig.wait(link.wake_at or HostNs(0)), rig.now()):
            got.append(message)
            if react:
                react(message)
    return got


def kinds(got: list, kind: type) -> list:
    return [m for m in got if isinstance(m, kind)]


def armed_link(rig: Rig) -> Link:
    sessions = itertools.count(41)
    link = Link(lambda: next(sessions), rig.now())
    talk(rig, link, lambda got: bool(kinds(got, HelloAck)))
    link.send(STATION, rig.now())
    link.send(Arm(), rig.now())
    got = talk(rig, link, lambda got: len(kinds(got, StateChanged)) >= 2)

    assert [1] == [a.accepted for a in kinds(got, ConfigureAck)]
    assert State.ARMED == kinds(got, StateChanged)[-1].state
    return link


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
        (1, Lane.ACCEPT, GateCause.ACCEPTED, 9, at[0] + 6000),
        (2, Lane.REJECT, GateCause.NO_DECISION, 0, at[1] + 6000),
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
    rig = CoreRig()
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
    from firmware_bridge.framing import Decoder
    from firmware_bridge.messages import IDS, UNPACK

    frames = Decoder().feed(data)
    found = [UNPACK[f.id](f.payload) for f in frames if f.id == IDS[DecisionAck]]
    return [m for m in found if isinstance(m, DecisionAck)]
