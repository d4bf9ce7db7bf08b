"""Keep the order in which work is shown: by tab, what was answered left out, what was skipped last; pure."""

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from appliance.labelling.queue import Task
from appliance.schema.clocks import UtcNs
from appliance.schema.label import Purpose
from appliance.schema.part import PartId
from appliance.schema.review import Occasion


class Tab(StrEnum):
    """Name the queues that a person can choose."""

    REVIEW = "review"
    UNKNOWN = "unknown"
    AUDIT = "audit"
    DISAGREEMENT = "disagreement"


class Load(Struct, frozen=True):
    """Count one queue."""

    count: int
    oldest: UtcNs | None
    """Since when its oldest waits; None: nothing does. A known answer has no age: it would give itself away."""


Key = tuple[PartId, Purpose]


class Lineup(Struct, frozen=True):
    """Hold the work of one person."""

    tasks: tuple[Task, ...] = ()
    """Most urgent first."""
    answered: frozenset[Key] = frozenset()
    """Answered here and perhaps not delivered yet."""
    skipped: tuple[Key, ...] = ()
    """In the order of skipping."""


def tab_of(task: Task) -> Tab:
    """Give the queue a task is shown in; a known answer looks like any review."""
    if task.purpose is Purpose.AUDIT:
        return Tab.AUDIT
    if task.purpose in (Purpose.DISAGREEMENT, Purpose.CORRECTION):
        return Tab.DISAGREEMENT
    return Tab.UNKNOWN if task.occasion is Occasion.UNKNOWN else Tab.REVIEW


def key_of(task: Task) -> Key:
    """Name a piece of work."""
    return task.part, task.purpose


def renewed(lineup: Lineup, tasks: Sequence[Task], sent: frozenset[Key]) -> Lineup:
    """Take the work as the store has it now. sent: answers that the outbox still holds.

    What was answered here stays out until the store no longer offers it.
    """
    offered = {key_of(task) for task in tasks}
    return Lineup(
        tuple(tasks),
        frozenset((lineup.answered & offered) | sent),
        tuple(key for key in lineup.skipped if key in offered),
    )


def answered(lineup: Lineup, task: Task) -> Lineup:
    """Leave out what was answered."""
    key = key_of(task)
    return replace(
        lineup, answered=lineup.answered | {key}, skipped=tuple(other for other in lineup.skipped if other != key)
    )


def returned(lineup: Lineup, key: Key) -> Lineup:
    """Offer again what was answered: the answer was withdrawn or refused."""
    return replace(lineup, answered=lineup.answered - {key})


def skipped(lineup: Lineup, task: Task) -> Lineup:
    """Put a task behind all others of its tab; the one skipped longest ago comes first again."""
    key = key_of(task)
    return replace(lineup, skipped=(*(other for other in lineup.skipped if other != key), key))


def in_order(lineup: Lineup, tab: Tab | None = None) -> list[Task]:
    """Give the work that is left, of one tab or of all, as it is shown."""
    left = [task for task in lineup.tasks if key_of(task) not in lineup.answered]
    place = {key: number for number, key in enumerate(lineup.skipped, start=1)}
    return sorted(
        (task for task in left if tab is None or tab_of(task) is tab), key=lambda task: place.get(key_of(task), 0)
    )


def first(lineup: Lineup, tab: Tab | None) -> Task | None:
    """Give the next task of a tab; where that has none, or no tab is chosen, the most urgent of all."""
    chosen = in_order(lineup, tab) or in_order(lineup)
    return chosen[0] if chosen else None


def loads(lineup: Lineup) -> dict[Tab, Load]:
    """Count every tab."""
    found = {}
    for tab in Tab:
        tasks = in_order(lineup, tab)
        ages = [task.since for task in tasks if task.purpose is not Purpose.KNOWN_ANSWER]
        found[tab] = Load(len(tasks), min(ages, default=None))
    return found


def parts_wait(lineup: Lineup) -> bool:
    """Whether a part waits for this person's decision, so that nothing else is offered."""
    return any(task.purpose is Purpose.REVIEW for task in in_order(lineup))
