"""Reliable, ordered sending to the MCU: window of 8, cumulative acknowledgement, adaptive time-out, go-back-N."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from appliance.schema.clocks import MS, HostNs

SIZE = 8
QUEUE_LIMIT = 64
"""Frames waiting behind the window; more means that the link is not keeping up and decisions would come late."""
RTO_MIN_NS = 10 * MS
RTO_MAX_NS = 200 * MS


class Outgoing(NamedTuple):
    """One reliable frame to put on the wire."""

    seq: int
    id: int
    payload: bytes


class _Flying:
    """One frame sent and not acknowledged."""

    __slots__ = ("id", "payload", "sent", "sent_again", "seq")

    def __init__(self, seq: int, message_id: int, payload: bytes, now: HostNs) -> None:
        self.seq = seq
        self.id = message_id
        self.payload = payload
        self.sent = now
        self.sent_again = False


class Window:
    """Frames of one session on their way to the MCU."""

    def __init__(self) -> None:
        self.retransmits = 0
        self._flying: deque[_Flying] = deque()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._seq = 0
        self._srtt_ns = 0.0
        self._var_ns = 0.0
        self._rto_ns = 50 * MS
        self._resend = False

    def push(self, message_id: int, payload: bytes) -> bool:
        """Queue one message; False when the queue is full."""
        if len(self._waiting) >= QUEUE_LIMIT:
            return False
        self._waiting.append((message_id, payload))
        return True

    def acknowledge(self, ack: int, *, nak: bool, now: HostNs) -> None:
        """Take the header's acknowledgement of a frame that came at `now`."""
        done = (ack - (self._flying[0].seq - 1)) & 0xFF if self._flying else 0
        if done <= len(self._flying):
            for _ in range(done):
                first = self._flying.popleft()
                if not first.sent_again:  # Karn: a repeated frame has no round-trip time
                    self._measure(now - first.sent)
        # Once per round trip is enough: the frames behind the lost one each draw the same NAK.
        if nak and self._flying and now - self._flying[0].sent >= self._srtt_ns / 2:
            self._resend = True

    def due(self, now: HostNs) -> list[Outgoing]:
        """Return the frames to send now, old ones first."""
        out = []
        if self._flying and (self._resend or now - self._flying[0].sent >= self._rto_ns):
            if not self._resend:
                self._rto_ns = min(2 * self._rto_ns, RTO_MAX_NS)
            for frame in self._flying:
                frame.sent, frame.sent_again = now, True
                out.append(Outgoing(frame.seq, frame.id, frame.payload))
            self.retransmits += len(out)
        self._resend = False
        while self._waiting and len(self._flying) < SIZE:
            message_id, payload = self._waiting.popleft()
            self._seq = (self._seq + 1) & 0xFF
            self._flying.append(_Flying(self._seq, message_id, payload, now))
            out.append(Outgoing(self._seq, message_id, payload))
        return out

    @property
    def empty(self) -> bool:
        """True when every message was acknowledged."""
        return not self._flying and not self._waiting

    @property
    def wake_at(self) -> HostNs | None:
        """The instant of the next time-out, or the past when a frame can go at once."""
        if self._resend or (self._waiting and len(self._flying) < SIZE):
            return HostNs(0)
        return HostNs(self._flying[0].sent + self._rto_ns) if self._flying else None

    def _measure(self, rtt_ns: int) -> None:
        """Smooth the round-trip time, RFC 6298 section 2 with our own bounds."""
        if not self._srtt_ns:
            self._srtt_ns, self._var_ns = float(rtt_ns), rtt_ns / 2
        else:
            self._var_ns += (abs(rtt_ns - self._srtt_ns) - self._var_ns) / 4
            self._srtt_ns += (rtt_ns - self._srtt_ns) / 8
        self._rto_ns = int(min(max(self._srtt_ns + 4 * self._var_ns, RTO_MIN_NS), RTO_MAX_NS))
