"""Bring the outbox to an MQTT broker: QoS 1, MQTT 5, or 3.1.1 where the broker knows no better.

paho runs its network in its own thread; its callbacks only put events into a queue and wake the loop. A row leaves the
outbox when its PUBACK carries no failure code: an access-control denial shows nowhere else, `publish` and
`is_published` both claim success then.
"""

import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from msgspec import Struct
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from appliance.outputs.outbox import Outbox, Waiting
from appliance.ports.clock import Clock
from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import StoreError

WINDOW = 20
"""Messages in flight; the receive maximum a Mosquitto grants by default."""

UNSUPPORTED = (0x84, 0x01)
"""CONNACK codes for an unknown protocol version: MQTT 5 section 3.2.2.2, MQTT 3.1.1 section 3.2.2.3."""

ANSWER_LIMIT = 2 * S
"""An older broker may neither answer nor close a CONNECT it does not understand; then the other version is tried."""

RECONNECT_S = (0.2, 30.0)
CONNECT_TIMEOUT_S = 3.0
FIRST_PAUSE = 1 * S
LONGEST_PAUSE = 60 * S
TURN = 1 * S
"""Pause between looks at expiry and at rows that nobody announced."""

log = structlog.get_logger()


class OutboxGrew(Struct, frozen=True, tag=True):
    """Tell the output that the outbox holds something new."""


class MqttState(Struct, frozen=True, tag=True):
    """State how the connection is doing; sent at every change."""

    connected: bool = False
    protocol: str = ""
    """`5` or `3.1.1`; empty before the first connection."""
    fault: str = ""
    """Why there is no connection."""
    denied: str = ""
    """What the broker refused, and its reason; empty when it takes everything."""
    expired: int = 0
    """Messages given up in this run because their expiry passed."""
    unnoted: str = ""
    """Why the outbox cannot note the broker's answers; they are kept, and their messages are not sent again."""


class _Opened(Struct, frozen=True):
    pass


class _Connected(Struct, frozen=True):
    code: int
    reason: str


class _Disconnected(Struct, frozen=True):
    reason: str


class _Unreachable(Struct, frozen=True):
    pass


class _Answered(Struct, frozen=True):
    mid: int
    is_failure: bool
    reason: str


class MqttOutput:
    """Own the connection to one broker; a Device: called from the loop's thread, never blocks but in `close`."""

    def __init__(self, outbox: Outbox, host: str, port: int, prefix: str, keepalive_s: int, clock: Clock) -> None:
        """`prefix`: `insp/v1/<site>/<line>/<station>`; also names the client, so that a second one shows."""
        self._outbox = outbox
        self._address = (host, port)
        self._prefix = prefix
        self._keepalive_s = keepalive_s
        self._clock = clock
        self._state = MqttState()
        self._told = MqttState(connected=True)
        self._events: deque[tuple[int, Struct]] = deque()
        self._sent: dict[int, Waiting | None] = {}  # mid -> row, None for our own state message
        self._unnoted: list[_Answered] = []
        self._generation = 0
        self._protocol = MQTTProtocolVersion.MQTTv5
        self._client: Client | None = None
        self._unanswered_since: HostNs | None = None
        self._pause = 0
        self._quiet_until = HostNs(0)
        self._turn_at = HostNs(0)
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Descriptor that is readable when the broker answered."""
        return self._ready

    @property
    def wake_at(self) -> HostNs | None:
        """Next look at the outbox."""
        return self._turn_at

    def read(self, now: HostNs) -> Sequence[MqttState]:
        """Handle the broker's answers and send what the window allows; gives the state when it changed."""
        if self._ready < 0:
            return ()
        self._clear()
        if self._client is None:
            self._connect()
        while self._events:
            generation, event = self._events.popleft()
            if generation == self._generation:
                self._handle(event, now)
        if self._unanswered_since is not None and now >= self._unanswered_since + ANSWER_LIMIT:
            self._switch_protocol("no answer to CONNECT")
        if now >= self._turn_at:
            self._turn_at = HostNs(now + TURN)
            self._catch_up(now)
        self._send(now)
        if self._state == self._told:
            return ()
        self._told = self._state
        return (self._state,)

    def write(self, message: Struct, now: HostNs) -> None:
        """Send what the outbox holds."""
        self._send(now)

    def close(self) -> None:
        """Say goodbye and end paho's thread; waits up to 3 s for a connection attempt in progress."""
        if self._ready < 0:
            return
        if self._state.connected and self._client is not None:
            goodbye = self._publish_state(is_online=False)
            if goodbye is not None:
                _wait_for(goodbye)
        self._stop()
        os.close(self._ready)
        self._ready = -1

    def _connect(self) -> None:
        self._generation += 1
        generation = self._generation
        is_5 = self._protocol is MQTTProtocolVersion.MQTTv5
        name = self._prefix.replace("/", "-")
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=self._protocol, clean_session=None if is_5 else True
        )
        client.max_inflight_messages_set(WINDOW)
        client.reconnect_delay_set(*RECONNECT_S)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(f"{self._prefix}/state", b'{"online":false}', qos=1, retain=True)

        def on_socket_open(_client: Client, _data: Any, _socket: Any) -> None:
            self._event(generation, _Opened())

        def on_connect(_client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
            self._event(generation, _Connected(code.value, str(code)))

        def on_disconnect(_client: Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
            self._event(generation, _Disconnected(str(code)))

        def on_connect_fail(_client: Client, _data: Any) -> None:
            self._event(generation, _Unreachable())

        def on_publish(_client: Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
            self._event(generation, _Answered(mid, code.is_failure, str(code)))

        client.on_socket_open = on_socket_open
        client.on_connect = on_connect
        client.on_disconnect = on_disconnect
        client.on_connect_fail = on_connect_fail
        client.on_publish = on_publish
        client.connect_async(self._address[0], self._address[1], keepalive=self._keepalive_s)
        client.loop_start()
        self._client = client

    def _stop(self) -> None:
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _event(self, generation: int, event: Struct) -> None:
        """Hand an event over from paho's thread."""
        self._events.append((generation, event))
        if self._ready >= 0:
            os.eventfd_write(self._ready, 1)

    def _handle(self, event: Struct, now: HostNs) -> None:
        self._unanswered_since = now if isinstance(event, _Opened) else None
        match event:
            case _Connected(code=0):
                self._on_connected()
            case _Connected(code=code) if code in UNSUPPORTED:
                self._switch_protocol(event.reason)
            case _Connected(reason=reason):
                self._change(connected=False, fault=f"broker {self._where} refused the connection: {reason}")
            case _Unreachable():
                self._change(connected=False, fault=f"broker {self._where} cannot be reached")
            case _Disconnected(reason=reason):
                self._on_disconnected(reason)
            case _Answered():
                self._on_answered(event, now)

    def _on_connected(self) -> None:
        protocol = "5" if self._protocol is MQTTProtocolVersion.MQTTv5 else "3.1.1"
        self._change(connected=True, protocol=protocol, fault="")
        log.info("broker_connected", broker=self._where, protocol=protocol)
        self._publish_state(is_online=True)

    def _on_disconnected(self, reason: str) -> None:
        was_connected = self._state.connected
        if not was_connected and not self._state.fault and not self._state.protocol:
            # Closed before any answer: an older broker that chokes on the newer CONNECT does that too.
            self._switch_protocol(reason)
            return
        fault = self._state.fault if not was_connected else f"broker {self._where} is gone: {reason}"
        self._change(connected=False, fault=fault)

    def _switch_protocol(self, reason: str) -> None:
        is_5 = self._protocol is MQTTProtocolVersion.MQTTv5
        self._protocol = MQTTProtocolVersion.MQTTv311 if is_5 else MQTTProtocolVersion.MQTTv5
        log.warning("protocol_switched", broker=self._where, reason=reason, to=self._protocol.name)
        self._unanswered_since = None
        self._stop()
        self._connect()

    def _catch_up(self, now: HostNs) -> None:
        """Note what a full disk kept from being noted, and give up what has expired."""
        answers, self._unnoted = self._unnoted, []
        try:
            expired = self._outbox.expire(self._clock.utc())
        except StoreError as error:
            self._unnoted = answers
            self._change(unnoted=str(error))
            return
        self._change(expired=self._state.expired + expired, unnoted="")
        for answer in answers:
            self._on_answered(answer, now)

    def _on_answered(self, answer: _Answered, now: HostNs) -> None:
        if answer.mid not in self._sent:
            return
        row = self._sent[answer.mid]
        try:
            if row is not None:
                (self._outbox.refused if answer.is_failure else self._outbox.done)(row.id)
        except StoreError as error:
            self._unnoted.append(answer)
            self._change(unnoted=str(error))
            return
        del self._sent[answer.mid]
        if not answer.is_failure:
            if row is not None:
                self._pause = 0
                self._change(denied="")
            return
        topic = row.topic if row is not None else f"{self._prefix}/state"
        if now >= self._quiet_until:
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
            self._quiet_until = HostNs(now + self._pause)
        self._change(denied=f"{topic}: {answer.reason}")

    def _send(self, now: HostNs) -> None:
        if self._client is None or not self._state.connected or now < self._quiet_until:
            return
        window = 1 if self._state.denied else WINDOW  # one row tests whether the broker has changed its mind
        rows = [row.id for row in self._sent.values() if row is not None]
        for row in self._outbox.pending(window - len(rows), rows):
            info = self._client.publish(row.topic, row.payload, qos=1, properties=self._properties(row))
            self._sent[info.mid] = row

    def _properties(self, row: Waiting) -> Properties | None:
        if self._protocol is not MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = "application/json"
        properties.MessageExpiryInterval = max(1, (row.expires - self._clock.utc()) // S)
        properties.UserProperty = list(row.properties)
        return properties

    def _publish_state(self, *, is_online: bool) -> MQTTMessageInfo | None:
        if self._client is None:
            return None
        payload = msgspec.json.encode({"online": is_online, "utc_ns": self._clock.utc()})
        info = self._client.publish(f"{self._prefix}/state", payload, qos=1, retain=True)
        self._sent[info.mid] = None
        return info

    def _change(self, **fields: Any) -> None:
        self._state = msgspec.structs.replace(self._state, **fields)

    @property
    def _where(self) -> str:
        return f"{self._address[0]}:{self._address[1]}"

    def _clear(self) -> None:
        try:
            os.eventfd_read(self._ready)
        except BlockingIOError:
            return


def _wait_for(info: MQTTMessageInfo) -> None:
    """Wait a moment for the goodbye; a broker that is gone by now sends our will instead."""
    try:
        info.wait_for_publish(1.0)
    except (RuntimeError, ValueError):
        return
