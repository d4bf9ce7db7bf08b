"""The Cortex-M3 image in QEMU, its wires played by this process."""

from __future__ import annotations

import ctypes
import re
import shutil
import socket
import struct
import subprocess
from pathlib import Path

import pytest

from appliance.schema.clocks import HostNs
from firmware_bridge.board import CoreBoard, Inputs, Outputs
from firmware_bridge.build import build_core, build_cortex_m3
from firmware_bridge.messages import ResetReason

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
EMULATOR = "qemu-system-arm"
PATIENCE_S = 20
CHUNK = 8192
"""Bytes of the serial line that the board takes or gives at a time."""


def need_emulator() -> Path:
    """Give the image; skip the test where a tool of it is absent."""
    for tool, package in ((EMULATOR, "qemu-system-arm"), ("arm-none-eabi-gcc", "gcc-arm-none-eabi")):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is absent; install {package} to run the Cortex-M3 board")
    return build_cortex_m3(BUILD)


class Answer(ctypes.Structure):
    """struct answer of the board's main.c."""

    _fields_ = (("due", ctypes.c_int64), ("outputs", Outputs), ("due_found", ctypes.c_uint8))


class Emulator:
    """One running board, answering as the loaded library of `firmware_bridge.board` does.

    own_clock: let it run by its own clock, its serial line on the pty `serial`; else on request, at the ticks given
    """

    def __init__(self, *, own_clock: bool = False) -> None:
        image = need_emulator()
        self._own_clock = own_clock
        self._wires, wires = socket.socketpair()
        self._line, line = socket.socketpair()
        serial = "pty,id=serial" if own_clock else f"socket,id=serial,fd={line.fileno()}"
        self.process = subprocess.Popen(
            [
                *(EMULATOR, "-M", "mps2-an385", "-display", "none", "-monitor", "none", "-nic", "none"),
                *("-kernel", image, "-chardev", serial, "-chardev", f"socket,id=wires,fd={wires.fileno()}"),
                *("-serial", "chardev:serial", "-serial", "chardev:wires"),
            ],
            pass_fds=[line.fileno(), wires.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for end in (line, wires):
            end.close()
        for end in (self._line, self._wires):
            end.settimeout(PATIENCE_S)
        self.serial = self._pty() if own_clock else None
        self._running = False
        self.await_start()

    def core_size(self) -> int:
        """Give the size of the state that is kept here: none."""
        return 8

    def core_start(self, _: object, boot: int, reason: int, __: object) -> None:
        """Start the core; after the first time behind a reset of the chip. What is kept is kept by the chip."""
        if self._running:
            self.reset(reason)
        self.start(boot)

    def reset(self, reason: int) -> None:
        """Reset the chip, for this reason; it waits for its start."""
        self._wires.sendall(b"x" + struct.pack("<B", reason))
        self.await_start()

    def start(self, boot: int) -> None:
        """Start the core on a chip that was reset."""
        self._running = True
        self._inputs, self._answer = bytes(ctypes.sizeof(Inputs)), bytes(ctypes.sizeof(Answer))
        self._wires.sendall(b"i" + struct.pack("<IB", boot, self._own_clock))

    def core_fault(self, _: object, fault: int, detail: int) -> None:
        """Report what only a board sees."""
        self._wires.sendall(b"f" + struct.pack("<Bq", fault, detail))

    def hang(self) -> None:
        """Let the program stand still; return when the watchdog has reset the chip."""
        self._wires.sendall(b"h")
        self.await_start()

    def core_rx(self, _: object, data: bytes, size: int) -> None:
        """Hand bytes over on the serial line; the board takes them before the next step."""
        for at in range(0, size, CHUNK):
            chunk = data[at : min(at + CHUNK, size)]
            self._line.sendall(chunk)
            self._wires.sendall(b"r" + struct.pack("<H", len(chunk)))

    def core_step(self, _: object, inputs: Inputs, outputs: Outputs) -> None:
        """Step, and keep the count of the next step."""
        now = bytes(inputs)
        self._wires.sendall(b"s" + changes(self._inputs, now))
        self._inputs = now
        mask = int.from_bytes(self._take(self._wires, (len(self._answer) + 7) // 8), "little")
        changed = [at for at in range(len(self._answer)) if mask >> at & 1]
        answer = bytearray(self._answer)
        for at, value in zip(changed, self._take(self._wires, len(changed)), strict=True):
            answer[at] = value
        self._answer = bytes(answer)
        ctypes.pointer(outputs)[0] = Answer.from_buffer(answer).outputs

    def core_tx(self, _: object, buffer: ctypes.Array[ctypes.c_char], cap: int) -> int:
        """Take the bytes for the host from the serial line."""
        self._wires.sendall(b"t")
        size = struct.unpack("<H", self._take(self._wires, 2))[0]
        assert size <= cap
        buffer[:size] = self._take(self._line, size)
        return int(size)

    def core_next_due(self, _: object, counts: ctypes.c_int64) -> int:
        """Give what the last step said."""
        answer = Answer.from_buffer_copy(self._answer)
        counts.value = answer.due
        return int(answer.due_found)

    def clock_us(self) -> int:
        """Give the hardware's clock."""
        self._wires.sendall(b"c")
        return int(struct.unpack("<Q", self._take(self._wires, 8))[0])

    def close(self) -> None:
        """End it, as if its power were cut."""
        self.process.kill()
        self.process.wait()
        for end in (self._line, self._wires, self.process.stdout):
            end.close()

    def _pty(self) -> Path:
        for line in self.process.stdout:
            found = re.search(r"redirected to (\S+)", line)
            if found:
                return Path(found[1])
        raise AssertionError(f"{EMULATOR} ended with {self.process.wait()}")

    def await_start(self) -> None:
        """Wait until the chip has come out of its reset."""
        sizes = self._take(self._wires, 3)

        assert (b"R"[0], ctypes.sizeof(Inputs), ctypes.sizeof(Answer)) == tuple(sizes)

    def _take(self, line: socket.socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            new = line.recv(size - len(data))
            assert new, f"{EMULATOR} ended with {self.process.poll()}"
            data += new
        return data


def changes(before: bytes, now: bytes) -> bytes:
    """Return a bit for each byte that changed, then those bytes."""
    mask = sum((a != b) << at for at, (a, b) in enumerate(zip(before, now, strict=True)))
    return mask.to_bytes((len(now) + 7) // 8, "little") + bytes(b for a, b in zip(before, now, strict=True) if a != b)


class EmulatedBoard(CoreBoard):
    """The virtual world of `CoreBoard` round a core that runs as Thumb code."""

    def __init__(
        self, boot: int, now: HostNs, tick_offset: int = 0, ppm: float = 0.0, *, own_clock: bool = False
    ) -> None:
        self.emulator = Emulator(own_clock=own_clock)
        super().__init__(build_core(BUILD), boot, now, tick_offset, ppm)
        self._core = self.emulator
        self._start(boot, ResetReason.POWER_ON)

    def close(self) -> None:
        """End the emulator."""
        self.emulator.close()
