"""Name the words between appliance and PLC as the PLC's program does; a test holds the names to the registers."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

STATUS: Final = (
    ("StatusBits", 1), ("StatusBits2", 1), ("State", 1), ("Session", 2), ("ErrorCode", 1), ("QueueDepth", 1),
    ("EnteredBoot", 2), ("EnteredNumber", 2), ("ResultSeq", 2), ("PartIdEcho.Boot", 2), ("PartIdEcho.Number", 2),
    ("PlcPartEcho", 2), ("PartRequestSeq", 1), ("Disposition", 1), ("Cause", 1), ("Score", 1), ("DefectClasses", 2),
    ("Latency", 1), ("RequestSeqEcho", 1), ("ActiveRecipe", 1), ("RecipeHash32", 2), ("JobAnswer", 1),
    ("MissedTriggers", 1), ("LateResults", 1), ("Overflowed", 1),
)  # fmt: skip
"""(name, registers) of what the PLC reads."""

CONTROL: Final = (
    ("ControlBits", 1), ("PlcHeartbeat", 1), ("SessionEcho", 2), ("AckSequence", 2), ("RequestSeq", 1), ("PlcPart", 2),
    ("RecipeNumber", 1),
)  # fmt: skip
"""(name, registers) of what the PLC writes."""

BITS: Final = {
    "StatusBits": (
        "Online", "TriggerReady", "TriggerAck", "Exposing", "Busy", "ResultValid", "Pass", "Reject", "Late",
        "MissedTrigger", "Error", "Changeover", "Overload", "DegradedSensor", "MaintenanceDue", "Heartbeat",
    ),
    "StatusBits2": ("Quarantine", "SyncLost", "JobRefused", "NoJob", "PlcTriggers"),
    "ControlBits": (
        "Enable", "Trigger", "ResultAck", "JobChange", "ErrorReset", "ClearQueue", "Purged", "", "", "", "", "", "", "",
        "", "Heartbeat",
    ),
}  # fmt: skip
"""Names of the bits of a word, bit 0 first; empty: none."""


class Signal(Struct, frozen=True):
    """Give one bit or value."""

    name: str
    value: int
    is_bit: bool


def signals(words: Sequence[int], layout: Sequence[tuple[str, int]]) -> Iterator[Signal]:
    """Take a block apart, its bits one by one; nothing where the block has another length."""
    if len(words) != sum(registers for _, registers in layout):
        return
    place = 0
    for name, registers in layout:
        value = words[place] if registers == 1 else words[place] << 16 | words[place + 1]
        place += registers
        if name not in BITS:
            yield Signal(name, value, is_bit=False)
        for number, bit in enumerate(BITS.get(name, ())):
            if bit:
                yield Signal(bit, value >> number & 1, is_bit=True)
