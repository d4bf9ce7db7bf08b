"""Keep PINs as scrypt digests and badges as SHA-256, and say which PINs are too easily guessed.

A PIN of four digits is one of 10,000: whoever holds a copy of the database tries them all in an hour, whatever the
digest. What a PIN guards is the screen, where `hmi/session.py` counts wrong ones.
"""

import hashlib
import hmac
from itertools import pairwise

from msgspec import Struct

from appliance.schema.person import Secret

SHORTEST, LONGEST = 4, 8
"""Digits of a PIN."""

SALT_BYTES = 16
"""RFC 8018 section 4.1 asks for 8 at least."""

_DIGEST_BYTES = 32
_MOST_BYTES = 1 << 28
"""Memory that a digest may ask for; one that asks for more is none of ours."""


class Cost(Struct, frozen=True):
    """State what one digest costs (RFC 7914 section 2): memory is 128 n r bytes, work grows with n r p."""

    n: int
    r: int
    p: int


COST = Cost(1 << 15, 8, 3)
"""32 MiB. One of the five settings of equal strength in OWASP's Password Storage Cheat Sheet; 0.26 s on one core of the
development machine (median of 9, 2026-11-22), so that a change of user stays far under 3 s on a core half as fast."""

CHEAP = Cost(1 << 4, 8, 1)
"""For the people of a sample station, who guard nothing."""


def secret_of(pin: str, salt: bytes, cost: Cost = COST) -> Secret:
    """Give what proves a PIN. salt: SALT_BYTES random bytes, new for each PIN. Takes 0.3 s and 32 MiB."""
    return Secret(salt, _digest(pin, salt, cost), cost.n, cost.r, cost.p)


def matches(pin: str, secret: Secret | None) -> bool:
    """Say whether a PIN is the right one, in a time that does not tell how nearly.

    Without a secret the same work is done and the answer is no, so that the time tells nobody who has a PIN.
    """
    held = secret or Secret(bytes(SALT_BYTES), b"", COST.n, COST.r, COST.p)  # no digest is empty
    cost = Cost(held.n, held.r, held.p)
    if min(cost.n, cost.r, cost.p) < 1 or 128 * cost.r * (cost.n + cost.p) > _MOST_BYTES:
        return False
    found = _digest(pin, held.salt, cost)
    return hmac.compare_digest(found, held.digest)


def pin_fault(pin: str, person: str = "", badge: str = "") -> str:
    """Give why a PIN is refused, without repeating it; empty: it may be used.

    person: operator id. badge: what the reader types, where it is known; a PIN that stands in either is no secret.
    """
    if not (pin.isascii() and pin.isdigit() and SHORTEST <= len(pin) <= LONGEST):
        return f"PIN: has {len(pin)} characters, {SHORTEST} to {LONGEST} digits are needed; choose another one"
    if _trivial(pin):
        return "PIN: is one of those tried first (one digit, a row, a repetition, a year); choose another one"
    if pin in person or pin in badge:
        return "PIN: stands in the operator id or on the badge; choose another one"
    return ""


def badge_digest(text: str) -> str:
    """Give SHA-256 (hex) of what a badge reader types, the line's end and blanks aside; empty for nothing."""
    badge = text.strip()
    return hashlib.sha256(badge.encode()).hexdigest() if badge else ""


def key_password(pin: str, station: bytes, person: str) -> bytes:
    """Give the password of a person's key file on the station: PIN and station secret together. Takes 0.3 s.

    station: 32 random bytes that never leave the station. Without them a copied key file cannot be tried at all.
    """
    return _digest(pin, hmac.digest(station, person.encode(), "sha256"), COST).hex().encode()


def _digest(pin: str, salt: bytes, cost: Cost) -> bytes:
    return hashlib.scrypt(
        pin.encode(),
        salt=salt,
        n=cost.n,
        r=cost.r,
        p=cost.p,
        maxmem=128 * cost.r * (cost.n + cost.p + 2) + (1 << 20),
        dklen=_DIGEST_BYTES,
    )


def _trivial(pin: str) -> bool:
    """Say whether a PIN is among those that people choose and thieves try first."""
    steps = {(int(after) - int(before)) % 10 for before, after in pairwise(pin)}
    if len(steps) == 1 and steps <= {0, 1, 9}:
        return True  # 1111, 1234, 9876
    if any(pin == pin[:size] * (len(pin) // size) for size in range(1, len(pin) // 2 + 1) if len(pin) % size == 0):
        return True  # 1212, 123123
    if pin in {"2580", "0852"}:
        return True  # the middle column of a number pad
    return len(pin) == 4 and pin[:2] in {"19", "20"}
