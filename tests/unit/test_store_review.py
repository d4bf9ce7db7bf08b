"""The record store keeps what people decide once and for ever, and known defects out of training data."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlite_utils import Database

from appliance.schema.actuation import Cause, HandActuation, Lane
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.label import Label, LabelLevel
from appliance.schema.review import Seeded
from appliance.storage.database import open_writer
from appliance.storage.migrations import _record
from appliance.storage.record_store import RecordStore
from tests.unit.review_rig import UTC, part, review_facts

AT = UtcNs(UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    store = RecordStore(tmp_path, 16)
    yield store
    store.close()


def count(store: RecordStore, table: str) -> int:
    return int(store.ask(lambda held: held.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))  # noqa: S608


def test_what_people_decide_is_kept_once(store: RecordStore) -> None:
    """A step, a decision or a hand's deed told twice is one row, and no contradiction."""
    store.write(review_facts(), AT)
    again = HandActuation(part(99), Lane.ACCEPT, Cause.OPERATOR, "m-1", "op-1", HostNs(14 * S))
    other = replace(again, lane=Lane.REJECT)
    refused = store.write([*review_facts(), ("hand", 8, 0, again)], AT)
    contradiction = store.write([("hand", 8, 1, other)], AT)
    tables = ("sealed_verdicts", "manual_verdicts", "hand_actuations", "seeds", "review_steps")

    assert ((), 1) == (refused, len(contradiction))
    assert [1] * 5 == [count(store, table) for table in tables]


def test_a_database_of_an_older_version_takes_what_people_decide(tmp_path: Path) -> None:
    """A station that is updated keeps its record; verdicts of before were in no draw."""
    older = open_writer(tmp_path / "record.db")
    _record.apply(Database(older), stop_before="review")
    older.execute("INSERT INTO parts VALUES (1, 1, 1)")
    older.execute("INSERT INTO verdicts VALUES (1, 5, 'review', '[]', 1, 2, 3, x'00')")
    older.close()
    store = RecordStore(tmp_path, 16)
    lines = store.write(review_facts(), AT)
    sampling = store.ask(lambda held: held.execute("SELECT sampling FROM verdicts").fetchone()[0])
    store.close()

    assert ((), 0.0) == (lines, sampling)


def test_the_store_keeps_labels_off_seeded_parts_and_seeds_off_labelled_ones(store: RecordStore) -> None:
    """Not even a fault of the service could bring a known defect into training data."""
    store.write([("seed", 0, -1, Seeded(part(1), "dent", "qe-1", AT))], AT)
    label = Label("l-1", part(1), LabelLevel.CONFIRM, "op-1", "dent", 1.0, False, AT)
    refused = store.write([("label", 0, -1, label)], AT)
    other = store.write([("label", 0, -1, replace(label, label_id="l-2", part=part(2)))], AT)
    late = store.write([("seed", 0, -1, Seeded(part(2), "dent", "qe-1", AT))], AT)
    connection = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match="a seeded part never enters training data"):
        connection.execute(
            "INSERT INTO labels (label_id, part, utc_ns, level, person, kind, seconds, prediction_shown, body)"
            " VALUES ('l-3', 1, 1, 1, 'op-1', 'dent', 1.0, 0, x'00')"
        )
    connection.close()

    assert (1, 0, 1) == (len(refused), len(other), len(late))
    assert 1 == count(store, "labels")
