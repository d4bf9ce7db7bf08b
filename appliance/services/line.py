"""Own time: parts, deadlines, the microcontroller's gate and the PLC's handshake.

The microcontroller makes the last call at the gate; this node only ever hands it a reason to open, once, in time and
for one part. Whatever is missing, late, unknown or out of order leaves the gate where its spring holds it.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from appliance.config import Camera
from appliance.config_mcu import Mcu
from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ControlWritten
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS, HostNs, McuTicks, S
from appliance.schema.command import Command, RefusedReply, Reply
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartId
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
from appliance.services._authority import Authority, GateOrder, ModelDecides, decision
from appliance.services._line_belt import Belt
from appliance.services._line_facts import actuated, entered, exposed
from appliance.services._line_gate import OnBelt, restarted
from appliance.services._line_hands import Hands, by_hand
from appliance.services._line_health import mcu_alarm, plc_health
from appliance.services._line_jobs import Jobs
from appliance.services._line_mcu import McuSide, PartFact
from appliance.services._line_plc import PlcSide
from appliance.services._line_recipes import InForce, Recipes
from appliance.services._line_state import StateTeller, Tally, line_state
from appliance.services._line_wishes import Wishes
from appliance.services._recipe_change import Changed, NotChanged
from firmware_bridge import messages as mcu

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
        recipe: InForce = InForce(),  # noqa: B008  frozen
        controlled: bool = False,
        epoch: str = "",
        pid: int = 0,
    ) -> None:
        """Take geometry, the cameras by name, the views an ACCEPT needs, and the handshake with the PLC.

        authority: who may open the gate.
        recipe: what the line works by until it is changed.
        controlled: parts are inspected only while a client's job runs.
        epoch: random, so that no two processes give the same id to a job.
        """
        self.name = "line"
        self.topics = (*authority.topics, STATUS)
        self._settings = settings
        self._views = tuple(views)
        self._camera_names = {camera.mcu_line: name for name, camera in cameras.items()}
        self._link = McuSide(settings, cameras, plc_triggers=handshake.plc_triggers)
        self._link.need(self._needs(authority), authority.needs, recipe.hash32)
        self._configure = self._link.configure
        way = self._configure.gate_counts - self._configure.lead_counts
        way_ns = int(way * S / (settings.belt_mm_s * settings.counts_per_mm))
        self._window = (way, way_ns - int(settings.guard_ms * MS))
        self._belt = Belt(settings, self._configure.gate_counts)
        self._hands = Hands()
        self._handshake = handshake
        self._plc_required = plc_required
        self._pid = pid
        self._plc_side = PlcSide(handshake, HostNs(0), required=plc_required)
        self._jobs = Jobs(epoch or f"{handshake.session:08x}", controlled=controlled)
        self._recipes = Recipes(recipe, authority, self._link, handshake)
        self._wishes = Wishes(self._jobs, self._link, handshake, self._recipes)
        self._teller, self._tally = StateTeller(), Tally()
        self._parts: dict[int, OnBelt] = {}
        self._passed = 0
        """Largest number of a part of this boot that met the gate."""
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
        self._handshake.recipe(self._recipes.in_force.number, self._recipes.in_force.hash32, now)
        return [self._health(now), *self._state(now)]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a decision, a unit's health, or a message of the microcontroller or the PLC."""
        return [*self._received(topic, message, now), *self._state(now)]

    def _received(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        if topic == VERDICT and isinstance(message, Verdict):
            return self._verdict(message, now)
        if topic == MANUAL and isinstance(message, ManualVerdict):
            return self._manual(message, now) if self._hands.take(message) else ()
        if isinstance(message, Health):
            self._link.unit(message)
            return ()
        if isinstance(message, Changed):
            self._views = message.recipe.views
            return [*self._recipes.changed(message, self._needs), *self._plc(now)]
        if isinstance(message, NotChanged):
            return [*self._recipes.not_changed(message, now), *self._plc(now)]
        if topic == "device:mcu":
            return self._mcu(message, now)
        if isinstance(message, ControlWritten):
            self._plc_side.control(message.words, now)
            return self._plc(now)
        if isinstance(message, Alarm) and topic == "device:plc":  # who was not let in
            return [Publish(ALARM + self.name, message)]
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Nothing to do: a lost decision is none, and none is a reject."""
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Start, stop or abort a job, or release what is latched; anything else is refused."""
        granted = self._wishes.answer(command, now, belt_empty=not self._parts)
        if isinstance(granted.reply, RefusedReply):
            return granted.reply, ()
        barred = self._take_back(Cause.NO_JOB) if granted.aborts else []
        return granted.reply, [*granted.outputs, *barred, *self._plc(now), *self._state(now)]

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Let the handshake move on, ask where the belt is, and report health."""
        outputs = [*self._wishes.tests.step(now), *self._plc(now)]
        if self._belt.ask_at is not None and now >= self._belt.ask_at:
            outputs.append(Send("mcu", self._belt.ask(now)))
            self._plan(now)
        if now >= self._health_at:
            self._progress += 1
            outputs.append(self._health(now))
        return [*outputs, *self._state(now)]

    def _verdict(self, verdict: Verdict, now: HostNs) -> Sequence[Output]:
        """Take the model's word where it decides; the first word about a part counts, and only in time."""
        authority, part = self._recipes.who, self._of(verdict.part)
        if not isinstance(authority, ModelDecides) or part is None or part.said is not None:
            return ()
        order = authority.order(verdict, part.entered, self._belt.closes(part.entered), now)
        return self._tell(part, order, verdict.disposition, verdict.decided, now)

    def _manual(self, manual: ManualVerdict, now: HostNs) -> Sequence[Output]:
        """Take a person's word: about a part before the gate it decides or objects, behind it a hand has acted."""
        part = self._of(manual.part)
        if part is None:
            if self._link.boot is None or (manual.part.boot == self._link.boot and manual.part.number > self._passed):
                self._hands.wait(manual)
                return ()
            return [Publish(HAND, by_hand(manual))]
        if part.said is not None and (manual.accept or not part.accept_sent):
            return ()  # only towards reject may a decision change
        authority = self._recipes.who
        if isinstance(authority, ModelDecides):
            order = authority.objection(manual, part.entered)
        else:
            order = authority.order(manual, part.entered, self._belt.closes(part.entered), now)
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

    def _needs(self, authority: Authority) -> list[str]:
        return [*(f"acquire@{view}" for view in self._views), *authority.needs]

    def _of(self, part: PartId) -> OnBelt | None:
        return self._parts.get(part.number) if part.boot == self._link.boot else None

    def _plan(self, now: HostNs) -> None:
        """Plan the next question about the belt for the parts that still wait for a decision."""
        self._belt.plan([part.entered for part in self._parts.values() if part.said is None and part.inspect], now)

    def _mcu(self, message: Struct, now: HostNs) -> Sequence[Output]:
        self._link.heard = now
        self._progress += 1
        match message:
            case mcu.PartEvent() | mcu.ExposedEvent() | mcu.GateEvent():
                return self._event(message, now)
            case mcu.ClockReply():
                if message.host_ns not in self._belt.asked:  # the clock's window needs its samples far apart
                    self._link.clock.update(HostNs(message.host_ns), now, McuTicks(message.tick))
                return [*self._position(message.tick, message.counts, now), *self._date(now)]
            case mcu.HelloAck():
                return self._hello(message, now)
            case mcu.Stats():
                outputs = self._latched(mcu.State(message.state), mcu.Fault(message.fault))
                outputs += self._position(message.tick, message.counts, now)
                return [*outputs, *self._link.told(message)]
            case mcu.StateChanged():
                self._link.changed(message)
                return [self._health(now)]
        alarm = mcu_alarm(message)
        return [self._alarm(*alarm, now)] if alarm is not None else ()

    def _latched(self, state: mcu.State, fault: mcu.Fault) -> list[Output]:
        """Learn the microcontroller's state; where parts and gate no longer agree, nothing on the belt is accepted."""
        self._link.state, self._link.fault = state, fault
        return self._take_back(Cause.FAULT) if self._link.sync_lost else []

    def _position(self, tick: int, counts: int, now: HostNs) -> list[Output]:
        """State where the belt is."""
        if self._link.boot is None or not self._link.clock.synchronised:
            return []
        before = self._belt.position
        doubt = self._belt.saw(tick, counts, self._link.clock, self._link.boot)
        position = self._belt.position
        if position is None or position is before:
            return []
        self._plan(now)
        outputs: list[Output] = [Publish(BELT, position)]
        return [*outputs, self._alarm("belt_too_fast", doubt, now)] if doubt else outputs

    def _hello(self, hello: mcu.HelloAck, now: HostNs) -> Sequence[Output]:
        """Begin a session; a microcontroller that restarted has dropped its parts, and its gate fell to reject."""
        outputs: list[Output] = []
        if self._link.hello(hello):
            for part in self._parts.values():
                actuation = restarted(part, now)
                self._tally.add(actuation.lane)
                self._plc_side.post(actuation, part, now)
                outputs.append(Publish(ACTUATION, actuation))
            self._parts.clear()
            self._belt.forget()
            self._passed = 0
        outputs += self._link.bring_up(hello.config_crc)
        return [*outputs, *self._again(now)]

    def _again(self, now: HostNs) -> list[Output]:
        """Look again at what people said about parts that were not known then."""
        return [output for manual in self._hands.due() for output in self._manual(manual, now)]

    def _event(self, event: PartFact, now: HostNs) -> Sequence[Output]:
        """Take an event in its order; before the first clock answer it cannot be dated, so it waits."""
        if self._link.holds(event):
            return ()
        match event:
            case mcu.PartEvent():
                return self._enter(event, now)
            case mcu.ExposedEvent():
                return self._exposed(event, now)
            case mcu.GateEvent():
                return self._gate(event, now)

    def _date(self, now: HostNs) -> Sequence[Output]:
        return [output for event in self._link.datable() for output in self._event(event, now)]

    def _enter(self, event: mcu.PartEvent, now: HostNs) -> Sequence[Output]:
        if self._link.boot is None:
            return ()
        part = PartId(self._link.boot, event.part)
        ready = self._plc_side.entered(part, now, event.request)
        told = entered(event, part, self._link.clock, self._window, self._views)
        # One from before this process began was told of then, and may have its verdict; its session's parts reject.
        replayed = now >= self._belt.closes(told) or told.at < self._plc_side.since
        job = self._jobs.enter(event.part, replayed=replayed)
        told = replace(told, replayed=replayed, job=job or "")
        changing, sync_lost = self._recipes.changing or self._link.other_recipe, self._link.sync_lost
        inspect = ready and job is not None and not changing and not sync_lost
        barred = Cause.NO_JOB if job is None else Cause.CHANGEOVER if changing else Cause.PLC_NOT_READY
        self._parts[event.part] = OnBelt(told, inspect, barred)
        self._plan(now)
        return [Publish(PART_ENTERED, told), *self._plc(now), *self._again(now)]

    def _exposed(self, event: mcu.ExposedEvent, now: HostNs) -> Sequence[Output]:
        camera = self._camera_names.get(event.camera)
        if camera is None or self._link.boot is None:
            return ()
        told = exposed(event, PartId(self._link.boot, event.part), self._link.clock, camera)
        part = self._parts.get(event.part)
        if part is not None:
            part.exposures += 1
            if part.exposures == len(self._views):
                self._handshake.part_exposed(told.part, now)
        return [Publish(PART_EXPOSED, told)]

    def _gate(self, event: mcu.GateEvent, now: HostNs) -> Sequence[Output]:
        """State what the gate did; the one Actuation of the part."""
        if self._link.boot is None:
            return ()
        part = self._parts.pop(event.part, None)
        self._passed = max(self._passed, event.part)
        outputs: list[Output] = self._overtaken(event.part, now)
        actuation = actuated(event, PartId(self._link.boot, event.part), self._link.clock, part)
        self._tally.add(actuation.lane)
        outputs.append(Publish(ACTUATION, actuation))
        known = actuation.replayed or (part is not None and part.accept_sent)
        if actuation.lane is Lane.ACCEPT and not (actuation.disposition is Disposition.ACCEPT and known):
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
        asked = self._recipes.step(now)
        renewed = self._plc_side.renewed(
            now,
            ready=self._link.armed and self._jobs.covers and not self._link.other_recipe,
            jobless=not self._jobs.covers,
            sync_lost=self._link.sync_lost,
            changing=self._recipes.changing,
        )
        return [*asked, *(self._take_back(Cause.PLC_NOT_READY) if renewed else ()), *self._plc_side.outputs(now)]

    def _take_back(self, why: Cause) -> list[Output]:
        """Reject all that is on the belt. A reject after an accept wins."""
        outputs: list[Output] = []
        for part in self._parts.values():
            if not part.inspect:
                continue
            part.inspect, part.barred = False, why
            if part.accept_sent:
                order = GateOrder(part.entered.part, accept=False, sequence=part.sequence)
                outputs.append(Send("mcu", decision(order, inspect=False)))
        return outputs

    def _alarm(self, kind: str, text: str, now: HostNs) -> Output:
        return Publish(ALARM + self.name, Alarm(self.name, kind, text, at=now))

    def _health(self, now: HostNs) -> Output:
        self._health_at = HostNs(now + HEALTH_PERIOD)
        components = (
            self._link.health(now),
            plc_health(self._handshake.problem, required=self._plc_required),
        )
        order = list(Condition)
        condition = max((item.condition for item in components), key=order.index)
        return Publish(STATUS + self.name, Health(self.name, condition, components, self._progress, now, self._pid))

    def _state(self, now: HostNs) -> Sequence[Output]:
        """State how the line stands as a whole, when it is news."""
        self._jobs.settle(self._parts)
        state = line_state(
            now,
            self._jobs,
            self._handshake,
            self._recipes,
            self._link,
            self._plc_side,
            self._tally,
            plc_required=self._plc_required,
            busy=bool(self._parts),
        )
        return self._teller.outputs(state)
