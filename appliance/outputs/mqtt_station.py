"""Decide when the plant is told of the station's state, and what: retained, the newest only."""

from typing import Any

import msgspec

from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import Identity
from appliance.outputs.plant_messages import state_payload
from appliance.ports.clock import Clock
from appliance.schema.clocks import HostNs, S
from appliance.schema.line import LineState

LINE_SILENT = 3 * S
"""A line that said nothing for three of its reports is told as not known."""

PAUSE = 5 * S
"""Shortest time between two states that differ only in how far the outbox has come."""


class StationState:
    """Follow the line and the outbox, and remember what was told last."""

    def __init__(self, identity: Identity, outbox: Outbox, clock: Clock) -> None:
        self._identity = identity
        self._outbox = outbox
        self._clock = clock
        self._line: tuple[HostNs, LineState] | None = None
        self._told: tuple[dict[str, Any], dict[str, int]] | None = None
        self._told_at = HostNs(0)

    def hear(self, line: LineState, now: HostNs) -> None:
        """Take what the line says."""
        self._line = (now, line)

    def forget(self) -> None:
        """Tell again whatever there is: the broker may not have what was told."""
        self._told = None

    def payload(self, now: HostNs) -> bytes | None:
        """Give what is to be told now; None: nothing new. StoreError when the outbox cannot be read.

        `newest` names, by topic, the message up to which the broker acknowledged all: a receiver that has less asks.
        """
        line = self._line[1] if self._line is not None and now - self._line[0] <= LINE_SILENT else None
        summary = state_payload(self._identity, line)
        is_same = self._told is not None and self._told[0] == summary
        if is_same and now < self._told_at + PAUSE:
            return None
        prefix = f"{self._identity.prefix}/"
        newest = {topic.removeprefix(prefix): place for topic, place in self._outbox.newest(acked=True).items()}
        self._told_at = now
        if self._told == (summary, newest):
            return None
        self._told = (summary, newest)
        place = {"utc_ns": self._clock.utc(), "stream": self._outbox.stream, "newest": newest}
        return msgspec.json.encode({**summary, **place})
