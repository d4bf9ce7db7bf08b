"""Choose each class's score threshold on held-out images: the one with the best F1 of precision and recall."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.learning.detection import box_overlaps, match
from appliance.ports.runtime import Session
from appliance.training.detection_cells import Instances
from kernels.boxes import BoxDecoder

LEAST_SCORE = 0.05
"""Weaker answers never make a better F1."""
MOST_ANSWERS = 100
FEWEST_OBJECTS = 5
"""Of a class among the held-out images; below, its threshold stays as given."""
AS_GOOD = 0.01
"""Of thresholds whose F1 is within this share of the best the lowest is taken: an escape costs more than a look."""


class Answers(Struct, frozen=True):
    """State what a detector answered to one image."""

    kinds: NDArray[np.intp]
    """(answers,) strongest first."""
    scores: NDArray[np.float64]
    """(answers,)"""
    right: NDArray[np.bool_]
    """(answers,) overlaps a free object of its class by half (IoU of at least 0.5)."""
    wanted: NDArray[np.intp]
    """(classes,) objects in the image."""


def answers_of(session: Session, image: NDArray[np.uint8], truth: Instances, nms_iou: float) -> Answers:
    """Run a detector on an image (rows, cols, 3) and hold its answers to the truth in pixels of the image."""
    session.input[0] = image
    results = session.run()
    boxes, scores = (np.ascontiguousarray(results[name][0], np.float32) for name in ("boxes", "scores"))
    count, classes = scores.shape
    decoder = BoxDecoder(count, classes, MOST_ANSWERS)
    found = max(0, decoder.run(boxes, scores, np.full(classes, LEAST_SCORE, np.float32), nms_iou))
    kinds = decoder.kind[:found].astype(np.intp)
    values = decoder.score[:found].astype(np.float64)
    places = _sized(boxes[decoder.index[:found]].astype(np.float64))
    right = np.zeros(found, np.bool_)
    for kind in np.unique(kinds):
        own, known = np.flatnonzero(kinds == kind), truth.kinds == kind
        crowds = np.zeros(int(known.sum()), np.bool_)
        table = box_overlaps(places[own], _sized(truth.boxes[known]), crowds)
        right[own] = match(table, values[own], crowds).right[0]  # strongest first, as `own`
    return Answers(kinds, values, right, np.bincount(truth.kinds, minlength=classes))


def best_thresholds(answers: Sequence[Answers], given: Sequence[float]) -> list[float]:
    """Give one threshold per class: between the weakest answer that the best F1 takes and the next one."""
    wanted = np.sum([one.wanted for one in answers], axis=0)
    result = []
    for kind, start in enumerate(given):
        scores = np.concatenate([one.scores[one.kinds == kind] for one in answers])
        right = np.concatenate([one.right[one.kinds == kind] for one in answers])
        if wanted[kind] < FEWEST_OBJECTS or not right.any():
            result.append(start)
            continue
        order = np.argsort(-scores, kind="stable")
        hits, taken = np.cumsum(right[order]), np.arange(1, len(order) + 1)
        f1 = 2 * hits / (taken + wanted[kind])
        best = int(np.flatnonzero(f1 >= (1 - AS_GOOD) * f1.max())[-1])
        below = scores[order[best + 1]] if best + 1 < len(order) else LEAST_SCORE
        result.append(round(float((scores[order[best]] + below) / 2), 4))
    return result


def _sized(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give x, y, width, height for x1, y1, x2, y2."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
