"""Beat for the PLC and listen to its heart; pure."""

from appliance.schema.clocks import MS, HostNs

HEARTBEAT_NS = 50 * MS
"""Half the 100 ms the PLC is promised, so that one late turn of the loop does not break the promise."""


class Heartbeat:
    """Toggle our bit, and know how long the PLC's was still."""

    def __init__(self, now: HostNs, stale_ns: int) -> None:
        """stale_ns: the PLC is gone when nothing of it moved for so long."""
        self.bit = False
        self.due = now
        """Instant of our next toggle."""
        self._stale = stale_ns
        self._until: HostNs | None = None

    def advance(self, now: HostNs) -> None:
        """Toggle when it is due."""
        if now >= self.due:
            self.bit = not self.bit
            self.due = HostNs(now + HEARTBEAT_NS)

    def heard(self, now: HostNs) -> None:
        """Learn that the PLC's heartbeat moved."""
        self._until = HostNs(now + self._stale)

    def stale_at(self, now: HostNs) -> HostNs | None:
        """Give the instant at which the PLC is gone if nothing moves; None: it is gone."""
        return self._until if self._until is not None and now < self._until else None
