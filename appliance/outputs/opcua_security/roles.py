"""Name who may do what over OPC UA."""

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """Order the roles; each may do what those before it may."""

    OBSERVER = "observer"
    """Reads, browses, subscribes."""
    OPERATOR = "operator"
    """Starts and stops jobs, confirms messages."""
    ENGINEER = "engineer"
    """Aborts, halts, resets, changes the recipe."""


class Caller(Struct, frozen=True):
    """Name the person behind a service call."""

    user: str
    role: Role

    @property
    def actor(self) -> str:
        """Name for commands and the audit chain."""
        return f"opcua:{self.user}"


def suffices(held: Role, needed: Role) -> bool:
    """Say whether a role may do what is kept for another."""
    order = list(Role)
    return order.index(held) >= order.index(needed)
