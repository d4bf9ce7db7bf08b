"""Say in one line why no limits keep what was asked, and what would be needed."""

import math

from msgspec import Struct
from msgspec.structs import replace

from appliance.decision import review_load
from appliance.decision.calibration import upper_bound
from appliance.decision.review_load import Shift
from appliance.decision.risk import Promise, allowed, needed, provable_rate
from appliance.schema.policy import Guarantee


class Impossible(Struct, frozen=True):
    """Say in one line why there are no such limits, and what would be needed."""

    text: str
    needed: int | None = None
    """Held-out parts that would do, where their number is what is missing."""
    present: int | None = None


class Outright(Struct, frozen=True):
    """Count good parts by what becomes of them."""

    wished: float
    """Share that may be rejected outright."""
    rejected: int
    """Over the reject limit."""
    beyond: int
    """Over every reject limit that there could be."""
    held: int
    """Over the accept limit."""
    good: int
    """All."""


def too_few(promise: Promise, defects: int) -> Impossible:
    """Name the defective parts that would prove the promise without an escape."""
    least = needed(promise)
    expected = promise.guarantee is Guarantee.EXPECTED
    how = "on average" if expected else f"and {percent(promise.assurance)}"
    provable = provable_rate(defects, promise.assurance, promise.guarantee)
    # Rounded up, so that what is named can be proven.
    can = f", or promise {math.ceil(1e4 * provable) / 100:g} %, which {defects} can prove" if 0 < provable < 1 else ""
    return Impossible(
        f"impossible with {defects} defects at {percent(promise.escape_rate)} {how}: {least:,} needed without a miss; "
        f"add {least - defects:,} held-out real ones{can}",
        least,
        defects,
    )


def none_accepted(promise: Promise, good: int) -> Impossible:
    """Say that the promise leaves nothing to accept."""
    return Impossible(
        f"impossible with this bundle at {percent(promise.escape_rate)}: the limit that keeps it accepts 0 of {good} "
        "good parts; promise less, add held-out defects, or train a better bundle"
    )


def no_time(shift: Shift) -> Impossible:
    """Name the minutes that are spent whatever the limits are."""
    return Impossible(
        f"impossible with {shift.minutes:g} review minutes per shift: the random sample of "
        f"{percent(shift.sample_share)} and {percent(shift.unknown_rate)} taken for unknown need "
        f"{math.ceil(review_load.floor_minutes(shift))}; give as many, or sample less"
    )


def too_much_overkill(counts: Outright, promise: Promise, shift: Shift | None, defect_rate: float) -> Impossible:
    """Name the minutes, or the good parts, that the wished overkill would take."""
    level, wished = promise.assurance, counts.wished
    said = (
        f"impossible to reject at most {percent(wished)} of good parts outright: {counts.rejected} of {counts.good} "
        f"are, up to {percent(upper_bound(counts.rejected, counts.good, level))} at {percent(level)}"
    )
    assured = replace(promise, escape_rate=wished, guarantee=Guarantee.ASSURED)
    outright = allowed(assured, counts.good)
    if shift is None or outright is None or outright < counts.beyond:
        least = needed(assured, counts.beyond)
        return Impossible(
            f"{said}; {least:,} held-out good parts are needed with {counts.beyond} of them rejected",
            least,
            counts.good,
        )
    minutes = review_load.minutes_for(counts.held - outright, counts.good, shift, defect_rate, level)
    return Impossible(f"{said}; {math.ceil(minutes)} review minutes per shift would do, {shift.minutes:g} stated")


def percent(share: float) -> str:
    """Write a share in %."""
    return f"{100 * share:.4g} %"
