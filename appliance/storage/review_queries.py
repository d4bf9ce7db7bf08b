"""Ask the record database about review: where parts stand, what people decided, what is known of escapes.

What the model would have decided in parallel mode is read here alone, and only where a person has decided the part.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable

import msgspec
from msgspec import Struct

from appliance.decision.escapes import SeedCount, Stratum
from appliance.decision.parallel import Pair
from appliance.decision.review_queue import WAITS, Item, item_of
from appliance.decision.sampling import before_the_draw
from appliance.schema.clocks import UtcNs
from appliance.schema.part import PartId
from appliance.schema.review import Change, ManualVerdict, Occasion, ReviewStep
from appliance.schema.verdict import Disposition, Reason

_LAST = "s.number = (SELECT max(l.number) FROM review_steps l WHERE l.part = s.part)"

_ACCEPTABLE = (
    "(v.disposition = 'accept' OR EXISTS (SELECT 1 FROM json_each(v.reasons) r WHERE r.value = 'random_sample'))"
)
"""The model would accept the part, drawn for a person or not."""

_JUDGED_BY = "(:bundle IS NULL OR EXISTS (SELECT 1 FROM results j WHERE j.part = v.part AND j.bundle = :bundle))"


class Compared(Struct, frozen=True):
    """Hold a person's first decision on a part beside the model's sealed one."""

    part: str
    model: Disposition
    reasons: tuple[Reason, ...]
    accept: bool
    """By the person."""
    kind: str
    person: str
    seconds: float
    prediction_shown: bool
    at: UtcNs
    score: float | None
    bundle: str
    precision: str
    seeded: bool
    """A known defect that somebody put there; no evidence about the line's own defects."""


class Tally(Struct, frozen=True):
    """Count parts in review."""

    opened: int
    """Parts that ever came in."""
    decided: int
    """Whose last step is a person's decision."""
    quarantined: int
    """Which are in quarantine now."""
    waiting: int


def standing(connection: sqlite3.Connection, part: PartId) -> Item | None:
    """Say where a part stands in review; None when it was never there."""
    return item_of(steps_of(connection, part))


def steps_of(connection: sqlite3.Connection, part: PartId) -> list[ReviewStep]:
    """Give the steps of a part through review, in order."""
    rows = connection.execute(
        "SELECT s.body FROM review_steps s JOIN parts p ON p.id = s.part WHERE p.boot = ? AND p.number = ?"
        " ORDER BY s.number",
        (part.boot, part.number),
    )
    return [msgspec.msgpack.decode(row[0], type=ReviewStep) for row in rows]


def items(connection: sqlite3.Connection, last: Collection[Change]) -> list[Item]:
    """Give the parts whose last step is one of `last`."""
    marks = ",".join("?" * len(last))
    rows = connection.execute(
        f"SELECT a.body FROM review_steps s JOIN review_steps a ON a.part = s.part"  # noqa: S608  question marks only
        f" WHERE s.change IN ({marks}) AND {_LAST} ORDER BY s.id, a.number",
        tuple(change.value for change in last),
    )
    steps: dict[PartId, list[ReviewStep]] = {}
    for row in rows:
        step = msgspec.msgpack.decode(row[0], type=ReviewStep)
        steps.setdefault(step.part, []).append(step)
    return [found for found in map(item_of, steps.values()) if found is not None]


def overlooked(connection: sqlite3.Connection) -> list[tuple[PartId, Occasion]]:
    """Give the parts that ought to be in review and have no step, as after a step that could not be kept."""
    rows = connection.execute(
        f"SELECT p.boot, p.number, iif(v.disposition = 'unknown', 'unknown', iif({_ACCEPTABLE}, 'sample', 'review'))"  # noqa: S608  own names
        " FROM verdicts v JOIN parts p ON p.id = v.part WHERE v.disposition IN ('review', 'unknown')"
        " AND NOT EXISTS (SELECT 1 FROM review_steps s WHERE s.part = v.part)"
        " UNION ALL SELECT p.boot, p.number, 'parallel' FROM sealed_verdicts d JOIN parts p ON p.id = d.part"
        " WHERE NOT EXISTS (SELECT 1 FROM review_steps s WHERE s.part = d.part) ORDER BY 1, 2"
    )
    return [(PartId(row[0], row[1]), Occasion(row[2])) for row in rows]


def reasons_of(connection: sqlite3.Connection, part: PartId) -> tuple[Reason, ...]:
    """Give the reasons of a part's verdict, most important first; empty when it has none."""
    row = connection.execute(
        "SELECT v.reasons FROM verdicts v JOIN parts p ON p.id = v.part WHERE p.boot = ? AND p.number = ?",
        (part.boot, part.number),
    ).fetchone()
    return tuple(map(Reason, json.loads(row[0]))) if row else ()


def manual_verdicts(connection: sqlite3.Connection, part: PartId) -> list[ManualVerdict]:
    """Give what people decided about a part, in order."""
    rows = connection.execute(
        "SELECT m.body FROM manual_verdicts m JOIN parts p ON p.id = m.part WHERE p.boot = ? AND p.number = ?"
        " ORDER BY m.id",
        (part.boot, part.number),
    )
    return [msgspec.msgpack.decode(row[0], type=ManualVerdict) for row in rows]


def is_known(connection: sqlite3.Connection, part: PartId) -> bool:
    """Say whether any fact names a part."""
    row = connection.execute("SELECT 1 FROM parts WHERE boot = ? AND number = ?", (part.boot, part.number)).fetchone()
    return row is not None


def lane_of(connection: sqlite3.Connection, part: PartId) -> str | None:
    """Say where a part lies: where a person put it last, else where the gate did; None while it is on the belt."""
    row = connection.execute(
        "SELECT coalesce(hand_lane, lane) FROM inspections WHERE boot = ? AND number = ?", (part.boot, part.number)
    ).fetchone()
    return row[0] if row else None


def seeds(connection: sqlite3.Connection) -> dict[PartId, tuple[str, str]]:
    """Give class and person of every seeded part; to be shown to nobody who reviews."""
    rows = connection.execute("SELECT p.boot, p.number, s.kind, s.person FROM seeds s JOIN parts p ON p.id = s.part")
    return {PartId(row[0], row[1]): (row[2], row[3]) for row in rows}


def seed_wish(connection: sqlite3.Connection) -> tuple[str, str] | None:
    """Give class and person of a known defect that was announced and has met no part yet; None: none waits."""
    row = connection.execute(
        "SELECT action, after, actor FROM audit WHERE action IN ('seed_announced', 'part_seeded')"
        " ORDER BY sequence DESC LIMIT 1"
    ).fetchone()
    return (row[1], row[2]) if row and row[0] == "seed_announced" else None


def tally(connection: sqlite3.Connection, boots: Iterable[int] | None = None) -> Tally:
    """Count the parts in review, of some boots of the microcontroller or of all."""
    wanted = None if boots is None else tuple(boots)
    some = "" if wanted is None else f" AND p.boot IN ({','.join('?' * len(wanted))})"
    rows = connection.execute(
        f"SELECT s.change, count(*) FROM review_steps s JOIN parts p ON p.id = s.part WHERE {_LAST}{some} GROUP BY 1",  # noqa: S608  question marks only
        wanted or (),
    )
    count = {Change(row[0]): row[1] for row in rows}
    waiting = sum(count.get(change, 0) for change in WAITS)
    decided, quarantined = count.get(Change.DECIDED, 0), count.get(Change.QUARANTINED, 0)
    return Tally(waiting + decided + quarantined, decided, quarantined, waiting)


def newest_bundle(connection: sqlite3.Connection) -> str | None:
    """Name the bundle that judged last; None when none has."""
    row = connection.execute("SELECT bundle FROM results WHERE bundle != '' ORDER BY part DESC LIMIT 1").fetchone()
    return row[0] if row else None


def strata(connection: sqlite3.Connection, bundle: str | None = None) -> list[Stratum]:
    """Count the random sample by the probability of the draw, of one bundle or of all; seeded parts are left out.

    A drawn part is inspected once a person has decided it, and found by the first decision.
    """
    rows = connection.execute(
        f"SELECT v.sampling, count(*), sum(v.disposition = 'review'),"  # noqa: S608  own names
        " sum(v.disposition = 'review' AND m.id IS NOT NULL), sum(v.disposition = 'review' AND m.accept IS 0)"
        " FROM verdicts v LEFT JOIN manual_verdicts m"
        " ON m.id = (SELECT min(f.id) FROM manual_verdicts f WHERE f.part = v.part)"
        f" WHERE {_ACCEPTABLE} AND NOT EXISTS (SELECT 1 FROM seeds d WHERE d.part = v.part) AND {_JUDGED_BY}"
        " GROUP BY 1 ORDER BY 1",
        {"bundle": bundle},
    )
    return [Stratum(*row) for row in rows]


def seed_counts(connection: sqlite3.Connection, bundle: str | None = None) -> list[SeedCount]:
    """Count what became of the seeded parts of each class; of the model, one bundle's or all.

    Of the model those count that were seeded before their verdict, and got one other than no_verdict: who seeds a part
    whose verdict is known knows the answer. In parallel mode there is no verdict, and people alone are counted.
    """
    before = f"v.utc_ns >= d.utc_ns AND v.disposition != 'no_verdict' AND {_JUDGED_BY}"
    rows = connection.execute(
        f"SELECT d.kind, sum(coalesce({before}, 0)), sum(coalesce({before} AND {_ACCEPTABLE}, 0)),"  # noqa: S608  own names
        " sum(m.id IS NOT NULL), sum(m.accept IS 1) FROM seeds d LEFT JOIN verdicts v ON v.part = d.part"
        " LEFT JOIN manual_verdicts m ON m.id = (SELECT min(f.id) FROM manual_verdicts f WHERE f.part = d.part)"
        " GROUP BY 1 ORDER BY 1",
        {"bundle": bundle},
    )
    return [SeedCount(*row) for row in rows]


def compared(connection: sqlite3.Connection, part: PartId | None = None) -> list[Compared]:
    """Give the parts of parallel mode that a person has decided, in that order, or one; the others stay sealed."""
    rows = connection.execute(
        "SELECT part, disposition, reasons, accept, kind, person, seconds, prediction_shown, utc_ns, score, bundle,"  # noqa: S608  own names
        f" precision, seeded FROM parallel_table{' WHERE boot = ? AND number = ?' if part else ''} ORDER BY utc_ns, id",
        (part.boot, part.number) if part else (),
    )
    return [
        Compared(
            row["part"],
            Disposition(row["disposition"]),
            tuple(map(Reason, json.loads(row["reasons"]))),
            bool(row["accept"]),
            row["kind"],
            row["person"],
            row["seconds"],
            bool(row["prediction_shown"]),
            UtcNs(row["utc_ns"]),
            row["score"],
            row["bundle"],
            row["precision"],
            bool(row["seeded"]),
        )
        for row in rows
    ]


def pairs(connection: sqlite3.Connection) -> list[Pair]:
    """Give the same as parallel mode compares it."""
    return [pair_of(row) for row in compared(connection)]


def pair_of(row: Compared) -> Pair:
    """Give a part as parallel mode compares it; one that was drawn at random would have been accepted."""
    model = before_the_draw(row.model, row.reasons)
    return Pair(row.accept, row.kind, model, row.at, seeded=row.seeded, prediction_shown=row.prediction_shown)
