"""Say what a node's own wire to the world looks like to the loop."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from appliance.schema.clocks import HostNs


class Device(Protocol):
    """Carry messages between one node and one thing outside; called from the loop's thread only."""

    def fileno(self) -> int:
        """Descriptor that is readable when `read` has something; -1 when there is none at present."""

    @property
    def wake_at(self) -> HostNs | None:
        """Next instant at which `read` must be called even if nothing arrived."""

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take what has arrived; never blocks; LinkError or CameraError when the thing is gone for good."""

    def write(self, message: Struct, now: HostNs) -> None:
        """Hand over one message; never blocks."""

    def close(self) -> None:
        """Give the thing back."""
