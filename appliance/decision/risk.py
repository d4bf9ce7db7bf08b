"""Find the limit under which a promised escape rate holds, from held-out defective parts, or say how many are missing.

The unit is a part: one score each, that of its worst view. Every score is a possible limit, tried from the strictest to
the looser; each is proven by the exact binomial probability of as few escapes, and the first that is not ends it.
Since escapes only grow with the limit, trying them all costs no assurance: Angelopoulos et al., "Learn then test:
calibrating predictive algorithms to achieve risk control" (2021), fixed sequence testing. The assured limit equals the
one-sided tolerance limit of Wilks, "Determination of sample sizes for setting tolerance limits", Annals of Mathematical
Statistics 12 (1941). The expected one is that of Angelopoulos et al., "Conformal risk control" (2022), theorem 1.

Nothing is assumed of the shape of the scores, but that held-out parts and the line's are drawn alike, one by one.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

from msgspec import Struct

from appliance.decision.calibration import at_most, clopper_pearson
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Guarantee

MOST_PARTS = 1_000_000_000
"""No line shows more defective parts than this."""


class Promise(Struct, frozen=True):
    """State what is asked of a limit."""

    escape_rate: float
    """Of defective parts, at most this share is accepted, in (0, 1)."""
    assurance: float = 0.95
    """Probability that held-out data leads to a limit which keeps to it, in (0, 1); unused where it is expected."""
    guarantee: Guarantee = Guarantee.ASSURED


class Count(Struct, frozen=True):
    """State how often something was seen, with the exact two-sided 95 % interval of its share (Clopper-Pearson)."""

    k: int
    n: int
    low: float
    high: float


def counted(hits: int, chances: int) -> Count:
    """Give the count; without a chance the interval is the whole of [0, 1]."""
    return Count(hits, chances, *clopper_pearson(hits, chances))


def check(promise: Promise) -> None:
    """Raise ConfigError for a promise that none can be."""
    for name, value in (("escape rate", promise.escape_rate), ("assurance", promise.assurance)):
        if not 0 < value < 1:
            raise ConfigError(f"risk: {name} {value:g}, must lie between 0 and 1; state it as a share, 0.005 for 0.5 %")


def needed(promise: Promise, escaped: int = 0) -> int:
    """Give how many held-out defective parts prove the promise when so many of them escape.

    ConfigError for a promise that none can be, or that needs over `MOST_PARTS`.
    """
    check(promise)
    if escaped < 0:
        raise ConfigError(f"risk: {escaped} escapes, must be 0 or more; give a count")
    if promise.guarantee is Guarantee.EXPECTED:
        return math.ceil((escaped + 1) / _exact(promise.escape_rate)) - 1
    low, high = escaped, max(escaped, 1)
    while not _is_proven(escaped, high, promise):
        low, high = high, 2 * high
        if high > MOST_PARTS:
            raise ConfigError(
                f"risk: escape rate {promise.escape_rate:g} with {escaped} escapes needs over {MOST_PARTS} defective "
                "parts; promise less"
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _is_proven(escaped, middle, promise) else (middle, high)
    return high


def allowed(promise: Promise, defects: int) -> int | None:
    """Give how many of so many held-out defective parts may escape; None where not even none would prove it."""
    check(promise)
    low, high = -1, defects  # low is proven, high is not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _is_proven(middle, defects, promise) else (low, middle)
    return None if low < 0 else low


def escape_limit(scores: Sequence[float], promise: Promise) -> float | None:
    """Give the largest limit that is proven: parts that score up to it may be accepted; None where there is none.

    scores: of defective parts; one that is no number is never accepted, and stands above all others. The limit lies
    right below the first escape too many, so parts of equal score fall on the same side.
    """
    escaped = allowed(promise, len(scores))
    if escaped is None:
        return None
    ordered = sorted(suspicion(score) for score in scores)
    return math.nextafter(ordered[escaped], -math.inf)


def provable_rate(defects: int, assurance: float, guarantee: Guarantee = Guarantee.ASSURED) -> float:
    """Give the smallest escape rate that so many defective parts can prove, when none of them escapes."""
    if guarantee is Guarantee.EXPECTED:
        return 1 / (defects + 1)
    return 1 - (1 - assurance) ** (1 / defects) if defects else 1.0


def suspicion(score: float) -> float:
    """Give a score to rank by: one that is none (nan, minus infinity) is never accepted, so it stands above all."""
    return math.inf if math.isnan(score) or score == -math.inf else score


def _is_proven(escaped: int, defects: int, promise: Promise) -> bool:
    """Say whether so few escapes of so many would be unlikely enough at any higher rate."""
    if promise.guarantee is Guarantee.EXPECTED:
        return escaped + 1 <= _exact(promise.escape_rate) * (defects + 1)
    return escaped < defects and at_most(escaped, defects, promise.escape_rate) <= 1 - promise.assurance


def _exact(rate: float) -> Fraction:
    """Give the decimal number that was meant: 0.29 of 100 are 29, whatever binary makes of it."""
    return Fraction(repr(rate))
