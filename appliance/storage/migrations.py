"""Define the record database, step by step; a step that was shipped is never edited, only followed.

    parts 1─┬─1 entered          what the part sensor saw          `inspections`: one row per part, all facts joined
            ├─n exposures        camera lines fired for it         `labels_current`: the label that stands for a part
            ├─1 results          what the model saw                `training_candidates`: images that may be trained on
            ├─1 verdicts         what was decided                  `parallel_table`: sealed verdicts that a person's
            ├─1 sealed_verdicts  the model's, in parallel mode          own has opened
            ├─n shadow_results   what a shadow bundle would have decided, one per bundle
            ├─1 actuations       what the gate did
            ├─n review_steps     its way through review
            ├─n manual_verdicts  what people decided
            ├─n hand_actuations  where people put it
            ├─1 seeds            a known defect that people put on the line; has no labels
            ├─1 plc_acknowledgements
            ├─n images           what was kept of its frames, or why not
            ├─n seeded_answers   what people said of it not knowing that it was seeded
            └─n labels           what people said
    alarms, audit (hash-linked), positions (how far each topic is held)
    people, alarm_steps, deeds_noted, snapshots 1─n snapshot_items: see `label_layout.py`

Instants: `*_ns` is CLOCK_MONOTONIC, `utc_ns` the same instant in UTC. `body` is the whole message in msgpack.
"""

import sqlite3

from sqlite_utils import Database, Migrations

from appliance.storage import label_layout

_FIRST_FACTS = (
    "parts",
    "entered",
    "exposures",
    "results",
    "verdicts",
    "actuations",
    "plc_acknowledgements",
    "images",
    "labels",
    "alarms",
    "audit",
)

_REVIEW_FACTS = ("sealed_verdicts", "manual_verdicts", "hand_actuations", "seeds", "review_steps")

_TOLD_ONCE = ("audit", "deeds_noted", "snapshots", "snapshot_items")

FACTS = (*_FIRST_FACTS, "shadow_results", *_REVIEW_FACTS, *label_layout.FACTS)
"""Tables whose rows are written once: triggers forbid UPDATE and DELETE."""

_TABLES = """
CREATE TABLE parts (
    id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, number INTEGER NOT NULL, UNIQUE (boot, number)
) STRICT;
CREATE TABLE entered (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    at_uncertainty_ns INTEGER NOT NULL, at_tick INTEGER NOT NULL, at_counts INTEGER NOT NULL,
    decide_by_ns INTEGER NOT NULL, cameras TEXT NOT NULL, replayed INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE exposures (
    part INTEGER NOT NULL REFERENCES parts(id), camera TEXT NOT NULL, trigger_index INTEGER NOT NULL,
    utc_ns INTEGER NOT NULL, at_ns INTEGER NOT NULL, at_uncertainty_ns INTEGER NOT NULL,
    at_tick INTEGER NOT NULL, at_counts INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (part, camera, trigger_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE results (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, finished_ns INTEGER NOT NULL,
    bundle TEXT NOT NULL, runtime TEXT NOT NULL, precision TEXT NOT NULL, transfer_ms REAL NOT NULL,
    queue_ms REAL NOT NULL, preprocess_ms REAL NOT NULL, inference_ms REAL NOT NULL, decide_ms REAL NOT NULL,
    copies INTEGER NOT NULL, score REAL, views TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE verdicts (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, disposition TEXT NOT NULL,
    reasons TEXT NOT NULL, decided_ns INTEGER NOT NULL, decide_by_ns INTEGER NOT NULL,
    sequence INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE actuations (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, lane TEXT NOT NULL,
    cause TEXT NOT NULL, disposition TEXT NOT NULL, verdict_sequence INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    at_tick INTEGER NOT NULL, at_counts INTEGER NOT NULL, replayed INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE plc_acknowledgements (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, result_sequence INTEGER NOT NULL,
    posted_ns INTEGER NOT NULL, acknowledged_ns INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE images (
    id INTEGER PRIMARY KEY, part INTEGER NOT NULL REFERENCES parts(id), camera TEXT NOT NULL,
    frame_id INTEGER NOT NULL, utc_ns INTEGER NOT NULL, disposition TEXT NOT NULL, pixel_format TEXT NOT NULL,
    pixel_rows INTEGER NOT NULL, pixel_columns INTEGER NOT NULL, encoding TEXT, path TEXT, sha256 TEXT,
    bytes INTEGER, not_kept TEXT, UNIQUE (part, camera, frame_id),
    CHECK ((path IS NULL) = (not_kept IS NOT NULL) AND (path IS NULL) = (sha256 IS NULL))
) STRICT;
CREATE TABLE labels (
    id INTEGER PRIMARY KEY, label_id TEXT NOT NULL UNIQUE, part INTEGER NOT NULL REFERENCES parts(id),
    utc_ns INTEGER NOT NULL, level INTEGER NOT NULL, person TEXT NOT NULL, kind TEXT NOT NULL, seconds REAL NOT NULL,
    prediction_shown INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE alarms (
    id INTEGER PRIMARY KEY, unit TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, part TEXT NOT NULL,
    utc_ns INTEGER NOT NULL, body BLOB NOT NULL, source_topic TEXT, source_epoch INTEGER,
    source_sequence INTEGER, UNIQUE (source_topic, source_epoch, source_sequence)
) STRICT;
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY, utc_ns INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, previous TEXT NOT NULL,
    digest TEXT NOT NULL, source_topic TEXT, source_epoch INTEGER, source_sequence INTEGER,
    UNIQUE (source_topic, source_epoch, source_sequence)
) STRICT;
CREATE TABLE positions (
    topic TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX verdicts_by_disposition ON verdicts (disposition, part);
CREATE INDEX entered_by_time ON entered (utc_ns);
CREATE INDEX images_by_path ON images (path);
CREATE INDEX labels_by_part ON labels (part)
"""

_INSPECTIONS = """
CREATE VIEW inspections AS
SELECT p.id, printf('%08x-%06d', p.boot, p.number) AS part, p.boot, p.number,
       e.utc_ns AS entered_utc_ns, e.at_ns AS entered_ns,
       coalesce(v.disposition, 'no_verdict') AS disposition, coalesce(v.reasons, '[]') AS reasons,
       a.lane, a.cause, a.disposition AS held_disposition, a.utc_ns AS actuated_utc_ns,
       (v.decided_ns - (SELECT max(x.at_ns) FROM exposures x WHERE x.part = p.id)) / 1e6 AS latency_ms,
       (v.decided_ns - e.at_ns) / 1e6 AS entered_to_verdict_ms,
       (v.decide_by_ns - v.decided_ns) / 1e6 AS margin_ms,
       r.transfer_ms, r.queue_ms, r.preprocess_ms, r.inference_ms, r.decide_ms,
       r.bundle, r.runtime, r.precision, r.copies, r.score, r.views,
       k.part IS NOT NULL AS acked,
       (SELECT i.path FROM images i WHERE i.part = p.id AND i.path IS NOT NULL ORDER BY i.camera LIMIT 1) AS image,
       (SELECT i.not_kept FROM images i WHERE i.part = p.id AND i.path IS NULL ORDER BY i.camera LIMIT 1)
           AS image_not_kept
FROM parts p
LEFT JOIN entered e ON e.part = p.id
LEFT JOIN results r ON r.part = p.id
LEFT JOIN verdicts v ON v.part = p.id
LEFT JOIN actuations a ON a.part = p.id
LEFT JOIN plc_acknowledgements k ON k.part = p.id
"""

_LABELS_CURRENT = """
CREATE VIEW labels_current AS
SELECT l.* FROM labels l
WHERE l.id = (SELECT max(m.id) FROM labels m WHERE m.part = l.part)
"""

_SHADOW_RESULTS = """
CREATE TABLE shadow_results (
    part INTEGER NOT NULL REFERENCES parts(id), bundle TEXT NOT NULL, utc_ns INTEGER NOT NULL,
    finished_ns INTEGER NOT NULL, runtime TEXT NOT NULL, precision TEXT NOT NULL, disposition TEXT NOT NULL,
    reasons TEXT NOT NULL, active TEXT NOT NULL, active_disposition TEXT NOT NULL, agrees INTEGER NOT NULL, score REAL,
    views TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (part, bundle)
) STRICT
"""

_REVIEW = """
CREATE TABLE sealed_verdicts (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, disposition TEXT NOT NULL,
    reasons TEXT NOT NULL, decided_ns INTEGER NOT NULL, decide_by_ns INTEGER NOT NULL, bundle TEXT NOT NULL,
    runtime TEXT NOT NULL, precision TEXT NOT NULL, score REAL, views TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE manual_verdicts (
    id INTEGER PRIMARY KEY, verdict_id TEXT NOT NULL UNIQUE, part INTEGER NOT NULL REFERENCES parts(id),
    utc_ns INTEGER NOT NULL, accept INTEGER NOT NULL, kind TEXT NOT NULL, person TEXT NOT NULL, occasion TEXT NOT NULL,
    seconds REAL NOT NULL, prediction_shown INTEGER NOT NULL, decided_ns INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE hand_actuations (
    verdict_id TEXT PRIMARY KEY, part INTEGER NOT NULL REFERENCES parts(id), utc_ns INTEGER NOT NULL,
    lane TEXT NOT NULL, cause TEXT NOT NULL, person TEXT NOT NULL, at_ns INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE seeds (
    part INTEGER PRIMARY KEY REFERENCES parts(id), utc_ns INTEGER NOT NULL, kind TEXT NOT NULL, person TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE TABLE review_steps (
    id INTEGER PRIMARY KEY, part INTEGER NOT NULL REFERENCES parts(id), number INTEGER NOT NULL,
    utc_ns INTEGER NOT NULL, change TEXT NOT NULL, occasion TEXT NOT NULL, person TEXT NOT NULL, why TEXT NOT NULL,
    body BLOB NOT NULL, UNIQUE (part, number)
) STRICT;
ALTER TABLE verdicts ADD COLUMN sampling REAL NOT NULL DEFAULT 0;
CREATE INDEX manual_verdicts_by_part ON manual_verdicts (part);
CREATE INDEX hand_actuations_by_part ON hand_actuations (part);
CREATE INDEX verdicts_by_sampling ON verdicts (sampling) WHERE sampling > 0;
DROP VIEW inspections
"""

_NEVER_TRAINED_ON = (
    """
CREATE TRIGGER labels_no_seeded BEFORE INSERT ON labels WHEN EXISTS (SELECT 1 FROM seeds s WHERE s.part = NEW.part)
BEGIN SELECT raise(ABORT, 'labels: a seeded part never enters training data'); END
""",
    """
CREATE TRIGGER seeds_no_labelled BEFORE INSERT ON seeds WHEN EXISTS (SELECT 1 FROM labels l WHERE l.part = NEW.part)
BEGIN SELECT raise(ABORT, 'seeds: a part with a label is training data already'); END
""",
    """
CREATE VIEW training_candidates AS
SELECT p.id AS part, printf('%08x-%06d', p.boot, p.number) AS name, i.camera, i.path, i.sha256, i.disposition,
       l.label_id, l.level, l.kind, l.person
FROM images i
JOIN parts p ON p.id = i.part
LEFT JOIN labels_current l ON l.part = i.part
WHERE i.path IS NOT NULL AND NOT EXISTS (SELECT 1 FROM seeds s WHERE s.part = i.part)
""",
)

_PARALLEL_TABLE = """
CREATE VIEW parallel_table AS
SELECT p.id, printf('%08x-%06d', p.boot, p.number) AS part, p.boot, p.number,
       s.disposition, s.reasons, s.score, s.bundle, s.precision, s.decided_ns, s.decide_by_ns, s.views,
       m.accept, m.kind, m.person, m.seconds, m.prediction_shown, m.utc_ns,
       EXISTS (SELECT 1 FROM seeds d WHERE d.part = p.id) AS seeded
FROM manual_verdicts m
JOIN parts p ON p.id = m.part
JOIN sealed_verdicts s ON s.part = m.part
WHERE m.id = (SELECT min(f.id) FROM manual_verdicts f WHERE f.part = m.part)
"""

_INSPECTIONS_REVIEWED = _INSPECTIONS.replace(
    "           AS image_not_kept\n",
    """           AS image_not_kept,
       (SELECT iif(m.accept, 'accept', 'reject') FROM manual_verdicts m WHERE m.part = p.id ORDER BY m.id DESC LIMIT 1)
           AS manual,
       (a.at_ns - (SELECT min(m.decided_ns) FROM manual_verdicts m WHERE m.part = p.id AND m.accept)) / 1e6
           AS manual_margin_ms,
       (SELECT h.lane FROM hand_actuations h WHERE h.part = p.id ORDER BY h.rowid DESC LIMIT 1) AS hand_lane
""",
)

_record = Migrations("record")


@_record(name="facts")  # type: ignore[untyped-decorator]
def _facts(database: Database) -> None:
    """Create the fact tables, their guards and the joining views."""
    for statement in (*_TABLES.split(";"), _INSPECTIONS, _LABELS_CURRENT):
        database.conn.execute(statement)
    for table in _FIRST_FACTS:
        _guard(database, table)


@_record(name="shadow_results")  # type: ignore[untyped-decorator]
def _shadow_results(database: Database) -> None:
    """Create the table of what shadow bundles would have decided."""
    database.conn.execute(_SHADOW_RESULTS)
    _guard(database, "shadow_results")


@_record(name="review")  # type: ignore[untyped-decorator]
def _review(database: Database) -> None:
    """Create the tables of what people decide, and keep known defects out of training data."""
    for statement in (*_REVIEW.split(";"), *_NEVER_TRAINED_ON, _PARALLEL_TABLE, _INSPECTIONS_REVIEWED):
        database.conn.execute(statement)
    for table in _REVIEW_FACTS:
        _guard(database, table)


@_record(name="labelling")  # type: ignore[untyped-decorator]
def _labelling(database: Database) -> None:
    """Say how labels stand and what may be trained on, and keep INSERT OR REPLACE off every fact."""
    for statement in (*label_layout.TABLES.split(";"), *label_layout.VIEWS):
        database.conn.execute(statement)
    for table in label_layout.FACTS:
        _guard(database, table)
    for table in FACTS:
        label_layout.guard_replacing(database, table, told_again=table not in _TOLD_ONCE)


def _guard(database: Database, table: str) -> None:
    for deed in ("UPDATE", "DELETE"):
        database.conn.execute(
            f"CREATE TRIGGER {table}_no_{deed.lower()} BEFORE {deed} ON {table} "
            f"BEGIN SELECT raise(ABORT, '{table}: facts are written once and never changed'); END"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest layout; a step that fails leaves nothing of itself behind."""
    _record.apply(Database(connection))
