"""Name the wishes one process may send another, and the two answers."""

from msgspec import Raw, Struct


class Accepted(Struct, frozen=True, tag=True):
    """Answer that the wish is granted; what follows shows in topics."""

    detail: str = ""


class RefusedReply(Struct, frozen=True, tag="Refused"):
    """Answer that nothing was changed, and why."""

    reason: str


class Replay(Struct, frozen=True, tag=True):
    """Ask a topic's writer for the messages it still holds, from sequence number `first`."""

    topic: str
    first: int


class Replayed(Struct, frozen=True, tag=True):
    """Answer a `Replay`: the messages still held, in order, and the writer's epoch."""

    epoch: int
    next_sequence: int
    messages: tuple[Raw, ...]
    """Whole envelopes as they were published."""


class Drain(Struct, frozen=True, tag=True):
    """Ask a service to finish what it holds and stop taking on more."""


class StageBundle(Struct, frozen=True, tag=True):
    """Ask `judge` to load, warm and prove a bundle beside the active one; `status.judge` tells how it goes."""

    path: str
    """Folder of the bundle, relative to the station's bundle folder."""
    actor: str
    """Who asks: operator id or `service:<unit>`."""


class ActivateBundle(Struct, frozen=True, tag=True):
    """Ask `judge` to use the staged bundle from the next part on; the one before stays warm."""

    bundle: str
    """Id or path of what is staged, so that nobody activates what another staged meanwhile."""
    actor: str


class RollbackBundle(Struct, frozen=True, tag=True):
    """Ask `judge` to use the bundle before the active one again, from the next part on."""

    actor: str


class ResetFault(Struct, frozen=True, tag=True):
    """Ask `line` to release a latched fault of the microcontroller or the PLC handshake."""

    operator: str


Command = Replay | Drain | StageBundle | ActivateBundle | RollbackBundle | ResetFault
Reply = Accepted | RefusedReply | Replayed
