"""Hold messages for the plant until the broker has taken them; survives crashes, outages and restarts.

A row is done only when the broker acknowledged it without a failure code. It stays for a while: its key, so that a fact
told twice (replay after a restart) does not become a second message, and its payload, so that a receiver can have it
again after its broker lost what it had acknowledged. Used by one thread.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from appliance.outputs.outbox_tables import prepare
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import StoreError

FILE = "outbox.db"
"""File name in the station's state folder."""

LIMIT = 500_000
"""Rows waiting: about 14 h at 10 parts/s, 400 MB. Past it the oldest results go; the record database has them still."""

KEPT = 20_000
"""Rows kept after delivery; must exceed the messages a topic holds for replay (`topics.HISTORY`)."""

RESULT = "result"
ALARM = "alarm"
KINDS = (RESULT, ALARM)
"""In the order in which they are dropped; sent in the opposite order, which is that of the alphabet."""

STREAM = "SELECT value FROM counters WHERE name = 'stream'"

Source = tuple[str, int, int]
"""(topic, epoch, sequence) of the fact that a message tells, in its writer's count."""


class Entry(Struct, frozen=True):
    """Give one message to be put into the outbox."""

    key: str
    """Unique for ever; a second entry with the same key is ignored."""
    kind: str
    """RESULT or ALARM; alarms are sent first and dropped last."""
    topic: str
    payload: dict[str, Any]
    """JSON object; the outbox adds `stream`, which names its file, and `sequence`, which grows by one a message of the
    topic, so that receivers can see a gap."""
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
    kind: str = RESULT
    sequence: int = 0


class Counts(Struct, frozen=True):
    """Account for all messages since the outbox was made: put = acked + pending + dropped + expired."""

    put: int = 0
    acked: int = 0
    pending: int = 0
    dropped: int = 0
    """Messages given up because the outbox was full."""
    expired: int = 0
    """Messages given up because their expiry passed before the broker took them."""
    dropped_alarms: int = 0
    """Those of `dropped` that were alarms: only once no result was left to drop."""


class Again(Struct, frozen=True):
    """Say what became of a wish for old messages."""

    waiting: int
    """Messages that wait now, some of them perhaps before."""
    gone: tuple[tuple[int, int], ...]
    """First and last sequence number of each run of messages that the outbox no longer has."""


class Outbox:
    """Own the outbox file; every change is on disk when its method returns. StoreError when it cannot be."""

    def __init__(self, path: Path, limit: int = LIMIT, kept: int = KEPT) -> None:
        self.path = path
        self._limit = limit
        self._kept = kept
        with self._errors("open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, timeout=2.0)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "trusted_schema=OFF"):
                self._database.execute(f"PRAGMA {pragma}")
        with self._transaction("open"):
            prepare(self._database, int.from_bytes(os.urandom(4), "big"))
        with self._errors("open"):
            self.stream = f"{self._one(STREAM):08x}"
            self._pending = self._one("SELECT count(*) FROM outbox WHERE state = 'pending'")

    @property
    def counts(self) -> Counts:
        """Give the account."""
        with self._errors("read"):
            return _counts(self._database)

    def put(self, entry: Entry, source: Source | None = None) -> bool:
        """Add a message; False when its key is known. `source`: place of the fact it tells."""
        return self.put_all([((entry,), source)]) == 1

    def put_all(self, facts: Sequence[tuple[Sequence[Entry], Source | None]]) -> int:
        """Add the messages of several facts and note the facts' places, all or nothing; gives how many are new."""
        with self._transaction("put a message"):
            new = 0
            for entries, source in facts:
                new += sum(self._insert(entry) for entry in entries)
                if source is not None:
                    self._advance(*source)
            excess = self._pending + new - self._limit
            dropped = self._make_room(excess) if new and excess > 0 else 0
        self._pending += new - dropped
        return new

    def topics(self) -> list[str]:
        """Name the topics with messages to send, those with alarms first."""
        query = (
            "SELECT topic FROM topics WHERE EXISTS"
            " (SELECT 1 FROM outbox WHERE state = 'pending' AND outbox.topic = topics.topic) ORDER BY kind, topic"
        )
        with self._errors("read"):
            return [topic for (topic,) in self._database.execute(query)]

    def pending(self, limit: int, leave_out: Collection[int] = (), topic: str = "") -> list[Waiting]:
        """Give messages to send, of one topic or of all: alarms first, then oldest first."""
        if limit <= 0:
            return []
        query = (
            "SELECT id, topic, payload, properties, expires_utc_ns, tries, kind, sequence FROM outbox"  # noqa: S608  question marks only
            f" WHERE state = 'pending' {'AND topic = ?' if topic else ''}"
            f" AND id NOT IN ({','.join('?' * len(leave_out))}) ORDER BY {'id' if topic else 'kind, id'} LIMIT ?"
        )
        with self._errors("read"):
            rows = self._database.execute(query, (*((topic,) if topic else ()), *leave_out, limit)).fetchall()
        return [_waiting(row) for row in rows]

    def done(self, *identities: int) -> None:
        """Note that the broker took messages over."""
        if not identities:
            return
        with self._transaction("note an acknowledgement"):
            changed = self._settle(f"id IN ({','.join('?' * len(identities))})", identities, "acked")
            self._database.execute(
                "DELETE FROM outbox WHERE state != 'pending' AND id <= ?", (max(identities) - self._kept,)
            )
        self._pending -= changed

    def refused(self, *identities: int) -> None:
        """Note that the broker refused messages; they keep their place."""
        with self._transaction("note a refusal"):
            for identity in identities:
                self._database.execute("UPDATE outbox SET tries = tries + 1 WHERE id = ?", (identity,))

    def expire(self, now: UtcNs) -> int:
        """Give up messages whose expiry has passed; gives their number."""
        with self._transaction("expire messages"):
            changed = self._settle("expires_utc_ns <= ?", (now,), "expired")
        self._pending -= changed
        return changed

    def again(self, topic: str, first: int, count: int, now: UtcNs) -> Again:
        """Let delivered messages of a topic wait again, from sequence number `first`, as far as they are kept."""
        last = min(first + count - 1, self.newest(acked=False).get(topic, 0))
        span = (topic, first, last)
        with self._transaction("repeat messages"):
            changed = self._database.execute(
                "UPDATE outbox SET state = 'pending', tries = 0 WHERE topic = ? AND sequence BETWEEN ? AND ?"
                " AND state = 'acked' AND payload IS NOT NULL AND expires_utc_ns > ?",
                (*span, now),
            ).rowcount
            self._count("acked", -changed)
            self._count("again", changed)
        self._pending += changed
        with self._errors("read"):
            rows = self._database.execute(
                "SELECT sequence FROM outbox WHERE topic = ? AND sequence BETWEEN ? AND ? AND state = 'pending'"
                " ORDER BY sequence",
                span,
            ).fetchall()
        held = [sequence for (sequence,) in rows]
        return Again(len(held), _holes(held, first, last))

    def newest(self, *, acked: bool) -> dict[str, int]:
        """Give the highest sequence number of each topic: of all messages, or up to the first that still waits."""
        with self._errors("read"):
            newest = dict(self._database.execute("SELECT topic, sequence FROM topics").fetchall())
            if not acked:
                return newest
            query = "SELECT min(sequence) FROM outbox WHERE state = 'pending' AND topic = ?"
            waiting = {topic: self._one(query, topic) for topic in newest}
        return {topic: waiting[topic] - 1 if waiting[topic] else newest[topic] for topic in newest}

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
        if self._database.execute("SELECT 1 FROM outbox WHERE key = ?", (entry.key,)).fetchone():
            return False
        sequence = self._one(
            "INSERT INTO topics (topic, kind, sequence) VALUES (?, ?, 1)"
            " ON CONFLICT (topic) DO UPDATE SET sequence = sequence + 1 RETURNING sequence",
            entry.topic,
            entry.kind,
        )
        self._database.execute(
            "INSERT INTO outbox (key, kind, topic, sequence, payload, properties, expires_utc_ns)"
            " VALUES (?,?,?,?,?,?,?)",
            (
                entry.key,
                entry.kind,
                entry.topic,
                sequence,
                msgspec.json.encode({**entry.payload, "stream": self.stream, "sequence": sequence}),
                msgspec.json.encode(entry.properties).decode(),
                entry.expires,
            ),
        )
        self._count("put", 1)
        return True

    def _make_room(self, excess: int) -> int:
        """Drop a hundredth of the outbox at least, so that dropping is not done at every message."""
        wanted = max(excess, self._limit // 100)
        dropped = 0
        for kind in KINDS:
            where = "id IN (SELECT id FROM outbox WHERE state = 'pending' AND kind = ? ORDER BY id LIMIT ?)"
            gone = self._settle(where, (kind, wanted - dropped), "dropped")
            self._count(f"dropped_{kind}", gone)
            dropped += gone
        return dropped

    def _settle(self, where: str, values: Sequence[int | str], state: str) -> int:
        forget = "" if state == "acked" else ", payload = NULL"
        cursor = self._database.execute(
            f"UPDATE outbox SET state = '{state}'{forget} WHERE state = 'pending' AND {where}",  # noqa: S608  own words
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

    def _one(self, query: str, *values: str | int) -> int:
        return int(self._database.execute(query, values).fetchone()[0] or 0)

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
    dropped, expired = values.get("dropped", 0), values.get("expired", 0)
    put, acked = values.get("put", 0), values.get("acked", 0)
    return Counts(put, acked, put - acked - dropped - expired, dropped, expired, values.get("dropped_alarm", 0))


def _waiting(row: tuple[Any, ...]) -> Waiting:
    identity, topic, payload, properties, expires, tries, kind, sequence = row
    pairs = msgspec.json.decode(properties, type=tuple[tuple[str, str], ...])
    return Waiting(identity, topic, payload, pairs, expires, tries, kind, sequence)


def _holes(held: Sequence[int], first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Give the runs of numbers from first to last that are not held; `held` in ascending order."""
    edges = [first - 1, *held, last + 1]
    return tuple((low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1)
