"""Hold facts between the bus and the disk: a bounded queue with a bounded, growing pause between tries; pure."""

from collections import Counter, deque
from collections.abc import Sequence

from msgspec import Struct

from appliance.schema.clocks import MS, HostNs, S

LIMIT = 20_000
"""Facts: about 8 minutes at 40 facts/s, 20 MB; longer outages of a disk need a person anyway."""

FIRST_PAUSE = 100 * MS
LONGEST_PAUSE = 5 * S

Place = tuple[str, int, int, Struct]


class FactQueue:
    """Keep facts in order until the store has taken them; when full, the newest are dropped and counted."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._facts: deque[Place] = deque()
        self._limit = limit
        self._pause = 0
        self._due: HostNs | None = None
        self._dropped: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._facts)

    @property
    def due(self) -> HostNs | None:
        """Instant of the next try; None when nothing waits. A failed try is repeated even without facts."""
        return self._due

    @property
    def is_failing(self) -> bool:
        """True after a failed try, until one succeeds."""
        return self._pause > 0

    @property
    def dropped(self) -> int:
        """Facts dropped since the last `written`."""
        return self._dropped.total()

    def put(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> None:
        """Add a fact; due at once unless the last try failed."""
        if len(self._facts) >= self._limit:
            self.drop(topic)
            return
        self._facts.append((topic, epoch, sequence, message))
        self._due = now if self._due is None else self._due

    def drop(self, topic: str) -> None:
        """Count something that could not be held."""
        self._dropped[topic] += 1

    def waiting(self) -> Sequence[Place]:
        """Give all facts, oldest first; they stay until `written`."""
        return tuple(self._facts)

    def written(self) -> dict[str, int]:
        """Learn that the store has all facts; gives how many of each topic were dropped before."""
        self._facts.clear()
        self._pause, self._due = 0, None
        dropped, self._dropped = dict(self._dropped), Counter()
        return dropped

    def failed(self, now: HostNs) -> HostNs:
        """Learn that the store refused; gives the instant of the next try."""
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        self._due = HostNs(now + self._pause)
        return self._due
