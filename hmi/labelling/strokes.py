"""Turn a brush's strokes into a mask, kept as run lengths (COCO, column by column); pure."""

from itertools import pairwise

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.datasets.runs import box_of_mask, mask_of_runs, runs_of_mask
from appliance.schema.finding import Box
from hmi.labelling.outlines import distances


class Stroke(Struct, frozen=True):
    """Hold one stroke of a round brush, in frame pixels."""

    points: tuple[tuple[float, float], ...]
    radius_px: float


def painted_runs(
    runs: tuple[int, ...], size: tuple[int, int], stroke: Stroke, *, erase: bool = False
) -> tuple[int, ...]:
    """Give the mask's runs after a stroke; empty `runs` are an empty mask of `size` (rows, cols)."""
    mask = mask_of_runs(runs, size) if runs else np.zeros(size, bool)
    paint(mask, stroke, value=not erase)
    return runs_of_mask(mask)


def paint(mask: NDArray[np.bool_], stroke: Stroke, *, value: bool) -> None:
    """Set the pixels whose centres lie within the radius of the stroke, in place; `mask` is (rows, cols) bool."""
    rows, cols = mask.shape
    points = np.array(stroke.points, np.float64)
    reach = max(stroke.radius_px, 0.5)
    for begin, end in pairwise(points):
        low, high = np.minimum(begin, end) - reach, np.maximum(begin, end) + reach
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right, bottom = min(int(high[0]) + 1, cols), min(int(high[1]) + 1, rows)
        if left >= right or top >= bottom:
            continue
        ys, xs = np.mgrid[top:bottom, left:right]
        centres = np.stack([xs.ravel() + 0.5, ys.ravel() + 0.5], axis=1)
        near = (distances(centres, begin, end) <= reach).reshape(ys.shape)
        mask[top:bottom, left:right][near] = value


def runs_box(runs: tuple[int, ...], size: tuple[int, int]) -> Box:
    """Give the box around a mask; ValueError when it is empty."""
    x1, y1, x2, y2 = box_of_mask(mask_of_runs(runs, size))
    return Box(x1, y1, x2 - x1, y2 - y1)
