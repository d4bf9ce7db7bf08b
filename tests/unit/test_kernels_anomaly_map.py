"""The finished anomaly map stays within its bound of the definition, and a map that is not finite has no maximum."""

import math

import cv2
import numpy as np
import pytest

from kernels import reference
from kernels.anomaly_map import MapFinisher
from tests.unit.kernel_library import SMALL_BYTES, allocated, built

BOUND = 2e-6
"""Of the largest absolute value of the map."""


def finished(distances, size, sigma):
    out = np.full(size, 77, np.float32)
    return out, MapFinisher(distances.shape, size, sigma, built()).run(distances, out)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((32, 32), (256, 256)),
        ((17, 9), (131, 77)),
        ((1, 1), (5, 7)),
        ((1, 6), (3, 40)),
        ((40, 30), (11, 13)),
        ((5, 5), (1, 1)),
    ],
)
@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.8, 4.0, 33.0])
def test_any_shape_and_blur(rng, shape, size, sigma: float) -> None:
    """Enlarging, shrinking, one cell, and blurs wider than the picture stay within the bound, maximum included."""
    distances = rng.normal(size=shape).astype(np.float32)
    expected, highest, _, _ = reference.finish_map(distances, size, sigma)
    out, (found, row, col) = finished(distances, size, sigma)

    assert BOUND * np.abs(distances).max() >= np.abs(expected - out).max()
    assert pytest.approx(highest, abs=BOUND * float(np.abs(distances).max())) == found
    assert float(out[row, col]) == found == float(out.max())


def test_definition_is_what_opencv_computes(rng) -> None:
    """Enlargement by half-pixel centres and blur with a mirrored border are those of the usual library."""
    distances = rng.random((16, 12)).astype(np.float32)
    radius = int(4 * 3.0 + 0.5)
    enlarged = cv2.resize(distances, (96, 128), interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(enlarged, (2 * radius + 1, 2 * radius + 1), 3.0, borderType=cv2.BORDER_REFLECT_101)

    assert 1e-5 >= np.abs(blurred - reference.finish_map(distances, (128, 96), 3.0)[0]).max()


@pytest.mark.parametrize("place", [(0, 0), (0, 8), (12, 0), (12, 8), (6, 4)])
def test_maximum_is_where_the_hot_cell_is(place: tuple[int, int]) -> None:
    """A single hot cell, in a corner too, has its maximum over that cell, in rows and columns of the result."""
    distances = np.zeros((13, 9), np.float32)
    distances[place] = 5
    _, (highest, row, col) = finished(distances, (13 * 8, 9 * 8), 2.0)

    assert place == (row // 8, col // 8)
    assert 3 < highest <= 5.0001


def test_first_of_equal_maxima_is_told() -> None:
    """In a map of one value the first pixel is the maximum; of two equal ones the upper."""
    assert (2.5, 0, 0) == finished(np.full((3, 3), 2.5, np.float32), (3, 3), 0.0)[1]
    twice = np.zeros((40, 50), np.float32)
    twice[[7, 7, 30], [33, 40, 2]] = 1
    assert (1.0, 7, 33) == finished(twice, (40, 50), 0.0)[1]


def test_negative_maps_have_a_maximum() -> None:
    """Where all cells are negative, the least negative one is the maximum."""
    distances = np.full((5, 37), -3, np.float32)
    distances[4, 36] = -2

    assert (-2.0, 4, 36) == finished(distances, (5, 37), 0.0)[1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2e37, -3.4e38])
@pytest.mark.parametrize("place", [(0, 0), (15, 20), (7, 3)])
def test_maps_that_are_not_finite_are_told(bad: float, place: tuple[int, int]) -> None:
    """One such cell, or one so large that a sum could overflow, makes the maximum nan and every pixel nan."""
    distances = np.zeros((16, 21), np.float32)
    distances[place] = bad
    out, (highest, row, col) = finished(distances, (64, 84), 2.0)

    assert math.isnan(highest)
    assert (-1, -1) == (row, col) == reference.finish_map(distances, (64, 84), 2.0)[2:]
    assert np.isnan(out).all()


def test_largest_cells_do_not_overflow() -> None:
    """A map of the largest cells allowed keeps its value."""
    _, (highest, _, _) = finished(np.full((4, 4), 1e37, np.float32), (64, 64), 3.0)

    assert pytest.approx(1e37, rel=BOUND) == highest


def test_nothing_outside_the_map_is_written() -> None:
    """The numbers before and after the result stay as they were."""
    memory = np.full(19 * 23 + 128, 99, np.float32)
    MapFinisher((4, 5), (19, 23), 1.5, built()).run(np.zeros((4, 5), np.float32), memory[64:-64].reshape(19, 23))

    assert {99} == set(memory[:64].tolist()) | set(memory[-64:].tolist())
    assert {0} == set(memory[64:-64].tolist())


def test_nothing_is_allocated() -> None:
    """Weights and scratch are made once."""
    finisher = MapFinisher((32, 32), (256, 256), 4.0, built())
    distances, out = np.zeros((32, 32), np.float32), np.zeros((256, 256), np.float32)

    assert SMALL_BYTES > allocated(lambda: finisher.run(distances, out))


@pytest.mark.parametrize(
    ("shape", "size", "sigma"),
    [
        ((0, 1), (4, 4), 1.0),
        ((4, 4), (4, 0), 1.0),
        ((4, 4), (4, 4), -1.0),
        ((4, 4), (4, 4), math.nan),
        ((4, 4), (4, 4), math.inf),
    ],
)
def test_impossible_maps_are_refused(shape, size, sigma: float) -> None:
    """An empty map and a blur that is no width are refused."""
    with pytest.raises(ValueError, match="anomaly map"):
        MapFinisher(shape, size, sigma, built())


@pytest.mark.parametrize(
    ("distances", "out"),
    [
        (np.zeros((4, 6), np.float32), np.zeros((8, 8), np.float32)),
        (np.zeros((4, 5), np.float64), np.zeros((8, 8), np.float32)),
        (np.zeros((4, 10), np.float32)[:, ::2], np.zeros((8, 8), np.float32)),
        (np.zeros((4, 5), np.float32), np.zeros((8, 9), np.float32)),
        (np.zeros((4, 5), np.float32), np.zeros((8, 8), np.uint8)),
    ],
)
def test_wrong_buffers_are_refused(distances, out) -> None:
    """A buffer of another shape, type or order never reaches the kernel."""
    with pytest.raises(ValueError, match="map is"):
        MapFinisher((4, 5), (8, 8), 1.0, built()).run(distances, out)
