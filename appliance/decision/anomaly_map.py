"""Turn a map of feature distances into deviations from what good parts show at that place, and into one image score.

Distances are naturally larger at the rim of a part and at busy places. Dividing that out on held-out good images was
the main gain on real parts photographed under changing light (`training/README.md`).
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import RuntimeFault

# Border bins: distances of 0, 1, 2 to 3 and at least 4 cells.
BORDER_BIN_EDGES = (1, 2, 4)
BINS = len(BORDER_BIN_EDGES) + 1
# Position statistics are smoothed over neighbours, since a fixture repeats a part to about a cell, and their variance
# is drawn towards the image-wide one as if this many more images had shown it.
POSITION_BLUR_CELLS = 1.0
PRIOR_IMAGES = 5.0
SMALLEST_DEVIATION = 1e-6

BORDER_MEAN, BORDER_DEVIATION = "border_mean", "border_deviation"


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


class BorderTables(Struct, frozen=True):
    """Hold the same by distance from the border of what is looked at, for maps of any shape; both (bins, bins)."""

    mean: NDArray[np.float32]
    """By bin of the row's distance from the nearer of its borders, then by that of the column's."""
    deviation: NDArray[np.float32]


class MapView(Struct, frozen=True):
    """Say which cells of a map show what is looked at, and how far these lie from its border."""

    rows: tuple[int, int]
    """First and end."""
    cols: tuple[int, int]
    row_bins: NDArray[np.intp]
    """(rows,) bin of each row between."""
    col_bins: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the cells."""
        return len(self.row_bins), len(self.col_bins)

    def cut(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the cells looked at, a view of (..., rows, cols)."""
        return cells[..., self.rows[0] : self.rows[1], self.cols[0] : self.cols[1]]


def view_of(
    cells: tuple[int, int], window: tuple[float, float, float, float], region: tuple[float, float, float, float]
) -> MapView:
    """Give the view of a map of (rows, cols) `cells` that shows `window`; `region` is looked at.

    window, region: (x, y, width, height) in frame pixels. A cell counts when its centre lies in the region. Where none
    does, the nearest one stands for the region.
    """
    rows, row_bins = _along(cells[0], window[1], window[3], region[1], region[3])
    cols, col_bins = _along(cells[1], window[0], window[2], region[0], region[2])
    return MapView(rows, cols, row_bins, col_bins)


def statistics(maps: NDArray[np.float32], placement: Placement) -> MapStatistics:
    """Give the statistics of distance maps of good images; maps: (images, rows, cols) float32, at least 2 images."""
    if placement is Placement.POSITION:
        return _by_position(maps)
    whole = (0.0, 0.0, 1.0, 1.0)
    view = view_of((maps.shape[1], maps.shape[2]), whole, whole)
    return lay_out(border_tables(maps, [view] * len(maps)), view)


def border_tables(maps: Iterable[NDArray[np.float32]], views: Iterable[MapView]) -> BorderTables:
    """Give the statistics by distance from the border; maps: of good images, each cut to its own view.

    A bin that no map reaches takes the numbers of the nearest that one does. Memory does not grow with the maps.
    """
    count, sums, squares = (np.zeros((BINS, BINS)) for _ in range(3))
    for values, view in zip(maps, views, strict=True):
        for row in range(BINS):
            band = values[view.row_bins == row]
            for col in range(BINS):
                cells = band[:, view.col_bins == col].astype(np.float64)
                count[row, col] += cells.size
                sums[row, col] += cells.sum()
                squares[row, col] += (cells * cells).sum()
    reached = np.argwhere(count > 0)
    for empty in np.argwhere(count == 0):
        row, col = reached[np.abs(reached - empty).sum(axis=1).argmin()]
        for table in (count, sums, squares):
            table[tuple(empty)] = table[row, col]
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean * mean, SMALLEST_DEVIATION**2))
    return BorderTables(mean.astype(np.float32), deviation.astype(np.float32))


def lay_out(tables: BorderTables, view: MapView) -> MapStatistics:
    """Give the statistics of each cell of a view."""
    places = np.ix_(view.row_bins, view.col_bins)
    return MapStatistics(tables.mean[places], tables.deviation[places])


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


def shown_range(level: float) -> tuple[float, float]:
    """Give the deviations between which a map is shown, for findings from `level` on: half of it, and twice it.

    Both are fixed, so that a good part looks cool beside a bad one; scaled to its own peak every part would glow.
    """
    reach = max(abs(level), 1.0)
    return level - reach / 2, level + reach


def read_statistics(arrays: dict[str, NDArray[np.generic]]) -> MapStatistics | BorderTables:
    """Give the statistics in a bundle's `statistics.npz`; RuntimeFault when arrays are missing or of another shape.

    `mean` and `deviation`: (rows, cols) per cell; `border_mean` and `border_deviation`: (bins, bins) per distance.
    """
    if BORDER_MEAN in arrays:
        mean, deviation = arrays[BORDER_MEAN], arrays.get(BORDER_DEVIATION)
        if deviation is None or not mean.shape == deviation.shape == (BINS, BINS):
            raise RuntimeFault(
                f"anomaly task: statistics.npz lacks `{BORDER_MEAN}` and `{BORDER_DEVIATION}` of "
                f"{BINS} x {BINS} bins; install it again"
            )
        return BorderTables(mean.astype(np.float32), deviation.astype(np.float32))
    found, spread = arrays.get("mean"), arrays.get("deviation")
    if found is None or spread is None or found.ndim != 2 or found.shape != spread.shape:
        raise RuntimeFault(
            "anomaly task: statistics.npz lacks `mean` and `deviation` maps of one shape; install it again"
        )
    return MapStatistics(found.astype(np.float32), spread.astype(np.float32))


def statistics_arrays(known: MapStatistics | BorderTables) -> dict[str, NDArray[np.generic]]:
    """Give the arrays that `read_statistics` reads."""
    if isinstance(known, BorderTables):
        return {BORDER_MEAN: known.mean, BORDER_DEVIATION: known.deviation}
    return {"mean": known.mean, "deviation": known.deviation}


def _by_position(maps: NDArray[np.float32]) -> MapStatistics:
    blur = (0, 0), POSITION_BLUR_CELLS
    mean = cv2.GaussianBlur(maps.mean(axis=0), *blur)
    variance = cv2.GaussianBlur(((maps - mean) ** 2).mean(axis=0), *blur)
    images = len(maps)
    shrunk = (images * variance + PRIOR_IMAGES * variance.mean()) / (images + PRIOR_IMAGES)
    return MapStatistics(mean, np.maximum(np.sqrt(shrunk), SMALLEST_DEVIATION).astype(np.float32))


def _along(
    cells: int, start: float, length: float, region_start: float, region_length: float
) -> tuple[tuple[int, int], NDArray[np.intp]]:
    """Give first and end of the cells whose centre lies in the region along one axis, and their border bins."""
    pitch = length / cells
    centre = (np.arange(cells) + 0.5) * pitch + start - region_start
    inside = np.flatnonzero((centre >= 0) & (centre <= region_length))
    if not len(inside):
        inside = np.array([int(np.abs(centre - region_length / 2).argmin())])
    # Whole cells between this one and the border, where cells and border are aligned.
    distance = np.minimum(centre, region_length - centre)[inside] / pitch - 0.5
    bins = np.searchsorted(np.array(BORDER_BIN_EDGES) - 0.5, distance, side="right")
    return (int(inside[0]), int(inside[-1]) + 1), bins
