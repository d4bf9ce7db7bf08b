"""Find the part that a serial, a part id or a scanner names, and say what can be done about it. No Qt."""

import re
import sqlite3
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from appliance.decision.review_queue import Item
from appliance.labelling.queue import Task
from appliance.schema.label import Label, LabelLevel, Purpose
from appliance.schema.part import PartId
from appliance.schema.review import Occasion
from appliance.storage import label_queries, review_queries

SEARCHED: Final = 100_000
"""Newest parts whose read texts are searched for a serial: some 70 ms (200,000 parts, 2026-11-22)."""

_NAME: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,12})", re.IGNORECASE)

UNKNOWN: Final = "{text}: no part with this id or serial is known"
WAITS_FOR_ANOTHER: Final = "{part} waits for another person"
OTHERS: Final = "{part} was labelled by others; a lead or quality may correct it"
NOTHING: Final = "{part} does not wait, and nobody has labelled it"

SAYS: Final = (UNKNOWN, WAITS_FOR_ANOTHER, OTHERS, NOTHING)


class Found(Struct, frozen=True):
    """Say what a search for a part found."""

    part: PartId | None
    item: Item | None = None
    """Where it stands in review; None: it was never there."""
    labels: tuple[Label, ...] = ()


def find_part(connection: sqlite3.Connection, text: str) -> Found:
    """Look for a part by its id, by its number, or by a serial that was read on it; the newest of several."""
    part = _named(connection, text.strip()) or _read_on(connection, text.strip())
    if part is None:
        return Found(None)
    labels = tuple(label_queries.labels_of(connection, part))
    return Found(part, review_queries.standing(connection, part), labels)


def _named(connection: sqlite3.Connection, text: str) -> PartId | None:
    name = _NAME.fullmatch(text)
    if name is not None:
        part = PartId(int(name[1], 16), int(name[2]))
        return part if review_queries.is_known(connection, part) else None
    if not text.isdecimal() or len(text) > 12:
        return None
    row = connection.execute("SELECT boot, number FROM parts WHERE number = ? ORDER BY id DESC LIMIT 1", (int(text),))
    return next((PartId(*found) for found in row), None)


def _read_on(connection: sqlite3.Connection, text: str) -> PartId | None:
    """Look through the texts that the newest parts bear."""
    if not text:
        return None
    row = connection.execute(
        "SELECT p.boot, p.number FROM results r JOIN parts p ON p.id = r.part"
        " WHERE r.part > (SELECT max(part) FROM results) - ? AND instr(r.views, json_quote(?)) > 0"
        " ORDER BY r.part DESC LIMIT 1",
        (SEARCHED, text),
    ).fetchone()
    return PartId(*row) if row else None


def outcome(found: Found, offered: Sequence[Task], person: str, level: LabelLevel, *, corrects: bool) -> Task | str:
    """Give the task that a part found opens, or a source text that says why there is none.

    offered: the person's own work. corrects: whether he may correct the labels of others.
    """
    part = found.part
    if part is None:
        return UNKNOWN
    own = next((task for task in offered if task.part == part), None)
    if own is not None:
        return own
    if found.item is not None and found.item.waits:
        return WAITS_FOR_ANOTHER
    if not found.labels:
        return NOTHING
    if not corrects and all(label.person != person for label in found.labels):
        return OTHERS
    return Task(
        part,
        Purpose.CORRECTION,
        Occasion.REINSPECTION,
        level,
        blind=False,
        prediction_hidden=False,
        since=found.labels[-1].at,
    )
