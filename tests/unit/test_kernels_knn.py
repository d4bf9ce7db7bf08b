"""Distances to a memory bank stay within their bound, and the k-centre choice is the defined one."""

import math

import numpy as np
import pytest

from kernels import reference
from kernels.k_centre import k_centre
from kernels.knn import Bank, nearest
from tests.unit.kernel_library import SMALL_BYTES, allocated, built


def worst_excess(features, vectors) -> float:
    """Give the largest error of a squared distance as a share of the bound in cpu/knn.c."""
    expected = reference.nearest(features, vectors) ** 2
    actual = nearest(features, Bank(vectors, built())).astype(np.float64) ** 2
    sizes = np.linalg.norm(features, axis=1) + np.linalg.norm(vectors, axis=1).max()
    return float((np.abs(actual - expected) / (4 * features.shape[1] * 2.0**-24 * sizes**2)).max())


@pytest.mark.parametrize(("count", "vectors"), [(1, 1), (5, 15), (6, 16), (7, 17), (48, 33), (49, 1000), (100, 161)])
@pytest.mark.parametrize("channels", [1, 3, 152])
def test_any_size_is_within_the_bound(rng, count: int, vectors: int, channels: int) -> None:
    """Features and vectors beyond whole blocks count like the others."""
    features = rng.normal(size=(count, channels)).astype(np.float32)
    bank = rng.normal(size=(vectors, channels)).astype(np.float32)

    assert 1 >= worst_excess(features, bank)


def test_every_vector_is_searched() -> None:
    """The distance to a vector of the bank itself is exactly zero, wherever in the bank it lies."""
    bank = np.eye(37, dtype=np.float32) * 8

    assert [0.0] * 37 == nearest(bank, Bank(bank, built())).tolist()


def test_every_channel_counts() -> None:
    """A difference in one channel alone is the distance."""
    features = np.eye(9, dtype=np.float32) * 3

    assert [3.0] * 9 == nearest(features, Bank(np.zeros((1, 9), np.float32), built())).tolist()


def test_near_neighbours_far_from_zero(rng) -> None:
    """Small distances between large vectors do not drown: they are not told as differences of squares."""
    bank = (1000 + 100 * rng.normal(size=(50, 64))).astype(np.float32)
    features = bank[::5] + np.float32(0.25)

    assert pytest.approx(reference.nearest(features, bank), rel=1e-4) == nearest(features, Bank(bank, built()))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3e38])
@pytest.mark.parametrize("channel", [0, 4])
def test_features_that_are_not_finite_are_told(bad: float, channel: int) -> None:
    """Their distance is nan, also when it overflows; the other features keep theirs."""
    features = np.ones((8, 5), np.float32)
    features[3, channel] = bad
    bank = np.zeros((20, 5), np.float32)
    distances = nearest(features, Bank(bank, built()))

    assert [3] == np.flatnonzero(np.isnan(distances)).tolist()
    assert [3] == np.flatnonzero(np.isnan(reference.nearest(features, bank))).tolist()
    assert {np.float32(math.sqrt(5))} == set(np.delete(distances, 3).tolist())


def test_nothing_is_allocated(rng) -> None:
    """The bank is packed once; features are read where they lie."""
    bank = Bank(rng.normal(size=(100, 32)).astype(np.float32), built())
    features, out = np.zeros((1024, 32), np.float32), np.zeros(1024, np.float32)

    assert SMALL_BYTES > allocated(lambda: bank.nearest(features, out))


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((0, 4), np.float32),
        np.zeros((4, 0), np.float32),
        np.zeros(4, np.float32),
        np.zeros((4, 4), np.float64),
        np.full((4, 4), np.nan, np.float32),
        np.full((4, 4), np.inf, np.float32),
        np.full((4, 4), 1e19, np.float32),
    ],
)
def test_impossible_banks_are_refused(vectors) -> None:
    """An empty bank and one that is not finite, or overflows when squared, are refused when they are packed."""
    with pytest.raises(ValueError, match="memory bank"):
        Bank(vectors, built())


@pytest.mark.parametrize(
    ("features", "out"),
    [
        (np.zeros((3, 5), np.float32), np.zeros(3, np.float32)),
        (np.zeros(4, np.float32), np.zeros(4, np.float32)),
        (np.zeros((3, 4), np.float64), np.zeros(3, np.float32)),
        (np.zeros((4, 3), np.float32).T, np.zeros(3, np.float32)),
        (np.zeros((3, 4), np.float32), np.zeros(4, np.float32)),
    ],
)
def test_wrong_buffers_are_refused(features, out) -> None:
    """A buffer of another shape, type or order never reaches the kernel."""
    with pytest.raises(ValueError, match=r"features is|distances is"):
        Bank(np.zeros((2, 4), np.float32), built()).nearest(features, out)


@pytest.mark.parametrize(("count", "first"), [(0, 0), (5, 0), (2, 4), (2, -1)])
def test_impossible_choice_is_refused(count: int, first: int) -> None:
    """More choices than points, or a start that is no point, is a caller's mistake."""
    with pytest.raises(ValueError, match="k-centre"):
        k_centre(np.zeros((4, 2), np.float32), count, first, built())
