"""Name the people of a station and what they may do; who may do what stands in `governance/rights.py`."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.label import LabelLevel


class Role(StrEnum):
    """Name the roles; a person has one."""

    OPERATOR = "operator"
    LEAD = "lead"
    """Shift lead."""
    QUALITY = "quality"
    """Quality engineer."""
    MAINTENANCE = "maintenance"
    ADMIN = "admin"
    """Keeps the list of people; judges no part."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""


class Secret(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what proves a PIN without telling it: scrypt (RFC 7914) with its own parameters."""

    salt: bytes
    digest: bytes
    n: int
    r: int
    p: int


class Person(Struct, frozen=True, tag=True):
    """State one person of the station. Written by `record`; never overwritten, only followed by another."""

    event_id: str
    """UUID version 7."""
    person: str
    """Operator id: what labels, decisions and the audit chain name."""
    name: str
    """As the screen shows it; never in logs or the audit chain."""
    role: Role
    level: LabelLevel
    """Highest level at which this person labels."""
    badge_sha256: str
    """SHA-256 (hex) of what the badge reader types; empty: no badge, the id is typed."""
    secret: Secret | None
    """None: cannot sign in yet."""
    language: str
    """Language of the screen: en, de, es, zh or ar."""
    active: bool
    by: str
    """Who enrolled or changed the person; operator id or `service:<unit>`."""
    at: UtcNs
