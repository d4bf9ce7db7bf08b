"""Fit the mask prototypes on frozen features: one hidden layer over sampled cells of stride 4 in and around boxes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.training.detection_cells import MASK_PX, CellFeatures, Instances
from appliance.training.detection_fit import SMALLEST_DEVIATION
from appliance.training.detection_graph import NEAR_CHANNELS, WIDE_CHANNELS
from appliance.training.detection_perceptron import Perceptron, sigmoid
from appliance.training.instance_graph import FINE_CHANNELS, MaskWeights

HIDDEN = 32
PASSES = 8
MOST_CELLS = 30_000
"""Sampled per class, whole objects at a time."""
COARSE = NEAR_CHANNELS + WIDE_CHANNELS
INPUTS = 9 * FINE_CHANNELS + COARSE


class MaskFeatures:
    """Hold the finest tap of many images beside their `CellFeatures`."""

    def __init__(self, coarse: CellFeatures) -> None:
        """Take the features of the same images, filled at the same time."""
        self._coarse = coarse
        self._fine: list[NDArray[np.float16]] = []

    def add(self, fine: NDArray[np.float32]) -> None:
        """Take the tap of one image: (24, rows / 4, cols / 4)."""
        self._fine.append(np.pad(fine.transpose(1, 2, 0), ((1, 1), (1, 1), (0, 0))).astype(np.float16))

    def take(self, image: int, row: NDArray[np.intp], col: NDArray[np.intp]) -> NDArray[np.float32]:
        """Give (cells, INPUTS) float32 as the graph sees them: 3 x 3 cells of stride 4, then the coarser taps."""
        out = np.empty((len(row), INPUTS), np.float32)
        for place in range(9):
            start = place * FINE_CHANNELS
            out[:, start : start + FINE_CHANNELS] = self._fine[image][row + place // 3, col + place % 3]
        rows, cols = self._coarse.cells
        other_row = (row // 2 + 2 * (row % 2) - 1).clip(0, rows - 1)
        other_col = (col // 2 + 2 * (col % 2) - 1).clip(0, cols - 1)
        # Half-pixel rule, as in CellFeatures; neighbours share cells, so each is enlarged once.
        corners = [r * cols + c for r in (row // 2, other_row) for c in (col // 2, other_col)]
        used, places = np.unique(np.concatenate(corners), return_inverse=True)
        seen = self._coarse.take(image, used)
        middle = seen[:, 4 * NEAR_CHANNELS : 5 * NEAR_CHANNELS]
        known = np.concatenate([middle, seen[:, -WIDE_CHANNELS:]], axis=1)
        four = known[places].reshape(4, len(row), COARSE)
        out[:, -COARSE:] = 0.5625 * four[0] + 0.1875 * (four[1] + four[2]) + 0.0625 * four[3]
        return out


def fit_masks(
    features: MaskFeatures,
    truths: Sequence[Instances],
    size: tuple[int, int],
    classes: int,
    random: np.random.Generator,
) -> MaskWeights:
    """Give the mask layers fitted to images whose truth has masks; blocks for seconds.

    truths: of `detection_cells.inside`. size: (rows, cols) of the input image. Raises ValueError when an object has no
    mask.
    """
    samples, wanted, kinds = _sample(features, truths, size, classes, random)
    mean, scale = samples.mean(axis=0), 1 / (samples.std(axis=0) + SMALLEST_DEVIATION)
    samples -= mean
    samples *= scale
    network = Perceptron(INPUTS, HIDDEN, classes, random)

    def slope(results: NDArray[np.float32], chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        # Only the class whose box a cell was taken from is judged there: outside of its boxes no mask is read.
        wrong = np.zeros_like(results)
        own = np.arange(len(chosen)), kinds[chosen]
        wrong[own] = sigmoid(results[own]) - wanted[chosen]
        return wrong

    network.fit(samples, slope, PASSES, cool=True)
    first = network.weights[0].astype(np.float64) * scale[:, None]
    parts = np.split(first, [9 * FINE_CHANNELS, 9 * FINE_CHANNELS + NEAR_CHANNELS])
    fine = parts[0].reshape(3, 3, FINE_CHANNELS, -1).transpose(3, 2, 0, 1)
    return MaskWeights(
        fine=np.ascontiguousarray(fine, np.float32),
        near=np.ascontiguousarray(parts[1].T[:, :, None, None], np.float32),
        wide=np.ascontiguousarray(parts[2].T[:, :, None, None], np.float32),
        hidden_bias=(network.weights[1] - mean.astype(np.float64) @ first).astype(np.float32),
        out=np.ascontiguousarray(network.weights[2].T),
        out_bias=network.weights[3].copy(),
    )


def _sample(
    features: MaskFeatures,
    truths: Sequence[Instances],
    size: tuple[int, int],
    classes: int,
    random: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Give features, wanted values and class of cells in boxes widened by a cell, about as many of each class."""
    cells = (size[0] // MASK_PX, size[1] // MASK_PX)
    counts = np.zeros(classes)
    for truth in truths:
        if len(truth.masks) != len(truth.kinds):
            raise ValueError(f"instance: {len(truth.masks)} masks for {len(truth.kinds)} objects; give one for each")
        np.add.at(counts, truth.kinds, [_count(box, cells) for box in truth.boxes])
    share = np.minimum(1.0, MOST_CELLS / np.maximum(counts, 1))
    found: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]] = []
    for image, truth in enumerate(truths):
        for kind, box, mask in zip(truth.kinds, truth.boxes, truth.masks, strict=True):
            if random.random() >= share[kind]:
                continue
            top, bottom, left, right = _range(box, cells)
            row, col = np.divmod(np.arange((bottom - top) * (right - left)), right - left)
            row, col = row + top, col + left
            shown = mask[row, col].astype(np.float32)
            found.append((features.take(image, row, col), shown, np.full(len(row), kind)))
    samples, wanted, kinds = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return samples, wanted, kinds


def _range(box: NDArray[np.float64], cells: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top = (max(0, int(value // MASK_PX) - 1) for value in box[:2])
    right, bottom = (int(-(-value // MASK_PX)) + 1 for value in box[2:])
    return top, min(cells[0], bottom), left, min(cells[1], right)


def _count(box: NDArray[np.float64], cells: tuple[int, int]) -> int:
    top, bottom, left, right = _range(box, cells)
    return (bottom - top) * (right - left)
