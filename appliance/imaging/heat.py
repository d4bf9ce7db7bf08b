"""Make the small map that shows people where a view is suspicious, and read it."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.ports.task import Surface
from appliance.schema.finding import Box, HeatMap

MOST_CELLS = 48
"""Along either side: 2 mm of a picture 100 mm wide, finer than a gloved finger points."""
FULL = 255


def shrink(surfaces: Sequence[Surface]) -> HeatMap | None:
    """Give one map of what the surfaces show, at most `MOST_CELLS` along a side; None where nothing is worth showing.

    A cell shows the highest value of the places whose centre it covers, so that a thin defect is not averaged away.
    """
    if not surfaces or not all(np.isfinite(surface.values).all() for surface in surfaces):
        return None
    around = _around(surfaces)
    rows = _cells(around.height_px, [one.window.height_px / one.values.shape[0] for one in surfaces])
    columns = _cells(around.width_px, [one.window.width_px / one.values.shape[1] for one in surfaces])
    grid = np.full((rows, columns), -np.inf, np.float32)
    for one in surfaces:
        row = _places(one.values.shape[0], one.window.y_px - around.y_px, one.window.height_px, rows / around.height_px)
        col = _places(
            one.values.shape[1], one.window.x_px - around.x_px, one.window.width_px, columns / around.width_px
        )
        np.maximum.at(grid, (row[:, None], col[None, :]), one.values)
    low = min(one.low for one in surfaces)
    high = max(*(one.high for one in surfaces), float(grid.max()))
    cells = np.rint((grid.clip(low, high) - low) * (FULL / (high - low))).astype(np.uint8)
    if not cells.any():
        return None
    return HeatMap(around, rows, columns, low, high, zlib.compress(cells.tobytes()))


def values(heat: HeatMap) -> NDArray[np.uint8]:
    """Give the cells of a map, (rows, columns) uint8, 0 to 255 from `low` to `high`; ValueError when it is damaged."""
    expected = heat.rows * heat.columns
    if not (0 < heat.rows <= MOST_CELLS and 0 < heat.columns <= MOST_CELLS):
        raise ValueError(f"heat map: {heat.rows} x {heat.columns} cells, limit is {MOST_CELLS}; the record is damaged")
    inflater = zlib.decompressobj()
    try:
        cells = inflater.decompress(heat.cells, expected + 1)
    except zlib.error as cause:
        raise ValueError(f"heat map: {cause}; the record is damaged") from cause
    if len(cells) != expected or not inflater.eof:
        raise ValueError(f"heat map: {len(cells)} cells or more, {expected} are needed; the record is damaged")
    return np.frombuffer(cells, np.uint8).reshape(heat.rows, heat.columns)


def _around(surfaces: Sequence[Surface]) -> Box:
    windows = [one.window for one in surfaces]
    left, top = min(one.x_px for one in windows), min(one.y_px for one in windows)
    right = max(one.x_px + one.width_px for one in windows)
    bottom = max(one.y_px + one.height_px for one in windows)
    return Box(left, top, right - left, bottom - top)


def _cells(extent: float, pitches: Sequence[float]) -> int:
    """Give how many cells fit, none finer than the coarsest surface: each then covers a centre of every window."""
    return max(1, min(MOST_CELLS, int(extent / max(pitches) + 1e-6)))


def _places(count: int, start: float, extent: float, per_px: float) -> NDArray[np.intp]:
    """Give the cell that each of `count` centres along an axis lies in."""
    centres = start + (np.arange(count) + 0.5) * (extent / count)
    return (centres * per_px).astype(np.intp)
