"""Hold one MQTT session at a time for the edge node; paho's thread only puts events into a queue and wakes the loop.

Each CONNECT carries its own will, so a session is never resumed and paho never makes a second CONNECT by itself.
"""

import os
import ssl
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from appliance.config_plant import Mqtt
from appliance.outputs.sparkplug.edge import Message
from appliance.outputs.tls import why

CONNECT_TIMEOUT_S = 3.0
RECONNECT_S = (0.2, 30.0)

COMMANDS = 1000
"""Messages of the broker not yet looked at; further ones are let go and counted."""


class Opened(Struct, frozen=True):
    """State that the broker took the TCP connection."""


class Connected(Struct, frozen=True):
    """State the broker's answer to CONNECT; code 0: it took it."""

    code: int
    reason: str


class Gone(Struct, frozen=True):
    """State that the connection ended."""

    reason: str


class Unreachable(Struct, frozen=True):
    """State that there was no connection; the same CONNECT is tried again."""

    reason: str


class Granted(Struct, frozen=True):
    """State the broker's answer to a SUBSCRIBE."""

    mid: int
    refused: str
    """Empty: all topics were granted."""


class Heard(Struct, frozen=True):
    """Carry a message of the broker."""

    topic: str
    payload: bytes
    retained: bool


Event = Opened | Connected | Gone | Unreachable | Granted | Heard


class Connection:
    """Own the MQTT client; called from one thread, `stop` may wait up to `CONNECT_TIMEOUT_S`."""

    def __init__(self, mqtt: Mqtt, client_id: str) -> None:
        self._mqtt = mqtt
        self._client_id = client_id
        self._client: _Client | None = None
        self._generation = 0
        self._events: deque[tuple[int, Event]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.protocol = MQTTProtocolVersion.MQTTv5
        self.flooded = 0
        """Messages let go unread."""

    def fileno(self) -> int:
        """Descriptor that is readable when there are events; -1 once closed."""
        return self._wake

    @property
    def is_open(self) -> bool:
        """Whether a session exists or is tried for."""
        return self._client is not None

    def switch_protocol(self) -> str:
        """Use the other protocol version at the next `open`; gives its name."""
        is_5 = self.protocol is MQTTProtocolVersion.MQTTv5
        self.protocol = MQTTProtocolVersion.MQTTv311 if is_5 else MQTTProtocolVersion.MQTTv5
        return str(self.protocol.name)

    def open(self, will: Message, context: ssl.SSLContext | None) -> None:
        """Begin a session; clean start, and it ends with its connection."""
        self._generation += 1
        is_5 = self.protocol is MQTTProtocolVersion.MQTTv5
        client = self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=self.protocol,
            clean_session=None if is_5 else True,
            reconnect_on_failure=False,
        )
        self._listen(client, self._generation)
        client.reconnect_delay_set(*RECONNECT_S)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(will.topic, will.payload, qos=will.qos, retain=False)
        if context is not None:
            client.tls_set_context(context)
        if is_5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0
            client.connect_async(
                self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s, clean_start=True, properties=properties
            )
        else:
            client.connect_async(self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s)
        client.loop_start()

    def publish(self, message: Message) -> None:
        """Send a message, not retained."""
        if self._client is not None:
            self._client.publish(message.topic, message.payload, qos=message.qos, retain=False)

    def subscribe(self, topics: Sequence[str]) -> int | None:
        """Ask for topics with QoS 1; gives the id that `Granted` will carry, None when it cannot be asked."""
        if self._client is None:
            return None
        mid: int | None = self._client.subscribe([(topic, 1) for topic in topics])[1]
        return mid

    def take(self) -> Iterator[Event]:
        """Give the events of the present session, in order."""
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._events:
            generation, event = self._events.popleft()
            if generation == self._generation:
                yield event

    def stop(self) -> None:
        """End the session; a broker of MQTT 5 publishes the will too."""
        client, self._client = self._client, None
        self._generation += 1
        if client is None:
            return
        if self.protocol is MQTTProtocolVersion.MQTTv5:
            client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        else:
            client.disconnect()
        client.loop_stop()

    def close(self) -> None:
        """End the session for good."""
        self.stop()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def _listen(self, client: "_Client", generation: int) -> None:
        """Let paho's thread tell what happens."""

        def tell(event: Event) -> None:
            self._events.append((generation, event))
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

        def on_disconnect(_client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
            tell(Gone(_reason(client.fault) if client.fault else str(code)))

        def on_subscribe(_client: Client, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
            tell(Granted(mid, next((str(code) for code in codes if code.is_failure), "")))

        def on_message(_client: Client, _data: Any, message: MQTTMessage) -> None:
            if len(self._events) >= COMMANDS:
                self.flooded += 1
                return
            tell(Heard(message.topic, bytes(message.payload), bool(message.retain)))

        def on_log(_client: Client, _data: Any, level: int, text: str) -> None:
            if level == LogLevel.MQTT_LOG_ERR:
                client.fault = text

        def on_connect(_client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
            client.fault = ""  # of attempts before
            tell(Connected(code.value, str(code)))

        client.on_socket_open = lambda *_: tell(Opened())
        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_connect_fail = lambda *_: tell(Unreachable(_reason(client.fault)))
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.on_log = on_log


class _Client(Client):  # type: ignore[misc]  # paho is untyped here
    """Keep why a connection failed, which paho tells nobody."""

    fault: BaseException | str = ""

    def reconnect(self) -> Any:
        """Connect; the error is kept on its way."""
        try:
            return super().reconnect()
        except OSError as error:
            self.fault = error
            raise


def _reason(fault: BaseException | str) -> str:
    return "; ".join(why(fault)) if fault else "no answer"
