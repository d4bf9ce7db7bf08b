"""Define how a map of distances becomes a picture of the input's size: enlarged, blurred, with its maximum."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# A Gaussian beyond four standard deviations holds less than 1e-4 of its weight.
DEVIATIONS_KEPT = 4
LARGEST_CELL = 1e37
"""Larger cells are taken as not finite, so that no sum of them overflows float32."""


def finish_map(
    distances: NDArray[np.float32], size: tuple[int, int], sigma: float
) -> tuple[NDArray[np.float64], float, int, int]:
    """Give the enlarged and blurred map (rows, cols) float64, its maximum, and the maximum's first row and column.

    distances: (rows, cols) float32. size: (rows, cols) of the result. sigma: standard deviation of the blur in result
    pixels, 0 for none. When a cell is not finite, or over 1e37 in size, all is nan and the place (-1, -1).
    """
    if not (np.abs(distances) <= LARGEST_CELL).all():
        return np.full(size, np.nan), math.nan, -1, -1
    rows = axis_matrix(distances.shape[0], size[0], sigma)
    cols = axis_matrix(distances.shape[1], size[1], sigma)
    result = rows @ distances.astype(np.float64) @ cols.T
    row, col = np.unravel_index(result.argmax(), size)
    return result, float(result[row, col]), int(row), int(col)


def axis_matrix(source: int, length: int, sigma: float) -> NDArray[np.float64]:
    """Give the (length, source) matrix that enlarges, then blurs one axis."""
    return blur_matrix(length, sigma) @ bilinear_matrix(source, length)


def bilinear_matrix(source: int, length: int) -> NDArray[np.float64]:
    """Give the (length, source) matrix of linear interpolation between cell centres; the edge cells go on outwards."""
    at = ((np.arange(length) + 0.5) * source / length - 0.5).clip(0, source - 1)
    lower = np.minimum(np.floor(at).astype(int), max(source - 2, 0))
    matrix = np.zeros((length, source))
    np.add.at(matrix, (np.arange(length), lower), 1 - (at - lower))
    np.add.at(matrix, (np.arange(length), np.minimum(lower + 1, source - 1)), at - lower)
    return matrix


def blur_matrix(length: int, sigma: float) -> NDArray[np.float64]:
    """Give the (length, length) matrix of a Gaussian blur; at an end the picture is mirrored, its last pixel once."""
    radius = int(DEVIATIONS_KEPT * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2) if radius else np.ones(1)
    matrix: NDArray[np.float64] = np.zeros((length, length))
    target = np.repeat(np.arange(length), len(steps))
    np.add.at(matrix, (target, mirrored(target + np.tile(steps, length), length)), np.tile(weights, length))
    matrix /= weights.sum()
    return matrix


def mirrored(places: NDArray[np.int_], length: int) -> NDArray[np.int_]:
    """Bring places outside [0, length) back by mirroring at the first and last place, as often as needed."""
    period = max(2 * (length - 1), 1)
    inside = places % period
    return np.where(inside < length, inside, period - inside)
