"""Join a link and a wire into the one thing that `line` speaks to: messages in, messages out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from appliance.schema.clocks import MS, HostNs
from appliance.schema.errors import LinkError
from firmware_bridge.link import Link

REOPEN_PERIOD = 200 * MS
"""A re-plugged board is back within a blink, and an absent one costs next to nothing."""


SILENT_WIRE = 1000 * MS
"""Silence after which the wire is opened anew: after a re-plug the open one may belong to something else. A board that
answers speaks every 100 ms."""


class Wire(Protocol):
    """Carry bytes to and from a microcontroller; LinkError when the far end is gone."""

    def fileno(self) -> int:
        """Descriptor to wait on."""

    def read(self) -> bytes:
        """Take what waits; never blocks."""

    def write(self, data: bytes) -> None:
        """Send; never blocks."""

    def close(self) -> None:
        """Give the wire back."""


class McuDevice:
    """Speak to the microcontroller as a device of the loop; a wire that breaks is opened again by itself."""

    def __init__(self, open_wire: Callable[[], Wire], new_session: Callable[[], int], now: HostNs) -> None:
        """Take the way to open the wire (LinkError while it is absent) and a source of random u32 sessions."""
        self._open_wire = open_wire
        self._link = Link(new_session, now)
        self._wire: Wire | None = None
        self._reopen_at = now
        self._heard = now
        self.cause = ""
        """Why there is no wire at present; empty when there is one."""
        self._reopen(now)

    def fileno(self) -> int:
        """Give the wire's descriptor, -1 while there is no wire."""
        return self._wire.fileno() if self._wire is not None else -1

    @property
    def wake_at(self) -> HostNs | None:
        """Next heartbeat, retransmission or attempt to open the wire."""
        return self._link.wake_at if self._wire is not None else self._reopen_at

    def read(self, now: HostNs) -> list[Struct]:
        """Take the microcontroller's messages in order and send what is due; never blocks."""
        if self._wire is None:
            self._reopen(now)
        if self._wire is None:
            return []
        try:
            messages: list[Struct] = [*self._link.feed(self._wire.read(), now)]
        except LinkError as error:
            self._drop(error, now)
            return []
        if messages:
            self._heard = now
        elif now - self._heard >= SILENT_WIRE:
            self._drop(LinkError(f"mcu: silent for {SILENT_WIRE // MS} ms; check cable, power and mcu.link"), now)
            return []
        self._flush(now)
        return messages

    def write(self, message: Struct, now: HostNs) -> None:
        """Send a message; without a session it is gone, and the part it was for rejects by itself."""
        self._link.send(message, now)  # type: ignore[arg-type]
        self._flush(now)

    def close(self) -> None:
        """Give the wire back."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def _flush(self, now: HostNs) -> None:
        data = self._link.outgoing(now)
        if not data or self._wire is None:
            return
        try:
            self._wire.write(data)
        except LinkError as error:
            self._drop(error, now)

    def _drop(self, error: LinkError, now: HostNs) -> None:
        self.cause = str(error)
        self.close()
        self._reopen_at = HostNs(now + REOPEN_PERIOD)

    def _reopen(self, now: HostNs) -> None:
        if now < self._reopen_at:
            return
        self._reopen_at = HostNs(now + REOPEN_PERIOD)
        try:
            self._wire = self._open_wire()
        except LinkError as error:
            self.cause = str(error)
        else:
            self._heard = now
            self.cause = ""
