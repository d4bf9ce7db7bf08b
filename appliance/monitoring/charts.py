"""Draw control charts: limits from a stated baseline, points held against them, and runs that chance seldom makes.

Sources: Montgomery, "Introduction to Statistical Quality Control" (chapters 6, 7, 9); NIST/SEMATECH e-Handbook of
Statistical Methods, section 6.3; Nelson, "The Shewhart control chart - tests for special causes", Journal of Quality
Technology 16 (1984), 237-239. Everything is pure; a point without a value breaks every run.
"""

import math
from collections.abc import Callable, Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import fmean

from msgspec import Struct

from appliance.monitoring.binomial import outer_counts

D2 = 1.128
"""Mean range of two normal values in standard deviations (Montgomery, Appendix VI)."""
FEWEST = 20
"""Points of a baseline below which limits move more than they say (Montgomery, section 6.2: 20 to 25)."""
TAIL = 0.00135
"""Probability beyond each limit of a normal value at three standard deviations; the exact limits keep to it."""
LAMBDA, WIDTH = 0.2, 2.962
"""Weight and limit of the moving average: in control one false alarm in 500 points (Lucas and Saccucci, Technometrics
32 (1990); Montgomery, table 9.11)."""


class Rule(StrEnum):
    """Name what a point can break; each has a shape of its own on the chart."""

    BEYOND = "beyond"
    """Outside a limit (Nelson 1)."""
    SIDE = "side"
    """Nine in a row on one side of the centre (Nelson 2)."""
    TREND = "trend"
    """Six in a row rising or falling (Nelson 3)."""
    TWO_OF_THREE = "two_of_three"
    """Two of three beyond two standard deviations on one side (Nelson 5)."""
    FOUR_OF_FIVE = "four_of_five"
    """Four of five beyond one standard deviation on one side (Nelson 6)."""


class Point(Struct, frozen=True):
    """Give one point of a chart with the limits that hold for it."""

    value: float | None
    """None: nothing was measured, or too little."""
    centre: float
    low: float
    high: float
    n: int = 1
    """Parts behind it."""
    broken: tuple[Rule, ...] = ()


class Chart(Struct, frozen=True):
    """Give a chart and what its limits stand on."""

    points: tuple[Point, ...]
    baseline: int
    """Points, from the first one on, from which the limits were made; 0: no limits, too few points."""
    centre: float
    sigma: float
    """Of one point; 0 on charts whose limits differ from point to point."""


def individuals(values: Sequence[float | None], baseline: int, counts: Sequence[int] = ()) -> Chart:
    """Chart single values: limits at three sigma, sigma from the moving range of the baseline (Montgomery 6.4).

    baseline: so many first points make the limits; fewer than `FEWEST` values among them make none.
    """
    base = values[:baseline]
    known = [value for value in base if value is not None]
    if len(known) < FEWEST:
        return _without_limits(values, counts)
    ranges = [abs(b - a) for a, b in pairwise(base) if a is not None and b is not None]
    centre, sigma = fmean(known), fmean(ranges) / D2 if ranges else 0.0
    scaled = [None if value is None else _scaled(value - centre, sigma) for value in values]
    broken = _broken(scaled, lambda place: abs(scaled[place] or 0.0) > 3, zones=True)
    low, high = centre - 3 * sigma, centre + 3 * sigma
    return Chart(
        tuple(Point(value, centre, low, high, _n(counts, place), broken[place]) for place, value in enumerate(values)),
        baseline,
        centre,
        sigma,
    )


def moving_average(
    values: Sequence[float | None],
    centre: float,
    sigma: float,
    counts: Sequence[int] = (),
    weight: float = LAMBDA,
    width: float = WIDTH,
) -> Chart:
    """Chart the exponentially weighted moving average (Montgomery 9.2, equations 9.22, 9.25 and 9.26).

    It sees small lasting shifts that single points hide. Only its limits are tested: its points lean on each other, so
    runs of them mean nothing. A missing value leaves the average where it is.
    """
    average, points, seen = centre, [], 0
    for place, value in enumerate(values):
        if value is not None:
            average = weight * value + (1 - weight) * average
            seen += 1
        spread = width * sigma * math.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * seen)))
        shown = None if value is None else average
        is_beyond = shown is not None and abs(shown - centre) > spread
        broken = (Rule.BEYOND,) if is_beyond else ()
        points.append(Point(shown, centre, centre - spread, centre + spread, _n(counts, place), broken))
    return Chart(tuple(points), 0, centre, sigma)


def shares(hits: Sequence[int], counts: Sequence[int], baseline: int) -> Chart:
    """Chart the share of parts: a p chart with exact binomial limits for each point's own count.

    The usual limits at three sigma take the count for normal (Montgomery 7.2), which fails for rare defects: at 0.5 %
    of 200 parts they call false 1.9 times in 100 instead of 2.7 in 1000. Runs are tested by side and trend alone.
    """
    used = [(k, n) for k, n in zip(hits[:baseline], counts[:baseline], strict=True) if n]
    total = sum(n for _, n in used)
    values = [k / n if n else None for k, n in zip(hits, counts, strict=True)]
    if len(used) < FEWEST:
        return _without_limits(values, counts)
    centre = sum(k for k, _ in used) / total
    bounds = [_share_bounds(n, centre) for n in counts]
    offsets = [None if value is None else value - centre for value in values]

    def is_beyond(place: int) -> bool:
        low, high = bounds[place]
        value = values[place]
        return value is not None and not low <= value <= high

    broken = _broken(offsets, is_beyond, zones=False)
    return Chart(
        tuple(Point(value, centre, *bounds[place], counts[place], broken[place]) for place, value in enumerate(values)),
        baseline,
        centre,
        0.0,
    )


def _share_bounds(count: int, centre: float) -> tuple[float, float]:
    """Give the smallest and the largest share that are no alarm."""
    if not count:
        return 0.0, 1.0
    low, high = outer_counts(count, centre, TAIL)
    return low / count, high / count


def _without_limits(values: Sequence[float | None], counts: Sequence[int]) -> Chart:
    known = [value for value in values if value is not None]
    centre = fmean(known) if known else 0.0
    points = tuple(Point(value, centre, -math.inf, math.inf, _n(counts, i)) for i, value in enumerate(values))
    return Chart(points, 0, centre, 0.0)


def _broken(scaled: Sequence[float | None], is_beyond: Callable[[int], bool], *, zones: bool) -> list[tuple[Rule, ...]]:
    """Say for each point which rules it completes; scaled: distances from the centre, in sigma where `zones` count."""
    found: list[tuple[Rule, ...]] = []
    for place, value in enumerate(scaled):
        if value is None:
            found.append(())
            continue
        rules = [Rule.BEYOND] if is_beyond(place) else []
        rules += [Rule.SIDE] if _is_side(_last(scaled, place, 9)) else []
        rules += [Rule.TREND] if _is_trend(_last(scaled, place, 6)) else []
        if zones:
            rules += [Rule.TWO_OF_THREE] if _are_out(_last(scaled, place, 3), 2, 2.0) else []
            rules += [Rule.FOUR_OF_FIVE] if _are_out(_last(scaled, place, 5), 4, 1.0) else []
        found.append(tuple(rules))
    return found


def _last(scaled: Sequence[float | None], place: int, count: int) -> list[float]:
    """Give the last points up to this one; empty where there are fewer, or one of them has no value."""
    taken = scaled[max(0, place + 1 - count) : place + 1]
    known = [value for value in taken if value is not None]
    return known if len(known) == count else []


def _is_side(run: Sequence[float]) -> bool:
    return bool(run) and (min(run) > 0 or max(run) < 0)


def _is_trend(run: Sequence[float]) -> bool:
    steps = [b - a for a, b in pairwise(run)]
    return bool(steps) and (min(steps) > 0 or max(steps) < 0)


def _are_out(run: Sequence[float], wanted: int, sigmas: float) -> bool:
    """Say whether so many lie beyond so many sigma on the side of the newest, the newest among them."""
    if not run or abs(run[-1]) <= sigmas:
        return False
    side = math.copysign(1.0, run[-1])
    return sum(value * side > sigmas for value in run) >= wanted


def _scaled(distance: float, sigma: float) -> float:
    """Give a distance in sigma; where the baseline never moved, any distance is beyond every limit."""
    if sigma > 0:
        return distance / sigma
    return math.copysign(math.inf, distance) if distance else 0.0


def _n(counts: Sequence[int], place: int) -> int:
    return counts[place] if counts else 1
