"""Play one random history of a line in parallel mode on the real node, with a gate that keeps the firmware's rule.

One to three parts on a belt that may stop; words of the model and of a person that are lost, doubled, delayed, late,
about the wrong part or on the wrong topic; a `line` or a microcontroller that restarts. A seed names a history; what
the model says in it is drawn apart, so that only its dispositions differ between two tellings of one history.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from enum import Enum
from functools import partial

from msgspec import Struct

from appliance.outputs.plc.handshake import Handshake
from appliance.ports.node import Publish
from appliance.schema.actuation import Actuation, Lane
from appliance.schema.clocks import MS, HostNs, S, UtcNs
from appliance.schema.part import PartId
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.topics import MANUAL, RESULT, SEALED, VERDICT
from appliance.schema.verdict import Disposition, InspectionResult, Reason, SealedVerdict, StageTimes, Verdict
from appliance.services._authority import Authority, HandDecides
from appliance.services.line import LineNode
from firmware_bridge import messages as mcu
from tests.unit.line_rig import CAMERAS, GUARD, SETTINGS

COUNTS_PER_MS = 10
GATE, LEAD = 4000, 250
"""Counts from the sensor to the gate, and before it to the closing count; as `SETTINGS` has them."""
BEGIN = 10 * S
ROUND_TRIP = 200_000
QUANTUM = 100_000
"""Time of one count at full speed, ns."""
EMPTY = StageTimes()
STRANGER = 9
"""Number of a part that never was."""


class Model(Enum):
    """Say what the model says."""

    ACCEPTS = "accepts"
    REJECTS = "rejects"
    RANDOM = "random"


class Word(Struct):
    """State one person's word as it reached `line`."""

    at: int
    part: PartId
    accept: bool


class Played(Struct):
    """Hold what became of a history."""

    trace: list[tuple[object, ...]]
    """All that `line` told the microcontroller and all that the gate did, with its instants."""
    accepts: list[tuple[int, PartId]]
    """Accepts that `line` ordered."""
    opened: list[PartId]
    """Parts that met the gate in the accept lane."""
    words: list[Word]
    closes: dict[PartId, int]
    """True closing instants."""
    stated: list[Actuation]
    forgotten: set[PartId]
    """Parts whose gate event was lost with the microcontroller's memory: nobody can tell of them any more."""

    def faults(self) -> list[str]:
        """Name what is wrong: an accept needs a person's, about this part, the guard before the belt closes it."""
        found = []
        for at, part in self.accepts:
            if not any(word.part == part and word.accept and word.at <= at for word in self.words):
                found.append(f"{part}: accept ordered without a person's")
            if at > self.closes.get(part, 0) - GUARD + QUANTUM:
                found.append(f"{part}: accept ordered too late")
        ordered = {part for _, part in self.accepts}
        found += [f"{part}: passed without an order" for part in self.opened if part not in ordered]
        lanes = {one.part: one.lane for one in self.stated}
        known = [part for part in self.opened if part not in self.forgotten]
        found += [f"{part}: passed and was told rejected" for part in known if lanes.get(part) is Lane.REJECT]
        return found


class _Slot(Struct):
    sensor: int
    decision: int | None = None
    sequence: int = 0
    closed: bool = False
    barred: mcu.GateCause | None = None
    cause: mcu.GateCause = mcu.GateCause.NO_DECISION


class History:
    """Play a history; the same seed with another model differs in nothing but what the model says."""

    def __init__(
        self,
        seed: int,
        model: Model,
        line: type[LineNode] = LineNode,
        authority: Callable[[], Authority] = HandDecides,
    ) -> None:
        """Take the node and who may open the gate."""
        self._random, self._mind, self._model = random.Random(seed), random.Random(-1 - seed), model
        self._line, self._authority = line, authority
        self._heap: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = itertools.count()
        self._boot, self._number, self._events = 1 + seed % 1000, 0, 1
        self._slots: dict[int, _Slot] = {}
        self._wake = 0
        self.played = Played([], [], [], [], {}, [], set())
        self._stop_at, self._stop_ns = self._belt()
        self._begin(BEGIN)
        self._plan()

    def play(self) -> Played:
        """Play it to the end."""
        while self._heap:
            at, _, act = heapq.heappop(self._heap)
            due = self._node.wake_at
            if due is not None and due <= at and self._wake < at:
                self._wake = at
                self._carry(self._node.wake(HostNs(at)), at)
            act(at)
        return self.played

    # ---- the plan ----

    def _plan(self) -> None:
        draw = self._random
        count = draw.randrange(1, 4)
        enters = [BEGIN + 5 * MS + place * 120 * MS + draw.randrange(20 * MS) for place in range(count)]
        for at in enters:
            self._at(at, self._enter)
        last = self._when(self._counts(enters[-1]) + GATE)
        for at in range(BEGIN + 100 * MS, last + 100 * MS, 100 * MS):
            self._at(at, self._report)
        for number in range(1, count + 1):
            for _ in range(draw.randrange(3)):
                self._say(enters[number - 1], number, self._by_model)
            for _ in range(draw.randrange(3)):
                self._say(enters[number - 1], number, self._by_person)
        if draw.random() < 0.1:
            self._at(draw.randrange(BEGIN, last), self._restart_line)
        if draw.random() < 0.05:
            self._at(draw.randrange(BEGIN, last), self._reset)

    def _belt(self) -> tuple[int, int]:
        draw = self._random
        if draw.random() < 0.5:
            return BEGIN, 0
        return BEGIN + draw.randrange(600 * MS), draw.randrange(2000 * MS)

    def _say(self, entered: int, number: int, make: Callable[[PartId], tuple[str, Struct]]) -> None:
        """Plan a word: lost, doubled, delayed past the closing count, or about another part."""
        draw = self._random
        part = PartId(self._boot, number)
        fate = draw.random()
        if fate < 0.05:
            part = PartId(self._boot + 1, number)
        elif fate < 0.1:
            part = PartId(self._boot, draw.choice([1, 2, 3, STRANGER]))
        topic, message = make(part)
        if draw.random() < 0.1:
            return
        closes = self._when(self._counts(entered) + GATE - LEAD)
        at = draw.randrange(entered, closes) if draw.random() < 0.6 else draw.randrange(entered - 5 * MS, closes + S)
        if draw.random() < 0.1:
            at = closes - GUARD + draw.randrange(-MS, MS)
        for _ in range(1 + (draw.random() < 0.15)):
            self._at(at, lambda now: self._hear(topic, message, now))
            at += draw.randrange(300 * MS)

    def _by_model(self, part: PartId) -> tuple[str, Struct]:
        draw = self._random
        disposition = self._disposition()
        decided, by = HostNs(BEGIN), HostNs(BEGIN + S)
        if draw.random() < 0.5:
            sequence = draw.randrange(1, 100)
            message: Struct = Verdict(part, disposition, (Reason.WITHIN_LIMITS,), decided, by, sequence)
        else:
            result = InspectionResult(part, (), "", "", "", EMPTY, 0, decided)
            message = SealedVerdict(part, disposition, (Reason.WITHIN_LIMITS,), decided, by, result)
        return draw.choice([VERDICT, VERDICT, SEALED, MANUAL, RESULT, "device:mcu"]), message

    def _disposition(self) -> Disposition:
        match self._model:
            case Model.ACCEPTS:
                return Disposition.ACCEPT
            case Model.REJECTS:
                return Disposition.REJECT
        return self._mind.choice(list(Disposition))

    def _by_person(self, part: PartId) -> tuple[str, Struct]:
        draw = self._random
        accept = draw.random() < 0.7
        name = f"{draw.getrandbits(64):x}"
        decided = HostNs(BEGIN)
        word = ManualVerdict(name, part, accept, "good", "op-1", Occasion.PARALLEL, 1.0, False, decided, UtcNs(0))
        return VERDICT if draw.random() < 0.05 else MANUAL, word

    # ---- belt and gate ----

    def _counts(self, at: int) -> int:
        stood = min(max(0, at - self._stop_at), self._stop_ns)
        return (at - BEGIN - stood) * COUNTS_PER_MS // MS

    def _when(self, counts: int) -> int:
        """Give the first instant at which the encoder shows a count."""
        at = BEGIN + -(-counts * MS // COUNTS_PER_MS)
        return at if at <= self._stop_at else at + self._stop_ns

    def _enter(self, now: int) -> None:
        self._number += 1
        number, counts = self._number, self._counts(now)
        self._slots[number] = _Slot(counts)
        self.played.closes[PartId(self._boot, number)] = self._when(counts + GATE - LEAD)
        boot = self._boot
        self._at(self._when(counts + GATE - LEAD), lambda at: self._close(boot, number, at))
        self._at(self._when(counts + GATE), lambda at: self._gate(boot, number, at))
        self._event(mcu.PartEvent(self._events, number, counts, now // 1000), now)

    def _close(self, boot: int, number: int, now: int) -> None:
        slot = self._slots.get(number) if boot == self._boot else None
        if slot is None:
            return
        slot.closed = True
        decided = {None: mcu.GateCause.NO_DECISION, 1: mcu.GateCause.ACCEPTED, 0: mcu.GateCause.DECIDED_REJECT}
        slot.cause = slot.barred or decided[slot.decision]

    def _gate(self, boot: int, number: int, now: int) -> None:
        slot = self._slots.pop(number, None) if boot == self._boot else None
        if slot is None:
            return
        lane = mcu.Lane.ACCEPT if slot.cause is mcu.GateCause.ACCEPTED else mcu.Lane.REJECT
        self.played.trace.append((now, boot, number, lane, slot.cause, slot.sequence))
        if lane is mcu.Lane.ACCEPT:
            self.played.opened.append(PartId(boot, number))
        counts = self._counts(now)
        self._event(mcu.GateEvent(self._events, number, lane, slot.cause, slot.sequence, counts, now // 1000), now)

    def _decide(self, decision: mcu.Decision, now: int) -> None:
        """Take a decision as `parts_decide` of the firmware does."""
        if decision.accept == 1:
            self.played.accepts.append((now, PartId(self._boot, decision.part)))
        slot = self._slots.get(decision.part)
        wish = 1 if decision.accept == 1 else 0
        if slot is None or slot.closed or slot.barred is not None or slot.decision == wish:
            return
        if wish == 1 and slot.decision == 0:
            return
        slot.decision, slot.sequence = wish, decision.verdict_seq

    # ---- the wires ----

    def _at(self, at: int, act: Callable[[int], None]) -> None:
        heapq.heappush(self._heap, (at, next(self._order), act))

    def _begin(self, now: int) -> None:
        handshake = Handshake(1 + self._random.getrandbits(16), HostNs(now))
        self._node = self._line(SETTINGS, CAMERAS, ("top",), handshake, plc_required=False, authority=self._authority())
        self._carry(self._node.start(HostNs(now)), now)
        self._hello(now)

    def _restart_line(self, now: int) -> None:
        for slot in self._slots.values():
            if not slot.closed:
                slot.barred = mcu.GateCause.OLD_SESSION
        self._begin(now)

    def _reset(self, now: int) -> None:
        self._boot, self._number, self._events = self._boot + 5000, 0, 1
        self._slots.clear()
        self._hello(now)

    def _hello(self, now: int) -> None:
        state, fault = mcu.State.ARMED, mcu.Fault.NONE
        crc = self._node._configure.crc
        self._tell("device:mcu", mcu.HelloAck(1, self._boot, 1, mcu.SCHEMA_HASH, state, fault, 1, 1, crc), now)
        self._answer(now - ROUND_TRIP, now)

    def _report(self, now: int) -> None:
        self._answer(now - ROUND_TRIP, now)

    def _answer(self, asked: int, now: int) -> None:
        middle = asked + ROUND_TRIP // 2
        self._tell("device:mcu", mcu.ClockReply(asked, middle // 1000, self._counts(max(middle, BEGIN))), now)

    def _event(self, event: mcu.PartEvent | mcu.GateEvent, now: int) -> None:
        self._events += 1
        delay = self._random.choice([MS // 2, MS // 2, 2 * MS, 40 * MS])
        part = PartId(self._boot, event.part)
        self._at(now + delay, lambda at: self._arrive(part, event, at))

    def _arrive(self, part: PartId, event: mcu.PartEvent | mcu.GateEvent, now: int) -> None:
        if part.boot == self._boot:
            self._tell("device:mcu", event, now)
        elif isinstance(event, mcu.GateEvent):
            self.played.forgotten.add(part)

    def _hear(self, topic: str, message: Struct, now: int) -> None:
        if topic == MANUAL and isinstance(message, ManualVerdict):
            self.played.words.append(Word(now, message.part, message.accept))
        self._tell(topic, message, now)

    def _tell(self, topic: str, message: Struct, now: int) -> None:
        self._carry(self._node.receive(topic, message, HostNs(now)), now)

    def _carry(self, outputs: object, now: int) -> None:
        for one in outputs:  # type: ignore[attr-defined]
            if isinstance(one, Publish):
                if isinstance(one.message, Actuation):
                    self.played.stated.append(one.message)
                    self.played.trace.append((now, one.message))
            elif isinstance(one.message, mcu.Decision):
                self.played.trace.append((now, one.message))
                self._decide(one.message, now)
            elif isinstance(one.message, mcu.ClockRequest):
                self._at(now + ROUND_TRIP, partial(self._answer, now))


def faults(seed: int, line: type[LineNode] = LineNode, authority: Callable[[], Authority] = HandDecides) -> list[str]:
    """Tell a history three times, each with another model, and name what is wrong with it."""
    told = [History(seed, model, line, authority).play() for model in Model]
    found = [fault for one in told for fault in one.faults()]
    if any(one.trace != told[0].trace for one in told[1:]):
        found.append("the gate followed the model")
    return found
