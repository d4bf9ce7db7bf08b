"""Name the judge's two facts about a part: what it saw, and what it decided."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import HostNs
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameName
from appliance.schema.part import PartId


class Disposition(StrEnum):
    """Decide a part's way. Only ACCEPT opens the gate."""

    ACCEPT = "accept"
    REJECT = "reject"
    REVIEW = "review"
    UNKNOWN = "unknown"
    NO_VERDICT = "no_verdict"


class Reason(StrEnum):
    """Say why a verdict is what it is, most important first in `Verdict.reasons`."""

    WITHIN_LIMITS = "within_limits"
    ABOVE_REJECT_LIMIT = "above_reject_limit"
    BETWEEN_LIMITS = "between_limits"
    UNCALIBRATED = "uncalibrated"
    RULE_BROKEN = "rule_broken"
    """A logical rule of the recipe does not hold; `ViewResult.broken_rules` says which."""
    VIEW_MISSING = "view_missing"
    FRAME_INCOMPLETE = "frame_incomplete"
    FRAME_OVERWRITTEN = "frame_overwritten"
    PAIRING_MISMATCH = "pairing_mismatch"
    PAIRING_UNPROVEN = "pairing_unproven"
    TOO_LATE = "too_late"
    MODEL_FAULT = "model_fault"
    NO_BUNDLE = "no_bundle"
    UNKNOWN_DEFECT = "unknown_defect"
    """The view resembles nothing that the bundle knows: human review required."""
    NOVELTY_MISSING = "novelty_missing"
    """The recipe asks for a detector of unknown parts and the bundle has none."""
    CONFIDENT = "confident"
    BETWEEN_BANDS = "between_bands"
    LOW_CONFIDENCE = "low_confidence"
    """The confidence that the part is free of a defect is under the band's lower end."""
    NOT_CONFIRMED = "not_confirmed"
    """A head that must confirm saw nothing."""
    PROMISE_EXPIRED = "promise_expired"
    """Limits by risk were found for another bundle or precision, or drift has tripped since."""
    RANDOM_SAMPLE = "random_sample"
    """Would be accepted, and was drawn for a person to look at."""


class StageTimes(Struct, frozen=True):
    """Say where the time went, ms of host time; the sum of the stages need not be the whole."""

    transfer_ms: float = 0.0
    """Exposure start to frame in hand of `acquire`, the exposure itself included."""
    queue_ms: float = 0.0
    """Frame in hand of `acquire` to the judge starting on it."""
    preprocess_ms: float = 0.0
    inference_ms: float = 0.0
    decide_ms: float = 0.0


class InspectionResult(Struct, frozen=True, tag=True):
    """State what the model saw in the frames of a part. Topic `result`, written by `judge`."""

    part: PartId
    views: tuple[ViewResult, ...]
    bundle: str
    """`sha256:...` of the bundle's manifest; empty when none was loaded."""
    runtime: str
    precision: str
    stages: StageTimes
    copies: int
    """Copies of pixels over all views, from camera to input of preprocessing."""
    finished: HostNs
    unjudged: tuple[FrameName, ...] = ()
    """Frames proven to be the part's that gave no view: late, incomplete, or the model failed; kept as evidence."""


class ShadowResult(Struct, frozen=True, tag=True):
    """State what a shadow bundle makes of the frames a part was judged on. Topic `shadow`; it decides nothing."""

    part: PartId
    views: tuple[ViewResult, ...]
    bundle: str
    """`sha256:...` of the shadow bundle's manifest."""
    runtime: str
    precision: str
    disposition: Disposition
    """What it would have decided."""
    reasons: tuple[Reason, ...]
    active: str
    """The bundle that judged the part."""
    active_disposition: Disposition
    """What was decided, before the draw for the random sample."""
    finished: HostNs

    @property
    def agrees(self) -> bool:
        """Whether it would have decided the same."""
        return self.disposition is self.active_disposition


class Verdict(Struct, frozen=True, tag=True):
    """State what was decided. Topic `verdict`, written by `judge`; one per part at most."""

    part: PartId
    disposition: Disposition
    reasons: tuple[Reason, ...]
    decided: HostNs
    decide_by: HostNs
    sequence: int
    """1, 2, 3 ... within a run of `judge`; names this verdict to the microcontroller."""
    sampling: float = 0.0
    """Probability with which a part that would be accepted was drawn for a person to look at; 0: it was not in the
    draw."""


class SealedVerdict(Struct, frozen=True, tag=True):
    """State what the model would decide in parallel mode. Topic `sealed`, written by `judge`; no verdict of a part.

    It is kept and shown to nobody before a person has decided the part.
    """

    part: PartId
    disposition: Disposition
    reasons: tuple[Reason, ...]
    decided: HostNs
    decide_by: HostNs
    result: InspectionResult
