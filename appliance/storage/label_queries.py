"""Ask the record database what people said of parts, and what it amounts to; for readers.

How the labels of one part stand is said by the view `label_standing`; of all parts it is folded by
`appliance/labelling/standing.py`, which says the same and is faster.
"""

import sqlite3
import statistics
from collections.abc import Collection, Iterator

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.decision.review_queue import WAITS
from appliance.labelling.queue import Work
from appliance.labelling.standing import Standing, State, by_part, standing
from appliance.schema.clocks import UtcNs
from appliance.schema.label import GOOD, Label, LabelLevel
from appliance.schema.part import PartId
from appliance.schema.review import SeededAnswer
from appliance.storage import review_queries

_ROW_ID = "(SELECT id FROM parts WHERE boot = ? AND number = ?)"

BEGINNING = UtcNs(0)

_labels = msgspec.msgpack.Decoder(Label)
_answers = msgspec.msgpack.Decoder(SeededAnswer)


class StandingRow(Struct, frozen=True):
    """State how a part's labels stand."""

    part: PartId
    state: State
    kind: str = ""
    """Class that stands; empty unless training may use it."""
    label_id: str = ""
    """Label that stands; empty unless training may use it."""
    level: int = 0
    """Highest level among the counted labels that say a class."""
    people: tuple[str, ...] = ()
    """Whose labels count."""
    since: UtcNs = UtcNs(0)
    """When the newest counted label was given."""


class LevelTimes(Struct, frozen=True):
    """Give how long people took for the labels of one level, s."""

    level: LabelLevel
    n: int
    low: float
    """First quartile."""
    median: float
    high: float
    """Third quartile."""


class Candidate(Struct, frozen=True):
    """Give a kept image with the class that stands for its part, to lay beside another."""

    part: PartId
    camera: str
    path: str
    """In the image folder."""
    sha256: str
    kind: str
    level: int
    label: Label
    """Label that stands; its regions say where to look."""


def labels_of(connection: sqlite3.Connection, part: PartId) -> list[Label]:
    """Give what was said of a part, in the order kept; of a seeded part it looks the same."""
    key = (part.boot, part.number)
    rows = connection.execute(f"SELECT body FROM labels WHERE part = {_ROW_ID} ORDER BY id", key)  # noqa: S608
    found = [_labels.decode(row[0]) for row in rows]
    rows = connection.execute(f"SELECT body FROM seeded_answers WHERE part = {_ROW_ID} ORDER BY id", key)  # noqa: S608
    return found or [_answers.decode(row[0]).label for row in rows]


def label(connection: sqlite3.Connection, label_id: str) -> Label | None:
    """Give what was said under an id, of a seeded part too; None when nothing was."""
    row = connection.execute("SELECT body FROM labels WHERE label_id = ?", (label_id,)).fetchone()
    if row is not None:
        return _labels.decode(row[0])
    row = connection.execute("SELECT body FROM seeded_answers WHERE label_id = ?", (label_id,)).fetchone()
    return _answers.decode(row[0]).label if row is not None else None


def following(connection: sqlite3.Connection, told: Label) -> Label:
    """Give a label with `previous` and `old` filled in: what counts of the same person, else the newest that counts."""
    counted = standing(labels_of(connection, told.part)).counted
    if not counted:
        return replace(told, previous="", old="")
    before = next((one for one in counted if one.person == told.person), counted[-1])
    return replace(told, previous=before.label_id, old=before.kind)


def labels_in_order(connection: sqlite3.Connection, after: int = 0) -> Iterator[tuple[int, Label]]:
    """Yield every label with its row id, in the order kept; `after` is the last row id that is known already."""
    for row in connection.execute("SELECT id, body FROM labels WHERE id > ? ORDER BY id", (after,)):
        yield row[0], _labels.decode(row[1])


def all_labels(connection: sqlite3.Connection) -> list[Label]:
    """Give every label, in the order kept."""
    return [found for _, found in labels_in_order(connection)]


def standing_of(connection: sqlite3.Connection, part: PartId) -> StandingRow:
    """Say how a part's labels stand."""
    row = connection.execute(
        "SELECT s.state, s.kind, s.label_id, s.level, s.people, s.utc_ns FROM label_standing s"  # noqa: S608  own names
        f" WHERE s.part = {_ROW_ID}",
        (part.boot, part.number),
    ).fetchone()
    if row is None:
        return StandingRow(part, State.NONE)
    people = tuple(sorted(row[4].split("\n")))
    return StandingRow(part, State(row[0]), row[1], row[2], row[3], people, UtcNs(row[5]))


def standings(
    connection: sqlite3.Connection, states: Collection[State] = tuple(State), limit: int | None = None
) -> list[StandingRow]:
    """Give how the labelled parts stand that are in one of `states`, the newest label first; None: all of them.

    Folded here, at a tenth of the time that the view takes for all parts.
    """
    hidden = seeded(connection)
    labels = (found for found in all_labels(connection) if found.part not in hidden)
    folded = {part: standing(those) for part, those in by_part(labels).items()}
    order = sorted(folded, key=lambda part: folded[part].counted[-1].at if folded[part].counted else 0, reverse=True)
    return [_row_of(part, folded[part]) for part in order if folded[part].state in states][:limit]


def conflicts(connection: sqlite3.Connection) -> list[StandingRow]:
    """Give the parts whose labels contradict each other, or whose last could not say; the newest first."""
    return standings(connection, (State.CONFLICT, State.UNSURE))


def work(connection: sqlite3.Connection) -> Work:
    """Give what `labelling.queue` needs to say who gets which work."""
    kept = connection.execute(
        "SELECT p.boot, p.number FROM parts p WHERE p.id IN (SELECT part FROM labels)"
        " AND EXISTS (SELECT 1 FROM images i WHERE i.part = p.id AND i.path IS NOT NULL)"
    )
    return Work(
        tuple(review_queries.items(connection, WAITS)),
        tuple(all_labels(connection)),
        seeded(connection),
        frozenset(PartId(*row) for row in kept),
    )


def seeded(connection: sqlite3.Connection) -> frozenset[PartId]:
    """Name the seeded parts; to be shown to nobody who reviews."""
    rows = connection.execute("SELECT p.boot, p.number FROM seeds s JOIN parts p ON p.id = s.part")
    return frozenset(PartId(*row) for row in rows)


def seeded_answers(connection: sqlite3.Connection) -> list[tuple[Label, str]]:
    """Give what people said of seeded parts, with the class that was put there, in the order kept."""
    rows = connection.execute(
        "SELECT a.body, s.kind FROM seeded_answers a JOIN seeds s ON s.part = a.part ORDER BY a.id"
    )
    return [(_answers.decode(row[0]).label, row[1]) for row in rows]


def label_times(connection: sqlite3.Connection, since: UtcNs = BEGINNING) -> list[LevelTimes]:
    """Give how long people took, by level, for the labels given from `since` on; a level without any is left out."""
    seconds: dict[int, list[float]] = {}
    for row in connection.execute("SELECT level, seconds FROM labels WHERE utc_ns >= ?", (since,)):
        seconds.setdefault(row[0], []).append(row[1])
    found = []
    for level, those in sorted(seconds.items()):
        low, median, high = statistics.quantiles(those, n=4, method="inclusive") if len(those) > 1 else those * 3
        found.append(LevelTimes(LabelLevel(level), len(those), low, median, high))
    return found


def candidates(connection: sqlite3.Connection, kind: str | None = None, limit: int = 200) -> list[Candidate]:
    """Give kept images of parts whose class stands, the newest labels first, at most `limit`.

    kind: `good`, a class of defect, or None for every class of defect.
    """
    rows = connection.execute(
        "SELECT p.boot, p.number, i.camera, i.path, i.sha256, l.kind, l.level, l.body"  # noqa: S608  one of two signs
        " FROM labels l JOIN parts p ON p.id = l.part JOIN images i ON i.part = l.part AND i.path IS NOT NULL"
        f" WHERE l.kind {'=' if kind else '<>'} ?"
        " AND EXISTS (SELECT 1 FROM labels_current c WHERE c.part = l.part AND c.id = l.id)"
        " ORDER BY l.id DESC LIMIT ?",
        (kind or GOOD, limit),
    )
    return [
        Candidate(PartId(boot, number), camera, path, sha256, named, level, _labels.decode(body))
        for boot, number, camera, path, sha256, named, level, body in rows
    ]


def _row_of(part: PartId, found: Standing) -> StandingRow:
    people = tuple(sorted(one.person for one in found.counted))
    since = found.counted[-1].at if found.counted else UtcNs(0)
    return StandingRow(part, found.state, found.kind, found.label_id, found.level, people, since)
