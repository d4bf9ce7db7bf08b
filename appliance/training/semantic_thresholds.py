"""Collect what decoders say of parts they did not learn from: thresholds of the classes, scores of good frames."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.training.semantic_canvas import Pictures
from appliance.training.semantic_decoder import CELL_PX

STEPS = 200
"""Levels of confidence told apart."""
LEAST_THRESHOLD = 0.2
"""No class is found at less: with five classes the likeliest has at least this."""


class HeldOut:
    """Count cells by class and confidence; keeps no map."""

    def __init__(self, defects: Sequence[bool]) -> None:
        """Take of each class whether it is a defect; the first is the background."""
        self._defects, classes = np.array(defects, np.bool_), len(defects)
        self._right, self._wrong = np.zeros((classes, STEPS)), np.zeros((classes, STEPS))
        self._cells = np.zeros(classes)
        self.good_scores: list[float] = []
        """Of frames without a defect, in the order they came: the highest suspicion of a cell."""

    def add(self, probabilities: NDArray[np.generic], pictures: Pictures, mask: NDArray[np.uint8]) -> None:
        """Take (classes, rows, cols) of a frame and the class of each of its pixels."""
        values = np.asarray(probabilities, np.float32)
        inside = pictures.cells(np.ones(mask.shape, np.uint8), CELL_PX) >= 0.5
        if not self._defects[np.unique(mask)].any():
            self.good_scores.append(float(values[self._defects].sum(axis=0)[inside].max(initial=0.0)))
        likeliest, confidence = values.argmax(axis=0), values.max(axis=0)
        level = (confidence * STEPS).astype(int).clip(0, STEPS - 1)
        for label in range(1, len(values)):
            share = pictures.cells((mask == label).astype(np.uint8), CELL_PX)
            self._cells[label] += share.sum()
            own = inside & (likeliest == label)
            self._right[label] += np.bincount(level[own], share[own], STEPS)
            self._wrong[label] += np.bincount(level[own], 1 - share[own], STEPS)

    def thresholds(self) -> list[float]:
        """Give, for each class but the first, the confidence at which its cells overlap most with the truth.

        The overlap is intersection over union, in area; of equal ones the lowest confidence.
        """
        found = []
        for right, wrong, cells in list(zip(self._right, self._wrong, self._cells, strict=True))[1:]:
            hit, false = right[::-1].cumsum()[::-1], wrong[::-1].cumsum()[::-1]
            overlap = hit / np.maximum(cells + false, 1e-9)
            found.append(max(LEAST_THRESHOLD, float(overlap.argmax()) / STEPS))
        return found
