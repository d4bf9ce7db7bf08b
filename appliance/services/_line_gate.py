"""Tell the microcontroller its geometry, and read what it says of its gate."""

from msgspec import Struct

from appliance.config import Camera
from appliance.config_mcu import Mcu
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import HostNs
from appliance.schema.part import PartEntered
from appliance.schema.verdict import Disposition
from appliance.services._authority import BY_HAND
from firmware_bridge import messages as mcu
from firmware_bridge.configuration import NO_SENSOR, configuration

GATE_CAUSE = {
    mcu.GateCause.NO_DECISION: Cause.NO_VERDICT,
    mcu.GateCause.ACCEPTED: Cause.ACCEPTED,
    mcu.GateCause.DECIDED_REJECT: Cause.DECIDED_REJECT,
    mcu.GateCause.HOST_LOST: Cause.HOST_LOST,
    mcu.GateCause.OLD_SESSION: Cause.OLD_SESSION,
    mcu.GateCause.FAULT: Cause.FAULT,
    mcu.GateCause.NOT_ARMED: Cause.NOT_ARMED,
    mcu.GateCause.TOO_CLOSE: Cause.TOO_CLOSE,
    mcu.GateCause.GATE_LATE: Cause.GATE_LATE,
}

OVERSPEED = 4
"""No belt runs at so many times its fastest speed: counts that come faster are noise, and latch a fault."""


class OnBelt(Struct):
    """Hold a part between sensor and gate."""

    entered: PartEntered
    inspect: bool
    """False: it is never accepted."""
    barred: Cause = Cause.PLC_NOT_READY
    """Why, where `inspect` is False."""
    said: Disposition | None = None
    """What was decided, by the model or a person; None: nothing yet."""
    late: bool = False
    sequence: int = 0
    """Names the decision to the microcontroller."""
    accept_sent: bool = False
    decided: HostNs | None = None
    exposures: int = 0


def account(part: OnBelt | None, event: mcu.GateEvent, *, replayed: bool) -> tuple[Cause, Disposition]:
    """Give why a part met the gate as it did, and what was decided about it.

    Of a part that an earlier process handled (`replayed`, nothing known here) the microcontroller's memory tells: it
    opens on an accept only, and names the decision that it acted on.
    """
    cause = _cause(part, event)
    accepted = event.cause == mcu.GateCause.ACCEPTED and event.verdict_seq > 0
    if accepted and (replayed if part is None or part.said is None else part.accept_sent):
        return cause, Disposition.ACCEPT  # a reject after it may have come too late for the gate
    if part is not None and part.said is not None:
        return cause, part.said
    return cause, Disposition.REJECT if cause is Cause.OPERATOR and not accepted else Disposition.NO_VERDICT


def _cause(part: OnBelt | None, event: mcu.GateEvent) -> Cause:
    if part is not None and event.cause in {mcu.GateCause.NO_DECISION, mcu.GateCause.DECIDED_REJECT}:
        if not part.inspect:
            return part.barred
        if part.late:
            return Cause.LATE
    decided = event.cause in {mcu.GateCause.ACCEPTED, mcu.GateCause.DECIDED_REJECT}
    return Cause.OPERATOR if decided and event.verdict_seq & BY_HAND else GATE_CAUSE[mcu.GateCause(event.cause)]


def restarted(part: OnBelt, now: HostNs) -> Actuation:
    """State what became of a part on the belt when the microcontroller restarted: its gate fell to reject."""
    entered = part.entered
    return Actuation(
        part=entered.part,
        lane=Lane.REJECT,
        cause=Cause.FAULT,
        disposition=part.said or Disposition.NO_VERDICT,
        verdict_sequence=0,
        at=now,
        at_tick=entered.at_tick,
        at_counts=entered.at_counts,
    )


def geometry(settings: Mcu, cameras: dict[str, Camera], *, plc_triggers: bool = False) -> mcu.Configure:
    """Give the station's geometry as the microcontroller takes it, in encoder counts, and what makes a part."""

    def counts(mm: float) -> int:
        return round(mm * settings.counts_per_mm)

    lines = {camera.mcu_line: counts(camera.distance_mm) for camera in cameras.values()}
    lamps = {camera.mcu_line: camera.strobe_us for camera in cameras.values()}
    watched = settings.gate_sensor_mm > 0
    return configuration(
        gate_counts=counts(settings.gate_mm),
        lead_counts=counts(settings.lead_mm),
        camera_counts=(lines.get(0, -1), lines.get(1, -1)),
        min_gap_counts=counts(settings.min_gap_mm),
        gate_hold_counts=counts(settings.hold_mm),
        heartbeat_timeout_ms=settings.heartbeat_timeout_ms,
        gate_sensor_counts=counts(settings.gate_sensor_mm) if watched else NO_SENSOR,
        gate_window_counts=counts(settings.gate_window_mm) if watched else 0,
        encoder_max_hz=counts(OVERSPEED * settings.belt_mm_s),
        encoder_back_counts=counts(settings.min_gap_mm / 2),
        shortest_part_counts=counts(settings.shortest_part_mm),
        strobe_us=(lamps.get(0, 0), lamps.get(1, 0)),
        host_lost_rejects=settings.host_lost_rejects,
        trigger_source=mcu.TriggerSource.PLC if plc_triggers else mcu.TriggerSource.SENSOR,
    )
