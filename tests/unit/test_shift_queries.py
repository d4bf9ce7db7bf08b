"""What statistics and trends count is what the record database holds, part by part."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator

import pytest

from appliance.schema.clocks import S, UtcNs
from appliance.sim.hmi_station import sample_station
from appliance.storage.database import open_reader
from appliance.storage.queries import newest
from appliance.storage.record_store import DATABASE
from appliance.storage.shift_queries import buckets, counts_between, first_entered, people_between

HOUR = 3600 * S
FOREVER = UtcNs(1 << 62)


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    with sample_station() as sample:
        reader = open_reader(sample.loaded.state / DATABASE)
        yield reader
        reader.close()


def test_a_span_counts_its_parts(connection: sqlite3.Connection) -> None:
    """Verdicts, lanes and causes of a span are those of its parts in the joined view, one by one."""
    parts = [one for one in newest(connection, 10_000) if one.entered_utc_ns is not None]
    end = max(one.entered_utc_ns for one in parts) - 5 * HOUR
    begin = UtcNs(end - 9 * HOUR)
    inside = [one for one in parts if begin <= one.entered_utc_ns < end]
    found = counts_between(connection, begin, UtcNs(end), with_classes=True)

    assert inside
    assert len(inside) == found.parts
    assert Counter(one.disposition for one in inside) == found.dispositions
    assert Counter(one.lane or "" for one in inside) == found.lanes
    assert sum(one.lane == "accept" and one.cause == "accepted" for one in inside) == found.first_pass
    assert sum(one.lane == "reject" for one in inside) == sum(found.causes.values())
    assert max(one.entered_utc_ns for one in inside) == found.last


def test_classes_are_of_parts_in_doubt_alone(connection: sqlite3.Connection) -> None:
    """Each part that the model held back counts once, by its strongest finding; sealed, none counts."""
    found = counts_between(connection, UtcNs(0), FOREVER, with_classes=True)
    rows = connection.execute(
        "SELECT r.views FROM verdicts v JOIN results r ON r.part = v.part"
        " WHERE v.disposition IN ('reject', 'review', 'unknown') AND v.reasons NOT LIKE '%random_sample%'"
    ).fetchall()
    kinds = {finding["kind"] for (views,) in rows for view in json.loads(views) for finding in view["findings"]}

    assert len(rows) == found.looked_through == sum(found.classes.values())
    assert set(found.classes) - {"no_finding"} <= kinds
    assert (0, {}) == (
        counts_between(connection, UtcNs(0), FOREVER, with_classes=False).looked_through,
        dict(counts_between(connection, UtcNs(0), FOREVER, with_classes=False).classes),
    )


def test_an_hour_lies_in_one_bucket(connection: sqlite3.Connection) -> None:
    """The buckets of a span hold all its verdicts, each once, and their means are those of their parts."""
    begin = first_entered(connection)
    assert begin is not None
    found = buckets(connection, begin, FOREVER, HOUR)
    verdicts = dict(connection.execute("SELECT disposition, count(*) FROM verdicts GROUP BY 1").fetchall())
    scores = connection.execute("SELECT avg(score), count(score) FROM results").fetchone()

    assert sum(verdicts.values()) == sum(one.parts for one in found.values())
    assert verdicts.get("reject", 0) + verdicts.get("no_verdict", 0) == sum(one.rejected for one in found.values())
    assert verdicts.get("review", 0) + verdicts.get("unknown", 0) == sum(one.reviewed for one in found.values())
    assert scores[1] == sum(one.measured for one in found.values())
    mean = sum((one.score or 0) * one.measured for one in found.values()) / scores[1]
    assert pytest.approx(scores[0]) == mean


def test_thinned_buckets_still_count_every_part(connection: sqlite3.Connection) -> None:
    """Of a long span fewer scores are read; the shares count all parts all the same."""
    begin = first_entered(connection)
    assert begin is not None
    whole, thinned = (buckets(connection, begin, FOREVER, HOUR, every) for every in (1, 3))

    assert [(one.parts, one.rejected) for one in whole.values()] == [
        (one.parts, one.rejected) for one in thinned.values()
    ]
    assert sum(one.measured for one in thinned.values()) < sum(one.measured for one in whole.values())


def test_a_person_sees_himself_alone(connection: sqlite3.Connection) -> None:
    """Asked for one person, nobody else's figures leave the database."""
    everyone = people_between(connection, UtcNs(0), FOREVER)
    one = people_between(connection, UtcNs(0), FOREVER, "o-anna")
    labels = dict(connection.execute("SELECT person, count(*) FROM labels GROUP BY 1").fetchall())

    assert ["o-anna"] == [found.person for found in one]
    assert labels == {found.person: found.labels for found in everyone if found.labels}
    assert all(found.agreed <= found.settled <= found.labels for found in everyone)


def test_nobody_agrees_with_himself(connection: sqlite3.Connection) -> None:
    """Agreement counts labels on parts that more than one person has labelled, or that were settled."""
    rows = connection.execute(
        "SELECT l.person, l.kind = s.kind FROM labels l JOIN label_standing s ON s.part = l.part"
        " WHERE s.state IN ('agreed', 'settled') AND l.kind != 'unsure'"
    ).fetchall()
    found = people_between(connection, UtcNs(0), FOREVER)

    assert 0 < len(rows) < sum(one.labels for one in found)
    assert len(rows) == sum(one.settled for one in found)
    assert sum(row[1] for row in rows) == sum(one.agreed for one in found)


def test_an_empty_span_counts_nothing(connection: sqlite3.Connection) -> None:
    """A shift without parts has zeros, and no instant of a last part."""
    found = counts_between(connection, UtcNs(0), UtcNs(1), with_classes=True)

    assert (0, None, 0) == (found.parts, found.last, found.first_pass)
    assert ([], {}) == (people_between(connection, UtcNs(0), UtcNs(1)), buckets(connection, UtcNs(0), UtcNs(1), HOUR))


def test_spans_are_found_by_index(connection: sqlite3.Connection) -> None:
    """What a span costs does not grow with the database: parts are found by when they entered."""
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT count(*) FROM entered e CROSS JOIN verdicts v ON v.part = e.part"
        " WHERE e.utc_ns >= 1 AND e.utc_ns < 2"
    ).fetchall()

    assert any("entered_by_time" in row[3] for row in plan)
