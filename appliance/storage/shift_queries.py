"""Count what a span of time made, for statistics and trends; for readers.

Parts belong to the span in which they entered. Everything counts over `entered_by_time`, so that it costs what the span
holds and not what the database holds.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.verdict import Disposition, Reason

MOST_READ = 20_000
"""Held-back parts whose findings are looked through for a Pareto chart, newest first; more is said to be more."""


class ShiftCounts(Struct, frozen=True):
    """Count the parts that entered in a span."""

    parts: int
    dispositions: Mapping[str, int]
    """By the judge's verdict; `no_verdict` where there is none."""
    lanes: Mapping[str, int]
    """By the gate; parts under way have none."""
    first_pass: int
    """Accepted by the gate by the model's own ACCEPT, without a person."""
    causes: Mapping[str, int]
    """Why the gate rejected, by the gate's cause; a part decided by its verdict counts under the verdict's reason."""
    classes: Mapping[str, int]
    """Class of the strongest finding of parts that the model rejected or left to a person."""
    looked_through: int
    """Parts behind `classes`."""
    last: UtcNs | None
    """When the last one entered."""


class PersonCounts(Struct, frozen=True):
    """Count what one person did in a span."""

    person: str
    decisions: int
    labels: int
    median_s: float | None
    """From the picture's appearance to the answer; None: no label."""
    settled: int
    """Labels that are an answer (not unsure) on parts whose class stands by more than one person's word."""
    agreed: int
    """Of these, those that say the class that stands."""


class Bucket(Struct, frozen=True):
    """Give one hour, or another length, of a trend."""

    begin: UtcNs
    parts: int
    """With a verdict."""
    rejected: int
    """REJECT or NO_VERDICT."""
    reviewed: int
    """REVIEW or UNKNOWN."""
    score: float | None
    """Mean image score of the parts that were looked at for it."""
    latency_ms: float | None
    """Mean time from the part sensor to the verdict."""
    measured: int
    """Parts behind `score`."""


def counts_between(connection: sqlite3.Connection, begin: UtcNs, end: UtcNs, *, with_classes: bool) -> ShiftCounts:
    """Count a span.

    with_classes: False leaves the classes out, as in parallel mode, where nobody may see what the model found.
    """
    span = (begin, end)
    said = Counter[str]()
    lanes, causes = Counter[str](), Counter[str]()
    first_pass = 0
    rows = connection.execute(
        "SELECT coalesce(v.disposition, 'no_verdict'), a.lane, a.cause, v.reasons, count(*) FROM entered e"
        " LEFT JOIN verdicts v ON v.part = e.part LEFT JOIN actuations a ON a.part = e.part"
        " WHERE e.utc_ns >= ? AND e.utc_ns < ? GROUP BY 1, 2, 3, 4",
        span,
    )
    for disposition, lane, cause, reasons, count in rows:
        said[disposition] += count
        lanes[lane or ""] += count
        first_pass += count if lane == "accept" and cause == "accepted" else 0
        if lane == "reject":
            causes[_why(cause, reasons)] += count
    last = connection.execute("SELECT max(utc_ns) FROM entered WHERE utc_ns >= ? AND utc_ns < ?", span).fetchone()[0]
    classes, looked = _classes(connection, begin, end) if with_classes else (Counter[str](), 0)
    return ShiftCounts(said.total(), said, lanes, first_pass, causes, classes, looked, last)


def people_between(
    connection: sqlite3.Connection, begin: UtcNs, end: UtcNs, person: str | None = None
) -> list[PersonCounts]:
    """Count what people did in a span, whoever did most first; person: only his.

    Known answers and audits are labels like others here. Agreement is with the class that stands now, on parts that
    others have labelled too: a label that nobody else has looked at would agree with itself.
    """
    values = {"begin": begin, "end": end, "person": person}
    decided = dict(
        connection.execute(
            "SELECT person, count(*) FROM manual_verdicts WHERE utc_ns >= :begin AND utc_ns < :end"
            " AND (:person IS NULL OR person = :person) GROUP BY 1",
            values,
        ).fetchall()
    )
    times: dict[str, list[float]] = {}
    stands: dict[str, list[bool]] = {}
    rows = connection.execute(
        "SELECT l.person, l.seconds, l.kind, s.kind FROM labels l"
        " LEFT JOIN label_standing s ON s.part = l.part AND s.state IN ('agreed', 'settled')"
        " WHERE l.utc_ns >= :begin AND l.utc_ns < :end AND (:person IS NULL OR l.person = :person)",
        values,
    )
    for who, seconds, kind, standing in rows:
        times.setdefault(who, []).append(seconds)
        if standing and kind != "unsure":
            stands.setdefault(who, []).append(kind == standing)
    found = [
        PersonCounts(
            who,
            decided.get(who, 0),
            len(times.get(who, ())),
            _median(times.get(who, [])),
            len(stands.get(who, ())),
            sum(stands.get(who, ())),
        )
        for who in decided.keys() | times.keys()
    ]
    return sorted(found, key=lambda one: (-one.labels - one.decisions, one.person))


def buckets(
    connection: sqlite3.Connection, begin: UtcNs, end: UtcNs, length_ns: int, every: int = 1
) -> dict[int, Bucket]:
    """Count a span by buckets of one length from `begin` on, by their number; empty ones are missing.

    every: so many parts stand for one whose score and latency are looked at; the share that is held back counts all.
    """
    found: dict[int, Bucket] = {}
    rows = connection.execute(
        "SELECT (e.utc_ns - :begin) / :length, count(*), sum(v.disposition IN ('reject', 'no_verdict')),"
        " sum(v.disposition IN ('review', 'unknown')),"
        " avg(iif(e.part % :every = 0, (v.decided_ns - e.at_ns) / 1e6, NULL))"
        " FROM entered e CROSS JOIN verdicts v ON v.part = e.part"
        " WHERE e.utc_ns >= :begin AND e.utc_ns < :end GROUP BY 1",
        {"begin": begin, "end": end, "length": length_ns, "every": every},
    )
    scores = {
        row[0]: (row[1], row[2])
        for row in connection.execute(
            "SELECT (e.utc_ns - :begin) / :length, avg(r.score), count(r.score) FROM entered e"
            " CROSS JOIN results r ON r.part = e.part"
            " WHERE e.utc_ns >= :begin AND e.utc_ns < :end AND e.part % :every = 0 GROUP BY 1",
            {"begin": begin, "end": end, "length": length_ns, "every": every},
        )
    }
    for number, parts, rejected, reviewed, latency_ms in rows:
        score, measured = scores.get(number, (None, 0))
        begins = UtcNs(begin + number * length_ns)
        found[number] = Bucket(begins, parts, rejected, reviewed, score, latency_ms, measured)
    return found


def regime_began(connection: sqlite3.Connection) -> UtcNs | None:
    """Give since when model and recipe have been the same, by the audit chain; None: since ever."""
    row = connection.execute(
        "SELECT max(utc_ns) FROM audit WHERE action IN ('bundle_activated', 'bundle_rolled_back', 'recipe_changed')"
        " OR (action GLOB 'recipe_*' AND action != 'recipe_log_unreadable')"
    ).fetchone()
    return UtcNs(row[0]) if row[0] is not None else None


def first_entered(connection: sqlite3.Connection) -> UtcNs | None:
    """Give when the first part of all entered; None: none has."""
    row = connection.execute("SELECT min(utc_ns) FROM entered").fetchone()
    return UtcNs(row[0]) if row[0] is not None else None


def _why(cause: str | None, reasons: str | None) -> str:
    """Name why a part was rejected: the verdict's first reason where the verdict did it, else the gate's cause."""
    if cause in {"decided_reject", "late"} and reasons:
        listed = json.loads(reasons)
        if cause == "decided_reject" and listed:
            return str(listed[0])
    return cause or ""


def _classes(connection: sqlite3.Connection, begin: UtcNs, end: UtcNs) -> tuple[Counter[str], int]:
    """Count the classes of the strongest findings; a part of the random sample was not held back by what was found."""
    held = (Disposition.REJECT, Disposition.REVIEW, Disposition.UNKNOWN)
    rows = connection.execute(
        "SELECT r.views FROM entered e CROSS JOIN verdicts v ON v.part = e.part CROSS JOIN results r ON r.part = e.part"
        " WHERE e.utc_ns >= ? AND e.utc_ns < ? AND v.disposition IN (?, ?, ?) AND v.reasons NOT LIKE ?"
        " ORDER BY e.utc_ns DESC LIMIT ?",
        (begin, end, *held, f'%"{Reason.RANDOM_SAMPLE}"%', MOST_READ),
    )
    found, looked = Counter[str](), 0
    for (views,) in rows:
        looked += 1
        findings = [one for view in json.loads(views) for one in view.get("findings", ())]
        if findings:
            strongest = max(findings, key=lambda one: one.get("confidence") or one.get("score") or 0.0)
            found[strongest["kind"]] += 1
        else:
            found[NO_FINDING] += 1
    return found, looked


NO_FINDING = "no_finding"
"""Class of a part that was held back by its score, a rule or a missing picture, without a finding."""


def _median(values: list[float]) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
