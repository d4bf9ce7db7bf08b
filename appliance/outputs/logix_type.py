"""List the members of the Logix type `FirstshiftResult` once: its bytes and its L5X file come from here; pure.

Every member has 4 bytes, so there is no padding to disagree about. All zero is never good.
"""

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.schema.actuation import Lane
from appliance.schema.line import JobMode

NAME = "FirstshiftResult"
FILE = Path(__file__).with_name(f"{NAME}.L5X")

WORD = 4
"""Bytes of a member."""

LARGEST = (1 << 31) - 1
"""Largest DINT; numbers that count go on from 1 after it."""

LANES = {Lane.REJECT: 0, Lane.ACCEPT: 1}
MODES = {JobMode.HALTED: 0, JobMode.IDLE: 1, JobMode.SINGLE: 2, JobMode.CONTINUOUS: 3}


class Member(Struct, frozen=True):
    """Describe one member."""

    name: str
    kind: str
    """`DINT` or `REAL`."""
    text: str


def _codes(codes: Mapping[Any, int]) -> str:
    return ", ".join(f"{code} {name}" for name, code in codes.items())


MEMBERS = (
    Member("SequenceCheck", "DINT", "Equal to Sequence, else the structure is being written: look again"),
    Member("Layout", "DINT", "Number of this layout; it is another one when a member changes"),
    Member("Heartbeat", "DINT", "Changes with every write; unchanged for 1 s: inspection is gone, every part a reject"),
    Member("Online", "DINT", "1: inspection runs and speaks for the line; 0: every part is a reject"),
    Member("Ready", "DINT", "1: a part that enters now is inspected"),
    Member("Mode", "DINT", _codes(MODES)),
    Member("ErrorCode", "DINT", "Latched error of the line, 0: none"),
    Member("Parts", "DINT", "Parts since the line's service began"),
    Member("Accepted", "DINT", "Of these, to the accept lane"),
    Member("Rejected", "DINT", "Of these, to the reject lane"),
    Member("Late", "DINT", "Of these, decided too late"),
    Member("Waiting", "DINT", "Results behind the one that is shown"),
    Member("Lost", "DINT", "Results dropped because more than 8 waited; their parts are rejects"),
    Member("PartBoot", "DINT", "Part's name, first half: the 32 bit of the microcontroller's boot"),
    Member("PartNumber", "DINT", "Part's name, second half: 1, 2, 3 ... in this boot"),
    Member("Good", "DINT", "1: accepted; good only with Reject = 0, Online = 1 and a heartbeat that changes"),
    Member("Reject", "DINT", "1: rejected; 0 with Good = 0: no result, which is a reject"),
    Member("Disposition", "DINT", "What was decided, by the codes of REGISTERS.md; 1: accept"),
    Member("Lane", "DINT", _codes(LANES)),
    Member("Cause", "DINT", "Why it went where it went, by the codes of REGISTERS.md; 0: no result"),
    Member("Score", "REAL", "Worst raw score over the views; -1: none"),
    Member("LatencyMs", "REAL", "Last camera trigger to verdict, ms; -1: none"),
    Member("RecipeHash", "DINT", "First 32 bit of the recipe's SHA-256"),
    Member("BundleHash", "DINT", "First 32 bit of the model bundle's SHA-256; 0: none"),
    Member(
        "Sequence", "DINT", "Number of the result that is shown, 0: none; take it once, then write it to the tag ...Ack"
    ),
)
SIZE = WORD * len(MEMBERS)
LAYOUT = zlib.crc32(repr([(member.name, member.kind) for member in MEMBERS]).encode()) & LARGEST
KINDS = {member.name: member.kind for member in MEMBERS}


def pack(values: Mapping[str, float]) -> bytes:
    """Give the structure's SIZE bytes, little endian; members not given are 0. DINTs take 32 bit, signed or not."""
    return b"".join(_word(member.kind, values.get(member.name, 0)) for member in MEMBERS)


def unpack(data: bytes) -> dict[str, float]:
    """Give the members of SIZE bytes; ValueError for another number."""
    if len(data) != SIZE:
        raise ValueError(f"{NAME}: {len(data)} bytes, not {SIZE}; import {FILE.name} into the controller's project")
    return {member.name: read_word(member.kind, data[at * WORD :][:WORD]) for at, member in enumerate(MEMBERS)}


def read_word(kind: str, data: bytes) -> float:
    """Read one member's 4 bytes."""
    value: float = struct.unpack("<f" if kind == "REAL" else "<i", data)[0]
    return value


def l5x() -> str:
    """Give the file that a PLC programmer imports as a user-defined data type."""
    members = "\n".join(_member(member) for member in MEMBERS)
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<RSLogix5000Content SchemaRevision="1.0" SoftwareRevision="20.00" TargetName="{NAME}" TargetType="DataType" \
ContainsContext="true" ExportOptions="References DecoratedData Context Dependencies">
<Controller Use="Context" Name="Firstshift">
<DataTypes Use="Context">
<DataType Use="Target" Name="{NAME}" Family="NoFamily" Class="User">
<Description>
<![CDATA[Result of firstshift, layout {LAYOUT}. Keep member order and types.]]>
</Description>
<Members>
{members}
</Members>
</DataType>
</DataTypes>
</Controller>
</RSLogix5000Content>
"""


def _word(kind: str, value: float) -> bytes:
    if kind == "REAL":
        return struct.pack("<f", value)
    return struct.pack("<I", int(value) & 0xFFFF_FFFF)


def _member(member: Member) -> str:
    radix = "Float" if member.kind == "REAL" else "Decimal"
    return (
        f'<Member Name="{member.name}" DataType="{member.kind}" Dimension="0" Radix="{radix}" Hidden="false" '
        f'ExternalAccess="Read/Write">\n<Description>\n<![CDATA[{member.text}]]>\n</Description>\n</Member>'
    )


if __name__ == "__main__":
    FILE.write_text(l5x(), "utf-8")
