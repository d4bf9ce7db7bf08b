"""Mask decode marks the cells of the box whose sum is over zero, and tells inputs that are not finite."""

import math

import numpy as np
import pytest

from kernels import reference
from kernels.masks import MaskDecoder
from tests.unit.kernel_library import SMALL_BYTES, allocated, built

EVERYWHERE = (-10.0, -10.0, 1000.0, 1000.0)


def decoded(coefficients, prototypes, box):
    out = np.full(prototypes.shape[1:], 77, np.uint8)
    area = MaskDecoder(*prototypes.shape, built()).run(np.asarray(coefficients, np.float32), prototypes, box, out)
    return out, area


@pytest.mark.parametrize("count", [1, 3, 4, 5, 32, 33])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (13, 33), (104, 104)])
def test_sums_of_any_number_of_prototypes(rng, count: int, shape: tuple[int, int]) -> None:
    """A cell differs from the definition only where the exact sum is within rounding of zero."""
    prototypes = rng.normal(size=(count, *shape)).astype(np.float32)
    coefficients = rng.normal(size=count).astype(np.float32)
    expected, _ = reference.decode_mask(coefficients, prototypes, EVERYWHERE)
    mask, area = decoded(coefficients, prototypes, EVERYWHERE)
    rounding = count * 2.0**-23 * reference.mask_sums(np.abs(coefficients), np.abs(prototypes))
    sure = np.abs(reference.mask_sums(coefficients, prototypes)) > rounding

    assert expected[sure].tolist() == mask[sure].tolist()
    assert int(mask.sum()) == area


def test_zero_is_outside() -> None:
    """A sum of exactly zero, of either sign, is a sigmoid of exactly one half: not over it."""
    prototypes = np.array([[[0.0, -0.0, 1e-40, -1e-40]]], np.float32)

    assert [[0, 0, 1, 0]] == decoded([1.0], prototypes, EVERYWHERE)[0].tolist()


@pytest.mark.parametrize(
    ("box", "rows", "cols"),
    [
        ((2, 1, 5, 4), (1, 4), (2, 5)),
        ((2.5, 1.5, 5.5, 4.5), (1, 4), (2, 5)),
        ((2.51, 1.51, 5.51, 4.51), (2, 5), (3, 6)),
        ((2.49, 1.49, 5.49, 4.49), (1, 4), (2, 5)),
        ((-3, -3, 0.5, 0.5), (0, 0), (0, 0)),
        ((-3, -3, 0.6, 0.6), (0, 1), (0, 1)),
        ((7.5, 5.5, 100, 100), (5, 6), (7, 8)),
        ((7.6, 5.6, 100, 100), (6, 6), (8, 8)),
        ((-1e300, -1e300, 1e300, 1e300), (0, 6), (0, 8)),
        ((5, 4, 2, 1), (0, 0), (0, 0)),
    ],
)
def test_box_takes_cells_by_their_centres(box, rows, cols) -> None:
    """A cell belongs to the box when its centre is at or after the first edge and before the last."""
    expected = np.zeros((6, 8), np.uint8)
    expected[slice(*rows), slice(*cols)] = 1
    mask, area = decoded([1.0], np.ones((1, 6, 8), np.float32), box)

    assert expected.tolist() == mask.tolist() == reference.decode_mask(np.ones(1), np.ones((1, 6, 8)), box)[0].tolist()
    assert int(expected.sum()) == area


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", range(4))
def test_box_that_is_not_finite_is_told(bad: float, at: int) -> None:
    """Such a box gives the area -1 and an empty mask."""
    box = [0.0, 0.0, 8.0, 6.0]
    box[at] = bad
    mask, area = decoded([1.0], np.ones((1, 6, 8), np.float32), tuple(box))

    assert -1 == area == reference.decode_mask(np.ones(1), np.ones((1, 6, 8)), tuple(box))[1]
    assert {0} == set(mask.ravel().tolist())


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 3.3e38])
@pytest.mark.parametrize(
    ("row", "col", "told"), [(2, 3, True), (4, 6, True), (1, 3, False), (2, 2, False), (5, 6, False)]
)
def test_sums_that_are_not_finite_are_told(bad: float, row: int, col: int, told: bool) -> None:
    """One in the box gives the area -1 and an empty mask, also by overflow; outside the box none is looked at."""
    prototypes = np.ones((2, 6, 8), np.float32)
    prototypes[1, row, col] = bad
    mask, area = decoded([0.5, 2.0], prototypes, (3, 2, 7, 5))

    assert (-1 if told else 12) == area == reference.decode_mask(np.array([0.5, 2.0]), prototypes, (3, 2, 7, 5))[1]
    assert (0 if told else 12) == int(mask.sum())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_coefficients_that_are_not_finite_are_told(bad: float) -> None:
    """A network that gives such a coefficient has no mask."""
    assert -1 == decoded([bad, 1.0], np.ones((2, 6, 8), np.float32), EVERYWHERE)[1]


def test_nothing_outside_the_mask_is_written() -> None:
    """The bytes before and after the mask stay as they were."""
    memory = np.full(6 * 8 + 128, 99, np.uint8)
    decoder = MaskDecoder(1, 6, 8, built())
    decoder.run(np.ones(1, np.float32), np.ones((1, 6, 8), np.float32), EVERYWHERE, memory[64:-64].reshape(6, 8))

    assert {99} == set(memory[:64].tolist()) | set(memory[-64:].tolist())


def test_nothing_is_allocated() -> None:
    """Sums have their memory from the start; prototypes are read where they lie."""
    decoder = MaskDecoder(32, 104, 104, built())
    prototypes, coefficients = np.zeros((32, 104, 104), np.float32), np.ones(32, np.float32)
    out = np.zeros((104, 104), np.uint8)

    assert SMALL_BYTES > allocated(lambda: decoder.run(coefficients, prototypes, EVERYWHERE, out))


def test_impossible_shapes_are_refused() -> None:
    """There is at least one prototype of one cell."""
    for shape in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
        with pytest.raises(ValueError, match="mask decode"):
            MaskDecoder(*shape, built())


@pytest.mark.parametrize(
    ("coefficients", "prototypes", "out", "message"),
    [
        (np.zeros(3, np.float32), np.zeros((2, 6, 8), np.float32), np.zeros((6, 8), np.uint8), "coefficients is"),
        (np.zeros(2, np.float32), np.zeros((2, 6, 9), np.float32), np.zeros((6, 8), np.uint8), "prototypes is"),
        (np.zeros(2, np.float32), np.zeros((2, 6, 8), np.float16), np.zeros((6, 8), np.uint8), "prototypes is"),
        (np.zeros(2, np.float32), np.zeros((2, 6, 8), np.float32), np.zeros((6, 16), np.uint8)[:, ::2], "mask is"),
        (np.zeros(2, np.float32), np.zeros((2, 6, 8), np.float32), np.broadcast_to(np.uint8(0), (6, 8)), "mask is"),
    ],
)
def test_wrong_buffers_are_refused(coefficients, prototypes, out, message) -> None:
    """A buffer of another shape, type or order never reaches the kernel."""
    with pytest.raises(ValueError, match=message):
        MaskDecoder(2, 6, 8, built()).run(coefficients, prototypes, EVERYWHERE, out)
