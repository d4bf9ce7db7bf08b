"""Speak Modbus TCP as a PLC does, byte by byte, so that broken requests can be sent too; blocks, one thread."""

import socket
import struct
import time
from contextlib import closing, suppress
from typing import Protocol

from appliance.schema.clocks import HostNs
from appliance.schema.errors import LinkError

_ANSWER_S = 2.0
_HEADER = struct.Struct(">HHHB")
_UNIT = 1


class Wire(Protocol):
    """Carry requests to an appliance, and know the time there."""

    def now(self) -> HostNs:
        """Give the instant by which heartbeats and answers are judged."""

    def wait(self, seconds: float) -> None:
        """Let time pass."""

    def ask(self, pdu: bytes) -> bytes:
        """Send a request and give its answer, both without header; LinkError when there is none."""

    def cut(self) -> None:
        """Cut the connection; the next request opens another."""

    def intrude(self, noise: bytes) -> None:
        """Open another connection, send some bytes and cut it."""


class TcpWire:
    """Be a `Wire` to a real appliance."""

    def __init__(self, host: str, port: int) -> None:
        """Connect; LinkError when nobody answers."""
        self._host, self._port = host, port
        self._transaction = 0
        self._line: socket.socket | None = self._connect()

    def now(self) -> HostNs:
        """CLOCK_MONOTONIC of this computer, ns."""
        return HostNs(time.monotonic_ns())

    def wait(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    def ask(self, pdu: bytes) -> bytes:
        """Send a request and wait for its answer."""
        if self._line is None:
            self._line = self._connect()
        self._transaction = (self._transaction + 1) & 0xFFFF
        try:
            self._line.sendall(_HEADER.pack(self._transaction, 0, len(pdu) + 1, _UNIT) + pdu)
            return self._answer(self._line)
        except OSError as error:
            raise LinkError(f"plc: {self._host}:{self._port} fell silent: {error}; check the line service") from error

    def cut(self) -> None:
        """Close the connection."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def intrude(self, noise: bytes) -> None:
        """Send bytes on a connection of their own; that the appliance cuts it first is its right."""
        with closing(self._connect()) as line, suppress(OSError):
            line.sendall(noise)

    def _connect(self) -> socket.socket:
        try:
            line = socket.create_connection((self._host, self._port), timeout=_ANSWER_S)
        except OSError as error:
            text = f"plc: {self._host}:{self._port} does not answer: {error}"
            raise LinkError(f"{text}; check address, port, plc.allow and the line service") from error
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return line

    def _answer(self, line: socket.socket) -> bytes:
        transaction, protocol, length, _ = _HEADER.unpack(_exactly(line, _HEADER.size))
        if transaction != self._transaction or protocol or not 2 <= length <= 254:
            raise ConnectionError(f"answer {transaction} of protocol {protocol}, {length} bytes: this is no Modbus")
        return _exactly(line, length - 1)


def read_request(address: int, count: int, code: int = 3) -> bytes:
    """Ask for registers."""
    return struct.pack(">BHH", code, address, count)


def write_request(address: int, words: tuple[int, ...]) -> bytes:
    """Ask that registers be written."""
    return struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)


def words_of(answer: bytes) -> tuple[int, ...]:
    """Give the registers of an answer; empty when it is an exception."""
    if answer[0] & 0x80 or len(answer) < 2 or len(answer) != 2 + answer[1]:
        return ()
    return struct.unpack(f">{answer[1] // 2}H", answer[2:])


def exception_of(answer: bytes) -> int:
    """Give an answer's exception code, 0 when it is none."""
    return answer[1] if answer[0] & 0x80 else 0


def _exactly(line: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        more = line.recv(size - len(received))
        if not more:
            raise ConnectionError("the connection was closed")
        received += more
    return received
