"""Link audit entries so that changing, removing or moving one of them shows.

Canonical encoding of an entry: compact JSON, UTF-8, one array
`[sequence, at, actor, action, subject, before, after, previous]`; its SHA-256 is the entry's digest. What a chain alone
cannot show is that its newest entries were cut off; compare its head with one noted elsewhere for that.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from appliance.schema.audit import AuditEntry
from appliance.schema.clocks import UtcNs

ORIGIN = "0" * 64
"""What the first entry names as its predecessor."""


def link(
    previous: AuditEntry | None, at: UtcNs, actor: str, action: str, subject: str, before: str, after: str
) -> AuditEntry:
    """Make the entry that follows `previous`; the chain's first when that is None."""
    sequence = previous.sequence + 1 if previous else 0
    origin = previous.digest if previous else ORIGIN
    digest = _digest(sequence, at, actor, action, subject, before, after, origin)
    return AuditEntry(sequence, at, actor, action, subject, before, after, origin, digest)


def verify(entries: Iterable[AuditEntry], head: str | None = None) -> int | None:
    """Find the first broken link.

    Gives the sequence number at which the chain stops being what was written, or None when it is whole. `entries` are
    all of them, in the order they are stored. With `head`, a digest noted elsewhere, a chain that does not reach it is
    broken behind its last entry.
    """
    expected, previous, reached = 0, ORIGIN, head is None
    for entry in entries:
        if entry.sequence != expected or entry.previous != previous or entry.digest != digest_of(entry):
            return expected
        expected, previous = expected + 1, entry.digest
        reached = reached or entry.digest == head
    return None if reached else expected


def digest_of(entry: AuditEntry) -> str:
    """Work out what the entry's digest must be; SHA-256, hex."""
    return _digest(
        entry.sequence,
        entry.at,
        entry.actor,
        entry.action,
        entry.subject,
        entry.before,
        entry.after,
        entry.previous,
    )


def _digest(*fields: int | str) -> str:
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
