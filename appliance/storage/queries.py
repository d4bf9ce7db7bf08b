"""Ask the record database; for readers, on a connection of `database.open_reader`."""

import json
import math
import sqlite3
from collections.abc import Collection, Iterator

import msgspec
from msgspec import Struct

from appliance.schema.audit import AuditEntry
from appliance.schema.finding import ViewResult
from appliance.schema.part import PartId

_COLUMNS = (
    "id, part, boot, number, entered_utc_ns, entered_ns, disposition, reasons, lane, cause, held_disposition,"
    " actuated_utc_ns, latency_ms, entered_to_verdict_ms, margin_ms, transfer_ms, queue_ms, preprocess_ms,"
    " inference_ms, decide_ms, bundle, runtime, precision, copies, score, views, acked, image, image_not_kept,"
    " manual, manual_margin_ms, hand_lane"
)


class Inspection(Struct, frozen=True):
    """Give one part with all that is known of it; None where a fact is missing."""

    id: int
    """Row id; grows in the order in which parts were first heard of."""
    part: str
    boot: int
    number: int
    entered_utc_ns: int | None
    entered_ns: int | None
    disposition: str
    """The judge's; `no_verdict` when there is none."""
    reasons: str
    """JSON array."""
    lane: str | None
    cause: str | None
    held_disposition: str | None
    """The verdict `line` held when the gate acted."""
    actuated_utc_ns: int | None
    latency_ms: float | None
    """Last camera trigger of the part to its verdict."""
    entered_to_verdict_ms: float | None
    margin_ms: float | None
    """Verdict to the part's deadline; negative when late."""
    transfer_ms: float | None
    queue_ms: float | None
    preprocess_ms: float | None
    inference_ms: float | None
    decide_ms: float | None
    bundle: str | None
    runtime: str | None
    precision: str | None
    copies: int | None
    score: float | None
    """Most suspicious view's."""
    views: str | None
    """JSON array of ViewResult."""
    acked: int
    """1 when the PLC took the result over."""
    image: str | None
    """Path in the image folder of the first view kept."""
    image_not_kept: str | None
    manual: str | None = None
    """accept or reject, as a person decided last."""
    manual_margin_ms: float | None = None
    """A person's first accept to the gate; negative when it came after, None when there is none."""
    hand_lane: str | None = None
    """Where a person put the part last, after the gate."""


class Summary(Struct, frozen=True):
    """Count a whole database."""

    parts: int
    verdicts: dict[str, int]
    actuations: dict[str, int]
    unaccounted: int
    """Parts without an actuation."""
    accepted_without_verdict: int
    """Parts in the accept lane without an ACCEPT, of a person where the gate acted for one, else of the judge; anything
    but 0 is a broken safety rule."""
    acked: int
    images: int
    latency_ms: tuple[float, ...]
    """Trigger to verdict of each part that has both, ascending."""


def newest(connection: sqlite3.Connection, limit: int, before: int | None = None) -> list[Inspection]:
    """Give the newest parts, newest first; `before` is the last id of the page above."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM inspections WHERE id < ? ORDER BY id DESC LIMIT ?",  # noqa: S608  own names
        (before if before is not None else 1 << 62, limit),
    )
    return [Inspection(*row) for row in rows]


def inspection(connection: sqlite3.Connection, part: PartId) -> Inspection | None:
    """Give one part; None when it was never heard of."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM inspections WHERE boot = ? AND number = ?",  # noqa: S608  own names
        (part.boot, part.number),
    ).fetchone()
    return Inspection(*row) if row else None


def summary(connection: sqlite3.Connection) -> Summary:
    """Count everything in one read transaction."""
    connection.execute("BEGIN")
    try:
        parts = _count(connection, "SELECT count(*) FROM parts")
        actuated = _count(connection, "SELECT count(*) FROM actuations")
        return Summary(
            parts,
            _tally(connection, "SELECT disposition, count(*) FROM inspections GROUP BY disposition"),
            _tally(connection, "SELECT lane, count(*) FROM actuations GROUP BY lane"),
            parts - actuated,
            _count(
                connection,
                "SELECT count(*) FROM actuations a LEFT JOIN verdicts v ON v.part = a.part WHERE a.lane = 'accept'"
                " AND NOT iif(a.cause = 'operator', EXISTS (SELECT 1 FROM manual_verdicts m WHERE m.part = a.part"
                " AND m.accept AND m.utc_ns <= a.utc_ns), v.disposition IS 'accept')",
            ),
            _count(connection, "SELECT count(*) FROM plc_acknowledgements"),
            _count(connection, "SELECT count(*) FROM images WHERE path NOT NULL"),
            tuple(
                row[0]
                for row in connection.execute(
                    "SELECT latency_ms FROM inspections WHERE latency_ms NOT NULL ORDER BY latency_ms"
                )
            ),
        )
    finally:
        connection.execute("COMMIT")


def shadow_tally(connection: sqlite3.Connection, bundle: str) -> dict[tuple[str, str], int]:
    """Count the parts by (disposition of the active bundle, disposition of this shadow bundle)."""
    rows = connection.execute(
        "SELECT active_disposition, disposition, count(*) FROM shadow_results WHERE bundle = ? GROUP BY 1, 2", (bundle,)
    )
    return {(row[0], row[1]): row[2] for row in rows}


def audit_entries(connection: sqlite3.Connection) -> Iterator[AuditEntry]:
    """Give the audit chain, oldest link first."""
    for row in connection.execute(
        "SELECT sequence, utc_ns, actor, action, subject, before, after, previous, digest FROM audit ORDER BY sequence"
    ):
        yield AuditEntry(*row)


def images(connection: sqlite3.Connection, part: PartId) -> list[dict[str, object]]:
    """Give the image rows of a part, those not kept included."""
    rows = connection.execute(
        "SELECT i.* FROM images i JOIN parts p ON p.id = i.part WHERE p.boot = ? AND p.number = ? ORDER BY camera",
        (part.boot, part.number),
    )
    return [dict(row) for row in rows]


def images_kept(connection: sqlite3.Connection, boots: Collection[int]) -> int:
    """Count the images kept of the parts of some boots of the microcontroller."""
    marks = ",".join("?" * len(boots))
    query = f"SELECT count(*) FROM images i JOIN parts p ON p.id = i.part WHERE i.path NOT NULL AND p.boot IN ({marks})"  # noqa: S608  question marks only
    return int(connection.execute(query, tuple(boots)).fetchone()[0])


def reasons(found: Inspection) -> tuple[str, ...]:
    """Give the reasons of a verdict, most important first."""
    return tuple(json.loads(found.reasons))


def _count(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])


def _tally(connection: sqlite3.Connection, statement: str) -> dict[str, int]:
    return {row[0]: row[1] for row in connection.execute(statement)}


def views_of(stored: str | None) -> list[ViewResult]:
    """Give the views in a row's `views`; a score that is no number was stored as null, since JSON has no other way."""
    found = msgspec.json.decode(stored) if stored else []
    for view in found:
        if view["score"] is None:
            view["score"] = math.nan
    return msgspec.convert(found, list[ViewResult])
