"""What the record database tells of review: exactly what is known, and nothing that is sealed."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.decision.escapes import SeedCount, Stratum, estimate
from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S, UtcNs
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat, SlotRef
from appliance.schema.label import Label, LabelLevel
from appliance.schema.review import ManualVerdict, Occasion, Seeded
from appliance.schema.verdict import Disposition, Reason
from appliance.storage import queries, review_queries
from appliance.storage.database import open_reader
from appliance.storage.record_store import RecordStore
from tests.unit.review_rig import SAMPLED, UTC, entered, part, sealed, verdict

PASSED = (Reason.WITHIN_LIMITS,)
NOW = HostNs(20 * S)


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


def keep(store: RecordStore, *facts: object) -> None:
    refused = store.write([("x", 0, -1, fact) for fact in facts], UtcNs(UTC + NOW), NOW)  # type: ignore[misc]

    assert () == refused


def manual(number: int, *, accept: bool, at: int = 10 * S, occasion: Occasion = Occasion.REVIEW) -> ManualVerdict:
    kind = "good" if accept else "scratch"
    name = f"{number}-{at}"
    return ManualVerdict(name, part(number), accept, kind, "op-1", occasion, 2.0, False, HostNs(at), UtcNs(UTC + at))


def actuation(number: int, lane: Lane, cause: Cause, way: Disposition = Disposition.ACCEPT) -> Actuation:
    return Actuation(part(number), lane, cause, way, 0, HostNs(12 * S), McuTicks(1), EncoderCounts(1))


def test_a_sealed_verdict_shows_only_where_a_person_has_decided(store: RecordStore, reader: sqlite3.Connection) -> None:
    """No query and no view tells what the model thinks of a part that waits; afterwards the table does."""
    keep(store, entered(1), entered(2), sealed(1, Disposition.REJECT), sealed(2, Disposition.REJECT))
    before = everything(reader)
    keep(store, manual(2, accept=True, occasion=Occasion.PARALLEL))
    (row,) = review_queries.compared(reader)

    assert [] == [text for text in before if "5ea1ed" in text or "reject" in text or "0.125" in text]
    assert (str(part(2)), Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,), True, "good", "op-1", False) == (
        row.part, row.model, row.reasons, row.accept, row.kind, row.person, row.seeded,
    )  # fmt: skip
    assert "5ea1ed" not in str([queries.inspection(reader, part(1)), queries.inspection(reader, part(2))])


def everything(reader: sqlite3.Connection) -> list[str]:
    """Give all that readers can ask of two parts, and every view."""
    views = [row[0] for row in reader.execute("SELECT name FROM sqlite_schema WHERE type = 'view'")]

    labelling = {"label_settling", "labels_counted", "labels_current", "label_standing", "training_candidates"}
    assert {"inspections", "parallel_table"} | labelling == set(views)
    asked = [
        queries.newest(reader, 10),
        queries.inspection(reader, part(1)),
        queries.summary(reader),
        queries.images(reader, part(1)),
        [*queries.audit_entries(reader)],
        review_queries.standing(reader, part(1)),
        review_queries.steps_of(reader, part(1)),
        review_queries.overlooked(reader),
        review_queries.reasons_of(reader, part(1)),
        review_queries.manual_verdicts(reader, part(1)),
        review_queries.tally(reader),
        review_queries.strata(reader),
        review_queries.seed_counts(reader),
        review_queries.compared(reader),
    ]
    asked += [[tuple(row) for row in reader.execute(f"SELECT * FROM {view}")] for view in views]  # noqa: S608
    return [str(answer) for answer in asked]


def test_only_named_queries_read_what_is_sealed() -> None:
    """The table is read by its view, by the list of parts without a step, and by a count of parts; nothing else."""
    folder = Path(review_queries.__file__).parents[1]
    named = {
        path.relative_to(folder).as_posix(): [
            line.strip() for line in path.read_text("utf-8").splitlines() if "sealed_verdicts" in line
        ]
        for path in folder.rglob("*.py")
        if "sealed_verdicts" in path.read_text("utf-8")
    }
    readers = {
        name: lines for name, lines in named.items() if name not in {"storage/fact_rows.py", "storage/migrations.py"}
    }

    assert {
        "storage/parallel.py": ['"SELECT count(*) FROM sealed_verdicts s WHERE s.bundle = ? AND s.utc_ns >= ?"'],
        "storage/review_queries.py": [
            "\" UNION ALL SELECT p.boot, p.number, 'parallel' FROM sealed_verdicts d JOIN parts p ON p.id = d.part\""
        ],
    } == readers


def test_the_first_decision_is_what_is_compared(store: RecordStore, reader: sqlite3.Connection) -> None:
    """A re-inspection knows more than the model did; it does not change the table."""
    keep(store, sealed(1, Disposition.ACCEPT), manual(1, accept=False), manual(1, accept=True, at=11 * S))

    assert [False] == [row.accept for row in review_queries.compared(reader)]


@pytest.mark.parametrize(
    ("facts", "unexplained"),
    [
        ([verdict(1, Disposition.ACCEPT, PASSED), actuation(1, Lane.ACCEPT, Cause.ACCEPTED)], 0),
        ([verdict(1, Disposition.REVIEW), actuation(1, Lane.ACCEPT, Cause.ACCEPTED)], 1),
        ([actuation(1, Lane.ACCEPT, Cause.ACCEPTED)], 1),
        ([sealed(1, Disposition.ACCEPT), actuation(1, Lane.ACCEPT, Cause.OPERATOR)], 1),
        ([sealed(1, Disposition.ACCEPT), actuation(1, Lane.ACCEPT, Cause.ACCEPTED)], 1),
        ([sealed(1, Disposition.REJECT), manual(1, accept=True), actuation(1, Lane.ACCEPT, Cause.OPERATOR)], 0),
        ([manual(1, accept=False), actuation(1, Lane.ACCEPT, Cause.OPERATOR)], 1),
        ([manual(1, accept=True, at=13 * S), actuation(1, Lane.ACCEPT, Cause.OPERATOR)], 1),
        ([manual(1, accept=True), actuation(1, Lane.ACCEPT, Cause.ACCEPTED)], 1),
        ([verdict(1, Disposition.ACCEPT, PASSED), actuation(1, Lane.ACCEPT, Cause.OPERATOR)], 1),
        ([manual(1, accept=False), actuation(1, Lane.REJECT, Cause.OPERATOR, Disposition.REJECT)], 0),
    ],
    ids=[
        "model", "model_unsure", "nobody", "sealed_for_a_person", "sealed_for_the_model", "person", "person_rejected",
        "person_too_late", "person_for_the_model", "model_for_a_person", "rejected",
    ],
)  # fmt: skip
def test_an_accept_is_explained_by_whom_the_gate_acted_for(
    store: RecordStore, reader: sqlite3.Connection, facts: list[object], unexplained: int
) -> None:
    """Cause accepted needs the judge's ACCEPT, cause operator a person's in time; a sealed verdict is neither."""
    keep(store, *facts)

    assert unexplained == queries.summary(reader).accepted_without_verdict


def test_a_row_tells_what_people_decided_and_did(store: RecordStore, reader: sqlite3.Connection) -> None:
    """The newest decision, the first accept's lead over the gate, and where a hand put the part last."""
    keep(store, verdict(1, Disposition.REVIEW), actuation(1, Lane.REJECT, Cause.DECIDED_REJECT, Disposition.REVIEW))
    before = queries.inspection(reader, part(1))
    keep(store, manual(1, accept=True, at=13 * S))
    keep(store, HandActuation(part(1), Lane.ACCEPT, Cause.OPERATOR, f"1-{13 * S}", "op-1", HostNs(14 * S)))
    after = queries.inspection(reader, part(1))

    assert before is not None
    assert (None, None, None) == (before.manual, before.manual_margin_ms, before.hand_lane)
    assert after is not None
    assert ("accept", -1000.0, "accept", "reject") == (
        after.manual, after.manual_margin_ms, after.hand_lane, after.lane,
    )  # fmt: skip
    assert Lane.ACCEPT == review_queries.lane_of(reader, part(1))


def test_the_random_sample_is_counted_by_its_probability(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Drawn, inspected and found, with the parts that were not drawn; seeded parts stand apart."""
    for number in range(10):
        keep(store, verdict(number, Disposition.ACCEPT, PASSED, 0.1))
    for number in range(10, 14):
        keep(store, verdict(number, Disposition.REVIEW, SAMPLED, 0.1))
    keep(store, verdict(20, Disposition.REVIEW, SAMPLED, 0.5), verdict(21, Disposition.ACCEPT, PASSED))
    keep(store, verdict(22, Disposition.REVIEW), verdict(23, Disposition.REJECT), manual(22, accept=False))
    keep(store, manual(10, accept=True), manual(11, accept=False), manual(12, accept=False, at=9 * S))
    keep(store, manual(12, accept=True, at=11 * S, occasion=Occasion.REINSPECTION))
    keep(store, Seeded(part(13), "scratch", "qe-1", UtcNs(UTC)))
    found = review_queries.strata(reader)

    assert [Stratum(0.0, 1, 0, 0, 0), Stratum(0.1, 13, 3, 3, 2), Stratum(0.5, 1, 1, 0, 0)] == found
    assert (1, 1) == (estimate(found).outside, estimate(found).missing)


def test_seeded_parts_are_counted_by_what_became_of_them(store: RecordStore, reader: sqlite3.Connection) -> None:
    """The model's share counts parts seeded before their verdict; one drawn at random was accepted by the model."""
    ways = [
        (1, Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,)),
        (2, Disposition.ACCEPT, PASSED),
        (3, Disposition.REVIEW, SAMPLED),
        (4, Disposition.UNKNOWN, (Reason.UNKNOWN_DEFECT,)),
        (5, Disposition.NO_VERDICT, (Reason.VIEW_MISSING,)),
        (6, Disposition.ACCEPT, PASSED),
    ]
    for number, way, reasons in ways:
        late = 19 * S if number == 6 else 0
        keep(store, verdict(number, way, reasons, 0.1), Seeded(part(number), "scratch", "qe-1", UtcNs(UTC + late)))
    keep(store, Seeded(part(7), "dent", "qe-1", UtcNs(UTC)), sealed(7, Disposition.ACCEPT), manual(7, accept=True))
    keep(store, manual(3, accept=False), manual(4, accept=True))

    assert [SeedCount("dent", 0, 0, 1, 1), SeedCount("scratch", 4, 2, 2, 1)] == review_queries.seed_counts(reader)


def test_the_sample_of_one_bundle_is_not_mixed_with_anothers(store: RecordStore, reader: sqlite3.Connection) -> None:
    """A new model begins its own estimate; the old one's inspections say nothing of it."""
    for number, name in ((1, "sha256:aa"), (2, "sha256:aa"), (3, "sha256:bb"), (4, "sha256:bb")):
        result = replace(sealed(number, Disposition.ACCEPT).result, bundle=name, finished=HostNs(number))
        reasons = SAMPLED if number % 2 else PASSED
        way = Disposition.REVIEW if number % 2 else Disposition.ACCEPT
        keep(store, result, verdict(number, way, reasons, 0.5), manual(number, accept=number != 1))
    keep(store, Seeded(part(4), "dent", "qe-1", UtcNs(UTC)))

    assert "sha256:bb" == review_queries.newest_bundle(reader)
    assert [Stratum(0.5, 2, 1, 1, 1)] == review_queries.strata(reader, "sha256:aa")
    assert [Stratum(0.5, 1, 1, 1, 0)] == review_queries.strata(reader, "sha256:bb")
    assert [Stratum(0.5, 3, 2, 2, 1)] == review_queries.strata(reader)
    assert [SeedCount("dent", 1, 1, 1, 1)] == review_queries.seed_counts(reader, "sha256:bb")
    assert [SeedCount("dent", 0, 0, 1, 1)] == review_queries.seed_counts(reader, "sha256:aa")


def test_training_data_leaves_seeded_parts_out(store: RecordStore, reader: sqlite3.Connection) -> None:
    """Every other image kept is a candidate once a class stands for its part."""
    pixels = np.zeros((16, 16), np.uint8)
    for number in (1, 2, 3):
        frame = FrameReady(
            "top", SlotRef(1, 0, 1), number, 0, HostNs(1), 500, None, HostNs(2), 16, 16, PixelFormat.MONO8, 100.0, 0.0,
            0, FrameCounts(),
        )  # fmt: skip
        store.image(frame, str(part(number)), "review", pixels + number, UtcNs(UTC))
    keep(store, Seeded(part(2), "scratch", "qe-1", UtcNs(UTC)))
    for name, kind in (("l-1", "good"), ("l-2", "scratch")):
        keep(store, Label(name, part(1), LabelLevel.CONFIRM, "op-1", kind, 1.0, False, UtcNs(UTC)))
    rows = reader.execute("SELECT name, kind, camera FROM training_candidates ORDER BY name").fetchall()

    assert [(str(part(1)), "scratch", "top")] == [tuple(row) for row in rows]


def test_the_reasons_of_a_verdict_keep_their_order(store: RecordStore, reader: sqlite3.Connection) -> None:
    """The most important first, as the judge gave them."""
    reasons = (Reason.UNKNOWN_DEFECT, Reason.BETWEEN_LIMITS)
    keep(store, verdict(1, Disposition.UNKNOWN, reasons))

    assert (reasons, ()) == (review_queries.reasons_of(reader, part(1)), review_queries.reasons_of(reader, part(2)))
    assert list(reasons) == json.loads(queries.inspection(reader, part(1)).reasons)  # type: ignore[union-attr]
