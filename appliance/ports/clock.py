"""Say where time comes from."""

from typing import Protocol

from appliance.schema.clocks import HostNs, UtcNs


class Clock(Protocol):
    """Tell the time; the system's in service, a manual one in the simulated world."""

    def now(self) -> HostNs:
        """CLOCK_MONOTONIC, ns."""

    def utc(self) -> UtcNs:
        """Wall clock in UTC, ns."""
