"""Ask the record database who the people of the station are; for readers.

Each change of a person is a row of its own; the newest one holds. Nobody is ever deleted, since labels name them.
"""

import sqlite3

import msgspec

from appliance.schema.clocks import UtcNs
from appliance.schema.person import Person

_NEWEST = "SELECT body FROM people p WHERE p.id = (SELECT max(n.id) FROM people n WHERE n.person = p.person)"

_people = msgspec.msgpack.Decoder(Person)


def people(connection: sqlite3.Connection) -> list[Person]:
    """Give everybody who was ever enrolled as last stated, inactive ones too, by operator id."""
    return [_people.decode(row[0]) for row in connection.execute(f"{_NEWEST} ORDER BY p.person")]


def person(connection: sqlite3.Connection, operator: str) -> Person | None:
    """Give one person as last stated; None when there is nobody of that id."""
    row = connection.execute(
        "SELECT body FROM people WHERE person = ? ORDER BY id DESC LIMIT 1", (operator,)
    ).fetchone()
    return _people.decode(row[0]) if row is not None else None


def event(connection: sqlite3.Connection, event_id: str) -> Person | None:
    """Give what was stated under an id; None when nothing was."""
    row = connection.execute("SELECT body FROM people WHERE event_id = ?", (event_id,)).fetchone()
    return _people.decode(row[0]) if row is not None else None


def last_seen(connection: sqlite3.Connection) -> dict[str, UtcNs]:
    """Give when each person signed in last, by operator id; who never did is left out."""
    rows = connection.execute(
        "SELECT a.actor, max(d.utc_ns) FROM deeds_noted d JOIN audit a ON a.sequence = d.sequence"
        " WHERE a.action = 'signed_in' GROUP BY a.actor"
    )
    return {row[0]: UtcNs(row[1]) for row in rows}


def enrolled(connection: sqlite3.Connection) -> bool:
    """Say whether anybody was ever enrolled; from then on the station asks who wishes for something."""
    return connection.execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None
