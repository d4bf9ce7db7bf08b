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
