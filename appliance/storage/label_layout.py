"""Lay out what people say of parts, who they are, and what training may use of it: one step of the migrations.

    labels ── label_settling ── labels_counted ── labels_current ── training_candidates ── snapshot_items
              overrule what     count now         the one that      kept images of it      frozen
              was before                          stands for a part
                                └── label_standing: how each labelled part stands

The rule is that of `appliance/labelling/standing.py`, in SQL; a property test holds both equal.
"""

from sqlite_utils import Database

FACTS = ("seeded_answers", "people", "alarm_steps", "deeds_noted", "snapshots", "snapshot_items")
"""Tables of this step; like all facts their rows are written once."""

TABLES = """
ALTER TABLE labels ADD COLUMN purpose TEXT NOT NULL DEFAULT 'review';
ALTER TABLE labels ADD COLUMN previous TEXT NOT NULL DEFAULT '';
ALTER TABLE labels ADD COLUMN old TEXT NOT NULL DEFAULT '';
ALTER TABLE labels ADD COLUMN reason TEXT NOT NULL DEFAULT '';
CREATE TABLE seeded_answers (
    id INTEGER PRIMARY KEY, label_id TEXT NOT NULL UNIQUE, part INTEGER NOT NULL REFERENCES parts(id),
    utc_ns INTEGER NOT NULL, person TEXT NOT NULL, kind TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE people (
    id INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, person TEXT NOT NULL, utc_ns INTEGER NOT NULL,
    role TEXT NOT NULL, level INTEGER NOT NULL, badge_sha256 TEXT NOT NULL, active INTEGER NOT NULL,
    changed_by TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE alarm_steps (
    id INTEGER PRIMARY KEY, step_id TEXT NOT NULL UNIQUE, unit TEXT NOT NULL, kind TEXT NOT NULL, deed TEXT NOT NULL,
    person TEXT NOT NULL, utc_ns INTEGER NOT NULL, until_ns INTEGER NOT NULL, why TEXT NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE deeds_noted (
    id INTEGER PRIMARY KEY, note_id TEXT NOT NULL UNIQUE, utc_ns INTEGER NOT NULL,
    sequence INTEGER NOT NULL UNIQUE REFERENCES audit(sequence), body BLOB NOT NULL
) STRICT;
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY, snapshot_id TEXT NOT NULL UNIQUE, utc_ns INTEGER NOT NULL, person TEXT NOT NULL,
    why TEXT NOT NULL, items INTEGER NOT NULL, newest_label INTEGER NOT NULL, digest TEXT NOT NULL
) STRICT;
CREATE TABLE snapshot_items (
    id INTEGER PRIMARY KEY, snapshot INTEGER NOT NULL REFERENCES snapshots(id), number INTEGER NOT NULL,
    part INTEGER NOT NULL REFERENCES parts(id), camera TEXT NOT NULL, sha256 TEXT NOT NULL,
    label_id TEXT NOT NULL REFERENCES labels(label_id), kind TEXT NOT NULL, UNIQUE (snapshot, number),
    UNIQUE (snapshot, part, camera, sha256)
) STRICT;
CREATE INDEX labels_by_time ON labels (utc_ns);
CREATE INDEX seeded_answers_by_part ON seeded_answers (part);
CREATE INDEX people_by_person ON people (person);
CREATE INDEX alarms_by_time ON alarms (utc_ns);
CREATE INDEX alarm_steps_by_time ON alarm_steps (utc_ns);
DROP VIEW training_candidates;
DROP VIEW labels_current
"""

_SETTLING = """
CREATE VIEW label_settling AS
SELECT l.id, l.part FROM labels l
WHERE l.purpose = 'disagreement' OR (l.purpose = 'correction' AND EXISTS (
    SELECT 1 FROM labels o
    WHERE o.label_id = l.previous AND o.part = l.part AND o.id < l.id AND o.person <> l.person
      AND o.purpose <> 'known_answer'))
"""

_COUNTED = """
CREATE VIEW labels_counted AS
SELECT l.* FROM labels l
WHERE l.purpose <> 'known_answer'
  AND NOT EXISTS (SELECT 1 FROM seeds d WHERE d.part = l.part)
  AND NOT EXISTS (SELECT 1 FROM label_settling s WHERE s.part = l.part AND s.id > l.id)
  AND NOT EXISTS (
    SELECT 1 FROM labels n
    WHERE n.part = l.part AND n.id > l.id AND n.person = l.person AND n.purpose <> 'known_answer')
"""

# A label stands when no other counted one says another class, comes before it (by level, then the newest), or is the
# part's last word and unsure.
_CURRENT = """
CREATE VIEW labels_current AS
SELECT l.* FROM labels_counted l
WHERE l.kind <> 'unsure' AND NOT EXISTS (
    SELECT 1 FROM labels_counted k
    WHERE k.part = l.part AND k.id <> l.id AND iif(
        k.kind = 'unsure',
        NOT EXISTS (SELECT 1 FROM labels_counted m WHERE m.part = k.part AND m.id > k.id),
        k.kind <> l.kind OR (k.level, k.id) > (l.level, l.id)))
"""

# Seen from the newest label of a part, which always counts: so one part's standing is found by index alone. A GROUP BY
# would be worked out for every part each time a join or a trigger asks about one.
_STANDING = """
CREATE VIEW label_standing AS
SELECT c.part, c.id AS newest, c.utc_ns,
       CASE WHEN EXISTS (SELECT 1 FROM labels_current b WHERE b.part = c.part)
            THEN CASE WHEN EXISTS (SELECT 1 FROM label_settling s WHERE s.part = c.part) THEN 'settled'
                      WHEN (SELECT count(*) FROM labels_counted k WHERE k.part = c.part AND k.kind <> 'unsure') > 1
                      THEN 'agreed' ELSE 'single' END
            WHEN (SELECT count(DISTINCT k.kind) FROM labels_counted k WHERE k.part = c.part AND k.kind <> 'unsure') > 1
            THEN 'conflict' ELSE 'unsure' END AS state,
       coalesce((SELECT b.kind FROM labels_current b WHERE b.part = c.part), '') AS kind,
       coalesce((SELECT b.label_id FROM labels_current b WHERE b.part = c.part), '') AS label_id,
       coalesce((SELECT max(k.level) FROM labels_counted k WHERE k.part = c.part AND k.kind <> 'unsure'), 0) AS level,
       (SELECT group_concat(k.person, char(10)) FROM labels_counted k WHERE k.part = c.part) AS people
FROM labels c
WHERE c.purpose <> 'known_answer' AND NOT EXISTS (SELECT 1 FROM seeds d WHERE d.part = c.part)
  AND NOT EXISTS (SELECT 1 FROM labels n WHERE n.part = c.part AND n.id > c.id AND n.purpose <> 'known_answer')
"""

# CROSS JOIN keeps SQLite from beginning with the images, of which most have no label.
_CANDIDATES = """
CREATE VIEW training_candidates AS
SELECT p.id AS part, printf('%08x-%06d', p.boot, p.number) AS name, i.camera, i.path, i.sha256, i.disposition,
       l.label_id, l.level, l.kind, l.person
FROM labels_current l
CROSS JOIN parts p ON p.id = l.part
CROSS JOIN images i ON i.part = l.part
WHERE i.path IS NOT NULL AND NOT EXISTS (SELECT 1 FROM seeds d WHERE d.part = l.part)
"""

# Why an item is refused is asked in this order, so that the answer is the same however many reasons there are; the
# last one stands for all, so that nothing but a candidate can pass.
_FROZEN = """
CREATE TRIGGER snapshot_items_trainable BEFORE INSERT ON snapshot_items
WHEN NOT EXISTS (SELECT 1 FROM training_candidates c WHERE c.part = NEW.part AND c.label_id = NEW.label_id
                 AND c.kind = NEW.kind AND c.camera = NEW.camera AND c.sha256 = NEW.sha256)
BEGIN
    SELECT raise(ABORT, 'snapshot_items: a seeded part never enters training data')
    WHERE EXISTS (SELECT 1 FROM seeds s WHERE s.part = NEW.part);
    SELECT raise(ABORT, 'snapshot_items: a known answer measures a person, it says nothing of the part')
    WHERE EXISTS (SELECT 1 FROM labels l WHERE l.label_id = NEW.label_id AND l.purpose = 'known_answer');
    SELECT raise(ABORT, 'snapshot_items: the labels of the part contradict each other, say unsure, or none counts')
    WHERE NOT EXISTS (SELECT 1 FROM labels_current l WHERE l.part = NEW.part);
    SELECT raise(ABORT, 'snapshot_items: the label is not the one that stands for the part')
    WHERE NOT EXISTS (SELECT 1 FROM labels_current l
                      WHERE l.part = NEW.part AND l.label_id = NEW.label_id AND l.kind = NEW.kind);
    SELECT raise(ABORT, 'snapshot_items: no such image of the part is kept');
END
"""

_CLOSED = """
CREATE TRIGGER snapshot_items_closed BEFORE INSERT ON snapshot_items
WHEN NOT coalesce(NEW.number BETWEEN 1 AND (SELECT s.items FROM snapshots s WHERE s.id = NEW.snapshot), 0)
BEGIN SELECT raise(ABORT, 'snapshot_items: a snapshot is frozen, nothing is added to it'); END
"""

VIEWS = (_SETTLING, _COUNTED, _CURRENT, _STANDING, _CANDIDATES, _FROZEN, _CLOSED)


def guard_replacing(database: Database, table: str, *, told_again: bool) -> None:
    """Keep INSERT OR REPLACE off rows that are there: SQLite deletes them without asking the trigger on DELETE.

    told_again: rows come twice by right and the second is passed over; else it is an error.
    """
    keys = _keys(database, table)
    met = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} h WHERE {' AND '.join(f'h.{name} = NEW.{name}' for name in key)})"  # noqa: S608
        for key in keys
    )
    fault = "raise(IGNORE)" if told_again else f"raise(ABORT, '{table}: facts are written once and never changed')"
    database.conn.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {met} BEGIN SELECT {fault}; END"
    )


def _keys(database: Database, table: str) -> list[tuple[str, ...]]:
    """Give what names a row: each unique index, and the row id where there is one."""
    ask = database.conn.execute
    unique = [row[1] for row in ask(f"PRAGMA index_list({table})") if row[2]]
    keys = [tuple(row[2] for row in ask(f"PRAGMA index_info({index})")) for index in unique]
    without_rowid = {row[1] for row in ask("PRAGMA table_list") if row[4]}
    return keys if table in without_rowid else [*keys, ("rowid",)]
