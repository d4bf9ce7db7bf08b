"""For any outputs of a network, decoded boxes, masks, maps and distances are those of the definition."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernels import reference
from kernels.anomaly_map import MapFinisher
from kernels.boxes import BoxDecoder
from kernels.k_centre import k_centre
from kernels.knn import Bank, nearest
from kernels.masks import MaskDecoder
from tests.unit.kernel_library import built

SEEDS = st.integers(0, 2**32 - 1)


@given(st.integers(1, 150), st.integers(1, 5), st.integers(1, 40), st.sampled_from([0, 0.3, 0.5, 0.7, 1, 2]), SEEDS)
def test_boxes_are_equal(boxes: int, classes: int, most: int, iou: float, seed: int) -> None:
    """On coarse coordinates and scores, where ties and equal overlaps abound, every result is equal."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 9, (boxes, 4)).astype(np.float32)
    corners[:, 2:] += random.integers(0, 9)
    scores = (random.integers(-4, 9, (boxes, classes)) / 8).astype(np.float32)
    thresholds = (random.integers(-3, 9, classes) / 8).astype(np.float32)
    decoder = BoxDecoder(boxes, classes, most, built())
    count = decoder.run(corners, scores, thresholds, iou)
    expected = reference.decode_boxes(corners, scores, thresholds, iou, most)

    for values, found in zip(expected, (decoder.index, decoder.kind, decoder.score), strict=True):
        assert values.tolist() == found[:count].tolist()


@given(SEEDS)
def test_overlap_at_the_limit_is_equal_to_the_last_digit(seed: int) -> None:
    """A limit at the very ratio of a pair, or one digit beside it, falls on the side where the definition puts it."""
    random = np.random.default_rng(seed)
    corner = random.normal(size=(2, 2)) / 4
    corners = np.hstack([corner, corner + random.uniform(0.7, 1.3, (2, 2))]).astype(np.float32)
    x1, y1, x2, y2 = corners.astype(np.float64).T
    areas = (x2 - x1) * (y2 - y1)
    shared = max(0.0, x2.min() - x1.max()) * max(0.0, y2.min() - y1.max())
    ratio = shared / (areas[0] + areas[1] - shared)
    decoder, scores = BoxDecoder(2, 1, 2, built()), np.array([[0.9], [0.8]], np.float32)

    for iou in (ratio, np.nextafter(ratio, 0), np.nextafter(ratio, 1)):
        kept = 1 if reference.overlaps(corners[0], corners[1], iou) else 2
        assert kept == decoder.run(corners, scores, np.zeros(1, np.float32), iou)


@given(st.integers(2, 60), st.floats(0, 1), SEEDS)
def test_overlaps_are_equal_to_the_last_digit(boxes: int, iou: float, seed: int) -> None:
    """On coordinates of any size the limit falls on the same side of every pair."""
    random = np.random.default_rng(seed)
    corner = random.normal(size=(boxes, 2)) * 10.0 ** random.integers(-3, 4)
    corners = np.hstack([corner, corner + np.abs(random.normal(size=(boxes, 2)))]).astype(np.float32)
    scores = random.random((boxes, 1)).astype(np.float32)
    decoder = BoxDecoder(boxes, 1, boxes, built())
    count = decoder.run(corners, scores, np.zeros(1, np.float32), iou)

    assert (
        reference.decode_boxes(corners, scores, np.zeros(1), iou, boxes)[0].tolist() == decoder.index[:count].tolist()
    )


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 30), st.integers(1, 40)),
    st.tuples(*[st.floats(-5, 45)] * 4),
    SEEDS,
)
def test_masks_are_equal_on_whole_numbers(shape, box, seed: int) -> None:
    """On whole numbers, where sums are exact, every cell is equal, zeros and edges of the box included."""
    random = np.random.default_rng(seed)
    prototypes = random.integers(-3, 4, shape).astype(np.float32)
    coefficients = random.integers(-3, 4, shape[0]).astype(np.float32)
    out = np.full(shape[1:], 77, np.uint8)
    area = MaskDecoder(*shape, built()).run(coefficients, prototypes, box, out)
    expected, expected_area = reference.decode_mask(coefficients, prototypes, box)

    assert expected.tolist() == out.tolist()
    assert expected_area == area


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.floats(0, 20),
    SEEDS,
)
def test_maps_are_within_the_bound(shape, size, sigma: float, seed: int) -> None:
    """Any map, result size and blur: 2e-6 of the largest absolute value at most."""
    distances = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    out = np.full(size, 77, np.float32)
    highest, row, col = MapFinisher(shape, size, sigma, built()).run(distances, out)
    expected, expected_highest, _, _ = reference.finish_map(distances, size, sigma)
    bound = 2e-6 * np.abs(distances).max()

    assert bound >= np.abs(expected - out).max()
    assert bound >= abs(expected_highest - highest)
    assert highest == out[row, col]


@given(st.integers(1, 110), st.integers(1, 110), st.integers(1, 40), SEEDS)
def test_distances_are_right_on_whole_numbers(count: int, vectors: int, channels: int, seed: int) -> None:
    """On whole numbers, where sums are exact, so is the neighbour; only the root is rounded."""
    random = np.random.default_rng(seed)
    features = random.integers(-9, 10, (count, channels)).astype(np.float32)
    bank = random.integers(-9, 10, (vectors, channels)).astype(np.float32)
    expected = reference.nearest(features, bank).astype(np.float32)

    assert expected.tolist() == nearest(features, Bank(bank, built())).tolist()


@given(st.integers(1, 1300), st.integers(1, 40), SEEDS, st.data())
def test_k_centre_chooses_what_its_definition_chooses(points: int, channels: int, seed: int, data) -> None:
    """On whole numbers, where sums are exact, the choice is the same one by one, ties included."""
    values = np.random.default_rng(seed).integers(-9, 10, (points, channels)).astype(np.float32)
    count, first = data.draw(st.integers(1, min(points, 50))), data.draw(st.integers(0, points - 1))

    assert reference.k_centre(values, count, first).tolist() == k_centre(values, count, first, built()).tolist()
