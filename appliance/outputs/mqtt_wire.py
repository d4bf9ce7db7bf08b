"""Hold one connection to a broker: paho in a thread of its own, which ends with the connection.

Its callbacks only hand events over; whoever owns the wire tries again with a new one, so nothing of an old connection
is ever sent into the next.
"""

import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY, Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.outputs.mqtt_desk import Received
from appliance.ports.clock import Clock
from appliance.schema.errors import ConfigError

V5 = MQTTProtocolVersion.MQTTv5
V311 = MQTTProtocolVersion.MQTTv311

CONNECT_TIMEOUT_S = 3.0
"""For TCP, and again for TLS."""

PACKET_LIMIT = 65_536
"""Bytes of a packet that we take, told to the broker; sixteen times the longest wish."""

IDLE_S = 1.0
"""Longest sleep of the thread: the keep-alive is looked at then."""

WITHOUT_RETAINED = 2
"""Retain handling of a subscription: MQTT 5 section 3.8.3.1."""


class Opened(Struct, frozen=True):
    """Tell that CONNECT is on its way."""


class Connected(Struct, frozen=True):
    """Give the broker's answer to CONNECT."""

    code: int
    reason: str
    window: int = 0
    """Receive maximum that the broker names; 0: none."""


class Failed(Struct, frozen=True):
    """Tell that no connection came about."""

    error: Exception


class Disconnected(Struct, frozen=True):
    """Tell that the connection ended."""

    reason: str
    logged: str
    """Error that paho wrote into its log, such as a TLS alert; empty: none."""


class Answered(Struct, frozen=True):
    """Give the broker's answer to a message."""

    mid: int
    is_failure: bool
    reason: str


class Subscribed(Struct, frozen=True):
    """Give why the broker refused subscriptions; empty: it did not."""

    refusal: str


Event = Opened | Connected | Failed | Disconnected | Answered | Subscribed | Received


class Target(Struct, frozen=True):
    """Say where and as whom to connect."""

    host: str
    port: int
    client: str
    keepalive_s: int
    will_topic: str
    will: bytes
    subscriptions: tuple[str, ...] = ()
    """Made on MQTT 5 only."""


class Message(Struct, frozen=True):
    """Give a message to be sent at QoS 1; all but topic and payload is told on MQTT 5 only."""

    topic: str
    payload: bytes
    properties: Sequence[tuple[str, str]] = ()
    """User properties."""
    expiry_s: int | None = None
    correlation: bytes = b""


class Wire:
    """Own one connection from its attempt to its end; `publish` never blocks."""

    def __init__(
        self,
        target: Target,
        protocol: MQTTProtocolVersion,
        context: Callable[[], ssl.SSLContext | None],
        tell: Callable[[Event], None],
        clock: Clock,
        window: int,
    ) -> None:
        """Begin to connect. `context` and `tell` are called from the wire's thread; `context` may raise ConfigError."""
        self._target = target
        self._is_5 = protocol is V5
        self._context = context
        self._tell = tell
        self._clock = clock
        self._logged = ""
        self._is_stopped = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._client = self._make(protocol, window)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._thread.start()

    def publish(self, message: Message, *, retain: bool = False) -> int:
        """Send a message; gives the number that its `Answered` carries."""
        properties = _properties(message) if self._is_5 else None
        info = self._client.publish(message.topic, message.payload, 1, retain, properties)
        os.eventfd_write(self._wake, 1)
        return int(info.mid)

    @property
    def lives(self) -> bool:
        """Whether the thread runs: it may end without a word where the broker breaks the protocol."""
        return self._thread.is_alive()

    def stop(self, *, orderly: bool) -> None:
        """End the connection and its thread. orderly: with goodbye, so that the broker sends no will.

        Waits for a connection attempt in progress, up to 6 s.
        """
        self._is_stopped = True
        if orderly:
            self._client.disconnect()
            os.eventfd_write(self._wake, 1)
            self._thread.join(CONNECT_TIMEOUT_S)
        self._cut()
        self._thread.join()
        os.close(self._wake)

    def _cut(self) -> None:
        """End the socket under paho: its thread sees the end at once, whatever it waits for."""
        open_socket: Any = self._client.socket()
        if open_socket is not None:
            with suppress(OSError):  # not SSLSocket's own, which would take TLS away under a thread that writes
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def _run(self) -> None:
        try:
            self._connect()
        except (OSError, ValueError, ConfigError) as error:
            self._tell(Failed(error))
            return
        self._tell(Opened())
        if self._is_stopped:  # `stop` found no socket yet
            self._cut()
        while self._turn():
            pass

    def _connect(self) -> None:
        target = self._target
        context = self._context()
        if context is not None:
            self._client.tls_set_context(context)
        properties = None
        if self._is_5:
            properties = Properties(PacketTypes.CONNECT)
            properties.MaximumPacketSize = PACKET_LIMIT
        clean = True if self._is_5 else MQTT_CLEAN_START_FIRST_ONLY
        self._client.connect(target.host, target.port, target.keepalive_s, clean_start=clean, properties=properties)

    def _turn(self) -> bool:
        """Wait for the broker or for something to send, and serve both; False once the connection is gone."""
        open_socket: Any = self._client.socket()
        if open_socket is None:
            return False
        try:
            held = open_socket.pending() if isinstance(open_socket, ssl.SSLSocket) else 0
            writing = [open_socket] if self._client.want_write() else []
            reading, _, _ = select.select([open_socket, self._wake], writing, [], 0 if held else IDLE_S)
        except ValueError:  # closed meanwhile
            return False
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        if open_socket in reading or held:
            self._client.loop_read()
        if self._client.want_write():
            self._client.loop_write()
        self._client.loop_misc()
        return True

    def _make(self, protocol: MQTTProtocolVersion, window: int) -> Client:
        target = self._target
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=target.client,
            protocol=protocol,
            clean_session=None if self._is_5 else True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(window)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.suppress_exceptions = True  # of a callback, such as for a topic that is no text; paho logs it
        client.will_set(target.will_topic, target.will, qos=1, retain=True)

        def on_connect(_client: Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
            self._tell(Connected(code.value, str(code), getattr(properties, "ReceiveMaximum", 0)))
            if code.value == 0 and self._is_5 and target.subscriptions:
                options = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=WITHOUT_RETAINED)
                client.subscribe([(topic, options) for topic in target.subscriptions])

        def on_disconnect(_client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
            self._tell(Disconnected(str(code), self._logged))

        def on_publish(_client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
            self._tell(Answered(mid, code.is_failure, str(code)))

        def on_subscribe(_client: Client, _data: Any, _mid: int, codes: Sequence[ReasonCode], _props: Any) -> None:
            self._tell(Subscribed(next((str(code) for code in codes if code.is_failure), "")))

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            self._tell(self._received(message))

        def on_log(_client: Client, _data: Any, level: int, text: str) -> None:
            if level == LogLevel.MQTT_LOG_ERR:
                self._logged = text

        client.on_socket_register_write = lambda *_: None  # so that `publish` leaves the writing to the thread
        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_publish = on_publish
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.on_log = on_log
        return client

    def _received(self, message: MQTTMessage) -> Received:
        properties = message.properties
        return Received(
            message.topic,
            message.payload,
            self._clock.now(),
            message.retain,
            getattr(properties, "ResponseTopic", ""),
            getattr(properties, "CorrelationData", b""),
            getattr(properties, "MessageExpiryInterval", None),
        )


def _properties(message: Message) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "application/json"
    properties.UserProperty = list(message.properties)
    if message.expiry_s is not None:
        properties.MessageExpiryInterval = message.expiry_s
    if message.correlation:
        properties.CorrelationData = message.correlation
    return properties


class Mailbox:
    """Carry events from a wire's threads to the loop, which its descriptor wakes."""

    def __init__(self) -> None:
        self._events: list[tuple[int, Event]] = []
        self._lock = threading.Lock()
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def put(self, generation: int, event: Event) -> None:
        """Add an event; from any thread."""
        with self._lock:
            self._events.append((generation, event))
            if self.descriptor >= 0:
                os.eventfd_write(self.descriptor, 1)

    def take(self) -> list[tuple[int, Event]]:
        """Give all events since the last call, with the number of their wire."""
        with self._lock:
            with suppress(BlockingIOError):
                os.eventfd_read(self.descriptor)
            events, self._events = self._events, []
        return events

    def close(self) -> None:
        """Give the descriptor back; events that come later are forgotten."""
        with self._lock:
            os.close(self.descriptor)
            self.descriptor = -1
