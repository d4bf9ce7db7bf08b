"""Write a frame ring: own its slots, lend them to readers, take them back.

All methods belong to one thread; only the pixels may be written by others (the GenTL producer's threads).
"""

import ctypes
import mmap
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from appliance.bus.ring_layout import (
    CELL,
    HEADER_EPOCH,
    HEADER_GENERATION,
    HEADER_MAGIC,
    HEADER_PAYLOAD,
    HEADER_PID,
    HEADER_SLOTS,
    HEADER_STRIDE,
    MAGIC,
    MAX_SLOTS,
    PAGE,
    PIXELS_OFFSET,
    ROW_ACTIVE,
    ROW_ACTIVITY,
    ROW_CELLS,
    ROW_PID,
    ROW_RELEASED,
    ROW_SEEN,
    ROWS,
    ROWS_OFFSET,
    VERSION,
    decode_name,
    is_row_locked,
    stride_of,
)
from appliance.schema.clocks import MS, HostNs
from appliance.schema.errors import StoreError
from appliance.schema.frame import SlotRef

LEASE_MS = 2000
"""Default lease: twenty parts at 10 parts/s, far above any inspection, well under a technician's patience."""


class RingCounts(Struct, frozen=True):
    """Account for the slots that were published: published = returned + forced + those still out."""

    published: int = 0
    returned: int = 0
    """Taken back because every living reader had released them."""
    forced: int = 0
    """Taken back because their lease ran out; the late reader gets FrameOverwritten."""


class ReaderState(Struct, frozen=True):
    """Say what a reader of the ring does."""

    name: str
    pid: int
    seen: HostNs
    """Its last `refresh`; 0 when it never did."""
    holds: tuple[int, ...]
    """Slots it has not released."""
    suspended: bool
    """True: it let a lease run out and showed no life since; frames no longer wait for it."""


class RingWriter:
    """Own one ring file; the mapping lives until `close`."""

    def __init__(self, path: Path, slots: int, payload_bytes: int, lease_ms: int) -> None:
        if not 1 <= slots <= MAX_SLOTS:
            raise StoreError(f"ring {path}: {slots} slots, limit is 1 to {MAX_SLOTS}; correct the number of slots")
        self.path = path
        self.slots = slots
        self._lease_ns = lease_ms * MS
        self._out: dict[int, int] = {}  # slot -> host ns at which it was published, oldest first
        self._suspended: dict[int, int] = {}  # row -> its activity when its lease ran out
        self._published = self._returned = self._forced = 0
        self._open(payload_bytes)

    @classmethod
    def create(cls, path: Path, slots: int, payload_bytes: int, lease_ms: int = LEASE_MS) -> "RingWriter":
        """Make the ring file, all its memory reserved, and put it in place of an older one.

        Readers of the older file keep their mapping until they meet the new epoch. StoreError when tmpfs is full.
        """
        return cls(path, slots, payload_bytes, lease_ms)

    @property
    def payload_bytes(self) -> int:
        """Bytes of a slot that a producer may fill."""
        return int(self._header[HEADER_PAYLOAD])

    @property
    def counts(self) -> RingCounts:
        """The account since the ring was created."""
        return RingCounts(self._published, self._returned, self._forced)

    @property
    def out(self) -> int:
        """Count the slots that readers may still hold."""
        return len(self._out)

    def address(self, slot: int) -> int:
        """Give the slot's address in this process; page aligned, valid until `restart` or `close`."""
        return self._address + slot * self._stride

    def pixels(self, slot: int) -> memoryview:
        """Lend the slot's bytes, writable; to be released before `restart` or `close`."""
        start = PIXELS_OFFSET + slot * self._stride
        return memoryview(self._map)[start : start + self.payload_bytes]

    def publish(self, slot: int, now: HostNs) -> SlotRef:
        """Make a filled slot readable; its lease starts now."""
        generation = self._header[HEADER_GENERATION + slot] + 1
        self._header[HEADER_GENERATION + slot] = generation
        self._out[slot] = now
        self._published += 1
        return SlotRef(self._epoch, slot, generation)

    def reclaim(self, now: HostNs) -> list[int]:
        """Take back the slots nobody waits for any more; each is marked as being filled and given exactly once.

        A slot comes back when every living reader has released it, or when its lease ran out.
        """
        if not self._out:
            return []
        waiting = [row for row in range(ROWS) if self._waits(row)]
        back = []
        for slot, since in tuple(self._out.items()):
            holders = [row for row in waiting if not self._has_released(row, slot) and is_row_locked(self._file, row)]
            if not holders:
                self._returned += 1
            elif now - since >= self._lease_ns:
                self._forced += 1
                self._suspend(holders)
                waiting = [row for row in waiting if row not in holders]
            else:
                continue
            self._header[HEADER_GENERATION + slot] += 1
            del self._out[slot]
            back.append(slot)
        return back

    def readers(self) -> list[ReaderState]:
        """List the living readers with what they hold."""
        return [
            ReaderState(
                decode_name(cells),
                cells[ROW_PID],
                HostNs(cells[ROW_SEEN]),
                tuple(slot for slot in self._out if not self._has_released(row, slot)),
                row in self._suspended,
            )
            for row, cells in enumerate(self._rows)
            if cells[ROW_ACTIVE] and is_row_locked(self._file, row)
        ]

    def restart(self, payload_bytes: int) -> None:
        """Begin a new epoch: every frame published so far is gone, every slot is to be filled.

        Keeps the file when the payload fits; else puts a larger one in its place. No producer may hold a slot.
        StoreError when tmpfs is full; the ring is then as it was.
        """
        if payload_bytes > self._stride:
            old = (self._file, self._map, [self._header, *self._rows])
            self._open(payload_bytes)
            old[2][0][HEADER_EPOCH] = 0  # no epoch: readers look for the new file
            _give_back(*old)
            return
        for slot in range(self.slots):
            cell = HEADER_GENERATION + slot
            self._header[cell] += 1 + self._header[cell] % 2
        self._header[HEADER_PAYLOAD] = payload_bytes
        self._begin_epoch()

    def close(self) -> None:
        """Give mapping and descriptor back; the file stays for readers that still look at it."""
        del self._anchor
        _give_back(self._file, self._map, [self._header, *self._rows])

    def _open(self, payload_bytes: int) -> None:
        stride = stride_of(payload_bytes)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        self._file = _allocate(temporary, PIXELS_OFFSET + self.slots * stride)
        self._stride = stride
        self._map = mmap.mmap(self._file, 0)
        self._anchor = ctypes.c_char.from_buffer(self._map)
        self._address = ctypes.addressof(self._anchor) + PIXELS_OFFSET
        with memoryview(self._map) as whole:
            self._header = whole[:PAGE].cast("Q")
            self._rows = [
                whole[start : start + ROW_CELLS * CELL].cast("Q")
                for start in range(ROWS_OFFSET, ROWS_OFFSET + ROWS * ROW_CELLS * CELL, ROW_CELLS * CELL)
            ]
        self._header[HEADER_SLOTS] = self.slots
        self._header[HEADER_STRIDE] = stride
        self._header[HEADER_PAYLOAD] = payload_bytes
        self._header[HEADER_PID] = os.getpid()
        for slot in range(self.slots):
            self._header[HEADER_GENERATION + slot] = 1
        self._begin_epoch()
        self._header[HEADER_MAGIC] = MAGIC | VERSION << 32
        temporary.replace(self.path)

    def _begin_epoch(self) -> None:
        self._epoch = secrets.randbits(62) | 1
        self._header[HEADER_EPOCH] = self._epoch
        self._out.clear()
        self._suspended.clear()

    def _waits(self, row: int) -> bool:
        """Tell whether a row may hold frames back: filled in, and not suspended or alive again since."""
        cells = self._rows[row]
        if not cells[ROW_ACTIVE]:
            return False
        if row in self._suspended:
            if self._suspended[row] == cells[ROW_ACTIVITY]:
                return False
            del self._suspended[row]
        return True

    def _has_released(self, row: int, slot: int) -> bool:
        return bool(self._rows[row][ROW_RELEASED + slot] >= self._header[HEADER_GENERATION + slot])

    def _suspend(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._suspended[row] = self._rows[row][ROW_ACTIVITY]


def _allocate(path: Path, size: int) -> int:
    """Make a file with all its pages reserved, so that no later write can meet a full tmpfs (SIGBUS)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o660)
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        os.close(file)
        path.unlink()
        free = os.statvfs(path.parent)
        raise StoreError(
            f"frame ring {path.name}: needs {size / 1e6:.1f} MB on {path.parent}, free are "
            f"{free.f_bavail * free.f_frsize / 1e6:.1f} MB ({error.strerror}); make the tmpfs larger or the slots fewer"
        ) from error
    return file


def _give_back(file: int, mapping: mmap.mmap, views: Iterable[memoryview]) -> None:
    for view in views:
        view.release()
    mapping.close()
    os.close(file)
