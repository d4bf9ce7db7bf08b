"""Turn scores into a disposition, and several views into one."""

import math
from collections.abc import Sequence

from appliance.decision.calibration import Band, band
from appliance.schema.verdict import Disposition, Reason

SEVERITY = (
    Disposition.ACCEPT,
    Disposition.REVIEW,
    Disposition.REJECT,
    Disposition.UNKNOWN,
    Disposition.NO_VERDICT,
)
"""From the only one that opens the gate to the one that says least; a part is what its worst view is."""


OF_BAND = {
    Band.BELOW: (Disposition.ACCEPT, Reason.WITHIN_LIMITS),
    Band.BETWEEN: (Disposition.REVIEW, Reason.BETWEEN_LIMITS),
    Band.ABOVE: (Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT),
}


def is_fault(score: float) -> bool:
    """Say whether a score is none: not a number, or better than any image can be."""
    return math.isnan(score) or score == -math.inf


def judge_view(
    score: float, accept_below: float | None, reject_above: float | None, *, rule_broken: bool = False
) -> tuple[Disposition, Reason]:
    """Judge one view's score against its bundle's limits; without both limits nothing is accepted.

    A score that means nothing (`is_fault`) is no verdict; infinity is over every limit. rule_broken: the view breaks a
    rule of the recipe and is rejected whatever its score.
    """
    if is_fault(score):
        return Disposition.NO_VERDICT, Reason.MODEL_FAULT
    if rule_broken:
        return Disposition.REJECT, Reason.RULE_BROKEN
    if score == math.inf:
        return OF_BAND[Band.ABOVE]
    if accept_below is None or reject_above is None:
        return Disposition.REVIEW, Reason.UNCALIBRATED
    return OF_BAND[band(score, accept_below, reject_above)]


def fuse(views: Sequence[tuple[Disposition, Reason]], needed: int) -> tuple[Disposition, tuple[Reason, ...]]:
    """Join the views of a part: the worst decides, its reasons first; fewer views than needed is no verdict."""
    if len(views) < needed or not views:
        return Disposition.NO_VERDICT, (Reason.VIEW_MISSING, *(reason for _, reason in _worst_first(views)))
    ordered = _worst_first(views)
    return ordered[0][0], tuple(dict.fromkeys(reason for _, reason in ordered))


def _worst_first(views: Sequence[tuple[Disposition, Reason]]) -> list[tuple[Disposition, Reason]]:
    return sorted(views, key=lambda view: SEVERITY.index(view[0]), reverse=True)
