"""The record store keeps every fact once and for ever."""

import itertools
import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.governance import audit_chain
from appliance.schema.actuation import Actuation, Cause, Lane, PlcAcknowledged
from appliance.schema.audit import AuditRequest
from appliance.schema.errors import StoreError
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.health import Alarm
from appliance.schema.label import Label, LabelLevel
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.verdict import Disposition, InspectionResult, Reason, ShadowResult, StageTimes, Verdict
from appliance.storage import queries
from appliance.storage.database import open_reader, wal_reset_risk
from appliance.storage.migrations import FACTS
from appliance.storage.record_store import RecordStore
from tests.unit.label_rig import keep_images, labelling_facts
from tests.unit.review_rig import review_facts

UTC = 1_763_000_000_000_000_000
PART = PartId(0xA0B1C2D3, 7)


def facts_of(part=PART, disposition=Disposition.ACCEPT, lane=Lane.ACCEPT):
    """All facts of one part, as (topic, epoch, sequence, message)."""
    number = part.number
    return [
        ("part.entered", 1, number, PartEntered(part, 1_000_000, 500, 10, 20, 90_000_000, ("top",))),
        ("part.exposed", 1, number, PartExposed(part, "top", number, 11_000_000, 500, 11, 30)),
        ("result", 2, number, _result(part)),
        ("verdict", 2, number, Verdict(part, disposition, (Reason.WITHIN_LIMITS,), 31_000_000, 90_000_000, number)),
        ("actuation", 1, number, Actuation(part, lane, Cause.ACCEPTED, disposition, number, 95_000_000, 95, 99)),
        ("plc.acknowledged", 1, number, PlcAcknowledged(part, number, 96_000_000, 97_000_000)),
    ]


def _result(part):
    view = ViewResult("top", 1, part.number, 0.25, 0.5, ())
    return InspectionResult(
        part, (view,), "sha256:ab", "openvino", "f32", StageTimes(5.0, 1.0, 2.0, 8.0, 0.5), 0, 30_000_000
    )


@pytest.fixture
def store(tmp_path):
    store = RecordStore(tmp_path, 16)
    yield store
    store.close()


@pytest.fixture
def reader(store):
    connection = open_reader(store.path)
    yield connection
    connection.close()


def test_the_facts_of_a_part_join_to_one_row(store, reader):
    """Every question about a part is one join over its facts."""
    store.write(facts_of(), UTC, 97_000_000)
    row = queries.inspection(reader, PART)

    assert "a0b1c2d3-000007" == row.part
    assert ("accept", "accept", "accepted", 1) == (row.disposition, row.lane, row.cause, row.acked)
    assert (20.0, 30.0, 59.0) == (row.latency_ms, row.entered_to_verdict_ms, row.margin_ms)
    assert (8.0, "sha256:ab", "openvino", "f32", 0) == (
        row.inference_ms,
        row.bundle,
        row.runtime,
        row.precision,
        row.copies,
    )
    assert UTC - 96_000_000 == row.entered_utc_ns
    assert ("within_limits",) == queries.reasons(row)


def test_a_part_known_only_by_its_actuation_has_a_row(store, reader):
    """A part whose other facts were lost is still accounted for, as having no verdict."""
    store.write([facts_of(lane=Lane.REJECT)[4]], UTC)
    row = queries.inspection(reader, PART)

    assert ("no_verdict", "reject", None) == (row.disposition, row.lane, row.entered_ns)


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(facts_of()), repeats=st.lists(st.integers(0, 5), max_size=6), data=st.data())
def test_order_repetition_and_batches_do_not_matter(tmp_path_factory, order, repeats, data):
    """Facts may come late, twice and in any order; what is held is the same."""
    store = RecordStore(tmp_path_factory.mktemp("store"), 16)
    facts = [*order, *(order[index] for index in repeats)]
    while facts:
        size = data.draw(st.integers(1, len(facts)))
        assert () == store.write(facts[:size], UTC, 97_000_000)
        facts = facts[size:]
    reader = open_reader(store.path)
    row = queries.inspection(reader, PART)
    audits = list(queries.audit_entries(reader))
    reader.close()
    store.close()

    assert (20.0, "accepted", 1, []) == (row.latency_ms, row.cause, row.acked, audits)


def test_a_contradicting_fact_is_kept_out_and_audited(store, reader):
    """The first fact stands; that a second one disagreed is on record, once."""
    store.write(facts_of(), UTC)
    other = Verdict(PART, Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,), 31_000_000, 90_000_000, 7)
    lines = store.write([("verdict", 2, 8, other)], UTC)
    store.write([("verdict", 2, 8, other)], UTC)
    audits = list(queries.audit_entries(reader))

    assert 1 == len(lines)
    assert "accept" == queries.inspection(reader, PART).disposition
    assert [("fact_refused", "verdicts a0b1c2d3-000007")] == [(entry.action, entry.subject) for entry in audits]
    assert '"disposition":"reject"' in audits[0].after


def test_a_fact_read_again_from_the_microcontroller_is_no_contradiction(store):
    """Host times of a replayed fact are worked out anew; its ticks say that it is the same."""
    store.write(facts_of(), UTC)
    again = Actuation(PART, Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT, 7, 95_000_900, 95, 99, replayed=True)
    differs = Actuation(PART, Lane.REJECT, Cause.ACCEPTED, Disposition.ACCEPT, 7, 95_000_900, 95, 99, replayed=True)

    assert 0 == len(store.write([("actuation", 1, 8, again)], UTC))
    assert 1 == len(store.write([("actuation", 1, 9, differs)], UTC))


def test_a_fact_no_table_can_take_does_not_stop_the_others(store, reader):
    """One impossible number must not keep every later fact out of the record."""
    broken = PartEntered(PartId(1, 1), (1 << 64) - 1, 500, 10, 20, 90_000_000, ("top",))
    lines = store.write([("part.entered", 1, 0, broken), *facts_of()], UTC)

    assert 1 == len(lines)
    assert "accepted" == queries.inspection(reader, PART).cause


@pytest.mark.parametrize("table", FACTS)
@pytest.mark.parametrize("deed", ["UPDATE {} SET rowid = rowid", "DELETE FROM {}"])
def test_facts_cannot_be_changed_or_deleted(store, table, deed):
    """Not even with SQL on the writer's own file can a fact be altered by accident."""
    keep_images(store, (77,))
    store.write([*facts_of(), *_odd_facts(), *review_facts(), *labelling_facts()], UTC)
    store.image(_frame(), str(PART), "accept", np.zeros((16, 16), np.uint8), UTC)
    statement = deed.format(table)
    if table == "exposures":
        statement = statement.replace("rowid = rowid", "camera = camera")
    connection = sqlite3.connect(store.path)
    with pytest.raises(sqlite3.IntegrityError, match="written once"):
        connection.execute(statement)
    connection.close()


def _shadow(part, bundle, disposition):
    view = ViewResult("top", 1, part.number, 0.75, 0.5, ())
    reasons = (Reason.BETWEEN_LIMITS,)
    return ShadowResult(
        part, (view,), bundle, "onnx", "f32", disposition, reasons, "sha256:ab", Disposition.ACCEPT, 30_000_000
    )


def test_what_a_shadow_would_have_decided_is_kept_beside_the_verdict(store, reader):
    """Two shadow bundles may look at one part; each says once what it would have decided, and changes no verdict."""
    other = PartId(PART.boot, 8)
    shadows = [
        _shadow(PART, "sha256:cd", Disposition.REVIEW),
        _shadow(PART, "sha256:ef", Disposition.ACCEPT),
        _shadow(other, "sha256:cd", Disposition.ACCEPT),
        _shadow(PART, "sha256:cd", Disposition.REVIEW),
    ]
    store.write([*facts_of(), *(("shadow", 5, number, fact) for number, fact in enumerate(shadows))], UTC, 97_000_000)
    contradiction = store.write([("shadow", 5, 4, _shadow(PART, "sha256:cd", Disposition.REJECT))], UTC)

    assert {("accept", "review"): 1, ("accept", "accept"): 1} == queries.shadow_tally(reader, "sha256:cd")
    assert {("accept", "accept"): 1} == queries.shadow_tally(reader, "sha256:ef")
    assert 1 == len(contradiction)
    assert "accept" == queries.inspection(reader, PART).disposition


def test_a_database_of_an_older_version_takes_shadow_results(tmp_path):
    """A station that is updated keeps its record; the new table comes beside the old ones."""
    store = RecordStore(tmp_path, 16)
    store.write(facts_of(), UTC)
    store.close()
    older = sqlite3.connect(store.path)
    older.executescript("DROP TABLE shadow_results; DELETE FROM _sqlite_migrations WHERE name = 'shadow_results'")
    older.close()
    store = RecordStore(tmp_path, 16)
    lines = store.write([("shadow", 5, 0, _shadow(PART, "sha256:cd", Disposition.REVIEW))], UTC)
    store.close()

    assert () == lines


def _odd_facts():
    return [
        ("label", 3, 0, Label("0192", PART, LabelLevel.CONFIRM, "op-1", "good", 1.5, True, UTC)),
        ("shadow", 5, 0, _shadow(PART, "sha256:cd", Disposition.REVIEW)),
        ("alarm.judge", 4, 0, Alarm("judge", "pairing_mismatch", "text", str(PART), 5)),
        ("audit.judge", 4, 0, AuditRequest("service:judge", "bundle_activated", "judge", "a", "b")),
    ]


def test_alarms_audits_and_labels_told_twice_are_kept_once(store, reader):
    """A replayed message is recognised by its place in the writer's count."""
    store.write(_odd_facts(), UTC)
    store.write(_odd_facts(), UTC)
    counts = [_rows(reader, table) for table in ("labels", "alarms", "audit")]

    assert [1, 1, 1] == counts


def _rows(reader, table):
    return reader.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608  own names


def test_positions_follow_the_newest_fact_and_survive_a_restart(tmp_path):
    """A restarted reader knows from where to ask for what it missed; a late fact does not move it back."""
    store = RecordStore(tmp_path, 16)
    big = (1 << 64) - 5
    facts = [("verdict", big, number, fact) for number, (_, _, _, fact) in enumerate(facts_of()[3:4])]
    store.write([("verdict", big, 9, facts[0][3]), ("verdict", big, 4, facts[0][3])], UTC)
    store.close()
    store = RecordStore(tmp_path, 16)
    positions = store.positions()
    store.close()

    assert {"verdict": (big, 9)} == positions


def test_the_audit_chain_holds_together(store, reader):
    """Requests, own entries and refusals form one chain without a gap."""
    store.audit("service:record", "chain_started", "station a", "", "config 1", UTC)
    store.write(_odd_facts(), UTC)
    store.audit("op-1", "limit_changed", "recipe", "1", "2", UTC)
    entries = list(queries.audit_entries(reader))

    assert [0, 1, 2] == [entry.sequence for entry in entries]
    assert audit_chain.verify(entries, store.audit_head().digest) is None


@pytest.mark.usefixtures("store")
def test_a_second_writer_is_refused_with_the_first_ones_pid(tmp_path):
    """Two writers would meet the WAL-reset bug; the error says whom to stop."""
    with pytest.raises(StoreError, match=f"process {os.getpid()}"):
        RecordStore(tmp_path, 16)


def test_readers_cannot_write(reader):
    """Only the record service changes the record."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO parts (boot, number) VALUES (1, 1)")


def test_a_full_database_is_a_clear_error_and_keeps_nothing_of_the_batch(store, reader):
    """A batch is kept whole or not at all, and the line says what to do."""
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count={pages + 2}")
    many = list(itertools.chain.from_iterable(facts_of(PartId(1, number)) for number in range(500)))
    with pytest.raises(StoreError, match="free disk space"):
        store.write(many, UTC)

    assert 0 == reader.execute("SELECT count(*) FROM parts").fetchone()[0]
    store._database.execute("PRAGMA max_page_count=1000000")
    store.write(many, UTC)
    assert 500 == reader.execute("SELECT count(*) FROM parts").fetchone()[0]


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 6, 23), False),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 54, 1), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version, expected):
    """Versions with the bug and with its fix, from SQLite's own notes."""
    assert expected == wal_reset_risk(version)


def test_the_summary_counts_the_whole_database(store, reader):
    """The numbers a run reports come from the record, and an ACCEPT lane without an ACCEPT stands out."""
    store.write(facts_of(PartId(1, 1)), UTC)
    store.write(facts_of(PartId(1, 2), Disposition.REJECT, Lane.REJECT), UTC)
    store.write([facts_of(PartId(1, 3))[4]], UTC)
    store.write(facts_of(PartId(1, 4))[:4], UTC)
    found = queries.summary(reader)

    assert (4, {"accept": 2, "reject": 1, "no_verdict": 1}) == (found.parts, found.verdicts)
    assert ({"accept": 2, "reject": 1}, 1, 1, 2) == (
        found.actuations,
        found.unaccounted,
        found.accepted_without_verdict,
        found.acked,
    )
    assert (20.0, 20.0, 20.0) == found.latency_ms
    assert ["00000001-000004", "00000001-000003"] == [row.part for row in queries.newest(reader, 2)]


def _frame(pixel_format=PixelFormat.MONO8, rows=16, columns=16):
    return FrameReady(
        "top", SlotRef(1, 0, 1), 7, 0, 11_000_000, 500, None, 20_000_000, rows, columns, pixel_format, 100.0, 0.0, 0,
        FrameCounts(),
    )  # fmt: skip


def test_an_image_has_its_file_before_its_row(store, reader, tmp_path):
    """The row names a file that exists and has the digest it says."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    store.write(facts_of(), UTC)
    digest = store.image(_frame(), str(PART), "reject", pixels, UTC)
    row = queries.images(reader, PART)[0]
    import hashlib

    data = (tmp_path / "images" / row["path"]).read_bytes()
    assert digest == row["sha256"] == hashlib.sha256(data).hexdigest()
    assert ("tiff_zstd_raw", "Mono8", None) == (row["encoding"], row["pixel_format"], row["not_kept"])
    assert f"2025-11-13/02/{digest}.tif" == row["path"] == queries.inspection(reader, PART).image


def test_no_image_is_kept_on_a_nearly_full_disk_and_the_row_says_why(tmp_path):
    """Rows go on when images cannot; nobody wonders later where the image is."""
    store = RecordStore(tmp_path, 1 << 40)
    digest = store.image(_frame(), str(PART), "reject", np.zeros((16, 16), np.uint8), UTC)
    reader = open_reader(store.path)
    row = queries.images(reader, PART)[0]
    reader.close()
    store.close()

    assert ("", None) == (digest, row["path"])
    assert "record.min_free_mb" in row["not_kept"]


def test_the_scrub_removes_what_a_crash_left_and_nothing_else(tmp_path):
    """Files without a row are from a crash between file and row; named ones stay."""
    store = RecordStore(tmp_path, 16)
    kept = store.image(_frame(), str(PART), "reject", np.zeros((16, 16), np.uint8), UTC)
    folder = tmp_path / "images" / "2025-11-13" / "02"
    (folder / "orphan.tif").write_bytes(b"x")
    (folder / "half.tif.tmp").write_bytes(b"x")
    older = tmp_path / "images" / "2025-11-12" / "02"
    older.mkdir(parents=True)
    (older / "older.tif").write_bytes(b"x")
    removed = store.scrub(UTC)
    left = sorted(path.name for path in (tmp_path / "images").rglob("*.*") if path.is_file())
    store.close()

    assert (2, sorted([f"{kept}.tif", "older.tif"])) == (removed, left)


def test_the_scrub_spares_the_images_of_a_restored_database(tmp_path):
    """A database from an older backup does not know the newest images; they are not deleted for that."""
    store = RecordStore(tmp_path, 16)
    folder: Path = tmp_path / "images" / "2025-11-13" / "02"
    folder.mkdir(parents=True)
    for number in range(300):
        (folder / f"{number}.tif").write_bytes(b"x")
    removed = store.scrub(UTC)
    head = store.audit_head()
    store.close()

    assert (0, 300, "scrub_refused") == (removed, len(list(folder.iterdir())), head.action)
