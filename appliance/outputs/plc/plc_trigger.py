"""Let the PLC make a part: Trigger is held until TriggerAck, and what it asked for is named or counted; pure.

TriggerReady 1 -> Trigger 1 -> the microcontroller makes the part -> TriggerAck 1 -> Trigger 0 -> TriggerAck 0
"""

from msgspec import Struct

from appliance.schema.clocks import MS, HostNs

ANSWER_NS = 200 * MS
"""Longest time from Trigger to the microcontroller's part: ten times the largest wait of its link for one answer."""

LAST_REQUEST = 0xFFFF_FFFF
"""Largest request number; 1 follows."""


class Asked(Struct, frozen=True):
    """Hold how the PLC named a part that it asked for; both 0 where the part sensor made it."""

    sequence: int = 0
    """Its RequestSeq."""
    part: int = 0
    """Its PlcPart."""


BY_SENSOR = Asked()
"""A part that the PLC did not ask for."""


class MissedTrigger(Struct, frozen=True):
    """State that a part the PLC asked for was not inspected."""

    asked: Asked
    reason: str


class PlcTrigger:
    """Follow one Trigger at a time; where the part sensor triggers, refuse each."""

    def __init__(self, first: int, *, enabled: bool) -> None:
        """Count requests up from `first`, which is random: one of an earlier process is none of this."""
        self.enabled = enabled
        self.ack = False
        """TriggerAck: the part was made, and Trigger is still held."""
        self.refused = False
        """MissedTrigger, while Trigger is held."""
        self.due: HostNs | None = None
        """Instant by which the part must have been made; None: none is waited for."""
        self._request = first
        self._asked = BY_SENSOR
        self._held = False
        self._wish: int | None = None

    @property
    def idle(self) -> bool:
        """Whether the next part may come."""
        return not self.enabled or (self.due is None and not self._held)

    def rise(self, asked: Asked, now: HostNs, *, ready: bool) -> bool:
        """Take a Trigger; False when it is refused."""
        self._held = True
        if not (self.enabled and ready):
            self.refused = True
            return False
        self._request = self._request % LAST_REQUEST + 1
        self._asked, self._wish = asked, self._request
        self.due = HostNs(now + ANSWER_NS)
        return True

    def fall(self) -> None:
        """Take Trigger back."""
        self._held = self.ack = self.refused = False

    def wish(self) -> int | None:
        """Give the request that has to go to the microcontroller, once."""
        wish, self._wish = self._wish, None
        return wish

    def made(self, request: int, *, ready: bool) -> Asked | None:
        """Take a part of the microcontroller; None when it is not the one that is waited for."""
        if not self.enabled:
            return BY_SENSOR
        if self.due is None or request != self._request:
            return None
        self.due = None
        self.ack, self.refused = self._held and ready, self._held and not ready
        return self._asked

    def expire(self, now: HostNs) -> Asked | None:
        """Give up a part that was not made in time; its Trigger is refused."""
        return self.cancel() if self.due is not None and now >= self.due else None

    def cancel(self) -> Asked | None:
        """Give up the part that is waited for, if any."""
        if self.due is None:
            return None
        self.due = self._wish = None
        self.refused = self._held
        return self._asked

    def renew(self) -> Asked | None:
        """Begin a new session: what is held in the old one means nothing in it."""
        asked = self.cancel()
        self.fall()
        return asked
