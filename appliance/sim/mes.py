"""Play the plant's receiver: it keeps results by sequence number, in order, and asks again for what it misses.

A broker's acknowledgement is no delivery: a killed broker loses messages that the station has been told are safe. So a
receiver follows `stream` and `sequence` of each topic, compares with `newest` in the station's retained state, and
wishes `cmd/replay` for what is missing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

ASK_AGAIN_S = 0.5
"""Pause between two wishes for the same messages."""

AT_ONCE = 1000
"""Messages that one wish may name."""


class Missing(Struct, frozen=True):
    """Name messages that a receiver wants again."""

    first: int
    count: int


class Ledger:
    """Keep the messages of one topic of one station."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, Any]] = []
        """In the order of their numbers, each once, without a gap but for those that the station no longer has."""
        self.repeated = 0
        """Messages that came more than once."""
        self.given_up: list[int] = []
        """Numbers that the station no longer has; its record database does."""
        self._stream = ""
        self._next = 1
        self._newest = 0
        self._early: dict[int, Mapping[str, Any]] = {}
        self._gone: set[int] = set()
        self._asked_at = -ASK_AGAIN_S

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message of the topic."""
        self._follow(message["stream"], message["sequence"])
        number = message["sequence"]
        if number < self._next or number in self._early:
            self.repeated += 1
            return
        self._early[number] = message
        self._advance()

    def hear(self, stream: str, newest: int) -> None:
        """Take how far the station says the broker has everything."""
        if stream:
            self._follow(stream, newest)

    def gone(self, runs: Sequence[Sequence[int]]) -> None:
        """Take which messages the station no longer has: waiting for them would be for ever."""
        for first, last in runs:
            self._gone.update(range(max(first, self._next), last + 1))
        self._advance()

    def missing(self, now_s: float) -> Missing | None:
        """Give what to wish for now; None: nothing is missing, or it was wished for a moment ago."""
        if self._next > self._newest or now_s < self._asked_at + ASK_AGAIN_S:
            return None
        self._asked_at = now_s
        end = min((number for number in self._early), default=self._newest + 1)
        return Missing(self._next, min(AT_ONCE, end - self._next))

    def _follow(self, stream: str, number: int) -> None:
        if stream != self._stream:  # the station's outbox was made anew: it counts from 1 again
            self._stream, self._next, self._newest = stream, 1, 0
            self._early.clear()
            self._gone.clear()
        self._newest = max(self._newest, number)

    def _advance(self) -> None:
        while self._next in self._early or self._next in self._gone:
            if self._next in self._early:
                self.kept.append(self._early.pop(self._next))
            else:
                self.given_up.append(self._next)
            self._gone.discard(self._next)
            self._next += 1
