"""Put a filled buffer's pixels where readers look for them, and count what that took."""

import ctypes
from typing import Protocol

from appliance.cameras.gentl import Filled


class SlotMemory(Protocol):
    """Lend memory for frames; `bus.ring.RingWriter` is the real one."""

    slots: int

    @property
    def payload_bytes(self) -> int:
        """Bytes of a slot."""

    def address(self, slot: int) -> int:
        """Give the slot's address in this process."""


def place(filled: Filled, row_bytes: int, memory: SlotMemory) -> int:
    """Make the pixels lie packed at the slot's start; gives how often they were copied for it.

    0 when the producer itself wrote them there, and only then; 1 when it used memory of its own, put the image behind
    other data or padded its rows.
    """
    source, target = filled.base + filled.image_offset, memory.address(filled.slot)
    if source == target and not filled.x_padding:
        return 0
    if not filled.x_padding:
        ctypes.memmove(target, source, row_bytes * filled.height)
        return 1
    for row in range(filled.height):
        ctypes.memmove(target + row * row_bytes, source + row * (row_bytes + filled.x_padding), row_bytes)
    return 1
