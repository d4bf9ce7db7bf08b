"""Box decode gives exactly what its definition gives, and nothing at all from inputs that are not finite."""

import math

import numpy as np
import pytest

from kernels import reference
from kernels.boxes import BoxDecoder
from tests.unit.kernel_library import SMALL_BYTES, allocated, built

UNIT = np.array([[0, 0, 10, 10]], np.float32)


def decoded(boxes, scores, thresholds, iou=0.5, most=100):
    """Give (index, kind, score) of each result, or the negative count."""
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    decoder = BoxDecoder(*scores.shape, most, built())
    count = decoder.run(boxes, scores, np.asarray(thresholds, np.float32), iou)
    results = (decoder.index, decoder.kind, decoder.score)
    return count if count < 0 else list(zip(*(values[:count].tolist() for values in results), strict=True))


def defined(boxes, scores, thresholds, iou=0.5, most=100):
    found = reference.decode_boxes(boxes, scores, np.asarray(thresholds, np.float32), iou, most)
    return -1 if found is None else list(zip(*(values.tolist() for values in found), strict=True))


def test_threshold_is_reached_by_equality() -> None:
    """A score equal to its class's threshold is a result; the next smaller number is not."""
    below = np.nextafter(np.float32(0.5), np.float32(0))

    assert [(0, 0, 0.5)] == decoded(UNIT, [[0.5]], [0.5])
    assert [] == decoded(UNIT, [[below]], [0.5])


def test_each_class_has_its_own_threshold() -> None:
    """A box may count for several classes, each by its own threshold."""
    assert [(0, 2, 0.5), (0, 0, 0.25)] == decoded(UNIT, [[0.25, 0.25, 0.5]], [0.2, 0.3, 0.5])


def test_infinite_threshold_leaves_a_class_out() -> None:
    """A class with the threshold infinity is never found; minus infinity takes every box."""
    assert [(0, 1, 0.25)] == decoded(UNIT, [[1.0, 0.25]], [math.inf, -math.inf])


def test_ties_are_ordered_by_index_then_class() -> None:
    """Equal scores are listed by box, then by class, zeros of both signs alike."""
    boxes = UNIT.repeat(3, axis=0)
    scores = [[0.5, 0.5], [0.5, 0.75], [-0.0, 0.0]]
    expected = [(1, 1, 0.75), (0, 0, 0.5), (0, 1, 0.5), (1, 0, 0.5), (2, 0, 0.0), (2, 1, 0.0)]

    assert expected == decoded(boxes, scores, [-1, -1], iou=1.0)


def test_negative_scores_are_ordered() -> None:
    """Raw scores may be negative: the larger one is first."""
    boxes = UNIT.repeat(4, axis=0)

    assert [1, 3, 0, 2] == [place for place, _, _ in decoded(boxes, [[-2], [1], [-3e38], [-1.5]], [-math.inf], 1.0)]


@pytest.mark.parametrize(("iou", "kept"), [(0.49, 1), (0.5, 2), (0.51, 2)])
def test_suppression_begins_over_the_limit(iou: float, kept: int) -> None:
    """Two boxes whose intersection over union is 1/2 stay both at a limit of 1/2, and one goes below it."""
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5]]

    assert kept == len(decoded(boxes, [[0.9], [0.8]], [0.5], iou))


@pytest.mark.parametrize("shifted", [[3, 0, 13, 10], [-3, 0, 7, 10], [0, 3, 10, 13], [0, -3, 10, 7]])
def test_overlap_counts_on_every_side(shifted) -> None:
    """Boxes that overlap by 7 of 13 are suppressed at 0.5, to whichever side the weaker one lies."""
    assert 1 == len(decoded([UNIT[0], shifted], [[0.9], [0.8]], [0.5], 0.5))
    assert 2 == len(decoded([UNIT[0], shifted], [[0.9], [0.8]], [0.5], 0.54))


@pytest.mark.parametrize("apart", [[20, 0, 30, 10], [0, 20, 10, 30], [20, 20, 30, 30], [10, 0, 20, 10]])
def test_boxes_apart_never_suppress(apart) -> None:
    """Boxes that do not touch, or touch at an edge, stay both, even at a limit of 0."""
    assert 2 == len(decoded([UNIT[0], apart], [[0.9], [0.8]], [0.5], 0.0))


def test_classes_do_not_suppress_each_other() -> None:
    """The same place may hold results of two classes."""
    assert [(0, 0, 0.9), (0, 1, 0.8)] == [
        (place, kind, round(score, 3)) for place, kind, score in decoded(UNIT, [[0.9, 0.8]], [0.5, 0.5], 0.0)
    ]


def test_a_suppressed_box_suppresses_nothing() -> None:
    """In a chain of overlaps the third box stays: only kept boxes suppress."""
    chain = [[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]]

    assert [0, 2] == [place for place, _, _ in decoded(chain, [[0.9], [0.8], [0.7]], [0.5], 0.3)]


def test_limit_of_one_disables_suppression() -> None:
    """From an IoU of 1 on, equal boxes stay."""
    assert 3 == len(decoded(UNIT.repeat(3, axis=0), [[0.9], [0.8], [0.7]], [0.5], 1.0))


def test_inverted_boxes_have_no_area() -> None:
    """A box whose corners are swapped overlaps nothing."""
    boxes = [[10, 10, 0, 0], [10, 10, 0, 0], [0, 0, 10, 10]]

    assert 3 == len(decoded(boxes, [[0.9], [0.8], [0.7]], [0.5], 0.0))


def test_the_strongest_are_kept() -> None:
    """Only `most` results are given, the strongest that are not suppressed."""
    boxes = np.array([[i * 20, 0, i * 20 + 10, 10] for i in (0, 0, 1, 2)], np.float32)
    found = decoded(boxes, [[0.9], [0.8], [0.7], [0.6]], [0.5], 0.5, most=2)

    assert [0, 2] == [place for place, _, _ in found]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 63, 64, 127, 128, 199])
def test_scores_that_are_not_finite_are_told(rng, bad: float, place: int) -> None:
    """One such score anywhere, even of a class left out, makes the count -1: an answer, not an empty list."""
    boxes = np.zeros((100, 4), np.float32)
    scores = rng.random((100, 2)).astype(np.float32)
    scores.ravel()[place] = bad

    assert -1 == decoded(boxes, scores, [math.inf, math.inf])
    assert -1 == defined(boxes, scores, [math.inf, math.inf])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 3, 396, 399])
def test_boxes_that_are_not_finite_are_told(bad: float, place: int) -> None:
    """One such coordinate anywhere, even of a box under its threshold, makes the count -1."""
    boxes = np.zeros((100, 4), np.float32)
    boxes.ravel()[place] = bad

    assert -1 == decoded(boxes, np.zeros((100, 2)), [0.5, 0.5])


def test_largest_coordinates() -> None:
    """Coordinates as large as float32 holds neither overflow nor lose the order."""
    huge = np.float32(3e38)
    boxes = np.array([[-huge, -huge, huge, huge], [-huge, -huge, huge, huge], [0, 0, huge, huge]], np.float32)
    scores = np.array([[0.9], [0.8], [0.7]], np.float32)

    assert [0, 2] == [place for place, _, _ in decoded(boxes, scores, [0.5])]
    assert defined(boxes, scores, [0.5]) == decoded(boxes, scores, [0.5])


@pytest.mark.parametrize(("boxes", "classes"), [(1, 1), (21, 3), (64, 1), (65, 1), (3549, 3), (300, 80)])
@pytest.mark.parametrize("iou", [0.0, 0.45, 1.0])
def test_sizes_of_real_detectors(rng, boxes: int, classes: int, iou: float) -> None:
    """Whatever the number of scores, a multiple of the block or not, the results are equal one by one."""
    corner = rng.uniform(0, 400, (boxes, 2))
    corners = np.hstack([corner, corner + rng.uniform(-2, 120, (boxes, 2))]).astype(np.float32)
    scores = (rng.random((boxes, classes)) ** 6).astype(np.float32)
    thresholds = np.linspace(0.3, 0.6, classes).astype(np.float32)

    assert defined(corners, scores, thresholds, iou, 50) == decoded(corners, scores, thresholds, iou, 50)


def test_nothing_is_allocated(rng) -> None:
    """Keys, marks and results are made once."""
    decoder = BoxDecoder(8400, 4, 300, built())
    boxes, scores = np.zeros((8400, 4), np.float32), rng.random((8400, 4)).astype(np.float32)
    thresholds = np.full(4, 0.9, np.float32)

    assert SMALL_BYTES > allocated(lambda: decoder.run(boxes, scores, thresholds, 0.5))


@pytest.mark.parametrize("shape", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (2**31, 2, 1)])
def test_impossible_shapes_are_refused(shape) -> None:
    """An empty detector, no result, or more scores than a key can name is refused."""
    with pytest.raises(ValueError, match="box decode"):
        BoxDecoder(*shape, built())


@pytest.mark.parametrize(
    ("boxes", "scores", "thresholds", "iou", "message"),
    [
        (np.zeros((3, 4), np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), 0.5, "boxes is"),
        (np.zeros((2, 4), np.float64), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), 0.5, "boxes is"),
        (np.zeros((2, 8), np.float32)[:, ::2], np.zeros((2, 2), np.float32), np.zeros(2, np.float32), 0.5, "boxes is"),
        (np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float32), np.zeros(2, np.float32), 0.5, "scores is"),
        (np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32), np.zeros(3, np.float32), 0.5, "thresholds is"),
        (np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), -0.1, "iou"),
        (np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32), np.zeros(2, np.float32), math.nan, "iou"),
        (np.zeros((2, 4), np.float32), np.zeros((2, 2), np.float32), np.full(2, np.nan, np.float32), 0.5, "no nan"),
    ],
)
def test_wrong_inputs_are_refused(boxes, scores, thresholds, iou, message) -> None:
    """Another shape, type or order, and a limit that is no number, never reach the kernel."""
    with pytest.raises(ValueError, match=message):
        BoxDecoder(2, 2, 5, built()).run(boxes, scores, thresholds, iou)
