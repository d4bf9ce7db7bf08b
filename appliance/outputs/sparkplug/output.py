"""Be the edge node's device: rows from the outbox, states as they change, in the broker's hands or kept.

Sparkplug's data has QoS 0, which nobody acknowledges. So after half a WINDOW of rows, or a turn, the NCMD subscription
is made again: a broker works through a connection in order, so its SUBACK shows that it has read all before it. Rows
leave the outbox then. Rows of a connection that broke before are told again as historical, with the same `Result/Id`.
What the broker does with them is not known: a host that dies is noticed by its own keep-alive only (`Store/Doubtful`),
and a broker that lets this client write nothing says so to nobody.
"""

import os
import random
import select
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import structlog
from msgspec import Struct

from appliance.config_plant import Mqtt, Sparkplug
from appliance.outputs.backoff import Backoff
from appliance.outputs.channels import Channel
from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import Identity, PartReport
from appliance.outputs.sparkplug.bdseq import FILE, BirthNumber
from appliance.outputs.sparkplug.connection import (
    RECONNECT_S,
    Connected,
    Connection,
    Event,
    Gone,
    Granted,
    Heard,
    Opened,
    Unreachable,
)
from appliance.outputs.sparkplug.edge import Act, Edge, Leave, Message, Names, Session, Subscribe
from appliance.outputs.sparkplug.metrics import alarm_values, health_values, line_values, result_values
from appliance.outputs.sparkplug.rows import DDATA, entries, read
from appliance.outputs.tls import client_context
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.errors import ConfigError, StoreError
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.line import LineState

NAME = "sparkplug"
"""Name of the channel, its device and its component."""

WINDOW = 100
"""Rows under way without proof: at most these are told twice when a connection breaks."""

SILENCE = 3 * S
"""The line speaks once a second; silent for so long, its device is dead."""

HOST_SILENCE = 90 * S
"""A host with the usual keep-alive of 60 s may be dead for one and a half of it before the broker says so."""

UNSUPPORTED = (0x84, 0x01)
"""CONNACK codes for an unknown protocol version: MQTT 5 section 3.2.2.2, MQTT 3.1.1 section 3.2.2.3."""

ANSWER_LIMIT = 2 * S
"""An older broker may neither answer nor close a CONNECT it does not understand; then the other version is tried."""

GOODBYE_S = 1.0
TURN = 500 * MS

log = structlog.get_logger()


class SparkplugOutput:
    """Join edge node, outbox and connection; a Device: called from the loop's thread, waits in `close` alone."""

    def __init__(
        self, names: Names, outbox: Outbox, mqtt: Mqtt, number: BirthNumber, clock: Clock, chance: random.Random
    ) -> None:
        """`chance` spreads the attempts to connect."""
        self.edge = Edge(names)
        self._outbox = outbox
        self._mqtt = mqtt
        self._number = number
        self._clock = clock
        self._connection = Connection(mqtt, f"sparkplug-{names.group}-{names.node}")
        self._backoff = Backoff(*RECONNECT_S, chance)
        self._unanswered_since: HostNs | None = None
        self._was_answered = False
        self._retry_at = HostNs(0)
        self._turn_at = HostNs(0)
        self._line_heard: HostNs | None = None
        self._health: dict[str, Health] = {}
        self._sent: list[int] = []  # rows told since the last barrier
        self._barrier: tuple[int, tuple[int, ...]] | None = None  # id of the SUBSCRIBE, rows told before it
        self._proven: list[int] = []  # rows that the outbox has not noted yet
        self._recent: deque[tuple[HostNs, int]] = deque()
        self._repeated = self._doubtful = 0
        self._fault = self._unnoted = self._refused = ""
        self._component: Component | None = None

    def fileno(self) -> int:
        """Descriptor that is readable when the broker answered."""
        return self._connection.fileno()

    @property
    def wake_at(self) -> HostNs | None:
        """Next look at the outbox, the line's silence and the connection."""
        return self._turn_at if self._connection.is_open else min(self._turn_at, self._retry_at)

    def read(self, now: HostNs) -> Sequence[Component]:
        """Handle what the broker said and tell what waits; gives the component when it changed."""
        if self._connection.fileno() < 0:
            return ()
        if self._line_heard is None:
            self._line_heard = now  # the line has time to speak first
        if not self._connection.is_open and now >= self._retry_at:
            self._connect(now)
        session = self.edge.session
        for event in self._connection.take():
            self._handle(event, now)
        if self._unanswered_since is not None and now >= self._unanswered_since + ANSWER_LIMIT:
            self._switch_protocol("no answer to CONNECT", now)
        is_turn = now >= self._turn_at
        if is_turn:
            self._turn_at = HostNs(now + TURN)
            self._note_proven()
            self.edge.change(health_values(self._health.values(), now), self._utc_ms())
        self._tell(now, with_barrier=is_turn)
        return self._changed() if is_turn or session is not self.edge.session else ()

    def write(self, message: Struct, now: HostNs) -> None:
        """Take a fact's newest values, and tell what waits."""
        at_ms = self._utc_ms()
        match message:
            case PartReport():
                self._line_heard = now
                self.edge.note({**result_values(message), "Result/Sequence": None}, message.actuated // MS)
            case LineState():
                self._line_heard = now
                self.edge.change(line_values(message), at_ms)
            case Health():
                self._health[message.unit] = message
                self.edge.change(health_values(self._health.values(), now), at_ms)
            case Alarm():
                self.edge.note(alarm_values(message), at_ms)
        self._tell(now, with_barrier=False)

    def close(self) -> None:
        """Wait a moment for the last proof, say goodbye and end paho's thread; may be called twice."""
        if self._connection.fileno() < 0:
            return
        if self.edge.session is Session.BORN:
            self._settle()
        for act in self.edge.leave(self._utc_ms()):
            if isinstance(act, Message):
                self._connection.publish(act)
        self._connection.close()

    def _settle(self) -> None:
        """Wait until the rows under way are proven, for `GOODBYE_S` at most."""
        until = time.monotonic() + GOODBYE_S
        while (self._sent or self._barrier) and (left := until - time.monotonic()) > 0:
            self._set_barrier()
            select.select([self._connection], [], [], left)
            for event in self._connection.take():
                if isinstance(event, Granted):
                    self._handle(event, self._clock.now())

    # towards the broker

    def _tell(self, now: HostNs, *, with_barrier: bool) -> None:
        """Tell rows as far as the window allows, then changes once no row waits; then ask for proof."""
        if self.edge.session is not Session.BORN:
            return
        under_way = [*self._sent, *self._proven, *(self._barrier[1] if self._barrier else ())]
        try:
            rows = self._outbox.pending(WINDOW - len(under_way), under_way)
        except StoreError as error:
            self._unnoted = str(error)
            return
        lives = self._line_heard is not None and now < self._line_heard + SILENCE
        lives = lives or any(row.topic == DDATA for row in rows)
        self._act(self.edge.device(lives=lives, now_ms=self._utc_ms()), now)
        for row in rows:
            values, at_ms, told_ms = read(row)
            self._act([self.edge.row(row.topic, values, at_ms, told_ms, self._utc_ms())], now)
            self._sent.append(row.id)
        if len(under_way) + len(rows) < WINDOW:
            self._act(self.edge.changes(self._utc_ms()), now)
        if with_barrier or len(self._sent) >= WINDOW // 2:
            self._set_barrier()

    def _set_barrier(self) -> None:
        if self._barrier is not None or not self._sent:
            return
        mid = self._connection.subscribe([self.edge.names.topic("NCMD")])
        if mid is not None:
            self._barrier = (mid, tuple(self._sent))
            self._sent = []

    def _act(self, acts: Sequence[Act], now: HostNs) -> None:
        for act in acts:
            match act:
                case Message():
                    self._connection.publish(act)
                case Subscribe(topics=topics):
                    self._connection.subscribe(topics)
                case Leave():
                    log.info("edge_node_left", broker=self._where, node=self.edge.names.node)
                    self._drop(now)

    # from the broker

    def _handle(self, event: Event, now: HostNs) -> None:
        self._unanswered_since = now if isinstance(event, Opened) else None
        match event:
            case Connected(code=0):
                self._was_answered = True
                self._fault = self._refused = ""
                self._backoff.reset()
                log.info("edge_node_connected", broker=self._where, protocol=self._connection.protocol.name)
                self._act(self.edge.connected(self._utc_ms()), now)
            case Connected(code=code, reason=reason) if code in UNSUPPORTED:
                self._switch_protocol(reason, now)
            case Connected(reason=reason):
                self._was_answered = True
                self._fault = f"broker {self._where} refused the connection: {reason}"
                self._drop(now)
            case Unreachable(reason=reason):
                self._fault = f"broker {self._where} cannot be reached: {reason}"
            case Gone(reason=reason):
                self._on_gone(reason, now)
            case Granted(mid=mid, refused=refused):
                self._refused = refused or self._refused
                self._on_granted(mid, now)
            case Heard():
                self._on_heard(event, now)

    def _on_heard(self, event: Heard, now: HostNs) -> None:
        acts = self.edge.heard(event.topic, event.payload, self._utc_ms(), retained=event.retained)
        if any(isinstance(act, Leave) for act in acts):
            self._doubtful += sum(count for at, count in self._recent if now - at <= HOST_SILENCE)
            self._recent.clear()
        self._act(acts, now)

    def _on_granted(self, mid: int, now: HostNs) -> None:
        if self._barrier is None or mid != self._barrier[0]:
            return
        rows = self._barrier[1]
        self._barrier = None
        self._proven += rows
        self._recent.append((now, len(rows)))
        while self._recent and now - self._recent[0][0] > HOST_SILENCE:
            self._recent.popleft()
        self._note_proven()

    def _note_proven(self) -> None:
        if not self._proven:
            return
        try:
            self._outbox.done(*self._proven)
        except StoreError as error:
            self._unnoted = str(error)
            return
        self._proven = []
        self._unnoted = ""

    def _on_gone(self, reason: str, now: HostNs) -> None:
        if not self._was_answered and not self._fault and not self._mqtt.ca:
            self._switch_protocol(reason, now)  # an older broker may choke on the newer CONNECT
            return
        if self.edge.session is not Session.OFFLINE or not self._fault:
            self._fault = f"broker {self._where} is gone: {reason}"
        self._drop(now)

    def _switch_protocol(self, reason: str, now: HostNs) -> None:
        name = self._connection.switch_protocol()
        log.warning("protocol_switched", broker=self._where, reason=reason, to=name)
        self._drop(now)

    # the session

    def _connect(self, now: HostNs) -> None:
        try:
            context = client_context(self._mqtt)
        except ConfigError as error:
            self._fault = str(error)
            self._wait(now)
            return
        try:
            number = self._number.next()
        except StoreError as error:
            self._unnoted = str(error)
            number = self._number.last
        self._connection.open(self.edge.open(number), context)

    def _drop(self, now: HostNs) -> None:
        """End the session; rows without proof wait again, and are told as historical."""
        self.edge.lost()
        self._unanswered_since = None
        self._repeated += len(self._sent) + (len(self._barrier[1]) if self._barrier else 0)
        self._sent, self._barrier = [], None
        self._connection.stop()
        self._wait(now)

    def _wait(self, now: HostNs) -> None:
        self._retry_at = HostNs(now + int(self._backoff.next() * S))

    # what it says of itself

    def _changed(self) -> Sequence[Component]:
        try:
            counts = self._outbox.counts
        except StoreError as error:
            component = Component(NAME, Condition.FAILED, str(error), "check disk space")
        else:
            values = {
                "Store/Dropped": counts.dropped,
                "Store/Repeated": self._repeated,
                "Store/Doubtful": self._doubtful,
                "Commands/Ignored": self.edge.ignored + self._connection.flooded,
            }
            self.edge.change(values, self._utc_ms())
            component = self._describe(counts.pending, counts.dropped)
        if component == self._component:
            return ()
        self._component = component
        return (component,)

    def _describe(self, pending: int, dropped: int) -> Component:
        names = self.edge.names
        waits = f"{pending} values wait"
        match self.edge.session:
            case Session.OFFLINE:
                condition = Condition.DEGRADED if self._fault else Condition.STARTING
                remedy = "check [mqtt], and that the broker runs"
                return Component(NAME, condition, f"{self._fault or 'not connected yet'}; {waits}", remedy)
            case Session.WAITING:
                cause = f"primary host {names.host} is not online; {waits}"
                remedy = "start the host application, or correct sparkplug.primary_host"
                return Component(NAME, Condition.DEGRADED, cause, remedy)
        if self._unnoted:
            return Component(NAME, Condition.DEGRADED, self._unnoted, "free disk space; values may be told twice")
        if self._refused:
            remedy = f"let this client read {names.topic('NCMD')} in the broker's access list"
            return Component(NAME, Condition.DEGRADED, f"broker refuses a subscription: {self._refused}", remedy)
        # No numbers that change with every part: each change of this text is a message.
        notes = [
            f"{count} {what}"
            for count, what in (
                (pending if pending > WINDOW else 0, "values wait"),
                (self._repeated, "told twice"),
                (self._doubtful, "perhaps unheard"),
                (dropped, "dropped"),
            )
            if count
        ]
        text = ", ".join([f"online as {names.group}/{names.node}", *notes])
        if dropped:
            return Component(NAME, Condition.DEGRADED, text, "read the missing results from the record database")
        return Component(NAME, Condition.OK, text)

    @property
    def _where(self) -> str:
        return f"{self._mqtt.host}:{self._mqtt.port}"

    def _utc_ms(self) -> int:
        return self._clock.utc() // MS


def edge_node(
    sparkplug: Sparkplug, mqtt: Mqtt, identity: Identity, outbox: Outbox, state: Path, clock: Clock
) -> tuple[Channel, Device]:
    """Put the edge node together; `state` is the folder of what must survive a restart."""
    node = sparkplug.node or identity.station.rpartition("/")[2]
    names = Names(sparkplug.group, node, sparkplug.device, sparkplug.primary_host)
    output = SparkplugOutput(names, outbox, mqtt, BirthNumber(state / FILE), clock, random.Random(os.getpid()))
    return Channel(NAME, outbox, entries, (PartReport, LineState, Health, Alarm)), output
