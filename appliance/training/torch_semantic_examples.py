"""Give the semantic decoder its batches, cuts around defects and as many of good frames, and say how wrong it is."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from appliance.training.semantic_decoder import TAPS_USED
from appliance.training.semantic_store import LABELS, UNKNOWN, CellStore

GRID_PX, PER_GRID = 16, 4
"""Cuts begin and end where cells of the coarsest tap do, so many cells of the finest each."""
CUT_PX = 192
AT_DEFECT = 0.85
"""Share of the cuts of defective frames that hold a cell of a defect; the others lie anywhere."""
BALANCE = 0.5
"""Rare classes count more by this power of how rare they are: between all cells and all classes alike."""
LARGEST_WEIGHT = 30.0


class SemanticExamples:
    """Give batches of cuts; one example is a defective frame, in one of its views, or any good one."""

    def __init__(self, store: CellStore, frames: NDArray[np.intp], marked: NDArray[np.bool_]) -> None:
        """Take a filled store, the frames to learn from, and of all frames which show a defect."""
        self._store = store
        rows = store.rows.frame
        self._views = [np.flatnonzero(rows == frame) for frame in frames if marked[frame]]
        self._good = np.flatnonzero(np.isin(rows, frames[~marked[frames]]))
        self.rows = np.flatnonzero(np.isin(rows, frames))
        """Of the store, that show the frames."""

    def __len__(self) -> int:
        return len(self._views) * (2 if len(self._good) else 1)

    def batch(self, chosen: NDArray[np.intp], random: np.random.Generator) -> dict[str, Tensor]:
        """Give what `semantic_loss` reads."""
        cuts = [self._cut(int(place), random) for place in chosen]
        return {name: torch.from_numpy(np.stack([cut[name] for cut in cuts])) for name in (*TAPS_USED, LABELS)}

    def counts(self, classes: int) -> NDArray[np.float64]:
        """Give how many cells of each class an average pass over the frames shows."""
        total = np.zeros(classes)
        for view in self._views:
            labels = self._store.labels(int(view[0]))
            total += np.bincount(labels[labels != UNKNOWN], minlength=classes)[:classes]
        return total

    def _cut(self, place: int, random: np.random.Generator) -> dict[str, NDArray[np.generic]]:
        defective = place < len(self._views)
        row = int(random.choice(self._views[place] if defective else self._good))
        labels = self._store.labels(row)
        known = labels != UNKNOWN
        wanted = known & (labels > 0) if defective and random.random() < AT_DEFECT else known
        cells = np.argwhere(wanted if wanted.any() else np.ones_like(wanted))
        centre = cells[random.integers(len(cells))] // PER_GRID
        grid = np.array(labels.shape) // PER_GRID
        size = np.minimum(CUT_PX // GRID_PX, grid)
        # The chosen cell lies anywhere in the cut: a shift by up to the cut's size costs nothing.
        top, left = (int(one) for one in np.clip(centre - random.integers(size), 0, grid - size))
        rows, cols = (int(one) for one in size)
        own = slice(top * PER_GRID, (top + rows) * PER_GRID), slice(left * PER_GRID, (left + cols) * PER_GRID)
        return {**self._store.taps(row, top, left, rows, cols), LABELS: labels[own].astype(np.int64)}


def class_weights(counts: NDArray[np.float64]) -> Tensor:
    """Give the weight of a cell of each class; their mean over cells is 1."""
    held = np.maximum(counts, counts.max() / LARGEST_WEIGHT ** (1 / BALANCE))
    weights = (held.max() / held) ** BALANCE
    return torch.from_numpy((weights * counts.sum() / (weights * counts).sum()).astype(np.float32))


class SemanticLoss:
    """Give the loss of a batch: weighted cross entropy, and the overlap that each defect class in it lacks.

    The overlap is the soft Dice coefficient of Milletari et al., "V-Net" (2016), per class over the batch; together
    with cross entropy as in Isensee et al., "nnU-Net" (2021).
    """

    def __init__(self, weights: Tensor) -> None:
        """Take the weight of a cell of each class."""
        self._weights = weights

    def __call__(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """Give the loss of one batch; batch: the taps and `labels` (images, rows, cols) int64."""
        logits, labels = network(batch).float(), batch[LABELS]
        known = labels != UNKNOWN
        weights = self._weights.to(logits.device)
        entropy = functional.cross_entropy(logits, labels, weights, ignore_index=UNKNOWN, reduction="sum")
        shown = functional.one_hot(torch.where(known, labels, 0), logits.shape[1]).movedim(-1, 1) * known[:, None]
        found = logits.softmax(dim=1) * known[:, None]
        both = (found * shown).sum(dim=(0, 2, 3))[1:]
        either = (found + shown).sum(dim=(0, 2, 3))[1:]
        present = shown.sum(dim=(0, 2, 3))[1:] > 0
        lacking = 1 - (2 * both + 1) / (either + 1)
        overlap = (lacking * present).sum() / present.sum().clamp(min=1)
        total: Tensor = entropy / known.sum().clamp(min=1) + overlap
        return total
