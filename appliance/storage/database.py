"""Open a SQLite file as its one writer or as one of its readers.

SQLite 3.7.0 to 3.51.2 can lose committed transactions of a WAL database when two connections write and checkpoint at
the same moment (fixed in 3.51.3, 3.50.7 and 3.44.6; https://sqlite.org/wal.html, "WAL-reset bug"). So one process
holds the writer's lock and alone checkpoints; readers open read-only and never checkpoint.
"""

import fcntl
import os
import sqlite3
from pathlib import Path

from appliance.schema.errors import StoreError

BUSY_MS = 2000
"""A reader's longest wait for a lock, ms; writers of one process never wait for each other."""

_FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_FSYNC", "SQLITE_CANTOPEN")


class WriterLock:
    """Hold the right to write one database file; given back by `release` or by the end of the process."""

    def __init__(self, database: Path) -> None:
        """Take the lock; StoreError names the process that holds it."""
        self._path = database.with_name(database.name + ".lock")
        try:
            database.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be opened: {error.strerror}; make its folder writable") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreError(
                f"{database}: already written by process {holder}, 1 writer is the limit; stop that process first"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode("ascii"))

    def release(self) -> None:
        """Give the right back; the file stays, since removing it would race with the next writer."""
        os.close(self._descriptor)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open for writing: WAL, every commit on disk before it returns; the caller holds the WriterLock."""
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)
        connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:
        raise store_error(path, "open", error) from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open for reading only; never checkpoints. StoreError when there is no such database."""
    if not path.is_file():
        raise StoreError(f"{path}: is not there, nothing was recorded yet; run the station, or name another one")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_MS / 1000)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA query_only=ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise store_error(path, "open for reading", error) from error
    return connection


def store_error(path: Path, deed: str, error: sqlite3.Error) -> StoreError:
    """Turn SQLite's error into a line a person can act on."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if name in _FULL:
        remedy = "free disk space or make the folder writable; writing is tried again"
    elif name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        remedy = "stop the service and restore the newest backup"
    else:
        remedy = "look at the disk and the file's owner"
    return StoreError(f"{path}: cannot {deed}: {error} ({name}); {remedy}")


def wal_reset_risk(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Say whether this SQLite has the WAL-reset bug, harmless only while one process writes."""
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    return (3, 7, 0) <= version < (3, 51, 3)
