"""A tapped conversation of an edge node, message by message, with the places at which the test did something."""

from dataclasses import dataclass, field

from appliance.outputs.sparkplug.payload import Payload, decode
from tests.contract.mqtt_tap import CONNECT, PUBLISH, Packet

BDSEQ = "bdSeq"


@dataclass(frozen=True)
class Said:
    """One message of the edge node, or its will."""

    place: int
    session: int
    kind: str
    levels: tuple
    qos: int
    retain: bool
    payload: Payload

    def metric(self, name):
        return next((metric for metric in self.payload.metrics if metric.name == name), None)

    @property
    def bdseq(self):
        return self.metric(BDSEQ).value


@dataclass
class Talk:
    """A tapped conversation with the places at which the test did something."""

    packets: list
    group: str
    node: str
    device: str
    host: str
    marks: dict = field(default_factory=dict)
    version: int = 5

    def __post_init__(self):
        self.said = [said(place, packet) for place, packet in enumerate(self.packets) if packet.kind == PUBLISH]
        self.wills = [said(place, packet) for place, packet in enumerate(self.packets) if packet.kind == CONNECT]
        self.connects = [packet for packet in self.packets if packet.kind == CONNECT]
        self.sessions = range(len(self.connects))

    def of(self, *kinds, session=None):
        return [one for one in self.said if one.kind in kinds and session in {None, one.session}]

    def prior(self, one, *kinds):
        """Give the last message of these kinds before one, of its session."""
        earlier = [other for other in self.of(*kinds, session=one.session) if other.place < one.place]
        return earlier[-1] if earlier else None

    def between(self, first, last):
        return [one for one in self.said if self.marks[first] <= one.place < self.marks[last]]

    def topic(self, kind):
        tail = [self.node, self.device] if kind.startswith("D") else [self.node]
        return ("spBv1.0", self.group, kind, *tail)


def said(place, packet: Packet):
    levels = tuple(packet.topic.split("/"))
    return Said(place, packet.session, levels[2], levels, packet.qos, packet.retain, decode(packet.payload))
