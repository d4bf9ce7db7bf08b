"""Say in plain words why a part is where it is, and what a silent service means for the line. No Qt."""

from collections.abc import Mapping

from appliance.schema.actuation import Cause
from appliance.schema.line import JobMode
from appliance.schema.verdict import Reason
from hmi.screens.run.manual import Fate

REASON_SAYS: Mapping[Reason, str] = {
    Reason.WITHIN_LIMITS: "As good parts are.",
    Reason.ABOVE_REJECT_LIMIT: "Further from good parts than the reject limit allows.",
    Reason.BETWEEN_LIMITS: "Between the limits: a person decides.",
    Reason.UNCALIBRATED: "The model has no limits yet: a person decides.",
    Reason.RULE_BROKEN: "A rule of the recipe is broken.",
    Reason.VIEW_MISSING: "A picture of this part is missing.",
    Reason.FRAME_INCOMPLETE: "The picture came incomplete.",
    Reason.FRAME_OVERWRITTEN: "The picture was overwritten before it was judged.",
    Reason.PAIRING_MISMATCH: "Picture and part do not fit together.",
    Reason.PAIRING_UNPROVEN: "Nothing proves that the picture shows this part.",
    Reason.TOO_LATE: "The answer came too late.",
    Reason.MODEL_FAULT: "The model failed.",
    Reason.NO_BUNDLE: "No model is loaded.",
    Reason.UNKNOWN_DEFECT: "Unlike everything known: quality looks at it.",
    Reason.NOVELTY_MISSING: "The model cannot tell unknown parts: a person decides.",
    Reason.CONFIDENT: "The model is sure that it is good.",
    Reason.BETWEEN_BANDS: "The model is not sure: a person decides.",
    Reason.LOW_CONFIDENCE: "The model is sure of a defect.",
    Reason.NOT_CONFIRMED: "A second look saw nothing: a person decides.",
    Reason.PROMISE_EXPIRED: "The proven limits no longer hold: a person decides.",
    Reason.RANDOM_SAMPLE: "A person decides.",
}
"""A random sample is told in words that any review may have."""

CAUSE_SAYS: Mapping[Cause, str] = {
    Cause.NO_VERDICT: "The gate rejected it: no answer was there in time.",
    Cause.LATE: "The gate rejected it: the answer came too late.",
    Cause.HOST_LOST: "The gate rejected it: this computer was not heard.",
    Cause.OLD_SESSION: "The gate rejected it: the link was restarted meanwhile.",
    Cause.FAULT: "The gate rejected it: a fault is latched.",
    Cause.NOT_ARMED: "The gate rejected it: the gate was not armed.",
    Cause.TOO_CLOSE: "The gate rejected it: too close to the next part.",
    Cause.GATE_LATE: "The gate rejected it: the gate was too slow.",
    Cause.PLC_NOT_READY: "Not inspected: the PLC took no result.",
    Cause.CHANGEOVER: "Not inspected: the recipe was being changed.",
    Cause.NO_JOB: "Not inspected: no job was running.",
}
"""Causes that say more than the verdict does."""

_UNITS = ("line", "judge", "acquire", "record", "publish", "opcua", "shadow", "sync")
ABSENCE_SAYS = (
    "The gate rejects every part by itself.",
    "Every part is rejected.",
    "Its picture is missing: every part is rejected.",
    "Nothing is stored; your answers wait here until it is back.",
    "The line runs on; the plant network gets its results later.",
    "The line runs on; OPC UA clients see nothing.",
    "The line is not affected.",
    "The line runs on; nothing goes upstream.",
)
"""What the silence of each of `_UNITS` means."""

PARALLEL_SAYS = (
    "Nobody's decision can be taken: every part is rejected.",
    "The line runs on; the model's opinion is missing.",
)
"""What the silence of `record` and of `judge` means in parallel mode."""

OTHER_SAYS = "What it does for the line is not known to this screen."

MODE_SAYS: Mapping[JobMode, str] = {
    JobMode.HALTED: "Halted: every part is rejected",
    JobMode.IDLE: "Stopped: every part is rejected",
    JobMode.SINGLE: "One part is inspected",
    JobMode.CONTINUOUS: "Running",
}

PURGED_SAYS = ("Belt emptied by hand", "Parts were moved", "After a jam")
RESET_SAYS = ("Cause removed", "After a jam", "After maintenance", "To find the fault")
"""Reasons to choose from, for the audit chain; kept there in English."""

FATE_SAYS: Mapping[Fate, str] = {
    Fate.SENT: "Sent ...",
    Fate.TAKEN: "Taken",
    Fate.REFUSED: "Refused",
    Fate.UNANSWERED: "No answer: not taken. Press again.",
    Fate.LATE: "Too late: the gate had rejected the part.",
}
"""What became of a person's decision."""


def absence(unit: str, *, parallel: bool = False) -> str:
    """Give what the silence of a unit means for the line; English source text."""
    kind = unit.partition("@")[0]
    if parallel and kind in {"record", "judge"}:
        return PARALLEL_SAYS[kind == "judge"]
    return ABSENCE_SAYS[_UNITS.index(kind)] if kind in _UNITS else OTHER_SAYS
