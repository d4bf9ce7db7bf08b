"""Read frame rings: lend pixels without copying them, and say when they were lost meanwhile."""

import mmap
import os
import threading
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from appliance.bus.ring_layout import (
    HEADER_EPOCH,
    HEADER_GENERATION,
    HEADER_MAGIC,
    HEADER_SLOTS,
    HEADER_STRIDE,
    MAGIC,
    PAGE,
    PIXELS_OFFSET,
    ROW_ACTIVE,
    ROW_ACTIVITY,
    ROW_CELLS,
    ROW_NAME,
    ROW_PID,
    ROW_RELEASED,
    ROW_SEEN,
    ROWS,
    ROWS_BYTES,
    ROWS_OFFSET,
    VERSION,
    decode_name,
    encode_name,
    full_fence,
    lock_row,
    ring_path,
)
from appliance.schema.errors import FrameOverwritten, StoreError
from appliance.schema.frame import FrameReady, SlotRef


class RingReader:
    """Implement `ports.frames.Frames` for one reader over the rings of all cameras; belongs to one thread.

    A ring is mapped by `attach`, so that its writer waits for this reader from the first frame on; each of its frames
    is then to be borrowed or released. Any other ring is mapped when a frame of it is met, which may be gone by then.

    Without a lease no writer ever waits for this reader or knows of it: any frame may be overwritten before or while it
    is read, which `borrow` tells as ever.
    """

    def __init__(self, folder: Path, name: str, *, lease: bool = True) -> None:
        self._folder = folder
        self._name = name if lease else None
        self._rings: dict[str, _Mapping] = {}

    def borrow(self, frame: FrameReady) -> "Loan":
        """Lend the frame's pixels; see `ports.frames.Frames.borrow`. Never blocks."""
        return Loan(self._ring(frame), frame)

    def release(self, frame: FrameReady) -> None:
        """Give a frame back that will not be borrowed; nothing happens when its ring is gone."""
        ring = self._rings.get(frame.camera)
        if ring is None or ring.epoch != frame.ref.epoch:
            try:
                ring = self._ring(frame)
            except FrameOverwritten:
                return
        ring.release(frame.ref)

    def refresh(self, now_ns: int) -> None:
        """Show every writer that this reader lives."""
        for ring in self._rings.values():
            ring.refresh(now_ns)

    def attach(self, camera: str) -> None:
        """Map a camera's ring before its first frame, so that no frame from now on is reclaimed unseen.

        Does nothing when the ring is mapped already. StoreError when the camera has no ring yet, or all its reader rows
        are taken.
        """
        ring = self._rings.get(camera)
        if ring is None or not ring.is_current():
            self._attach(camera, None)

    def close(self) -> None:
        """Give all mappings and rows back; no loan may be open."""
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()

    def _attach(self, camera: str, wanted: SlotRef | None) -> "_Mapping":
        old = self._rings.pop(camera, None)
        if old is not None:
            old.close()
        ring = self._rings[camera] = _Mapping(ring_path(self._folder, camera), self._name, wanted)
        return ring

    def _ring(self, frame: FrameReady) -> "_Mapping":
        ring = self._rings.get(frame.camera)
        if ring is not None and ring.epoch == frame.ref.epoch:
            return ring
        if ring is None or not ring.is_current():
            try:
                ring = self._attach(frame.camera, frame.ref)
            except StoreError as error:
                raise FrameOverwritten(f"frame {frame.frame_id} of {frame.camera}: {error}") from error
        if ring.epoch != frame.ref.epoch:
            raise _overwritten(frame, "its ring was restarted")
        return ring


class Loan:
    """Lend one frame for the length of a `with`; the slot is released on the way out, whatever happened."""

    __slots__ = ("_frame", "_ring")

    def __init__(self, ring: "_Mapping", frame: FrameReady) -> None:
        self._ring = ring
        self._frame = frame

    def __enter__(self) -> NDArray[np.uint8]:
        """Give the pixels; FrameOverwritten when the slot was reclaimed before."""
        frame = self._frame
        if not self._ring.holds(frame.ref):
            raise _overwritten(frame, "its slot was reclaimed before it was read")
        flat = self._ring.slot_pixels[frame.ref.slot]
        channels = frame.pixel_format.channels
        count = frame.rows * frame.columns * channels
        if channels == 1:
            return flat[:count].reshape(frame.rows, frame.columns)
        return flat[:count].reshape(frame.rows, frame.columns, channels)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the slot; FrameOverwritten when it was reclaimed meanwhile, for a body's Exception too."""
        full_fence(self._ring.fence)
        whole = self._ring.holds(self._frame.ref)
        self._ring.release(self._frame.ref)
        if not whole and (error is None or isinstance(error, Exception)):
            raise _overwritten(self._frame, "its slot was reclaimed while it was read") from error


class _Mapping:
    """Map one ring file and own one of its reader rows; without a name no row, and nothing is written."""

    def __init__(self, path: Path, name: str | None, wanted: SlotRef | None) -> None:
        self.path = path
        self.fence = threading.Lock()
        self._row: memoryview | None = None
        try:
            # Locking a byte needs a writable descriptor; the pixels map read-only.
            self._file = os.open(path, os.O_RDONLY if name is None else os.O_RDWR)
        except OSError as error:
            raise StoreError(f"frame ring {path}: {error.strerror}; start the camera's acquire service") from error
        try:
            self._map()
            if name is not None:
                self._claim(name, wanted)
        except BaseException:
            self.close()
            raise

    @property
    def epoch(self) -> int:
        """Epoch of the file that is mapped, as its writer has it now."""
        return int(self._header[HEADER_EPOCH])

    def is_current(self) -> bool:
        """Tell whether the path still names the file that is mapped."""
        try:
            there = self.path.stat()
        except OSError:
            return False
        here = os.fstat(self._file)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def holds(self, ref: SlotRef) -> bool:
        """Tell whether the slot still is what `ref` points to."""
        return bool(self._header[HEADER_GENERATION + ref.slot] == ref.generation)

    def release(self, ref: SlotRef) -> None:
        """Let the slot go; the caller's reads are fenced."""
        if self._row is None:
            return
        cell = ROW_RELEASED + ref.slot
        self._row[cell] = max(self._row[cell], ref.generation)
        self._row[ROW_ACTIVITY] += 1

    def refresh(self, now_ns: int) -> None:
        """Leave a sign of life."""
        if self._row is not None:
            self._row[ROW_SEEN] = now_ns
            self._row[ROW_ACTIVITY] += 1

    def close(self) -> None:
        """Free the row and unmap; pages stay mapped as long as an array on them lives."""
        for view in ("_row", "_rows", "_header"):
            if (held := getattr(self, view, None)) is not None:
                held.release()
        self.slot_pixels: list[NDArray[np.uint8]] = []
        os.close(self._file)

    def _map(self) -> None:
        size = os.fstat(self._file).st_size
        if size < PIXELS_OFFSET:
            raise StoreError(f"frame ring {self.path}: {size} bytes, a header has {PIXELS_OFFSET}; restart acquire")
        whole = mmap.mmap(self._file, size, prot=mmap.PROT_READ)
        self._header = memoryview(whole)[:PAGE].cast("Q")
        magic, slots, stride = (self._header[cell] for cell in (HEADER_MAGIC, HEADER_SLOTS, HEADER_STRIDE))
        if magic != MAGIC | VERSION << 32 or size < PIXELS_OFFSET + slots * stride:
            raise StoreError(f"frame ring {self.path}: magic {magic:#x} is not version {VERSION}; restart acquire")
        self.slot_pixels = [
            np.frombuffer(whole, np.uint8, stride, PIXELS_OFFSET + slot * stride) for slot in range(slots)
        ]

    def _claim(self, name: str, wanted: SlotRef | None) -> None:
        """Take a free row; of the frames published before, none but `wanted` is waited for."""
        rows_map = mmap.mmap(self._file, ROWS_BYTES, prot=mmap.PROT_READ | mmap.PROT_WRITE, offset=ROWS_OFFSET)
        self._rows = memoryview(rows_map).cast("Q")
        row = next((row for row in range(ROWS) if lock_row(self._file, row)), None)
        if row is None:
            rows = [self._rows[row * ROW_CELLS : (row + 1) * ROW_CELLS] for row in range(ROWS)]
            names = ", ".join(f"{decode_name(cells)} (pid {cells[ROW_PID]})" for cells in rows)
            raise StoreError(f"frame ring {self.path.name}: {ROWS} readers, limit is {ROWS}: {names}; stop one")
        cells = self._rows[row * ROW_CELLS : (row + 1) * ROW_CELLS]
        cells[ROW_ACTIVE] = 0
        cells[ROW_PID] = os.getpid()
        for index, value in enumerate(encode_name(name)):
            cells[ROW_NAME + index] = value
        for slot in range(self._header[HEADER_SLOTS]):
            generation = self._header[HEADER_GENERATION + slot]
            is_wanted = wanted is not None and (slot, generation) == (wanted.slot, wanted.generation)
            cells[ROW_RELEASED + slot] = generation - is_wanted
        full_fence(self.fence)
        cells[ROW_ACTIVE] = 1
        self._row = cells


def _overwritten(frame: FrameReady, what: str) -> FrameOverwritten:
    return FrameOverwritten(
        f"frame {frame.frame_id} of camera {frame.camera}: {what}; read frames sooner, or raise lease_ms or slots"
    )
