"""Join the views of a part: the worst decides, and one that is missing is worse than any."""

from collections.abc import Sequence

from appliance.decision.disposition import SEVERITY, Judged
from appliance.schema.verdict import Disposition, Reason


def fuse(views: Sequence[Judged], needed: int) -> Judged:
    """Join the views of a part, the reasons of the worst first; fewer than needed is no verdict."""
    ordered = sorted(views, key=lambda view: SEVERITY.index(view[0]), reverse=True)
    reasons = tuple(dict.fromkeys(reason for _, own in ordered for reason in own))
    if len(views) < needed or not views:
        return Disposition.NO_VERDICT, tuple(dict.fromkeys((Reason.VIEW_MISSING, *reasons)))
    return ordered[0][0], reasons
