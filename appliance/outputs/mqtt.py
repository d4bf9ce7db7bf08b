"""Bring the outbox to an MQTT broker: QoS 1, MQTT 5, or 3.1.1 where the broker knows no better.

A row leaves the outbox when its PUBACK carries no failure code: an access-control denial shows nowhere else. Each
connection begins anew with the oldest row of each topic, so order is kept whatever became of the one before.
"""

import random
import select
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import structlog
from msgspec import Struct

from appliance.config_plant import Mqtt
from appliance.outputs.backoff import Backoff
from appliance.outputs.channels import OutboxGrew
from appliance.outputs.mqtt_desk import ANSWER_SCHEMA, Desk, Received, Repeat, Response
from appliance.outputs.mqtt_flight import Flight
from appliance.outputs.mqtt_pace import Pace
from appliance.outputs.mqtt_state import MqttState
from appliance.outputs.mqtt_station import StationState
from appliance.outputs.mqtt_wire import (
    V5,
    V311,
    Answered,
    Connected,
    Disconnected,
    Event,
    Failed,
    Mailbox,
    Message,
    Opened,
    Subscribed,
    Target,
    Wire,
)
from appliance.outputs.mqtt_wishes import Answer, Wish
from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import Identity
from appliance.outputs.plant_messages import STATE_SCHEMA, offline_payload
from appliance.outputs.tls import certificate_component, client_context, why
from appliance.ports.clock import Clock
from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import StoreError
from appliance.schema.line import LineState

WINDOW = 20
"""Messages in flight; the receive maximum a Mosquitto grants by default."""

UNSUPPORTED = (0x84, 0x01)
"""CONNACK codes for an unknown protocol version: MQTT 5 section 3.2.2.2, MQTT 3.1.1 section 3.2.2.3."""

ANSWER_LIMIT = 2 * S
"""An older broker may neither answer nor close a CONNECT it does not understand; then the other version is tried."""

RECONNECT_S = (0.2, 30.0)
TURN = 1 * S
"""Pause between looks at expiry, at rows that nobody announced and at the station's state."""

STEADY = 1 * S
"""A connection that lasted shorter is no success: two clients of one name would throw each other out without pause."""

ANSWER_EXPIRY_S = 60
GOODBYE = 1 * S

log = structlog.get_logger()


class MqttOutput:
    """Own the connection to one broker; a Device: called from the loop's thread, blocks in `close` only."""

    def __init__(
        self, outbox: Outbox, mqtt: Mqtt, identity: Identity, clock: Clock, chance: random.Random | None = None
    ) -> None:
        """Take what to send, where and as whom; the topics' prefix names the client too, so that a second one shows."""
        self._outbox = outbox
        self._mqtt = mqtt
        self._identity = identity
        self._clock = clock
        self._chance = chance or random.Random()
        self._state_topic = f"{identity.prefix}/state"
        self._desk = Desk(identity.prefix)
        self._state = MqttState()
        self._told = MqttState(connected=True)
        self._mail = Mailbox()
        self._generation = 0
        self._protocol = V5
        self._wire: Wire | None = None
        self._again_at = HostNs(0)
        self._backoff = Backoff(*RECONNECT_S, self._chance)
        self._opened_at: HostNs | None = None
        self._connected_at = HostNs(0)
        self._window = WINDOW
        self._flight = Flight(outbox)
        self._others: dict[int, str] = {}  # topics of states and answers that are not acknowledged
        self._paces: dict[str, Pace] = {}
        self._turn_at = HostNs(0)
        self._station = StationState(identity, outbox, clock)

    def fileno(self) -> int:
        """Descriptor that is readable when the broker said something."""
        return self._mail.descriptor

    @property
    def wake_at(self) -> HostNs | None:
        """Next look at the outbox, or next attempt to connect."""
        return self._turn_at if self._wire is not None else min(self._turn_at, self._again_at)

    def read(self, now: HostNs) -> Sequence[MqttState | Wish]:
        """Handle what the broker said and send what the window allows; gives wishes, and the state when it changed."""
        if self._mail.descriptor < 0:
            return ()
        wishes = [
            wish
            for generation, event in self._mail.take()
            if generation == self._generation
            for wish in self._handle(event, now)
        ]
        if self._opened_at is not None and now >= self._opened_at + ANSWER_LIMIT:
            self._on_unanswered(now)
        if now >= self._turn_at:
            self._turn_at = HostNs(now + TURN)
            self._turn(now)
        if self._wire is None and now >= self._again_at:
            self._connect()
        self._note()
        self._send(now)
        if self._state == self._told:
            return wishes
        self._told = self._state
        return [*wishes, self._state]

    def write(self, message: Struct, now: HostNs) -> None:
        """Take the line's state, an owner's answer, or word that the outbox grew."""
        match message:
            case LineState():
                self._station.hear(message, now)
                self._send(now)
            case Answer():
                self._respond(self._desk.answered(message))
            case OutboxGrew():
                self._send(now)

    def close(self) -> None:
        """Say goodbye and end the connection's threads; waits up to 6 s for a connection attempt in progress."""
        if self._mail.descriptor < 0:
            return
        if self._wire is not None:
            if self._state.connected:  # the broker's will stays silent after a goodbye
                offline = offline_payload(self._identity)
                self._wire.publish(self._own(self._state_topic, offline), retain=True)
                self._take_last_answers()
            self._wire.stop(orderly=self._state.connected)
            self._wire = None
        self._note()
        self._mail.close()

    def _take_last_answers(self) -> None:
        """Wait a moment for what is in flight, so that it need not be sent again at the next start."""
        until = self._clock.now() + GOODBYE
        while not self._flight.is_answered and (left := until - self._clock.now()) > 0:
            select.select([self._mail.descriptor], [], [], left / S)
            for generation, event in self._mail.take():
                if generation == self._generation and isinstance(event, Answered):
                    self._on_answered(event, self._clock.now())

    def _connect(self) -> None:
        self._generation += 1
        prefix = self._identity.prefix
        commands = (f"{prefix}/cmd/+", f"{prefix}/cmd/+/+") if self._mqtt.commands else ()
        target = Target(
            self._mqtt.host,
            self._mqtt.port,
            prefix.replace("/", "-"),
            self._mqtt.keepalive_s,
            self._state_topic,
            offline_payload(self._identity),
            commands,
        )
        tell = partial(self._mail.put, self._generation)
        self._wire = Wire(target, self._protocol, partial(client_context, self._mqtt), tell, self._clock, WINDOW)

    def _drop(self, now: HostNs, *, pause: bool = True) -> None:
        """Give the connection up; nothing that was in flight is forgotten by the outbox."""
        if self._wire is not None:
            self._wire.stop(orderly=False)
            self._wire = None
        self._opened_at = None
        self._generation += 1  # what the old wire still says is heard no more
        self._flight.clear()
        self._others.clear()
        self._station.forget()
        for pace in self._paces.values():
            pace.reset()
        self._again_at = HostNs(now + int(self._backoff.next() * S)) if pause else now

    def _handle(self, event: Event, now: HostNs) -> Sequence[Wish]:
        if isinstance(event, Received):
            return self._on_received(event, now)
        if isinstance(event, Answered):
            self._on_answered(event, now)
            return ()
        self._opened_at = now if isinstance(event, Opened) else None
        match event:
            case Connected(code=0):
                self._on_connected(event, now)
            case Connected(code=code) if code in UNSUPPORTED:
                self._switch_protocol(event.reason, now)
            case Connected():
                text = f"broker {self._where} refused the connection: {event.reason}"
                self._gone(text, "let this client in: [mqtt] certificate, or the broker's rules", now)
            case Failed():
                cause, remedy = why(event.error)
                self._gone(f"broker {self._where} cannot be reached: {cause}", remedy, now)
            case Disconnected():
                self._on_disconnected(event, now)
            case Subscribed():
                refusal = f"broker refuses the command topics: {event.refusal}" if event.refusal else ""
                self._change(unheard=refusal)
        return ()

    def _on_connected(self, event: Connected, now: HostNs) -> None:
        protocol = "5" if self._protocol is V5 else "3.1.1"
        unheard = "commands are not heard, the broker speaks MQTT 3.1.1" if self._mqtt.commands else ""
        self._change(
            connected=True, protocol=protocol, fault="", remedy="", unheard="" if self._protocol is V5 else unheard
        )
        self._window = min(WINDOW, event.window or WINDOW)
        self._connected_at = now
        log.info("broker_connected", broker=self._where, protocol=protocol)

    def _on_unanswered(self, now: HostNs) -> None:
        if self._state.protocol == "5":  # it knew the newer version: it is away, not old
            self._gone(f"broker {self._where} does not answer", "look at the network and the broker's log", now)
        else:
            self._switch_protocol("no answer to CONNECT", now)

    def _on_disconnected(self, event: Disconnected, now: HostNs) -> None:
        if not (self._state.connected or self._state.protocol == "5" or event.logged or self._mqtt.ca):
            # Closed before any answer: an older broker that chokes on the newer CONNECT does that too.
            self._switch_protocol(event.reason, now)
            return
        cause, remedy = why(event.logged or event.reason)
        if self._state.connected and now < self._connected_at + STEADY and not event.logged:
            remedy = "see whether another client has this station's name, and the broker's log"
        self._gone(f"broker {self._where} is gone: {cause}", remedy, now)

    def _gone(self, fault: str, remedy: str, now: HostNs) -> None:
        if self._state.connected:
            self._protocol = V5  # it may be another broker, or the same one made new
            if now >= self._connected_at + STEADY:
                self._backoff.reset()
        self._change(connected=False, fault=fault, remedy=remedy)
        self._drop(now)

    def _switch_protocol(self, reason: str, now: HostNs) -> None:
        self._protocol = V311 if self._protocol is V5 else V5
        log.warning("protocol_switched", broker=self._where, reason=reason, to=self._protocol.name)
        self._drop(now, pause=False)

    def _turn(self, now: HostNs) -> None:
        """Give up what has expired and a connection that only seems to be one."""
        utc = self._clock.utc()
        self._change(certificate=certificate_component(self._mqtt, "mqtt", utc))
        try:
            expired = self._outbox.expire(utc)
        except StoreError as error:
            self._change(unnoted=str(error))
        else:
            self._change(
                expired=self._state.expired + expired, unnoted="" if self._flight.is_noted else self._state.unnoted
            )
        if not self._state.connected or self._wire is None:
            return
        silence = self._flight.silence(now)
        if silence > self._mqtt.keepalive_s * S:
            fault = f"broker {self._where} acknowledges nothing since {silence // S} s"
            self._gone(fault, "look at the network between station and broker", now)
        elif not self._wire.lives:
            self._gone(f"broker {self._where} broke the protocol", "see the broker's log", now)

    def _on_answered(self, answer: Answered, now: HostNs) -> None:
        topic = self._flight.answer(answer.mid, is_failure=answer.is_failure) or self._others.pop(answer.mid, None)
        if topic is None:
            return
        pace = self._pace(topic)
        if answer.is_failure:
            pace.refused(answer.reason, now)
            if topic == self._state_topic:
                self._station.forget()
        else:
            pace.accepted()
        denied = tuple(f"{name}: {pace.denied}" for name, pace in sorted(self._paces.items()) if pace.denied)
        self._change(denied=denied, overtaken=sum(pace.overtaken for pace in self._paces.values()))

    def _note(self) -> None:
        """Put what the broker said into the outbox; what a full disk keeps out waits, and its rows are not sent."""
        if self._flight.is_noted:
            return
        try:
            self._flight.note()
        except StoreError as error:
            self._change(unnoted=str(error))
        else:
            self._change(unnoted="")

    def _send(self, now: HostNs) -> None:
        if self._wire is None or not self._state.connected:
            return
        try:
            self._send_state(now)
            self._send_rows(now)
        except StoreError as error:
            self._change(unnoted=str(error))

    def _send_rows(self, now: HostNs) -> None:
        if self._wire is None:
            return
        free = self._window - len(self._flight) - len(self._others)
        for topic in self._outbox.topics() if free > 0 else ():
            pace = self._pace(topic)
            room = min(free, pace.room(self._window, now))
            for row in self._outbox.pending(room, self._flight.rows(), topic):
                expiry_s = max(1, (row.expires - self._clock.utc()) // S)
                mid = self._wire.publish(Message(topic, row.payload, row.properties, expiry_s))
                self._flight.add(mid, row, now)
                pace.sent()
                free -= 1

    def _send_state(self, now: HostNs) -> None:
        """Send the newest state when it changed; at most one is on its way."""
        pace = self._pace(self._state_topic)
        if self._wire is None or pace.flying or pace.room(1, now) < 1:
            return
        payload = self._station.payload(now)
        if payload is not None:
            self._others[self._wire.publish(self._own(self._state_topic, payload), retain=True)] = self._state_topic
            pace.sent()

    def _on_received(self, received: Received, now: HostNs) -> Sequence[Wish]:
        match self._desk.take(received, now):
            case Wish() as wish:
                log.info("command_received", topic=received.topic, command=type(wish.command).__name__)
                return (wish,)
            case Repeat() as repeat:
                self._repeat(repeat)
            case Response() as response:
                log.warning("command_refused", topic=received.topic, answer=response.payload.decode())
                self._respond(response)
        return ()

    def _repeat(self, repeat: Repeat) -> None:
        wish = repeat.wish
        try:
            topic = f"{self._identity.prefix}/{wish.topic}"
            again = self._outbox.again(topic, wish.first, wish.count, self._clock.utc())
        except StoreError as error:
            self._respond(self._desk.repeated(repeat.ticket, None, str(error)))
            return
        log.info("results_repeated", topic=wish.topic, first=wish.first, waiting=again.waiting)
        self._respond(self._desk.repeated(repeat.ticket, again))

    def _respond(self, response: Response | None) -> None:
        if response is None or self._wire is None or not self._state.connected:
            return
        properties = (("schema", ANSWER_SCHEMA),)
        message = Message(response.topic, response.payload, properties, ANSWER_EXPIRY_S, response.correlation)
        mid = self._wire.publish(message)
        self._others[mid] = f"{self._identity.prefix}/answer"
        self._pace(self._others[mid]).sent()

    def _own(self, topic: str, payload: bytes) -> Message:
        properties = (("schema", STATE_SCHEMA), ("recipe_sha256", self._identity.recipe_sha256))
        return Message(topic, payload, properties)

    def _pace(self, topic: str) -> Pace:
        return self._paces.setdefault(topic, Pace(self._chance))

    def _change(self, **fields: Any) -> None:
        self._state = msgspec.structs.replace(self._state, **fields)

    @property
    def _where(self) -> str:
        return f"{self._mqtt.host}:{self._mqtt.port}"
