"""Make the outbox's tables, and bring those of an older version up to date."""

import sqlite3

VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB, properties TEXT NOT NULL, expires_utc_ns INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending'
) STRICT;
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE topics (topic TEXT PRIMARY KEY, kind TEXT NOT NULL, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
ALTER TABLE outbox ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
DROP INDEX IF EXISTS outbox_pending;
CREATE INDEX outbox_kinds ON outbox (kind, id) WHERE state = 'pending';
CREATE INDEX outbox_topics ON outbox (topic, id) WHERE state = 'pending';
CREATE INDEX outbox_expiry ON outbox (expires_utc_ns) WHERE state = 'pending';
CREATE INDEX outbox_settled ON outbox (id) WHERE state != 'pending'
"""

_NUMBERS = """
UPDATE outbox SET sequence = numbered.sequence FROM (
    SELECT id, row_number() OVER (PARTITION BY topic ORDER BY id) AS sequence FROM outbox
) AS numbered WHERE outbox.id = numbered.id;
INSERT INTO topics SELECT topic, min(kind), max(sequence) FROM outbox GROUP BY topic;
UPDATE outbox SET payload = CAST(json_set(
    CAST(payload AS TEXT), '$.sequence', sequence, '$.stream', (SELECT printf('%08x', value) FROM counters
    WHERE name = 'stream')) AS BLOB) WHERE payload IS NOT NULL;
CREATE UNIQUE INDEX outbox_sequences ON outbox (topic, sequence)
"""
"""Version 0 counted over all topics: its messages get the numbers of their topic, under the name of a new stream."""


def prepare(database: sqlite3.Connection, stream: int) -> None:
    """Make what is missing, inside the caller's transaction; `stream`: random, names the file where it has no name."""
    if database.execute("PRAGMA user_version").fetchone()[0] >= VERSION:
        return
    for statement in _TABLES.split(";"):
        database.execute(statement)
    database.execute("INSERT INTO counters (name, value) VALUES ('stream', ?)", (stream,))
    for statement in _NUMBERS.split(";"):
        database.execute(statement)
    database.execute(f"PRAGMA user_version = {VERSION}")
