"""Lay out a frame ring's file, and tell which of its readers live.

    header   writer     magic, version, slots, epoch, stride, payload, pid, then one generation per slot
    rows     readers    ROWS rows: name, pid, sign of life, then the generation each slot was released at
    pixels   producer   `slots` slots of `stride` bytes, page aligned

The second column says who writes. Every cell is 8 bytes, 8-byte aligned and has exactly one writing process, so plain
stores suffice. A reader owns a row as long as it holds the open-file-description lock on the row's first byte: death
closes its file and frees the row.
"""

import fcntl
import mmap
import os
import struct
import threading
from pathlib import Path

MAGIC = 0x474E4952
"""`RING`, little endian."""
VERSION = 1
ROWS = 8
"""Readers a ring can have; judge, record and preview use three."""
MAX_SLOTS = 64
PAGE = mmap.ALLOCATIONGRANULARITY

HEADER_MAGIC, HEADER_EPOCH, HEADER_SLOTS, HEADER_STRIDE, HEADER_PAYLOAD, HEADER_PID = range(6)
"""Cells of the header; `HEADER_MAGIC` holds the version in its upper half."""
HEADER_GENERATION = 8
"""First of the generations."""

ROW_ACTIVE, ROW_PID, ROW_SEEN, ROW_ACTIVITY = range(4)
"""Cells of a row: 1 once the row is filled in; pid; host ns of the last `refresh`; count of signs of life."""
ROW_NAME = 4
"""First of the cells that hold the reader's name, UTF-8, padded with zeros."""
NAME_CELLS = 4
ROW_RELEASED = 8
"""First of the released generations."""
ROW_CELLS = 128
CELL = 8

ROWS_OFFSET = PAGE
ROWS_BYTES = -(-ROWS * ROW_CELLS * CELL // PAGE) * PAGE
PIXELS_OFFSET = ROWS_OFFSET + ROWS_BYTES

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, len, pid


def ring_path(folder: Path, camera: str) -> Path:
    """Name a camera's ring file in the station's folder on tmpfs."""
    return folder / f"{camera}.ring"


def stride_of(payload_bytes: int) -> int:
    """Give the distance of two slots in bytes: the payload, rounded up to whole pages."""
    return -(-payload_bytes // PAGE) * PAGE


def lock_row(fd: int, row: int) -> bool:
    """Take a reader row for as long as `fd` stays open anywhere; False when another reader has it. Never blocks.

    A child made by fork shares the lock until it closes the descriptor too; programs started by exec do not.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(row))
    except BlockingIOError:
        return False
    return True


def is_row_locked(fd: int, row: int) -> bool:
    """Tell whether a reader other than `fd` holds a row, that is, whether it lives."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(row))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)


def full_fence(lock: threading.Lock) -> None:
    """Order every load and store before the call against every one after it, on x86-64 and on arm64.

    The first unlock is a store-release, the second lock a load-acquire; arm64 keeps that order (Arm ARM, B2.3.11:
    an LDAR is never observed before an earlier STLR), so nothing before the pair is seen after what follows it.
    x86-64 would need it for a load after a store only.
    """
    with lock:
        pass
    with lock:
        pass


def encode_name(name: str) -> list[int]:
    """Pack a reader's name into cells; a longer one is cut."""
    return list(struct.unpack(f"={NAME_CELLS}Q", name.encode()[: NAME_CELLS * CELL].ljust(NAME_CELLS * CELL, b"\0")))


def decode_name(cells: memoryview) -> str:
    """Read a reader's name out of its row."""
    packed = struct.pack(f"={NAME_CELLS}Q", *cells[ROW_NAME : ROW_NAME + NAME_CELLS])
    return packed.rstrip(b"\0").decode(errors="replace")


def _flock(row: int) -> bytes:
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, ROWS_OFFSET + row * ROW_CELLS * CELL, 1, 0)
