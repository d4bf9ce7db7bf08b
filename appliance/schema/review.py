"""Name what a person decides about a part, and the parts that people put on the line to test it."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.label import Label
from appliance.schema.part import PartId


class Occasion(StrEnum):
    """Say why a person looked at a part."""

    PARALLEL = "parallel"
    """Parallel mode: every part is a person's."""
    REVIEW = "review"
    """The model was unsure."""
    UNKNOWN = "unknown"
    """The model did not know what it saw; a quality engineer's."""
    SAMPLE = "sample"
    """Drawn at random among those that would have been accepted."""
    QUARANTINE = "quarantine"
    """The queue was full, or nobody looked in time."""
    REINSPECTION = "reinspection"
    """Decided once already, or sent round again."""


class ManualVerdict(Struct, frozen=True, tag=True):
    """State what a person decided about a part. Topic `manual`, written by `record`; never overwritten."""

    verdict_id: str
    """UUID version 7."""
    part: PartId
    accept: bool
    kind: str
    """`good` or a class of the taxonomy."""
    person: str
    """Operator id, not a name."""
    occasion: Occasion
    seconds: float
    """From the picture's appearance to the answer."""
    prediction_shown: bool
    decided: HostNs
    at: UtcNs


class Seeded(Struct, frozen=True, tag=True):
    """State that a part is a known defect, put there to see whether it is found. Topic `seed`, written by `record`.

    Whoever reviews it is not told, and it never enters training data.
    """

    part: PartId
    kind: str
    person: str
    at: UtcNs


class SeededAnswer(Struct, frozen=True, tag=True):
    """Hold what a person said of a seeded part; kept by `record`, on no topic. It is no label, so never trained on."""

    label: Label


class Change(StrEnum):
    """Say what became of a part in review."""

    OPENED = "opened"
    """It waits for a person."""
    QUARANTINED = "quarantined"
    """It is held until somebody asks for a re-inspection."""
    REOPENED = "reopened"
    """It waits again, for a re-inspection."""
    DECIDED = "decided"
    """A person has decided it."""
    HANDED_ON = "handed_on"
    """A person could not say; it waits on, for a quality engineer."""


class ReviewStep(Struct, frozen=True, tag=True):
    """State one step of a part's way through review; kept by `record`, on no topic. A part's steps are its state."""

    part: PartId
    number: int
    """1, 2, 3 ... for each part."""
    change: Change
    occasion: Occasion
    """Why a person is asked; of a first step, why the part came into review at all."""
    person: str
    """Who decided or asked; empty: the service by its own rules."""
    why: str
    """Why it went into quarantine or is inspected again; else empty."""
    at: UtcNs
