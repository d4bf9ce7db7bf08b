"""Count wrong PINs on the disk, per person and per terminal, so that neither a restart nor a set clock frees anyone.

Time is the machine's monotonic clock, which no setting moves; what another start of the machine counted is taken as if
it had happened just now, since no clock tells for how long the machine was off. A try is on the disk before its answer
is known, so that ending the program in between gives no try away.
"""

from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import StoreError
from appliance.storage.whole_file import write_durable

PERSON_TRIES = 5
TERMINAL_TRIES = 10
"""Wrong PINs within `WINDOW_S`. More at the terminal than for a person: one who mistypes must not stop the others."""

WINDOW_S = 600.0
FIRST_S = 300.0
"""First lock; each further one is twice as long."""

LONGEST_S = 4 * 3600.0
"""Longest lock: half a shift, so that nobody can be kept out for days by another's wrong tries."""

FORGET_S = 24 * 3600.0
"""After so long without a wrong PIN the next lock is a first one again."""


class Count(Struct, frozen=True, forbid_unknown_fields=True):
    """State what was tried for one person or at the terminal; instants of the boot that the file names."""

    name: str
    """Operator id, or empty: the terminal."""
    tries: tuple[HostNs, ...] = ()
    """Wrong PINs, and those whose answer is not known yet."""
    locks: int = 0
    since: HostNs = HostNs(0)
    """Start of the last lock."""


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    boot: str
    """Names the start of the machine that the instants belong to."""
    counts: tuple[Count, ...]


class Lockout:
    """Say for how long no PIN is taken; used by one thread."""

    def __init__(self, path: Path, boot: str, now: HostNs) -> None:
        """Read the file; one that cannot be read locks the terminal once. boot: names this start of the machine."""
        self._path, self._boot = path, boot
        self._counts = {count.name: count for count in _read(path, boot, now)}
        for name in [name for name in self._counts if not self.left(name, now)]:
            self._lock(name, now)  # the program ended between the last try and its answer

    def wait_s(self, name: str, now: HostNs) -> float:
        """Give the seconds until a PIN is taken again. name: operator id, empty for the terminal."""
        count = self._counts.get(name)
        if count is None or not count.locks:
            return 0.0
        return max(0.0, _lock_s(count.locks) - (now - count.since) / S)

    def left(self, name: str, now: HostNs) -> int:
        """Give how many wrong PINs are left before a lock."""
        return max(0, _limit(name) - len(_recent(self._counts.get(name, Count(name)), now)))

    def take(self, names: tuple[str, ...], now: HostNs) -> None:
        """Count a try for each name, on the disk; StoreError when it cannot be, and then no PIN may be tried."""
        earlier = dict(self._counts)
        for name in names:
            count = self._fresh(name, now)
            self._counts[name] = replace(count, tries=(*_recent(count, now), now))
        self._write(earlier)

    def wrong(self, names: tuple[str, ...], now: HostNs) -> tuple[str, ...]:
        """Let the try that was taken stand; gives the names that are locked by it."""
        earlier = dict(self._counts)
        locked = tuple(name for name in names if not self.left(name, now))
        for name in locked:
            self._lock(name, now)
        if locked:
            self._write(earlier, keep=True)
        return locked

    def right(self, person: str, now: HostNs) -> None:
        """Forget the person's tries and locks, and of the terminal's this one: others' wrong PINs stay counted."""
        earlier = dict(self._counts)
        self._counts.pop(person, None)
        if (terminal := self._counts.get("")) is not None:
            self._counts[""] = replace(terminal, tries=terminal.tries[:-1])
        self._write(earlier, keep=True)

    def _lock(self, name: str, now: HostNs) -> None:
        self._counts[name] = Count(name, (), self._counts[name].locks + 1, now)

    def _fresh(self, name: str, now: HostNs) -> Count:
        count = self._counts.get(name, Count(name))
        quiet = max((*count.tries, count.since)) + FORGET_S * S
        return replace(count, locks=0) if count.locks and now > quiet else count

    def _write(self, earlier: dict[str, Count], *, keep: bool = False) -> None:
        """Put the counts on the disk whole. keep: hold what is counted now even where it cannot be written."""
        try:
            write_durable(self._path, msgspec.json.encode(_File(self._boot, tuple(self._counts.values()))))
        except OSError as error:
            if not keep:
                self._counts = earlier
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}), no PIN is tried uncounted; make room"
            ) from error


def _limit(name: str) -> int:
    return PERSON_TRIES if name else TERMINAL_TRIES


def _lock_s(locks: int) -> float:
    return float(min(LONGEST_S, FIRST_S * 2 ** min(locks - 1, 16)))


def _recent(count: Count, now: HostNs) -> tuple[HostNs, ...]:
    return tuple(at for at in count.tries if now - at < WINDOW_S * S)


def _read(path: Path, boot: str, now: HostNs) -> tuple[Count, ...]:
    try:
        held = msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError):  # DecodeError is one; what nobody can read may have held a lock
        return (Count("", (), 1, now),)
    if held.boot == boot:
        return held.counts
    return tuple(replace(count, tries=(now,) * len(count.tries), since=now) for count in held.counts)
