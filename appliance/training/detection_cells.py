"""Gather what a detection head learns from: features of chosen cells, and what should be found there."""

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.detection_graph import CELL_PX, NEAR_CHANNELS, SIDES, WIDE_CHANNELS, centres

# Half sides of the zones around an object's middle: the smaller is a share of its box, the larger a number of cells
# that an object thinner than those is given all the same.
FOUND = (0.15, 0.75)
"""Here the object is to be found."""
TOP = 0.95
"""Wanted at the cell nearest to the middle, less at its neighbours by a bell curve of one cell: scores that all reach 1
leave it to the last digit which box is kept, and runtimes differ in that."""
UNDECIDED = (0.3, 1.3)
"""Here either answer is right: suppression removes the weaker box."""
MEASURED = (0.4, 1.6)
"""Here its box is learnt."""
SMALLEST_CELLS = 0.1
MASK_PX = 4
SHOWN = 0.3
"""Share of a cell from which it belongs to a mask: a hair crack covers hardly more of a cell of 4 px."""
INPUTS = 9 * NEAR_CHANNELS + WIDE_CHANNELS


class Instances(Struct, frozen=True):
    """State what is true of one image."""

    kinds: NDArray[np.intp]
    """(instances,) places in the taxonomy."""
    boxes: NDArray[np.float64]
    """(instances, 4) x1 y1 x2 y2 in pixels of the frame or, inside the training, of the input image."""
    masks: tuple[NDArray[np.bool_], ...] = ()
    """One per instance, (rows, cols) of the frame or, inside the training, of cells of `MASK_PX`; True where it shows.
    For instance segmentation."""


class Targets(Struct, frozen=True):
    """State what is wanted at each of the cells of one image."""

    scores: NDArray[np.float32]
    """(cells, classes) up to `TOP` where an object of the class is to be found, else 0."""
    weights: NDArray[np.float32]
    """(cells, classes) 0 where either answer is right, else 1."""
    logs: NDArray[np.float32]
    """(cells, 4) logarithms of the distances to the four sides in cells."""
    kinds: NDArray[np.intp]
    """(cells,) class of the object whose box is learnt; -1 where `logs` does not count."""

    @property
    def measured(self) -> NDArray[np.bool_]:
        """(cells,) True where `logs` counts."""
        result: NDArray[np.bool_] = self.kinds >= 0
        return result


def targets(truth: Instances, cells: tuple[int, int], classes: int) -> Targets:
    """Give the targets of one image of (rows, cols) cells; of overlapping objects the smaller one's box is learnt."""
    place = centres(cells).astype(np.float64)
    scores = np.zeros((len(place), classes), np.float32)
    weights = np.ones_like(scores)
    logs = np.zeros((len(place), SIDES), np.float32)
    area, kinds = np.full(len(place), np.inf), np.full(len(place), -1, np.intp)
    for kind, (x1, y1, x2, y2) in zip(truth.kinds, truth.boxes, strict=True):
        off = np.abs(place - [(x1 + x2) / 2, (y1 + y2) / 2])
        found, undecided, measured = (
            (off <= np.maximum(share * np.array([x2 - x1, y2 - y1]), cells_off * CELL_PX)).all(axis=1)
            for share, cells_off in (FOUND, UNDECIDED, MEASURED)
        )
        weights[undecided & (scores[:, kind] == 0), kind] = 0
        beyond = (off**2).sum(axis=1) - (off**2).sum(axis=1).min()
        peaked = TOP * np.exp(-beyond[found] / (2 * CELL_PX**2))
        scores[found, kind] = np.maximum(scores[found, kind], peaked)
        weights[found, kind] = 1
        own = measured & ((x2 - x1) * (y2 - y1) < area)
        area[own], kinds[own] = (x2 - x1) * (y2 - y1), kind
        distance = np.concatenate([place[own] - [x1, y1], [x2, y2] - place[own]], axis=1) / CELL_PX
        logs[own] = np.log(np.maximum(distance, SMALLEST_CELLS))
    return Targets(scores, weights, logs, kinds)


class CellFeatures:
    """Hold the taps of many images in half precision and give features of any cells as the graph sees them."""

    def __init__(self) -> None:
        self._near: list[NDArray[np.float16]] = []
        self._wide: list[NDArray[np.float16]] = []

    def __len__(self) -> int:
        return len(self._near)

    def add(self, near: NDArray[np.float32], wide: NDArray[np.float32]) -> None:
        """Take the taps of one image: (40, rows / 8, cols / 8) and (112, rows / 16, cols / 16)."""
        self._near.append(np.pad(near.transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0))).astype(np.float16))
        self._wide.append(np.pad(wide.transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0)), mode="edge").astype(np.float16))

    @property
    def cells(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        rows, cols, _ = self._near[0].shape
        return rows - 2, cols - 2

    def take(self, image: int, chosen: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """Give (chosen, INPUTS) float32: 3 x 3 cells of stride 8 row by row, then stride 16 enlarged linearly."""
        cols = self.cells[1]
        row, col = np.divmod(np.arange(cols * self.cells[0]) if chosen is None else chosen, cols)
        out = np.empty((len(row), INPUTS), np.float32)
        near, wide = self._near[image], self._wide[image]
        for place in range(9):
            start = place * NEAR_CHANNELS
            out[:, start : start + NEAR_CHANNELS] = near[row + place // 3, col + place % 3]
        # Half-pixel rule: a fine cell lies a quarter of a coarse one from its coarse centre.
        other_row, other_col = 2 * (row % 2) - 1, 2 * (col % 2) - 1
        row, col = row // 2 + 1, col // 2 + 1
        here = 0.75 * wide[row, col].astype(np.float32) + 0.25 * wide[row, col + other_col]
        there = 0.75 * wide[row + other_row, col].astype(np.float32) + 0.25 * wide[row + other_row, col + other_col]
        out[:, -WIDE_CHANNELS:] = 0.75 * here + 0.25 * there
        return out


def inside(truth: Instances, roi: tuple[int, int, int, int], size: tuple[int, int]) -> Instances:
    """Give the truth in pixels of the input image, its masks in cells; objects outside the region are left out.

    roi: (x, y, width, height) in frame pixels. size: (rows, cols) of the input image.
    """
    x, y, width, height = roi
    boxes = (truth.boxes.reshape(-1, SIDES) - [x, y, x, y]) * np.tile([size[1] / width, size[0] / height], 2)
    boxes = boxes.clip(0, np.tile([size[1], size[0]], 2))
    kept = np.flatnonzero((boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1))
    masks = [truth.masks[place][y : y + height, x : x + width] for place in kept] if truth.masks else []
    return Instances(truth.kinds[kept], boxes[kept], tuple(_cells(mask, size) for mask in masks))


def _cells(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    shape = (size[1] // MASK_PX, size[0] // MASK_PX)
    covered: NDArray[np.float32] = cv2.resize(mask.astype(np.float32), shape, interpolation=cv2.INTER_AREA)
    return covered >= SHOWN


def mirrored(truth: Instances, size: tuple[int, int], axis: int) -> Instances:
    """Give the truth, in pixels of an input image of `size`, of the image with rows (0) or columns (1) reversed."""
    first, last = (1, 3) if axis == 0 else (0, 2)
    boxes = truth.boxes.copy()
    boxes[:, first], boxes[:, last] = size[axis] - truth.boxes[:, last], size[axis] - truth.boxes[:, first]
    return Instances(truth.kinds, boxes, tuple(np.flip(mask, axis) for mask in truth.masks))
