"""Time the PLC's next answer; pure."""

from appliance.schema.clocks import HostNs

RELEASED = 0
"""Phase in which ResultAck has to go back to 0; numbers of results begin at 1."""


class AckWatch:
    """Give each phase of the handshake its own time."""

    def __init__(self, limit_ns: int) -> None:
        """limit_ns: longest time for one answer."""
        self.due: HostNs | None = None
        """Instant by which the PLC must have answered; None: nothing is waited for."""
        self._phase: int | None = None
        self._limit = limit_ns

    def follow(self, phase: int | None, now: HostNs) -> None:
        """Learn what is waited for: the acknowledgement of a result by its number, `RELEASED`, or nothing."""
        if phase != self._phase:
            self._phase = phase
            self.due = None if phase is None else HostNs(now + self._limit)

    def again(self) -> None:
        """Give the present phase another turn."""
        self._phase = None

    def expired(self, now: HostNs) -> bool:
        """Tell once that the answer did not come."""
        late = self.due is not None and now >= self.due
        if late:
            self.due = None
        return late
