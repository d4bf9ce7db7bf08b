"""Word the facts of a part from the microcontroller's events; its ticks are dated by the clock of its boot."""

from appliance.schema.actuation import Actuation, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.services._authority import BY_HAND
from appliance.services._line_gate import OnBelt, account
from firmware_bridge import messages as mcu
from firmware_bridge.clocksync import ClockSync


def entered(
    event: mcu.PartEvent, part: PartId, clock: ClockSync, window: tuple[int, int], cameras: tuple[str, ...]
) -> PartEntered:
    """Tell of a part at the sensor.

    window: encoder counts in which it can be decided, and host ns for the same way at the belt's largest speed, less
    the guard.
    """
    at, uncertainty = clock.to_host(McuTicks(event.tick))
    return PartEntered(
        part=part,
        at=at,
        at_uncertainty_ns=uncertainty,
        at_tick=McuTicks(event.tick),
        at_counts=EncoderCounts(event.counts),
        decide_by=HostNs(at - uncertainty + window[1]),
        cameras=cameras,
        close_counts=EncoderCounts(event.counts + window[0]),
    )


def exposed(event: mcu.ExposedEvent, part: PartId, clock: ClockSync, camera: str) -> PartExposed:
    """Tell of a camera line that fired; triggers are numbered from 0 here, from 1 by the microcontroller."""
    at, uncertainty = clock.to_host(McuTicks(event.tick))
    return PartExposed(
        part=part,
        camera=camera,
        trigger_index=event.trigger_index - 1,
        at=at,
        at_uncertainty_ns=uncertainty,
        at_tick=McuTicks(event.tick),
        at_counts=EncoderCounts(event.counts),
    )


def actuated(event: mcu.GateEvent, part: PartId, clock: ClockSync, known: OnBelt | None) -> Actuation:
    """Tell what the gate did. known: what is held of the part, None where an earlier process handled it."""
    at, _ = clock.to_host(McuTicks(event.tick))
    replayed = known is None or known.entered.replayed
    cause, disposition = account(known, event, replayed=replayed)
    return Actuation(
        part=part,
        lane=Lane.ACCEPT if event.lane == mcu.Lane.ACCEPT else Lane.REJECT,
        cause=cause,
        disposition=disposition,
        verdict_sequence=0 if event.verdict_seq & BY_HAND else event.verdict_seq,
        at=at,
        at_tick=McuTicks(event.tick),
        at_counts=EncoderCounts(event.counts),
        replayed=replayed,
    )
