"""The Cortex-M3 board by its own clock, on a pty: interrupts, sleep, watchdog, what a reset keeps, and the image."""

from __future__ import annotations

import random
import select
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import build_all
from appliance.build_c import CompileError
from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from firmware_bridge import build
from firmware_bridge.board import PtyBoard
from firmware_bridge.messages import (
    Arm,
    Decision,
    Disarm,
    ExposedEvent,
    Fault,
    GateCause,
    GateEvent,
    PartEvent,
    ReleaseFault,
    ResetReason,
    Restart,
    State,
    StateChanged,
    Stats,
)  # fmt: skip
from tests.contract.board_rigs import GATE, STATION, armed_link, by_hand, configured_link, greeted_link, kinds, talk
from tests.contract.emulator import EmulatedBoard, Emulator, need_emulator


class OwnClock(EmulatedBoard):
    """The wires played in real time; the board keeps its own clock and its serial line is a pty."""

    def __init__(self) -> None:
        super().__init__(5, HostNs(0), own_clock=True)
        self.line = PtyBoard(self.emulator.serial)
        self.epoch = time.monotonic_ns()
        self.set_belt(10_000)

    def wait(self, until: HostNs) -> bytes:
        select.select([self.line], [], [], max(0, min(until - self.clock(), 2 * MS)) / S)
        self.run_until(self.clock())
        return self.line.read()

    def clock(self) -> HostNs:
        return HostNs(time.monotonic_ns() - self.epoch)

    def close(self) -> None:
        self.line.close()
        super().close()


class Rig:
    """The board behind the face of the other rigs."""

    def __init__(self) -> None:
        self.board = OwnClock()
        self.now = self.board.clock
        self.wait = self.board.wait
        self.close = self.board.close

    def write(self, data: bytes) -> None:
        self.board.line.write(data)

    def place_part(self, in_counts: int) -> int:
        self.board.run_until(self.now())
        at = EncoderCounts(self.board.counts + in_counts)
        self.board.place_part(at, EncoderCounts(at + 50))
        return at

    def start_again(self, boot: int) -> None:
        """Start the core on a chip that has been reset meanwhile."""
        self.board.emulator.start(boot)
        self.board.run_until(self.now())


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


def test_a_part_by_its_own_clock(rig: Rig) -> None:
    """With interrupts, sleep and its own timer the board triggers and passes a good part at the counts it should."""
    link = armed_link(rig)
    at = rig.place_part(900)

    def react(message: object) -> None:
        if isinstance(message, PartEvent):
            link.send(Decision(message.part, 1, 7), rig.now())

    got = talk(rig, link, lambda got: bool(kinds(got, GateEvent)), react)

    assert [(1, at + 700)] == [(m.part, m.counts) for m in kinds(got, ExposedEvent)]
    assert [(1, GateCause.ACCEPTED, 7, at + GATE)] == [
        (m.part, m.cause, m.verdict_seq, m.counts) for m in kinds(got, GateEvent)
    ]


def test_two_hundred_recoveries_by_interrupt(rig: Rig) -> None:
    """Bytes that come when they like: after each damage the next good frame is understood."""
    link = configured_link(rig)
    noise, answered = random.Random(12), 0
    for _ in range(200):
        whole = by_hand(link, Disarm())
        at = noise.randrange(1, len(whole) - 1)
        rig.write(whole[:at] + bytes([whole[at] ^ 1 << noise.randrange(8)]) + whole[at + 1 :])
        rig.write(whole)
        answered += bool(kinds(talk(rig, link, lambda got: bool(kinds(got, StateChanged))), StateChanged))

    assert 200 == answered


def test_the_clock_does_not_lose_ticks(rig: Rig) -> None:
    """The free-running counter agrees with the host's clock, however busy the lines are."""
    link = configured_link(rig)
    asked, first_us, told = time.monotonic_ns(), rig.board.emulator.clock_us(), time.monotonic_ns()
    while time.monotonic_ns() - told < 1 * S:
        rig.write(bytes(500))
        talk(rig, link, lambda got: bool(kinds(got, Stats)))
    asked_again, last_us, told_again = time.monotonic_ns(), rig.board.emulator.clock_us(), time.monotonic_ns()
    least_us, most_us = (asked_again - told) / 1000, (told_again - asked) / 1000

    assert 0.98 * least_us < last_us - first_us < 1.02 * most_us


def test_a_program_that_hangs_is_reset_and_says_so(rig: Rig) -> None:
    """The watchdog resets the chip; the fault it was is latched until a host releases it."""
    armed_link(rig)
    rig.board.emulator.hang()
    rig.start_again(6)
    link, hello = greeted_link(rig, 900)
    link.send(STATION, rig.now())
    link.send(Arm(), rig.now())
    got = talk(rig, link, lambda got: bool(kinds(got, StateChanged)) and bool(kinds(got, Stats)))
    link.send(ReleaseFault(), rig.now())
    talk(rig, link, lambda got: any(m.state == State.CONFIGURED for m in kinds(got, StateChanged)))

    assert (6, State.FAULT, Fault.WATCHDOG) == (hello.boot, hello.state, hello.fault)
    assert State.FAULT == kinds(got, StateChanged)[-1].state
    assert ResetReason.WATCHDOG == kinds(got, Stats)[-1].reset


def test_a_latched_fault_outlives_a_reset(rig: Rig) -> None:
    """Whoever pulls the reset pin has not repaired anything."""
    emulator = rig.board.emulator
    emulator.core_fault(None, Fault.STACK, 77)
    emulator.reset(ResetReason.PIN)
    rig.start_again(7)
    link, hello = greeted_link(rig)
    got = talk(rig, link, lambda got: bool(kinds(got, Stats)))

    assert (State.FAULT, Fault.STACK) == (hello.state, hello.fault)
    assert (77, ResetReason.PIN) == (kinds(got, Stats)[-1].fault_detail, kinds(got, Stats)[-1].reset)


def test_a_restart_is_a_reset_of_the_chip(rig: Rig) -> None:
    """What the host asks for is done by the chip itself, and the configuration is gone."""
    link = configured_link(rig)
    link.send(Restart(), rig.now())
    rig.write(link.outgoing(rig.now()))
    rig.board.emulator.await_start()
    rig.start_again(8)
    link, hello = greeted_link(rig, 900)
    got = talk(rig, link, lambda got: bool(kinds(got, Stats)))

    assert (State.UNCONFIGURED, 0) == (hello.state, hello.config_crc)
    assert ResetReason.HOST_REQUEST == kinds(got, Stats)[-1].reset


def test_a_line_that_is_opened_anew(rig: Rig) -> None:
    """A host that closes its end and opens it again finds the same board."""
    armed_link(rig)
    rig.board.line.close()
    rig.board.line = PtyBoard(rig.board.emulator.serial)
    link, hello = greeted_link(rig, 900)

    assert (5, State.CONFIGURED) == (hello.boot, hello.state)
    assert link.connected


def test_a_second_board_is_another_one() -> None:
    """Cut the power and start again: nothing is left, and nothing is held."""
    first = Emulator()
    first.close()
    second = Rig()
    try:
        _, hello = greeted_link(second)
    finally:
        second.close()

    assert first.process.returncode == -9
    assert (State.UNCONFIGURED, Fault.NONE) == (hello.state, hello.fault)


def test_the_image_is_what_the_chip_needs() -> None:
    """The vector table lies at 0: a stack in memory, an odd (Thumb) reset address inside the code."""
    image = need_emulator().read_bytes()
    entry, headers = struct.unpack_from("<II", image, 24)
    count = struct.unpack_from("<H", image, 44)[0]
    segments = [struct.unpack_from("<8I", image, headers + 32 * n) for n in range(count)]
    at = next(segment for segment in segments if segment[0] == 1)  # the first that is loaded
    stack, reset = struct.unpack_from("<II", image, at[1])

    assert 0 == at[3]
    assert reset == entry
    assert reset & 1 == 1
    assert at[3] < reset < at[3] + at[4] < 128 * 1024
    assert 0x20000000 < stack <= 0x20010000


def test_without_its_compiler_the_rest_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image is for those who have the compiler; without it the gate of the host's own boards stays green."""
    monkeypatch.setattr(build.shutil, "which", lambda _: None)
    with pytest.raises(CompileError, match=r"arm-none-eabi-gcc is absent; install gcc-arm-none-eabi"):
        build.build_cortex_m3(tmp_path)

    assert () == build_all.optional(tmp_path)
    assert "arm-none-eabi-gcc is absent" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tool", ["qemu-system-arm", "arm-none-eabi-gcc"])
def test_absent_tools_are_named(monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    """Whoever has no emulator or no compiler sees what was left out, and how to get it."""
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")

    with pytest.raises(pytest.skip.Exception, match=f"{tool} is absent; install"):
        need_emulator()
