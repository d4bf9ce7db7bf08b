"""Two ways to reach a core: over a serial line or pty, and in this process on a virtual clock."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import heapq
import os
import termios
import zlib
from pathlib import Path
from typing import NamedTuple

from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.errors import LinkError
from firmware_bridge.messages import Lane, ResetReason

READ_BYTES = 65536
UNWRITTEN_LIMIT = 16384
"""Bytes that may wait for a slow far end, a quarter of a second at 1 Mbaud; more means that it does not read."""


class PtyBoard:
    """The MCU's serial line or pty, open for this process alone.

    path: device, or a link to it; a missing or busy device is a LinkError
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1
        self._unwritten = b""
        self._open()

    def fileno(self) -> int:
        """Return the descriptor to wait on. Raises LinkError when closed."""
        if self._fd < 0:
            raise LinkError(f"mcu {self.path}: not open; call reopen")
        return self._fd

    def read(self) -> bytes:
        """Return the bytes that wait, perhaps none. Never blocks.

        Raises LinkError, closed, when the far end vanished.
        """
        self._flush()
        try:
            data = os.read(self.fileno(), READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._vanished(error) from error
        if not data:
            raise self._vanished(OSError(errno.EIO, "hung up"))
        return data

    def write(self, data: bytes) -> None:
        """Send bytes. Never blocks: what finds no room waits for the next call.

        Raises LinkError, closed, when the far end vanished or reads nothing.
        """
        self._unwritten += data
        self._flush()
        if len(self._unwritten) > UNWRITTEN_LIMIT:
            waiting = len(self._unwritten)
            self.close()
            raise LinkError(f"mcu {self.path}: {waiting} bytes unread exceed {UNWRITTEN_LIMIT}; reset the mcu")

    def reopen(self) -> bool:
        """Open the path anew, as after a re-plug; False while it is still absent or busy."""
        self.close()
        try:
            self._open()
        except LinkError:
            return False
        return True

    def close(self) -> None:
        """Give the line back; harmless when closed."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._unwritten = -1, b""

    def _open(self) -> None:
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise LinkError(f"mcu {self.path}: cannot open, {error.strerror}; plug it in or fix the path") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _make_raw(fd)
        except BlockingIOError as error:
            os.close(fd)
            raise LinkError(f"mcu {self.path}: held by another process; stop that one first") from error
        except (OSError, termios.error) as error:
            os.close(fd)
            raise LinkError(f"mcu {self.path}: not a serial line, {error}; correct the path") from error
        self._fd = fd

    def _flush(self) -> None:
        while self._unwritten:
            try:
                sent = os.write(self.fileno(), self._unwritten)
            except BlockingIOError:
                return
            except OSError as error:
                raise self._vanished(error) from error
            self._unwritten = self._unwritten[sent:]

    def _vanished(self, error: OSError) -> LinkError:
        self.close()
        return LinkError(f"mcu {self.path}: far end vanished, {error.strerror}; waiting for it to come back")


def _make_raw(fd: int) -> None:
    """Set 1 Mbaud 8N1 raw, drop stale bytes, and leave DTR alone at close, since on many boards it resets the MCU."""
    _, _, cflag, _, _, _, chars = termios.tcgetattr(fd)
    cflag &= ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.HUPCL | termios.CRTSCTS)
    cflag |= termios.CS8 | termios.CREAD | termios.CLOCAL
    termios.tcsetattr(fd, termios.TCSANOW, [0, 0, cflag, 0, termios.B1000000, termios.B1000000, chars])
    termios.tcflush(fd, termios.TCIOFLUSH)


# ---- the core in this process ----------------------------------------------------------------------------------------


class GateMove(NamedTuple):
    """The gate went to `lane`."""

    at: HostNs
    counts: EncoderCounts
    lane: Lane


class CameraEdge(NamedTuple):
    """Camera line `camera` rose."""

    camera: int
    at: HostNs
    counts: EncoderCounts


class Inputs(ctypes.Structure):
    """struct core_inputs of firmware/core/core.h."""

    _fields_ = (
        ("tick", ctypes.c_uint64),
        ("counts", ctypes.c_int64),
        ("encoder_errors", ctypes.c_uint32),
        ("part_sensor", ctypes.c_uint8),
        ("gate_sensor", ctypes.c_uint8),
    )


class Outputs(ctypes.Structure):
    """struct core_outputs of firmware/core/core.h."""

    _fields_ = (
        ("strobe_us", ctypes.c_uint16 * 2),
        ("lane", ctypes.c_uint8),
        ("camera_line", ctypes.c_uint8 * 2),
        ("run_permit", ctypes.c_uint8),
        ("restart", ctypes.c_uint8),
    )


class Retained(ctypes.Structure):
    """struct core_retained of firmware/core/core.h: what a reset does not clear."""

    _fields_ = (
        ("magic", ctypes.c_uint32),
        ("fault", ctypes.c_uint32),
        ("detail", ctypes.c_int64),
        ("count", ctypes.c_uint32),
        ("crc", ctypes.c_uint32),
    )


MAX_STEP_NS = 10_000_000
"""Time rules of the core (host lost, statistics) are looked at this often while no count is due."""


class CoreBoard:
    """The C core with a virtual clock, belt, part sensor and wires; deterministic, many in one process.

    Like a board with capture and compare hardware it steps the core at the exact count of each edge and each due
    action. `gate_moves` and `camera_edges` grow; their owner may clear them.

    library: from `build_core`
    boot: u32, random number of the first boot
    tick_offset: MCU clock at host instant 0
    ppm: how much faster than nominal the MCU clock runs
    gate_sensor: where the gate's own sensor stands, counts after the part sensor; None: there is none
    """

    def __init__(
        self,
        library: Path,
        boot: int,
        now: HostNs,
        tick_offset: int = 0,
        ppm: float = 0.0,
        gate_sensor: int | None = None,
    ) -> None:
        self.gate_moves: list[GateMove] = []
        self.camera_edges: list[CameraEdge] = []
        self.now = now
        self.counts = EncoderCounts(0)
        self.outputs = Outputs()
        self.retained = Retained()
        self.slipped = 0
        """How far the encoder is ahead of the belt, counts."""
        self.encoder_errors = 0
        self.gate_sensor_stuck: bool | None = None
        """Level at which the gate's sensor is stuck; None: it works."""
        self._gate_sensor = gate_sensor
        self._core = _load(library)
        self._state = (ctypes.c_uint64 * (self._core.core_size() // 8 + 1))()
        self._inputs = Inputs()
        self._due = ctypes.c_int64()
        self._buffer = ctypes.create_string_buffer(8192)
        self._tick_offset = tick_offset
        self._ppb = round(ppm * 1000)
        self._belt_ns, self._belt_counts, self._counts_per_s = int(now), 0, 0
        self._edges: list[tuple[int, int, int]] = []
        """Counts, change of the level, and which sensor: 0 the part sensor, 1 the gate's."""
        self._under = [0, 0]
        self._start(boot, ResetReason.POWER_ON)

    # ---- the wire, as PtyBoard ----

    def read(self) -> bytes:
        """Return the bytes that the core has for the host."""
        size = self._core.core_tx(self._state, self._buffer, len(self._buffer))
        return self._buffer.raw[:size]

    def write(self, data: bytes) -> None:
        """Hand the host's bytes to the core, at the instant of its last step; the outputs follow at once."""
        if data:
            before = self.outputs.lane
            self._core.core_rx(self._state, data, len(data))
            self._core.core_step(self._state, self._inputs, self.outputs)
            self._note_wires(before)

    # ---- the world ----

    def set_belt(self, counts_per_s: int) -> None:
        """Run the belt at this speed from now on; 0 stops it, negative runs it back."""
        self._belt_ns, self._belt_counts, self._counts_per_s = self.now, self.counts, counts_per_s

    def place_part(self, enter: EncoderCounts, leave: EncoderCounts, *, taken: bool = False) -> None:
        """Let the sensor be high for enter <= counts < leave; both ahead of the belt.

        The gate's own sensor sees the part after its way, unless a hand has `taken` it from the belt.
        """
        self._place(enter, leave, 0)
        if self._gate_sensor is not None and not taken:
            self._place(enter + self._gate_sensor, leave + self._gate_sensor, 1)

    def place_at_gate(self, enter: EncoderCounts, leave: EncoderCounts) -> None:
        """Let the gate's own sensor be high for enter <= counts < leave: a part that never passed the part sensor."""
        self._place(enter, leave, 1)

    def take(self) -> None:
        """Let a hand take from the belt the part that would come to the gate's own sensor next, if there is one."""
        ahead = sorted(edge for edge in self._edges if edge[2] == 1)
        rises = next((n for n, edge in enumerate(ahead) if edge[1] == 1), None)
        if rises is not None:
            falls = next(n for n, edge in enumerate(ahead) if edge[1] == -1 and n > rises)
            gone = {ahead[rises], ahead[falls]}
            self._edges = [edge for edge in sorted(self._edges) if edge not in gone]

    def _place(self, enter: int, leave: int, sensor: int) -> None:
        heapq.heappush(self._edges, (enter, 1, sensor))
        heapq.heappush(self._edges, (leave, -1, sensor))

    def run_until(self, now: HostNs) -> None:
        """Advance to `now`, stepping the core at each edge and due count on the way."""
        while True:
            at = min(now, self.now + MAX_STEP_NS)
            counts = self._counts_at(at)
            due = self._next_due()
            if due is not None and due <= counts:
                counts = max(due, self.counts)
                at = max(self.now, min(at, self._when(counts)))
            while self._edges and self._edges[0][0] <= counts:
                # One edge per step; the level is high while any part is under the sensor.
                _, change, sensor = heapq.heappop(self._edges)
                self._under[sensor] += change
                self._step(HostNs(at), counts)
            self._step(HostNs(at), counts)
            if at >= now and not self._is_due(counts):
                return

    @property
    def due_at(self) -> HostNs:
        """The next instant at which an edge or a count is due, at most MAX_STEP_NS ahead."""
        due, latest = self._next_due(), HostNs(self.now + MAX_STEP_NS)
        if due is None or self._counts_per_s <= 0:
            return latest
        return HostNs(min(latest, max(self.now, self._when(due))))

    def reset(self, boot: int, reason: ResetReason = ResetReason.PIN) -> None:
        """Restart the MCU under the running belt: outputs fall back to their springs, only `retained` stays."""
        if self.outputs.lane != Lane.REJECT:
            self.gate_moves.append(GateMove(self.now, self.counts, Lane.REJECT))
        self.outputs = Outputs()
        self._start(boot, reason)

    def fault(self, fault: int, detail: int) -> None:
        """Report a fault that only a board sees, such as a broken stack canary."""
        self._core.core_fault(self._state, fault, detail)
        self._step(self.now, self.counts)

    def feed(self, signs: int, needed: int) -> bool:
        """Note signs of life and say whether the hardware watchdog is to be fed."""
        self._core.core_alive(self._state, signs)
        return bool(self._core.core_feed(self._state, needed))

    @property
    def tick(self) -> McuTicks:
        """The MCU's clock now."""
        return self._tick_at(self.now)

    def step(self, tick: int, counts: int, *, part_sensor: bool, gate_sensor: bool = False) -> Outputs:
        """Step the bare core, without the virtual world; the answer is overwritten by the next step."""
        inputs = self._inputs
        inputs.tick, inputs.counts, inputs.encoder_errors = tick, counts, self.encoder_errors
        inputs.part_sensor, inputs.gate_sensor = part_sensor, gate_sensor
        self._core.core_step(self._state, inputs, self.outputs)
        return self.outputs

    def _step(self, at: HostNs, counts: int) -> None:
        before = self.outputs.lane
        self.now, self.counts = at, EncoderCounts(counts)
        at_gate = self._under[1] > 0 if self.gate_sensor_stuck is None else self.gate_sensor_stuck
        tick = self._tick_at(at)
        self.step(tick, counts + self.slipped, part_sensor=self._under[0] > 0, gate_sensor=at_gate)
        self._note_wires(before)

    def _start(self, boot: int, reason: ResetReason) -> None:
        self._boot = boot
        self._core.core_start(self._state, boot, reason, self.retained)
        self._step(self.now, self.counts)

    def _note_wires(self, lane_before: int) -> None:
        out = self.outputs
        if out.lane != lane_before:
            self.gate_moves.append(GateMove(self.now, self.counts, Lane(out.lane)))
        for camera, fired in enumerate(out.camera_line):
            if fired:
                self.camera_edges.append(CameraEdge(camera, self.now, self.counts))
        if out.restart:
            self.reset(zlib.crc32(self._boot.to_bytes(4, "little")), ResetReason.HOST_REQUEST)

    def _next_due(self) -> int | None:
        edge = self._edges[0][0] if self._edges else None
        if not self._core.core_next_due(self._state, self._due):
            return edge
        due = self._due.value - self.slipped
        return due if edge is None or due < edge else edge

    def _is_due(self, counts: int) -> bool:
        due = self._next_due()
        return due is not None and due <= counts

    def _counts_at(self, at: int) -> int:
        return self._belt_counts + (at - self._belt_ns) * self._counts_per_s // 1_000_000_000

    def _when(self, counts: int) -> int:
        if self._counts_per_s <= 0:
            return self.now
        return self._belt_ns - (self._belt_counts - counts) * 1_000_000_000 // self._counts_per_s

    def _tick_at(self, at: int) -> McuTicks:
        return McuTicks(self._tick_offset + at * (1_000_000_000 + self._ppb) // 1_000_000_000_000)


def _load(library: Path) -> ctypes.CDLL:
    core = ctypes.CDLL(str(library))
    core.core_size.restype = ctypes.c_size_t
    core.core_tx.restype = ctypes.c_size_t
    pointer = ctypes.c_void_p
    core.core_start.argtypes = (pointer, ctypes.c_uint32, ctypes.c_uint8, ctypes.POINTER(Retained))
    core.core_fault.argtypes = (pointer, ctypes.c_uint8, ctypes.c_int64)
    core.core_alive.argtypes = (pointer, ctypes.c_uint8)
    core.core_feed.argtypes = (pointer, ctypes.c_uint8)
    core.core_rx.argtypes = (pointer, ctypes.c_char_p, ctypes.c_size_t)
    core.core_step.argtypes = (pointer, ctypes.POINTER(Inputs), ctypes.POINTER(Outputs))
    core.core_tx.argtypes = (pointer, ctypes.c_char_p, ctypes.c_size_t)
    core.core_next_due.argtypes = (pointer, ctypes.POINTER(ctypes.c_int64))
    return core
