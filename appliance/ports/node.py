"""Say what a service is: messages in, messages out, at most one wake time."""

from collections.abc import Sequence
from typing import Protocol

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


Output = Publish | Send


class Node(Protocol):
    """Run one service's logic; the same object serves real sockets and the simulated world.

    A Node holds no socket, thread or clock. Every method is called from one thread, never re-entered, and returns
    what it wants done, in order.
    """

    name: str
    """Unit name: `judge`, `line`, `acquire@top` ..."""
    topics: tuple[str, ...]
    """Topics and topic families (trailing dot) it listens to."""

    @property
    def wake_at(self) -> HostNs | None:
        """Next instant at which `wake` must be called; None when only a message can move it."""

    def start(self, now: HostNs) -> Sequence[Output]:
        """Begin; called once before anything else."""

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message of a topic or, with topic `device:<name>`, of one of its devices."""

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Learn that `count` messages of a topic are gone for good."""

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Grant or refuse a wish."""

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Do what was due at `wake_at`; may be called early and then does nothing."""
