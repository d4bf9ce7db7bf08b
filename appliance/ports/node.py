"""Say what a service is: messages in, messages out, at most one wake time."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from appliance.schema.clocks import HostNs
from appliance.schema.command import Command, Reply


class Publish(Struct, frozen=True):
    """Put a message on a topic."""

    topic: str
    message: Struct


class Send(Struct, frozen=True):
    """Hand a message to one of the node's own devices (microcontroller, PLC server, camera)."""

    device: str
    message: Struct


class Ask(Struct, frozen=True):
    """Send a wish to another unit; its answer, or that there was none, comes back as `Replied`."""

    unit: str
    command: Command
    ticket: int
    """Names the wish; the node's own count."""


class Replied(Struct, frozen=True, tag=True):
    """Carry the answer to an `Ask`; received with topic `reply:<unit>`."""

    ticket: int
    reply: Reply
    """RefusedReply too where the unit did not answer in time; it may still act then."""


class Restart(Struct, frozen=True):
    """End this process; what started it starts it again, with what is in force then."""

    why: str


Output = Publish | Send | Ask | Restart


class Node(Protocol):
    """Run one service's logic; the same object serves real sockets and the simulated world.

    A Node holds no socket, thread or clock. Every method is called from one thread, never re-entered, and returns
    what it wants done, in order.
    """

    @property
    def name(self) -> str:
        """Unit name: `judge`, `line`, `acquire@top` ..."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Topics and topic families (trailing dot) it listens to."""

    @property
    def wake_at(self) -> HostNs | None:
        """Next instant at which `wake` must be called; None when only a message can move it."""

    def start(self, now: HostNs) -> Sequence[Output]:
        """Begin; called once before anything else."""

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message of a topic, of a device (topic `device:<name>`), or a `Replied` (topic `reply:<unit>`)."""

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Learn that `count` messages of a topic are gone for good."""

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Grant or refuse a wish."""

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Do what was due at `wake_at`; may be called early and then does nothing."""


@runtime_checkable
class Keeper(Node, Protocol):
    """Keep facts: a node that knows how far it holds each topic, so that the loop can fetch what it missed."""

    def positions(self) -> Mapping[str, tuple[int, int]]:
        """Give (epoch, sequence) of the newest message held of each topic."""

    def receive_envelope(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message with its place in its writer's count; called instead of `receive`."""

    def finish(self, now: HostNs) -> None:
        """Write what waits and close what is kept; the last call."""
