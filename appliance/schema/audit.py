"""Name the links of the audit chain."""

from msgspec import Struct

from appliance.schema.clocks import UtcNs


class AuditEntry(Struct, frozen=True, tag=True):
    """Record who did what to what; hash-linked to the entry before it."""

    sequence: int
    """0 for the first link, then 1, 2, 3 ... without a gap."""
    at: UtcNs
    actor: str
    """Operator id or `service:<unit>`."""
    action: str
    subject: str
    before: str
    after: str
    previous: str
    """SHA-256 (hex) of the entry before; 64 zeros for the first."""
    digest: str
    """SHA-256 (hex) over the canonical encoding of all the other fields."""


class AuditRequest(Struct, frozen=True, tag=True):
    """Ask `record` to append an audit entry. Topic `audit.<unit>`."""

    actor: str
    action: str
    subject: str
    before: str = ""
    after: str = ""
