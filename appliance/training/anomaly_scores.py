"""Turn scores of good images into one per part, the level of findings, and the images to look at again."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Cells over the level that 95 % of good images stay under everywhere are shown as findings.
FINDING_QUANTILE = 0.95
# Good images this many median deviations above the median are shown to a person. Scores lean to the right, so it is
# twice the 3 that suit a bell curve.
SUSPECT_DEVIATIONS = 6.0


def one_per_part(scores: Sequence[float], parts: Sequence[str], *, joined: bool) -> list[float]:
    """Give as many scores as there are parts, ascending; parts: name of each image's part.

    joined: the mean over the images of each part. Else the quantiles, at equal steps, of the distribution in which
    each part weighs the same and its images share that: what a future part is likely to score on one image. Where
    each part has one image both are its score.
    """
    values = np.asarray(scores, np.float64)
    names, place, count = np.unique(np.asarray(parts), return_inverse=True, return_counts=True)
    if joined:
        return sorted((np.bincount(place, values) / count).tolist())
    order = np.argsort(values, kind="stable")
    # Exact whole numbers would be better than sums of shares, so the steps lie between the sums.
    share = np.cumsum(1 / count[place][order]) / len(names)
    steps = (np.arange(len(names)) + 0.5) / len(names)
    result: list[float] = values[order][np.searchsorted(share, steps)].tolist()
    return result


def finding_level(peaks: NDArray[np.float64]) -> float:
    """Give the calibrated map value that `FINDING_QUANTILE` of good images stay under everywhere."""
    return float(np.quantile(peaks, FINDING_QUANTILE))


def suspects_of(scores: Sequence[float]) -> tuple[int, ...]:
    """Give the places of good images that look unlike the others."""
    middle = float(np.median(scores))
    spread = float(np.median(np.abs(np.array(scores) - middle))) * 1.4826  # of a bell curve: one standard deviation
    return tuple(index for index, score in enumerate(scores) if score > middle + SUSPECT_DEVIATIONS * spread)
