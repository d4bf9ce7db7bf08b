"""Own time: parts, deadlines, the microcontroller's gate and the PLC's handshake.

The microcontroller makes the last call at the gate; this node only ever hands it a reason to open, once, in time and
for one part. Whatever is missing, late, unknown or out of order leaves the gate where its spring holds it.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from appliance.config import Camera, Mcu
from appliance.outputs.handshake import Handshake
from appliance.outputs.modbus import ControlWritten
from appliance.outputs.registers import ErrorCode
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Actuation, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import Accepted, Command, RefusedReply, Reply, ResetFault
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.review import ManualVerdict
from appliance.schema.topics import (
    ACTUATION,
    ALARM,
    BELT,
    HAND,
    MANUAL,
    PART_ENTERED,
    PART_EXPOSED,
    STATUS,
    VERDICT,
)
from appliance.schema.verdict import Disposition, Verdict
from appliance.services._authority import BY_HAND, Authority, GateOrder, ModelDecides, decision
from appliance.services._line_belt import Belt
from appliance.services._line_gate import OnBelt, account, geometry, restarted
from appliance.services._line_hands import Hands, by_hand
from appliance.services._line_health import mcu_alarm, mcu_health, plc_health
from appliance.services._line_plc import PlcSide
from firmware_bridge import messages as mcu
from firmware_bridge.clocksync import ClockSync

HEALTH_PERIOD = 1 * S


class LineNode:
    """Join part sensor, decisions, gate and PLC. Never blocks."""

    def __init__(
        self,
        settings: Mcu,
        cameras: dict[str, Camera],
        views: Sequence[str],
        handshake: Handshake,
        *,
        plc_required: bool,
        authority: Authority,
        recipe: tuple[int, int] = (0, 0),
        pid: int = 0,
    ) -> None:
        """Take geometry, the cameras by name, the views an ACCEPT needs, and the handshake with the PLC.

        authority: who may open the gate.
        recipe: number and 32-bit hash of the active recipe, as the PLC reads them.
        """
        self.name = "line"
        self.topics = (*authority.topics, STATUS)
        self._authority = authority
        self._settings = settings
        self._views = tuple(views)
        self._camera_names = {camera.mcu_line: name for name, camera in cameras.items()}
        self._configure = geometry(settings, cameras)
        self._belt = Belt(settings, self._configure.gate_counts)
        self._hands = Hands()
        self._handshake = handshake
        self._plc_required = plc_required
        self._pid = pid
        self._plc_side = PlcSide(handshake, recipe, HostNs(0), required=plc_required)
        self._clock = ClockSync()
        self._boot: int | None = None
        self._state = mcu.State.BOOT
        self._fault = mcu.Fault.NONE
        self._parts: dict[int, OnBelt] = {}
        self._passed = 0
        """Largest number of a part of this boot that met the gate."""
        self._ready_units = dict.fromkeys([*(f"acquire@{view}" for view in views), *authority.needs], False)
        self._heard = HostNs(0)
        self._undated: list[mcu.PartEvent | mcu.ExposedEvent | mcu.GateEvent] = []
        self._health_at = HostNs(0)
        self._progress = 0

    @property
    def wake_at(self) -> HostNs | None:
        """Next step of the handshake, question about the belt or health report."""
        steps = (self._handshake.wake_at, self._belt.ask_at, self._health_at)
        return min(step for step in steps if step is not None)

    def start(self, now: HostNs) -> Sequence[Output]:
        """State health at once; the microcontroller is spoken to when its link says hello."""
        self._plc_side.since = now
        return [self._health(now)]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a decision, a unit's health, or a message of the microcontroller or the PLC."""
        if topic == VERDICT and isinstance(message, Verdict):
            return self._verdict(message, now)
        if topic == MANUAL and isinstance(message, ManualVerdict):
            return self._manual(message, now) if self._hands.take(message) else ()
        if isinstance(message, Health):
            return self._unit(message)
        if topic == "device:mcu":
            return self._mcu(message, now)
        if isinstance(message, ControlWritten):
            self._handshake.control(message.words, now)
            return self._plc(now)
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Nothing to do: a lost decision is none, and none is a reject."""
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
        """Let the handshake move on, ask where the belt is, and report health."""
        outputs = [*self._plc(now)]
        if self._belt.ask_at is not None and now >= self._belt.ask_at:
            outputs.append(Send("mcu", self._belt.ask(now)))
            self._plan(now)
        if now >= self._health_at:
            self._progress += 1
            outputs.append(self._health(now))
        return outputs

    def _verdict(self, verdict: Verdict, now: HostNs) -> Sequence[Output]:
        """Take the model's word where it decides; the first word about a part counts, and only in time."""
        authority, part = self._authority, self._of(verdict.part)
        if not isinstance(authority, ModelDecides) or part is None or part.said is not None:
            return ()
        order = authority.order(verdict, part.entered, self._belt.closes(part.entered), now)
        return self._tell(part, order, verdict.disposition, verdict.decided, now)

    def _manual(self, manual: ManualVerdict, now: HostNs) -> Sequence[Output]:
        """Take a person's word: about a part before the gate it decides or objects, behind it a hand has acted."""
        part = self._of(manual.part)
        if part is None:
            if self._boot is None or (manual.part.boot == self._boot and manual.part.number > self._passed):
                self._hands.wait(manual)
                return ()
            return [Publish(HAND, by_hand(manual))]
        if part.said is not None and (manual.accept or not part.accept_sent):
            return ()  # only towards reject may a decision change
        if isinstance(self._authority, ModelDecides):
            order = self._authority.objection(manual, part.entered)
        else:
            order = self._authority.order(manual, part.entered, self._belt.closes(part.entered), now)
        said = Disposition.ACCEPT if manual.accept else Disposition.REJECT
        return self._tell(part, order, said, manual.decided, now) if order is not None else ()

    def _tell(self, part: OnBelt, order: GateOrder, said: Disposition, decided: HostNs, now: HostNs) -> list[Output]:
        """Hand an order to the microcontroller, and keep what was said."""
        if part.said is None:
            part.late = part.entered.replayed or now > self._belt.closes(part.entered)
        part.said, part.sequence, part.decided = said, order.sequence, decided
        sent = decision(order, inspect=part.inspect and not part.entered.replayed)
        part.accept_sent = part.accept_sent or sent.accept == 1
        self._plan(now)
        return [Send("mcu", sent)]

    def _of(self, part: PartId) -> OnBelt | None:
        return self._parts.get(part.number) if part.boot == self._boot else None

    def _plan(self, now: HostNs) -> None:
        """Plan the next question about the belt for the parts that still wait for a decision."""
        self._belt.plan([part.entered for part in self._parts.values() if part.said is None and part.inspect], now)

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
                if message.host_ns not in self._belt.asked:  # the clock's window needs its samples far apart
                    self._clock.update(HostNs(message.host_ns), now, McuTicks(message.tick))
                return [*self._position(message.tick, message.counts, now), *self._date(now)]
            case mcu.HelloAck():
                return self._hello(message, now)
            case mcu.Stats():
                self._state, self._fault = mcu.State(message.state), mcu.Fault(message.fault)
                return [*self._position(message.tick, message.counts, now), *self._bring_up(message.config_crc)]
            case mcu.StateChanged():
                self._state = mcu.State(message.state)
                return [self._health(now)]
        alarm = mcu_alarm(message)
        return [self._alarm(*alarm, now)] if alarm is not None else ()

    def _position(self, tick: int, counts: int, now: HostNs) -> list[Output]:
        """State where the belt is."""
        if self._boot is None or not self._clock.synchronised:
            return []
        before = self._belt.position
        doubt = self._belt.saw(tick, counts, self._clock, self._boot)
        position = self._belt.position
        if position is None or position is before:
            return []
        self._plan(now)
        outputs: list[Output] = [Publish(BELT, position)]
        return [*outputs, self._alarm("belt_too_fast", doubt, now)] if doubt else outputs

    def _hello(self, hello: mcu.HelloAck, now: HostNs) -> Sequence[Output]:
        """Begin a session; a microcontroller that restarted has dropped its parts, and its gate fell to reject."""
        outputs: list[Output] = []
        if self._boot is not None and hello.boot != self._boot:
            for part in self._parts.values():
                actuation = restarted(part, now)
                self._plc_side.post(actuation, part, now)
                outputs.append(Publish(ACTUATION, actuation))
            self._parts.clear()
            self._undated.clear()
            self._clock = ClockSync()
            self._belt.forget()
            self._passed = 0
        self._boot = hello.boot
        self._state, self._fault = mcu.State(hello.state), mcu.Fault(hello.fault)
        outputs += self._bring_up(hello.config_crc)
        return [*outputs, *self._again(now)]

    def _again(self, now: HostNs) -> list[Output]:
        """Look again at what people said about parts that were not known then."""
        return [output for manual in self._hands.due() for output in self._manual(manual, now)]

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
        window = self._configure.gate_counts - self._configure.lead_counts
        window_ns = int(window * S / self._belt.fastest)
        part = PartId(self._boot, event.part)
        ready = self._plc_side.entered(part, now)
        entered = PartEntered(
            part=part,
            at=at,
            at_uncertainty_ns=uncertainty,
            at_tick=McuTicks(event.tick),
            at_counts=EncoderCounts(event.counts),
            decide_by=HostNs(at - uncertainty + window_ns - int(self._settings.guard_ms * MS)),
            cameras=self._views,
            close_counts=EncoderCounts(event.counts + window),
        )
        # One from before this process began was told of then, and may have its verdict; its session's parts reject.
        if now >= self._belt.closes(entered) or at < self._plc_side.since:
            entered = replace(entered, replayed=True)
        self._parts[event.part] = OnBelt(entered, inspect=ready)
        self._plan(now)
        return [Publish(PART_ENTERED, entered), *self._plc(now), *self._again(now)]

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
        part = self._parts.pop(event.part, None)
        self._passed = max(self._passed, event.part)
        outputs: list[Output] = self._overtaken(event.part, now)
        at, _ = self._clock.to_host(McuTicks(event.tick))
        replayed = part is None or part.entered.replayed
        cause, disposition = account(part, event, replayed=replayed)
        actuation = Actuation(
            part=PartId(self._boot, event.part),
            lane=lane,
            cause=cause,
            disposition=disposition,
            verdict_sequence=0 if event.verdict_seq & BY_HAND else event.verdict_seq,
            at=at,
            at_tick=McuTicks(event.tick),
            at_counts=EncoderCounts(event.counts),
            replayed=replayed,
        )
        outputs.append(Publish(ACTUATION, actuation))
        accepted = disposition is Disposition.ACCEPT and (replayed or (part is not None and part.accept_sent))
        if lane is Lane.ACCEPT and not accepted:
            text = f"part {actuation.part} reached the accept lane without an ACCEPT; stop the line and test the gate"
            outputs.append(self._alarm("accepted_without_verdict", text, now))
        self._plc_side.post(actuation, part, now)
        self._plan(now)
        return [*outputs, *self._plc(now), *self._again(now)]

    def _overtaken(self, number: int, now: HostNs) -> list[Output]:
        """Give up on parts that a later one met the gate before: their event is lost, their lane unknown."""
        lost = [part for part in self._parts if part < number]
        for part in lost:
            self._handshake.forget(self._parts.pop(part).entered.part, now)
        if not lost:
            return []
        text = f"what the gate did with parts {lost[0]} to {lost[-1]} was lost; find them by hand"
        return [self._alarm("actuation_lost", text, now)]

    def _plc(self, now: HostNs) -> list[Output]:
        """Let the handshake move on."""
        renewed = self._plc_side.renewed(now, ready=self._state is mcu.State.ARMED)
        return [*(self._take_back() if renewed else ()), *self._plc_side.outputs(now)]

    def _take_back(self) -> list[Output]:
        """Reject all that is on the belt: a PLC that restarted never saw it enter. A reject after an accept wins."""
        outputs: list[Output] = []
        for part in self._parts.values():
            part.inspect = False
            if part.accept_sent:
                order = GateOrder(part.entered.part, accept=False, sequence=part.sequence)
                outputs.append(Send("mcu", decision(order, inspect=False)))
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
