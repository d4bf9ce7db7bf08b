"""Listen to the bus and send wishes; the only file of the touchscreen on it.

It only connects and never binds, so that no service ever waits for it or notices it: what a stopped touchscreen does
not take, ZeroMQ drops at the writer's high water. What the model answers in parallel mode (`sealed`), what a bundle
beside the active one makes of a part (`shadow`) and which parts are known defects (`seed`) is not listened to.
"""

import time
from pathlib import Path
from typing import Protocol

import msgspec
import zmq
from msgspec import Struct

from appliance.bus.channel import Sequence, Subscriber
from appliance.bus.control import PendingAnswers
from appliance.config import Loaded
from appliance.schema.clocks import MS, HostNs
from appliance.schema.command import Command, Reply
from appliance.schema.topics import (
    ACTUATION,
    ALARM,
    FRAME,
    HAND,
    LABEL,
    LINE_STATE,
    MANUAL,
    PART_ENTERED,
    PART_EXPOSED,
    RESULT,
    SHADOW,
    STATUS,
    VERDICT,
)

HEARD = (
    LINE_STATE,
    PART_ENTERED,
    PART_EXPOSED,
    FRAME,
    RESULT,
    VERDICT,
    ACTUATION,
    HAND,
    MANUAL,
    LABEL,
    STATUS,
    ALARM,
)
"""Topics that the touchscreen listens to."""

MOST = 2000
"""Messages taken in one tick: over 10 ticks a second far more than any line says."""

TICK_NS = 30 * MS
"""Longest time spent on messages in one tick; the rest waits for the next, and the screen stays alive."""


class Link(Protocol):
    """Say what the touchscreen asks of its way to the station."""

    def drain(self, most: int) -> tuple[list[Struct], int]:
        """Take up to `most` messages that have arrived, and how many are known to be lost; never blocks."""

    def send(self, unit: str, command: Command, ticket: int, due: HostNs) -> None:
        """Send a wish that is given up at `due`; never blocks."""

    def answers(self, now: HostNs) -> list[tuple[int, Reply]]:
        """Give (ticket, answer) of each wish answered or given up; once each."""

    def close(self) -> None:
        """Give everything back."""


class BusLink:
    """Implement Link over ZeroMQ; used by one thread."""

    def __init__(self, runtime: Path, units: tuple[str, ...]) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._subscriber = Subscriber(self._context, runtime, units, HEARD)
        self._asked = PendingAnswers(self._context, runtime)
        self._places = Sequence()

    def drain(self, most: int = MOST) -> tuple[list[Struct], int]:
        """Take messages; what cannot be read counts as lost."""
        heard: list[Struct] = []
        taken = lost = 0
        until = time.monotonic_ns() + TICK_NS
        while taken < most and time.monotonic_ns() < until:
            taken += 1
            try:
                found = next(self._subscriber.drain(1), None)
            except (msgspec.MsgspecError, KeyError):
                lost += 1
                continue
            if found is None:
                break
            envelope, message = found
            new, gap = self._places.follow(envelope)
            lost += gap.until - gap.first if gap is not None else 0
            if new:
                heard.append(message)
        return heard, lost

    def send(self, unit: str, command: Command, ticket: int, due: HostNs) -> None:
        """Send a wish over a socket of its own; nothing is sent again."""
        self._asked.send(unit, command, ticket, due)

    def answers(self, now: HostNs) -> list[tuple[int, Reply]]:
        """Give the answers; a wish given up is answered by a refusal with `again`."""
        return [(ticket, reply) for _, ticket, reply in self._asked.take(now)]

    def close(self) -> None:
        """Give all sockets back."""
        self._subscriber.close()
        self._asked.close()
        self._context.term()


def units_of(loaded: Loaded) -> tuple[str, ...]:
    """Name the units of a station that the touchscreen expects to hear."""
    cameras = tuple(f"acquire@{name}" for name in loaded.config.camera)
    opcua = ("opcua",) if loaded.config.opcua.host else ()
    shadow = (SHADOW,) if loaded.recipe.shadow else ()
    return (*cameras, "judge", "line", "record", "publish", *opcua, *shadow)
