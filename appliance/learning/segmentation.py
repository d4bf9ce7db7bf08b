"""Judge class maps cell by cell: intersection over union from one confusion summed over all pictures."""

import numpy as np
from numpy.typing import NDArray

from appliance.learning.classification import confusion


def cell_confusion(
    truth: NDArray[np.uint8], answered: NDArray[np.uint8], classes: int, left_out: int | None = None
) -> NDArray[np.int64]:
    """Count cells by (true class, answered class); both (rows, cols) uint8. left_out: a true class that counts not."""
    true, said = truth.ravel().astype(np.intp), answered.ravel().astype(np.intp)
    if left_out is not None:
        known = true != left_out
        true, said = true[known], said[known]
    return confusion(true, said, classes)


def class_iou(counts: NDArray[np.int64]) -> tuple[float | None, ...]:
    """Give each class's intersection over union; None of a class that neither occurs nor is answered."""
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return tuple(
        int(hits) / int(union) if union else None
        for hits, union in zip(np.diag(counts), both - np.diag(counts), strict=True)
    )


def mean_iou(counts: NDArray[np.int64]) -> float | None:
    """Give the mean over the classes that occur or are answered, background included; None of an empty matrix."""
    known = [value for value in class_iou(counts) if value is not None]
    return sum(known) / len(known) if known else None
