"""Carry pixels between processes without copying them: one tmpfs file per camera, mapped by writer and readers.

A slot's generation is odd while it is being filled and even while it may be read; it only grows. Who reads checks the
generation before and after: unchanged and even means that nothing was written in between. A reader that died frees its
slots at once (its row's lock goes with its file), one that is merely late loses them when their lease runs out, and
learns of it by FrameOverwritten, never by torn pixels.

Memory ordering. Cells are 8-byte aligned and stored by single 8-byte stores, which are atomic on x86-64 and arm64.
Writer: the odd generation is stored before the slot is queued, and the producer's own queue lock orders it before the
first pixel; pixels come before the even generation, because the completed buffer passed the producer's event lock and
the queue to the loop. Both are release/acquire pairs, and both machines are multi-copy atomic, so a third process sees
the same order. Reader: the message that names the frame passed a socket (acquire), so its first check and its pixel
reads come after; before the second check `full_fence` keeps arm64 from moving pixel reads past it, and before a
release cell is stored it keeps them from being overtaken by it. The writer acts on a release cell under a branch, and
neither machine lets a store pass the branch it hangs on.

A reader's process that forks without exec shares its row with the child; start children by exec.
"""

from appliance.bus.ring_layout import MAX_SLOTS, ROWS, ring_path
from appliance.bus.ring_reader import RingReader
from appliance.bus.ring_writer import ReaderState, RingCounts, RingWriter

__all__ = ["MAX_SLOTS", "ROWS", "ReaderState", "RingCounts", "RingReader", "RingWriter", "ring_path"]
