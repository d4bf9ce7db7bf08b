"""Let clients of the Modbus server in, hand their requests on one at a time, and cut off who only takes up room.

A `Client` stands between each connection and pymodbus. It ends a connection that sends no Modbus, sends nothing, or
takes no answers, so that each holds a bounded share of memory and all places come free again.
"""

import asyncio
import os
import select
import socket
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from appliance.outputs.plc.modbus_access import Refusal, Refusals, Refused, admits, first_request, networks, refusal

CLIENTS = 8
"""Connections at a time: a PLC, its spare, a panel, a technician's tool; more is a client that forgets to close."""

IDLE_S = 60.0
"""A connection without a request for so long is cut: its peer is gone, or takes no answers."""

SILENT_S = 1.0
"""Where all places are taken, who was silent for so long makes room: a PLC that lives writes every 100 ms."""

SWEEP_S = 1.0
"""How often idle connections are looked for."""

_PIPELINE = 16 * 260
"""Bytes of requests that wait before no more are read: 16 of the longest, as the implementation guide advises."""

_UNTAKEN = 32 * 1024
"""Bytes of answers that the system holds for a peer; some 400 status blocks."""


class Clients:
    """Keep the places; the server's thread changes them, any thread may read `n` and `refused` and take refusals."""

    def __init__(self, allow: Sequence[str], wake: int) -> None:
        """Admit this computer and the addresses and networks of `allow`; `wake`: eventfd of the node that is told."""
        self._allowed = networks(allow)
        self._wake = wake
        self._open: set[Client] = set()
        self._refusals = Refusals()
        self._told: deque[Refused] = deque()

    @property
    def n(self) -> int:
        """Clients connected."""
        return len(self._open)

    @property
    def refused(self) -> int:
        """Connections closed so far because of who they were, how many, or what they sent."""
        return sum(self._refusals.counts.values())

    def take_refused(self) -> list[Refused]:
        """Take what is worth an alarm since the last call."""
        return [self._told.popleft() for _ in range(len(self._told))]

    def enter(self, client: "Client", peer: str, own: str, now_s: float) -> bool:
        """Give a new connection its place; False when it has to go."""
        if not admits(self._allowed, peer, own):
            self.refuse(Refusal.FOREIGN, peer, now_s)
            return False
        if len(self._open) >= CLIENTS and not self._make_room(now_s):
            self.refuse(Refusal.FULL, peer, now_s)
            return False
        self._open.add(client)
        os.eventfd_write(self._wake, 1)
        return True

    def _make_room(self, now_s: float) -> bool:
        """End who has hung up, in a burst of connections not noticed yet, or else who was silent for longest."""
        leaving = [client for client in self._open if client.hung_up]
        longest = min(self._open, key=lambda client: client.heard_s)
        if not leaving and now_s - longest.heard_s >= SILENT_S:
            leaving = [longest]
        for client in leaving:
            self._open.discard(client)
            client.abort()
        return bool(leaving)

    def leave(self, client: "Client") -> None:
        """Take back the place of a connection that is closed."""
        self._open.discard(client)
        os.eventfd_write(self._wake, 1)

    def refuse(self, why: Refusal, peer: str, now_s: float) -> None:
        """Count a connection that is closed, and tell the node where it is worth an alarm."""
        refused = self._refusals.add(why, peer, now_s)
        if refused is not None:
            self._told.append(refused)
            os.eventfd_write(self._wake, 1)

    def sweep(self, now_s: float) -> None:
        """Cut off who was silent for too long."""
        for client in [client for client in self._open if now_s - client.heard_s > IDLE_S]:
            client.abort()


class Client(asyncio.Protocol):
    """Stand between one connection and pymodbus, which takes it for the connection; one thread."""

    def __init__(self, clients: Clients, server: Any) -> None:
        """Take the list of all clients, and pymodbus' server."""
        self.heard_s = 0.0
        """Instant of the last whole request, s of the loop's clock; bytes that trickle in are no sign of life."""
        self._clients, self._server = clients, server
        self._wire: asyncio.Transport | None = None
        self._inner: Any = None
        self._peer = ""
        self._waiting = b""
        self._asked = self._stuffed = False

    @property
    def hung_up(self) -> bool:
        """Whether the peer has closed its side."""
        if self._wire is None or self._wire.is_closing():
            return True
        poll = select.poll()
        poll.register(self._wire.get_extra_info("socket").fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in, or close it before a byte of it is read."""
        self._wire = wire = cast("asyncio.Transport", transport)
        self.heard_s = asyncio.get_running_loop().time()
        peer, own = wire.get_extra_info("peername"), wire.get_extra_info("sockname")
        if not peer or not own:  # it was reset before it was accepted
            wire.abort()
            return
        self._peer = str(peer[0])
        if not self._clients.enter(self, self._peer, str(own[0]), self.heard_s):
            wire.abort()
            return
        wire.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNTAKEN)
        self._inner = self._server.handle_new_connection()
        self._inner.connection_made(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        if self._inner is not None:
            self._inner.connection_lost(exc)
            self._inner = None
            self._clients.leave(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        self._waiting += data
        self._next()
        self._flow()

    def pause_writing(self) -> None:
        """Read no more from a peer that takes no answers."""
        self._stuffed = True
        self._flow()

    def resume_writing(self) -> None:
        """Read on."""
        self._stuffed = False
        self._flow()

    # what pymodbus sees of its connection

    def write(self, answer: bytes) -> None:
        """Send an answer, then hand the next request on."""
        if self._wire is None or self._wire.is_closing():
            return
        self._wire.write(answer)
        self._asked = False
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)
            self._flow()

    def close(self) -> None:
        """End the connection at once; an answer that its peer does not take is not waited for."""
        self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()

    def _next(self) -> None:
        if self._asked or self._inner is None or self._wire is None or self._wire.is_closing():
            return
        try:
            request = first_request(self._waiting)
        except ValueError:
            self._noise()
            return
        if request:
            self._waiting = self._waiting[len(request) :]
            self._asked = True
            self.heard_s = asyncio.get_running_loop().time()
            refused = refusal(request)
            if refused:
                self.write(refused)
            else:
                self._inner.data_received(request)

    def _flow(self) -> None:
        """Read only from a peer that takes its answers and does not ask too far ahead."""
        if self._wire is None:
            return
        if self._stuffed or len(self._waiting) > _PIPELINE:
            self._wire.pause_reading()
        else:
            self._wire.resume_reading()

    def _noise(self) -> None:
        self._waiting = b""
        self._clients.refuse(Refusal.NOISE, self._peer, asyncio.get_running_loop().time())
        self.abort()
