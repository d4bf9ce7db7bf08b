"""The firmware process and its host through kills, stops, floods and re-plugs."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import random
import select
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.errors import LinkError
from appliance.sim.plant_layout import MAGIC, VERSION, PlantLayout
from firmware_bridge import framing, messages
from firmware_bridge.board import PtyBoard
from firmware_bridge.build import build_host
from firmware_bridge.configuration import configuration
from firmware_bridge.framing import Frame
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    ClockRequest,
    Decision,
    ExposedEvent,
    GateCause,
    GateEvent,
    HelloAck,
    Lane,
    PartEvent,
    State,
    StateChanged,
    Stats,
)  # fmt: skip

GATE = 6000
BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
STATION = configuration(
    gate_counts=GATE,
    lead_counts=400,
    camera_counts=(700, -1),
    min_gap_counts=800,
    gate_hold_counts=800,
    heartbeat_timeout_ms=400,  # a busy test machine, not the 150 ms of a line
)


class Plant:
    """The plant file of plant.h at its offsets: the wires of one station, belt at 10 counts per ms."""

    BYTES = ctypes.sizeof(PlantLayout)
    BELT, SCHEDULED, MOVES, PARTS, CAMERA, LOG = 16, 48, 52, 56, 6200, 7880

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("w+b")
        self.file.truncate(self.BYTES)
        self.map = mmap.mmap(self.file.fileno(), self.BYTES)
        struct.pack_into("<IIQ", self.map, 0, MAGIC, VERSION, self.BYTES)
        self.epoch = time.monotonic_ns()
        self.parts = 0
        struct.pack_into("<IIQqq", self.map, self.BELT, 0, 0, self.epoch, 0, 10_000)

    def counts(self) -> int:
        return (time.monotonic_ns() - self.epoch) // 100_000

    def place(self, *in_counts: int) -> list[int]:
        """Schedule parts of 50 counts this far ahead, and clear of the boot; return the counts of their edges."""
        now = self.counts() + 900
        for ahead in in_counts:
            self.parts += 1
            at = self.PARTS + self.parts % 256 * 24
            struct.pack_into("<Qqq", self.map, at, self.parts, now + ahead, now + ahead + 50)
        struct.pack_into("<I", self.map, self.SCHEDULED, self.parts)
        return [now + ahead for ahead in in_counts]

    def camera(self) -> tuple[int, int, int]:
        """line1, line1_counts, line1_ns of camera 0."""
        line, _, counts, ns = struct.unpack_from("<IIqQ", self.map, self.CAMERA)
        return line, counts, ns

    def gate(self) -> list[tuple[int, int, int]]:
        """Every gate move so far as ns, counts, lane."""
        moves = struct.unpack_from("<I", self.map, self.MOVES)[0]
        return [struct.unpack_from("<QqI", self.map, self.LOG + n % 1024 * 24) for n in range(moves)]

    def close(self) -> None:
        self.map.close()
        self.file.close()


class Station:
    """Plant, firmware process and host link in one place."""

    def __init__(self, folder: Path) -> None:
        self.plant = Plant(folder / "plant")
        self.path = folder / "mcu"
        self.program = build_host(BUILD)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sessions = itertools.count(random.Random(3).getrandbits(30))
        self.got: list = []
        self.start()
        self.board = PtyBoard(self.path)
        self.link = self.new_link()

    def start(self) -> None:
        before = self.path.readlink() if self.path.is_symlink() else None
        self.processes.append(subprocess.Popen([self.program, "--plant", self.plant.path, "--link", self.path]))
        self.until(lambda: self.path.is_symlink() and (self.path.readlink() != before or self.path.exists()))

    @property
    def mcu(self) -> subprocess.Popen[bytes]:
        return self.processes[-1]

    def new_link(self) -> Link:
        return Link(lambda: next(self.sessions), HostNs(time.monotonic_ns()))

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for something that the world does by itself, at most 8 s."""
        give_up = time.monotonic() + 8
        while not done():
            assert time.monotonic() < give_up
            select.select([], [], [], 0.002)

    def talk(self, done: Callable[[], bool], *, accept: bool = False) -> None:
        """Serve the link until `done`, at most 8 s; with `accept` every part is accepted."""
        give_up = time.monotonic() + 8
        while not done():
            assert time.monotonic() < give_up, self.got[-5:]
            now = HostNs(time.monotonic_ns())
            self.board.write(self.link.outgoing(now))
            wake = self.link.wake_at or now
            select.select([self.board], [], [], max(0, min(wake - now, 20 * MS)) / S)
            for message in self.link.feed(self.board.read(), HostNs(time.monotonic_ns())):
                self.got.append(message)
                if accept and isinstance(message, PartEvent):
                    self.link.send(Decision(message.part, 1, message.part), HostNs(time.monotonic_ns()))

    def all(self, kind: type) -> list:
        return [m for m in self.got if isinstance(m, kind)]

    def arm(self) -> None:
        self.got.clear()
        self.talk(lambda: bool(self.all(HelloAck)))
        self.link.send(STATION, HostNs(time.monotonic_ns()))
        self.link.send(Arm(), HostNs(time.monotonic_ns()))
        self.talk(lambda: any(m.state == State.ARMED for m in self.all(StateChanged)))

    def close(self) -> None:
        self.board.close()
        for process in self.processes:
            process.kill()
            process.wait()
        self.plant.close()


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    station = Station(tmp_path)
    yield station
    station.close()


def test_wires_carry_the_true_counts(station: Station) -> None:
    """Camera line and gate log hold the exact count of each edge, and the instant the belt was there."""
    station.arm()
    (at,) = station.plant.place(400)
    station.talk(lambda: len(station.plant.gate()) == 3, accept=True)
    line, counts, ns = station.plant.camera()
    epoch = station.plant.epoch

    assert (1, at + 700, epoch + (at + 700) * 100_000) == (line, counts, ns)
    expected = [(at + GATE - 400, Lane.ACCEPT), (at + GATE + 400, Lane.REJECT)]
    assert expected == [(c, lane) for _, c, lane in station.plant.gate()[1:]]
    assert [epoch + c * 100_000 for c, _ in expected] == [t for t, _, _ in station.plant.gate()[1:]]


def test_edges_missed_while_the_process_stood_still_are_replayed(station: Station) -> None:
    """Several edges between two looks at the clock keep their order and their counts; nothing is let through."""
    station.arm()
    at = station.plant.place(500, 1400, 2300)
    station.mcu.send_signal(signal.SIGSTOP)
    station.until(lambda: station.plant.counts() > at[-1] + 800)
    station.mcu.send_signal(signal.SIGCONT)
    station.talk(lambda: len(station.all(GateEvent)) == 3)

    assert at == [m.counts for m in station.all(PartEvent)]
    assert [c + GATE for c in at] == [m.counts for m in station.all(GateEvent)]
    assert {Lane.REJECT} == {m.lane for m in station.all(GateEvent)}


def test_a_killed_host_rejects_what_is_in_flight(station: Station) -> None:
    """The process survives its host; the next host reads the missed events and cannot decide old parts."""
    station.arm()
    station.plant.place(300, 1300)
    station.talk(lambda: len(station.all(PartEvent)) == 1, accept=True)
    station.board.close()
    station.board = PtyBoard(station.path)
    station.link = station.new_link()
    station.arm()
    station.talk(lambda: len(station.all(GateEvent)) == 2)

    assert [GateCause.OLD_SESSION] == [g.cause for g in station.all(GateEvent) if g.part == 1]
    assert [1, 2] == [p.part for p in station.all(PartEvent)]
    assert [] == station.plant.gate()[1:]


def test_a_host_that_does_not_read_stops_nothing(station: Station) -> None:
    """A full pty drops and counts; parts go on being rejected, and a stopped host cannot leave the gate open."""
    station.arm()
    key = station.link.session ^ station.all(HelloAck)[-1].boot
    request = messages.PACK[ClockRequest](ClockRequest(1))
    flood = framing.encode(Frame(1, messages.IDS[ClockRequest], 0, 0, 0, key, request)) * 200
    for _ in range(4):
        station.board.write(flood)
        select.select([], [station.board], [], 1)
    (at,) = station.plant.place(300)
    station.until(lambda: station.plant.counts() > at + GATE + 500)
    station.link = station.new_link()
    station.got.clear()
    station.talk(lambda: bool(station.all(Stats)) and bool(station.all(GateEvent)))

    assert [at] == [m.counts for m in station.all(PartEvent)]
    assert [Lane.REJECT] == [m.lane for m in station.all(GateEvent)]
    assert station.all(Stats)[-1].dropped_frames > 0
    assert 1 == len(station.plant.gate())


def test_a_killed_mcu_springs_to_reject_and_comes_back_as_another_boot(station: Station) -> None:
    """Kill with the gate in the accept lane: the spring takes it back; the host sees the line vanish and re-plugs."""
    station.arm()
    station.plant.place(300)
    station.talk(lambda: station.plant.gate()[-1][2] == Lane.ACCEPT, accept=True)
    station.mcu.kill()
    station.mcu.wait()
    station.until(lambda: station.plant.gate()[-1][2] == Lane.REJECT)
    with pytest.raises(LinkError, match="far end vanished"):
        station.talk(lambda: False)
    first = station.all(HelloAck)[-1].boot
    station.start()
    station.until(station.board.reopen)
    station.arm()

    assert first != station.all(HelloAck)[-1].boot
    assert 2 == station.link.sessions


def test_garbage_is_counted_and_forgotten(station: Station) -> None:
    """Noise on the line, with and without delimiters, neither opens the gate nor keeps a good host out."""
    station.arm()
    for noise in (random.Random(5).randbytes(60_000), b"\x55" * 60_000):
        for at in range(0, len(noise), 2000):
            station.board.write(noise[at : at + 2000])
            station.talk(lambda: not station.board._unwritten)
    station.plant.place(400)
    station.got.clear()
    station.talk(lambda: bool(station.all(GateEvent)) and bool(station.all(Stats)), accept=True)

    assert [GateCause.ACCEPTED] == [g.cause for g in station.all(GateEvent)]
    assert station.all(Stats)[-1].crc_errors > 100


def test_one_host_at_a_time(station: Station) -> None:
    """A second process cannot open the line, and is told why."""
    with pytest.raises(LinkError, match="held by another process"):
        PtyBoard(station.path)


def test_a_missing_line_is_named(tmp_path: Path) -> None:
    """The error names the path and the remedy."""
    with pytest.raises(LinkError, match=r"mcu .*/absent: cannot open.*plug it in"):
        PtyBoard(tmp_path / "absent")


def test_an_orderly_stop_leaves_no_link(station: Station) -> None:
    """SIGTERM takes the name away and exits cleanly."""
    station.mcu.send_signal(signal.SIGTERM)

    assert station.mcu.wait(5) == 0
    assert not station.path.is_symlink()


def test_a_foreign_file_is_no_plant(tmp_path: Path) -> None:
    """The process refuses a plant of another layout with one line."""
    (tmp_path / "plant").write_bytes(bytes(40_000))
    done = subprocess.run(
        [build_host(BUILD), "--plant", tmp_path / "plant", "--link", tmp_path / "mcu"], capture_output=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr.startswith(b"fs-mcu: cannot use plant")


def test_exposures_are_numbered_without_gap(station: Station) -> None:
    """trigger_index counts the edges of the wire, so that camera frames can be paired."""
    station.arm()
    station.plant.place(300, 1300, 2300)
    station.talk(lambda: len(station.all(ExposedEvent)) == 3)

    assert [1, 2, 3] == [e.trigger_index for e in station.all(ExposedEvent)]
    assert 3 == station.plant.camera()[0]
