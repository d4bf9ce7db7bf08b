"""Keep facts, images and the audit chain for ever; the one writer of the record database."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import structlog
from msgspec import Struct
from numpy.typing import NDArray

from appliance.governance import audit_chain
from appliance.schema.audit import AuditEntry, AuditRequest
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.command import FreezeSnapshot, NoteDeed
from appliance.schema.errors import StoreError
from appliance.schema.frame import FrameReady
from appliance.schema.health import Alarm, AlarmStep
from appliance.schema.part import PartId
from appliance.schema.person import Person
from appliance.schema.verdict import Disposition
from appliance.storage import snapshots
from appliance.storage.blobs import Blobs, encode
from appliance.storage.database import WriterLock, open_writer, store_error, wal_reset_risk
from appliance.storage.fact_rows import KEYS, Fact, Row, row_of, same, utc_of
from appliance.storage.image_messages import ImageFailed, ImageKept, ImageMissing
from appliance.storage.migrations import migrate
from appliance.storage.places import DATABASE, IMAGES

__all__ = ["ACTOR", "DATABASE", "IMAGES", "UNNUMBERED", "RecordStore"]

ACTOR = "service:record"

UNNUMBERED = -1
"""Sequence of a fact that came without its place in the writer's count; it moves no position."""

_UNSTORABLE = (OverflowError, sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError)

_Answer = TypeVar("_Answer")

log = structlog.get_logger()


class RecordStore:
    """Own the record database and the image folder of a station; used by one thread, blocking on the disk."""

    def __init__(self, state: Path, min_free_mb: int) -> None:
        """Take the writer's lock, bring the database up to date; StoreError when another process has it."""
        self.path = state / DATABASE
        self._lock = WriterLock(self.path)
        try:
            self._database = open_writer(self.path)
            try:
                migrate(self._database)
            except sqlite3.Error as error:
                self._database.close()
                raise store_error(self.path, "migrate", error) from error
        except StoreError:
            self._lock.release()
            raise
        self.blobs = Blobs(state / IMAGES, min_free_mb)
        self.wal_reset_risk = wal_reset_risk()
        log.info("store_opened", path=str(self.path), sqlite=sqlite3.sqlite_version, wal_reset_risk=self.wal_reset_risk)

    def write(
        self, facts: Sequence[tuple[str, int, int, Struct]], at: UtcNs, host_now: HostNs | None = None
    ) -> tuple[str, ...]:
        """Keep facts as (topic, epoch, sequence, message) in one transaction; durable when it returns.

        A deed to note and a snapshot to freeze are kept beside their entries of the audit chain, each once. A fact
        already held is left as it is. One that contradicts a held one, or that no table can take, is kept out
        and audited; the lines given back say which. `host_now` is the same instant as `at`: with it each row states
        the fact's own UTC, else the instant of writing. StoreError when the disk refuses; then nothing was kept.
        """
        refused = []
        with self._transaction("keep facts"):
            for topic, epoch, sequence, message in facts:
                source = (topic, _signed(epoch), sequence)
                if isinstance(message, AuditRequest):
                    self._append(message, at, source)
                elif isinstance(message, NoteDeed):
                    self._note(message, at)
                elif isinstance(message, FreezeSnapshot):
                    self._freeze(message, at)
                else:
                    fault = self._keep(source, message, at, host_now)
                    refused += [fault] if fault else []
                if sequence > UNNUMBERED:
                    self._advance(source)
        return tuple(refused)

    def position(self, topic: str) -> tuple[int, int] | None:
        """Give (epoch, sequence) of the newest fact held of a topic; None when there is none."""
        return self.positions().get(topic)

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give the position of every topic held."""
        with self._reading("read positions"):
            rows = self._database.execute("SELECT topic, epoch, sequence FROM positions").fetchall()
        return {row["topic"]: (_unsigned(row["epoch"]), row["sequence"]) for row in rows}

    def image(self, frame: FrameReady, part: str, disposition: str, pixels: NDArray[np.uint8], at: UtcNs) -> str:
        """Keep an image: file durable first, then the row that names it; gives the file's SHA-256.

        Gives "" when the image was not kept; the row then says why.
        """
        whole = PartId(int(part[:8], 16), int(part[9:]))
        way = Disposition(disposition)
        try:
            encoded = encode(pixels, frame.pixel_format, way)
            blob = self.blobs.keep(encoded.data, encoded.extension, at)
        except StoreError as error:
            self.image_rows((ImageFailed(whole, frame, way, str(error)),), at)
            return ""
        kept = ImageKept(whole, frame, way, blob.path, blob.sha256, blob.size, encoded.encoding)
        self.image_rows((kept,), at)
        return blob.sha256

    def image_rows(
        self, images: Sequence[ImageKept | ImageFailed | ImageMissing], at: UtcNs, host_now: HostNs | None = None
    ) -> None:
        """Write the rows of images whose files are durable already, and of those that were not kept."""
        with self._transaction("keep image rows"):
            for image in images:
                self._database.execute(
                    "INSERT INTO images (part, camera, frame_id, utc_ns, disposition, pixel_format, pixel_rows,"
                    " pixel_columns, encoding, path, sha256, bytes, not_kept) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)"
                    " ON CONFLICT (part, camera, frame_id) DO NOTHING",
                    (self._part(image.part), *_image_columns(image, at, host_now)),
                )

    def audit(self, actor: str, action: str, subject: str, before: str, after: str, at: UtcNs) -> AuditEntry:
        """Append a link to the audit chain; durable when it returns."""
        with self._transaction("append to the audit chain"):
            return self._append(AuditRequest(actor, action, subject, before, after), at, None)

    def audit_head(self) -> AuditEntry | None:
        """Give the newest link of the audit chain; None when it has none."""
        with self._reading("read the audit chain"):
            return self._head()

    def scrub(self, at: UtcNs) -> int:
        """Remove what a crash left of images: unfinished files, and files no row names. Call once, before writing.

        Gives the number of files removed. Too many files without a row mean that the database is older than the
        images, as after a restore: then they stay, and the audit chain says so.
        """
        with self._reading("read image rows"):
            newest = self._database.execute("SELECT path FROM images WHERE path NOT NULL ORDER BY id DESC LIMIT 1")
            row = newest.fetchone()
            orphans = self.blobs.orphans(row["path"] if row else "", self._is_named)
        removed = self.blobs.remove_unfinished()
        if self.blobs.too_many(orphans):
            after = f"{len(orphans)} files without a row left in place"
            self.audit(ACTOR, "scrub_refused", IMAGES, "", after, at)
            return removed
        return removed + self.blobs.remove(orphans)

    def ask(self, question: Callable[[sqlite3.Connection], _Answer]) -> _Answer:
        """Answer a question of the readers from what is held now; StoreError when the file cannot be read."""
        with self._reading("be asked"):
            return question(self._database)

    def probe(self) -> None:
        """Read one page of the file: a real check that the database answers; StoreError when it does not."""
        with self._reading("be read"):
            self._database.execute("SELECT count(*) FROM positions").fetchone()

    def close(self) -> None:
        """Fold the WAL into the database and give the files back."""
        try:
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.close()
        except sqlite3.Error as error:
            raise store_error(self.path, "close", error) from error
        finally:
            self._lock.release()

    def _keep(self, source: tuple[str, int, int], message: Struct, at: UtcNs, host_now: HostNs | None) -> str | None:
        if not isinstance(message, Fact):
            return self._refuse(source, type(message).__name__, "", "no table takes this message", at)
        row = row_of(message)
        subject = f"{row.table} {row.part or _subject(message)}"
        columns = _columns(row, source, at, host_now)
        try:
            if row.part is not None:
                columns["part"] = self._part(row.part)
            if self._insert(row.table, columns):
                return None
        except _UNSTORABLE as error:
            return self._refuse(source, subject, "", f"cannot be stored: {error}: {_text(message)}", at)
        held = self._held(row.table, columns, type(message))
        return None if same(held, message) else self._refuse(source, subject, _text(held), _text(message), at)  # type: ignore[arg-type]

    def _insert(self, table: str, columns: Mapping[str, object]) -> bool:
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        key = ", ".join(KEYS[table])
        cursor = self._database.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO NOTHING",  # noqa: S608  own names
            tuple(columns.values()),
        )
        return cursor.rowcount == 1

    def _held(self, table: str, columns: Mapping[str, object], kind: type[Struct]) -> Struct:
        key = KEYS[table]
        where = " AND ".join(f"{name} = ?" for name in key)
        row = self._database.execute(
            f"SELECT body FROM {table} WHERE {where}",  # noqa: S608  own names
            tuple(columns[name] for name in key),
        ).fetchone()
        return msgspec.msgpack.decode(row["body"], type=kind)

    def _refuse(self, source: tuple[str, int, int], subject: str, before: str, after: str, at: UtcNs) -> str:
        self._append(AuditRequest(ACTOR, "fact_refused", subject, before, after), at, source)
        line = f"{subject}: a second, different fact or one that cannot be stored was kept out; see the audit chain"
        log.warning("fact_refused", topic=source[0], subject=subject)
        return line

    def _note(self, note: NoteDeed, at: UtcNs) -> None:
        """Append what a person did elsewhere, unless the chain holds it already."""
        if self._database.execute("SELECT 1 FROM deeds_noted WHERE note_id = ?", (note.note_id,)).fetchone():
            return
        entry = self._append(note.deed, at, None)
        self._database.execute(
            "INSERT INTO deeds_noted (note_id, utc_ns, sequence, body) VALUES (?,?,?,?)",
            (note.note_id, note.at, entry.sequence, msgspec.msgpack.encode(note)),
        )

    def _freeze(self, wish: FreezeSnapshot, at: UtcNs) -> None:
        """Keep what training may use now, and its digest in the chain; once."""
        snapshot = snapshots.freeze(self._database, wish, at)
        if snapshot is not None:
            after = (
                f"{snapshot.items} images, labels up to {snapshot.newest_label}, digest {snapshot.digest}: {wish.why}"
            )
            self._append(AuditRequest(wish.person, "snapshot_frozen", wish.snapshot_id, "", after), at, None)

    def _append(self, request: AuditRequest, at: UtcNs, source: tuple[str, int, int] | None) -> AuditEntry:
        """Append a link; one whose source is in the chain already is not appended again."""
        numbered = source if source and source[2] > UNNUMBERED else (None, None, None)
        head = self._head()
        if numbered[0] is not None and head is not None and self._is_linked(numbered):
            return head
        entry = audit_chain.link(
            head, at, request.actor, request.action, request.subject, request.before, request.after
        )
        self._database.execute(
            "INSERT INTO audit (sequence, utc_ns, actor, action, subject, before, after, previous, digest,"
            " source_topic, source_epoch, source_sequence) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (*msgspec.structs.astuple(entry), *numbered),
        )
        return entry

    def _is_linked(self, source: tuple[object, object, object]) -> bool:
        found = self._database.execute(
            "SELECT 1 FROM audit WHERE source_topic = ? AND source_epoch = ? AND source_sequence = ?", source
        )
        return found.fetchone() is not None

    def _head(self) -> AuditEntry | None:
        row = self._database.execute(
            "SELECT sequence, utc_ns, actor, action, subject, before, after, previous, digest FROM audit"
            " ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        return AuditEntry(*row) if row else None

    def _part(self, part: PartId) -> int:
        key = (part.boot, part.number)
        self._database.execute("INSERT INTO parts (boot, number) VALUES (?, ?) ON CONFLICT DO NOTHING", key)
        row = self._database.execute("SELECT id FROM parts WHERE boot = ? AND number = ?", key).fetchone()
        return int(row["id"])

    def _is_named(self, path: str) -> bool:
        return self._database.execute("SELECT 1 FROM images WHERE path = ?", (path,)).fetchone() is not None

    def _advance(self, source: tuple[str, int, int]) -> None:
        self._database.execute(
            "INSERT INTO positions (topic, epoch, sequence) VALUES (?, ?, ?) ON CONFLICT (topic) DO UPDATE SET"
            " sequence = iif(epoch = excluded.epoch, max(sequence, excluded.sequence), excluded.sequence),"
            " epoch = excluded.epoch",
            source,
        )

    @contextmanager
    def _transaction(self, deed: str) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise store_error(self.path, deed, error) from error

    @contextmanager
    def _reading(self, deed: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise store_error(self.path, deed, error) from error


def _columns(row: Row, source: tuple[str, int, int], at: UtcNs, host_now: HostNs | None) -> dict[str, object]:
    columns: dict[str, object] = dict(row.columns)
    if "utc_ns" not in columns:
        known = row.at is not None and host_now is not None
        columns["utc_ns"] = utc_of(row.at, host_now, at) if known else at  # type: ignore[arg-type]
    if row.table == "alarms":
        numbered = source if source[2] > UNNUMBERED else (None, None, None)
        columns |= zip(KEYS["alarms"], numbered, strict=True)
    return columns


def _image_columns(
    image: ImageKept | ImageFailed | ImageMissing, at: UtcNs, host_now: HostNs | None
) -> tuple[object, ...]:
    if isinstance(image, ImageMissing):
        unknown = ("", 0, 0, None, None, None, None)
        return (image.camera, image.frame_id, at, image.disposition.value, *unknown, image.reason)
    frame = image.frame
    utc = at if host_now is None else utc_of(frame.exposed_at, host_now, at)
    kept = (
        (image.encoding, image.path, image.sha256, image.size, None)
        if isinstance(image, ImageKept)
        else (None, None, None, None, image.reason)
    )
    shape = (frame.pixel_format.value, frame.rows, frame.columns)
    return (frame.camera, frame.frame_id, utc, image.disposition.value, *shape, *kept)


def _subject(fact: Fact) -> str:
    match fact:
        case Person():
            return fact.person
        case AlarmStep():
            return fact.unit
        case Alarm():
            return fact.part or fact.unit
    return ""


def _text(fact: Struct) -> str:
    """Write a fact for the audit chain, which holds no name and no secret."""
    return fact.event_id if isinstance(fact, Person) else msgspec.json.encode(fact).decode()


def _signed(epoch: int) -> int:
    """Fold an unsigned 64-bit nonce into SQLite's signed integers."""
    return epoch - (1 << 64) if epoch >= 1 << 63 else epoch


def _unsigned(epoch: int) -> int:
    return epoch + (1 << 64) if epoch < 0 else epoch
