"""Define box decode: thresholds, order and suppression."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


def decode_boxes(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    thresholds: NDArray[np.float32],
    iou: float,
    most: int,
) -> Boxes | None:
    """Give index, kind and score of every (box, class) that reaches its class's threshold and is not suppressed.

    boxes: (boxes, 4) float32 as x1 y1 x2 y2. scores: (boxes, classes) float32. thresholds: (classes,) float32.
    Strongest first, then the lower index, then the lower class; at most `most`. A result is suppressed when its
    intersection over union with a kept one of its class is over `iou`; from 1 on none is. None when a score or a
    coordinate is not finite.
    """
    if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
        return None
    index, kind = np.nonzero(scores >= thresholds)
    order = np.lexsort((kind, index, -scores[index, kind].astype(np.float64)))
    kept: list[tuple[int, int]] = []
    for place in order:
        i, k = int(index[place]), int(kind[place])
        if len(kept) == most:
            break
        if iou >= 1 or not any(other == k and overlaps(boxes[j], boxes[i], iou) for j, other in kept):
            kept.append((i, k))
    of_box = np.array([i for i, _ in kept], np.int32)
    of_class = np.array([k for _, k in kept], np.int32)
    return of_box, of_class, scores[of_box, of_class]


def overlaps(a: NDArray[np.float32], b: NDArray[np.float32], iou: float) -> bool:
    """Say whether intersection over union of two boxes is over `iou`, in float64; an inverted box has no area."""
    ax1, ay1, ax2, ay2 = map(float, a)
    bx1, by1, bx2, by2 = map(float, b)
    shared = max(min(ax2, bx2) - max(ax1, bx1), 0.0) * max(min(ay2, by2) - max(ay1, by1), 0.0)
    area_a, area_b = max(ax2 - ax1, 0.0) * max(ay2 - ay1, 0.0), max(bx2 - bx1, 0.0) * max(by2 - by1, 0.0)
    return shared > iou * (area_a + area_b - shared)
