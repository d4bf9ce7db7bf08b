"""Keep who may sign in: names, roles and salted scrypt hashes in a file that the services' user alone may read."""

import hashlib
import hmac
import os
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.outputs.opcua_security.changes import changing, note, write_secret
from appliance.outputs.opcua_security.roles import Role
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.errors import ConfigError, Refused

FILE = "users.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
SHORTEST = 10
LONGEST = 128
"""Characters of a password; more would let a stranger buy hashing time."""

COST, BLOCK, LANES = 1 << 14, 8, 1
"""scrypt n, r, p: 16 MB of memory for each try."""

FAILURES = 5
LOCK = 60 * S
LONGEST_LOCK = 3600 * S
"""A name is locked for LOCK after FAILURES wrong passwords, and twice as long after each further one."""


class Entry(Struct, frozen=True):
    """Hold what is kept of one user."""

    role: Role
    salt: bytes
    digest: bytes


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    users: dict[str, Entry] = {}


class _Tries(Struct):
    failures: int = 0
    locked_until: HostNs = HostNs(0)


class Users:
    """Answer who signs in with which password; the file is read again when it has changed.

    Used by the server's thread; `locked` and `count` by any.
    """

    def __init__(self, root: Path, now: Callable[[], HostNs]) -> None:
        """`now` tells the monotonic clock."""
        self._root = root
        self._now = now
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, Entry] = {}
        self._tries: dict[str, _Tries] = {}
        self._guard = threading.Lock()
        self._nobody = _entry(Role.OBSERVER, secrets.token_hex())

    @property
    def count(self) -> int:
        """Users there are."""
        return len(self._read())

    def role(self, name: str) -> Role | None:
        """Give a user's role as it is now; None once the user is removed."""
        entry = self._read().get(name)
        return entry.role if entry is not None else None

    def check(self, name: str, password: str) -> str:
        """Give why a person may not sign in; empty when they may.

        Takes as long for a name that is not there. A locked name is refused without a look at the password.
        """
        known = self._read().get(name)
        tries = self._tries.setdefault(name, _Tries()) if known is not None else _Tries()
        if self._now() < tries.locked_until:
            return f"locked for {(tries.locked_until - self._now()) // S + 1} s more"
        entry = known or self._nobody
        is_right = len(password) <= LONGEST and hmac.compare_digest(_digest(password, entry.salt), entry.digest)
        if known is not None and is_right:
            self._tries.pop(name, None)
            return ""
        tries.failures += 1
        if tries.failures < FAILURES:
            return "wrong password" if known is not None else "no such user"
        lock = min(LONGEST_LOCK, LOCK << min(tries.failures - FAILURES, 16))
        tries.locked_until = HostNs(self._now() + lock)
        return f"wrong password, the {tries.failures}th in a row: locked for {lock // S} s"

    def locked(self) -> list[str]:
        """Name the users who are locked now."""
        now = self._now()
        return sorted(name for name, tries in list(self._tries.items()) if now < tries.locked_until)

    def _read(self) -> dict[str, Entry]:
        with self._guard:
            stamp = _stamp(self._root / FILE)
            if stamp != self._stamp:
                self._users = read_users(self._root)  # a file that cannot be read lets nobody in
                self._stamp = stamp
            return self._users


def read_users(root: Path) -> dict[str, Entry]:
    """Read the users' file; none where there is no file, ConfigError when it cannot be read."""
    place = root / FILE
    try:
        return msgspec.json.decode(place.read_bytes(), type=_File).users
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise ConfigError(f"{place}: cannot be read ({cause}); restore it from a backup, or remove it") from cause


def set_user(root: Path, name: str, role: Role, password: str, person: str, at: UtcNs) -> None:
    """Add a user, or give one another role and password; Refused for a bad name or password."""
    if not NAME.fullmatch(name):
        raise Refused(f"user {name!r}: is no name; use 1 to 40 letters, digits, dots, - and _")
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"user {name}: the password has {len(password)} characters; {SHORTEST} to {LONGEST} are allowed")
    with changing(root):
        users = read_users(root)
        before = users[name].role.value if name in users else "no user"
        note(root, person, "user_set", f"user {name}", before, f"{role.value}, new password", at)
        _write(root, {**users, name: _entry(role, password)})


def remove_user(root: Path, name: str, person: str, at: UtcNs) -> None:
    """Remove a user, whose sessions end within a second; Refused when there is none."""
    with changing(root):
        users = read_users(root)
        if name not in users:
            known = ", ".join(sorted(users)) or "none"
            raise Refused(f"user {name!r}: there is none of this name; known are {known}")
        note(root, person, "user_removed", f"user {name}", users[name].role.value, "no user", at)
        _write(root, {other: entry for other, entry in users.items() if other != name})


def _write(root: Path, users: dict[str, Entry]) -> None:
    write_secret(root / FILE, msgspec.json.format(msgspec.json.encode(_File(users))) + b"\n")


def _entry(role: Role, password: str) -> Entry:
    salt = os.urandom(16)
    return Entry(role, salt, _digest(password, salt))


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=COST, r=BLOCK, p=LANES, dklen=32)


def _stamp(place: Path) -> tuple[int, int, int] | None:
    try:
        found = place.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
