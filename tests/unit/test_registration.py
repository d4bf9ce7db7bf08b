"""Registration at its edges: nothing to hold on to, lines along one axis, repeated patterns, odd and large pictures."""

import numpy as np
import pytest

from appliance.imaging.registration import Registrar
from tests.unit.template_pictures import SHAPE, drawn, error_px, move, seen

REACH_PX = 8


@pytest.mark.parametrize("value", [0, 127, 255])
def test_a_template_without_edges_registers_nothing(value: int) -> None:
    """Where there is nothing to compare, nothing is proven."""
    blank = np.full(SHAPE, value, np.uint8)

    found = Registrar(blank, REACH_PX).find(blank)

    assert not found.registered


@pytest.mark.parametrize("frame", [np.zeros(SHAPE, np.uint8), np.full(SHAPE, 255, np.uint8)])
def test_a_dark_or_blinded_frame_is_refused(frame: np.ndarray) -> None:
    """A dead lamp or a blinded camera never registers."""
    found = Registrar(drawn("board", 1), REACH_PX).find(frame)

    assert not found.registered
    assert found.quality == 0.0


def test_noise_is_refused(rng: np.random.Generator) -> None:
    """Noise has edges everywhere and none of the template's."""
    found = Registrar(drawn("print", 1), REACH_PX).find(rng.integers(0, 256, SHAPE, np.uint8))

    assert not found.registered


def test_a_negative_is_refused() -> None:
    """Edges of the opposite sign are another thing."""
    template = drawn("label", 3)

    found = Registrar(template, REACH_PX).find(255 - template)

    assert not found.registered


def test_a_shift_along_lines_stays_unmoved() -> None:
    """What the template cannot tell is left where it was: horizontal lines say nothing about left and right."""
    lines = np.full(SHAPE, 220, np.uint8)
    for row in (40, 90, 130, 205):
        lines[row : row + 7] = 30

    found = Registrar(lines, REACH_PX).find(np.roll(lines, 3, axis=0))

    assert found.registered
    assert error_px(found.matrix, move(SHAPE, 0, 3), SHAPE) < 0.3


def test_of_equal_places_the_nearest_is_taken() -> None:
    """A pattern that repeats within the reach is not followed by a whole period."""
    rows, cols = np.indices(SHAPE)
    grid = np.where((rows // 9 % 2) ^ (cols // 9 % 2), 220, 40).astype(np.uint8)

    found = Registrar(grid, 20).find(np.roll(grid, 1, axis=1))

    assert error_px(found.matrix, move(SHAPE, 1, 0), SHAPE) < 0.3


@pytest.mark.parametrize("shape", [(241, 323), (1100, 1602), (64, 900)])
def test_any_size_is_measured_to_a_third_of_a_pixel(shape: tuple[int, int]) -> None:
    """Odd sizes, and frames that are reduced before they are measured, keep the bound in frame pixels."""
    template = drawn("board", 5, shape)
    true = move(shape, 3.4, -2.7)

    found = Registrar(template, REACH_PX).find(seen(template, true, 0.9, 3.0))

    assert found.registered
    assert error_px(found.matrix, true, shape) < 0.3


def test_half_a_part_is_refused() -> None:
    """Once half the edges are gone the frame shows another thing, however well the rest lies."""
    template = drawn("label", 7)
    frame = template.copy()
    frame[:, : SHAPE[1] * 2 // 3] = 240

    found = Registrar(template, REACH_PX).find(frame)

    assert not found.registered


def test_without_turning_only_a_shift_is_found() -> None:
    """A fixtured part is not turned to explain a defect."""
    template = drawn("print", 9)

    found = Registrar(template, REACH_PX, turning=False).find(seen(template, move(SHAPE, 2.25, -1.5)))

    assert np.array_equal(np.eye(2), found.matrix[:, :2])
    assert error_px(found.matrix, move(SHAPE, 2.25, -1.5), SHAPE) < 0.3
