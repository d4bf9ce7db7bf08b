"""State a rate with its count and exact interval; a share of nothing is no number."""

from msgspec import Struct

from appliance.decision.calibration import clopper_pearson


class Rate(Struct, frozen=True):
    """State how often something happened among `n` chances."""

    value: float | None
    """k / n; None where n is 0."""
    k: int
    n: int
    low: float
    """Ends of the exact two-sided 95 % interval (Clopper-Pearson), which takes the chances for independent."""
    high: float


def rate(hits: int, count: int) -> Rate:
    """Give the rate of `hits` in `count`; ValueError when there are more hits than chances."""
    low, high = clopper_pearson(hits, count)
    return Rate(hits / count if count else None, hits, count, low, high)
