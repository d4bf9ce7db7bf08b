"""Give intervals of any number by drawing parts anew: pictures of one part stand or fall together."""

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

ROUNDS = 1000
CONFIDENCE = 0.95
FEWEST_PARTS = 10
"""Fewer parts, drawn again and again, know too little of other parts: the interval would be far too narrow."""


class Interval(Struct, frozen=True):
    """State where a number would lie with other parts of the same kind."""

    low: float
    high: float
    parts: int
    rounds: int
    """Draws that gave a number; others held one class alone."""


def interval(
    groups: Sequence[str],
    metric: Callable[[NDArray[np.intp]], float | None],
    seed: int = 0,
    rounds: int = ROUNDS,
) -> Interval | None:
    """Give the 95 % percentile interval of a metric; None of few parts, or where no draw gives a number.

    groups: the part of each picture. metric: gives the number for pictures by place, some of them several times. Parts
    are drawn with replacement, as many as there are: Davison and Hinkley, "Bootstrap methods and their application"
    (1997), section 3.8.
    """
    names, part = np.unique(np.array(groups, np.str_), return_inverse=True)
    if names.size < FEWEST_PARTS:
        return None
    generator = np.random.default_rng(seed)
    pictures, sizes = np.argsort(part, kind="stable"), np.bincount(part)
    firsts = np.cumsum(sizes) - sizes
    draws = (generator.integers(names.size, size=names.size) for _ in range(rounds))
    values = [metric(pictures[_runs(firsts[drawn], sizes[drawn])]) for drawn in draws]
    known = [value for value in values if value is not None]
    if not known:
        return None
    half = (1 - CONFIDENCE) / 2
    low, high = np.quantile(known, [half, 1 - half])
    return Interval(float(low), float(high), int(names.size), len(known))


def _runs(firsts: NDArray[np.intp], sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give firsts[0], firsts[0] + 1, ... as many as sizes[0], and so on."""
    before = np.cumsum(sizes) - sizes
    return np.repeat(firsts - before, sizes) + np.arange(sizes.sum())
