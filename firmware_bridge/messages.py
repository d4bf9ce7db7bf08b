"""Messages between host and MCU. Generated from messages.toml by generate.py; do not edit."""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum

from msgspec import Struct

PROTOCOL_VERSION = 1
SCHEMA_HASH = 0xE9BB1D15


class State(IntEnum):
    """States of the MCU; outputs are safe (gate in reject lane, camera lines and run permit off) in all but armed."""

    BOOT = 0
    UNCONFIGURED = 1
    CONFIGURED = 2
    ARMED = 3
    FAULT = 4


class StateReason(IntEnum):
    """Why the state changed, or why a wish to change it was refused."""

    STARTED = 0
    HOST_REQUEST = 1
    NEW_SESSION = 2
    HOST_LOST = 3
    FAULT = 4
    SCHEMA_MISMATCH = 5
    NOT_CONFIGURED = 6
    NOT_ALLOWED_NOW = 7
    NOT_PURGED = 8


class ConfigureReason(IntEnum):
    """Answer to Configure; immutable: another configuration holds until the MCU is reset."""

    ACCEPTED = 0
    CRC = 1
    IMMUTABLE = 2
    TICK_RATE = 3
    GATE = 4
    LEAD = 5
    HOLD = 6
    MIN_GAP = 7
    CAMERA = 8
    HEARTBEAT = 9
    GATE_SENSOR = 10
    ENCODER = 11
    STROBE = 12
    TRIGGER_SOURCE = 13


class DecisionOutcome(IntEnum):
    """What the MCU did with a decision; only `accepted` changed anything."""

    ACCEPTED = 0
    LATE = 1
    UNKNOWN = 2
    DUPLICATE = 3
    REFUSED = 4


class Lane(IntEnum):
    """Position of the gate; reject is the spring position."""

    REJECT = 0
    ACCEPT = 1


class GateCause(IntEnum):
    """Why a part met the gate in that lane; only `accepted` is a pass."""

    NO_DECISION = 0
    ACCEPTED = 1
    DECIDED_REJECT = 2
    HOST_LOST = 3
    OLD_SESSION = 4
    FAULT = 5
    NOT_ARMED = 6
    TOO_CLOSE = 7
    GATE_LATE = 8


class Fault(IntEnum):
    """Latched faults, kept over a reset; memory: what was kept is damaged."""

    NONE = 0
    TABLE_OVERFLOW = 1
    SYNC_LOST = 2
    ENCODER = 3
    CONFIGURATION = 4
    WATCHDOG = 5
    BROWN_OUT = 6
    STACK = 7
    CRASH = 8
    MEMORY = 9


class EncoderFault(IntEnum):
    """Detail of the fault encoder; standing: parts come at an encoder that does not count."""

    NONE = 0
    TOO_FAST = 1
    BACKWARDS = 2
    STANDING = 3
    TRANSITIONS = 4


class ResetReason(IntEnum):
    """What started this boot, as far as the board can tell."""

    POWER_ON = 0
    PIN = 1
    HOST_REQUEST = 2
    WATCHDOG = 3
    BROWN_OUT = 4
    CRASH = 5


class TriggerSource(IntEnum):
    """What makes a part: an edge of the part sensor, or SoftTrigger."""

    SENSOR = 0
    PLC = 1


class TestTarget(IntEnum):
    """Outputs that TestOutput can drive."""

    GATE_ACCEPT = 0
    CAMERA0 = 1
    CAMERA1 = 2
    RUN_PERMIT = 3


class Hello(Struct, frozen=True):
    """Open a session; every part already in the table becomes an old_session reject and the MCU disarms.

    host_session: u32, random, not 0
    """

    host_session: int


class Configure(Struct, frozen=True):
    """Set the geometry of the station, in encoder counts from the part sensor's leading edge; immutable until reset.

    gate_counts: i32, sensor to gate
    lead_counts: i32, the decision closes this long before the gate
    camera_counts: i32[2], sensor to camera, -1 = no camera
    min_gap_counts: i32, parts closer than this (edge to edge) are both rejected
    gate_hold_counts: i32, the gate is in the accept lane half of this before and after the part
    heartbeat_timeout_ms: u16, host lost after this silence, 20..400 ms
    tick_hz: u32, must equal the MCU's tick rate
    gate_sensor_counts: i32, sensor to the gate's own sensor, -1 = none
    gate_window_counts: i32, each part meets the gate's sensor within this much of its place
    encoder_max_hz: u32, counts per s that no belt here reaches, 0 = not watched
    encoder_back_counts: i32, the belt runs back at most this far, -1 = not watched
    shortest_part_counts: i32, no two parts enter nearer than this, 0 = not watched
    strobe_us: u16[2], on-time of each camera line's lamp, 0 = none
    host_lost_rejects: u8, so many parts rejected in a row for a lost host disarm, 0 = only the 500 ms do
    trigger_source: u8, what makes a part
    crc: u32, CRC-32 of the fields before it, as packed
    """

    gate_counts: int
    lead_counts: int
    camera_counts: tuple[int, int]
    min_gap_counts: int
    gate_hold_counts: int
    heartbeat_timeout_ms: int
    tick_hz: int
    gate_sensor_counts: int
    gate_window_counts: int
    encoder_max_hz: int
    encoder_back_counts: int
    shortest_part_counts: int
    strobe_us: tuple[int, int]
    host_lost_rejects: int
    trigger_source: TriggerSource
    crc: int


class Arm(Struct, frozen=True):
    """Start to trigger cameras and to obey decisions; refused on another schema.

    schema_hash: u32, the host's schema
    """

    schema_hash: int = SCHEMA_HASH


class Disarm(Struct, frozen=True):
    """Make the outputs safe; parts in flight are rejected."""


class Heartbeat(Struct, frozen=True):
    """Say that the host lives, every 50 ms.

    host_ns: u64, host monotonic clock
    """

    host_ns: int


class ClockRequest(Struct, frozen=True):
    """Ask for the MCU's clock and encoder.

    host_ns: u64, host monotonic clock when sent
    """

    host_ns: int


class Decision(Struct, frozen=True):
    """Decide one part of this boot; one-shot, and a reject after an accept wins until the window closes.

    part: u32, part number of this boot
    accept: u8, 1 = accept; any other value rejects
    verdict_seq: u32, number of the verdict, echoed at the gate
    """

    part: int
    accept: int
    verdict_seq: int


class EventRequest(Struct, frozen=True):
    """Ask for events again; events older than the ring are answered by Stats, which names the oldest.

    first: u32, event number
    count: u16, at most 256
    """

    first: int
    count: int


class TestOutput(Struct, frozen=True):
    """Drive one output while configured and disarmed, the gate only when the belt has run empty; the next part ends it.

    output: u8, which output
    duration_ms: u16, 1..500 ms
    """

    output: TestTarget
    duration_ms: int


class ReleaseFault(Struct, frozen=True):
    """Leave the latched fault state; after sync_lost or encoder only once the belt has run empty, as Stats tells."""


class SoftTrigger(Struct, frozen=True):
    """Make a part here and now; only armed and with trigger_source plc.

    request: u32, not 0; the same as the last one taken in this session makes no part
    """

    request: int


class Restart(Struct, frozen=True):
    """Reset the MCU for another configuration; refused while armed, in fault or with parts in the table."""


class Ack(Struct, frozen=True):
    """Carry only the header's acknowledgement."""


class HelloAck(Struct, frozen=True):
    """Answer Hello with the MCU's identity.

    host_session: u32, echo
    boot: u32, random number of this boot
    version: u16, protocol version
    schema_hash: u32, the MCU's schema
    state: u8, state after Hello
    fault: u8, latched fault
    oldest_event: u32, oldest event that the ring still holds
    next_event: u32, number that the next event will get; events start at 1
    config_crc: u32, crc of the active Configure, 0 = none
    """

    host_session: int
    boot: int
    version: int
    schema_hash: int
    state: State
    fault: Fault
    oldest_event: int
    next_event: int
    config_crc: int


class ConfigureAck(Struct, frozen=True):
    """Answer Configure; if it is lost, Stats shows config_crc and state.

    accepted: u8, 1 = active
    reason: u8, first rule that failed
    """

    accepted: int
    reason: ConfigureReason


class StateChanged(Struct, frozen=True):
    """Report the state after a change, or after a refused wish.

    state: u8, state now
    reason: u8, why
    """

    state: State
    reason: StateReason


class ClockReply(Struct, frozen=True):
    """Answer ClockRequest.

    host_ns: u64, echo
    tick: u64, MCU clock, 1 MHz
    counts: i64, encoder at that tick
    """

    host_ns: int
    tick: int
    counts: int


class DecisionAck(Struct, frozen=True):
    """Answer Decision; informative, the gate event is the truth.

    part: u32, echo
    verdict_seq: u32, echo
    outcome: u8, what was done
    """

    part: int
    verdict_seq: int
    outcome: DecisionOutcome


class Stats(Struct, frozen=True):
    """Counters since boot, every 100 ms while the host lives; parts = accepts + rejects + parts still in the table.

    tick: u64, MCU clock, 1 MHz
    counts: i64, encoder
    parts: u32, leading edges of the part sensor
    accepts: u32, gate events in the accept lane
    rejects: u32, gate events in the reject lane
    late_decisions: u32, after the window closed
    unknown_decisions: u32, for a part that never was
    duplicate_decisions: u32, same decision again
    refused_decisions: u32, disarmed, host lost, old session or contradictory
    crc_errors: u32, damaged frames
    stale_frames: u32, frames of another session or boot
    dropped_frames: u32, frames not sent because the host did not read
    oldest_event: u32, oldest event that the ring still holds
    next_event: u32, number that the next event will get
    config_crc: u32, crc of the active Configure, 0 = none
    state: u8, state now
    fault: u8, latched fault
    host_alive: u8, 1 = heartbeat within its limit
    run_permit: u8, 1 = the line may run
    reset: u8, what started this boot
    purging: u8, 1 = the fault is released as soon as the belt has run empty
    purge_counts: i32, travel until the belt has run empty, 0 = it has, -1 = not configured
    fault_detail: i64, of the latched fault, as in FaultEvent
    faults: u32, latched since power-on, over resets
    gate_edges: u32, leading edges of the gate's sensor
    missing_parts: u32, not seen by the gate's sensor in their window
    extra_parts: u32, seen by the gate's sensor in no part's window
    strobes_refused: u32, camera edges withheld to spare the lamp
    encoder_errors: u32, illegal transitions of the encoder
    refused_triggers: u32, SoftTriggers that made no part
    """

    tick: int
    counts: int
    parts: int
    accepts: int
    rejects: int
    late_decisions: int
    unknown_decisions: int
    duplicate_decisions: int
    refused_decisions: int
    crc_errors: int
    stale_frames: int
    dropped_frames: int
    oldest_event: int
    next_event: int
    config_crc: int
    state: State
    fault: Fault
    host_alive: int
    run_permit: int
    reset: ResetReason = ResetReason.POWER_ON
    purging: int = 0
    purge_counts: int = 0
    fault_detail: int = 0
    faults: int = 0
    gate_edges: int = 0
    missing_parts: int = 0
    extra_parts: int = 0
    strobes_refused: int = 0
    encoder_errors: int = 0
    refused_triggers: int = 0


class PartEvent(Struct, frozen=True):
    """A part's leading edge passed the sensor; exactly one per part, in every state.

    event: u32, event number
    part: u32, part number, from 1 in each boot
    counts: i64, encoder at the edge
    tick: u64, MCU clock at the edge
    request: u32, of the SoftTrigger that made it, 0 = the part sensor
    """

    event: int
    part: int
    counts: int
    tick: int
    request: int = 0


class ExposedEvent(Struct, frozen=True):
    """A camera line fired for a part.

    event: u32, event number
    part: u32, part number
    camera: u8, 0 or 1
    trigger_index: u32, edges on this camera line in this boot, this one included
    counts: i64, encoder at the edge
    tick: u64, MCU clock at the edge
    """

    event: int
    part: int
    camera: int
    trigger_index: int
    counts: int
    tick: int


class GateEvent(Struct, frozen=True):
    """A part met the gate; exactly one per part, in every state; lane as it physically was.

    event: u32, event number
    part: u32, part number
    lane: u8, position of the gate
    cause: u8, why
    verdict_seq: u32, of the last decision taken for this part, 0 = none
    counts: i64, encoder at the gate
    tick: u64, MCU clock at the gate
    """

    event: int
    part: int
    lane: Lane
    cause: GateCause
    verdict_seq: int
    counts: int
    tick: int


class FaultEvent(Struct, frozen=True):
    """A fault was latched.

    event: u32, event number
    fault: u8, which
    detail: i64, table_overflow, sync_lost: the part, 0 = one too many; encoder: EncoderFault
    tick: u64, MCU clock
    """

    event: int
    fault: Fault
    detail: int
    tick: int


Message = (
    Hello
    | Configure
    | Arm
    | Disarm
    | Heartbeat
    | ClockRequest
    | Decision
    | EventRequest
    | TestOutput
    | ReleaseFault
    | SoftTrigger
    | Restart
    | Ack
    | HelloAck
    | ConfigureAck
    | StateChanged
    | ClockReply
    | DecisionAck
    | Stats
    | PartEvent
    | ExposedEvent
    | GateEvent
    | FaultEvent
)
Event = PartEvent | ExposedEvent | GateEvent | FaultEvent
RELIABLE = (Configure, Arm, Disarm, Decision, TestOutput, ReleaseFault, SoftTrigger, Restart)
EVENTS = (PartEvent, ExposedEvent, GateEvent, FaultEvent)
_HELLO = struct.Struct("<I")
_CONFIGURE = struct.Struct("<iiiiiiHIiiIiiHHBBI")
_ARM = struct.Struct("<I")
_HEARTBEAT = struct.Struct("<Q")
_CLOCK_REQUEST = struct.Struct("<Q")
_DECISION = struct.Struct("<IBI")
_EVENT_REQUEST = struct.Struct("<IH")
_TEST_OUTPUT = struct.Struct("<BH")
_SOFT_TRIGGER = struct.Struct("<I")
_HELLO_ACK = struct.Struct("<IIHIBBIII")
_CONFIGURE_ACK = struct.Struct("<BB")
_STATE_CHANGED = struct.Struct("<BB")
_CLOCK_REPLY = struct.Struct("<QQq")
_DECISION_ACK = struct.Struct("<IIB")
_STATS = struct.Struct("<QqIIIIIIIIIIIIIBBBBBBiqIIIIIII")
_PART_EVENT = struct.Struct("<IIqQI")
_EXPOSED_EVENT = struct.Struct("<IIBIqQ")
_GATE_EVENT = struct.Struct("<IIBBIqQ")
_FAULT_EVENT = struct.Struct("<IBqQ")


def _pack_hello(m: Hello) -> bytes:
    return _HELLO.pack(
        m.host_session,
    )


def _unpack_hello(payload: bytes) -> Hello:
    v = _HELLO.unpack(payload)
    return Hello(
        v[0],
    )


def _pack_configure(m: Configure) -> bytes:
    return _CONFIGURE.pack(
        m.gate_counts,
        m.lead_counts,
        *m.camera_counts,
        m.min_gap_counts,
        m.gate_hold_counts,
        m.heartbeat_timeout_ms,
        m.tick_hz,
        m.gate_sensor_counts,
        m.gate_window_counts,
        m.encoder_max_hz,
        m.encoder_back_counts,
        m.shortest_part_counts,
        *m.strobe_us,
        m.host_lost_rejects,
        m.trigger_source,
        m.crc,
    )


def _unpack_configure(payload: bytes) -> Configure:
    v = _CONFIGURE.unpack(payload)
    return Configure(
        v[0],
        v[1],
        (v[2], v[3]),
        v[4],
        v[5],
        v[6],
        v[7],
        v[8],
        v[9],
        v[10],
        v[11],
        v[12],
        (v[13], v[14]),
        v[15],
        TriggerSource(v[16]),
        v[17],
    )


def _pack_arm(m: Arm) -> bytes:
    return _ARM.pack(
        m.schema_hash,
    )


def _unpack_arm(payload: bytes) -> Arm:
    v = _ARM.unpack(payload)
    return Arm(
        v[0],
    )


def _pack_disarm(_: Disarm) -> bytes:
    return b""


def _unpack_disarm(payload: bytes) -> Disarm:
    if payload:
        raise struct.error("Disarm carries no fields")
    return Disarm()


def _pack_heartbeat(m: Heartbeat) -> bytes:
    return _HEARTBEAT.pack(
        m.host_ns,
    )


def _unpack_heartbeat(payload: bytes) -> Heartbeat:
    v = _HEARTBEAT.unpack(payload)
    return Heartbeat(
        v[0],
    )


def _pack_clock_request(m: ClockRequest) -> bytes:
    return _CLOCK_REQUEST.pack(
        m.host_ns,
    )


def _unpack_clock_request(payload: bytes) -> ClockRequest:
    v = _CLOCK_REQUEST.unpack(payload)
    return ClockRequest(
        v[0],
    )


def _pack_decision(m: Decision) -> bytes:
    return _DECISION.pack(
        m.part,
        m.accept,
        m.verdict_seq,
    )


def _unpack_decision(payload: bytes) -> Decision:
    v = _DECISION.unpack(payload)
    return Decision(
        v[0],
        v[1],
        v[2],
    )


def _pack_event_request(m: EventRequest) -> bytes:
    return _EVENT_REQUEST.pack(
        m.first,
        m.count,
    )


def _unpack_event_request(payload: bytes) -> EventRequest:
    v = _EVENT_REQUEST.unpack(payload)
    return EventRequest(
        v[0],
        v[1],
    )


def _pack_test_output(m: TestOutput) -> bytes:
    return _TEST_OUTPUT.pack(
        m.output,
        m.duration_ms,
    )


def _unpack_test_output(payload: bytes) -> TestOutput:
    v = _TEST_OUTPUT.unpack(payload)
    return TestOutput(
        TestTarget(v[0]),
        v[1],
    )


def _pack_release_fault(_: ReleaseFault) -> bytes:
    return b""


def _unpack_release_fault(payload: bytes) -> ReleaseFault:
    if payload:
        raise struct.error("ReleaseFault carries no fields")
    return ReleaseFault()


def _pack_soft_trigger(m: SoftTrigger) -> bytes:
    return _SOFT_TRIGGER.pack(
        m.request,
    )


def _unpack_soft_trigger(payload: bytes) -> SoftTrigger:
    v = _SOFT_TRIGGER.unpack(payload)
    return SoftTrigger(
        v[0],
    )


def _pack_restart(_: Restart) -> bytes:
    return b""


def _unpack_restart(payload: bytes) -> Restart:
    if payload:
        raise struct.error("Restart carries no fields")
    return Restart()


def _pack_ack(_: Ack) -> bytes:
    return b""


def _unpack_ack(payload: bytes) -> Ack:
    if payload:
        raise struct.error("Ack carries no fields")
    return Ack()


def _pack_hello_ack(m: HelloAck) -> bytes:
    return _HELLO_ACK.pack(
        m.host_session,
        m.boot,
        m.version,
        m.schema_hash,
        m.state,
        m.fault,
        m.oldest_event,
        m.next_event,
        m.config_crc,
    )


def _unpack_hello_ack(payload: bytes) -> HelloAck:
    v = _HELLO_ACK.unpack(payload)
    return HelloAck(
        v[0],
        v[1],
        v[2],
        v[3],
        State(v[4]),
        Fault(v[5]),
        v[6],
        v[7],
        v[8],
    )


def _pack_configure_ack(m: ConfigureAck) -> bytes:
    return _CONFIGURE_ACK.pack(
        m.accepted,
        m.reason,
    )


def _unpack_configure_ack(payload: bytes) -> ConfigureAck:
    v = _CONFIGURE_ACK.unpack(payload)
    return ConfigureAck(
        v[0],
        ConfigureReason(v[1]),
    )


def _pack_state_changed(m: StateChanged) -> bytes:
    return _STATE_CHANGED.pack(
        m.state,
        m.reason,
    )


def _unpack_state_changed(payload: bytes) -> StateChanged:
    v = _STATE_CHANGED.unpack(payload)
    return StateChanged(
        State(v[0]),
        StateReason(v[1]),
    )


def _pack_clock_reply(m: ClockReply) -> bytes:
    return _CLOCK_REPLY.pack(
        m.host_ns,
        m.tick,
        m.counts,
    )


def _unpack_clock_reply(payload: bytes) -> ClockReply:
    v = _CLOCK_REPLY.unpack(payload)
    return ClockReply(
        v[0],
        v[1],
        v[2],
    )


def _pack_decision_ack(m: DecisionAck) -> bytes:
    return _DECISION_ACK.pack(
        m.part,
        m.verdict_seq,
        m.outcome,
    )


def _unpack_decision_ack(payload: bytes) -> DecisionAck:
    v = _DECISION_ACK.unpack(payload)
    return DecisionAck(
        v[0],
        v[1],
        DecisionOutcome(v[2]),
    )


def _pack_stats(m: Stats) -> bytes:
    return _STATS.pack(
        m.tick,
        m.counts,
        m.parts,
        m.accepts,
        m.rejects,
        m.late_decisions,
        m.unknown_decisions,
        m.duplicate_decisions,
        m.refused_decisions,
        m.crc_errors,
        m.stale_frames,
        m.dropped_frames,
        m.oldest_event,
        m.next_event,
        m.config_crc,
        m.state,
        m.fault,
        m.host_alive,
        m.run_permit,
        m.reset,
        m.purging,
        m.purge_counts,
        m.fault_detail,
        m.faults,
        m.gate_edges,
        m.missing_parts,
        m.extra_parts,
        m.strobes_refused,
        m.encoder_errors,
        m.refused_triggers,
    )


def _unpack_stats(payload: bytes) -> Stats:
    v = _STATS.unpack(payload)
    return Stats(
        v[0],
        v[1],
        v[2],
        v[3],
        v[4],
        v[5],
        v[6],
        v[7],
        v[8],
        v[9],
        v[10],
        v[11],
        v[12],
        v[13],
        v[14],
        State(v[15]),
        Fault(v[16]),
        v[17],
        v[18],
        ResetReason(v[19]),
        v[20],
        v[21],
        v[22],
        v[23],
        v[24],
        v[25],
        v[26],
        v[27],
        v[28],
        v[29],
    )


def _pack_part_event(m: PartEvent) -> bytes:
    return _PART_EVENT.pack(
        m.event,
        m.part,
        m.counts,
        m.tick,
        m.request,
    )


def _unpack_part_event(payload: bytes) -> PartEvent:
    v = _PART_EVENT.unpack(payload)
    return PartEvent(
        v[0],
        v[1],
        v[2],
        v[3],
        v[4],
    )


def _pack_exposed_event(m: ExposedEvent) -> bytes:
    return _EXPOSED_EVENT.pack(
        m.event,
        m.part,
        m.camera,
        m.trigger_index,
        m.counts,
        m.tick,
    )


def _unpack_exposed_event(payload: bytes) -> ExposedEvent:
    v = _EXPOSED_EVENT.unpack(payload)
    return ExposedEvent(
        v[0],
        v[1],
        v[2],
        v[3],
        v[4],
        v[5],
    )


def _pack_gate_event(m: GateEvent) -> bytes:
    return _GATE_EVENT.pack(
        m.event,
        m.part,
        m.lane,
        m.cause,
        m.verdict_seq,
        m.counts,
        m.tick,
    )


def _unpack_gate_event(payload: bytes) -> GateEvent:
    v = _GATE_EVENT.unpack(payload)
    return GateEvent(
        v[0],
        v[1],
        Lane(v[2]),
        GateCause(v[3]),
        v[4],
        v[5],
        v[6],
    )


def _pack_fault_event(m: FaultEvent) -> bytes:
    return _FAULT_EVENT.pack(
        m.event,
        m.fault,
        m.detail,
        m.tick,
    )


def _unpack_fault_event(payload: bytes) -> FaultEvent:
    v = _FAULT_EVENT.unpack(payload)
    return FaultEvent(
        v[0],
        Fault(v[1]),
        v[2],
        v[3],
    )


IDS: dict[type, int] = {
    Hello: 1,
    Configure: 2,
    Arm: 3,
    Disarm: 4,
    Heartbeat: 5,
    ClockRequest: 6,
    Decision: 7,
    EventRequest: 8,
    TestOutput: 9,
    ReleaseFault: 10,
    SoftTrigger: 11,
    Restart: 12,
    Ack: 32,
    HelloAck: 33,
    ConfigureAck: 34,
    StateChanged: 35,
    ClockReply: 36,
    DecisionAck: 37,
    Stats: 38,
    PartEvent: 48,
    ExposedEvent: 49,
    GateEvent: 50,
    FaultEvent: 51,
}
PACK: dict[type, Callable[..., bytes]] = {
    Hello: _pack_hello,
    Configure: _pack_configure,
    Arm: _pack_arm,
    Disarm: _pack_disarm,
    Heartbeat: _pack_heartbeat,
    ClockRequest: _pack_clock_request,
    Decision: _pack_decision,
    EventRequest: _pack_event_request,
    TestOutput: _pack_test_output,
    ReleaseFault: _pack_release_fault,
    SoftTrigger: _pack_soft_trigger,
    Restart: _pack_restart,
    Ack: _pack_ack,
    HelloAck: _pack_hello_ack,
    ConfigureAck: _pack_configure_ack,
    StateChanged: _pack_state_changed,
    ClockReply: _pack_clock_reply,
    DecisionAck: _pack_decision_ack,
    Stats: _pack_stats,
    PartEvent: _pack_part_event,
    ExposedEvent: _pack_exposed_event,
    GateEvent: _pack_gate_event,
    FaultEvent: _pack_fault_event,
}
UNPACK: dict[int, Callable[[bytes], Message]] = {
    1: _unpack_hello,
    2: _unpack_configure,
    3: _unpack_arm,
    4: _unpack_disarm,
    5: _unpack_heartbeat,
    6: _unpack_clock_request,
    7: _unpack_decision,
    8: _unpack_event_request,
    9: _unpack_test_output,
    10: _unpack_release_fault,
    11: _unpack_soft_trigger,
    12: _unpack_restart,
    32: _unpack_ack,
    33: _unpack_hello_ack,
    34: _unpack_configure_ack,
    35: _unpack_state_changed,
    36: _unpack_clock_reply,
    37: _unpack_decision_ack,
    38: _unpack_stats,
    48: _unpack_part_event,
    49: _unpack_exposed_event,
    50: _unpack_gate_event,
    51: _unpack_fault_event,
}
