"""Define what every preprocessing kernel computes, in plain numpy and float64.

This file is the specification: a fast kernel is right when it stays within its stated bound of these functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def preprocess(
    frame: NDArray[np.uint8],
    pixel_format: str,
    roi: tuple[int, int, int, int],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    """Turn a raw frame into the model's input image.

    frame: (rows, cols) uint8 for Mono8 and BayerRG8, (rows, cols, 3) uint8 for RGB8; any strides.
    roi: (x, y, width, height) in frame pixels; all even for BayerRG8.
    size: (rows, cols) of the result.
    Gives (rows, cols, 3) uint8 RGB; Mono8 is repeated into the three channels.
    """
    x, y, width, height = roi
    points = colour_points(frame[y : y + height, x : x + width], pixel_format)
    averaged = area_average(area_average(points, size[0], 0), size[1], 1)
    rounded = np.floor(averaged + 0.5).clip(0, 255).astype(np.uint8)
    return rounded if rounded.shape[2] == 3 else np.repeat(rounded, 3, axis=2)


def colour_points(frame: NDArray[np.uint8], pixel_format: str) -> NDArray[np.float64]:
    """Give one colour value per sampling point: (rows, cols, channels) float64, 0 to 255.

    A Bayer quad counts as one point: its four samples are taken at the quad's centre and the two greens averaged.
    This halves the resolution, which is free whenever the result is at least two times smaller than the frame.
    """
    if pixel_format == "BayerRG8":
        red, green_on_red = frame[0::2, 0::2], frame[0::2, 1::2]
        green_on_blue, blue = frame[1::2, 0::2], frame[1::2, 1::2]
        green = (green_on_red.astype(np.float64) + green_on_blue) / 2
        return np.stack([red.astype(np.float64), green, blue.astype(np.float64)], axis=-1)
    if pixel_format == "Mono8":
        return frame.astype(np.float64)[:, :, None]
    if pixel_format == "RGB8":
        return frame.astype(np.float64)
    raise ValueError(f"pixel format {pixel_format} is not one of BayerRG8, Mono8, RGB8; choose one at the camera")


def area_average(points: NDArray[np.float64], length: int, axis: int) -> NDArray[np.float64]:
    """Resize one axis to `length` by exact area averaging: each result is the mean over its fractional source span."""
    source = points.shape[axis]
    return np.moveaxis(np.tensordot(area_weights(source, length), points, axes=(1, axis)), 0, axis)


def area_weights(source: int, length: int) -> NDArray[np.float64]:
    """Give the (length, source) float64 matrix whose row i averages source span [i, i + 1) * source / length."""
    bounds = np.arange(length + 1, dtype=np.float64) * source / length
    cells = np.arange(source, dtype=np.float64)
    overlap = np.minimum(bounds[1:, None], cells + 1) - np.maximum(bounds[:-1, None], cells)
    return overlap.clip(0) * (length / source)


def k_centre(points: NDArray[np.float32], count: int, first: int) -> NDArray[np.int64]:
    """Choose `count` points greedily, each the farthest from those before it (the first such on a tie).

    points: (points, channels) float32. At most twice as bad as the best cover: Gonzalez, "Clustering to minimize the
    maximum intercluster distance", Theoretical Computer Science 38 (1985).
    """
    chosen = [first]
    nearest = np.full(len(points), np.inf, np.float32)
    for _ in range(count - 1):
        distance = ((points - points[chosen[-1]]) ** 2).sum(axis=1)
        nearest = np.minimum(nearest, distance)
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)
