"""Hold messages for the plant until the broker has taken them; survives crashes, outages and restarts.

A row is done only when the broker acknowledged it without a failure code. Its key stays for a while, so that a fact
told twice (replay after a restart) does not become a second message. Used by one thread.
"""

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.errors import StoreError

FILE = "outbox.db"
"""File name in the station's state folder."""

LIMIT = 500_000
"""Rows waiting: about 14 h at 10 parts/s, 400 MB. Past it the oldest results go; the record database has them still."""

KEYS_KEPT = 20_000
"""Keys remembered after delivery; must exceed the messages a topic holds for replay (`topics.HISTORY`)."""

RESULT = "result"
ALARM = "alarm"

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB, properties TEXT NOT NULL, expires_utc_ns INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending'
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (tries, id) WHERE state = 'pending';
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""


class Entry(Struct, frozen=True):
    """Give one message to be put into the outbox."""

    key: str
    """Unique for ever; a second entry with the same key is ignored."""
    kind: str
    """RESULT or ALARM; only results are dropped when the outbox is full."""
    topic: str
    payload: dict[str, Any]
    """JSON object; the outbox adds `sequence`, which grows by one a message so that receivers can see a gap."""
    properties: tuple[tuple[str, str], ...]
    """MQTT 5 user properties."""
    expires: UtcNs


class Waiting(Struct, frozen=True):
    """Give one message that the broker has not acknowledged."""

    id: int
    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...]
    expires: UtcNs
    tries: int
    """How often the broker refused it."""


class Counts(Struct, frozen=True):
    """Account for all messages since the outbox was made: put = acked + pending + dropped + expired."""

    put: int = 0
    acked: int = 0
    pending: int = 0
    dropped: int = 0
    """Results given up because the outbox was full."""
    expired: int = 0
    """Messages given up because their expiry passed before the broker took them."""


class Outbox:
    """Own the outbox file; every change is on disk when its method returns. StoreError when it cannot be."""

    def __init__(self, path: Path, limit: int = LIMIT, keys_kept: int = KEYS_KEPT) -> None:
        self.path = path
        self._limit = limit
        self._keys_kept = keys_kept
        with self._errors("open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=2.0)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
                self._database.execute(f"PRAGMA {pragma}")
            for statement in _TABLES.split(";"):
                self._database.execute(statement)
            self._pending = int(
                self._database.execute("SELECT count(*) FROM outbox WHERE state='pending'").fetchone()[0]
            )

    @property
    def counts(self) -> Counts:
        """Give the account."""
        with self._errors("read"):
            return _counts(self._database)

    def put(self, entry: Entry, source: tuple[str, int, int] | None = None) -> bool:
        """Add a message; False when its key is known. `source`: (topic, epoch, sequence) of the fact it tells."""
        with self._transaction("put a message"):
            is_new = self._insert(entry)
            if source is not None:
                self._advance(*source)
            dropped = self._make_room() if is_new and self._pending >= self._limit else 0
        self._pending += is_new - dropped
        return is_new

    def pending(self, limit: int, leave_out: Collection[int] = ()) -> list[Waiting]:
        """Give messages to send: those never refused first, then oldest first."""
        if limit <= 0:
            return []
        query = (
            "SELECT id, topic, payload, properties, expires_utc_ns, tries FROM outbox WHERE state = 'pending'"  # noqa: S608  question marks only
            f" AND id NOT IN ({','.join('?' * len(leave_out))}) ORDER BY tries, id LIMIT ?"
        )
        with self._errors("read"):
            rows = self._database.execute(query, (*leave_out, limit)).fetchall()
        return [_waiting(row) for row in rows]

    def done(self, identity: int) -> None:
        """Note that the broker took a message over."""
        with self._transaction("note an acknowledgement"):
            changed = self._settle("id = ?", (identity,), "acked")
            self._database.execute(
                "DELETE FROM outbox WHERE state != 'pending' AND id <= ?", (identity - self._keys_kept,)
            )
        self._pending -= changed

    def refused(self, identity: int) -> None:
        """Note that the broker refused a message; it goes behind those never refused."""
        with self._transaction("note a refusal"):
            self._database.execute("UPDATE outbox SET tries = tries + 1 WHERE id = ?", (identity,))

    def expire(self, now: UtcNs) -> int:
        """Give up messages whose expiry has passed; gives their number."""
        with self._transaction("expire messages"):
            changed = self._settle("state = 'pending' AND expires_utc_ns <= ?", (now,), "expired")
        self._pending -= changed
        return changed

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give (epoch, sequence) of the newest fact of each topic that was put."""
        with self._errors("read"):
            rows = self._database.execute("SELECT topic, epoch, sequence FROM positions").fetchall()
        return {topic: (epoch, sequence) for topic, epoch, sequence in rows}

    def close(self) -> None:
        """Give the file back."""
        with self._errors("close"):
            self._database.close()

    def _insert(self, entry: Entry) -> bool:
        # Looked up, not left to ON CONFLICT: an insert that is ignored still uses up a number.
        if self._database.execute("SELECT 1 FROM outbox WHERE key = ?", (entry.key,)).fetchone():
            return False
        row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetchone()
        sequence = (row[0] if row else 0) + 1
        self._database.execute(
            "INSERT INTO outbox (id, key, kind, topic, payload, properties, expires_utc_ns) VALUES (?,?,?,?,?,?,?)",
            (
                sequence,
                entry.key,
                entry.kind,
                entry.topic,
                msgspec.json.encode({**entry.payload, "sequence": sequence}),
                msgspec.json.encode(entry.properties).decode(),
                entry.expires,
            ),
        )
        self._count("put", 1)
        return True

    def _make_room(self) -> int:
        """Drop a hundredth of the outbox at once, so that dropping is not done at every message."""
        wanted = max(1, self._limit // 100)
        return self._settle(
            "id IN (SELECT id FROM outbox WHERE state = 'pending' AND kind = 'result' ORDER BY id LIMIT ?)",
            (wanted,),
            "dropped",
        )

    def _settle(self, where: str, values: tuple[int, ...], state: str) -> int:
        cursor = self._database.execute(
            f"UPDATE outbox SET state = '{state}', payload = NULL WHERE state = 'pending' AND {where}",  # noqa: S608  own words
            values,
        )
        self._count(state, cursor.rowcount)
        return cursor.rowcount

    def _count(self, name: str, step: int) -> None:
        if step:
            self._database.execute(
                "INSERT INTO counters (name, value) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (name, step),
            )

    def _advance(self, topic: str, epoch: int, sequence: int) -> None:
        self._database.execute(
            "INSERT INTO positions (topic, epoch, sequence) VALUES (?, ?, ?) ON CONFLICT (topic) DO UPDATE SET"
            " sequence = iif(epoch = excluded.epoch, max(sequence, excluded.sequence), excluded.sequence),"
            " epoch = excluded.epoch",
            (topic, epoch, sequence),
        )

    @contextmanager
    def _transaction(self, deed: str) -> Iterator[None]:
        with self._errors(deed):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    @contextmanager
    def _errors(self, deed: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.path}: cannot {deed}: {error}; check disk space and the file's owner") from error


def read_counts(path: Path) -> Counts:
    """Read the account of an outbox that may be in use by another process; all 0 when there is none."""
    if not path.exists():
        return Counts()
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        database.execute("PRAGMA wal_autocheckpoint=0")
        return _counts(database)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: cannot be read: {error}; check the file's owner") from error
    finally:
        database.close()


def _counts(database: sqlite3.Connection) -> Counts:
    values = dict(database.execute("SELECT name, value FROM counters").fetchall())
    given_up = values.get("dropped", 0) + values.get("expired", 0)
    put, acked = values.get("put", 0), values.get("acked", 0)
    return Counts(put, acked, put - acked - given_up, values.get("dropped", 0), values.get("expired", 0))


def _waiting(row: tuple[Any, ...]) -> Waiting:
    identity, topic, payload, properties, expires, tries = row
    pairs = msgspec.json.decode(properties, type=tuple[tuple[str, str], ...])
    return Waiting(identity, topic, payload, pairs, expires, tries)
