"""Keep what the units said about the parts of a simulated line, and hold it against what really happened."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from appliance.decision.deadline import latest
from appliance.schema.actuation import Actuation, HandActuation, Lane
from appliance.schema.clocks import HostNs
from appliance.schema.health import Alarm
from appliance.schema.part import BeltPosition, PartEntered, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import Disposition, InspectionResult, SealedVerdict, ShadowResult, Verdict
from appliance.sim.scenario import Shown
from appliance.sim.twins import UNLIKE_ALL

SAME_PLACE = 5
"""Counts within which two instants of one part agree."""


class LineAccount:
    """Hear every message as its writer sent it, by the number of the part on the belt, from 1; 0: no part."""

    def __init__(self, enters: Sequence[int], defective: Sequence[bool], gate: int, mode: Mode, start: HostNs) -> None:
        """Take where each part enters, what is wrong with it, and the way to the gate, counts."""
        self.numbers: dict[PartId, int] = {}
        self.actuations: dict[int, list[Actuation]] = {}
        self.hands: list[HandActuation] = []
        self.shown: list[Shown] = []
        self.shadowed: list[ShadowResult] = []
        self.judged_by: dict[int, list[str]] = {}
        """Bundle that each result of a part names."""
        self.accepts: dict[int, Verdict] = {}
        self.accepted_by_hand: set[int] = set()
        self.in_time: set[int] = set()
        """Parts whose ACCEPT, of the model or in parallel mode of the person, was given in time."""
        self._enters, self._defective, self._gate, self._mode, self._start = enters, defective, gate, mode, start
        self._entered: dict[int, PartEntered] = {}
        self._judged_on: dict[int, list[int]] = {}
        self._looked: dict[int, set[str]] = {}
        self._unlike: set[int] = set()
        self._opened: set[int] = set()
        """Parts that the model spoke about in the open."""
        self._belt: BeltPosition | None = None
        self._doubtful: dict[int, HostNs] = {}
        """When words were given that were late by what was known of the belt; where it stands later may show that they
        were not, as the line may know when they reach it."""

    def nearest(self, counts: int, within: int) -> int:
        """Give the part that enters nearest to a count."""
        place = bisect_left(self._enters, counts)
        near = [item for item in (place - 1, place) if 0 <= item < len(self._enters)]
        best = min(near, key=lambda item: abs(self._enters[item] - counts), default=-1)
        return best + 1 if best >= 0 and abs(self._enters[best] - counts) <= within else 0

    def is_defective(self, part: PartId) -> bool:
        """Say what is really wrong with a part."""
        number = self.numbers.get(part, 0)
        return number > 0 and self._defective[number - 1]

    def hear(self, now: HostNs, topic: str, message: object) -> None:
        """Take a message."""
        at = now - self._start
        match message:
            case PartEntered():
                self.numbers[message.part] = number = self.nearest(message.at_counts, SAME_PLACE)
                self._entered.setdefault(number, message)
            case BeltPosition():
                self._belt = message
                for number, decided in tuple(self._doubtful.items()):
                    self._note_time(number, decided)
            case Actuation():
                number = self.nearest(message.at_counts - self._gate, SAME_PLACE)
                number = self.numbers.get(message.part, number)
                self.actuations.setdefault(number, []).append(message)
                self.shown.append(Shown(at, "actuation", message.lane, (message.cause,)))
            case Alarm():
                self.shown.append(Shown(at, "alarm", message.kind))
            case HandActuation():
                self.hands.append(message)
            case ShadowResult():
                self.shadowed.append(message)
            case Verdict() | InspectionResult() | SealedVerdict() | ManualVerdict():
                self._word(self.numbers.get(message.part, 0), message, at)

    def breaches(self, part: int, lane: Lane) -> Iterator[str]:
        """Name every promise broken to a part that really went to a lane."""
        reported = self.actuations.get(part, [])
        if not reported:
            yield "no actuation"
        if len({item.lane for item in reported}) > 1 or len([item for item in reported if not item.replayed]) > 1:
            yield f"{len(reported)} actuations that differ"
        if reported and reported[0].lane is not lane:
            yield f"reported {reported[0].lane}, was {lane}"
        if lane is Lane.ACCEPT:
            yield from self._by_person(part) if self._mode is Mode.PARALLEL else self._by_model(part)
        if self._mode is Mode.PARALLEL and part in self._opened:
            yield "the model spoke in the open"
        named, looked = set(self.judged_by.get(part, ())), self._looked.get(part, set())
        if len(named) > 1 or not looked <= named:
            yield f"judged by {', '.join(sorted(looked))}, its result names {', '.join(named)}"
        wrong = [other for other in self._judged_on.get(part, ()) if other != part]
        if wrong:
            yield f"judged on the frame of part {wrong[0]}"

    def _by_person(self, part: int) -> Iterator[str]:
        if part not in self.accepted_by_hand:
            yield "accepted without a person's accept"
        elif part not in self.in_time:
            yield "accepted on a person's late accept"

    def _by_model(self, part: int) -> Iterator[str]:
        if part not in self.accepts:
            yield "accepted without an ACCEPT"
        elif part not in self.in_time:
            yield "accepted on a late ACCEPT"
        if self._defective[part - 1]:
            yield "defective and accepted"
        if part in self._unlike:
            yield "unknown and accepted"

    def _word(self, number: int, word: Verdict | InspectionResult | SealedVerdict | ManualVerdict, at: int) -> None:
        match word:
            case Verdict():
                self._opened.add(number)
                self.shown.append(Shown(at, "verdict", word.disposition, tuple(word.reasons)))
                if word.disposition is Disposition.ACCEPT:
                    self.accepts[number] = word
                    self._note_time(number, word.decided)
            case InspectionResult():
                self._opened.add(number)
                self._result(number, word)
            case SealedVerdict():
                self._result(number, word.result)
            case ManualVerdict() if word.accept:
                self.accepted_by_hand.add(number)
                self._note_time(number, word.decided)

    def _result(self, number: int, result: InspectionResult) -> None:
        findings = [finding for view in result.views for finding in view.findings]
        self._judged_on.setdefault(number, []).extend(int(finding.score) for finding in findings)
        self._looked.setdefault(number, set()).update(finding.text for finding in findings)
        self.judged_by.setdefault(number, []).append(result.bundle)
        if any(view.novelty_p == UNLIKE_ALL for view in result.views):
            self._unlike.add(number)

    def _note_time(self, number: int, decided: HostNs) -> None:
        entered = self._entered.get(number)
        if entered is not None and decided <= latest(entered, self._belt):
            self.in_time.add(number)
            self._doubtful.pop(number, None)
        elif entered is not None:
            self._doubtful[number] = decided
