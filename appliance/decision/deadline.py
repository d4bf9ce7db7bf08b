"""Work out when a part's decision can close, from where the belt was: a belt that stands still expires nothing.

The microcontroller closes a decision at an encoder count. A computer needs an instant: the earliest at which the belt
can have come that far, since it is never faster than it is configured for.
"""

from appliance.schema.clocks import HostNs, S
from appliance.schema.part import BeltPosition, PartEntered

QUANTUM = 1
"""Counts by which a reading of the encoder may stand behind the belt: it counts whole ones."""


def latest(entered: PartEntered, belt: BeltPosition | None) -> HostNs:
    """Give the last instant at which a decision on a part is in time, never before `PartEntered.decide_by`.

    Each newer position of a slow or stopped belt moves it back by the time that the belt has lost since the part came;
    an old position stays true, only less is known. The guard within `decide_by` stays whole. A position of another
    boot, one behind the closing count, or one that contradicts the belt's largest speed moves nothing.
    """
    if belt is None or belt.boot != entered.part.boot or belt.fastest <= 0:
        return entered.decide_by
    if entered.close_counts == 0 or belt.at_counts >= entered.close_counts:
        return entered.decide_by
    moved = belt.at_counts - entered.at_counts
    elapsed = belt.at - entered.at
    doubt = belt.at_uncertainty_ns + entered.at_uncertainty_ns
    if abs(moved) > _reach(abs(elapsed) + doubt, belt.fastest):
        return entered.decide_by
    # Both instants at their early end, as in `decide_by`; the reading at its far end.
    since = elapsed - belt.at_uncertainty_ns + entered.at_uncertainty_ns
    lost = since - _time(moved + QUANTUM, belt.fastest)
    return HostNs(entered.decide_by + max(0, lost))


def too_fast(before: BeltPosition, after: BeltPosition) -> bool:
    """Say whether the belt moved further between two positions than its configured speed allows."""
    span = abs(after.at - before.at) + before.at_uncertainty_ns + after.at_uncertainty_ns
    return before.boot == after.boot and abs(after.at_counts - before.at_counts) > _reach(span, after.fastest)


def _reach(span_ns: int, fastest: float) -> float:
    return span_ns * fastest / S + QUANTUM


def _time(counts: int, fastest: float) -> int:
    return int(counts * S / fastest) + 1
