"""Say how the OPC UA server is doing."""

from msgspec import Struct

from appliance.outputs.opcua.messages import Served
from appliance.schema.clocks import HostNs, S
from appliance.schema.health import Component, Condition

RECENT = 60 * S
"""Losses degrade the component for this time after the last one; the counts stay."""


class Counts(Struct, frozen=True):
    """Hold what was counted since the service began."""

    progress: int = 0
    served: Served = Served(0)
    missed: int = 0
    """Results that this service never heard of."""
    lost_at: HostNs | None = None
    """Newest instant at which anything was lost."""
    is_new_drop: bool = False
    """Messages were dropped since `seen`."""

    def after(self, served: Served, now: HostNs) -> "Counts":
        """Count what the server's thread states; each statement is progress, since that thread lives."""
        old = self.served
        dropped = served.dropped > old.dropped
        lost_at = now if dropped or served.overflowed > old.overflowed else self.lost_at
        return Counts(self.progress + 1, served, self.missed, lost_at, self.is_new_drop or dropped)

    def miss(self, count: int, now: HostNs) -> "Counts":
        """Count results that were never heard of."""
        return Counts(self.progress, self.served, self.missed + count, now, self.is_new_drop)

    def seen(self) -> "Counts":
        """Note that the drops were told."""
        return Counts(self.progress, self.served, self.missed, self.lost_at)


def component(counts: Counts, sessions: int, subscriptions: int, now: HostNs) -> Component:
    """State the server's condition."""
    served = counts.served
    told = f"{sessions} sessions, {subscriptions} subscriptions, {served.events} events told"
    lost = (
        f"; {counts.missed} results lost, {served.dropped} not told, {served.overflowed} missed by slow clients"
        if counts.missed or served.dropped or served.overflowed
        else ""
    )
    if lost and counts.lost_at is not None and now < counts.lost_at + RECENT:
        remedy = "let the client publish faster or ask for a longer queue; the record database holds every result"
        return Component("server", Condition.DEGRADED, told + lost, remedy)
    return Component("server", Condition.OK, told + lost)
