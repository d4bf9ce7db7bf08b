"""Freeze which labelled images training may use, and read what was frozen.

What may enter is `training_candidates`; the table itself refuses everything else, whoever writes it. A snapshot is
never changed: where a part's labels came into conflict later, its items say so and the next snapshot leaves it out.
"""

import hashlib
import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from appliance.labelling.standing import State
from appliance.schema.clocks import UtcNs
from appliance.schema.command import FreezeSnapshot
from appliance.schema.part import PartId
from appliance.storage import label_queries


class SnapshotItem(Struct, frozen=True, order=True):
    """Give one image with the label that stood for its part."""

    part: PartId
    camera: str
    sha256: str
    """Of the image file (hex)."""
    path: str
    """In the image folder."""
    label_id: str
    kind: str
    state: State
    """How the part's labels stand now; out of `TRAINABLE`, training must leave the item out."""


class Snapshot(Struct, frozen=True):
    """State what was frozen, when, by whom."""

    snapshot_id: str
    at: UtcNs
    person: str
    why: str
    items: int
    """Images."""
    newest_label: int
    """Row id of the newest label that it knows."""
    digest: str
    """SHA-256 (hex) over the items; the audit chain holds it too."""


_SNAPSHOTS = "SELECT snapshot_id, utc_ns, person, why, items, newest_label, digest FROM snapshots"

_ITEMS = (
    "SELECT p.boot, p.number, i.camera, i.sha256,"
    " (SELECT m.path FROM images m WHERE m.part = i.part AND m.camera = i.camera AND m.sha256 = i.sha256 LIMIT 1),"
    " i.label_id, i.kind"
    " FROM snapshots s JOIN snapshot_items i ON i.snapshot = s.id JOIN parts p ON p.id = i.part"
    " WHERE s.snapshot_id = ? ORDER BY i.number"
)

_TRAINABLE = (
    "SELECT DISTINCT p.boot, p.number, c.camera, c.sha256, c.path, c.label_id, c.kind"
    " FROM training_candidates c CROSS JOIN parts p ON p.id = c.part"
)


def snapshots(connection: sqlite3.Connection) -> list[Snapshot]:
    """Give every snapshot, oldest first."""
    return [Snapshot(*row) for row in connection.execute(f"{_SNAPSHOTS} ORDER BY id")]


def snapshot(connection: sqlite3.Connection, snapshot_id: str) -> Snapshot | None:
    """Give one snapshot; None when there is none of that id."""
    row = connection.execute(f"{_SNAPSHOTS} WHERE snapshot_id = ?", (snapshot_id,)).fetchone()
    return Snapshot(*row) if row else None


def items(connection: sqlite3.Connection, snapshot_id: str) -> list[SnapshotItem]:
    """Give what a snapshot froze, by part, camera and digest."""
    states = _states(connection)
    return [_item(row, states) for row in connection.execute(_ITEMS, (snapshot_id,))]


def trainable(connection: sqlite3.Connection) -> list[SnapshotItem]:
    """Give what a snapshot would freeze now, by part, camera and digest."""
    states = _states(connection)
    return sorted(_item(row, states) for row in connection.execute(_TRAINABLE))


def has_trainable(connection: sqlite3.Connection) -> bool:
    """Say whether there is anything to freeze."""
    return connection.execute("SELECT 1 FROM training_candidates LIMIT 1").fetchone() is not None


def digest(frozen: Iterable[SnapshotItem]) -> str:
    """Give SHA-256 (hex) over part, camera, image, label and class of each item, in the order of a snapshot."""
    total = hashlib.sha256()
    for item in frozen:
        total.update(f"{item.part}\t{item.camera}\t{item.sha256}\t{item.label_id}\t{item.kind}\n".encode())
    return total.hexdigest()


def freeze(connection: sqlite3.Connection, wish: FreezeSnapshot, at: UtcNs) -> Snapshot | None:
    """Write a snapshot inside the caller's transaction; None when its id is taken.

    Takes about 0.1 ms an image, in which `record` hears nothing.
    """
    if snapshot(connection, wish.snapshot_id) is not None:
        return None
    found = sorted(_item(row, {}) for row in connection.execute(_TRAINABLE))
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM labels").fetchone()[0]
    made = Snapshot(wish.snapshot_id, at, wish.person, wish.why, len(found), newest, digest(found))
    cursor = connection.execute(
        "INSERT INTO snapshots (snapshot_id, utc_ns, person, why, items, newest_label, digest) VALUES (?,?,?,?,?,?,?)",
        (made.snapshot_id, made.at, made.person, made.why, made.items, made.newest_label, made.digest),
    )
    connection.executemany(
        "INSERT INTO snapshot_items (snapshot, number, part, camera, sha256, label_id, kind)"
        " SELECT ?, ?, p.id, ?, ?, ?, ? FROM parts p WHERE p.boot = ? AND p.number = ?",
        (
            (cursor.lastrowid, number, one.camera, one.sha256, one.label_id, one.kind, one.part.boot, one.part.number)
            for number, one in enumerate(found, 1)
        ),
    )
    return made


def _states(connection: sqlite3.Connection) -> dict[PartId, State]:
    return {row.part: row.state for row in label_queries.standings(connection)}


def _item(row: sqlite3.Row, states: dict[PartId, State]) -> SnapshotItem:
    boot, number, camera, sha256, path, label_id, kind = row
    part = PartId(boot, number)
    return SnapshotItem(part, camera, sha256, path, label_id, kind, states.get(part, State.NONE))
