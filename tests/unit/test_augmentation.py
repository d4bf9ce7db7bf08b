"""Augmented frames stay what a camera could show, and truth moves with the picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.augmentation import (
    UNCHANGED,
    Augmentation,
    Change,
    change_boxes,
    change_frame,
    change_mask,
    draw_change,
)

ROWS, COLS = 96, 128
LARGE = Augmentation(rotation_deg=20, shift=0.1, mirror_columns=True, mirror_rows=True)
SILENT = {"gain": 0.0, "gamma": 0.0, "noise": 0.0, "blur_px": 0.0}


def square(top: int, left: int, side: int) -> np.ndarray:
    """Give a dark frame with a bright square."""
    frame = np.full((ROWS, COLS), 20, np.uint8)
    frame[top : top + side, left : left + side] = 220
    return frame


@given(st.integers(0, 1000), st.integers(0, 100_000), st.integers(1, 8))
def test_changes_stay_within_bounds(seed: int, index: int, copy: int) -> None:
    """Every drawn change lies within the options, and frames are mirrored only where that is asked for."""
    options = Augmentation()
    change = draw_change(options, seed, index, copy)

    assert abs(change.gain - 1) <= options.gain
    assert abs(change.gamma - 1) <= options.gamma
    assert max(map(abs, change.shift)) <= options.shift
    assert abs(change.rotation_deg) <= options.rotation_deg
    assert 0 <= change.noise <= options.noise
    assert 0 <= change.blur_px <= options.blur_px
    assert not change.mirror_columns
    assert not change.mirror_rows


def test_seed_decides() -> None:
    """The same seed, frame and copy give the same change and pixels; another of any of them gives other ones."""
    frame = square(20, 30, 30)
    first, again = (draw_change(LARGE, 1, 2, 3) for _ in range(2))
    others = [draw_change(LARGE, *place) for place in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]

    assert first == again
    assert np.array_equal(*(change_frame(frame, one, PixelFormat.MONO8) for one in (first, again)))
    assert all(first != other for other in others)


def test_first_copy_is_the_frame() -> None:
    """Copy 0 is unchanged, and a frame that is not changed is copied byte for byte."""
    frame = np.random.default_rng(0).integers(0, 256, (ROWS, COLS, 3), dtype=np.uint8)
    copy = change_frame(frame, draw_change(LARGE, 0, 0, 0), PixelFormat.RGB8)

    assert draw_change(LARGE, 0, 0, 0) == UNCHANGED
    assert np.array_equal(frame, copy)
    assert not np.shares_memory(frame, copy)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_mask_and_boxes_move_with_the_picture(seed: int) -> None:
    """What is bright in the copy is what the moved mask marks, and the moved box encloses it."""
    change = replace(draw_change(LARGE, seed, 0, 1), gain=1.0, gamma=1.0, noise=0.0, blur_px=0.0)
    frame = square(38, 50, 20)
    mask = (frame > 128).astype(np.uint8)
    copy, marked = change_frame(frame, change, PixelFormat.MONO8), change_mask(mask, change)
    boxes, kept = change_boxes(np.array([[50, 38, 70, 58]], np.float32), change, (ROWS, COLS))
    bright = copy > 128
    y, x = np.nonzero(bright)

    assert [0] == kept.tolist()
    assert (bright != (marked == 1)).sum() <= 40  # the rim, where one is interpolated and the other is not
    assert np.all(boxes[0, :2] <= (x.min() + 1, y.min() + 1))
    assert np.all(boxes[0, 2:] >= (x.max(), y.max()))
    assert set(np.unique(marked)) <= {0, 1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (Change(mirror_columns=True), (COLS - 40, 20, COLS - 30, 30)),
        (Change(mirror_rows=True), (30, ROWS - 30, 40, ROWS - 20)),
        (Change(shift=(4 / ROWS, -6 / ROWS)), (24, 24, 34, 34)),
    ],
)
def test_whole_moves_are_exact(change: Change, expected: tuple[int, int, int, int]) -> None:
    """Mirrors and whole shifts move frame, mask and box to the pixel."""
    frame = square(20, 30, 10)
    copy = change_frame(frame, change, PixelFormat.MONO8)
    (box,), _ = change_boxes(np.array([[30, 20, 40, 30]], np.float32), change, (ROWS, COLS))
    x1, y1, x2, y2 = expected
    wanted = np.full_like(frame, 20)
    wanted[y1:y2, x1:x2] = 220

    assert np.allclose(expected, box, atol=1e-4)
    assert np.array_equal(wanted, copy)
    assert np.array_equal((wanted > 128).astype(np.uint8), change_mask((frame > 128).astype(np.uint8), change))


def test_box_that_leaves_is_dropped() -> None:
    """A box of which little is left in the picture is dropped; one that is cut ends at the edge."""
    boxes = np.array([[0, 10, 10, 20], [0, 10, 40, 20], [60, 10, 80, 20]], np.float32)
    found, kept = change_boxes(boxes, Change(shift=(0.0, -20 / ROWS)), (ROWS, COLS))

    assert [1, 2] == kept.tolist()
    assert np.allclose([[0, 10, 20, 20], [40, 10, 60, 20]], found, atol=1e-4)


def test_bayer_frame_stays_a_bayer_frame() -> None:
    """Each colour of a mosaic keeps its value under any move: no colour mixes with its neighbour."""
    frame = np.empty((ROWS, COLS), np.uint8)
    frame[0::2, 0::2], frame[0::2, 1::2], frame[1::2, 0::2], frame[1::2, 1::2] = 200, 120, 90, 30
    change = replace(draw_change(LARGE, 3, 1, 1), gain=1.0, gamma=1.0, noise=0.0)

    assert np.array_equal(frame, change_frame(frame, change, PixelFormat.BAYER_RG8))
    with pytest.raises(ValueError, match="must be even"):
        change_frame(frame[:-1], change, PixelFormat.BAYER_RG8)


def test_light_and_noise_act_as_stated() -> None:
    """Gain scales grey values and saturates, gamma keeps black and white, noise has the stated spread at full light."""
    ramp = np.tile(np.arange(256, dtype=np.uint8), (300, 1))
    brighter = change_frame(ramp, Change(gain=1.2), PixelFormat.MONO8)
    bent = change_frame(ramp, Change(gamma=1.15), PixelFormat.MONO8)
    flat = np.full((300, 300), 128, np.uint8)
    noisy = change_frame(flat, Change(noise=4.0), PixelFormat.MONO8).astype(np.float64)

    assert [0, 120, 255] == brighter[0, [0, 100, 240]].tolist()
    assert [0, 255] == bent[0, [0, 255]].tolist()
    assert 128 > bent[0, 128] > 110
    assert pytest.approx(4.0 * np.sqrt(0.25 + 0.75 * 128 / 255), rel=0.05) == noisy.std()
    assert pytest.approx(128, abs=0.2) == noisy.mean()


@pytest.mark.parametrize("wrong", [{"gain": 0.5}, {"shift": -0.1}, {"rotation_deg": 90.0}, {"noise": -1.0}])
def test_bounds_are_checked(wrong: dict[str, float]) -> None:
    """Bounds beyond what a station shows are refused."""
    with pytest.raises(ConfigError, match=r"augmentation: .* lie in"):
        draw_change(Augmentation(**wrong), 0, 0, 1)
