"""Say how far apart two runs of a network are: values, classes, or rows that the network itself chose and ordered."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
SCORE_FLOOR = 0.05
"""Rows that a model chose by score come in any order, and the last of them are chosen by a hair: those above this
score must be found again, the others need not."""
SCORES = "scores"


def value_difference(expected: Array, actual: Array) -> float:
    """Give the largest difference relative to the largest expected value; nan when either is not finite."""
    one, other = np.asarray(expected, np.float64), np.asarray(actual, np.float64)
    if not np.isfinite(one).all() or not np.isfinite(other).all():
        return float("nan")
    gap, scale = float(np.abs(other - one).max(initial=0.0)), float(np.abs(one).max(initial=0.0))
    return gap / scale if scale > 0 else gap


def share_difference(expected: Array, actual: Array) -> float:
    """Give the share of cells that differ."""
    return float(np.mean(np.asarray(expected) != np.asarray(actual)))


def row_differences(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> dict[str, float]:
    """Compare rows in any order: every strong row of each side with the nearest of the other; nan when not finite.

    expected, actual: arrays of one image whose first axis is the rows, `scores` (rows, classes) among them. Gives for
    each the largest difference relative to its largest expected value.
    """
    one = {name: np.asarray(array, np.float64) for name, array in expected.items()}
    other = {name: np.asarray(array, np.float64) for name, array in actual.items()}
    if any(not np.isfinite(array).all() for array in (*one.values(), *other.values())):
        return dict.fromkeys(expected, float("nan"))
    scales = {name: float(np.abs(array).max(initial=0.0)) or 1.0 for name, array in one.items()}
    forward, backward = _nearest(one, other, scales), _nearest(other, one, scales)
    return {name: max(forward[name], backward[name]) for name in expected}


def _nearest(
    one: Mapping[str, NDArray[np.float64]], other: Mapping[str, NDArray[np.float64]], scales: Mapping[str, float]
) -> dict[str, float]:
    best = one[SCORES].max(axis=1)
    strong = np.flatnonzero(best >= min(SCORE_FLOOR, float(best.max(initial=0.0)) / 2))
    worst = dict.fromkeys(one, 0.0)
    for row in strong:
        gaps = {name: np.abs(other[name] - one[name][row]).max(axis=1) / scales[name] for name in one}
        match = int(np.max(list(gaps.values()), axis=0).argmin())
        worst = {name: max(worst[name], float(gap[match])) for name, gap in gaps.items()}
    return worst
