"""What people contradict each other about, or measure each other with, enters no snapshot by any path."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.labelling.standing import State
from appliance.schema.command import FreezeSnapshot
from appliance.schema.label import Label, Purpose
from appliance.schema.review import Seeded
from appliance.storage import label_queries, queries, snapshots
from appliance.storage.database import open_reader
from appliance.storage.migrations import FACTS
from appliance.storage.record_store import RecordStore
from tests.line.test_inversion import Workshop
from tests.unit.label_rig import AT, keep, keep_images, label, sha256
from tests.unit.review_rig import part

INSERT = (
    "INSERT OR {} INTO snapshot_items (snapshot, number, part, camera, sha256, label_id, kind)"
    " SELECT 1, {}, p.id, 'top', ?, ?, ? FROM parts p WHERE p.number = ?"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    """Hold part 1 with one label, and parts that may not be trained on; all have an image but 7."""
    store = RecordStore(tmp_path, 16)
    keep_images(store, range(1, 7))
    keep(store, *told())
    yield store
    store.close()


def told() -> list[Label | Seeded]:
    """Say of 1 a scratch; of 2 two things; of 3 unsure; of 4 a known answer alone; 5 is seeded; of 6 and 7 a dent."""
    return [
        label(1, "scratch", "op-1", name="l-1"),
        label(2, "scratch", "op-1", name="l-2a"),
        label(2, "good", "op-2", purpose=Purpose.AUDIT, name="l-2b"),
        label(3, "unsure", "op-1", name="l-3"),
        label(4, "scratch", "op-1", purpose=Purpose.KNOWN_ANSWER, name="l-4"),
        Seeded(part(5), "dent", "qe-1", AT),
        label(6, "good", "op-1", name="l-6a"),
        label(6, "dent", "qe-1", 2, Purpose.DISAGREEMENT, name="l-6b"),
        label(6, "scratch", "op-2", purpose=Purpose.KNOWN_ANSWER, name="l-6c"),
        label(7, "dent", "op-1", name="l-7"),
    ]


def frozen(store: RecordStore, name: str = "s-1") -> list[tuple[int, str, str]]:
    """Freeze what may be trained on; gives its items."""
    keep(store, FreezeSnapshot("qe-1", "a test", name))
    items = store.ask(lambda held: snapshots.items(held, name))
    return [(item.part.number, item.label_id, item.kind) for item in items]


def test_a_snapshot_holds_the_labels_that_stand(store: RecordStore) -> None:
    """One image per line, with the label that stands; the chain holds the digest of exactly that."""
    items = frozen(store)
    made = store.ask(lambda held: snapshots.snapshot(held, "s-1"))
    held = store.ask(lambda held: snapshots.items(held, "s-1"))
    entry = store.audit_head()

    assert [(1, "l-1", "scratch"), (6, "l-6b", "dent")] == items
    assert made is not None
    assert (2, snapshots.digest(held)) == (made.items, made.digest)
    assert entry is not None
    assert ("qe-1", "snapshot_frozen", "s-1") == (entry.actor, entry.action, entry.subject)
    assert made.digest in entry.after


def test_what_may_be_trained_on_now_is_what_a_snapshot_would_hold(store: RecordStore) -> None:
    """Who exports without a snapshot reads the same."""
    trainable = store.ask(snapshots.trainable)
    frozen(store)

    assert trainable == store.ask(lambda held: snapshots.items(held, "s-1"))


REFUSED = [
    (2, "l-2a", "scratch", "contradict each other"),
    (2, "l-2b", "good", "contradict each other"),
    (3, "l-3", "unsure", "contradict each other, say unsure, or none counts"),
    (4, "l-4", "scratch", "a known answer measures a person"),
    (5, "l-1", "scratch", "a seeded part never enters"),
    (6, "l-6a", "good", "is not the one that stands"),
    (6, "l-6b", "good", "is not the one that stands"),
    (6, "l-6c", "scratch", "a known answer measures a person"),
    (6, "l-1", "scratch", "is not the one that stands"),
    (7, "l-7", "dent", "no such image"),
]


def item(
    connection: sqlite3.Connection, number: int, name: str, kind: str, place: str = "", how: str = "ABORT"
) -> None:
    """Write an item as SQL can, past the service."""
    place = place or "(SELECT items + 1 FROM snapshots)"
    connection.execute(INSERT.format(how, place), (sha256(number), name, kind, number))


def opened(store: RecordStore, items: int = 1_000_000) -> sqlite3.Connection:
    """Open the writer's file as anybody can, with a snapshot that still takes items."""
    connection = sqlite3.connect(store.path)
    connection.execute(
        "INSERT INTO snapshots (snapshot_id, utc_ns, person, why, items, newest_label, digest)"
        " VALUES ('open', 1, 'x', 'x', ?, 0, '')",
        (items,),
    )
    return connection


@pytest.mark.parametrize(("number", "name", "kind", "why"), REFUSED)
def test_sql_brings_nothing_else_into_a_snapshot(
    store: RecordStore, number: int, name: str, kind: str, why: str
) -> None:
    """Whatever the statement does about conflicts of keys, the table says no, and why."""
    connection = opened(store)
    connection.commit()
    for how in ("ABORT", "REPLACE", "IGNORE", "FAIL", "ROLLBACK"):
        with pytest.raises(sqlite3.IntegrityError, match=why):
            item(connection, number, name, kind, "1", how)
    connection.close()


def test_sql_may_write_what_stands(store: RecordStore) -> None:
    """Else the test above would prove nothing."""
    connection = opened(store)
    item(connection, 1, "l-1", "scratch", "1")
    item(connection, 6, "l-6b", "dent", "2")
    rows = connection.execute("SELECT count(*) FROM snapshot_items").fetchone()
    connection.close()

    assert (2,) == rows


def test_another_camera_or_another_picture_is_not_the_parts(store: RecordStore) -> None:
    """The image must be one that was kept of this part in this view."""
    connection = opened(store)
    for camera, digest in (("side", sha256(1)), ("top", sha256(6))):
        with pytest.raises(sqlite3.IntegrityError, match="no such image"):
            connection.execute(
                "INSERT INTO snapshot_items (snapshot, number, part, camera, sha256, label_id, kind)"
                " SELECT 1, 1, p.id, ?, ?, 'l-1', 'scratch' FROM parts p WHERE p.number = 1",
                (camera, digest),
            )
    connection.close()


def test_a_copy_of_another_database_brings_nothing_in(store: RecordStore, tmp_path: Path) -> None:
    """Rows that were made elsewhere, without guards, are asked like any other as they come over."""
    frozen(store)
    elsewhere = tmp_path / "elsewhere.db"
    connection = opened(store)
    connection.execute("ATTACH ? AS elsewhere", (str(elsewhere),))
    connection.execute("CREATE TABLE elsewhere.made AS SELECT * FROM main.snapshot_items")
    connection.execute(
        "UPDATE elsewhere.made SET id = id + 10, snapshot = 2, part = (SELECT id FROM parts WHERE number = 2)"
    )
    connection.execute("UPDATE elsewhere.made SET label_id = 'l-2a', kind = 'scratch'")
    for how in ("INSERT", "INSERT OR REPLACE"):
        with pytest.raises(sqlite3.IntegrityError, match="contradict each other"):
            connection.execute(f"{how} INTO main.snapshot_items SELECT * FROM elsewhere.made")  # noqa: S608
    connection.close()


def test_a_copy_of_the_database_keeps_its_guards(store: RecordStore, tmp_path: Path) -> None:
    """A backup is as strict as the original."""
    copy = tmp_path / "copy.db"
    connection = opened(store)
    connection.commit()
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    connection = sqlite3.connect(copy)
    with pytest.raises(sqlite3.IntegrityError, match="contradict each other"):
        item(connection, 2, "l-2a", "scratch", "1")
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE snapshot_items SET label_id = 'l-2a'",
        "UPDATE OR REPLACE snapshot_items SET part = 2",
        "DELETE FROM snapshot_items",
        "INSERT OR REPLACE INTO snapshot_items SELECT * FROM snapshot_items",
        "INSERT INTO snapshot_items SELECT * FROM snapshot_items WHERE 1 ON CONFLICT DO UPDATE SET kind = 'good'",
        "UPDATE snapshots SET items = 9",
        "INSERT OR REPLACE INTO snapshots SELECT id, snapshot_id, 1, 'x', 'x', 9, 9, '' FROM snapshots",
        "INSERT OR REPLACE INTO snapshots SELECT id, 's-9', 1, 'x', 'x', 9, 9, '' FROM snapshots",
    ],
)
def test_a_frozen_snapshot_is_never_changed(store: RecordStore, statement: str) -> None:
    """Neither its items nor its count, by any kind of statement."""
    frozen(store)
    connection = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match=r"written once|frozen"):
        connection.execute(statement)
    connection.close()


def test_nothing_is_added_to_a_frozen_snapshot(store: RecordStore) -> None:
    """Not even a candidate: the digest in the chain would be another's."""
    frozen(store)
    keep_images(store, (8,))
    keep(store, label(8, "good", name="l-8"))
    connection = sqlite3.connect(store.path)
    for place in ("0", "3", "-1", "NULL"):
        with pytest.raises(sqlite3.IntegrityError, match="nothing is added"):
            item(connection, 8, "l-8", "good", place)
    connection.close()


def test_a_label_cannot_be_replaced_under_its_id(store: RecordStore) -> None:
    """INSERT OR REPLACE deletes without asking the trigger on DELETE; a guard of its own passes the statement over."""
    connection = sqlite3.connect(store.path)
    for row_id, name in (("NULL", "label_id"), ("id", "'l-x'")):
        connection.execute(
            "INSERT OR REPLACE INTO labels (id, label_id, part, utc_ns, level, person, kind, seconds,"  # noqa: S608
            f" prediction_shown, body) SELECT {row_id}, {name}, part, 1, 3, 'x', 'good', 1.0, 0, body"
            " FROM labels WHERE label_id = 'l-2b'"
        )
    connection.commit()
    connection.close()
    held = store.ask(lambda held: held.execute("SELECT person FROM labels WHERE label_id = 'l-2b'").fetchall())

    assert ["op-2"] == [row[0] for row in held]
    assert State.CONFLICT == store.ask(lambda held: label_queries.standing_of(held, part(2))).state


@pytest.mark.parametrize("table", FACTS)
def test_every_fact_has_a_guard_against_replacing(store: RecordStore, table: str) -> None:
    """The same hole is shut in every table of facts."""
    names = store.ask(lambda held: held.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall())

    assert f"{table}_no_replace" in {row[0] for row in names}


def test_a_conflict_that_appears_keeps_a_part_out_of_the_next_snapshot(store: RecordStore) -> None:
    """The one before is history, and says of its item how it stands now."""
    first = frozen(store)
    keep(store, label(1, "good", "op-2", purpose=Purpose.AUDIT))
    second = frozen(store, "s-2")
    held = store.ask(lambda held: snapshots.items(held, "s-1"))

    assert [(1, "l-1", "scratch"), (6, "l-6b", "dent")] == first
    assert [(6, "l-6b", "dent")] == second
    assert [State.CONFLICT, State.SETTLED] == [one.state for one in held]


def test_a_settled_conflict_comes_in_again(store: RecordStore) -> None:
    """A label of a higher level overrules both."""
    keep(store, label(2, "good", "qe-1", 2, Purpose.DISAGREEMENT, name="l-2c"))

    assert (2, "l-2c", "good") in frozen(store)


def test_readers_for_exports_see_no_conflict(store: RecordStore) -> None:
    """Neither view nor query gives what may not be trained on."""
    reader = open_reader(store.path)
    by_view = {row[0] for row in reader.execute("SELECT name FROM training_candidates")}
    current = {row[0] for row in reader.execute("SELECT label_id FROM labels_current")}
    twins = {one.part.number for kind in ("good", None, "scratch") for one in label_queries.candidates(reader, kind)}
    reader.close()

    assert {str(part(1)), str(part(6))} == by_view
    assert {"l-1", "l-6b", "l-7"} == current
    assert {1, 6} == twins


def test_a_snapshot_is_frozen_once(store: RecordStore) -> None:
    """Told again it is neither another snapshot nor another entry of the chain."""
    first = frozen(store)
    keep(store, label(2, "good", "qe-1", 2, Purpose.DISAGREEMENT))
    again = frozen(store)
    entries = store.ask(lambda held: [*queries.audit_entries(held)])

    assert first == again
    assert ["snapshot_frozen"] == [entry.action for entry in entries]


@pytest.mark.parametrize(
    ("old", "number", "name", "kind", "why"),
    [
        ("WHERE EXISTS (SELECT 1 FROM seeds s WHERE s.part = NEW.part);", 5, "l-1", "scratch", "seeded"),
        ("WHERE EXISTS (SELECT 1 FROM labels l WHERE l.label_id = NEW.label_id AND", 6, "l-6c", "scratch", "measures"),
        ("WHERE NOT EXISTS (SELECT 1 FROM labels_current l WHERE l.part = NEW.part);", 2, "l-2a", "scratch", "unsure"),
    ],
)
def test_without_its_own_reason_an_item_is_refused_for_another(
    store: RecordStore, old: str, number: int, name: str, kind: str, why: str
) -> None:
    """Each reason is said where it applies; with it turned off the item is still no candidate."""
    workshop = Workshop()
    turned = workshop.turn("appliance.storage.label_layout", (old, old.replace("WHERE ", "WHERE 0 AND ", 1)))
    connection = opened(store)
    connection.execute("DROP TRIGGER snapshot_items_trainable")
    connection.execute(turned._FROZEN)
    with pytest.raises(sqlite3.IntegrityError) as refused:
        item(connection, number, name, kind, "1")
    connection.close()
    workshop.clean()

    assert why not in str(refused.value)


@pytest.mark.parametrize(
    ("trigger", "number", "name", "kind", "place"),
    [
        ("snapshot_items_trainable", 2, "l-2a", "scratch", "1"),
        ("snapshot_items_trainable", 3, "l-3", "unsure", "1"),
        ("snapshot_items_trainable", 4, "l-4", "scratch", "1"),
        ("snapshot_items_trainable", 7, "l-7", "dent", "1"),
        ("snapshot_items_closed", 1, "l-1", "scratch", "3"),
    ],
)
def test_without_its_trigger_each_item_would_pass(
    store: RecordStore, trigger: str, number: int, name: str, kind: str, place: str
) -> None:
    """So it is the trigger that holds, and nothing else."""
    connection = opened(store, items=2)
    connection.execute(f"DROP TRIGGER {trigger}")
    item(connection, number, name, kind, place)
    rows = connection.execute("SELECT count(*) FROM snapshot_items").fetchone()
    connection.close()

    assert (1,) == rows


def test_a_label_of_a_seeded_part_cannot_even_be_written(store: RecordStore) -> None:
    """So no item of a seeded part could name one."""
    refused = keep(store, label(5, "dent"))

    assert 1 == len(refused)
