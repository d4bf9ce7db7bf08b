"""Look for a part's twins in the background: a few pictures at a time, those seen before at once. No Qt."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Final

import numpy as np
from msgspec import Struct

from appliance.schema.errors import StoreError
from appliance.schema.finding import Box
from appliance.schema.label import GOOD, Label
from appliance.storage import label_queries, queries
from hmi.darkroom import read_image, shown, step_aside
from hmi.labelling.twins import Album, Candidate, Image, Twin, alike, alike_whole, nearest
from hmi.screens.review.facts import PartFacts
from hmi.worker import Worker

GOODS: Final = 40
DEFECTS: Final = 80
"""Newest labelled pictures that are compared: a few seconds of reading the first time, then they are held."""
AT_ONCE: Final = 6
"""Pictures read in one turn, some 30 ms each."""


class Question(Struct, frozen=True):
    """Name the picture whose twins are wanted."""

    part: str
    camera: str
    path: str
    box: Box | None
    """Where to look; None: nothing is marked or shown, the whole picture counts."""


def question_of(found: PartFacts, camera: str, drawn: Box | None) -> Question | None:
    """Give what to look for beside a view of a part; None: no picture of it is kept.

    drawn: where the person marked a defect. Where the model's answer is hidden, `found` has no finding to look at.
    """
    image = next((one for one in found.images if one.camera == camera), None)
    if image is None:
        return None
    finding = found.finding(camera)
    box = drawn or (finding.box if finding is not None else None)
    return Question(str(found.task.part), camera, image.path, box)


class Twins(Struct, frozen=True):
    """Give what was found so far."""

    question: Question
    good: Twin | None = None
    defect: Twin | None = None
    left: int = 0
    """Pictures not compared yet."""


class TwinSearch:
    """Own the thread that compares; `ask`, `deliver` and `close` belong to the GUI's."""

    def __init__(self, images: Path, query: Callable[..., None], found: Callable[[Twins], None]) -> None:
        """query: the desk's; found: told of every better answer."""
        self._worker: Worker | None = None
        self._album = Album(partial(_load, images))
        self._query, self._found = query, found
        self._question: Question | None = None
        self._known: Sequence[Candidate] = ()

    def start(self) -> None:
        """Begin, or go on after `close`; what was described is held."""
        if self._worker is None:
            self._worker = Worker("twins", step_aside)
            question, self._question = self._question, None
            self.ask(question)

    def ask(self, question: Question | None) -> None:
        """Look for the twins of a picture from now on; None: of none."""
        if question == self._question:
            return
        self._question = question
        if question is not None:
            self._query(partial(read_candidates, question=question), self._listed)

    def deliver(self) -> None:
        """Hand over what was found; never blocks."""
        if self._worker is not None:
            self._worker.deliver()

    def settle(self, timeout_s: float) -> bool:
        """Wait until the thread is idle; False when that took too long."""
        return self._worker is None or self._worker.settle(timeout_s)

    def close(self) -> None:
        """End the thread."""
        if self._worker is not None:
            self._worker.close()
        self._worker = None

    def _listed(self, known: Sequence[Candidate] | StoreError) -> None:
        self._known = () if isinstance(known, StoreError) else known
        self._turn()

    def _turn(self) -> None:
        if self._question is not None and self._worker is not None:
            self._worker.ask(partial(look, self._album, self._question, self._known), self._compared)

    def _compared(self, twins: Twins) -> None:
        if twins.question != self._question:
            return
        self._found(twins)
        if twins.left:
            self._turn()


def look(album: Album, question: Question, known: Sequence[Candidate], at_once: int = AT_ONCE) -> Twins:
    """Compare a picture with the known ones, reading at most `at_once` that are not held."""
    wanted = [(question.path, question.box), *(_place(one, question) for one in known)]
    left = album.describe(wanted, at_once)
    mine = album.get(question.path, question.box)
    if mine is None:
        return Twins(question, left=left)
    seen = [(one, album.get(*_place(one, question))) for one in known]
    held = [(one, traits_) for one, traits_ in seen if traits_ is not None]
    goods = [(one, traits_) for one, traits_ in held if one.kind == GOOD]
    defects = [(one, traits_) for one, traits_ in held if one.kind != GOOD]
    measure = alike if question.box is not None else alike_whole
    return Twins(question, nearest(mine, goods, alike_whole), nearest(mine, defects, measure), left)


def read_candidates(connection: sqlite3.Connection, question: Question) -> list[Candidate]:
    """Read the newest labelled pictures of a camera, defects and good parts in turn; never of the part itself."""
    goods = label_queries.candidates(connection, GOOD, GOODS)
    defects = label_queries.candidates(connection, None, DEFECTS)
    pairs = zip_longest(goods, defects)
    listed = [one for pair in pairs for one in pair if one is not None]
    return [
        Candidate(str(one.part), one.camera, one.path, one.kind, _box(connection, one))
        for one in listed
        if one.camera == question.camera and str(one.part) != question.part and one.path != question.path
    ]


def _box(connection: sqlite3.Connection, one: label_queries.Candidate) -> Box | None:
    """Say where a known defect is: as a person marked it, else where the model saw something."""
    if one.kind == GOOD:
        return None
    marked = _marked(one.label, one.camera)
    if marked is not None:
        return marked
    found = queries.inspection(connection, one.part)
    views = queries.views_of(found.views) if found is not None else []
    placed = [item for view in views if view.camera == one.camera for item in view.findings if item.box is not None]
    return max(placed, key=lambda item: item.score).box if placed else None


def _marked(label: Label, camera: str) -> Box | None:
    boxes = [region.box for region in label.regions if region.camera == camera]
    return max(boxes, key=lambda box: box.width_px * box.height_px, default=None)


def _place(one: Candidate, question: Question) -> tuple[str, Box | None]:
    """Say where to look in a known picture: a good one at the same place as in the part's."""
    return (one.path, question.box if one.kind == GOOD else one.box)


def _load(images: Path, path: str) -> Image:
    """Read a picture as people see it; one that cannot be read has no pixels and is nobody's twin."""
    try:
        return shown(*read_image(images / path))
    except StoreError:
        return np.empty((0, 0), np.uint8)
