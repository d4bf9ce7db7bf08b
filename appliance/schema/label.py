"""Name what a person says about a part."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from appliance.schema.clocks import UtcNs
from appliance.schema.finding import Box
from appliance.schema.part import PartId

GOOD = "good"
"""Class of a part without a defect."""


class LabelLevel(IntEnum):
    """Name the three levels of the labelling protocol."""

    CONFIRM = 1
    """Good, defect or unsure, by an operator; 5 to 10 s."""
    CLASSIFY = 2
    """Class and region, by a quality engineer; 30 to 60 s."""
    EXPERT = 3
    """Outline, severity, cause, by an expert; 2 to 5 min."""


class Purpose(StrEnum):
    """Say why a person was asked for a label."""

    REVIEW = "review"
    """The part waited for a person; the answer decides it too."""
    AUDIT = "audit"
    """A second look at a label, without seeing it."""
    DISAGREEMENT = "disagreement"
    """Settle labels that contradict each other, or what the level below could not say."""
    KNOWN_ANSWER = "known_answer"
    """A part whose class is settled, shown again to measure the person; no truth about the part comes of it."""
    CORRECTION = "correction"
    """A person corrects an earlier label unasked."""


class Region(Struct, frozen=True, forbid_unknown_fields=True):
    """Mark where a defect is, in one view; geometry in the pixels of the full frame."""

    camera: str
    kind: str
    box: Box
    """Bounds what is marked, whatever else is given."""
    polygon: tuple[tuple[float, float], ...] = ()
    """Outline as (x, y), not closed; empty where a box or a mask says it."""
    runs: tuple[int, ...] = ()
    """Mask as run lengths, column by column, the first outside (COCO); empty where box or outline say it."""
    size: tuple[int, int] = (0, 0)
    """(rows, cols) of the frame that `runs` fills."""


class Shown(Struct, frozen=True, forbid_unknown_fields=True):
    """State what of the model's answer a person saw before answering."""

    disposition: str
    kind: str = ""
    """Class of the strongest finding; empty: none."""
    confidence: float | None = None
    """Calibrated, in [0, 1]; None: uncalibrated."""
    bundle: str = ""


class Label(Struct, frozen=True, tag=True):
    """State one person's judgement. Topic `label`, written by `record`; never overwritten, only followed by another."""

    label_id: str
    """UUID version 7, made where the person answered; told twice it counts once."""
    part: PartId
    level: LabelLevel
    person: str
    """Operator id, not a name."""
    kind: str
    """`good`, a class of the taxonomy, or `unsure`, which hands the part to the next level."""
    seconds: float
    """From the picture's appearance to the answer."""
    prediction_shown: bool
    at: UtcNs
    purpose: Purpose = Purpose.REVIEW
    previous: str = ""
    """Id of the label that stood for the part before; empty: none."""
    old: str = ""
    """Class that stood for the part before; empty: none."""
    reason: str = ""
    """Why, in a few words; needed where a standing class is changed unasked."""
    regions: tuple[Region, ...] = ()
    severity: str = ""
    """minor, major or critical; level 3."""
    cause: str = ""
    """What made the defect, as an expert sees it; level 3."""
    shown: Shown | None = None
    """None: nothing of the model's answer was on the screen."""
    terminal: str = ""
    """Where the person answered; empty: the command line or another program."""
    software: str = ""
    """Version of what took the answer."""


UNSURE = "unsure"
"""Answer that hands a part to the next level; no class of any taxonomy."""
