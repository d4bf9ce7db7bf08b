"""Keep what people said until `record` holds it: a file of the touchscreen's own, on the disk before `put` returns.

A wish is sent again and again until it is accepted, or refused for a reason that time does not mend; then it stays and
is shown. So only wishes are taken that change nothing when they come twice. What belongs to one thing (a part, a
person, an alarm, the audit chain) is sent in the order in which it was put.
"""

import secrets
import sqlite3
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.codec import pack_command, unpack_command
from appliance.schema.command import (
    Accepted,
    ChangePerson,
    FreezeSnapshot,
    NoteAlarm,
    NoteDeed,
    RefusedReply,
    Reply,
    SubmitLabel,
)
from appliance.schema.errors import StoreError
from appliance.schema.ids import RANDOM_BITS, uuid7
from appliance.storage.database import WriterLock, open_writer, store_error

FILE = "outbox.db"

WINDOW = 8
"""Wishes sent and not answered at a time: `record` answers one in each turn of its loop."""

AGAIN = (1 * S, 2 * S, 5 * S)
"""Wait before a wish is sent a second, third ... time; the last for ever after."""

KEPT_NS = 7 * 24 * 3600 * S
"""How long a wish that was accepted is remembered, so that the same id put again is not sent again."""

Kept = SubmitLabel | ChangePerson | NoteAlarm | NoteDeed | FreezeSnapshot
"""Wishes that change nothing when they come twice."""

_TABLES = (
    """CREATE TABLE IF NOT EXISTS wishes (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, put_utc_ns INTEGER NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL, ended_utc_ns INTEGER
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS wishes_by_state ON wishes (state, number)",
)


class Standing(StrEnum):
    """Say where a wish stands."""

    WAITING = "waiting"
    """On the disk, and to be sent; held back or not."""
    REFUSED = "refused"
    """`record` will not take it; somebody must look."""
    ACCEPTED = "accepted"
    WITHDRAWN = "withdrawn"
    DISMISSED = "dismissed"
    """Refused, and somebody has looked."""


class Entry(Struct, frozen=True):
    """Hold one wish of the outbox."""

    number: int
    id: str
    command: Kept
    put_at: UtcNs
    state: Standing = Standing.WAITING
    reason: str = ""
    """Why it was refused, or why it has to wait."""
    due: HostNs = HostNs(0)
    """Not sent before: held back, or tried in vain."""
    held: bool = False
    """It can be withdrawn still."""
    tries: int = 0


class Outbox:
    """Own the file; used by one thread, blocking on the disk for a few ms at each `put`."""

    def __init__(self, folder: Path) -> None:
        """Take the writer's lock and what was left; StoreError when another touchscreen has it."""
        self.path = folder / FILE
        self._lock = WriterLock(self.path)
        try:
            self._database = open_writer(self.path)
            with _answering(self.path, "be prepared"):
                for statement in _TABLES:
                    self._database.execute(statement)
        except StoreError:
            self._lock.release()
            raise
        self._entries = {entry.id: entry for entry in self._open()}
        self._sent: dict[int, str] = {}

    def put(self, command: Kept, now: HostNs, utc: UtcNs, hold_s: float = 0.0) -> str:
        """Keep a wish and give its id; it is on the disk when this returns, and the same id put twice counts once.

        It is not sent for `hold_s`, unless the touchscreen starts again meanwhile. TypeError for a wish that must not
        come twice; StoreError when the disk refuses: then nothing was kept.
        """
        if not isinstance(command, Kept):
            raise TypeError(f"outbox: {type(command).__name__} must not come twice; ask its owner instead")
        name = id_of(command)
        with _answering(self.path, "keep a wish"):
            cursor = self._database.execute(
                "INSERT INTO wishes (id, put_utc_ns, state, reason, body) VALUES (?, ?, 'waiting', '', ?)"
                " ON CONFLICT (id) DO NOTHING",
                (name, utc, pack_command(command)),
            )
        if cursor.rowcount == 1:
            due = HostNs(now + round(hold_s * S))
            self._entries[name] = Entry(cursor.lastrowid or 0, name, command, utc, due=due, held=hold_s > 0)
        return name

    def withdraw(self, name: str, utc: UtcNs) -> bool:
        """Take a wish back that is still held back; False when it was sent, or may have been."""
        entry = self._entries.get(name)
        if entry is None or not entry.held:
            return False
        self._end(entry, Standing.WITHDRAWN, "", utc)
        return True

    def release(self, now: HostNs) -> None:
        """Send now whatever is held back, as when its author signs out."""
        for entry in self._entries.values():
            if entry.held:
                self._entries[entry.id] = replace(entry, held=False, due=now)

    def pending(self) -> tuple[Entry, ...]:
        """Give what waits, in the order in which it was put."""
        return tuple(entry for entry in self._entries.values() if entry.state is Standing.WAITING)

    def refused(self) -> tuple[Entry, ...]:
        """Give what `record` refused and nobody has looked at, in the order in which it was put."""
        return tuple(entry for entry in self._entries.values() if entry.state is Standing.REFUSED)

    def dismiss(self, name: str, utc: UtcNs) -> None:
        """Note that somebody has seen why a wish was refused; the file keeps it."""
        entry = self._entries.get(name)
        if entry is not None and entry.state is Standing.REFUSED:
            self._end(entry, Standing.DISMISSED, entry.reason, utc)

    def to_send(self, ticket: int, now: HostNs) -> Entry | None:
        """Give the next wish that may be sent, and remember it under `ticket`; None when none may."""
        if len(self._sent) >= WINDOW:
            return None
        blocked: set[str] = set()
        under_way = set(self._sent.values())
        for entry in self.pending():
            thing = thing_of(entry.command)
            if thing in blocked:
                continue
            blocked.add(thing)
            if entry.id not in under_way and now >= entry.due:
                self._entries[entry.id] = sent = replace(entry, held=False, tries=entry.tries + 1)
                self._sent[ticket] = entry.id
                return sent
        return None

    def answered(self, ticket: int, reply: Reply, now: HostNs, utc: UtcNs) -> bool:
        """Take an answer; False when the ticket is not the outbox's."""
        name = self._sent.pop(ticket, None)
        if name is None:
            return False
        entry = self._entries[name]
        if isinstance(reply, Accepted):
            self._end(entry, Standing.ACCEPTED, "", utc)
        elif isinstance(reply, RefusedReply) and not reply.again:
            self._end(entry, Standing.REFUSED, reply.reason, utc)
        else:
            reason = reply.reason if isinstance(reply, RefusedReply) else f"unexpected answer {type(reply).__name__}"
            wait = AGAIN[min(entry.tries, len(AGAIN)) - 1]
            self._entries[name] = replace(entry, due=HostNs(now + wait), reason=reason)
        return True

    def close(self) -> None:
        """Give the file back; what waits is sent after the next start."""
        self._database.close()
        self._lock.release()

    def _open(self) -> Iterator[Entry]:
        with _answering(self.path, "be read"):
            self._database.execute(
                "DELETE FROM wishes WHERE state IN ('accepted', 'withdrawn') AND ended_utc_ns <"
                " (SELECT max(put_utc_ns) FROM wishes) - ?",
                (KEPT_NS,),
            )
            rows = self._database.execute(
                "SELECT number, id, body, put_utc_ns, state, reason FROM wishes WHERE state IN ('waiting', 'refused')"
                " ORDER BY number"
            ).fetchall()
        for number, name, body, put_at, state, reason in rows:
            command = unpack_command(body)
            if isinstance(command, Kept):
                yield Entry(number, name, command, UtcNs(put_at), Standing(state), reason)

    def _end(self, entry: Entry, state: Standing, reason: str, utc: UtcNs) -> None:
        with _answering(self.path, "note an answer"):
            self._database.execute(
                "UPDATE wishes SET state = ?, reason = ?, ended_utc_ns = ? WHERE id = ?", (state, reason, utc, entry.id)
            )
        if state is Standing.REFUSED:
            self._entries[entry.id] = replace(entry, state=state, reason=reason)
        else:
            del self._entries[entry.id]


class _answering:  # noqa: N801  reads as a verb in `with`
    """Turn errors of the database into StoreError."""

    def __init__(self, path: Path, deed: str) -> None:
        self._path = path
        self._deed = deed

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise store_error(self._path, self._deed, error) from error


def id_of(command: Kept) -> str:
    """Give the id under which a wish counts once."""
    match command:
        case SubmitLabel():
            return command.label.label_id
        case ChangePerson():
            return command.person.event_id
        case NoteAlarm():
            return command.step.step_id
        case NoteDeed():
            return command.note_id
        case FreezeSnapshot():
            return command.snapshot_id


def thing_of(command: Kept) -> str:
    """Name what a wish is about: wishes about one thing are sent in order."""
    match command:
        case SubmitLabel():
            return f"part {command.label.part}"
        case ChangePerson():
            return f"person {command.person.person}"
        case NoteAlarm():
            return f"alarm {command.step.unit} {command.step.kind}"
        case NoteDeed():
            return "audit"
        case FreezeSnapshot():
            return "snapshot"


def new_id(utc: UtcNs) -> str:
    """Make an id for a wish."""
    return uuid7(utc, secrets.randbits(RANDOM_BITS))
