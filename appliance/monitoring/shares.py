"""Give a share of counted parts with its exact interval, fast enough for the counts of a shift; pure.

`decision/calibration.py` sums every term, which takes seconds at 50,000 parts; here the same interval comes from the
incomplete beta function, within 1e-9 of it (tests/unit/test_shifts.py).
"""

import math

from appliance.decision.calibration import CONFIDENCE
from appliance.decision.escapes import Share

_STEPS = 60
"""Bisections: the ends are right to 1e-18 of the interval they lie in."""


def share(hits: int, count: int) -> Share:
    """Give hits in count with the exact two-sided 95 % interval (Clopper and Pearson, Biometrika 26, 1934).

    ValueError when there are more hits than chances.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"share: {hits} of {count}, limit is 0 to {count}; count again")
    half = (1 - CONFIDENCE) / 2
    low = 0.0 if not hits else _quantile(hits, count - hits + 1, half)
    high = 1.0 if hits == count else _quantile(hits + 1, count - hits, 1 - half)
    return Share(hits / count if count else None, hits, count, low, high)


def _quantile(a: float, b: float, target: float) -> float:
    """Find x with I_x(a, b) = target, which rises in x; bisection around where nearly all of it lies."""
    mean = a / (a + b)
    reach = 12 * math.sqrt(mean * (1 - mean) / (a + b + 1)) + 40 / (a + b)
    low, high = max(0.0, mean - reach), min(1.0, mean + reach)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _beta(middle, a, b) < target else (low, middle)
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Give the regularised incomplete beta function I_x(a, b) (DLMF 8.17.22, with 8.17.4 for the far side)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """Sum the continued fraction by Lentz's way (Thompson and Barnett, J. Comput. Phys. 64, 1986)."""
    tiny = 1e-300
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or tiny)
    total = d
    for m in range(1, 100_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / ((1 + term * d) or tiny)
            c = (1 + term / c) or tiny
            total *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return total
