"""Tell the service manager that the screen is alive: said from the thread that draws, so a hang is a restart."""

import socket
from typing import Final

from appliance.config import environment

PERIOD_TICKS: Final = 10
"""A sign of life every second at ten ticks a second; the unit's limit is ten times that."""


class Lifeline:
    """Send state to systemd; nothing where the screen was started by hand."""

    def __init__(self, address: str | None = None) -> None:
        named = (environment("NOTIFY_SOCKET") or "") if address is None else address
        self._address = "\0" + named[1:] if named.startswith("@") else named
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self._ticks = 0

    def tick(self) -> None:
        """Count one tick of the screen; the first says that it is ready."""
        if self._ticks == 0:
            self._send("READY=1")
        if self._ticks % PERIOD_TICKS == 0:
            self._send("WATCHDOG=1")
        self._ticks += 1

    def close(self) -> None:
        """Say that the screen ends on purpose, and give the socket back."""
        self._send("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: str) -> None:
        if self._socket is not None:
            try:
                self._socket.sendto(line.encode(), self._address)
            except OSError:
                return  # the manager is busy or gone; its own clock decides
