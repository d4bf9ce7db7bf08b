"""Say which parts wait for a person, who may decide them, and what becomes of those that nobody decides; pure.

    first step          opened, quarantined (no place was free) or reopened (nobody was asked before)
    opened, reopened    the part waits; then decided, or quarantined (too long, or a person wants it so), or handed on
    handed on           somebody could not say: it waits as before, from now on for quality engineers alone
    quarantined         then only reopened
    decided             then only reopened, by a person's wish, or because the gate held back what the person accepted

The state of a part is the fold of its steps (`item_of`), so that a queue built again from the store is the same queue.
Nothing leaves quarantine but by a re-inspection that a person asked for, and nothing is decided twice without one.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.errors import Refused
from appliance.schema.part import PartId
from appliance.schema.review import Change, Occasion, ReviewStep
from appliance.schema.verdict import Disposition, Reason, Verdict

WAITS = frozenset({Change.OPENED, Change.REOPENED, Change.HANDED_ON})
"""Last steps of a part that waits for a person."""

_AFTER: dict[Change | None, frozenset[Change]] = {
    None: frozenset({Change.OPENED, Change.QUARANTINED, Change.REOPENED}),
    Change.OPENED: frozenset({Change.QUARANTINED, Change.DECIDED, Change.HANDED_ON}),
    Change.REOPENED: frozenset({Change.QUARANTINED, Change.DECIDED, Change.HANDED_ON}),
    Change.HANDED_ON: frozenset({Change.QUARANTINED, Change.DECIDED, Change.HANDED_ON}),
    Change.QUARANTINED: frozenset({Change.REOPENED}),
    Change.DECIDED: frozenset({Change.REOPENED}),
}
"""What may follow what."""


class Item(Struct, frozen=True):
    """Hold where a part stands in review."""

    part: PartId
    origin: Occasion
    """Why it came into review at all."""
    occasion: Occasion
    """Why a person is asked now, or was asked last."""
    change: Change
    """Its last step."""
    since: UtcNs
    steps: int
    people: tuple[str, ...] = ()
    """Who has decided it, in order."""
    why: str = ""
    """Of the last step."""
    asked_by: str = ""
    """Who took the last step or asked for it, whoever handed it on since; empty: the service by its own rules."""
    handed_on: bool = False
    """Whether somebody who looked could not say."""

    @property
    def waits(self) -> bool:
        """Whether a person is asked."""
        return self.change in WAITS

    @property
    def needs_quality(self) -> bool:
        """Whether only a quality engineer may decide it: the model, or a person, did not know what it saw."""
        return self.handed_on or self.origin is Occasion.UNKNOWN


Past = Callable[[PartId], Item | None]
"""Gives where a part stands that does not wait; None: it was never in review."""


def item_of(steps: Iterable[ReviewStep]) -> Item | None:
    """Fold the steps of one part, in order; None when there are none. ValueError when one cannot follow another."""
    item: Item | None = None
    for step in steps:
        item = _after(item, step)
    return item


def occasion_of(verdict: Verdict) -> Occasion | None:
    """Say why a person must look at a part with this verdict; None: nobody is asked."""
    if verdict.disposition is Disposition.UNKNOWN:
        return Occasion.UNKNOWN
    if verdict.disposition is not Disposition.REVIEW:
        return None
    return Occasion.SAMPLE if Reason.RANDOM_SAMPLE in verdict.reasons else Occasion.REVIEW


def shown_as(item: Item) -> Occasion:
    """Give the occasion as people may see it before they decide: a random sample looks like any review."""
    return Occasion.REVIEW if item.occasion is Occasion.SAMPLE else item.occasion


def for_operators(items: Iterable[Item]) -> list[Item]:
    """Give the parts that an operator may decide, oldest first."""
    return sorted((item for item in items if item.waits and not item.needs_quality), key=_age)


def for_quality(items: Iterable[Item]) -> list[Item]:
    """Give every part that waits, the unknown ones first, each kind oldest first."""
    return sorted((item for item in items if item.waits), key=lambda item: (not item.needs_quality, *_age(item)))


class ReviewQueue:
    """Hold the parts that wait, at most `limit`. One thread; never blocks but for `past`.

    A step changes the queue only when it is taken, so that it can be made durable first.
    """

    def __init__(self, limit: int, wait_ns: int, past: Past, waiting: Iterable[Item] = ()) -> None:
        """Take the bounds, the past of the other parts, and the parts that wait already."""
        self._limit = limit
        self._wait_ns = wait_ns
        self._past = past
        self._waiting = {item.part: item for item in sorted(waiting, key=_age)}

    @property
    def waiting(self) -> Sequence[Item]:
        """Give the parts that wait, in the order in which they came."""
        return tuple(self._waiting.values())

    @property
    def is_full(self) -> bool:
        """Whether a further part goes into quarantine."""
        return len(self._waiting) >= self._limit

    @property
    def due(self) -> UtcNs | None:
        """Instant at which `expiring` has something to do."""
        if len(self._waiting) > self._limit:
            return UtcNs(0)
        oldest = next(iter(self._waiting.values()), None)
        return UtcNs(oldest.since + self._wait_ns) if oldest is not None else None

    def find(self, part: PartId) -> Item | None:
        """Give where a part stands; None when it was never in review."""
        return self._waiting.get(part) or self._past(part)

    def opening(self, part: PartId, occasion: Occasion, at: UtcNs) -> ReviewStep | None:
        """Give the step that brings a part in, into quarantine when the queue is full; None when it was in before."""
        if self.find(part) is not None:
            return None
        if self.is_full:
            why = f"{len(self._waiting)} parts waited, limit {self._limit}"
            return ReviewStep(part, 1, Change.QUARANTINED, occasion, "", why, at)
        return ReviewStep(part, 1, Change.OPENED, occasion, "", "", at)

    def deciding(self, part: PartId, person: str, at: UtcNs, *, quality: bool) -> ReviewStep:
        """Give the step by which a person decides a part; Refused when it is not open, or not for this person.

        quality: whether the person is a quality engineer.
        """
        item = self._open_to(part, person, quality=quality)
        return ReviewStep(part, item.steps + 1, Change.DECIDED, item.occasion, person, "", at)

    def handing_on(self, part: PartId, person: str, at: UtcNs, *, quality: bool) -> ReviewStep:
        """Give the step by which a person who cannot say leaves a part to a quality engineer; Refused as `deciding`."""
        item = self._open_to(part, person, quality=quality)
        return ReviewStep(part, item.steps + 1, Change.HANDED_ON, item.occasion, person, "", at)

    def quarantining(self, part: PartId, person: str, why: str, at: UtcNs) -> ReviewStep:
        """Give the step that puts a waiting part into quarantine; Refused when it does not wait."""
        item = self._open(part)
        return ReviewStep(part, item.steps + 1, Change.QUARANTINED, item.occasion, person, why, at)

    def reopening(self, part: PartId, person: str, why: str, at: UtcNs) -> ReviewStep:
        """Give the step that lets a person look at a part again; Refused when it waits already or no place is free."""
        item = self.find(part)
        if item is not None and item.waits:
            raise Refused(f"part {part}: waits already, since {_utc(item.since)}; decide it")
        if self.is_full:
            raise Refused(
                f"part {part}: {len(self._waiting)} parts wait, limit {self._limit}; decide some of them first"
            )
        number = item.steps + 1 if item is not None else 1
        return ReviewStep(part, number, Change.REOPENED, Occasion.REINSPECTION, person, why, at)

    def returning(self, part: PartId, why: str, at: UtcNs) -> ReviewStep | None:
        """Give the step by which a decided part waits again for anybody; None: it is not decided, or all is full."""
        item = self.find(part)
        if item is None or item.change is not Change.DECIDED or self.is_full:
            return None
        return ReviewStep(part, item.steps + 1, Change.REOPENED, Occasion.REINSPECTION, "", why, at)

    def expiring(self, at: UtcNs) -> list[ReviewStep]:
        """Give the steps that put into quarantine what waited too long, and the newest over the limit."""
        waited = f"nobody decided it in {self._wait_ns / 60e9:g} minutes"
        over = f"{len(self._waiting)} parts waited, limit {self._limit}"
        steps = []
        for place, item in enumerate(self._waiting.values()):
            why = waited if item.since + self._wait_ns <= at else over if place >= self._limit else ""
            if why:
                steps.append(ReviewStep(item.part, item.steps + 1, Change.QUARANTINED, item.occasion, "", why, at))
        return steps

    def take(self, step: ReviewStep) -> Item:
        """Let a step happen, which the past may know already; ValueError when it cannot follow the part's last one."""
        found = self.find(step.part)
        is_known = found is not None and (found.steps, found.change) == (step.number, step.change)
        item = found if found is not None and is_known else _after(found, step)
        self._waiting.pop(step.part, None)
        if item.waits:
            self._waiting[step.part] = item
        return item

    def _open_to(self, part: PartId, person: str, *, quality: bool) -> Item:
        item = self._open(part)
        if item.needs_quality and not quality:
            why = "somebody could not say" if item.handed_on else "unlike everything known"
            raise Refused(
                f"part {part}: {why}, {person!r} is not listed as a quality engineer; let one of "
                "those under [approval] people decide it"
            )
        if item.asked_by and person in item.people:
            raise Refused(f"part {part}: {person!r} has decided it before; another person must inspect it again")
        return item

    def _open(self, part: PartId) -> Item:
        item = self.find(part)
        if item is None:
            raise Refused(f"part {part}: nobody is asked to decide it; `firstshift review reinspect` asks for it")
        if item.change is Change.DECIDED:
            raise Refused(
                f"part {part}: decided already by {item.people[-1]} at {_utc(item.since)}; a re-inspection by another "
                "person may follow"
            )
        if item.change is Change.QUARANTINED:
            raise Refused(
                f"part {part}: in quarantine since {_utc(item.since)}: {item.why}; ask for a re-inspection first"
            )
        return item


def _after(item: Item | None, step: ReviewStep) -> Item:
    last = item.change if item is not None else None
    number = item.steps + 1 if item is not None else 1
    if step.change not in _AFTER[last] or step.number != number:
        raise ValueError(f"part {step.part}: step {step.number}, {step.change}, cannot follow {last} as step {number}")
    people = item.people if item is not None else ()
    if step.change is Change.DECIDED:
        people = (*people, step.person)
    origin = item.origin if item is not None else step.occasion
    is_handed = step.change is Change.HANDED_ON
    asked_by = item.asked_by if item is not None and is_handed else step.person
    handed_on = is_handed or (item is not None and item.handed_on)
    return Item(
        step.part, origin, step.occasion, step.change, step.at, step.number, people, step.why, asked_by, handed_on
    )


def _age(item: Item) -> tuple[UtcNs, PartId]:
    return item.since, item.part


def _utc(at: UtcNs) -> str:
    """Write an instant to the second, ISO 8601."""
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
