"""Know where the belt is, as far as the microcontroller tells, and when to ask it again."""

from collections.abc import Iterable

from msgspec.structs import replace

from appliance.config_mcu import Mcu
from appliance.decision.deadline import latest, too_fast
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.part import BeltPosition, PartEntered
from firmware_bridge.clocksync import ClockSync
from firmware_bridge.messages import ClockRequest

ASK_AHEAD = 25 * MS
"""A question about the belt goes out this long before a part without a decision would be late: time for the answer."""

ASK_AGAIN = 20 * MS
"""Shortest time between two questions; as often as the link asks in the first moments of a session."""


class Belt:
    """Keep the belt's newest position within one boot of the microcontroller, and doubt it when it was too fast."""

    def __init__(self, settings: Mcu, way: int) -> None:
        """Take the belt's largest speed, and the way from sensor to gate, counts."""
        self.fastest = settings.belt_mm_s * settings.counts_per_mm
        """Counts per s."""
        self.position: BeltPosition | None = None
        self.asked: set[int] = set()
        """Host instants of own questions under way, ns."""
        self._way = way
        self.ask_at: HostNs | None = None
        """When to ask next; None: no part waits for it."""
        self._doubted_to: int | None = None
        self._not_before = HostNs(0)

    def saw(self, tick: int, counts: int, clock: ClockSync, boot: int) -> str:
        """Take a reading of the encoder; give what a person must know of it, mostly nothing.

        While the belt was seen faster than configured, and until all that was on it then is past the gate, positions
        state the speed 0: no deadline moves.
        """
        at, uncertainty = clock.to_host(McuTicks(tick))
        seen = BeltPosition(at, uncertainty, EncoderCounts(counts), self.fastest, boot)
        before, doubted = self.position, self._doubted_to is not None
        if before is not None and before.boot == boot and at <= before.at:
            return ""
        if before is not None and too_fast(before, seen):
            self._doubted_to = counts + self._way
        elif self._doubted_to is not None and counts >= self._doubted_to:
            self._doubted_to = None
        trusted = self._doubted_to is None
        self.position = seen if trusted else replace(seen, fastest=0.0)
        if doubted or trusted or before is None:
            return ""
        speed = abs(counts - before.at_counts) * S / (at - before.at)
        return (
            f"belt moved at {speed:.0f} counts/s, {self.fastest:.0f} are configured; slow it down or raise "
            "mcu.belt_mm_s; deadlines no longer wait for a slow belt"
        )

    def forget(self) -> None:
        """Begin anew: the microcontroller restarted, and its encoder with it."""
        self.position, self._doubted_to = None, None
        self.asked.clear()

    def closes(self, entered: PartEntered) -> HostNs:
        """Give the last instant at which a decision on a part is in time."""
        return latest(entered, self.position)

    def plan(self, undecided: Iterable[PartEntered], now: HostNs) -> None:
        """Plan the next question: before a part that still waits for its decision would be late."""
        ends = [end for end in map(self.closes, undecided) if end >= now]
        self.ask_at = max(self._not_before, HostNs(min(ends) - ASK_AHEAD)) if ends else None

    def ask(self, now: HostNs) -> ClockRequest:
        """Give a question, to be sent at once."""
        self._not_before = HostNs(now + ASK_AGAIN)
        self.asked = {at for at in self.asked if now - at < S} | {int(now)}
        return ClockRequest(now)
