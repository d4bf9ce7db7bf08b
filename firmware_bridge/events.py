"""Put the MCU's numbered events in order: no duplicate, no gap that the MCU's ring can still fill."""

from __future__ import annotations

from msgspec import Struct

from appliance.schema.clocks import MS, HostNs
from firmware_bridge.messages import Event, EventRequest

CHUNK = 32
"""Events per request: 1.4 kB, 14 ms at 1 Mbaud."""
ASK_AGAIN_NS = 30 * MS


class EventsLost(Struct, frozen=True):
    """Events that the MCU's ring no longer holds: their parts are unaccounted for, raise an alarm.

    boot: u32, of the MCU
    first: u32, event number
    count: how many
    """

    boot: int
    first: int
    count: int


class EventOrder:
    """Order and completeness of one MCU's events, across sessions of the same boot."""

    def __init__(self) -> None:
        self.gaps = 0
        self.expected = 1
        self.boot: int | None = None
        self._known_next = 1
        self._early: dict[int, Event] = {}
        self._asked_to = 1
        self._asked_at: HostNs | None = None

    def start(self, boot: int, oldest: int, known_next: int) -> list[Event | EventsLost]:
        """Begin a session with what HelloAck says; return what can be said at once."""
        self._asked_at = None
        if boot != self.boot:
            # Of a boot that ran before this host did, the events before the ring were another's to account for.
            first_contact = self.boot is None
            self.boot = boot
            self.expected = oldest if first_contact else 1
            self._known_next = self.expected
            self._early.clear()
        return self.known(oldest, known_next)

    def known(self, oldest: int, known_next: int) -> list[Event | EventsLost]:
        """Take the MCU's view of its ring; return the loss, if any, and events that waited behind it."""
        if _ahead(known_next, self._known_next) > 0:
            self._known_next = known_next
        lost = _ahead(oldest, self.expected)
        if lost <= 0 or self.boot is None:
            return []
        out: list[Event | EventsLost] = []
        while _ahead(oldest, self.expected) > 0:  # what came before the ring ran over is not lost
            event = self._early.pop(self.expected, None)
            if event is not None:
                out.append(event)
            elif out and isinstance(out[-1], EventsLost):
                out[-1] = EventsLost(self.boot, out[-1].first, out[-1].count + 1)
            else:
                out.append(EventsLost(self.boot, self.expected, 1))
            self.expected = (self.expected + 1) & 0xFFFFFFFF
        return [*out, *self._release()]

    def take(self, event: Event) -> list[Event]:
        """Take one event; return those that are now in order."""
        ahead = _ahead(event.event, self.expected)
        if ahead < 0:
            return []
        if _ahead(event.event + 1, self._known_next) > 0:
            self._known_next = (event.event + 1) & 0xFFFFFFFF
        if ahead > 0:
            self.gaps += not self._early
            self._early[event.event] = event
            return []
        self.expected = (self.expected + 1) & 0xFFFFFFFF
        return [event, *self._release()]

    def request(self, now: HostNs) -> EventRequest | None:
        """Return the request to send now for events that are missing, or None."""
        if _ahead(self._known_next, self.expected) <= 0:
            return None
        waiting = self._asked_at is not None and _ahead(self._asked_to, self.expected) > 0
        if waiting and self._asked_at is not None and now - self._asked_at < ASK_AGAIN_NS:
            return None
        missing = min(map(self._distance, self._early), default=_ahead(self._known_next, self.expected))
        count = min(missing, CHUNK)
        self._asked_to = (self.expected + count) & 0xFFFFFFFF
        self._asked_at = now
        return EventRequest(self.expected, count)

    @property
    def wake_at(self) -> HostNs | None:
        """The instant at which `request` has something to say, or None."""
        if _ahead(self._known_next, self.expected) <= 0:
            return None
        if self._asked_at is None or _ahead(self._asked_to, self.expected) <= 0:
            return HostNs(0)
        return HostNs(self._asked_at + ASK_AGAIN_NS)

    def _distance(self, number: int) -> int:
        return _ahead(number, self.expected)

    def _release(self) -> list[Event]:
        out = []
        while self._early and (event := self._early.pop(self.expected, None)) is not None:
            out.append(event)
            self.expected = (self.expected + 1) & 0xFFFFFFFF
        return out


def _ahead(a: int, b: int) -> int:
    """Return a - b of u32 numbers that may wrap."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000
