"""Tell the plant what became of each part: one result per actuation, through a durable outbox."""

import hashlib
import os
from collections import deque
from collections.abc import Sequence

import msgspec
import structlog
from msgspec import Struct

from appliance.config import Loaded
from appliance.outputs.mqtt import MqttOutput, MqttState, OutboxGrew
from appliance.outputs.outbox import FILE, Entry, Outbox
from appliance.outputs.part_report import Identity, PartJoin, report
from appliance.outputs.plant_messages import alarm_entry, hand_entry, manual_entry, result_entry
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Actuation, HandActuation
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import Accepted, Command, Drain, RefusedReply, Reply
from appliance.schema.errors import StoreError
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.review import ManualVerdict
from appliance.schema.topics import ACTUATION, ALARM, HAND, MANUAL, PART_ENTERED, PART_EXPOSED, RESULT, STATUS, VERDICT
from appliance.services._loop import SystemClock

MQTT = "mqtt"
"""Name of the broker connection among the node's devices."""

GRACE = 250 * MS
"""Longest wait for a verdict that the gate acted on: judge and line speak on different sockets."""

STATUS_PERIOD = 1 * S
RETRY = 1 * S

log = structlog.get_logger()


class _Due(Struct, frozen=True):
    """Hold an actuation that is not in the outbox yet."""

    source: tuple[str, int, int] | None
    actuation: Actuation
    until: HostNs


class PublishNode:
    """Join the facts of a part and put one row per actuation, in the order of the actuations.

    What people decide is told as it comes; what the model would have decided in parallel mode is never heard here.
    """

    name = "publish"
    topics = (PART_ENTERED, PART_EXPOSED, RESULT, VERDICT, ACTUATION, MANUAL, HAND, ALARM)

    def __init__(self, identity: Identity, outbox: Outbox | None, clock: Clock) -> None:
        """`outbox` is None where no broker is configured."""
        self._identity = identity
        self._outbox = outbox
        self._clock = clock
        self._parts = PartJoin()
        self._due: deque[_Due] = deque()
        self._retry_at: HostNs | None = None
        self._fault = ""
        self._broker = MqttState()
        self._status_at = HostNs(0)
        self._progress = 0
        self._lost = 0
        self._dropped = 0

    @property
    def wake_at(self) -> HostNs | None:
        """Next row or status."""
        if not self._due:
            return self._status_at
        return min(self._status_at, self._retry_at if self._retry_at is not None else self._due[0].until)

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give (epoch, sequence) of the newest actuation and alarms in the outbox; the joins are replayed whole."""
        return self._outbox.positions() if self._outbox is not None else {}

    def start(self, now: HostNs) -> Sequence[Output]:
        """State how it goes at once."""
        self._dropped = self._outbox.counts.dropped if self._outbox is not None else 0
        return self._status(now)

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message whose place in its writer's count is not known."""
        return self._take(topic, None, message, now)

    def receive_envelope(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message with its place; an actuation's place is held once its row is in the outbox."""
        return self._take(topic, (topic, epoch, sequence), message, now)

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Count actuations that were never heard of: the plant misses their results, the gap shows in `sequence`."""
        if topic != ACTUATION:
            return ()
        self._lost += count
        text = f"{count} results were lost on their way to the broker; read them from the record database"
        return (Publish(f"{ALARM}{self.name}", Alarm(self.name, "results_lost", text, "", now)),)

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Grant Drain: put everything that waits into the outbox."""
        if not isinstance(command, Drain):
            return RefusedReply(f"publish: {type(command).__name__} is not for this service; ask its owner"), ()
        outputs = self._flush(HostNs(now + GRACE), now)
        if self._due:
            return RefusedReply(f"publish: {len(self._due)} results cannot be put: {self._fault}"), outputs
        return Accepted(), outputs

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Put the rows that are due and tell how it goes."""
        outputs: list[Output] = []
        if self._retry_at is None or now >= self._retry_at:
            outputs += self._flush(now, now)
        if now >= self._status_at:
            outputs += self._status(now)
        return outputs

    def finish(self, now: HostNs) -> None:
        """Put what waits and close the outbox; the last call."""
        self._flush(HostNs(now + GRACE), now)
        if self._outbox is not None:
            self._outbox.close()

    def _take(self, topic: str, source: tuple[str, int, int] | None, message: Struct, now: HostNs) -> Sequence[Output]:
        if self._parts.take(message):
            return self._flush(now, now) if self._due and self._retry_at is None else ()
        match message:
            case Actuation() if self._outbox is not None:
                self._due.append(_Due(source, message, HostNs(now + GRACE)))
            case ManualVerdict() if self._outbox is not None:
                return self._tell(manual_entry(self._identity, message, self._clock.utc(), now), source, now)
            case HandActuation() if self._outbox is not None:
                return self._tell(hand_entry(self._identity, message, self._clock.utc(), now), source, now)
            case Alarm() if self._outbox is not None:
                entry = alarm_entry(self._identity, topic, source, message, self._clock.utc(), now)
                return self._tell(entry, source, now)
            case MqttState() if message != self._broker:
                self._broker = message
                return self._status(now)
        return self._flush(now, now) if self._due and self._retry_at is None else ()

    def _flush(self, until: HostNs, now: HostNs) -> Sequence[Output]:
        """Put all actuations whose facts are complete or whose grace is over, in order."""
        count = 0
        while self._due and (self._due[0].until <= until or self._parts.is_complete(self._due[0].actuation)):
            due = self._due[0]
            utc = self._clock.utc()
            told = report(self._identity, due.actuation, self._parts.facts(due.actuation.part), utc, now)
            if not self._put(result_entry(self._identity, told, utc), due.source, now):
                break
            self._due.popleft()
            self._parts.drop(due.actuation.part)
            count += 1
        self._progress += count
        return (Send(MQTT, OutboxGrew()),) if count else ()

    def _tell(self, entry: Entry, source: tuple[str, int, int] | None, now: HostNs) -> Sequence[Output]:
        return (Send(MQTT, OutboxGrew()),) if self._put(entry, source, now) else ()

    def _put(self, entry: Entry, source: tuple[str, int, int] | None, now: HostNs) -> bool:
        if self._outbox is None:
            return False
        try:
            self._outbox.put(entry, source)
        except StoreError as error:
            if not self._fault:
                log.error("outbox_failed", error=str(error), again_ms=RETRY // MS)
            self._fault = str(error)
            self._retry_at = HostNs(now + RETRY)
            return False
        self._fault, self._retry_at = "", None
        return True

    def _status(self, now: HostNs) -> Sequence[Output]:
        self._status_at = HostNs(now + STATUS_PERIOD)
        components = [Component(MQTT, Condition.OK, "no broker is configured")]
        outputs: list[Output] = []
        if self._outbox is not None:
            components, outputs = self._components(self._outbox, now)
        condition = max((component.condition for component in components), key=list(Condition).index)
        health = Health(self.name, condition, tuple(components), self._progress, now, self._identity.pid)
        return [Publish(f"{STATUS}{self.name}", health), *outputs]

    def _components(self, outbox: Outbox, now: HostNs) -> tuple[list[Component], list[Output]]:
        try:
            counts = outbox.counts
        except StoreError as error:
            self._fault = str(error)
            return [Component("outbox", Condition.FAILED, self._fault, "check disk space")], []
        self._progress += 1
        outputs: list[Output] = []
        if counts.dropped > self._dropped:
            text = f"{counts.dropped - self._dropped} results dropped, the outbox is full; read them from the record"
            outputs.append(Publish(f"{ALARM}{self.name}", Alarm(self.name, "results_dropped", text, "", now)))
            self._dropped = counts.dropped
        told = f"{counts.acked} of {counts.put} messages acknowledged, {counts.pending} wait"
        gone = counts.dropped + counts.expired + self._lost
        box = Component("outbox", Condition.OK, told)
        if self._fault:
            box = Component("outbox", Condition.FAILED, f"{self._fault}; {len(self._due)} results wait", "free disk")
        elif gone:
            cause = f"{told}; {counts.dropped} dropped, {counts.expired} expired, {self._lost} lost"
            box = Component("outbox", Condition.DEGRADED, cause, "read the missing results from the record database")
        return [box, broker_component(self._broker)], outputs


def broker_component(state: MqttState) -> Component:
    """Say how the connection to the broker is doing, with what to do about it."""
    if not state.connected:
        cause = state.fault or "not connected yet"
        condition = Condition.DEGRADED if state.fault else Condition.STARTING
        return Component(MQTT, condition, cause, "check [mqtt] host and port, and that the broker runs")
    if state.unnoted:
        return Component(
            MQTT, Condition.DEGRADED, state.unnoted, "free disk space; the broker's answers are noted then"
        )
    if state.denied:
        remedy = "let this client write the topic in the broker's access list; messages are kept and tried again"
        return Component(MQTT, Condition.DEGRADED, f"broker refuses {state.denied}", remedy)
    if state.protocol != "5":
        cause = "broker speaks MQTT 3.1.1: no message expiry, no user properties, refused messages are not reported"
        return Component(MQTT, Condition.OK, cause, "use a broker that speaks MQTT 5")
    return Component(MQTT, Condition.OK, "connected, MQTT 5")


def build(loaded: Loaded, clock: Clock | None = None) -> tuple[PublishNode, dict[str, Device]]:
    """Open the outbox and put the service together; without a broker there is neither.

    `clock` is the system's unless another is given.
    """
    clock = clock or SystemClock()
    config = loaded.config
    station = config.station
    prefix = f"insp/v1/{station.site}/{station.line}/{station.name}"
    recipe = hashlib.sha256(msgspec.json.encode(loaded.recipe, order="deterministic")).hexdigest()
    identity = Identity(prefix, loaded.recipe.name, recipe, loaded.digest, config.mqtt.expiry_s, os.getpid())
    if not config.mqtt.host:
        return PublishNode(identity, None, clock), {}
    outbox = Outbox(loaded.state / FILE)
    device = MqttOutput(outbox, config.mqtt.host, config.mqtt.port, prefix, config.mqtt.keepalive_s, clock)
    return PublishNode(identity, outbox, clock), {MQTT: device}
