"""Tell the service manager how this process is doing, and feed its watchdog with real progress only."""

import socket

from appliance.config import environment
from appliance.schema.errors import ConfigError

STATUS_LIMIT = 500
"""Characters of a status line; `systemctl status` shows one line, and a datagram must never be too long to send."""


class Notifier:
    """Send state to the service manager; does nothing where there is none, so that a service runs from a shell too."""

    def __init__(self, address: str | None = None) -> None:
        """Open the manager's socket; `address` replaces NOTIFY_SOCKET, "" means that there is no manager.

        Raises ConfigError when the address is neither a path nor an abstract socket (`@name`).
        """
        named = environment("NOTIFY_SOCKET") if address is None else address
        self._address = socket_address(named or "")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if self._address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        self.unsent = 0
        """Datagrams that the manager did not take. It is not an error of the service: its watchdog decides."""

    def ready(self) -> None:
        """Say that the service has passed its own test and works."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Show one line of text to operators."""
        self._send(f"STATUS={' '.join(text.split())[:STATUS_LIMIT]}")

    def alive(self) -> None:
        """Feed the watchdog; called by `Watchdog` alone."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service ends on purpose."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Give the socket back."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(line.encode(), self._address)
        except OSError:
            self.unsent += 1


class Watchdog:
    """Turn a counter of real work into watchdog signals: no growth, no signal, and the manager restarts the service."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._seen = 0

    def progress(self, count: int) -> bool:
        """Take the counter's value; feeds and gives True only when it is greater than ever before."""
        if count <= self._seen:
            return False
        self._seen = count
        self._notifier.alive()
        return True


def socket_address(named: str) -> str:
    """Turn NOTIFY_SOCKET into an address for a datagram; "" stays "". ConfigError when it is no local socket."""
    if named.startswith("@"):
        return "\0" + named[1:]
    if named and not named.startswith("/"):
        raise ConfigError(
            f"NOTIFY_SOCKET: {named!r} is no local socket; it must start with / or @, or be unset when started by hand"
        )
    return named
