"""Serve the register blocks over Modbus TCP; the only importer of pymodbus on the server's side.

The server runs in its own thread with its own event loop. Both threads share two things: the newest status block (one
reference, replaced whole) and a bounded queue of control blocks. A read is answered in the server's thread out of one
status block, without a wake-up of the node; so a read costs the node nothing and can never see half of an update.

Between each connection and pymodbus stands a `Client` (`modbus_clients.py`), which decides who may come and stay.
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
from functools import partial

from msgspec import Struct
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from appliance.outputs.plc.modbus_clients import SWEEP_S, Client, Clients
from appliance.outputs.plc.registers import (
    CONTROL_ADDRESS,
    CONTROL_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
)
from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError, LinkError
from appliance.schema.health import Alarm

BACKLOG = 256
"""Control blocks not yet taken by the node, about 4 s of a PLC that writes every 16 ms; then writes get exception 6."""

_EVERY_UNIT = 0


class ControlWritten(Struct, frozen=True, tag=True):
    """State how the whole control block stands after a write of the PLC that changed it."""

    words: tuple[int, ...]


class StatusBlock(Struct, frozen=True, tag=True):
    """Ask that every read from now on sees this status block."""

    words: tuple[int, ...]


class ClientCount(Struct, frozen=True, tag=True):
    """State how many clients are connected."""

    n: int


class ModbusServer:
    """Be the device `plc` of `line` (`ports.device.Device`); one thread calls it, only start and close block."""

    def __init__(self, host: str, port: int, allow: Sequence[str] = ()) -> None:
        """Listen; port 0 takes a free one. LinkError when the address is taken, ConfigError when it cannot be ours.

        allow: addresses and networks that may connect; this computer always may.
        """
        logging.getLogger("pymodbus.logging").setLevel(
            logging.CRITICAL
        )  # a neighbour's noise must not fill the journal
        listener = _listen(host, port)
        self.port: int = listener.getsockname()[1]
        self._status: tuple[int, ...] = (0,) * STATUS_COUNT
        self._control: tuple[int, ...] = (0,) * CONTROL_COUNT
        self._arrived: deque[ControlWritten] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._clients = Clients(allow, self._wake)
        self._clients_told = 0
        self._stop: asyncio.Event | None = None
        self._loop = asyncio.new_event_loop()
        self._closed = False
        started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(listener, started), name="modbus", daemon=True)
        self._thread.start()
        started.result()

    def fileno(self) -> int:
        """Descriptor that is readable when the PLC wrote or a client came or went."""
        return self._wake

    @property
    def wake_at(self) -> HostNs | None:
        """Nothing is due by time."""
        return None

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take every `ControlWritten` in order, then `ClientCount` if it changed, then an `Alarm` for who was refused.

        LinkError when the server is gone.
        """
        if not self._thread.is_alive():
            raise LinkError(f"plc: the Modbus server on port {self.port} has stopped; restart the service")
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return ()
        messages: list[Struct] = [self._arrived.popleft() for _ in range(len(self._arrived))]
        clients = self._clients.n
        if clients != self._clients_told:
            self._clients_told = clients
            messages.append(ClientCount(clients))
        messages += [
            Alarm("line", f"plc_{refused.why}", refused.text, at=now) for refused in self._clients.take_refused()
        ]
        return messages

    def write(self, message: Struct, now: HostNs) -> None:
        """Show a `StatusBlock` to every read that begins after this call."""
        if not isinstance(message, StatusBlock) or len(message.words) != STATUS_COUNT:
            raise TypeError(
                f"plc: {message!r:.80} is no StatusBlock of {STATUS_COUNT} words; build it with pack_status"
            )
        self._status = message.words

    @property
    def refused(self) -> int:
        """Connections closed so far because of who they were, how many, or what they sent."""
        return self._clients.refused

    def close(self) -> None:
        """Close all connections and wait for the thread; may be called twice."""
        if self._closed:
            return
        self._closed = True
        stop = self._stop
        if stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(stop.set)
        self._thread.join()
        os.close(self._wake)

    # all below runs in the server's thread

    def _run(self, listener: socket.socket, started: "Future[None]") -> None:
        try:
            self._loop.run_until_complete(self._serve(listener, started))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            if not started.done():
                started.set_exception(
                    LinkError(f"plc: the Modbus server on port {self.port} did not start; restart it")
                )

    async def _serve(self, listener: socket.socket, started: "Future[None]") -> None:
        self._stop = asyncio.Event()
        server: ModbusTcpServer = ModbusTcpServer(self._device())
        # Our own listening socket: pymodbus logs why it cannot bind and forgets the reason.
        server.call_create = partial(self._loop.create_server, lambda: Client(self._clients, server), sock=listener)
        await server.serve_forever(background=True)
        started.set_result(None)
        while not self._stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), SWEEP_S)
            self._clients.sweep(self._loop.time())
        await server.shutdown()
        await _settled()

    def _device(self) -> SimDevice:
        blocks = [
            SimData(STATUS_ADDRESS, values=[0] * STATUS_COUNT, datatype=DataType.REGISTERS, readonly=True),
            SimData(CONTROL_ADDRESS, values=[0] * CONTROL_COUNT, datatype=DataType.REGISTERS),
        ]
        return SimDevice(_EVERY_UNIT, simdata=blocks, action=self._access)

    async def _access(
        self,
        _function_code: int,
        start_address: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Answer one request; between this and the answer nothing else runs in this thread."""
        if values is None:
            place = STATUS_ADDRESS - start_address
            registers[place : place + STATUS_COUNT] = self._status
            return None
        if len(self._arrived) >= BACKLOG:
            return ExcCodes.DEVICE_BUSY
        place = address - CONTROL_ADDRESS
        words = self._control[:place] + tuple(int(value) for value in values) + self._control[place + count :]
        if words != self._control:
            self._control = words
            self._announce(ControlWritten(words))
        return None

    def _announce(self, message: ControlWritten) -> None:
        self._arrived.append(message)
        os.eventfd_write(self._wake, 1)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=16)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        text = f"plc: {host}:{port} cannot be listened on: {reason}"
        if error.errno == errno.EADDRINUSE:
            raise LinkError(f"{text}; stop the other program or change plc.port") from error
        raise ConfigError(f"{text}; give an address of this computer in plc.host and a permitted plc.port") from error


async def _settled() -> None:
    """Let closed connections finish, so that no task and no socket outlives the loop."""
    for _ in range(3):
        await asyncio.sleep(0)
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
