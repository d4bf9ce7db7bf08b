"""Define mask decode."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FLOAT32_LARGEST = float(np.finfo(np.float32).max)


def mask_sums(coefficients: NDArray[np.float32], prototypes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give (rows, cols) float64: the sum over k of coefficient k times prototype k."""
    with np.errstate(invalid="ignore"):
        return np.tensordot(coefficients.astype(np.float64), prototypes.astype(np.float64), axes=(0, 0))


def decode_mask(
    coefficients: NDArray[np.float32], prototypes: NDArray[np.float32], box: tuple[float, float, float, float]
) -> tuple[NDArray[np.uint8], int]:
    """Give the mask (rows, cols) uint8, 1 inside and 0 outside, and its area in cells.

    coefficients: (K,) float32. prototypes: (K, rows, cols) float32. box: x1, y1, x2, y2 in prototype cells.
    A cell is inside when its centre is in the box (x1 <= column + 0.5 < x2, rows alike) and the sigmoid of its sum is
    over 0.5, that is the sum is over 0. The area is -1 and the mask empty when the box, or a sum inside it, is not
    finite in float32; what lies outside the box is not looked at.
    """
    rows, cols = prototypes.shape[1:]
    x1, y1, x2, y2 = box
    mask = np.zeros((rows, cols), np.uint8)
    if not np.isfinite(box).all():
        return mask, -1
    centre_x, centre_y = np.arange(cols) + 0.5, np.arange(rows) + 0.5
    inside = ((y1 <= centre_y) & (centre_y < y2))[:, None] & ((x1 <= centre_x) & (centre_x < x2))
    sums = mask_sums(coefficients, prototypes)
    if not (np.abs(sums[inside]) <= FLOAT32_LARGEST).all():
        return mask, -1
    mask[inside] = sums[inside] > 0
    return mask, int(mask.sum())
