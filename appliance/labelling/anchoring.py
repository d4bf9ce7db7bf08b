"""Measure how far the model's answer leads people: agreement with it where it was shown against where it was hidden.

Only parts whose answer the draw hid may be compared with those it showed: a random sample or a part of parallel mode is
hidden by rule, and differs in what it is.
"""

import math
from collections.abc import Iterable
from statistics import NormalDist

from msgspec import Struct

from appliance.learning.rates import Rate, rate

QUANTILE = NormalDist().inv_cdf(0.975)


class Answer(Struct, frozen=True):
    """Hold a person's answer beside the model's, seen or not."""

    said: str
    model: str
    """Class of the model's strongest finding, `good` where it had none."""
    shown: bool


class Anchoring(Struct, frozen=True):
    """State how often people agree with the model."""

    shown: Rate
    hidden: Rate
    difference: float | None
    """Shown less hidden; above 0: people follow what they see. None: one of the two was never tried."""
    low: float
    """Ends of the 95 % interval: Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998), method 10."""
    high: float


def anchoring(answers: Iterable[Answer]) -> Anchoring:
    """Compare agreement with the model's answer seen and unseen."""
    told = list(answers)
    shown, hidden = (rate(*_agreement(told, shown=seen)) for seen in (True, False))
    if shown.value is None or hidden.value is None:
        return Anchoring(shown, hidden, None, -1.0, 1.0)
    difference = shown.value - hidden.value
    low, high = _newcombe((shown.k, shown.n), (hidden.k, hidden.n))
    return Anchoring(shown, hidden, difference, low, high)


def _agreement(answers: Iterable[Answer], *, shown: bool) -> tuple[int, int]:
    those = [answer.said == answer.model for answer in answers if answer.shown is shown]
    return sum(those), len(those)


def _newcombe(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    first, second = one[0] / one[1], other[0] / other[1]
    (low_1, high_1), (low_2, high_2) = _wilson(*one), _wilson(*other)
    gap = first - second
    return gap - math.hypot(first - low_1, high_2 - second), gap + math.hypot(high_1 - first, second - low_2)


def _wilson(hits: int, count: int) -> tuple[float, float]:
    share, square = hits / count, QUANTILE**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = QUANTILE / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)
