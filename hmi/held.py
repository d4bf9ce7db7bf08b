"""Read the record database for the touchscreen: on a worker thread, over a connection that cannot write."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.decision.review_queue import WAITS
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.errors import StoreError
from appliance.schema.verdict import Disposition
from appliance.storage.database import open_reader, store_error
from appliance.storage.review_queries import items, tally
from hmi.state import Baseline, Counts, ReviewLoad
from hmi.worker import Done, Worker

CLOSE_S = 2.0
"""Longest wait for the last read at the end."""

Read = Callable[[sqlite3.Connection], Any]


class Held:
    """Own the worker that reads; `ask`, `deliver`, `settle` and `close` belong to one thread, the GUI's."""

    def __init__(self, database: Path) -> None:
        self._path = database
        self._worker = Worker("held")
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self.deliver = self._worker.deliver
        self.settle = self._worker.settle

    def ask(self, read: Read, done: Done) -> None:
        """Have `read` called with a connection; `deliver` then hands its value, or a StoreError, to `done`.

        Of several questions with the same `done` the newest is answered, the others are forgotten.
        """
        self._worker.ask(partial(self._read, read), done)

    def close(self) -> None:
        """End the worker; what was asked is forgotten."""
        self._worker.ask(self._disconnect, _nothing)
        self._worker.settle(CLOSE_S)
        self._worker.close()

    def _read(self, read: Read) -> Any:
        try:
            return read(self._connected())
        except StoreError as error:
            self._disconnect()
            return error
        except sqlite3.Error as error:
            self._disconnect()
            return store_error(self._path, "be read", error)

    def _connected(self) -> sqlite3.Connection:
        """Give the connection; a new one where the file was replaced, as by a restored backup."""
        inode = self._path.stat().st_ino if self._path.is_file() else 0
        if self._connection is None or inode != self._inode:
            self._disconnect()
            self._connection, self._inode = open_reader(self._path), inode
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _nothing(_value: object) -> None:
    """Take a value that nobody wants."""


class Overview(Struct, frozen=True):
    """Give what the header of every screen shows of the record database."""

    baseline: Baseline
    review: ReviewLoad


def overview(connection: sqlite3.Connection, since: UtcNs, limit: int, now: HostNs) -> Overview:
    """Count the shift that began at `since`, and the parts that wait; all of one instant."""
    connection.execute("BEGIN")
    try:
        return Overview(_baseline(connection, since), _review(connection, limit, now))
    finally:
        connection.execute("ROLLBACK")


def _baseline(connection: sqlite3.Connection, since: UtcNs) -> Baseline:
    first = connection.execute(
        "SELECT part FROM entered WHERE utc_ns >= ? ORDER BY utc_ns LIMIT 1", (since,)
    ).fetchone()
    if first is None:
        return Baseline(Counts(since), {})
    rows = connection.execute(
        "SELECT lane, cause, disposition, count(*), max(part) FROM actuations WHERE part >= ? GROUP BY 1, 2, 3",
        (first[0],),
    ).fetchall()
    causes: dict[Cause, int] = {}
    dispositions: dict[Disposition, int] = {}
    for _, cause, disposition, count, _ in rows:
        causes[Cause(cause)] = causes.get(Cause(cause), 0) + count
        dispositions[Disposition(disposition)] = dispositions.get(Disposition(disposition), 0) + count
    accepted = sum(count for lane, _, _, count, _ in rows if lane == Lane.ACCEPT)
    last = max((row[4] for row in rows), default=0)
    through = connection.execute(
        "SELECT boot, max(number) FROM parts WHERE id BETWEEN ? AND ? GROUP BY boot", (first[0], last)
    )
    counts = Counts(since, sum(row[3] for row in rows), accepted, causes, dispositions)
    return Baseline(counts, {row[0]: row[1] for row in through})


def _review(connection: sqlite3.Connection, limit: int, now: HostNs) -> ReviewLoad:
    waiting = items(connection, tuple(WAITS))
    unknown = sum(item.needs_quality for item in waiting)
    return ReviewLoad(len(waiting), unknown, tally(connection).quarantined, limit, now)
