"""Name what a person says about a part."""

from enum import IntEnum

from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.part import PartId


class LabelLevel(IntEnum):
    """Name the three levels of the labelling protocol."""

    CONFIRM = 1
    """Good, defect or unsure; seconds."""
    CLASSIFY = 2
    """Class and region; under a minute."""
    EXPERT = 3
    """Outline, severity, cause; minutes, by a quality engineer."""


class Label(Struct, frozen=True, tag=True):
    """State one person's judgement. Topic `label`, written by `record`; never overwritten, only followed by another."""

    label_id: str
    """UUID version 7."""
    part: PartId
    level: LabelLevel
    person: str
    """Operator id, not a name."""
    kind: str
    """`good` or a class of the taxonomy."""
    seconds: float
    """From the picture's appearance to the answer."""
    prediction_shown: bool
    at: UtcNs
