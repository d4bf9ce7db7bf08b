"""What the store says of labels in SQL is what `labelling/standing.py` says, over any history; only that is frozen."""

import itertools
import sqlite3
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.labelling.standing import TRAINABLE, standing
from appliance.schema.label import Label, Purpose
from appliance.schema.part import PartId
from appliance.storage import label_layout, label_queries
from appliance.storage.fact_rows import row_of
from appliance.storage.migrations import migrate
from tests.line.test_inversion import Workshop
from tests.unit.label_rig import label

PARTS = 2
_numbers = itertools.count(1)

SAID = st.tuples(
    st.integers(0, PARTS - 1),
    st.sampled_from(["good", "good", "scratch", "scratch", "dent", "unsure"]),
    st.sampled_from(["op-1", "op-2", "qe-1", "ex-1"]),
    st.sampled_from([1, 1, 2, 3]),
    st.sampled_from(Purpose),
    st.integers(0, 9),
)


def opened(layout: object = label_layout) -> sqlite3.Connection:
    """Make an empty record in memory; `layout` may be the labelling step with a rule turned round."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    migrate(connection)
    if layout is not label_layout:
        for view in ("training_candidates", "label_standing", "labels_current", "labels_counted", "label_settling"):
            connection.execute(f"DROP VIEW {view}")
        connection.execute("DROP TRIGGER snapshot_items_trainable")
        connection.execute("DROP TRIGGER snapshot_items_closed")
        for statement in layout.VIEWS:  # type: ignore[attr-defined]
            connection.execute(statement)
    connection.execute("INSERT INTO snapshots VALUES (1, 's-1', 1, 'qe-1', 'test', 1000000000, 0, '')")
    return connection


@pytest.fixture(scope="module")
def record() -> Iterator[sqlite3.Connection]:
    """Hold all histories, each about parts of its own."""
    connection = opened()
    yield connection
    connection.close()


def told(connection: sqlite3.Connection, history: Sequence[tuple[int, str, str, int, Purpose, int]]) -> list[PartId]:
    """Write a history as it is, past every rule of admission; gives its parts, each with one image."""
    rows = [next(_numbers) for _ in range(PARTS)]
    for row in rows:
        connection.execute("INSERT INTO parts VALUES (?, 1, ?)", (row, row))
        connection.execute(
            "INSERT INTO images VALUES (?, ?, 'top', 1, 1, 'review', 'Mono8', 8, 8, 'tiff', 'a.tif', ?, 9, NULL)",
            (row, row, f"{row:064d}"),
        )
    names = [""]
    for which, kind, person, level, purpose, before in history:
        said = replace(
            label(1, kind, person, level, purpose), part=PartId(1, rows[which]), previous=names[before % len(names)]
        )
        names.append(said.label_id)
        columns = {"part": rows[which], **row_of(said).columns}
        marks = ",".join("?" * len(columns))
        connection.execute(f"INSERT INTO labels ({','.join(columns)}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608
    return [PartId(1, row) for row in rows]


def check(connection: sqlite3.Connection, part: PartId) -> None:
    """Hold SQL against the fold."""
    said = label_queries.labels_of(connection, part)
    pure = standing(said)
    held = label_queries.standing_of(connection, part)
    counted = connection.execute("SELECT label_id FROM labels_counted WHERE part = ? ORDER BY id", (part.number,))
    current = connection.execute("SELECT label_id FROM labels_current WHERE part = ?", (part.number,)).fetchall()
    trained = connection.execute(
        "SELECT label_id, kind FROM training_candidates WHERE part = ?", (part.number,)
    ).fetchall()
    people = tuple(sorted(one.person for one in pure.counted))

    assert (pure.state, pure.kind, pure.label_id, pure.level, people) == (
        held.state, held.kind, held.label_id, held.level, held.people,
    )  # fmt: skip
    assert [one.label_id for one in pure.counted] == [row[0] for row in counted]
    assert ([pure.label_id] if pure.state in TRAINABLE else []) == [row[0] for row in current]
    assert ([(pure.label_id, pure.kind)] if pure.state in TRAINABLE else []) == [tuple(row) for row in trained]
    for one in said:
        assert (one.label_id == pure.label_id) is frozen(connection, part, one)


def frozen(connection: sqlite3.Connection, part: PartId, said: Label) -> bool:
    """Say whether the table of snapshots takes a label of a part."""
    try:
        connection.execute(
            "INSERT INTO snapshot_items (snapshot, number, part, camera, sha256, label_id, kind)"
            " VALUES (1, (SELECT count(*) + 1 FROM snapshot_items), ?, 'top', ?, ?, ?)",
            (part.number, f"{part.number:064d}", said.label_id, said.kind),
        )
    except sqlite3.IntegrityError:
        return False
    return True


@settings(max_examples=200, deadline=None)
@given(history=st.lists(SAID, max_size=9))
def test_sql_and_fold_say_the_same_of_any_history(
    record: sqlite3.Connection, history: list[tuple[int, str, str, int, Purpose, int]]
) -> None:
    """State, class, label that stands, who counts, and what a snapshot takes."""
    for part in told(record, history):
        check(record, part)


REVIEW, AUDIT, KNOWN = Purpose.REVIEW, Purpose.AUDIT, Purpose.KNOWN_ANSWER
CORRECTION, DISAGREEMENT = Purpose.CORRECTION, Purpose.DISAGREEMENT

HISTORIES = [
    [(0, "unsure", "op-1", 1, REVIEW, 0)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "scratch", "op-2", 1, AUDIT, 0)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "unsure", "op-2", 1, AUDIT, 0)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "good", "op-2", 1, AUDIT, 0), (0, "dent", "op-1", 1, CORRECTION, 1)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "scratch", "op-2", 2, CORRECTION, 1)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "scratch", "op-2", 2, CORRECTION, 0)],
    [(0, "good", "op-1", 1, REVIEW, 0), (1, "good", "op-2", 1, REVIEW, 0), (1, "dent", "op-3", 2, CORRECTION, 1)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "scratch", "op-2", 2, DISAGREEMENT, 0)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "scratch", "op-2", 1, KNOWN, 0)],
    [(0, "good", "op-1", 2, REVIEW, 0), (0, "good", "op-2", 1, AUDIT, 0)],
    [(0, "dent", "op-1", 1, KNOWN, 0), (0, "dent", "op-3", 1, REVIEW, 0), (0, "good", "op-2", 1, CORRECTION, 1)],
    [(0, "unsure", "op-1", 1, REVIEW, 0), (0, "dent", "op-2", 1, REVIEW, 0), (0, "dent", "qe-1", 1, AUDIT, 0)],
    [(0, "good", "op-1", 1, REVIEW, 0), (0, "dent", "op-2", 2, DISAGREEMENT, 0), (0, "good", "op-1", 1, REVIEW, 0)],
]


def check_all(connection: sqlite3.Connection) -> None:
    """Hold SQL against the fold in each chosen history."""
    for history in HISTORIES:
        for part in told(connection, history):
            check(connection, part)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WHERE l.purpose <> 'known_answer'\n", "WHERE 1\n"),
        ("o.person <> l.person\n", "1\n"),
        ("o.label_id = l.previous AND", ""),
        ("o.part = l.part AND o.id < l.id AND", ""),
        ("o.person <> l.person\n      AND o.purpose <> 'known_answer'", "o.person <> l.person"),
        ("l.purpose = 'disagreement' OR", "0 OR"),
        ("s.part = l.part AND s.id > l.id", "0"),
        ("n.part = l.part AND n.id > l.id AND n.person = l.person", "0"),
        ("WHERE l.kind <> 'unsure' AND", "WHERE"),
        ("k.kind <> l.kind OR", "0 OR"),
        ("NOT EXISTS (SELECT 1 FROM labels_counted m WHERE m.part = k.part AND m.id > k.id)", "0"),
        ("NOT EXISTS (SELECT 1 FROM labels_counted m WHERE m.part = k.part AND m.id > k.id)", "1"),
        ("(k.level, k.id) > (l.level, l.id)", "k.id > l.id"),
        (
            "k.kind <> 'unsure') > 1\n            THEN 'conflict'",
            "k.kind <> 'unsure') > 2\n            THEN 'conflict'",
        ),
        ("n.part = c.part AND n.id > c.id AND n.purpose <> 'known_answer'", "n.part = c.part AND n.id > c.id"),
    ],
)
def test_each_rule_of_the_views_dies_when_it_is_turned_round(old: str, new: str) -> None:
    """The histories see every clause: without it SQL says something else than the fold."""
    workshop = Workshop()
    connection = opened(workshop.turn("appliance.storage.label_layout", (old, new)))
    try:
        with pytest.raises(AssertionError):
            check_all(connection)
    finally:
        connection.close()
        workshop.clean()


def test_the_chosen_histories_hold_with_every_rule(record: sqlite3.Connection) -> None:
    """Else the test above would prove nothing."""
    check_all(record)
