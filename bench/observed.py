"""Watch a simulated line from outside and count what must never happen; nothing here asks a service for its opinion."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import isfinite

from msgspec import Struct

from appliance.ports.device import Device
from appliance.ports.node import Node
from appliance.schema.actuation import Lane
from appliance.schema.clocks import HostNs
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameReady
from appliance.schema.part import PartEntered, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import Disposition, InspectionResult, SealedVerdict, Verdict
from appliance.sim.line_world import COUNTS_PER_MM, LineWorld
from appliance.sim.twins import UNLIKE_ALL
from firmware_bridge.messages import Decision

ROUNDING = 1
"""Counts."""

READ_BACK_S = 3.0
"""In this time `line` has read the microcontroller's memory again, whatever it missed."""


class Account(Struct):
    """Sum up what became of parts."""

    triggers: int = 0
    """Parts that met the part sensor, and later the gate."""
    answers: int = 0
    """Of these, told of by the line in one account: an Actuation, or equal ones."""
    forgotten: int = 0
    """Of these, rejected by the gate's spring and told of by nobody: the microcontroller restarted while they were on
    the belt, and nobody else had heard of them."""
    unanswered: int = 0
    """The rest."""
    accepted: int = 0
    """Parts that met the gate in the accept lane."""
    good: int = 0
    """Parts without a defect."""
    late_accepts_handed: int = 0
    """Accepts handed to the microcontroller when the belt was past the part's deadline."""
    late_accepts_acted_on: int = 0
    """Of these, parts that met the gate in the accept lane."""
    accepts_from_a_fault: int = 0
    """ACCEPT verdicts on a view that is missing, incomplete, overwritten, another part's, or without a score."""
    accepted_without_verdict: int = 0
    """By the model's word in primary mode, by a person's in parallel mode."""
    defective_accepted: int = 0
    """In primary mode; a person may err."""
    unknown_accepted: int = 0
    """Parts unlike everything known, in primary mode."""
    model_in_the_open: int = 0
    """Verdicts and results of the model that anybody could read in parallel mode."""
    misreported: int = 0
    """Accounts of the line that name another lane than the one in which the gate stood."""
    plc_misread: int = 0
    """Results that the PLC read as good, of parts in the reject lane."""

    def add(self, other: "Account") -> None:
        """Take another account into this one."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


FORBIDDEN = (
    "unanswered",
    "late_accepts_handed",
    "late_accepts_acted_on",
    "accepts_from_a_fault",
    "accepted_without_verdict",
    "defective_accepted",
    "unknown_accepted",
    "model_in_the_open",
    "misreported",
    "plc_misread",
)
"""What must be nought."""


class Observer:
    """Stand beside a line before it runs; `account` afterwards tells what it did."""

    def __init__(self, world: LineWorld) -> None:
        """Listen to the bus and to what `line` hands to the microcontroller."""
        self.verdicts: Counter[str] = Counter()
        self.forgotten: set[int] = set()
        """Parts that `account` found to be forgotten, from 1."""
        self._world = world
        self._numbers: dict[PartId, int] = {}
        self._by_number: dict[int, int] = {}
        self._accepts: dict[PartId, Verdict] = {}
        self._by_hand: set[PartId] = set()
        self._opened = 0
        self._behind: dict[PartId, InspectionResult] = {}
        """Results behind the ACCEPTs: each follows its verdict. A judge that restarted may see a part anew, without its
        frame, and says so; that is not what the ACCEPT was given on."""
        self._awaited: set[PartId] = set()
        self._unlike: set[PartId] = set()
        self._incomplete: set[tuple[int, int]] = set()
        self._handed: dict[int, int] = {}
        """Belt counts at which the first accept of a physical part was handed over."""
        self._restarts: list[int] = []
        """Belt counts at which the microcontroller restarted."""
        world.world.listeners.append(self._hear)
        unit = world.world.units["line"]
        make = unit.factory
        unit.factory = lambda now: self._spied(*make(now))
        reset = world.board.reset
        world.board.reset = lambda boot: (self._restarts.append(world.board.counts), reset(boot))[1]

    def account(self) -> Account:
        """Tell what became of all parts."""
        world = self._world
        settings = world.settings
        closes = (settings.gate_mm - settings.lead_mm) * COUNTS_PER_MM
        guard = settings.guard_ms / 1000 * settings.belt_mm_s * COUNTS_PER_MM
        told = Account(triggers=len(world.enters), good=world.defective.count(False))
        by_model = world.mode is Mode.PRIMARY
        accepts = {self._numbers.get(part, 0) for part in (self._accepts if by_model else self._by_hand)}
        unknown = {self._numbers.get(part, 0) for part in self._unlike}
        for part, enters in enumerate(world.enters, 1):
            lane, reported = world.physical_lane(part), world.actuations.get(part, [])
            accepted = lane is Lane.ACCEPT
            handed = self._handed.get(part)
            late = handed is not None and handed > enters + closes - guard + ROUNDING
            if len({item.lane for item in reported}) == 1 and sum(not item.replayed for item in reported) <= 1:
                told.answers += 1
            elif not reported and not accepted and self._was_forgotten(enters):
                told.forgotten += 1
                self.forgotten.add(part)
            else:
                told.unanswered += 1
            told.accepted += accepted
            told.late_accepts_handed += late
            told.late_accepts_acted_on += late and accepted
            told.accepted_without_verdict += accepted and (part not in accepts or handed is None)
            told.defective_accepted += accepted and by_model and world.defective[part - 1]
            told.unknown_accepted += accepted and by_model and part in unknown
            told.misreported += any(item.lane is not lane for item in reported)
        told.model_in_the_open = 0 if by_model else self._opened
        told.accepts_from_a_fault = sum(self._is_faulty(part) for part in self._accepts)
        rejected = {str(item.part) for items in world.actuations.values() for item in items if item.lane is Lane.REJECT}
        told.plc_misread = sum(taken.good and taken.part in rejected for taken in world.plc.taken)
        return told

    def _was_forgotten(self, enters: int) -> bool:
        settings = self._world.settings
        until = enters + int((settings.gate_mm + READ_BACK_S * settings.belt_mm_s) * COUNTS_PER_MM)
        return any(enters <= counts <= until for counts in self._restarts)

    def _is_faulty(self, part: PartId) -> bool:
        result, number = self._behind.get(part), self._numbers.get(part)
        if result is None or number is None or len(result.views) < len(self._world.cameras):
            return True
        return any(self._is_wrong(view, number) for view in result.views)

    def _is_wrong(self, view: ViewResult, number: int) -> bool:
        frame = (view.epoch, view.frame_id)
        return frame in self._incomplete or not isfinite(view.score) or self._world.camera.seen.get(frame) != number

    def _hear(self, now: HostNs, topic: str, message: Struct) -> None:
        if isinstance(message, PartEntered):
            number = self._nearest(message.at_counts)
            self._numbers[message.part] = self._by_number[message.part.number] = number
        elif isinstance(message, ManualVerdict):
            if message.accept:
                self._by_hand.add(message.part)
        elif isinstance(message, SealedVerdict):
            self._result(message.result)
        elif isinstance(message, Verdict):
            self._opened += 1
            self.verdicts[message.disposition.value] += 1
            if message.disposition is Disposition.ACCEPT:
                self._accepts[message.part] = message
                self._awaited.add(message.part)
        elif isinstance(message, InspectionResult):
            self._opened += 1
            self._result(message)
        elif isinstance(message, FrameReady) and not message.complete:
            self._incomplete.add((message.ref.epoch, message.frame_id))

    def _result(self, result: InspectionResult) -> None:
        if result.part in self._awaited:
            self._awaited.discard(result.part)
            self._behind[result.part] = result
        if _is_unknown(result):
            self._unlike.add(result.part)

    def _nearest(self, counts: int) -> int:
        """Give the physical part whose front edge met the sensor at this count; 0: none did."""
        enters = self._world.enters
        place = bisect_left(enters, counts - 5)
        return place + 1 if place < len(enters) and enters[place] <= counts + 5 else 0

    def _spied(self, node: Node, devices: Mapping[str, Device]) -> tuple[Node, Mapping[str, Device]]:
        return node, {**devices, "mcu": _Spy(devices["mcu"], self._note)}

    def _note(self, decision: Decision) -> None:
        if decision.accept:
            self._handed.setdefault(self._by_number.get(decision.part, 0), self._world.board.counts)


def _is_unknown(result: InspectionResult) -> bool:
    return any(view.novelty_p == UNLIKE_ALL for view in result.views)


class _Spy:
    """Pass everything on to a device, and tell of the decisions that go through."""

    def __init__(self, device: Device, note: Callable[[Decision], None]) -> None:
        self._device = device
        self._note = note

    def fileno(self) -> int:
        return self._device.fileno()

    @property
    def wake_at(self) -> HostNs | None:
        return self._device.wake_at

    def read(self, now: HostNs) -> Sequence[Struct]:
        return self._device.read(now)

    def write(self, message: Struct, now: HostNs) -> None:
        if isinstance(message, Decision):
            self._note(message)
        self._device.write(message, now)

    def close(self) -> None:
        self._device.close()
