"""Three boards behind one face: the core in this process, the firmware process on its pty, the Cortex-M3 in QEMU."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import select
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.sim.plant_layout import MAGIC, VERSION, PlantLayout
from firmware_bridge.board import CoreBoard, PtyBoard
from firmware_bridge.build import build_core, build_host
from firmware_bridge.configuration import configuration
from firmware_bridge.framing import Frame, encode
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    IDS,
    PACK,
    PROTOCOL_VERSION,
    Arm,
    ConfigureAck,
    HelloAck,
    Message,
    State,
    StateChanged,
)
from tests.contract.emulator import EmulatedBoard

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
GATE = 6000
STATION = configuration(
    gate_counts=GATE,
    lead_counts=300,
    camera_counts=(700, -1),
    min_gap_counts=200,
    gate_hold_counts=200,
    heartbeat_timeout_ms=400,  # a busy test machine, not the 150 ms of a line
)
BOARDS = ("core", "host", "qemu")


class Rig(Protocol):
    """A board, the clock it runs on and a belt of 10 counts per ms."""

    def now(self) -> HostNs: ...
    def wait(self, until: HostNs) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def place_part(self, in_counts: int) -> int: ...
    def gate(self) -> list[tuple[int, int]]: ...
    def reset(self) -> None: ...
    def close(self) -> None: ...


class VirtualRig:
    """A core on a virtual clock: in this process, or as Thumb code in the emulator."""

    def __init__(self, *, emulated: bool) -> None:
        make = EmulatedBoard if emulated else CoreBoard
        start = (5, HostNs(0), 10**9, 80.0)
        self.board = make(*start) if emulated else make(build_core(BUILD), *start)
        self.board.set_belt(10_000)
        self.boots = itertools.count(6)

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

    def gate(self) -> list[tuple[int, int]]:
        return [(move.counts, move.lane) for move in self.board.gate_moves]

    def reset(self) -> None:
        self.board.reset(next(self.boots))

    def close(self) -> None:
        if isinstance(self.board, EmulatedBoard):
            self.board.close()


class ProcessRig:
    """The firmware process. Written by hand against plant.h: belt at 16, parts_scheduled at 48, parts at 56."""

    SIZE = ctypes.sizeof(PlantLayout)
    LOG = PlantLayout.gate_log.offset

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = (folder / "plant").open("w+b")
        self.file.truncate(self.SIZE)
        self.plant = mmap.mmap(self.file.fileno(), self.SIZE)
        struct.pack_into("<IIQ", self.plant, 0, MAGIC, VERSION, self.SIZE)
        self.epoch = time.monotonic_ns()
        struct.pack_into("<IIQqq", self.plant, 16, 0, 0, self.epoch, 0, 10_000)
        self.parts = self.moves_before = 0
        self.process = self._start()
        self.board = PtyBoard(folder / "mcu")

    def now(self) -> HostNs:
        return HostNs(time.monotonic_ns())

    def wait(self, until: HostNs) -> bytes:
        select.select([self.board], [], [], max(0, min(until - self.now(), 50 * MS)) / S)
        return self.board.read()

    def write(self, data: bytes) -> None:
        self.board.write(data)
        give_up = time.monotonic() + 8
        while self.board._unwritten and time.monotonic() < give_up:
            select.select([], [self.board], [], 0.05)
            self.board.write(b"")

    def place_part(self, in_counts: int) -> int:
        at = (time.monotonic_ns() - self.epoch) // 100_000 + in_counts
        self.parts += 1
        struct.pack_into("<Qqq", self.plant, 56 + self.parts % 256 * 24, self.parts, at, at + 50)
        struct.pack_into("<I", self.plant, 48, self.parts)
        return at

    def gate(self) -> list[tuple[int, int]]:
        moves = struct.unpack_from("<I", self.plant, 52)[0]
        log = [struct.unpack_from("<QqI", self.plant, self.LOG + n % 1024 * 24)[1:] for n in range(moves)]
        return log[1:]  # the first puts the gate into its spring position

    def reset(self) -> None:
        self.board.close()
        self.process.kill()
        self.process.wait()
        self.process = self._start("pin")
        assert self.board.reopen()

    def close(self) -> None:
        self.board.close()
        self.process.kill()
        self.process.wait()
        self.plant.close()
        self.file.close()

    def _start(self, reset: str = "power_on") -> subprocess.Popen[bytes]:
        link = self.folder / "mcu"
        link.unlink(missing_ok=True)
        wires = ("--plant", self.folder / "plant", "--link", link, "--ppm", "80")
        process = subprocess.Popen([build_host(BUILD), *wires, "--kept", self.folder / "kept", "--reset", reset])
        give_up = time.monotonic() + 10
        while not link.exists():
            assert time.monotonic() < give_up, f"fs-mcu made no line at {link}"
            select.select([], [], [], 0.002)
        return process


def make_rig(kind: str, folder: Path) -> Iterator[Rig]:
    """Give the board of this kind, and end it; `qemu` skips where its tools are absent."""
    rig: Rig = ProcessRig(folder) if kind == "host" else VirtualRig(emulated=kind == "qemu")
    try:
        yield rig
    finally:
        rig.close()


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


def idle(rig: Rig, ns: int) -> bytes:
    """Let time pass with no word from the host; return what the board says meanwhile."""
    until, said = HostNs(rig.now() + ns), b""
    while rig.now() < until:
        said += rig.wait(until)
    return said


def kinds(got: list, kind: type) -> list:
    return [m for m in got if isinstance(m, kind)]


def new_link(rig: Rig, first_session: int = 41) -> Link:
    """Give a link whose sessions are numbered from `first_session`."""
    sessions = itertools.count(first_session)
    return Link(lambda: next(sessions), rig.now())


def greeted_link(rig: Rig, first_session: int = 41) -> tuple[Link, HelloAck]:
    """Give a link in session, and the board's answer to Hello."""
    link = new_link(rig, first_session)
    return link, kinds(talk(rig, link, lambda got: bool(kinds(got, HelloAck))), HelloAck)[-1]


def configured_link(rig: Rig, first_session: int = 41) -> Link:
    """Give a link in session with a board that has its configuration."""
    link, _ = greeted_link(rig, first_session)
    link.send(STATION, rig.now())
    got = talk(rig, link, lambda got: bool(kinds(got, ConfigureAck)))

    assert [1] == [a.accepted for a in kinds(got, ConfigureAck)]
    return link


def armed_link(rig: Rig, first_session: int = 41) -> Link:
    """Give a link in session with an armed board."""
    link = configured_link(rig, first_session)
    link.send(Arm(), rig.now())
    talk(rig, link, lambda got: any(m.state == State.ARMED for m in kinds(got, StateChanged)))
    return link


def by_hand(link: Link, message: Message) -> bytes:
    """Return one frame of the link's session that the link does not know of, outside its reliable sequence."""
    assert link.hello is not None
    key = link.session ^ link.hello.boot
    return encode(Frame(PROTOCOL_VERSION, IDS[type(message)], 0, 0, 0, key, PACK[type(message)](message)))
