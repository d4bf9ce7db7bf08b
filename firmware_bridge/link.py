"""The host's end of the MCU link, sans-IO: bytes and instants in, messages and bytes out.

The caller owns the wire, the clock and the loop: it hands received bytes to `feed`, writes what `outgoing` gives, and
comes back no later than `wake_at`. Nothing here blocks, waits or opens anything.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from appliance.schema.clocks import MS, HostNs
from appliance.schema.errors import LinkError
from firmware_bridge import framing, messages
from firmware_bridge.events import EventOrder, EventsLost
from firmware_bridge.framing import Decoder, Frame
from firmware_bridge.messages import Arm, ClockRequest, Heartbeat, Hello, HelloAck, Message, Stats
from firmware_bridge.window import Window

HELLO_NS = 100 * MS
HEARTBEAT_NS = 50 * MS
SILENCE_NS = 500 * MS
CLOCK_FAST_NS = 20 * MS
CLOCK_NS = 245 * MS
"""Odd against the heartbeat, so that the two do not beat."""
CLOCK_FAST_COUNT = 16


class Link:
    """Sessions with one MCU.

    new_session: gives a fresh random u32, not 0, for each session
    now: the instant at which the first Hello is due
    """

    def __init__(self, new_session: Callable[[], int], now: HostNs) -> None:
        self.hello: HelloAck | None = None
        self.mismatch: str | None = None
        self.sessions = 0
        self.stale_frames = 0
        self.unsent = 0
        self._new_session = new_session
        self._decoder = Decoder()
        self._events = EventOrder()
        self._past_retransmits = 0
        self._window = Window()
        self._direct: list[bytes] = []
        self._clock_asked = 0
        self._key = 0
        self._hello_due = now
        self._open(now)

    # ---- in ----

    def feed(self, data: bytes, now: HostNs) -> list[Message | EventsLost]:
        """Return the MCU's messages in order; events come once each, in event order, the gaps filled.

        A HelloAck in the answer begins a session: messages sent before are gone, the MCU is disarmed, parts triggered
        before are old_session rejects. EventsLost names events that the MCU no longer holds.
        """
        out: list[Message | EventsLost] = []
        for frame in self._decoder.feed(data):
            out += self._take(frame, now)
        return out

    def _take(self, frame: Frame, now: HostNs) -> list[Message | EventsLost]:
        if frame.id == messages.IDS[HelloAck]:
            return self._take_hello(frame, now)
        if self.hello is None or frame.key != self._key or frame.version != messages.PROTOCOL_VERSION:
            self.stale_frames += 1
            return []
        self._heard = now
        if frame.flags & framing.ACK:
            self._window.acknowledge(frame.ack, nak=bool(frame.flags & framing.NAK), now=now)
        message = _unpack(frame)
        if message is None or isinstance(message, messages.Ack):
            return []
        if isinstance(message, messages.EVENTS):
            return list(self._events.take(message))
        if isinstance(message, Stats):
            return [*self._events.known(message.oldest_event, message.next_event), message]
        return [message]

    def _take_hello(self, frame: Frame, now: HostNs) -> list[Message | EventsLost]:
        if frame.key != self.session:
            self.stale_frames += 1
            return []
        hello = _unpack(frame)
        if not isinstance(hello, HelloAck):
            self.mismatch = f"mcu: HelloAck of protocol {frame.version} unreadable; flash the firmware of this release"
            return []
        if self.hello is not None and hello.boot != self.hello.boot:
            self._open(now)  # the MCU restarted under our session
        if self.hello is not None or hello.host_session != self.session:
            return []
        self.hello, self.mismatch, self._heard = hello, _mismatch(hello), now
        self._key = self.session ^ hello.boot
        self._heartbeat_due = self._clock_due = now
        return [hello, *self._events.start(hello.boot, hello.oldest_event, hello.next_event)]

    # ---- out ----

    def send(self, message: Message, now: HostNs) -> bool:
        """Queue a message for the MCU; False when there is no session or no room, and then it is gone.

        Raises LinkError for Arm towards an MCU of another protocol version or schema.
        """
        if isinstance(message, Arm) and self.mismatch:
            raise LinkError(self.mismatch)
        if self.hello is None or now - self._heard >= SILENCE_NS:
            self.unsent += 1
            return False
        packed = messages.PACK[type(message)](message)
        if isinstance(message, messages.RELIABLE):
            queued = self._window.push(messages.IDS[type(message)], packed)
            self.unsent += not queued
            return queued
        self._direct.append(self._frame(messages.IDS[type(message)], packed))
        return True

    def outgoing(self, now: HostNs) -> bytes:
        """Return the bytes to write now; a new session begins here after silence."""
        if self.hello is not None and now - self._heard >= SILENCE_NS:
            self._open(now)
        if self.hello is None:
            if now < self._hello_due:
                return b""
            self._hello_due = HostNs(now + HELLO_NS)
            return self._frame(messages.IDS[Hello], messages.PACK[Hello](Hello(self.session)), key=self.session)
        out = self._direct
        self._direct = []
        if now >= self._heartbeat_due:
            self._heartbeat_due = HostNs(now + HEARTBEAT_NS)
            out.append(self._message(Heartbeat(now)))
        for seq, message_id, payload in self._window.due(now):
            out.append(self._frame(message_id, payload, flags=framing.RELIABLE, seq=seq))
        request = self._events.request(now)
        if request is not None:
            out.append(self._message(request))
        if now >= self._clock_due:
            self._clock_asked += 1
            self._clock_due = HostNs(now + (CLOCK_FAST_NS if self._clock_asked < CLOCK_FAST_COUNT else CLOCK_NS))
            out.append(self._message(ClockRequest(now)))
        return b"".join(out)

    @property
    def wake_at(self) -> HostNs | None:
        """The instant at which `outgoing` has something to say, the past when it has already."""
        if self.hello is None:
            return self._hello_due
        if self._direct:
            return HostNs(0)
        silent = HostNs(self._heard + SILENCE_NS)
        times = (self._heartbeat_due, self._clock_due, silent, self._window.wake_at, self._events.wake_at)
        return min(t for t in times if t is not None)

    # ---- state ----

    @property
    def connected(self) -> bool:
        """True from HelloAck until silence."""
        return self.hello is not None

    @property
    def idle(self) -> bool:
        """True when the MCU has acknowledged every reliable message."""
        return self._window.empty

    @property
    def retransmits(self) -> int:
        """Reliable frames sent more than once, in all sessions."""
        return self._past_retransmits + self._window.retransmits

    @property
    def crc_errors(self) -> int:
        """Damaged frames received."""
        return self._decoder.damaged

    @property
    def gaps(self) -> int:
        """Times at which an event was missing and asked for again."""
        return self._events.gaps

    def _open(self, now: HostNs) -> None:
        self._past_retransmits += self._window.retransmits
        self.session = self._new_session() & 0xFFFFFFFF or 1
        self.sessions += 1
        self.hello = None
        self._key = 0
        self._heard = now
        self._hello_due = now
        self._heartbeat_due = self._clock_due = now
        self._clock_asked = 0
        self._window = Window()
        self._direct = []

    def _message(self, message: Message) -> bytes:
        return self._frame(messages.IDS[type(message)], messages.PACK[type(message)](message))

    def _frame(self, message_id: int, payload: bytes, flags: int = 0, seq: int = 0, key: int | None = None) -> bytes:
        key = self._key if key is None else key
        return framing.encode(Frame(messages.PROTOCOL_VERSION, message_id, flags, seq, 0, key, payload))


def _unpack(frame: Frame) -> Message | None:
    """Return the frame's message, or None when this schema does not know it."""
    unpack = messages.UNPACK.get(frame.id)
    if unpack is None:
        return None
    try:
        return unpack(frame.payload)
    except (struct.error, ValueError):  # another layout, or an enum value of a later schema
        return None


def _mismatch(hello: HelloAck) -> str | None:
    if (hello.version, hello.schema_hash) == (messages.PROTOCOL_VERSION, messages.SCHEMA_HASH):
        return None
    return (
        f"mcu: protocol {hello.version} schema {hello.schema_hash:08x} differs from the host's "
        f"{messages.PROTOCOL_VERSION} {messages.SCHEMA_HASH:08x}; not armed, flash the firmware of this release"
    )
