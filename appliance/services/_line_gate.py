"""Tell the microcontroller its geometry, and read what it says of its gate."""

from appliance.config import Camera, Mcu
from appliance.schema.actuation import Cause
from appliance.schema.verdict import Disposition, Verdict
from firmware_bridge import messages as mcu
from firmware_bridge.configuration import configuration

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


def held_disposition(verdict: Verdict | None, event: mcu.GateEvent, *, replayed: bool) -> Disposition:
    """Give the verdict that was in hand when the gate acted.

    Of a part that an earlier process handled (`replayed`, no verdict known here) the microcontroller's memory tells: it
    opens on an ACCEPT only, and names the verdict it acted on.
    """
    if verdict is not None:
        return verdict.disposition
    accepted = event.cause == mcu.GateCause.ACCEPTED and event.verdict_seq > 0
    return Disposition.ACCEPT if replayed and accepted else Disposition.NO_VERDICT


def geometry(settings: Mcu, cameras: dict[str, Camera]) -> mcu.Configure:
    """Give the station's geometry as the microcontroller takes it, in encoder counts."""

    def counts(mm: float) -> int:
        return round(mm * settings.counts_per_mm)

    lines = {camera.mcu_line: counts(camera.distance_mm) for camera in cameras.values()}
    return configuration(
        gate_counts=counts(settings.gate_mm),
        lead_counts=counts(settings.lead_mm),
        camera_counts=(lines.get(0, -1), lines.get(1, -1)),
        min_gap_counts=counts(settings.min_gap_mm),
        gate_hold_counts=counts(settings.hold_mm),
        heartbeat_timeout_ms=settings.heartbeat_timeout_ms,
    )
