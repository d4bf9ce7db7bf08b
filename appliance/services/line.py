"""Own time: parts, deadlines, the microcontroller's gate and the PLC's handshake.

The microcontroller makes the last call at the gate; this node only ever hands it a reason to open, once, in time and
for one part. Whatever is missing, late, unknown or out of order leaves the gate where its spring holds it.
"""

from collections.abc import Sequence

from msgspec import Struct

from appliance.config import Camera, Mcu
from appliance.outputs.handshake import Handshake
from appliance.outputs.modbus import ControlWritten, StatusBlock
from appliance.outputs.registers import ErrorCode
from appliance.outputs.result_queue import Detail
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import Accepted, Command, RefusedReply, Reply, ResetFault
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.topics import ACTUATION, ALARM, PART_ENTERED, PART_EXPOSED, PLC_ACKNOWLEDGED, STATUS, VERDICT
from appliance.schema.verdict import Disposition, Verdict
from appliance.services._line_gate import GATE_CAUSE, geometry, held_disposition
from appliance.services._line_health import mcu_health, plc_health
from firmware_bridge import messages as mcu
from firmware_bridge.clocksync import ClockSync
from firmware_bridge.events import EventsLost

HEALTH_PERIOD = 1 * S


class _Part(Struct):
    """Hold a part between sensor and gate."""

    entered: PartEntered
    inspect: bool
    """False: the PLC could not take a result when the part came; it is never accepted."""
    verdict: Verdict | None = None
    late: bool = False
    accept_sent: bool = False
    exposures: int = 0


def accepts(verdict: Verdict, entered: PartEntered, now: HostNs) -> bool:
    """Say whether a verdict may open the gate for a part: an ACCEPT, for this very part, in time."""
    return verdict.disposition is Disposition.ACCEPT and verdict.part == entered.part and now <= entered.decide_by


class LineNode:
    """Join part sensor, verdicts, gate and PLC. Never blocks."""

    def __init__(
        self,
        settings: Mcu,
        cameras: dict[str, Camera],
        views: Sequence[str],
        handshake: Handshake,
        *,
        plc_required: bool,
        recipe: tuple[int, int] = (0, 0),
        pid: int = 0,
    ) -> None:
        """Take geometry, the cameras by name, the views an ACCEPT needs, and the handshake with the PLC.

        recipe: number and 32-bit hash of the active recipe, as the PLC reads them.
        """
        self.name = "line"
        self.topics = (VERDICT, STATUS)
        self._settings = settings
        self._views = tuple(views)
        self._camera_names = {camera.mcu_line: name for name, camera in cameras.items()}
        self._configure = geometry(settings, cameras)
        self._handshake = handshake
        self._plc_required = plc_required
        self._pid = pid
        self._recipe = recipe
        self._session = handshake.session
        self._clock = ClockSync()
        self._boot: int | None = None
        self._state = mcu.State.BOOT
        self._fault = mcu.Fault.NONE
        self._parts: dict[int, _Part] = {}
        self._ready_units: dict[str, bool] = {f"acquire@{view}": False for view in views} | {"judge": False}
        self._heard = HostNs(0)
        self._since = HostNs(0)
        self._undated: list[mcu.PartEvent | mcu.ExposedEvent | mcu.GateEvent] = []
        self._health_at = HostNs(0)
        self._progress = 0
        self._words: tuple[int, ...] = ()

    @property
    def wake_at(self) -> HostNs | None:
        """Next step of the handshake or health report."""
        step = self._handshake.wake_at
        return self._health_at if step is None else min(self._health_at, step)

    def start(self, now: HostNs) -> Sequence[Output]:
        """State health at once; the microcontroller is spoken to when its link says hello."""
        self._since = now
        return [self._health(now)]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a verdict, a unit's health, or a message of the microcontroller or the PLC."""
        if isinstance(message, Verdict):
            return self._verdict(message, now)
        if isinstance(message, Health):
            return self._unit(message)
        if topic == "device:mcu":
            return self._mcu(message, now)
        if isinstance(message, ControlWritten):
            self._handshake.control(message.words, now)
            return self._plc(now)
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Nothing to do: a lost verdict is no verdict, and no verdict is a reject."""
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Release a latched fault; anything else is refused."""
        if not isinstance(command, ResetFault):
            return RefusedReply(f"line does not take {type(command).__name__}"), ()
        released = self._handshake.error is not ErrorCode.NONE
        if released:
            self._handshake.reset(now)
        if self._state is mcu.State.FAULT:
            return Accepted(), [Send("mcu", mcu.ReleaseFault()), *self._plc(now)]
        if released:
            return Accepted(), self._plc(now)
        return RefusedReply(f"nothing is latched, the microcontroller is {self._state.name.lower()}"), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Let the handshake move on and report health."""
        outputs = [*self._plc(now)]
        if now >= self._health_at:
            self._progress += 1
            outputs.append(self._health(now))
        return outputs

    def _verdict(self, verdict: Verdict, now: HostNs) -> Sequence[Output]:
        """Tell the microcontroller what was decided; the first verdict of a part counts, and only in time."""
        part = self._parts.get(verdict.part.number) if verdict.part.boot == self._boot else None
        if part is None or part.verdict is not None:
            return ()
        part.verdict = verdict
        part.late = now > part.entered.decide_by
        accept = part.inspect and accepts(verdict, part.entered, now)
        part.accept_sent = accept
        return [Send("mcu", mcu.Decision(part=verdict.part.number, accept=int(accept), verdict_seq=verdict.sequence))]

    def _unit(self, health: Health) -> Sequence[Output]:
        if health.unit not in self._ready_units:
            return ()
        self._ready_units[health.unit] = health.condition in {Condition.OK, Condition.DEGRADED}
        return ()

    def _mcu(self, message: Struct, now: HostNs) -> Sequence[Output]:
        self._heard = now
        self._progress += 1
        match message:
            case mcu.PartEvent() | mcu.ExposedEvent() | mcu.GateEvent():
                return self._event(message, now)
            case mcu.ClockReply():
                self._clock.update(HostNs(message.host_ns), now, McuTicks(message.tick))
                return self._date(now)
            case mcu.HelloAck():
                return self._hello(message, now)
            case mcu.Stats():
                self._state, self._fault = mcu.State(message.state), mcu.Fault(message.fault)
                return self._bring_up(message.config_crc)
            case mcu.StateChanged():
                self._state = mcu.State(message.state)
                return [self._health(now)]
            case mcu.ConfigureAck() if not message.accepted:
                reason = mcu.ConfigureReason(message.reason).name.lower()
                return [
                    self._alarm(
                        "mcu_configuration", f"microcontroller refused its configuration: {reason}; check [mcu]", now
                    )
                ]
            case EventsLost():
                return [
                    self._alarm(
                        "mcu_events_lost",
                        f"{message.count} events of the microcontroller are gone; its counters tell the rest",
                        now,
                    )
                ]
            case mcu.FaultEvent():
                fault = mcu.Fault(message.fault).name.lower()
                return [
                    self._alarm(
                        "mcu_fault", f"microcontroller latched {fault}; clear the belt, then reset the fault", now
                    )
                ]
        return ()

    def _hello(self, hello: mcu.HelloAck, now: HostNs) -> Sequence[Output]:
        """Begin a session; a microcontroller that restarted has dropped its parts, and its gate fell to reject."""
        outputs: list[Output] = []
        if self._boot is not None and hello.boot != self._boot:
            outputs += [self._actuation(part, Lane.REJECT, Cause.FAULT, 0, now) for part in list(self._parts.values())]
            self._parts.clear()
            self._undated.clear()
            self._clock = ClockSync()
        self._boot = hello.boot
        self._state, self._fault = mcu.State(hello.state), mcu.Fault(hello.fault)
        outputs += self._bring_up(hello.config_crc)
        return outputs

    def _bring_up(self, config_crc: int) -> Sequence[Output]:
        """Move the microcontroller one step towards armed; called on each of its reports until it is there."""
        if self._boot is None or self._state in {mcu.State.ARMED, mcu.State.FAULT, mcu.State.BOOT}:
            return ()
        if config_crc != self._configure.crc:
            return [Send("mcu", self._configure)]
        if not self._waiting_for():
            return [Send("mcu", mcu.Arm())]
        return ()

    def _event(self, event: mcu.PartEvent | mcu.ExposedEvent | mcu.GateEvent, now: HostNs) -> Sequence[Output]:
        """Take an event in its order; before the first clock answer it cannot be dated, so it waits."""
        if not self._clock.synchronised:
            self._undated.append(event)
            return ()
        match event:
            case mcu.PartEvent():
                return self._enter(event, now)
            case mcu.ExposedEvent():
                return self._exposed(event, now)
            case mcu.GateEvent():
                return self._gate(event, now)

    def _date(self, now: HostNs) -> Sequence[Output]:
        waiting, self._undated = self._undated, []
        return [output for event in waiting for output in self._event(event, now)]

    def _enter(self, event: mcu.PartEvent, now: HostNs) -> Sequence[Output]:
        if self._boot is None:
            return ()
        at, uncertainty = self._clock.to_host(McuTicks(event.tick))
        settings = self._settings
        window_ns = int((settings.gate_mm - settings.lead_mm) / settings.belt_mm_s * S)
        decide_by = HostNs(at - uncertainty + window_ns - int(settings.guard_ms * MS))
        part = PartId(self._boot, event.part)
        ready = self._handshake.part_entered(part, now) or not self._plc_required
        entered = PartEntered(
            part=part,
            at=at,
            at_uncertainty_ns=uncertainty,
            at_tick=McuTicks(event.tick),
            at_counts=EncoderCounts(event.counts),
            decide_by=decide_by,
            cameras=self._views,
            replayed=now >= decide_by,
        )
        self._parts[event.part] = _Part(entered, inspect=ready)
        return [Publish(PART_ENTERED, entered), *self._plc(now)]

    def _exposed(self, event: mcu.ExposedEvent, now: HostNs) -> Sequence[Output]:
        camera = self._camera_names.get(event.camera)
        if camera is None or self._boot is None:
            return ()
        at, uncertainty = self._clock.to_host(McuTicks(event.tick))
        exposed = PartExposed(
            part=PartId(self._boot, event.part),
            camera=camera,
            trigger_index=event.trigger_index - 1,
            at=at,
            at_uncertainty_ns=uncertainty,
            at_tick=McuTicks(event.tick),
            at_counts=EncoderCounts(event.counts),
        )
        part = self._parts.get(event.part)
        if part is not None:
            part.exposures += 1
            if part.exposures == len(self._views):
                self._handshake.part_exposed(exposed.part, now)
        return [Publish(PART_EXPOSED, exposed)]

    def _gate(self, event: mcu.GateEvent, now: HostNs) -> Sequence[Output]:
        """State what the gate did; the one Actuation of the part."""
        if self._boot is None:
            return ()
        lane = Lane.ACCEPT if event.lane == mcu.Lane.ACCEPT else Lane.REJECT
        cause = GATE_CAUSE[mcu.GateCause(event.cause)]
        part = self._parts.pop(event.part, None)
        outputs: list[Output] = self._overtaken(event.part, now)
        at, _ = self._clock.to_host(McuTicks(event.tick))
        if part is not None and lane is Lane.REJECT and cause in {Cause.NO_VERDICT, Cause.DECIDED_REJECT}:
            if not part.inspect:
                cause = Cause.PLC_NOT_READY
            elif part.late:
                cause = Cause.LATE
        replayed = part is None or part.entered.replayed
        actuation = Actuation(
            part=PartId(self._boot, event.part),
            lane=lane,
            cause=cause,
            disposition=held_disposition(part.verdict if part is not None else None, event, replayed=replayed),
            verdict_sequence=event.verdict_seq,
            at=at,
            at_tick=McuTicks(event.tick),
            at_counts=EncoderCounts(event.counts),
            replayed=replayed,
        )
        outputs.append(Publish(ACTUATION, actuation))
        accepted = actuation.disposition is Disposition.ACCEPT and (replayed or (part is not None and part.accept_sent))
        if lane is Lane.ACCEPT and not accepted:
            text = f"part {actuation.part} reached the accept lane without an ACCEPT; stop the line and test the gate"
            outputs.append(self._alarm("accepted_without_verdict", text, now))
        self._post(actuation, part, now)
        return outputs + list(self._plc(now))

    def _overtaken(self, number: int, now: HostNs) -> list[Output]:
        """Give up on parts that a later one met the gate before: their event is lost, their lane unknown."""
        lost = [part for part in self._parts if part < number]
        for part in lost:
            self._handshake.forget(self._parts.pop(part).entered.part, now)
        if not lost:
            return []
        text = f"what the gate did with parts {lost[0]} to {lost[-1]} was lost; find them by hand"
        return [self._alarm("actuation_lost", text, now)]

    def _actuation(self, part: _Part, lane: Lane, cause: Cause, verdict_sequence: int, now: HostNs) -> Output:
        entered = part.entered
        actuation = Actuation(
            part=entered.part,
            lane=lane,
            cause=cause,
            disposition=part.verdict.disposition if part.verdict else Disposition.NO_VERDICT,
            verdict_sequence=verdict_sequence,
            at=now,
            at_tick=entered.at_tick,
            at_counts=entered.at_counts,
        )
        self._post(actuation, part, now)
        return Publish(ACTUATION, actuation)

    def _post(self, actuation: Actuation, part: _Part | None, now: HostNs) -> None:
        """Queue a result for the PLC; a test bench without one would only fill the queue.

        What the gate did before this process began stays out: the PLC had it, or rejected the part when the session
        ended, and a queue of old results has no place for new ones.
        """
        if actuation.at >= self._since and (self._plc_required or self._handshake.alive):
            self._handshake.post(actuation, _detail(part), now)
        else:
            self._handshake.forget(actuation.part, now)

    def _plc(self, now: HostNs) -> Sequence[Output]:
        """Let the handshake move on; send its block when it changed, publish what the PLC took over."""
        self._handshake.machine(now, ready=self._state is mcu.State.ARMED)
        outputs: list[Output] = []
        if self._handshake.session != self._session:
            self._session = self._handshake.session
            outputs += self._take_back() if self._plc_required else []
        if self._handshake.job_change is not None:  # this station has one recipe; the answer names it
            self._handshake.recipe(*self._recipe, now)
        outputs += [Publish(PLC_ACKNOWLEDGED, item) for item in self._handshake.acknowledged()]
        words = self._handshake.status()
        if words != self._words:
            self._words = words
            outputs.append(Send("plc", StatusBlock(words)))
        return outputs

    def _take_back(self) -> list[Output]:
        """Reject all that is on the belt: a PLC that restarted never saw it enter. A reject after an accept wins."""
        outputs: list[Output] = []
        for number, part in self._parts.items():
            part.inspect = False
            if part.accept_sent and part.verdict is not None:
                outputs.append(Send("mcu", mcu.Decision(part=number, accept=0, verdict_seq=part.verdict.sequence)))
        return outputs

    def _waiting_for(self) -> list[str]:
        return [unit for unit, ready in self._ready_units.items() if not ready]

    def _alarm(self, kind: str, text: str, now: HostNs) -> Output:
        return Publish(ALARM + self.name, Alarm(self.name, kind, text, at=now))

    def _health(self, now: HostNs) -> Output:
        self._health_at = HostNs(now + HEALTH_PERIOD)
        components = (
            mcu_health(self._boot, self._state, self._fault, now - self._heard, self._waiting_for()),
            plc_health(self._handshake.problem, required=self._plc_required),
        )
        order = list(Condition)
        condition = max((item.condition for item in components), key=order.index)
        return Publish(STATUS + self.name, Health(self.name, condition, components, self._progress, now, self._pid))


def _detail(part: _Part | None) -> Detail:
    """Give what the PLC may log of a part: sensor to verdict."""
    if part is None or part.verdict is None:
        return Detail()
    return Detail(latency_ms=(part.verdict.decided - part.entered.at) / MS)
