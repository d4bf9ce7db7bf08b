"""Carry wishes over ZeroMQ REQ/REP: the owner of a thing answers Accepted or Refused."""

from pathlib import Path

import zmq

from appliance.schema.codec import pack_command, pack_reply, unpack_command, unpack_reply
from appliance.schema.command import Accepted, Command, RefusedReply, Replayed, Reply
from appliance.schema.errors import LinkError, Refused


def control_address(runtime: Path, unit: str) -> str:
    """Name the socket a unit answers wishes on."""
    return f"ipc://{runtime}/{unit}.ctl"


class ControlServer:
    """Answer wishes, one at a time. Used by one thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], runtime: Path, unit: str) -> None:
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 200)
        self.socket.bind(control_address(runtime, unit))

    def receive(self) -> Command | None:
        """Take a wish that has arrived; never blocks; DecodeError of msgspec when it is none of ours."""
        try:
            return unpack_command(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            return None

    def answer(self, reply: Reply) -> None:
        """Answer the wish that `receive` gave last."""
        self.socket.send(pack_reply(reply))

    def close(self) -> None:
        """Give the socket back."""
        self.socket.close()


class PendingAnswers:
    """Hold the wishes sent and not answered yet; never blocks. Used by one thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], runtime: Path) -> None:
        self._context = context
        self._runtime = runtime
        self._waiting: list[tuple[zmq.Socket[bytes], str, int, int]] = []

    @property
    def sockets(self) -> list[zmq.Socket[bytes]]:
        """Sockets that become readable with an answer."""
        return [socket for socket, *_ in self._waiting]

    @property
    def due(self) -> int | None:
        """Instant (CLOCK_MONOTONIC, ns) at which the first wish is given up; None when nothing waits."""
        return min((due for *_, due in self._waiting), default=None)

    def send(self, unit: str, command: Command, ticket: int, due: int) -> None:
        """Send a wish that is given up at `due`."""
        socket = self._context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(control_address(self._runtime, unit))
        socket.send(pack_command(command))
        self._waiting.append((socket, unit, ticket, due))

    def take(self, now: int) -> list[tuple[str, int, Reply]]:
        """Give (unit, ticket, answer) of each wish answered or given up; once each."""
        taken: list[tuple[str, int, Reply]] = []
        waiting, self._waiting = self._waiting, []
        for socket, unit, ticket, due in waiting:
            try:
                taken.append((unit, ticket, unpack_reply(socket.recv(zmq.NOBLOCK))))
            except zmq.Again:
                if now < due:
                    self._waiting.append((socket, unit, ticket, due))
                    continue
                taken.append(
                    (unit, ticket, RefusedReply(f"{unit}: no answer in time; see `firstshift check`", again=True))
                )
            socket.close()
        return taken

    def close(self) -> None:
        """Give all sockets back; what waits is forgotten."""
        for socket, *_ in self._waiting:
            socket.close()
        self._waiting = []


def ask(
    context: zmq.Context[zmq.Socket[bytes]], runtime: Path, unit: str, command: Command, timeout_ms: int = 1000
) -> Accepted | Replayed:
    """Send a wish and wait for the answer; blocking.

    Refused when the owner says no, LinkError when it does not answer in time (it may still act later).
    """
    socket = context.socket(zmq.REQ)
    try:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVTIMEO, timeout_ms)
        socket.setsockopt(zmq.SNDTIMEO, timeout_ms)
        socket.connect(control_address(runtime, unit))
        socket.send(pack_command(command))
        reply = unpack_reply(socket.recv())
    except zmq.Again as error:
        raise LinkError(
            f"{unit}: no answer to {type(command).__name__} within {timeout_ms} ms; see `firstshift check`"
        ) from error
    finally:
        socket.close()
    if isinstance(reply, RefusedReply):
        raise Refused(f"{unit}: {type(command).__name__} refused: {reply.reason}")
    return reply
