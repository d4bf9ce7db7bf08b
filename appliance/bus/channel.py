"""Carry topics over ZeroMQ PUB/SUB: one writer per topic, numbered messages, counted loss.

Every unit publishes on its own socket `<runtime>/<unit>.pub`; readers connect to the units they need. A socket path
may not exist yet: ZeroMQ connects when its owner appears.
"""

import secrets
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import zmq
from msgspec import Raw, Struct

from appliance.schema.codec import Envelope, pack, unpack
from appliance.schema.command import Replayed
from appliance.schema.topics import topic_of

HIGH_WATER = 10_000
"""Messages a socket queues before it drops: 100 s of a fast line, far beyond any healthy reader's lag."""


def publish_address(runtime: Path, unit: str) -> str:
    """Name the socket a unit publishes on."""
    return f"ipc://{runtime}/{unit}.pub"


class Publisher:
    """Own a unit's topics: number the messages, keep the last ones for replay. Used by one thread."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], runtime: Path, unit: str) -> None:
        self.epoch = secrets.randbits(53)
        self._socket = context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.bind(publish_address(runtime, unit))
        self._next: dict[str, int] = defaultdict(int)
        self._history: dict[str, deque[bytes]] = {}

    def publish(self, topic: str, message: Struct) -> None:
        """Send a message; never blocks. KeyError for a topic that the table does not list."""
        entry = topic_of(topic)
        sequence = self._next[topic]
        self._next[topic] = sequence + 1
        data = pack(topic, self.epoch, sequence, message)
        if entry.history:
            self._history.setdefault(topic, deque(maxlen=entry.history)).append(data)
        self._socket.send_multipart((topic.encode(), data))

    def replay(self, topic: str, first: int) -> Replayed:
        """Give the messages of a topic that are still held, from sequence number `first`."""
        held = self._history.get(topic, deque())
        following = self._next[topic]
        oldest = following - len(held)
        wanted = tuple(Raw(data) for number, data in enumerate(held, oldest) if number >= first)
        return Replayed(self.epoch, following, wanted)

    def close(self) -> None:
        """Give the socket back; what is queued may still leave for 200 ms."""
        self._socket.close()


class Gap(Struct, frozen=True):
    """State that messages of a topic were missed: all from `first` up to, not including, `until`."""

    topic: str
    epoch: int
    first: int
    until: int


class Sequence:
    """Follow one reader's place in every topic and name each gap once."""

    def __init__(self, positions: Mapping[str, tuple[int, int]] | None = None, *, from_origin: bool = False) -> None:
        """Take the places held already; `from_origin`: of an unknown topic everything from 0 on is wanted."""
        self._next = {topic: (epoch, sequence + 1) for topic, (epoch, sequence) in (positions or {}).items()}
        self._from_origin = from_origin

    def follow(self, envelope: Envelope) -> tuple[bool, Gap | None]:
        """Say whether a message is new, and which gap lies before it.

        A topic's first message is no gap, except for a reader that wants all from the origin. A new epoch begins at 0;
        what its writer said before this reader heard it is a gap.
        """
        known = self._next.get(envelope.topic)
        if known is None:
            known = (envelope.epoch, 0 if self._from_origin else envelope.sequence)
        epoch, expected = known
        if epoch != envelope.epoch:
            expected = 0
        elif envelope.sequence < expected:
            return False, None
        self._next[envelope.topic] = (envelope.epoch, envelope.sequence + 1)
        if envelope.sequence == expected:
            return True, None
        return True, Gap(envelope.topic, envelope.epoch, expected, envelope.sequence)

    def position(self, topic: str) -> tuple[int, int] | None:
        """Give (epoch, next sequence) of a topic; None when nothing was heard of it."""
        return self._next.get(topic)


class Subscriber:
    """Listen to topics of several units. Used by one thread."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        runtime: Path,
        units: tuple[str, ...],
        topics: tuple[str, ...],
    ) -> None:
        self._socket = context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 20)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        for topic in topics:
            self._socket.subscribe(topic.encode())
        for unit in units:
            self._socket.connect(publish_address(runtime, unit))

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """Socket to poll for readability."""
        return self._socket

    def drain(self, most: int) -> Iterator[tuple[Envelope, Struct]]:
        """Take up to `most` messages that have arrived; never blocks."""
        for _ in range(most):
            try:
                _, data = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            yield unpack(data)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close(linger=0)
