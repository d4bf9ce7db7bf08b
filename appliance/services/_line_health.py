"""Word the health and the alarms of the line's two wires for the technician who reads them at night."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.schema.clocks import MS, HostNs, McuTicks
from appliance.schema.health import Component, Condition
from appliance.schema.line import Wires
from firmware_bridge.clocksync import ClockSync
from firmware_bridge.events import EventsLost
from firmware_bridge.messages import ConfigureAck, ConfigureReason, EncoderFault, Fault, FaultEvent, State, Stats

LINK_SILENCE = 500 * MS
"""Statistics come every 100 ms; five in a row missing mean a broken link."""

CABLE = "check cable, power and mcu.link"

CLEAR_BELT = "clear the belt, then reset the fault"
RUN_EMPTY = "clear the belt and confirm; it is over when the belt has run empty from sensor to gate"
PROGRAM = "reset the fault; if it comes again send this message with the station's log to the maker"
REMEDY = {
    Fault.NONE: CLEAR_BELT,
    Fault.TABLE_OVERFLOW: CLEAR_BELT,
    Fault.SYNC_LOST: RUN_EMPTY,
    Fault.ENCODER: f"check the encoder's coupling, cable and screen; {RUN_EMPTY}",
    Fault.CONFIGURATION: PROGRAM,
    Fault.WATCHDOG: PROGRAM,
    Fault.BROWN_OUT: "check the microcontroller's supply, then reset the fault",
    Fault.STACK: PROGRAM,
    Fault.CRASH: PROGRAM,
    Fault.MEMORY: "a fault may be forgotten: clear the belt, then reset the fault",
}
"""What a person does about each latched fault."""


def mcu_health(boot: int | None, state: State, fault: Fault, silent_ns: int, waiting: Sequence[str]) -> Component:
    """Word the microcontroller's health; `waiting` names the units that keep it from being armed."""
    if boot is None:
        return Component("mcu", Condition.STARTING, "no answer yet; all parts reject", CABLE)
    if silent_ns > LINK_SILENCE:
        return Component("mcu", Condition.FAILED, "link is silent; all parts reject", CABLE)
    if state is State.FAULT:
        cause = f"fault {fault.name.lower()} is latched; all parts reject"
        return Component("mcu", Condition.FAILED, cause, REMEDY[fault])
    if state is not State.ARMED:
        cause = f"not armed, waiting for {', '.join(waiting) or 'its configuration'}; all parts reject"
        return Component("mcu", Condition.DEGRADED, cause, "see these units in `firstshift check`")
    return Component("mcu", Condition.OK, f"armed, boot {boot:08x}")


def wires(stats: Stats, boot: int, clock: ClockSync, now: HostNs) -> Wires:
    """Give what the microcontroller tells of its inputs and outputs."""
    error = clock.to_host(McuTicks(stats.tick))[1] if clock.synchronised else -1
    return Wires(
        at=now,
        boot=boot,
        state=State(stats.state).name.lower(),
        fault=Fault(stats.fault).name.lower(),
        tick=stats.tick,
        clock_error_ns=error,
        encoder=stats.counts,
        parts=stats.parts,
        gate_edges=stats.gate_edges,
        accepts=stats.accepts,
        rejects=stats.rejects,
        missing=stats.missing_parts,
        extra=stats.extra_parts,
        encoder_errors=stats.encoder_errors,
        strobes_refused=stats.strobes_refused,
        damaged=stats.crc_errors,
        stale=stats.stale_frames,
        dropped=stats.dropped_frames,
        late=stats.late_decisions,
        run_permit=bool(stats.run_permit),
        way_left=stats.purge_counts,
    )


def plc_health(problem: tuple[str, str], *, required: bool) -> Component:
    """Word the PLC's health from the handshake's (cause, remedy)."""
    cause, remedy = problem
    if not cause:
        return Component("plc", Condition.OK)
    return Component("plc", Condition.DEGRADED, cause + ("; all parts reject" if required else ""), remedy)


def mcu_alarm(message: Struct) -> tuple[str, str] | None:
    """Give kind and text of the alarm that a message of the microcontroller is; None for most."""
    match message:
        case ConfigureAck() if not message.accepted:
            reason = ConfigureReason(message.reason).name.lower()
            return "mcu_configuration", f"microcontroller refused its configuration: {reason}; check [mcu]"
        case EventsLost():
            text = f"{message.count} events of the microcontroller are gone; its counters tell the rest"
            return "mcu_events_lost", text
        case FaultEvent():
            fault = Fault(message.fault)
            return "mcu_fault", f"microcontroller latched {_worded(fault, message.detail)}; {REMEDY[fault]}"
    return None


def _worded(fault: Fault, detail: int) -> str:
    """Name a fault with what the microcontroller tells of it."""
    if fault is Fault.SYNC_LOST:
        return (
            f"sync_lost: part {detail} never came to the gate" if detail else "sync_lost: one part too many at the gate"
        )
    if fault is Fault.ENCODER and detail in set(EncoderFault):
        return f"encoder: {EncoderFault(detail).name.lower()}"
    return fault.name.lower()
