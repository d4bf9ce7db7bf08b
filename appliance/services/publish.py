"""Tell the plant what became of each part: one report per actuation, to each output in its own words."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec
import structlog
from msgspec import Struct

from appliance.config import Loaded
from appliance.outputs.channels import Channel, Heard, OutboxGrew, Rows
from appliance.outputs.mqtt import MqttOutput
from appliance.outputs.mqtt_state import MqttState, broker_component
from appliance.outputs.mqtt_wishes import Answer, Wish
from appliance.outputs.outbox import FILE, Outbox, Source
from appliance.outputs.part_report import Identity, PartJoin, report
from appliance.outputs.plant_messages import entries
from appliance.outputs.tls import with_paths
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.node import Ask, Output, Publish, Replied, Send
from appliance.schema.actuation import Actuation, HandActuation
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import Accepted, Command, Drain, RefusedReply, Reply
from appliance.schema.errors import StoreError
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.line import LineState
from appliance.schema.review import ManualVerdict
from appliance.schema.topics import (
    ACTUATION,
    ALARM,
    HAND,
    LINE_STATE,
    MANUAL,
    PART_ENTERED,
    PART_EXPOSED,
    RESULT,
    STATUS,
    VERDICT,
)
from appliance.services._loop import SystemClock

MQTT = "mqtt"
"""Name of the broker connection among the node's devices."""

GRACE = 250 * MS
"""Longest wait for a verdict that the gate acted on: judge and line speak on different sockets."""

STATUS_PERIOD = 1 * S
RETRY = 1 * S

FACTS = (PART_ENTERED, PART_EXPOSED, RESULT, VERDICT, ACTUATION, MANUAL, HAND, ALARM)

log = structlog.get_logger()


class _Due(Struct, frozen=True):
    """Hold an actuation that is not reported yet."""

    source: Source | None
    actuation: Actuation
    until: HostNs


class PublishNode:
    """Join the facts of a part and report it once, in the order of the actuations, to every channel.

    What people decide is told as it comes; what the model would have decided in parallel mode is never heard here.
    """

    name = "publish"

    def __init__(self, identity: Identity, channels: Sequence[Channel], clock: Clock) -> None:
        """Take the outputs that are configured; none: nothing is told and nothing is kept."""
        self._identity = identity
        self._channels = tuple(channels)
        self._clock = clock
        self._parts = PartJoin()
        self._due: deque[_Due] = deque()
        self._rows = Rows(channels)
        self._retry_at: HostNs | None = None
        self._fault = ""
        self._told = {
            channel.name: Component(channel.name, Condition.STARTING, "not connected yet") for channel in channels
        }
        self._status_at = HostNs(0)
        self._progress = 0
        self._lost = 0
        self._dropped: dict[str, int] = {}

    @property
    def topics(self) -> tuple[str, ...]:
        """The facts of parts and people, and what some channel wants live."""
        wanted = {kind for channel in self._channels for kind in channel.live}
        live = ((LINE_STATE, LineState), (STATUS, Health))
        return FACTS + tuple(topic for topic, kind in live if kind in wanted)

    @property
    def wake_at(self) -> HostNs | None:
        """Next row or status."""
        times = [self._status_at]
        if self._rows and self._retry_at is not None:
            times.append(self._retry_at)
        if self._due:
            times.append(self._due[0].until)
        return min(times)

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give (epoch, sequence) of the newest fact of each topic in every outbox; the joins are replayed whole."""
        return self._rows.positions()

    def start(self, now: HostNs) -> Sequence[Output]:
        """State how it goes at once."""
        for channel in self._channels:
            if channel.outbox is not None:
                self._dropped[channel.name] = channel.outbox.counts.dropped
        return self._status(now)

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message whose place in its writer's count is not known."""
        if topic.startswith("device:"):
            return self._hear_device(topic.removeprefix("device:"), message, now)
        if isinstance(message, Replied):
            granted = isinstance(message.reply, Accepted)
            text = message.reply.detail if isinstance(message.reply, Accepted) else _reason(message.reply)
            return (Send(MQTT, Answer(message.ticket, granted, text)),)
        return self._take(topic, None, message, now)

    def receive_envelope(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message with its place; an actuation's place is held once its rows are in every outbox."""
        return self._take(topic, (topic, epoch, sequence), message, now)

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Count actuations that were never heard of: the plant misses their results, for they have no row."""
        if topic != ACTUATION:
            return ()
        self._lost += count
        text = f"{count} results were lost on their way to the plant; read them from the record database"
        return self._alarm("results_lost", text, now)

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Grant Drain: put everything that waits into the outboxes."""
        if not isinstance(command, Drain):
            return RefusedReply(f"publish: {type(command).__name__} is not for this service; ask its owner"), ()
        outputs = self._flush(HostNs(now + GRACE), now)
        if self._rows:
            return RefusedReply(f"publish: {len(self._rows)} messages cannot be put: {self._fault}"), outputs
        return Accepted(), outputs

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Put the rows that are due and tell how it goes."""
        outputs = [*self._flush(now, now)]
        if now >= self._status_at:
            outputs += self._status(now)
        return outputs

    def finish(self, now: HostNs) -> None:
        """Put what waits and close the outboxes; the last call."""
        self._retry_at = None
        self._flush(HostNs(now + GRACE), now)
        self._rows.close()

    def _take(self, topic: str, source: Source | None, message: Struct, now: HostNs) -> Sequence[Output]:
        if self._parts.take(message):
            return self._flush(now, now) if self._due else ()
        outputs: list[Output] = []
        match message:
            case Actuation() if self._channels:
                self._due.append(_Due(source, message, HostNs(now + GRACE)))
            case ManualVerdict() | HandActuation() | Alarm():
                self._rows.add(message, Heard(topic, source, self._clock.utc(), now))
                outputs += self._live(message)
            case LineState() | Health():
                outputs += self._live(message)
        outputs += self._flush(now, now)
        return outputs

    def _hear_device(self, device: str, message: Struct, now: HostNs) -> Sequence[Output]:
        match message:
            case Wish():
                return (Ask(message.unit, message.command, message.ticket),)
            case MqttState():
                component = broker_component(message)
            case Component():
                component = message
            case _:
                return ()
        if component == self._told.get(device):
            return ()
        self._told[device] = component
        return self._status(now)

    def _flush(self, until: HostNs, now: HostNs) -> Sequence[Output]:
        """Report all parts whose facts are complete or whose grace is over, in order, and put what waits for a disk."""
        outputs: list[Output] = []
        while self._due and (self._due[0].until <= until or self._parts.is_complete(self._due[0].actuation)):
            due = self._due.popleft()
            part = due.actuation.part
            utc = self._clock.utc()
            told = report(self._identity, due.actuation, self._parts.facts(part), utc, now)
            self._rows.add(told, Heard(ACTUATION, due.source, utc, now))
            self._parts.drop(part)
            self._progress += 1
            outputs += self._live(told)
        if self._rows and (self._retry_at is None or now >= self._retry_at):
            outputs += [Send(name, OutboxGrew()) for name in self._put(now)]
        return outputs

    def _put(self, now: HostNs) -> set[str]:
        """Put what waits; gives the channels that have new rows."""
        grown = set()
        try:
            for name in self._rows.flush():
                grown.add(name)
        except StoreError as error:
            if not self._fault:
                log.error("outbox_failed", error=str(error), again_ms=RETRY // MS)
            self._fault = str(error)
            self._retry_at = HostNs(now + RETRY)
        else:
            self._fault, self._retry_at = "", None
        return grown

    def _live(self, message: Struct) -> Iterator[Output]:
        for channel in self._channels:
            if isinstance(message, channel.live):
                yield Send(channel.name, message)

    def _alarm(self, kind: str, text: str, now: HostNs) -> Sequence[Output]:
        """Raise an alarm; the plant is told too, though a node does not hear itself on the bus."""
        alarm = Alarm(self.name, kind, text, "", now)
        self._rows.add(alarm, Heard(f"{ALARM}{self.name}", None, self._clock.utc(), now))
        return (Publish(f"{ALARM}{self.name}", alarm), *self._live(alarm))

    def _status(self, now: HostNs) -> Sequence[Output]:
        self._status_at = HostNs(now + STATUS_PERIOD)
        components: list[Component] = []
        outputs: list[Output] = []
        for channel in self._channels:
            if channel.outbox is not None:
                component, alarms = self._account(channel.name, channel.outbox, now)
                components.append(component)
                outputs += alarms
            components.append(self._told[channel.name])
        if not self._channels:
            components = [Component(MQTT, Condition.OK, "no broker is configured")]
        condition = max((component.condition for component in components), key=list(Condition).index)
        health = Health(self.name, condition, tuple(components), self._progress, now, self._identity.pid)
        return [Publish(f"{STATUS}{self.name}", health), *self._live(health), *outputs]

    def _account(self, channel: str, outbox: Outbox, now: HostNs) -> tuple[Component, Sequence[Output]]:
        name = f"{channel} outbox"
        try:
            counts = outbox.counts
        except StoreError as error:
            self._fault = str(error)
            return Component(name, Condition.FAILED, self._fault, "check disk space"), ()
        self._progress += 1
        alarms: Sequence[Output] = ()
        new = counts.dropped - self._dropped.get(channel, 0)
        if new > 0:
            text = f"{new} messages dropped, the {name} is full; read the results from the record database"
            alarms = self._alarm("results_dropped", text, now)
            self._dropped[channel] = counts.dropped
        told = f"{counts.acked} of {counts.put} messages acknowledged, {counts.pending} wait"
        lost = self._lost + self._rows.lost
        if self._fault:
            waiting = f"{self._fault}; {len(self._rows)} messages wait"
            return Component(name, Condition.FAILED, waiting, "free disk space"), alarms
        if counts.dropped + counts.expired + lost:
            dropped = f"{counts.dropped} dropped ({counts.dropped_alarms} of them alarms)"
            cause = f"{told}; {dropped}, {counts.expired} expired, {lost} lost"
            remedy = "read the missing results from the record database"
            return Component(name, Condition.DEGRADED, cause, remedy), alarms
        return Component(name, Condition.OK, told), alarms


def build(loaded: Loaded, clock: Clock | None = None) -> tuple[PublishNode, dict[str, Device]]:
    """Open the outboxes and put the service together; an output that is not configured is not even imported.

    `clock` is the system's unless another is given.
    """
    clock = clock or SystemClock()
    config = loaded.config
    station = config.station
    prefix = f"insp/v1/{station.site}/{station.line}/{station.name}"
    recipe = hashlib.sha256(msgspec.json.encode(loaded.recipe, order="deterministic")).hexdigest()
    identity = Identity(prefix, loaded.recipe.name, recipe, loaded.digest, config.mqtt.expiry_s, os.getpid())
    outputs = list(_outputs(loaded, identity, clock))
    channels = [channel for channel, _ in outputs]
    return PublishNode(identity, channels, clock), {channel.name: device for channel, device in outputs}


def _outputs(loaded: Loaded, identity: Identity, clock: Clock) -> Iterator[tuple[Channel, Device]]:
    config = loaded.config
    mqtt = with_paths(config.mqtt, loaded.path.parent)
    if mqtt.host:
        outbox = Outbox(loaded.state / FILE, mqtt.limit)
        device = MqttOutput(outbox, mqtt, identity, clock)
        yield Channel(MQTT, outbox, partial(entries, identity), (LineState,)), device
    if config.sparkplug.group:
        from appliance.outputs.sparkplug import edge_node  # noqa: PLC0415  only where it is configured

        store = Outbox(loaded.state / "sparkplug.db", config.sparkplug.limit)
        yield edge_node(config.sparkplug, mqtt, identity, store, loaded.state, clock)
    if config.logix.host:
        from appliance.outputs.logix import logix_writer  # noqa: PLC0415  only where it is configured

        yield logix_writer(config.logix, clock)


def _reason(reply: Reply) -> str:
    return reply.reason if isinstance(reply, RefusedReply) else type(reply).__name__
