"""Read again and again what the review screen leads through: work, progress, classes, people to be trained. No Qt."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeGuard, TypeVar

from appliance.governance.rights import Right
from appliance.labelling.queue import Task
from appliance.labelling.systematic import Flag
from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import StoreError
from appliance.schema.label import LabelLevel
from hmi.bundle_facts import BundleFacts, read_facts
from hmi.screens.review import facts
from hmi.screens.review.facts import Progress

WORK_NS: Final = 1 * S
"""Time between two looks at what waits."""
LABELS_NS: Final = 10 * S
"""The same while label-only work is open: it is folded from all labels. And between two looks at one's progress."""
FLAGS_NS: Final = 120 * S

T = TypeVar("T")


class Feed:
    """Hold what was read last; one thread, the GUI's, never blocks."""

    def __init__(self, desk: Any, took: Callable[[list[Task]], None]) -> None:
        """took: told of the person's work whenever it was read."""
        self._desk, self._took = desk, took
        self._due = dict.fromkeys(("classes", "work", "progress", "flags"), HostNs(0))
        self.classes: tuple[str, ...] = ()
        """Defect classes: the bundle's, then those that people named."""
        self.progress = Progress()
        self.flags: list[Flag] = []
        self.fault = ""
        """Why the record database could not be read the last time; empty: it could."""

    def hurry(self, *names: str) -> None:
        """Read these at the next turn; without a name all of them."""
        self._due |= dict.fromkeys(names or self._due, HostNs(0))

    def turn(self, who: str, level: LabelLevel, *, slowly: bool) -> None:
        """Ask for what is due. slowly: what is open keeps the person busy, and nothing waits."""
        loaded = self._desk.loaded
        seed = loaded.recipe.policy.sample_seed
        if self._is_due("classes", FLAGS_NS):
            folder = loaded.state / "bundles" / loaded.recipe.bundle
            self._desk.query(partial(_classes, folder=folder), self._take_classes)
        if not who:
            return
        if self._is_due("work", LABELS_NS if slowly else WORK_NS):
            self._desk.query(partial(facts.read_tasks, person=who, level=level, seed=seed), self._take_work)
        if self._is_due("progress", LABELS_NS):
            since = self._desk.state.counts.since
            self._desk.query(partial(facts.read_progress, person=who, since=since), self._take_progress)
        if self._desk.session.may(Right.SEE_OTHERS) and self._is_due("flags", FLAGS_NS):
            self._desk.query(partial(facts.read_flags, classes=self.classes, seed=seed), self._take_flags)

    def name(self, kind: str) -> None:
        """Add a class that a person named just now."""
        self.classes = tuple(dict.fromkeys((*self.classes, kind)))

    def _is_due(self, name: str, period: int) -> bool:
        now = self._desk.now()
        if now < self._due[name]:
            return False
        self._due[name] = HostNs(now + period)
        return True

    def _read(self, found: T | StoreError) -> TypeGuard[T]:
        """Say whether an answer is a value, and keep why not."""
        self.fault = str(found) if isinstance(found, StoreError) else ""
        return not self.fault

    def _take_classes(self, found: tuple[BundleFacts, list[str]] | StoreError) -> None:
        if self._read(found):
            bundle, said = found
            self.classes = tuple(dict.fromkeys((*bundle.defects, *said, *self.classes)))

    def _take_work(self, tasks: list[Task] | StoreError) -> None:
        if self._read(tasks):
            self._took(tasks)

    def _take_progress(self, progress: Progress | StoreError) -> None:
        if self._read(progress):
            self.progress = progress

    def _take_flags(self, flags: list[Flag] | StoreError) -> None:
        if self._read(flags):
            self.flags = flags


def _classes(connection: sqlite3.Connection, folder: Path) -> tuple[BundleFacts, list[str]]:
    return read_facts(folder), facts.read_classes(connection)
