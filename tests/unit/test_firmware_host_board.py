"""The firmware as a process: its wires to the gate's sensor and the encoder, its kept memory, and its reset."""

from __future__ import annotations

import itertools
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.schema.clocks import MS, HostNs, S
from appliance.sim.plant import MONO8, Plant
from appliance.sim.plant_layout import SENSOR_LOW
from firmware_bridge.board import PtyBoard
from firmware_bridge.build import build_host
from firmware_bridge.configuration import configuration
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Decision,
    EncoderFault,
    Fault,
    FaultEvent,
    GateCause,
    GateEvent,
    HelloAck,
    Message,
    PartEvent,
    ResetReason,
    Restart,
    State,
    StateChanged,
    Stats,
)  # fmt: skip

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
SPEED, GATE, GATE_SENSOR = 20_000, 5000, 4300
STATION = configuration(
    gate_counts=GATE,
    lead_counts=400,
    camera_counts=(700, -1),
    min_gap_counts=600,
    gate_hold_counts=600,
    heartbeat_timeout_ms=400,  # a busy test machine, not the 150 ms of a line
    gate_sensor_counts=GATE_SENSOR,
    gate_window_counts=200,
    encoder_max_hz=4 * SPEED,
)


class Bench:
    """One plant with a running belt, the firmware on it, and a host that accepts every part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plant = Plant.create(folder / "plant", {0: (16, 16, MONO8)})
        self.plant.place_gate_sensor(GATE_SENSOR)
        self.plant.run_belt(SPEED, self.now)
        self.sessions = itertools.count(7)
        self.parts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.board: PtyBoard | None = None

    @property
    def now(self) -> HostNs:
        return HostNs(time.monotonic_ns())

    def start(self, *options: str) -> Bench:
        """Start the firmware, instead of one that runs, and open its line."""
        self.stop()
        link = self.folder / "mcu"
        link.unlink(missing_ok=True)
        command = [
            build_host(BUILD),
            "--plant",
            self.plant.path,
            "--link",
            link,
            "--kept",
            self.folder / "kept",
            *options,
        ]
        self.process = subprocess.Popen(command)
        give_up = time.monotonic() + 8
        while not link.exists():
            assert time.monotonic() < give_up
            select.select([], [], [], 0.002)
        self.board = PtyBoard(link)
        self.link = Link(lambda: next(self.sessions), self.now)
        self.got: list = []
        return self

    def stop(self) -> None:
        if self.board is not None and self.process is not None:
            self.board.close()
            self.process.kill()
            self.process.wait()

    def until(self, done: Callable[[], bool]) -> Bench:
        """Serve the link until then, at most 8 s."""
        assert self.board is not None
        give_up = time.monotonic() + 8
        while not done():
            assert time.monotonic() < give_up, self.got[-4:]
            self.board.write(self.link.outgoing(self.now))
            wake = self.link.wake_at or self.now
            select.select([self.board], [], [], max(0, min(wake - self.now, 20 * MS)) / S)
            for message in self.link.feed(self.board.read(), self.now):
                self.got.append(message)
                if isinstance(message, PartEvent):
                    self.link.send(Decision(message.part, 1, 1), self.now)
        return self

    def arm(self) -> Bench:
        self.until(lambda: bool(self.all(HelloAck)))
        self.say(STATION, Arm())
        return self.until(lambda: any(change.state == State.ARMED for change in self.all(StateChanged)))

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.link.send(message, self.now)

    def lay(self, *, taken: bool = False) -> None:
        """Put a part before the part sensor."""
        self.parts += 1
        at = self.plant.counts(self.now) + 2000
        if taken:
            self.plant.take(self.parts)
        self.plant.schedule_part(self.parts, at, at + 300)

    def all(self, kind: type) -> list:
        return [message for message in self.got if isinstance(message, kind)]

    def faulted(self) -> tuple[Fault, int]:
        self.until(lambda: bool(self.all(FaultEvent)))
        event = self.all(FaultEvent)[-1]
        return event.fault, event.detail


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.stop()
    bench.plant.close()


def test_parts_that_come_to_the_gate_keep_sync(bench: Bench) -> None:
    """The gate's sensor of the plant sees each part where the core expects it, and passes it."""
    bench.start().arm()
    bench.lay()
    bench.until(lambda: bool(bench.all(GateEvent)) and bool(bench.all(Stats)))
    bench.got = [event for event in bench.got if not isinstance(event, Stats)]
    bench.until(lambda: bool(bench.all(Stats)))

    assert [GateCause.ACCEPTED] == [event.cause for event in bench.all(GateEvent)]
    assert (1, 0, 0) == (
        bench.all(Stats)[-1].gate_edges, bench.all(Stats)[-1].missing_parts, bench.all(Stats)[-1].extra_parts
    )  # fmt: skip


@pytest.mark.parametrize(
    ("happens", "fault"),
    [
        (lambda bench: bench.lay(taken=True), (Fault.SYNC_LOST, 1)),
        (
            lambda bench: bench.plant.place_extra(
                bench.plant.counts(bench.now) + 6000, bench.plant.counts(bench.now) + 6300
            ),
            (Fault.SYNC_LOST, 0),
        ),
        (lambda bench: bench.plant.slip(4000), (Fault.ENCODER, EncoderFault.TOO_FAST)),
        (lambda bench: bench.plant.spoil_encoder(), (Fault.ENCODER, EncoderFault.TRANSITIONS)),
        (lambda bench: (bench.plant.stick("gate", SENSOR_LOW), bench.lay()), (Fault.SYNC_LOST, 1)),
    ],
    ids=["taken", "extra", "slip", "transition", "stuck"],
)
def test_what_goes_wrong_on_the_belt_is_found(bench: Bench, happens: Callable[[Bench], None], fault: tuple) -> None:
    """Each disturbance of the plant reaches the core through its wires as what it is."""
    bench.start().arm()
    if fault[0] is Fault.SYNC_LOST:
        passed = bench.plant.counts(bench.now) + GATE
        bench.until(lambda: bench.plant.counts(bench.now) > passed)  # what came before the boot is past
    happens(bench)

    assert fault == bench.faulted()


def test_memory_outlives_the_process(bench: Bench) -> None:
    """A latched fault is there again after a reset, and a reset by the watchdog is one."""
    bench.start().arm()
    bench.plant.spoil_encoder()
    bench.faulted()
    found = []
    for options in ((), ("--reset", "watchdog")):
        bench.start(*options).until(lambda: bool(bench.all(HelloAck)))
        found.append((bench.all(HelloAck)[0].state, bench.all(HelloAck)[0].fault))
    (bench.folder / "kept").unlink()
    bench.start("--reset", "watchdog").until(lambda: bool(bench.all(HelloAck)))
    found.append((bench.all(HelloAck)[0].state, bench.all(HelloAck)[0].fault))

    assert [(State.FAULT, Fault.ENCODER)] * 2 + [(State.FAULT, Fault.WATCHDOG)] == found


def test_a_restart_is_a_reset_on_the_open_line(bench: Bench) -> None:
    """The process goes on with the same line as another boot, and says who asked for it."""
    bench.start().arm()
    first = bench.all(HelloAck)[0].boot
    bench.start().until(lambda: bool(bench.all(HelloAck)))
    bench.say(STATION, Restart())
    bench.until(lambda: len(bench.all(HelloAck)) == 2)
    bench.until(lambda: bool(bench.all(Stats)) and bench.all(Stats)[-1].reset == ResetReason.HOST_REQUEST)

    assert 3 == len({first, *(hello.boot for hello in bench.all(HelloAck))})
    assert (State.UNCONFIGURED, 0) == (bench.all(Stats)[-1].state, bench.all(Stats)[-1].config_crc)
