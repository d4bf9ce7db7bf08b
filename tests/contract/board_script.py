"""One script of parts, decisions, line noise and resets, played on a board with a virtual clock; what came of it."""

from __future__ import annotations

import itertools
import random
from typing import NamedTuple

from appliance.schema.clocks import MS, EncoderCounts, HostNs
from firmware_bridge.board import CameraEdge, CoreBoard, GateMove
from firmware_bridge.link import Link
from firmware_bridge.messages import Arm, Decision, GateEvent, HelloAck, Message, PartEvent, ReleaseFault, State, Stats
from tests.contract.board_rigs import STATION

STEP = 2 * MS
NOISES = ("lost", "damaged", "doubled", "garbage")
TROUBLES = ("silence", "new_host", "reset")


class Outcome(NamedTuple):
    """What the MCU said of one part: in which boot, where, when, and why."""

    boot: int
    part: int
    lane: int
    cause: int
    verdict_seq: int
    counts: int
    tick: int


class Run(NamedTuple):
    """All that a script brought about."""

    outcomes: list[Outcome]
    said: bytes
    gate: list[GateMove]
    cameras: list[CameraEdge]
    noises: int
    troubles: int
    sessions: int


class Script:
    """A host of habits on a bad line; every draw depends on the seed and on what the board said alone."""

    def __init__(self, board: CoreBoard, seed: int, parts: int, noise: float, trouble: float) -> None:
        self.board = board
        self.rng = random.Random(seed)
        self.noise, self.trouble = noise, trouble
        self.now = int(board.now)
        self.boots = itertools.count(seed % 1000 + 100)
        self.boot = 0
        self.sessions = itertools.count(1000)
        self.link = Link(lambda: next(self.sessions), HostNs(self.now))
        self.agenda: list[tuple[int, Decision]] = []
        self.said = b""
        self.outcomes: dict[tuple[int, int], Outcome] = {}
        self.noises = self.troubles = self.silent_until = 0
        at = 1500
        for _ in range(parts):
            at += self.rng.choice(
                (self.rng.randrange(220, 500), self.rng.randrange(220, 500), self.rng.randrange(80, 220))
            )
            board.place_part(EncoderCounts(at), EncoderCounts(at + self.rng.randrange(20, 60)))
        self.end = at + STATION.gate_counts + 2000
        board.set_belt(10_000)

    def play(self) -> Run:
        """Run to the end of the belt."""
        while self.board.counts < self.end:
            self.turn()
        outcomes = sorted(self.outcomes.values())
        cameras = self.board.camera_edges
        return Run(
            *(outcomes, self.said, self.board.gate_moves, cameras, self.noises, self.troubles, self.link.sessions)
        )

    def turn(self) -> None:
        self.now += STEP
        now = HostNs(self.now)
        self.board.run_until(now)
        said = self.board.read()
        self.said += said
        heard = self.spoil(said)
        if self.rng.random() < self.trouble:
            self.upset()
        if self.now < self.silent_until:
            return
        for message in self.link.feed(heard, now):
            self.take(message)
        for at, decision in [one for one in self.agenda if one[0] <= self.now]:
            self.agenda.remove((at, decision))
            self.link.send(decision, now)
        self.board.write(self.spoil(self.link.outgoing(now)))

    def take(self, message: object) -> None:
        now = HostNs(self.now)
        if isinstance(message, HelloAck):
            self.boot = message.boot
            self.agenda.clear()
        if isinstance(message, Stats) and message.state != State.ARMED and self.link.idle:
            wishes: list[Message] = [STATION, Arm()]
            for wish in ([ReleaseFault()] if message.state == State.FAULT else []) + wishes:
                self.link.send(wish, now)
        if isinstance(message, PartEvent):
            self.plan(message.part)
        if isinstance(message, GateEvent):
            self.outcomes[self.boot, message.part] = outcome(self.boot, message)

    def plan(self, part: int) -> None:
        habit, delay = self.rng.randrange(10), self.rng.randrange(200) * MS
        words = {0: (), 1: (0,), 2: (1, 0), 3: (0, 1)}.get(habit, (1,))
        late = 600 * MS if habit == 9 else 0
        for n, accept in enumerate(words):
            self.agenda.append((self.now + delay + late + n * 20 * MS, Decision(part, accept, part * 10 + n)))

    def spoil(self, data: bytes) -> bytes:
        """Do to the bytes what a bad line does."""
        if not data or self.rng.random() >= self.noise:
            return data
        self.noises += 1
        harm = self.rng.choice(NOISES)
        at = self.rng.randrange(len(data))
        if harm == "lost":
            return data[:at]
        if harm == "damaged":
            return data[:at] + bytes([data[at] ^ 1 << self.rng.randrange(8)]) + data[at + 1 :]
        if harm == "doubled":
            return data + data
        return data + self.rng.randbytes(self.rng.randrange(1, 400))

    def upset(self) -> None:
        """Let a whole unit fail."""
        self.troubles += 1
        trouble = self.rng.choice(TROUBLES)
        if trouble == "silence":
            self.silent_until = self.now + self.rng.randrange(100, 800) * MS
        if trouble == "new_host":
            self.link = Link(lambda: next(self.sessions), HostNs(self.now))
        if trouble == "reset":
            self.board.reset(next(self.boots))


def outcome(boot: int, event: GateEvent) -> Outcome:
    """Give the event as a row."""
    row = (event.part, event.lane, event.cause, event.verdict_seq, event.counts, event.tick)
    return Outcome(boot, *row)
