"""Show a training image as it might have come: turned, mirrored, shifted, scaled, brighter, its boxes with it."""

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.detection_cells import Instances

GREY = 127
"""Fills what lies outside the image: zero behind the normalisation, as the padding of the layers."""
LEAST_SHOWN = 0.4
"""Share of its box that an object must show to be learnt."""


class Views(Struct, frozen=True):
    """Choose which changes of an image another part might show; all off: the image as it is."""

    each: int = 3
    """Views of each image; the first is the image as it is."""
    mirrored: bool = True
    """Left and right change places. Off for print and wherever a mirrored object is another thing."""
    turned: bool = False
    """Quarter turns, for square input images. On for parts that lie any way round, off where light or fixture has a
    direction."""
    scale: float = 0.1
    """Largest change of size, as a share."""
    shift_px: float = 16.0
    """Largest shift in pixels of the input image."""
    gain: float = 0.15
    """Largest change of contrast about middle grey, as a share; it leaves no difference from a template as none."""


def drawn(
    image: NDArray[np.uint8], truth: Instances, views: Views, random: np.random.Generator
) -> tuple[NDArray[np.uint8], Instances]:
    """Give a view of an image (rows, cols, 3) and of its boxes, both of the size given."""
    rows, cols = image.shape[:2]
    matrix = _matrix((rows, cols), views, random)
    gain = 1 + views.gain * random.uniform(-1, 1)
    levels = np.clip(GREY + (np.arange(256) - GREY) * gain, 0, 255).round().astype(np.uint8)
    lit = cv2.LUT(image, levels) if views.gain else image
    # In OpenCV whole numbers are the middles of pixels, in boxes their edges.
    inner = matrix.copy()
    inner[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    seen = cv2.warpAffine(lit, inner, (cols, rows), flags=cv2.INTER_LINEAR, borderValue=(GREY, GREY, GREY))
    return seen, cut_to(_moved(truth, matrix), slice(0, rows), slice(0, cols))


def cut_to(truth: Instances, rows: slice, cols: slice) -> Instances:
    """Give the boxes that a part of an image shows, in its own pixels; those of which it shows little are left out."""
    if not len(truth.kinds):
        return truth
    whole = (truth.boxes[:, 2:] - truth.boxes[:, :2]).prod(axis=1)
    size = np.array([cols.stop - cols.start, rows.stop - rows.start] * 2, np.float64)
    boxes = (truth.boxes - np.tile([cols.start, rows.start], 2)).clip(0, size)
    shown = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) >= LEAST_SHOWN * whole
    return Instances(truth.kinds[shown], boxes[shown])


def _matrix(size: tuple[int, int], views: Views, random: np.random.Generator) -> NDArray[np.float64]:
    """Give the map of edge coordinates (x, y) about the middle of the image."""
    scale = 1 + views.scale * random.uniform(-1, 1)
    turn = np.eye(2)
    if views.mirrored and random.random() < 0.5:
        turn[0, 0] = -1
    if views.turned:
        quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
        turns = int(random.integers(4)) if size[0] == size[1] else 2 * int(random.integers(2))
        turn = np.linalg.matrix_power(quarter, turns) @ turn
    shift = views.shift_px * random.uniform(-1, 1, 2)
    middle = np.array([size[1], size[0]]) / 2
    linear = scale * turn
    return np.column_stack([linear, middle + shift - linear @ middle])


def _moved(truth: Instances, matrix: NDArray[np.float64]) -> Instances:
    corners = truth.boxes.reshape(-1, 2, 2) @ matrix[:, :2].T + matrix[:, 2]
    return Instances(truth.kinds, np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
