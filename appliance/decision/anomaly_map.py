"""Turn a map of feature distances into deviations from what good parts show at that place, and into one image score.

Distances are naturally larger at the rim of a part and at busy places. Dividing that out on held-out good images was
the main gain on real parts photographed under changing light (`training/README.md`).
"""

from collections.abc import Sequence
from enum import StrEnum

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# Border bins: distances of 0, 1, 2 to 3 and at least 4 cells.
BORDER_BIN_EDGES = (1, 2, 4)
# Position statistics are smoothed over neighbours, since a fixture repeats a part to about a cell, and their variance
# is drawn towards the image-wide one as if this many more images had shown it.
POSITION_BLUR_CELLS = 1.0
PRIOR_IMAGES = 5.0
SMALLEST_DEVIATION = 1e-6


class Placement(StrEnum):
    """Say how well a part repeats its place in the image."""

    BORDER = "border"
    """Only the distance from the image border means something."""
    POSITION = "position"
    """A fixture holds the part: each place has its own statistics."""


class MapStatistics(Struct, frozen=True):
    """Hold mean and standard deviation of good distances per cell, both (rows, cols) float32."""

    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]


def statistics(maps: NDArray[np.float32], placement: Placement) -> MapStatistics:
    """Give the statistics of distance maps of good images; maps: (images, rows, cols) float32, at least 2 images."""
    if placement is Placement.POSITION:
        return _by_position(maps)
    bins = _border_bins(maps.shape[1], maps.shape[2])
    mean, deviation = np.zeros(maps.shape[1:], np.float32), np.zeros(maps.shape[1:], np.float32)
    for index in np.unique(bins):
        values = maps[:, bins == index]
        mean[bins == index], deviation[bins == index] = values.mean(), values.std()
    return MapStatistics(mean, np.maximum(deviation, SMALLEST_DEVIATION))


def deviations(
    distances: NDArray[np.float32], known: MapStatistics, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Give distances in standard deviations from good; distances: (..., rows, cols) float32; `out` may be reused."""
    result = np.subtract(distances, known.mean, out=out)
    return np.divide(result, known.deviation, out=result)


def image_score(deviation: NDArray[np.float32], top_share: float) -> float:
    """Give the mean of the largest `top_share` of a (rows, cols) map, of its single largest cell at least."""
    flat = deviation.ravel()
    cells = max(1, round(top_share * flat.size))
    return float(np.partition(flat, flat.size - cells)[flat.size - cells :].mean())


def image_scores(
    deviation: Sequence[NDArray[np.float32]] | NDArray[np.float32], top_share: float
) -> NDArray[np.float64]:
    """Give the image score of each map; deviation: (images, rows, cols)."""
    return np.array([image_score(one, top_share) for one in deviation])


def _by_position(maps: NDArray[np.float32]) -> MapStatistics:
    blur = (0, 0), POSITION_BLUR_CELLS
    mean = cv2.GaussianBlur(maps.mean(axis=0), *blur)
    variance = cv2.GaussianBlur(((maps - mean) ** 2).mean(axis=0), *blur)
    images = len(maps)
    shrunk = (images * variance + PRIOR_IMAGES * variance.mean()) / (images + PRIOR_IMAGES)
    return MapStatistics(mean, np.maximum(np.sqrt(shrunk), SMALLEST_DEVIATION).astype(np.float32))


def _border_bins(rows: int, cols: int) -> NDArray[np.intp]:
    """Give each cell the number of its (row distance, column distance) bin."""
    row, col = np.arange(rows), np.arange(cols)
    by_row = np.searchsorted(BORDER_BIN_EDGES, np.minimum(row, rows - 1 - row), side="right")
    by_col = np.searchsorted(BORDER_BIN_EDGES, np.minimum(col, cols - 1 - col), side="right")
    return by_row[:, None] * (len(BORDER_BIN_EDGES) + 1) + by_col[None, :]
