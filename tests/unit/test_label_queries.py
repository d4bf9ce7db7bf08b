"""What readers ask of labels, people and alarms: in order, the newest that holds, and fast whatever the size."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from sqlite_utils import Database

from appliance.labelling.standing import State
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.health import Alarm
from appliance.schema.label import LabelLevel, Purpose
from appliance.schema.review import Seeded
from appliance.schema.verdict import Disposition
from appliance.storage import alarm_queries, label_queries
from appliance.storage.database import open_reader, open_writer
from appliance.storage.migrations import _record
from appliance.storage.record_store import RecordStore
from tests.unit.label_rig import AT, keep, keep_images, label, parts
from tests.unit.review_rig import part, review_facts, running, verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    store = RecordStore(tmp_path, 16)
    yield store
    store.close()


@pytest.fixture
def reader(store: RecordStore) -> Iterator[sqlite3.Connection]:
    connection = open_reader(store.path)
    yield connection
    connection.close()


def test_labels_come_in_the_order_kept(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Not in the order of clocks: a terminal that was cut off may be late; a reader goes on from where it was."""
    late = replace(label(1, "good", name="l-1"), at=UtcNs(AT + 5))
    keep(store, late, label(2, "dent", name="l-2"), label(1, "dent", "op-2", 1, Purpose.AUDIT, "l-3"))
    first, *rest = label_queries.labels_in_order(reader)

    assert ["l-1", "l-2", "l-3"] == [one.label_id for one in label_queries.all_labels(reader)]
    assert rest == list(label_queries.labels_in_order(reader, first[0]))
    assert ["l-1", "l-3"] == [one.label_id for one in label_queries.labels_of(reader, part(1))]
    assert late == label_queries.label(reader, "l-1")
    assert label_queries.label(reader, "l-9") is None


def test_how_parts_stand_is_listed_newest_first(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Folded for all parts, it is what the view says of each; seeded parts and known answers are left out of it."""
    for number, name in enumerate(("good", "dent", "unsure", "scratch"), 1):
        keep(store, replace(label(number, name, "op-1"), at=UtcNs(AT + number)))
    keep(store, replace(label(2, "good", "op-2", 1, Purpose.AUDIT), at=UtcNs(AT + 9)))
    keep(store, label(5, "good", "op-2", 1, Purpose.KNOWN_ANSWER), Seeded(part(6), "dent", "qe-1", AT))
    listed = label_queries.standings(reader)
    states = {row.part.number: row.state for row in listed}

    assert [2, 4, 3, 1, 5] == [row.part.number for row in listed]
    assert [State.CONFLICT, State.SINGLE, State.UNSURE, State.SINGLE, State.NONE] == list(states.values())
    assert listed == [label_queries.standing_of(reader, row.part) for row in listed]
    assert [2, 3] == [row.part.number for row in label_queries.conflicts(reader)]
    assert parts((4,)) == [row.part for row in label_queries.standings(reader, (State.SINGLE,), 1)]
    assert State.NONE == label_queries.standing_of(reader, part(99)).state


def test_times_are_told_by_level(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Median and quartiles with their n; a level that nobody has labelled at is left out."""
    for seconds in (4.0, 6.0, 8.0, 10.0, 12.0):
        keep(store, replace(label(1, "good"), seconds=seconds))
    keep(store, replace(label(1, "good", level=3), seconds=200.0), replace(label(1, level=2), at=UtcNs(AT - 1)))

    assert [(1, 5, 6.0, 8.0, 10.0), (3, 1, 200.0, 200.0, 200.0)] == [
        (int(one.level), one.n, one.low, one.median, one.high) for one in label_queries.label_times(reader, AT)
    ]
    assert [1, 2, 3] == [int(one.level) for one in label_queries.label_times(reader)]


def test_twins_are_kept_images_whose_class_stands(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Good ones, one class, or all defects; the newest labels first, no more than asked; a conflict is no example."""
    keep_images(store, range(1, 6))
    keep(store, label(1, "good"), label(2, "dent"), label(3, "scratch"), label(4, "good"), label(6, "dent"))
    keep(store, label(5, "good"), label(5, "dent", "op-2", 1, Purpose.AUDIT))

    assert [4, 1] == [one.part.number for one in label_queries.candidates(reader, "good")]
    assert [3, 2] == [one.part.number for one in label_queries.candidates(reader)]
    assert [2] == [one.part.number for one in label_queries.candidates(reader, "dent")]
    assert [4] == [one.part.number for one in label_queries.candidates(reader, "good", 1)]
    (twin,) = label_queries.candidates(reader, "scratch")
    assert ("top", "2026/3top.tif", "scratch", "scratch") == (twin.camera, twin.path, twin.kind, twin.label.kind)


def test_the_inputs_of_the_queue_are_all_there(tmp_path: Path) -> None:
    """What waits, handed-on parts too, all labels, which are seeded, and which can be looked at again."""
    with running(tmp_path) as rig:
        for number in (1, 2):
            rig.hear("verdict", verdict(number, Disposition.REVIEW))
        keep_images(rig.store, (3, 9))
        keep(rig.store, label(3, "good"), label(4, "good"), Seeded(part(1), "dent", "qe-1", AT))
        work = rig.store.ask(label_queries.work)

        assert parts((1, 2)) == [item.part for item in work.waiting]
        assert parts((3, 4)) == [one.part for one in work.labels]
        assert (frozenset(parts((1,))), frozenset(parts((3,)))) == (work.seeded, work.kept)


def test_alarms_are_told_by_time(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Newest first, from one instant to before another, at most so many."""
    for number in range(1, 5):
        alarm = Alarm("line", f"kind_{number}", "text", "", HostNs(number * 100))
        store.write([("alarm.line", 1, number, alarm)], UtcNs(AT + 1000), HostNs(1000))

    assert ["kind_4", "kind_3", "kind_2", "kind_1"] == [one.kind for one in alarm_queries.alarms_between(reader)]
    some = alarm_queries.alarms_between(reader, UtcNs(AT + 200), UtcNs(AT + 400))
    assert [("kind_3", AT + 300), ("kind_2", AT + 200)] == [(one.kind, one.at) for one in some]
    assert ["kind_4"] == [one.kind for one in alarm_queries.alarms_between(reader, limit=1)]


@pytest.mark.parametrize(
    "question",
    [
        "SELECT * FROM label_standing WHERE part = 5",
        "SELECT * FROM labels_current WHERE part = 5",
        "SELECT * FROM labels_counted WHERE part = 5",
        "SELECT * FROM training_candidates WHERE part = 5",
        "SELECT body FROM people WHERE person = 'op-1' ORDER BY id DESC LIMIT 1",
        "SELECT * FROM alarms WHERE utc_ns >= 5 AND utc_ns < 9 ORDER BY utc_ns DESC",
        "SELECT body FROM alarm_steps WHERE utc_ns >= 5 ORDER BY utc_ns, id",
        "SELECT level, seconds FROM labels WHERE utc_ns >= 5",
        "SELECT body FROM seeded_answers WHERE part = 5 ORDER BY id",
    ],
)
def test_what_is_asked_often_is_found_by_index(reader: sqlite3.Connection, question: str) -> None:
    """No table is read through for one part, one person or one hour; the trigger asks for one part per image."""
    plan = [row["detail"] for row in reader.execute(f"EXPLAIN QUERY PLAN {question}")]

    assert [] == [line for line in plan if line.startswith("SCAN")]


def test_a_database_of_before_takes_labels_and_keeps_the_old_ones(tmp_path: Path) -> None:
    """A station that is updated: labels of before are reviews, and stand as they did."""
    older = open_writer(tmp_path / "record.db")
    _record.apply(Database(older), stop_before="labelling")
    older.close()
    old = label(1, "dent", name="l-old")
    connection = sqlite3.connect(tmp_path / "record.db")
    connection.execute("INSERT INTO parts VALUES (1, ?, 1)", (part(1).boot,))
    connection.execute(
        "INSERT INTO labels (label_id, part, utc_ns, level, person, kind, seconds, prediction_shown, body)"
        " VALUES ('l-old', 1, 1, 1, 'op-1', 'dent', 1.0, 0, ?)",
        (msgspec.msgpack.encode(old),),
    )
    connection.commit()
    connection.close()
    store = RecordStore(tmp_path, 16)
    refused = keep(store, label(1, "dent", "op-2", 1, Purpose.AUDIT))
    lines = store.write(review_facts(), AT)
    found = store.ask(lambda held: label_queries.standing_of(held, part(1)))
    held = store.ask(lambda held: label_queries.labels_of(held, part(1)))
    store.close()

    assert ((), ()) == (refused, lines)
    assert (State.AGREED, "dent", ("op-1", "op-2")) == (found.state, found.kind, found.people)
    assert (old, LabelLevel.CONFIRM) == (held[0], held[1].level)
