"""Ask the record database which alarms were raised, and what people did about them; for readers."""

import sqlite3

import msgspec
from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.command import NoteDeed
from appliance.schema.health import AlarmStep

_steps = msgspec.msgpack.Decoder(AlarmStep)

BEGINNING, FOREVER = UtcNs(0), UtcNs((1 << 63) - 1)


class Raised(Struct, frozen=True):
    """State an alarm as it was raised."""

    id: int
    """Row id; grows in the order in which alarms were kept."""
    unit: str
    kind: str
    text: str
    part: str
    at: UtcNs


def alarms_between(
    connection: sqlite3.Connection, since: UtcNs = BEGINNING, until: UtcNs = FOREVER, limit: int = 1000
) -> list[Raised]:
    """Give the alarms raised from `since` to before `until`, newest first, at most `limit`."""
    rows = connection.execute(
        "SELECT id, unit, kind, text, part, utc_ns FROM alarms WHERE utc_ns >= ? AND utc_ns < ?"
        " ORDER BY utc_ns DESC, id DESC LIMIT ?",
        (since, until, limit),
    )
    return [Raised(*row) for row in rows]


def steps_since(connection: sqlite3.Connection, since: UtcNs = BEGINNING) -> list[AlarmStep]:
    """Give what people did about alarms from `since` on, in the order of doing."""
    rows = connection.execute("SELECT body FROM alarm_steps WHERE utc_ns >= ? ORDER BY utc_ns, id", (since,))
    return [_steps.decode(row[0]) for row in rows]


def step(connection: sqlite3.Connection, step_id: str) -> AlarmStep | None:
    """Give what was done under an id; None when nothing was."""
    row = connection.execute("SELECT body FROM alarm_steps WHERE step_id = ?", (step_id,)).fetchone()
    return _steps.decode(row[0]) if row is not None else None


def note(connection: sqlite3.Connection, note_id: str) -> NoteDeed | None:
    """Give the deed that was noted under an id in the audit chain; None when none was."""
    row = connection.execute("SELECT body FROM deeds_noted WHERE note_id = ?", (note_id,)).fetchone()
    return msgspec.msgpack.decode(row[0], type=NoteDeed) if row is not None else None
