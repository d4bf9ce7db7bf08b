"""Serve OPC UA from a thread with its own event loop; a Device of the service `opcua`.

Node and server share a bounded queue each way. What variables show is one snapshot, replaced whole, so that a slow
client never makes the node wait; events are told in their order. A client's method call becomes a `Wish` to the node
and waits, in the server's thread, for the node's `Answered`.
"""

import asyncio
import errno
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import structlog
from asyncua import ua
from msgspec import Struct

from appliance import __version__
from appliance.config_plant import Opcua
from appliance.outputs.opcua.display import Display
from appliance.outputs.opcua.events import Teller
from appliance.outputs.opcua.lookups import Lookups
from appliance.outputs.opcua.messages import Answered, ResultReady, Served, Snapshot, Wish, Wished
from appliance.outputs.opcua.methods import Methods
from appliance.outputs.opcua.model import build_model
from appliance.outputs.opcua.queues import QueueWatch
from appliance.outputs.opcua.results import HELD
from appliance.outputs.opcua.seam import Security
from appliance.outputs.part_report import Identity
from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError, LinkError

NAME = "opcua"
"""Name of the server among the node's devices."""

ANSWER_LIMIT_S = 2.0
"""A client's call is answered in this time or gets BadTimeout; `line` itself answers the node within 1 s."""

PENDING_LIMIT = 16
"""Calls that wait for `line` at once; further ones get BadTooManyOperations."""

EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104  what a person may have configured

BEAT_S = 1.0
STOP_S = 5.0
"""Longest wait for clients to be told goodbye."""

log = structlog.get_logger()


class OpcuaServer:
    """Own the server's thread; called from the loop's thread only, start and close block."""

    def __init__(self, settings: Opcua, identity: Identity, security: Security, *, port: int | None = None) -> None:
        """Serve within about 5 s; LinkError when the address is taken, ConfigError when it cannot be ours.

        `port`: 0 takes a free one; None is that of the settings.
        """
        self._settings = settings
        self._identity = identity
        self._security = security
        self.port = settings.port if port is None else port
        _probe(settings.host, self.port)
        self._snapshot = Snapshot()
        self._queue: deque[Struct] = deque()
        self._kept: deque[ResultReady] = deque(maxlen=HELD)
        self._arrived: deque[Struct] = deque()
        self._dropped = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._work = asyncio.Event()
        self._waiting: dict[int, asyncio.Future[Answered]] = {}
        self._ticket = 0
        self._beat = 0
        self._closed = False
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name=NAME, daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """Descriptor that is readable when a client called a method, and once a second."""
        return self._wake

    @property
    def wake_at(self) -> HostNs | None:
        """Nothing is due by time."""
        return None

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take every `Wish` in order and the newest counts; LinkError when the server is gone."""
        if self._closed:
            return ()
        if not self._thread.is_alive():
            raise LinkError(f"opcua: the server on port {self.port} has stopped; restart the service")
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return ()
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def write(self, message: Struct, now: HostNs) -> None:
        """Show a `Snapshot`, tell an event, or answer a wish; never blocks.

        When the server's thread takes nothing for too long, the oldest goes, and is counted in `Served.dropped`.
        """
        if self._closed:
            return
        if isinstance(message, Snapshot):
            self._snapshot = message
        elif isinstance(message, ResultReady) and not message.telling:
            self._kept.append(message)  # thousands come at a start; only the last are held anyway
        else:
            self._queue.append(message)
            if len(self._queue) > self._settings.queue:
                self._queue.popleft()
                self._dropped += 1
        self._poke(self._work)

    def close(self) -> None:
        """End all sessions and wait for the thread; may be called twice."""
        if self._closed:
            return
        self._closed = True
        self._poke(self._stop)
        self._thread.join()
        os.close(self._wake)
        self._wake = -1

    def _poke(self, event: asyncio.Event) -> None:
        """Set an event of the server's loop; one that has ended meanwhile is found by `read`."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(event.set)

    # all below runs in the server's thread

    def _run(self, started: "Future[None]") -> None:
        try:
            self._loop.run_until_complete(self._serve(started))
        except OSError as error:
            if started.done():
                raise
            started.set_exception(_refused(self._settings.host, self.port, error))
        finally:
            self._loop.run_until_complete(_cancel_rest())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
            if not started.done():
                started.set_exception(LinkError(f"opcua: the server on port {self.port} did not start; restart it"))
            os.eventfd_write(self._wake, 1)  # the loop looks, and finds the thread dead

    async def _serve(self, started: "Future[None]") -> None:
        began = datetime.now(UTC)
        server = self._security.make_server()
        await server.init()
        await self._name(server)
        await self._security.apply(server)
        watch = QueueWatch(server, self._settings.queue)
        model = await build_model(server, self._identity, began)
        display, teller = Display(model), Teller(model, self._identity)
        await teller.prepare()
        lookups = Lookups(model, self._identity)
        await Methods(model, lookups, self._security, teller, self._ask).link()
        await display.show(self._snapshot)
        await server.start()
        self.port = server.bserver.port
        started.set_result(None)
        tasks = (
            asyncio.create_task(self._follow(display, teller, lookups)),
            asyncio.create_task(self._count(display, teller, watch)),
            asyncio.create_task(self._stop.wait()),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _end(server, tasks)

    async def _name(self, server: Any) -> None:
        station = self._identity.station
        server.set_server_name(f"firstshift {station}")
        server.socket_address = (self._settings.host, self.port)
        host = self._settings.name or self._settings.host
        host = socket.gethostname() if host in EVERY_ADDRESS else host
        server.set_endpoint(f"opc.tcp://[{host}]:{self.port}" if ":" in host else f"opc.tcp://{host}:{self.port}")
        await server.set_build_info("urn:firstshift", "firstshift", "firstshift", __version__, "0", datetime.now(UTC))

    async def _follow(self, display: Display, teller: Teller, lookups: Lookups) -> None:
        """Do what the node wrote, in its order; what variables show is always the newest."""
        while True:
            await self._work.wait()
            self._work.clear()
            if lookups.snapshot is not self._snapshot:
                lookups.snapshot = self._snapshot
                await display.show(lookups.snapshot)
            while self._kept:
                lookups.results.keep(self._kept.popleft())
            while self._queue:
                message = self._queue.popleft()
                if isinstance(message, Answered):
                    self._answer(message)
                    continue
                if isinstance(message, ResultReady):
                    lookups.results.keep(message)
                await teller.tell(message)  # type: ignore[arg-type]

    async def _count(self, display: Display, teller: Teller, watch: QueueWatch) -> None:
        """State once a second that this thread lives: the service's watchdog hangs on it."""
        while True:
            self._beat += 1
            served = Served(self._beat, teller.told, watch.overflowed, self._dropped)
            await display.count(served)
            self._announce(served)
            await asyncio.sleep(BEAT_S)

    async def _ask(self, command: Wished) -> Answered:
        """Hand a wish to the node and wait for its answer; UaStatusCodeError: too many wait, or none came in time."""
        if len(self._waiting) >= PENDING_LIMIT:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
        self._ticket += 1
        ticket = self._ticket
        answer: asyncio.Future[Answered] = self._loop.create_future()
        self._waiting[ticket] = answer
        self._announce(Wish(ticket, command))
        try:
            return await asyncio.wait_for(answer, ANSWER_LIMIT_S)
        except TimeoutError as error:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadTimeout) from error
        finally:
            self._waiting.pop(ticket, None)

    def _answer(self, message: Answered) -> None:
        waiting = self._waiting.get(message.ticket)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _announce(self, message: Struct) -> None:
        self._arrived.append(message)
        os.eventfd_write(self._wake, 1)


def _probe(host: str, port: int) -> None:
    """Find out at once, and not after seconds of work, that the address cannot be had."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise _refused(host, port, error) from error


def _refused(host: str, port: int, error: OSError) -> LinkError | ConfigError:
    reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    text = f"opcua: {host}:{port} cannot be listened on: {reason}"
    if error.errno == errno.EADDRINUSE:
        return LinkError(f"{text}; stop the other program or change opcua.port")
    return ConfigError(f"{text}; give an address of this computer in opcua.host and a permitted opcua.port")


async def _end(server: Any, tasks: Sequence["asyncio.Task[Any]"]) -> None:
    """Stop serving and tell the clients goodbye."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    try:
        await asyncio.wait_for(server.stop(), STOP_S)
    except TimeoutError:
        log.warning("opcua_sessions_cut", limit_s=STOP_S)


async def _cancel_rest() -> None:
    """End what asyncua left running, so that no task and no socket outlives the loop."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # a traceback for each odd client; what matters is audited
