"""Read the list of people with when each was here last, and put a draft of one person into words. No Qt."""

import sqlite3
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from appliance.governance.rights import change_fault
from appliance.schema.clocks import UtcNs
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role
from appliance.storage import people_queries

_SEEN = "SELECT actor, max(utc_ns) FROM audit WHERE action = 'signed_in' GROUP BY actor"


class Roster(Struct, frozen=True):
    """Hold the people of the station."""

    people: dict[str, Person]
    """Newest statement of each, by operator id."""
    seen: dict[str, UtcNs]
    """When each signed in last; nobody who never did."""


def read(connection: sqlite3.Connection) -> Roster:
    """Read the people and the audit chain's entries of signing in."""
    seen = {row[0]: UtcNs(row[1]) for row in connection.execute(_SEEN)}
    return Roster({one.person: one for one in people_queries.people(connection)}, seen)


def blank(by: str, language: str) -> Person:
    """Give a person who is still to be described."""
    return Person("", "", "", Role.OPERATOR, LabelLevel.CONFIRM, "", None, language, active=True, by=by, at=UtcNs(0))


def with_role(person: Person, role: Role, highest: LabelLevel) -> Person:
    """Give a person another role; the level sinks to the highest of it."""
    return replace(person, role=role, level=min(person.level, highest))


def same(one: Person | None, other: Person) -> bool:
    """Say whether two statements say the same of a person, whoever made them."""
    return one is not None and replace(one, event_id="", by="", at=UtcNs(0)) == replace(
        other, event_id="", by="", at=UtcNs(0)
    )


def draft_fault(known: Mapping[str, Person], draft: Person, *, new: bool) -> str:
    """Give why a draft cannot be kept; empty: it can."""
    if new and draft.person in known:
        return f"{draft.person}: is enrolled already; give another operator id"
    return change_fault(known, draft)
