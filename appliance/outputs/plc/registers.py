"""List every register between the appliance and the PLC once; `REGISTERS.md` is generated from this table.

Values wider than 16 bit are big endian in words and bytes (ABCD): the lower address holds the more significant word.
"""

import struct
from enum import IntEnum, IntFlag, StrEnum

from msgspec import Struct

from appliance.schema.actuation import Cause
from appliance.schema.verdict import Disposition

STATUS_ADDRESS = 0
"""Address of the first status register, counted from 0 as on the wire."""

CONTROL_ADDRESS = 200
"""Address of the first control register; far from the status block, so that the latter can grow to 125 registers."""

UNIT_HINT = 1
"""Unit identifier our own clients send; the server answers to any."""


class Type(StrEnum):
    """Name how a value lies in registers."""

    BITS = "bits"
    U16 = "u16"
    U32 = "u32"

    @property
    def words(self) -> int:
        """Registers a value takes."""
        return 2 if self is Type.U32 else 1


class StatusBit(IntFlag):
    """Name the bits of the status word, appliance to PLC."""

    ONLINE = 1 << 0
    TRIGGER_READY = 1 << 1
    TRIGGER_ACK = 1 << 2
    EXPOSING = 1 << 3
    BUSY = 1 << 4
    RESULT_VALID = 1 << 5
    PASS = 1 << 6
    REJECT = 1 << 7
    LATE = 1 << 8
    MISSED_TRIGGER = 1 << 9
    ERROR = 1 << 10
    CHANGEOVER = 1 << 11
    OVERLOAD = 1 << 12
    DEGRADED_SENSOR = 1 << 13
    MAINTENANCE_DUE = 1 << 14
    HEARTBEAT = 1 << 15


class StatusBit2(IntFlag):
    """Name the bits of the second status word, appliance to PLC."""

    QUARANTINE = 1 << 0
    SYNC_LOST = 1 << 1
    JOB_REFUSED = 1 << 2
    NO_JOB = 1 << 3
    PLC_TRIGGERS = 1 << 4


class ControlBit(IntFlag):
    """Name the bits of the control word, PLC to appliance."""

    ENABLE = 1 << 0
    TRIGGER = 1 << 1
    RESULT_ACK = 1 << 2
    JOB_CHANGE = 1 << 3
    ERROR_RESET = 1 << 4
    CLEAR_QUEUE = 1 << 5
    PURGED = 1 << 6
    HEARTBEAT = 1 << 15


STATUS_BIT_NOTES = {
    StatusBit.ONLINE: "1 whenever the appliance's line service runs; a block of zeros is never a live one",
    StatusBit.TRIGGER_READY: "a part that enters now is inspected and its result has a place in the queue",
    StatusBit.TRIGGER_ACK: "the part that Trigger asked for was made; stays until Trigger is 0",
    StatusBit.EXPOSING: "at least one part has entered and its images are not all taken",
    StatusBit.BUSY: "at least one part is between part sensor and gate",
    StatusBit.RESULT_VALID: "the result words of this same read are valid; stays until ResultAck",
    StatusBit.PASS: "the part went to the accept lane on a valid, in-time ACCEPT",
    StatusBit.REJECT: "anything else",
    StatusBit.LATE: "no verdict was in hand in time for this part (`Cause` says which way)",
    StatusBit.MISSED_TRIGGER: "a trigger was refused: the PLC's own Trigger is held, or a part entered while not ready",
    StatusBit.ERROR: "latched, see `ErrorCode`; cleared by ErrorReset, `SyncLost` by a purge, and by nothing else",
    StatusBit.CHANGEOVER: "a recipe change runs; no part may enter",
    StatusBit.OVERLOAD: "line-stop request: decisions do not arrive in time; latched with Error",
    StatusBit.DEGRADED_SENSOR: "a camera or light is worse than it should be; parts are still inspected",
    StatusBit.MAINTENANCE_DUE: "maintenance is due; no effect on results",
    StatusBit.HEARTBEAT: "toggles at least every 100 ms; no change for 500 ms means: treat every part as rejected",
}

STATUS_BIT2_NOTES = {
    StatusBit2.QUARANTINE: "with Reject: keep this part apart, a person has to look at it (review, unknown)",
    StatusBit2.SYNC_LOST: "parts and gate no longer agree; every part is rejected until the belt was purged",
    StatusBit2.JOB_REFUSED: "JobChange was not granted, `JobAnswer` says why; see `ActiveRecipe` for what holds",
    StatusBit2.NO_JOB: "another client controls the line, and none of its jobs covers a part that enters now",
    StatusBit2.PLC_TRIGGERS: "parts are made by Trigger; 0: by the part sensor",
}

CONTROL_BIT_NOTES = {
    ControlBit.ENABLE: "the PLC wants results; without it TriggerReady stays 0",
    ControlBit.TRIGGER: "hold until TriggerAck or MissedTrigger; refused where the part sensor triggers",
    ControlBit.RESULT_ACK: "0-1-0; takes the result over whose number stands in `AckSequence`",
    ControlBit.JOB_CHANGE: "0-1-0; asks for the recipe in `RecipeNumber`; begins once no part and no result is pending",
    ControlBit.ERROR_RESET: "rising edge clears Error and Overload",
    ControlBit.CLEAR_QUEUE: "rising edge drops every pending result; the parts count as not good",
    ControlBit.PURGED: "rising edge, while SyncLost: every part was taken off the belt",
    ControlBit.HEARTBEAT: "toggle at least every 100 ms",
}


class State(IntEnum):
    """Number the handshake's states as the PLC reads them; the bits, not the state, decide about a part."""

    OFFLINE = 0
    NOT_READY = 1
    READY = 2
    ACQUIRING = 3
    BUSY = 4
    RESULT = 5
    ERROR = 6
    CHANGEOVER = 7


class ErrorCode(IntEnum):
    """Number the latched errors; the first one since ErrorReset is kept."""

    NONE = 0
    ACK_TIMEOUT = 1
    ACK_STUCK = 2
    QUEUE_OVERFLOW = 3
    LATE_IN_A_ROW = 4
    SYNC_LOST = 5


class JobAnswer(IntEnum):
    """Number what became of a JobChange; 0 once it is taken back."""

    NONE = 0
    DONE = 1
    REFUSED = 2
    NOT_IN_TIME = 3


PROBLEMS = {
    ErrorCode.ACK_TIMEOUT: ("the PLC did not acknowledge a result in time", "check the PLC program, then ErrorReset"),
    ErrorCode.ACK_STUCK: ("the PLC did not take ResultAck back in time", "check the PLC program, then ErrorReset"),
    ErrorCode.QUEUE_OVERFLOW: (
        "a result found the queue full",
        "let the PLC acknowledge or ClearQueue, then ErrorReset",
    ),
    ErrorCode.LATE_IN_A_ROW: ("verdicts do not arrive in time", "see what delays the judge, then ErrorReset"),
    ErrorCode.SYNC_LOST: ("parts and gate no longer agree", "take every part off the belt, then Purged"),
}
"""Cause and remedy of each latched error, in a technician's words."""

DISPOSITION_CODES = {
    Disposition.NO_VERDICT: 0,
    Disposition.ACCEPT: 1,
    Disposition.REJECT: 2,
    Disposition.REVIEW: 3,
    Disposition.UNKNOWN: 4,
}

CAUSE_CODES = {
    Cause.ACCEPTED: 1,
    Cause.DECIDED_REJECT: 2,
    Cause.NO_VERDICT: 3,
    Cause.LATE: 4,
    Cause.HOST_LOST: 5,
    Cause.OLD_SESSION: 6,
    Cause.FAULT: 7,
    Cause.NOT_ARMED: 8,
    Cause.TOO_CLOSE: 9,
    Cause.GATE_LATE: 10,
    Cause.PLC_NOT_READY: 11,
    Cause.OPERATOR: 12,
    Cause.NO_JOB: 13,
    Cause.CHANGEOVER: 14,
}


class Register(Struct, frozen=True):
    """Describe one value; `field` is its name in `Status` or `Control`."""

    address: int
    field: str
    name: str
    type: Type
    unit: str
    doc: str


class Status(Struct, frozen=True):
    """Hold the status block as values; all zero by default."""

    bits: int = 0
    bits2: int = 0
    state: int = 0
    session: int = 0
    error_code: int = 0
    queue_depth: int = 0
    entered_boot: int = 0
    entered_number: int = 0
    result_sequence: int = 0
    part_boot: int = 0
    part_number: int = 0
    plc_part: int = 0
    part_request: int = 0
    disposition: int = 0
    cause: int = 0
    score: int = 0
    defect_bits: int = 0
    latency_ms: int = 0
    request_sequence_echo: int = 0
    active_recipe: int = 0
    recipe_hash: int = 0
    job_answer: int = 0
    missed_triggers: int = 0
    late_results: int = 0
    overflowed: int = 0


class Control(Struct, frozen=True):
    """Hold the control block as values; all zero by default."""

    bits: int = 0
    heartbeat: int = 0
    session_echo: int = 0
    ack_sequence: int = 0
    request_sequence: int = 0
    plc_part: int = 0
    recipe_number: int = 0


def _lay_out(first: int, rows: tuple[tuple[str, str, Type, str, str], ...]) -> tuple[Register, ...]:
    registers = []
    for field, name, kind, unit, doc in rows:
        registers.append(Register(first, field, name, kind, unit, doc))
        first += kind.words
    return tuple(registers)


_WRAPS = "wraps after 65535"

STATUS = _lay_out(
    STATUS_ADDRESS,
    (
        ("bits", "StatusBits", Type.BITS, "", "see the bit table"),
        ("bits2", "StatusBits2", Type.BITS, "", "see the bit table"),
        ("state", "State", Type.U16, "code", "for displays; decide by the bits"),
        ("session", "Session", Type.U32, "id", "never 0; changes at a restart of either side"),
        ("error_code", "ErrorCode", Type.U16, "code", "first latched error"),
        ("queue_depth", "QueueDepth", Type.U16, "results", "pending results, the offered one included; at most 8"),
        ("entered_boot", "EnteredBoot", Type.U32, "id", "microcontroller boot of the newest part at the part sensor"),
        ("entered_number", "EnteredNumber", Type.U32, "part", "its number, 1, 2, 3 ... in that boot"),
        ("result_sequence", "ResultSeq", Type.U32, "result", "1, 2, 3 ... in the session; 0 without ResultValid"),
        ("part_boot", "PartIdEcho.Boot", Type.U32, "id", "part of the offered result; 0 without ResultValid"),
        ("part_number", "PartIdEcho.Number", Type.U32, "part", "part of the offered result; 0 without ResultValid"),
        (
            "plc_part",
            "PlcPartEcho",
            Type.U32,
            "id",
            "`PlcPart` of the Trigger that made the offered result's part, or 0",
        ),
        ("part_request", "PartRequestSeq", Type.U16, "", "`RequestSeq` of that Trigger, or 0"),
        ("disposition", "Disposition", Type.U16, "code", "what was decided"),
        ("cause", "Cause", Type.U16, "code", "why the part went where it went; 0 without ResultValid"),
        ("score", "Score", Type.U16, "1/1000", "worst raw score of the part; 65535 = larger or not a number"),
        ("defect_bits", "DefectClasses", Type.U32, "bits", "bit n = class n of the recipe was found"),
        ("latency_ms", "Latency", Type.U16, "ms", "part sensor to verdict; 65535 = longer or none"),
        (
            "request_sequence_echo",
            "RequestSeqEcho",
            Type.U16,
            "",
            "RequestSeq of the last Trigger or JobChange seen",
        ),
        ("active_recipe", "ActiveRecipe", Type.U16, "recipe", "0 = none"),
        ("recipe_hash", "RecipeHash32", Type.U32, "hash", "first 32 bit of the active recipe's SHA-256"),
        ("job_answer", "JobAnswer", Type.U16, "code", "what became of JobChange, while it is held"),
        ("missed_triggers", "MissedTriggers", Type.U16, "triggers", f"refused triggers since start; {_WRAPS}"),
        ("late_results", "LateResults", Type.U16, "results", f"results with Late since start; {_WRAPS}"),
        ("overflowed", "Overflowed", Type.U16, "results", f"results that found the queue full, since start; {_WRAPS}"),
    ),
)

CONTROL = _lay_out(
    CONTROL_ADDRESS,
    (
        ("bits", "ControlBits", Type.BITS, "", "see the bit table"),
        ("heartbeat", "PlcHeartbeat", Type.U16, "", "optional counter; a change counts as a toggle of bit 15"),
        (
            "session_echo",
            "SessionEcho",
            Type.U32,
            "id",
            "copy of `Session`; nothing else is obeyed until both are equal",
        ),
        ("ack_sequence", "AckSequence", Type.U32, "result", "copy of `ResultSeq`; written before, or with, ResultAck"),
        ("request_sequence", "RequestSeq", Type.U16, "", "number of the request; echoed"),
        (
            "plc_part",
            "PlcPart",
            Type.U32,
            "id",
            "your own name of the part that Trigger asks for; echoed with its result",
        ),
        ("recipe_number", "RecipeNumber", Type.U16, "recipe", "recipe asked for by JobChange"),
    ),
)


def count(table: tuple[Register, ...]) -> int:
    """Count the registers of a block."""
    return sum(register.type.words for register in table)


STATUS_COUNT = count(STATUS)
CONTROL_COUNT = count(CONTROL)


def pack_status(status: Status) -> tuple[int, ...]:
    """Lay a status out as register words."""
    return _pack(STATUS, status)


def pack_control(control: Control) -> tuple[int, ...]:
    """Lay a control block out as register words."""
    return _pack(CONTROL, control)


def unpack_status(words: tuple[int, ...] | list[int]) -> Status:
    """Read a status back from register words; ValueError when their number is not the block's."""
    return Status(**_unpack(STATUS, words))


def unpack_control(words: tuple[int, ...] | list[int]) -> Control:
    """Read a control block back from register words; ValueError when their number is not the block's."""
    return Control(**_unpack(CONTROL, words))


def saturated(value: float) -> int:
    """Round into 0..65535; what is larger, or not a number, becomes 65535."""
    return int(max(0.0, round(value))) if value <= 0xFFFF else 0xFFFF


def _layout(table: tuple[Register, ...]) -> tuple[struct.Struct, struct.Struct, tuple[tuple[str, int], ...]]:
    """Give a block as values, as words, and each value's field with its mask; worked out once, used at each turn."""
    values = struct.Struct(">" + "".join("I" if register.type is Type.U32 else "H" for register in table))
    masks = tuple((item.field, 0xFFFF_FFFF if item.type is Type.U32 else 0xFFFF) for item in table)
    return values, struct.Struct(f">{count(table)}H"), masks


_LAYOUTS = {table[0].address: _layout(table) for table in (STATUS, CONTROL)}


def _pack(table: tuple[Register, ...], values: Struct) -> tuple[int, ...]:
    block, words, masks = _LAYOUTS[table[0].address]
    return words.unpack(block.pack(*[getattr(values, field) & mask for field, mask in masks]))


def _unpack(table: tuple[Register, ...], words: tuple[int, ...] | list[int]) -> dict[str, int]:
    block, raw, masks = _LAYOUTS[table[0].address]
    if 2 * len(words) != raw.size:
        raise ValueError(f"block at {table[0].address}: {len(words)} words, {count(table)} are needed; read all of it")
    values = block.unpack(raw.pack(*words))
    return {field: value for (field, _), value in zip(masks, values, strict=True)}
