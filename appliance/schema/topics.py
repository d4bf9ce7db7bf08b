"""List every topic once: its type, its only writer, its rate and what happens when a message is lost."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.actuation import Actuation, HandActuation, PlcAcknowledged
from appliance.schema.audit import AuditRequest
from appliance.schema.frame import FrameReady
from appliance.schema.health import Alarm, Health
from appliance.schema.label import Label
from appliance.schema.line import LineState
from appliance.schema.part import BeltPosition, PartEntered, PartExposed
from appliance.schema.review import ManualVerdict, Seeded
from appliance.schema.verdict import InspectionResult, SealedVerdict, ShadowResult, Verdict


class Loss(StrEnum):
    """Name what a reader does about a gap in the sequence numbers."""

    REPLAY = "replay"
    """The writer holds the last messages; readers that keep records ask for them again."""
    REJECT = "reject"
    """The loss costs the part its ACCEPT and nothing else."""
    IGNORE = "ignore"
    """The next message says it all."""


class Topic(Struct, frozen=True):
    """Describe one topic or, with a trailing dot, one family of topics."""

    name: str
    type: type[Struct]
    writer: str
    rate: str
    loss: Loss
    history: int = 0
    """Messages the writer holds for replay."""


PART_ENTERED = "part.entered"
PART_EXPOSED = "part.exposed"
FRAME = "frame."
RESULT = "result"
VERDICT = "verdict"
SHADOW = "shadow"
SEALED = "sealed"
MANUAL = "manual"
SEED = "seed"
BELT = "belt"
LINE_STATE = "line.state"
HAND = "hand"
ACTUATION = "actuation"
PLC_ACKNOWLEDGED = "plc.acknowledged"
LABEL = "label"
STATUS = "status."
ALARM = "alarm."
AUDIT = "audit."

HISTORY = 4096
"""Messages of each fact kept for replay: 400 s at 10 parts/s, the time a crashed `record` may take to come back."""

TOPICS: tuple[Topic, ...] = (
    Topic(PART_ENTERED, PartEntered, "line", "parts", Loss.REPLAY, HISTORY),
    Topic(PART_EXPOSED, PartExposed, "line", "parts x cameras", Loss.REPLAY, HISTORY),
    Topic(FRAME, FrameReady, "acquire", "frames", Loss.REJECT),
    Topic(RESULT, InspectionResult, "judge", "parts", Loss.REPLAY, HISTORY),
    Topic(VERDICT, Verdict, "judge", "parts", Loss.REPLAY, HISTORY),
    Topic(SHADOW, ShadowResult, "shadow", "parts at most", Loss.REPLAY, HISTORY),
    Topic(SEALED, SealedVerdict, "judge", "parts, in parallel mode", Loss.REPLAY, HISTORY),
    Topic(MANUAL, ManualVerdict, "record", "as people decide", Loss.REPLAY, HISTORY),
    Topic(SEED, Seeded, "record", "rare", Loss.REPLAY, 256),
    Topic(BELT, BeltPosition, "line", "answers of the MCU's clock", Loss.IGNORE),
    Topic(LINE_STATE, LineState, "line", "changes, 1/s", Loss.IGNORE),
    Topic(HAND, HandActuation, "line", "as people decide", Loss.REPLAY, HISTORY),
    Topic(ACTUATION, Actuation, "line", "parts", Loss.REPLAY, HISTORY),
    Topic(PLC_ACKNOWLEDGED, PlcAcknowledged, "line", "parts", Loss.REPLAY, HISTORY),
    Topic(LABEL, Label, "record", "a few per minute", Loss.REPLAY, HISTORY),
    Topic(STATUS, Health, "each unit", "1/s", Loss.IGNORE),
    Topic(ALARM, Alarm, "each unit", "rare", Loss.REPLAY, 256),
    Topic(AUDIT, AuditRequest, "each unit", "rare", Loss.REPLAY, 256),
)


def topic_of(name: str) -> Topic:
    """Find the entry a topic name belongs to; KeyError when the table has none."""
    for topic in TOPICS:
        if name == topic.name or (topic.name.endswith(".") and name.startswith(topic.name)):
            return topic
    raise KeyError(name)
