"""Say what the bands cost in work: parts an hour, at the rate of the last parts."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.schema.clocks import HostNs, S
from appliance.schema.verdict import Disposition, Reason

BETWEEN = frozenset({Reason.BETWEEN_LIMITS, Reason.BETWEEN_BANDS})
HOUR_S = 3600


class Passed(Struct, frozen=True):
    """State when a part was decided, and how."""

    at: HostNs
    disposition: Disposition
    between: bool
    """Whether its score or confidence lay in the band in which a person looks."""


class Workload(Struct, frozen=True):
    """State parts an hour."""

    parts: int
    """Counted."""
    all: float
    between: float
    """In the band in which a person looks: its width at this rate."""
    review: float
    unknown: float


def passed(at: HostNs, disposition: Disposition, reasons: Sequence[Reason]) -> Passed:
    """Note a decision."""
    return Passed(at, disposition, not BETWEEN.isdisjoint(reasons))


def workload(recent: Sequence[Passed], now: HostNs) -> Workload | None:
    """Give the work that the last parts made; None for fewer than two. A line that stands still makes less and less."""
    if len(recent) < 2:
        return None
    span_s = max(now - recent[0].at, recent[-1].at - recent[0].at, 1) / S
    # The first part opens the span, so one fewer passed within it.
    hourly = HOUR_S / span_s * (len(recent) - 1) / len(recent)
    return Workload(
        len(recent),
        hourly * len(recent),
        hourly * sum(one.between for one in recent),
        hourly * sum(one.disposition is Disposition.REVIEW for one in recent),
        hourly * sum(one.disposition is Disposition.UNKNOWN for one in recent),
    )
