"""Share the facts among the plant's outputs: each keeps its own rows, in its own words, until its receiver has them."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from appliance.outputs.outbox import Entry, Outbox, Source
from appliance.schema.clocks import HostNs, UtcNs

BATCH = 256
"""Facts put in one transaction, when a full disk let many wait."""

HELD = 50_000
"""Facts that wait for a disk with room: over an hour at 10 parts/s, 50 MB of memory."""


class OutboxGrew(Struct, frozen=True, tag=True):
    """Tell a channel's device that its outbox holds something new."""


class Heard(Struct, frozen=True):
    """Say where and when a fact was heard."""

    topic: str
    """Of the bus."""
    source: Source | None
    """Its place in its writer's count, where that is known."""
    utc: UtcNs
    now: HostNs
    """The same instant as `utc`."""


Entries = Callable[[Struct, Heard], Sequence[Entry]]


def _nothing(_message: Struct, _heard: Heard) -> Sequence[Entry]:
    return ()


@dataclass(frozen=True)
class Channel:
    """Describe one output towards the plant."""

    name: str
    """Of its device among the node's, and of its component in the service's health."""
    outbox: Outbox | None = None
    """Its durable rows; None: it is told live only."""
    entries: Entries = _nothing
    """Rows for a PartReport, ManualVerdict, HandActuation or Alarm, none for what it does not tell; pure."""
    live: tuple[type[Struct], ...] = ()
    """What its device is handed at once: any of PartReport, LineState, Health, Alarm."""


class Rows:
    """Hold facts, in order, until every durable channel has its rows on disk."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._outboxes = [(channel, channel.outbox) for channel in channels if channel.outbox is not None]
        self._waiting: deque[tuple[Struct, Heard]] = deque()
        self.lost = 0
        """Facts given up because too many waited."""

    def __len__(self) -> int:
        """Facts that wait."""
        return len(self._waiting)

    def add(self, message: Struct, heard: Heard) -> None:
        """Take a fact; the oldest goes when too many wait."""
        if not self._outboxes:
            return
        if len(self._waiting) >= HELD:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append((message, heard))

    def flush(self) -> Iterator[str]:
        """Put what waits; gives the name of each channel that has new rows. StoreError: the rest waits on.

        Where one outbox takes the rows and the next does not, the first ignores them at the next attempt.
        """
        while self._waiting:
            facts = [self._waiting[number] for number in range(min(BATCH, len(self._waiting)))]
            for channel, outbox in self._outboxes:
                rows = [(channel.entries(message, heard), heard.source) for message, heard in facts]
                if outbox.put_all(rows):
                    yield channel.name
            for _ in facts:
                self._waiting.popleft()

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give the place of the newest fact of each topic that every channel holds."""
        return _least([outbox.positions() for _, outbox in self._outboxes])

    def close(self) -> None:
        """Close all outboxes."""
        for _, outbox in self._outboxes:
            outbox.close()


def _least(held: Sequence[Mapping[str, tuple[int, int]]]) -> dict[str, tuple[int, int]]:
    """Give what all hold; of a topic with two epochs, or that one never heard, nothing is sure."""
    topics = set.intersection(*(set(places) for places in held)) if held else set()
    least = {}
    for topic in topics:
        places = [places[topic] for places in held]
        if len({epoch for epoch, _ in places}) == 1:
            least[topic] = min(places)
    return least
