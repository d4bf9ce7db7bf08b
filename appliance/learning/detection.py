"""Judge boxes and masks by COCO's definition of average precision.

101 points of recall, all areas, 100 answers per picture and class, crowds ignored: Lin et al., "Microsoft COCO", ECCV
2014; equal to its published evaluation to 1e-6.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

MOST_ANSWERS = 100
OVERLAPS = np.linspace(0.5, 0.95, 10)
"""IoU from which an answer counts: AP50 is the first, AP50:95 the mean of all."""
RECALLS = np.linspace(0.0, 1.0, 101)


class Patch(Struct, frozen=True):
    """Hold one mask of a picture by its bounding box."""

    top: int
    left: int
    cells: NDArray[np.bool_]
    """(rows, cols) True where the object is."""


class Matched(Struct, frozen=True):
    """State which answers of one class in one picture were right, strongest first."""

    scores: NDArray[np.float64]
    """(answers,)"""
    right: NDArray[np.bool_]
    """(overlaps, answers)"""
    ignored: NDArray[np.bool_]
    """(overlaps, answers): lies on a crowd, neither right nor wrong."""
    wanted: int
    """Objects that are no crowds."""


def box_overlaps(
    answers: NDArray[np.float64], truths: NDArray[np.float64], crowds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give intersection over union of boxes (n, 4) and (m, 4) as x, y, width, height, over a crowd over the answer.

    Gives (n, m) float64.
    """
    first, second = answers[:, None, :], truths[None, :, :]
    wide = np.minimum(first[..., 0] + first[..., 2], second[..., 0] + second[..., 2]) - np.maximum(
        first[..., 0], second[..., 0]
    )
    high = np.minimum(first[..., 1] + first[..., 3], second[..., 1] + second[..., 3]) - np.maximum(
        first[..., 1], second[..., 1]
    )
    shared = np.where((wide > 0) & (high > 0), wide * high, 0.0)
    own, other = first[..., 2] * first[..., 3], second[..., 2] * second[..., 3]
    return _ratio(shared, np.where(crowds, own, own + other - shared))


def mask_overlaps(answers: Sequence[Patch], truths: Sequence[Patch], crowds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give intersection over union of masks, over a crowd over the answer; (answers, truths) float64."""
    shared = np.array([[_shared(one, other) for other in truths] for one in answers], np.float64)
    shared = shared.reshape(len(answers), len(truths))
    own = np.array([np.count_nonzero(one.cells) for one in answers], np.float64)[:, None]
    other = np.array([np.count_nonzero(one.cells) for one in truths], np.float64)[None, :]
    return _ratio(shared, np.where(crowds, np.broadcast_to(own, shared.shape), own + other - shared))


def match(overlaps: NDArray[np.float64], scores: NDArray[np.float64], crowds: NDArray[np.bool_]) -> Matched:
    """Give each answer of one class in one picture, strongest first, the free object that it overlaps most.

    overlaps: (answers, objects); scores: (answers,), of which the strongest 100 count; crowds: (objects,). Of equal
    overlaps the later object is taken; an answer that finds no object may lie on a crowd.
    """
    order = np.argsort(-scores, kind="stable")[:MOST_ANSWERS]
    plain = np.argsort(crowds, kind="stable")
    table, crowd = overlaps[np.ix_(order, plain)], crowds[plain]
    right = np.zeros((OVERLAPS.size, order.size), np.bool_)
    ignored = np.zeros_like(right)
    for level, least in enumerate(OVERLAPS):
        free = np.ones(crowd.size, np.bool_)
        for answer in range(order.size):
            place = _best(table[answer], free | crowd, crowd, min(float(least), 1 - 1e-10))
            if place is None:
                continue
            free[place] = False
            right[level, answer], ignored[level, answer] = not crowd[place], crowd[place]
    return Matched(scores[order], right, ignored, int((~crowds).sum()))


def precision_at_overlaps(pictures: Sequence[Matched]) -> NDArray[np.float64] | None:
    """Give the average precision of one class at each of `OVERLAPS`; None where the class has no object."""
    wanted = sum(one.wanted for one in pictures)
    if not wanted:
        return None
    scores = np.concatenate([one.scores for one in pictures])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([one.right for one in pictures], axis=1)[:, order]
    ignored = np.concatenate([one.ignored for one in pictures], axis=1)[:, order]
    return np.array([_average(right[level], ignored[level], wanted) for level in range(OVERLAPS.size)])


def mean_precision(classes: Sequence[Sequence[Matched]]) -> tuple[float | None, float | None]:
    """Give AP50 and AP50:95, means over the classes that have objects; classes: of each its pictures."""
    found = [one for one in map(precision_at_overlaps, classes) if one is not None]
    if not found:
        return None, None
    mean = np.mean(found, axis=0)
    return float(mean[0]), float(mean.mean())


def _average(right: NDArray[np.bool_], ignored: NDArray[np.bool_], wanted: int) -> float:
    """Give the mean over 101 recalls of the best precision at that recall or beyond."""
    hits, answers = np.cumsum(right), np.cumsum(~ignored)
    precision = hits / np.maximum(answers, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / wanted, RECALLS, side="left")
    reached = places < best.size
    return float(best[places[reached]].sum() / RECALLS.size)


def _best(
    overlaps: NDArray[np.float64], open_: NDArray[np.bool_], crowds: NDArray[np.bool_], least: float
) -> int | None:
    for kind in (~crowds, crowds):
        able = np.flatnonzero(kind & open_ & (overlaps >= least))
        if able.size:
            return int(able[np.flatnonzero(overlaps[able] == overlaps[able].max())[-1]])
    return None


def _shared(one: Patch, other: Patch) -> int:
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(one.top + one.cells.shape[0], other.top + other.cells.shape[0])
    right = min(one.left + one.cells.shape[1], other.left + other.cells.shape[1])
    if bottom <= top or right <= left:
        return 0
    own = one.cells[top - one.top : bottom - one.top, left - one.left : right - one.left]
    its = other.cells[top - other.top : bottom - other.top, left - other.left : right - other.left]
    return int(np.count_nonzero(own & its))


def _ratio(shared: NDArray[np.float64], union: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
