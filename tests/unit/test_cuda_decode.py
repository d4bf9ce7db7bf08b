"""The CUDA kernels behind the model give what the numpy specification gives, within their stated bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import reference
from kernels.cuda.anomaly_map import CudaMapFinisher
from kernels.cuda.boxes import CudaBoxDecoder
from kernels.cuda.knn import CudaNearest
from kernels.cuda.masks import CudaMaskDecoder
from tests.unit.cuda_rig import EMULATED, REAL, Device, open_device

NOT_FINITE = [np.nan, np.inf, -np.inf]


@pytest.fixture(scope="module", params=[*EMULATED, *REAL])
def device(request):
    opened = open_device(request.param)
    yield opened
    opened.driver.close()


# Anomaly map


def finish(device: Device, maps: np.ndarray, size: tuple[int, int], sigma: float):
    images = len(maps)
    finisher = CudaMapFinisher(device.driver, device.module, maps.shape[1:], size, sigma, device.stream, images)
    taken = [device.put(maps), *(device.space(images * n * 4) for n in (size[0] * size[1], 1, 1))]
    finisher.run(*taken, device.stream)
    result = device.get(taken[1], (images, *size), np.float32)
    value, place = device.get(taken[2], (images,), np.float32), device.get(taken[3], (images,), np.int32)
    finisher.close()
    for pointer in taken:
        device.driver.free(pointer)
    return result, value, place


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    sigma=st.sampled_from([0.0, 0.4, 1.0, 4.0, 9.0]),
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([1.0, 1e-30, 1e30]),
)
def test_maps_are_enlarged_and_blurred(device, shape, size, sigma, seed, scale) -> None:
    """Any shape, larger or smaller, within 2e-6 of the largest value; the maximum is the picture's first."""
    maps = (np.random.default_rng(seed).normal(size=(2, *shape)) * scale).astype(np.float32)

    result, value, place = finish(device, maps, size, sigma)

    for i in range(2):
        expected, *_ = reference.finish_map(maps[i], size, sigma)
        assert 2e-6 * np.abs(maps[i]).max() >= np.abs(expected - result[i]).max()
        assert (result[i].max(), result[i].argmax()) == (value[i], place[i])


def test_flat_map_has_its_first_cell_as_peak(device) -> None:
    """Of equal maxima the first counts, in every order of blocks."""
    _, value, place = finish(device, np.zeros((1, 3, 3), np.float32), (96, 96), 0.0)

    assert ([0.0], [0]) == (value.tolist(), place.tolist())


@pytest.mark.parametrize("bad", [*NOT_FINITE, 1.1e37, -1.1e37])
@pytest.mark.parametrize("cell", [(0, 0), (17, 30), (31, 31)])
def test_one_bad_cell_spoils_the_map(device, bad: float, cell: tuple[int, int]) -> None:
    """A cell that is not finite gives nan everywhere, also where a smaller picture skips it; other images are whole."""
    maps = np.random.default_rng(2).normal(size=(2, 32, 32)).astype(np.float32)
    maps[(1, *cell)] = bad

    result, value, place = finish(device, maps, (40, 5), 0.0)

    assert np.isnan(result[1]).all()
    assert math.isnan(value[1])
    assert (-1, True) == (place[1], np.isfinite(result[0]).all())


# Boxes


def decode(device: Device, boxes, scores, thresholds, iou, most):
    decoder = CudaBoxDecoder(
        device.driver, device.module, *scores.shape, most, np.asarray(thresholds, np.float32), iou, device.stream
    )
    taken = device.put(boxes), device.put(scores)
    decoder.run(*taken, device.stream)
    device.driver.synchronise(device.stream)
    result = decoder.results()
    kept = result and tuple(array.tolist() for array in result)
    decoder.close()
    for pointer in taken:
        device.driver.free(pointer)
    return kept


def random_boxes(random: np.random.Generator, count: int, classes: int):
    """Give boxes that often overlap, some inverted or empty, and scores that often tie."""
    corners = random.integers(0, 12, (count, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + random.integers(-1, 8, (count, 2))], axis=1).astype(np.float32)
    scores = (random.integers(-3, 9, (count, classes)) / 8).astype(np.float32)
    scores[scores == 0] *= random.choice(np.array([1, -1], np.float32))
    return boxes, scores


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 700),
    classes=st.integers(1, 4),
    most=st.integers(1, 40),
    iou=st.sampled_from([0.0, 0.3, 1 / 3, 0.5, 0.99, 1.0]),
    threshold=st.sampled_from([-1.0, 0.0, 0.5, 0.9, math.inf]),
    seed=st.integers(0, 2**32 - 1),
)
def test_boxes_are_equal_in_every_result(device, count, classes, most, iou, threshold, seed) -> None:
    """Thresholds, order with ties, suppression by class and the limit: index, kind and score are equal."""
    boxes, scores = random_boxes(np.random.default_rng(seed), count, classes)
    thresholds = np.full(classes, threshold, np.float32)
    thresholds[0] = min(threshold, 0.75)

    expected = reference.decode_boxes(boxes, scores, thresholds, iou, most)

    assert tuple(array.tolist() for array in expected) == decode(device, boxes, scores, thresholds, iou, most)


@pytest.mark.parametrize("bad", NOT_FINITE)
@pytest.mark.parametrize("where", ["first box", "last box", "first score", "last score"])
def test_what_is_not_finite_is_no_result(device, bad: float, where: str) -> None:
    """A coordinate or score that is not finite anywhere gives none, even below every threshold."""
    boxes, scores = random_boxes(np.random.default_rng(1), 1500, 3)
    target = boxes if "box" in where else scores
    target.ravel()[0 if "first" in where else -1] = bad

    assert decode(device, boxes, scores, [2, 2, 2], 0.5, 10) is None


# Masks


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 20), st.integers(1, 25)),
    most=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_masks_are_cut_to_their_boxes(device, shape, most, seed) -> None:
    """Cells differ only where the exact sum is within K / 2^23 of the sum of absolute products; areas count them."""
    random = np.random.default_rng(seed)
    boxes = (random.uniform(-20, 120, (30, 4))).astype(np.float32)
    boxes[0] = np.array([0, 0, 1e9, 1e9])
    scores = random.random((30, 1), np.float32)
    coefficients = random.normal(size=(30, shape[0])).astype(np.float32)
    prototypes = random.normal(size=shape).astype(np.float32)

    index, masks, areas = segment(device, boxes, scores, coefficients, prototypes, (0.25, 0.2), most)

    for i, box in enumerate(index):
        in_cells = tuple(boxes[box].astype(np.float64) * (0.25, 0.2, 0.25, 0.2))
        expected, _ = reference.decode_mask(coefficients[box], prototypes, in_cells)
        sums = reference.mask_sums(coefficients[box], prototypes)
        near = np.abs(sums) <= shape[0] / 2**23 * reference.mask_sums(np.abs(coefficients[box]), np.abs(prototypes))
        assert not ((expected != masks[i]) & ~near).any()
        assert masks[i].sum() == areas[i]


def segment(device: Device, boxes, scores, coefficients, prototypes, scale, most):
    limits = np.zeros(1, np.float32)
    decoder = CudaBoxDecoder(device.driver, device.module, *scores.shape, most, limits, 1.0, device.stream)
    masker = CudaMaskDecoder(device.driver, device.module, decoder, *prototypes.shape, scale)
    taken = [device.put(array) for array in (boxes, scores, coefficients, prototypes)]
    decoder.run(taken[0], taken[1], device.stream)
    masker.run(taken[2], taken[3], taken[0], device.stream)
    device.driver.synchronise(device.stream)
    found = decoder.results()
    index = [] if found is None else found[0].tolist()
    masks, areas = (array.copy() for array in masker.fetch(len(index), device.stream))
    masker.close()
    decoder.close()
    for pointer in taken:
        device.driver.free(pointer)
    return index, masks, areas


@pytest.mark.parametrize("bad", NOT_FINITE)
def test_mask_that_is_not_finite_is_empty(device, bad: float) -> None:
    """A bad sum inside the box gives area -1 and no cell; outside the box it does not matter."""
    prototypes = np.ones((2, 8, 9), np.float32)
    prototypes[1, 6, 7] = bad
    boxes = np.array([[0, 0, 9, 8], [0, 0, 4, 4]], np.float32)
    scores, coefficients = np.array([[0.9], [0.8]], np.float32), np.ones((2, 2), np.float32)

    index, masks, areas = segment(device, boxes, scores, coefficients, prototypes, (1.0, 1.0), 3)

    assert ([0, 1], [-1, 16]) == (index, areas.tolist())
    assert (0, 16) == (masks[0].sum(), masks[1].sum())


def test_sum_of_zero_is_outside(device) -> None:
    """A cell is inside when its sum is over zero and its centre in the box, first edge in, second out."""
    boxes = np.array([[0.5, 0.5, 3.5, 2.5]], np.float32)
    prototypes = np.stack([np.ones((4, 5), np.float32), np.tile([0, 1, 1, 0, 0], (4, 1)).astype(np.float32)])
    coefficients = np.array([[1, -1]], np.float32)

    _, masks, areas = segment(device, boxes, np.ones((1, 1), np.float32), coefficients, prototypes, (1.0, 1.0), 1)

    assert [[1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5, [0] * 5] == masks[0].tolist()
    assert [2] == areas.tolist()


def test_masks_of_a_failed_decode_are_none(device) -> None:
    """Where the boxes were not finite there is no mask, and no number of a box is read."""
    boxes = np.full((3, 4), np.nan, np.float32)
    scores, coefficients = np.ones((3, 1), np.float32), np.ones((3, 2), np.float32)

    index, masks, _ = segment(device, boxes, scores, coefficients, np.ones((2, 4, 5), np.float32), (1.0, 1.0), 3)

    assert ([], 0) == (index, len(masks))


# Nearest neighbours


def nearest(device: Device, features: np.ndarray, bank: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    finder = CudaNearest(device.driver, device.module, bank, len(features), device.stream)
    taken = [device.put(features), device.space(4 * len(features)), device.space(4 * len(features))]
    finder.run(*taken, device.stream)
    distance = device.get(taken[1], (len(features),), np.float32)
    place = device.get(taken[2], (len(features),), np.int32)
    finder.close()
    for pointer in taken:
        device.driver.free(pointer)
    return distance, place


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 150),
    vectors=st.integers(1, 300),
    channels=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
    offset=st.sampled_from([0.0, 1000.0]),
)
def test_distance_is_that_to_the_nearest(device, count, vectors, channels, seed, offset) -> None:
    """Within (channels + 4) / 2^24 of the distance, also for features far from zero and equal to a vector."""
    random = np.random.default_rng(seed)
    bank = (random.normal(size=(vectors, channels)) + offset).astype(np.float32)
    features = (random.normal(size=(count, channels)) + offset).astype(np.float32)
    features[0] = bank[-1]

    distance, place = nearest(device, features, bank)

    expected = reference.nearest(features, bank)
    bound = (channels + 4) / 2**24
    assert (np.abs(expected - distance) <= bound * expected).all()
    chosen = np.sqrt(((features - bank[place].astype(np.float64)) ** 2).sum(axis=1))
    assert (chosen <= expected * (1 + 2 * bound)).all()


def test_first_of_equal_vectors_is_the_nearest(device) -> None:
    """The place does not depend on the order of threads."""
    distance, place = nearest(device, np.ones((70, 5), np.float32), np.zeros((200, 5), np.float32))

    assert ({0}, 1) == (set(place.tolist()), len(set(distance.tolist())))


@pytest.mark.parametrize("bad", [*NOT_FINITE, 3e38])
def test_feature_that_is_not_finite_has_no_distance(device, bad: float) -> None:
    """Such a feature, or one whose square overflows, has the distance nan and no place; its neighbours are whole."""
    random = np.random.default_rng(4)
    features, bank = (random.normal(size=(n, 20)).astype(np.float32) for n in (66, 130))
    features[65, 19] = bad

    distance, place = nearest(device, features, bank)

    assert math.isnan(distance[65])
    assert (-1, True, True) == (place[65], np.isfinite(distance[:65]).all(), bool((place[:65] >= 0).all()))


# What cannot be


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d, m: CudaMapFinisher(d, m, (0, 3), (4, 4), 1.0, 1), "at least 1"),
        (lambda d, m: CudaMapFinisher(d, m, (3, 3), (4, 4), math.nan, 1), "blur of nan"),
        (lambda d, m: CudaMapFinisher(d, m, (2000, 3), (2, 4), 40.0, 1), "blur less"),
        (lambda d, m: CudaMapFinisher(d, m, (3, 3), (2**16, 2**16), 0.0, 1), "more than one launch takes"),
        (lambda d, m: CudaBoxDecoder(d, m, 0, 2, 5, np.zeros(2, np.float32), 0.5, 1), "each at least 1"),
        (lambda d, m: CudaBoxDecoder(d, m, 2**29, 1, 5, np.zeros(1, np.float32), 0.5, 1), "fewer than"),
        (lambda d, m: CudaBoxDecoder(d, m, 3, 2, 5, np.zeros(3, np.float32), 0.5, 1), "one number"),
        (lambda d, m: CudaBoxDecoder(d, m, 3, 1, 5, np.full(1, np.nan, np.float32), 0.5, 1), "one number"),
        (lambda d, m: CudaBoxDecoder(d, m, 3, 1, 5, np.zeros(1, np.float32), math.nan, 1), "an overlap from 0"),
        (lambda d, m: CudaNearest(d, m, np.zeros((0, 3), np.float32), 5, 1), "at least one"),
        (lambda d, m: CudaNearest(d, m, np.zeros((2, 3), np.float64), 5, 1), "float32"),
        (lambda d, m: CudaNearest(d, m, np.full((2, 3), np.inf, np.float32), 5, 1), "vector 0 of the bank"),
    ],
)
def test_impossible_sizes_are_refused(make, message: str) -> None:
    """What a launch cannot take is refused when it is planned."""
    device = open_device("emulated")
    with pytest.raises(ValueError, match=message):
        make(device.driver, device.module)
    device.driver.close()


@pytest.mark.parametrize("prototypes", [0, 10_000])
def test_impossible_prototypes_are_refused(prototypes: int) -> None:
    """More prototypes than shared memory holds coefficients are refused when the decoder is made."""
    device = open_device("emulated")
    decoder = CudaBoxDecoder(device.driver, device.module, 3, 1, 5, np.zeros(1, np.float32), 0.5, device.stream)
    with pytest.raises(ValueError, match="prototypes"):
        CudaMaskDecoder(device.driver, device.module, decoder, prototypes, 4, 4, (1.0, 1.0))
    device.driver.close()
