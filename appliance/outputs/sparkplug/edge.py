"""Decide what a Sparkplug B 3.0 edge node says and when: births, deaths, sequence numbers, the primary host; pure.

The node reads and never acts: of all commands it obeys a rebirth request alone, which only repeats what it knows.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from appliance.outputs.sparkplug.metrics import BDSEQ, BY_NAME, DEVICE, NODE, ON_DEVICE, REBIRTH, Definition, known
from appliance.outputs.sparkplug.payload import DataType, Metric, Payload, Value, decode, encode
from appliance.schema.errors import LinkError

NAMESPACE = "spBv1.0"
SEQUENCE = 256
"""Numbers of `seq` and of `bdSeq`: 0 ... 255 (Sparkplug 3.0.0, 6.4.5)."""

_RESULT = "Result/Id"


class Names(Struct, frozen=True):
    """Name the edge node, its device and the host application it waits for."""

    group: str
    node: str
    device: str
    host: str = ""
    """Empty: no primary host; births come with the connection."""

    def topic(self, kind: str) -> str:
        """Give the topic of a message kind; those that begin with D are the device's."""
        end = f"{self.node}/{self.device}" if kind.startswith("D") else self.node
        return f"{NAMESPACE}/{self.group}/{kind}/{end}"

    @property
    def state_topic(self) -> str:
        """Where the primary host says whether it is online."""
        return f"{NAMESPACE}/STATE/{self.host}"


class Session(StrEnum):
    """Say how far the edge node has come."""

    OFFLINE = "offline"
    WAITING = "waiting"
    """Connected; the primary host has not said that it is online."""
    BORN = "born"


class Message(Struct, frozen=True):
    """Ask that a message is published, never retained."""

    topic: str
    payload: bytes
    qos: int = 0


class Subscribe(Struct, frozen=True):
    """Ask for topics, QoS 1."""

    topics: tuple[str, ...]


class Leave(Struct, frozen=True):
    """Ask that the connection is closed now, so that the broker tells the will too."""


Act = Message | Subscribe | Leave


class HostState(Struct, frozen=True):
    """Read what a host application says of itself on its STATE topic."""

    online: bool
    timestamp: int
    """Milliseconds since 1970-01-01 UTC; a host's will carries the time of its connection."""


class Edge:
    """Hold the session and the newest value of each metric; every method is called from one thread."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.session = Session.OFFLINE
        self.device_lives = True
        """Whether the line has been heard lately; without it no device is announced."""
        self.ignored = 0
        """Commands and states that were not obeyed: writes, retained ones, what cannot be read."""
        self.born_ms = 0
        self._bdseq = 0
        self._seq = 0
        self._device_born = False
        self._host: HostState | None = None
        self._values: dict[str, tuple[Value, int]] = {}
        self._dirty: dict[str, None] = {}

    @property
    def host_online(self) -> bool:
        """Whether the primary host said last that it is online; True where none is waited for."""
        return not self.names.host or (self._host is not None and self._host.online)

    @property
    def device_born(self) -> bool:
        """Whether rows of the device may be told now."""
        return self.session is Session.BORN and self._device_born

    def open(self, bdseq: int) -> Message:
        """Begin a session: gives the will for the CONNECT, QoS 1."""
        self._bdseq = bdseq
        self.session = Session.OFFLINE
        self._device_born = False
        return self._death(None)

    def connected(self, now_ms: int) -> list[Act]:
        """Subscribe; birth at once where no host is waited for."""
        self.session = Session.WAITING
        topics = [self.names.topic("NCMD"), self.names.topic("DCMD")]
        if self.names.host:
            # A retained STATE of the broker comes anew with each subscription; an old session's word counts no more.
            self._host = msgspec.structs.replace(self._host, online=False) if self._host else None
            topics.append(self.names.state_topic)
        acts: list[Act] = [Subscribe(tuple(topics))]
        return acts if self.names.host else [*acts, *self._birth(now_ms)]

    def lost(self) -> None:
        """Learn that the connection is gone."""
        self.session = Session.OFFLINE
        self._device_born = False

    def heard(self, topic: str, payload: bytes, now_ms: int, *, retained: bool) -> list[Act]:
        """Take a message of the broker."""
        if self.session is Session.OFFLINE:
            return []
        if self.names.host and topic == self.names.state_topic:
            return self._on_state(payload, now_ms)
        if retained or topic != self.names.topic("NCMD"):
            # A retained command would be obeyed at each connection; a device that reads only has nothing to write.
            self.ignored += 1
            return []
        return self._on_command(payload, now_ms)

    def note(self, values: Mapping[str, Value], at_ms: int) -> None:
        """Take values that a row tells in its turn; the next birth shows them."""
        for name, value in known(values).items():
            self._values[name] = (value, at_ms)

    def change(self, values: Mapping[str, Value], at_ms: int) -> None:
        """Take values that `changes` tells where they are new."""
        for name, value in known(values).items():
            if name not in self._values or self._values[name][0] != value:
                self._values[name] = (value, at_ms)
                self._dirty[name] = None

    def changes(self, now_ms: int) -> list[Message]:
        """Give NDATA and DDATA with what `change` brought since; nothing before the births."""
        if self.session is not Session.BORN:
            return []
        messages = []
        for kind, mine in (("NDATA", self._dirty.keys() - ON_DEVICE), ("DDATA", self._dirty.keys() & ON_DEVICE)):
            if not mine or (kind == "DDATA" and not self._device_born):
                continue
            names = [name for name in self._dirty if name in mine]
            metrics = [_data(BY_NAME[name], *self._values[name], historical=False) for name in names]
            messages.append(self._message(kind, metrics, now_ms))
            for name in names:
                del self._dirty[name]
        return messages

    def row(self, kind: str, values: Mapping[str, Value], at_ms: int, told_ms: int, now_ms: int) -> Message:
        """Give a stored fact's NDATA or DDATA; historical when it was stored before the last birth."""
        self.born_ms = min(self.born_ms, now_ms)  # the clock was set back: what comes now is no history
        historical = told_ms < self.born_ms
        if _RESULT in values and self._values.get(_RESULT, (None, 0))[0] == values[_RESULT]:
            self.note(values, at_ms)  # the newest result now has its sequence number
        metrics = [_data(BY_NAME[name], value, at_ms, historical=historical) for name, value in known(values).items()]
        return self._message(kind, metrics, now_ms)

    def device(self, *, lives: bool, now_ms: int) -> list[Message]:
        """Learn whether the line is heard; gives DBIRTH or DDEATH at a change."""
        self.device_lives = lives
        if self.session is not Session.BORN or lives is self._device_born:
            return []
        self._device_born = lives
        return [self._device_birth(now_ms) if lives else self._message("DDEATH", [], now_ms)]

    def leave(self, now_ms: int) -> list[Act]:
        """Say goodbye before an intended disconnect; without births there is nothing to say goodbye to."""
        born = self.session is Session.BORN
        self.lost()
        return [self._death(now_ms), Leave()] if born else [Leave()]

    def _on_state(self, payload: bytes, now_ms: int) -> list[Act]:
        try:
            state = msgspec.json.decode(payload, type=HostState)
        except msgspec.MsgspecError:
            self.ignored += 1
            return []
        if self._host is not None and state.timestamp < self._host.timestamp:
            self.ignored += 1
            return []
        self._host = state
        if state.online:
            return list(self._birth(now_ms)) if self.session is Session.WAITING else []
        return self.leave(now_ms) if self.session is Session.BORN else []

    def _on_command(self, payload: bytes, now_ms: int) -> list[Act]:
        try:
            metrics = decode(payload).metrics
        except LinkError:
            self.ignored += 1
            return []
        wanted = sum(metric.name == REBIRTH and metric.value is True for metric in metrics)
        self.ignored += len(metrics) - wanted
        return list(self._birth(now_ms)) if wanted and self.session is Session.BORN else []

    def _birth(self, now_ms: int) -> list[Message]:
        """Give the whole birth sequence; what waits is historical from here on."""
        self.session = Session.BORN
        self.born_ms = now_ms
        self._seq = 0
        self._dirty = {}
        control = [
            Metric(DataType.INT64, self._bdseq, BDSEQ, None, now_ms),
            Metric(DataType.BOOLEAN, value=False, name=REBIRTH, timestamp_ms=now_ms),
        ]
        node = self._message("NBIRTH", [*control, *self._births(NODE, now_ms)], now_ms)
        self._device_born = self.device_lives
        return [node, self._device_birth(now_ms)] if self.device_lives else [node]

    def _device_birth(self, now_ms: int) -> Message:
        self._dirty = {name: None for name in self._dirty if name not in ON_DEVICE}
        return self._message("DBIRTH", self._births(DEVICE, now_ms), now_ms)

    def _births(self, definitions: Iterable[Definition], now_ms: int) -> list[Metric]:
        metrics = []
        for definition in definitions:
            value, at_ms = self._values.get(definition.name, (None, now_ms))
            metrics.append(Metric(definition.datatype, value, definition.name, definition.alias, at_ms))
        return metrics

    def _death(self, now_ms: int | None) -> Message:
        """Give NDEATH: bdSeq alone, and no seq."""
        payload = Payload((Metric(DataType.INT64, self._bdseq, BDSEQ, None, now_ms),), now_ms)
        return Message(self.names.topic("NDEATH"), encode(payload), 1)

    def _message(self, kind: str, metrics: Iterable[Metric], now_ms: int) -> Message:
        # Sparkplug 3.0.0, 5.16: in the order of time within a message
        ordered = sorted(metrics, key=lambda metric: metric.timestamp_ms or 0)
        payload = Payload(tuple(ordered), now_ms, self._seq)
        self._seq = (self._seq + 1) % SEQUENCE
        return Message(self.names.topic(kind), encode(payload))


def _data(definition: Definition, value: Value, at_ms: int, *, historical: bool) -> Metric:
    """Give a metric of a data message: alias without name, and its type, without which some hosts read nothing."""
    return Metric(definition.datatype, value, "", definition.alias, at_ms, historical)
