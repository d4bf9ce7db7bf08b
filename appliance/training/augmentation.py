"""Change raw frames the way a station's light, lens and fixture do, and move what is marked in them along.

Nothing here invents a part: light, contrast, sharpness and noise stay within what a camera shows on other days, a part
turns and shifts by as little as its fixture allows, and mirror images come only where they are asked for, since text
and handed parts have none.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

Frame = NDArray[np.uint8]
Matrix = NDArray[np.float64]
Boxes = NDArray[np.float32]

# Share of the noise that does not grow with the light: readout beside photon noise (EMVA 1288, section 2.2).
READOUT_SHARE = 0.25
# A box of which less than this share is left in the picture is dropped.
LEAST_LEFT = 0.25
LARGEST_ROTATION_DEG = 45.0


class Augmentation(Struct, frozen=True):
    """Bound the changes; each is drawn anew within its bounds."""

    gain: float = 0.2
    """Light, up or down by this share."""
    gamma: float = 0.15
    """Exponent of the grey curve, up or down by this share."""
    shift: float = 0.02
    """Displacement in either direction, share of the frame's shorter side."""
    rotation_deg: float = 2.0
    """Turn about the middle in either direction; 0 for a part whose fixture holds its angle."""
    noise: float = 3.0
    """Largest standard deviation at full light, grey levels of 255."""
    blur_px: float = 0.7
    """Largest standard deviation of a Gaussian, frame pixels."""
    mirror_columns: bool = False
    """Swap left and right in half of the copies; never for text and handed parts."""
    mirror_rows: bool = False
    """Swap top and bottom in half of the copies; never for text and handed parts."""


class Change(Struct, frozen=True):
    """Hold one drawn change; the same change does the same to a frame, its mask and its boxes."""

    gain: float = 1.0
    gamma: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    """(down, right), shares of the frame's shorter side."""
    rotation_deg: float = 0.0
    """Counter-clockwise as seen in the picture."""
    noise: float = 0.0
    blur_px: float = 0.0
    mirror_columns: bool = False
    mirror_rows: bool = False
    seed: int = 0
    """Of the noise."""


UNCHANGED = Change()


def draw_change(options: Augmentation, seed: int, index: int, copy: int) -> Change:
    """Give the change of one copy of one frame; copy 0 is unchanged, and no other copy or frame matters.

    index: place of the frame in the data set. ConfigError where the bounds are out of range.
    """
    _check(options)
    if copy == 0:
        return UNCHANGED
    random = np.random.default_rng((seed, index, copy))
    light, curve, down, right, turn = (float(value) for value in random.uniform(-1, 1, 5))
    noise, blur = (float(value) for value in random.uniform(0, 1, 2))
    columns, rows = (bool(value) for value in random.integers(0, 2, 2))
    return Change(
        gain=1 + options.gain * light,
        gamma=1 + options.gamma * curve,
        shift=(options.shift * down, options.shift * right),
        rotation_deg=options.rotation_deg * turn,
        noise=options.noise * noise,
        blur_px=options.blur_px * blur,
        mirror_columns=options.mirror_columns and columns,
        mirror_rows=options.mirror_rows and rows,
        seed=int(random.integers(1 << 31)),
    )


def change_frame(frame: Frame, change: Change, pixel_format: PixelFormat) -> Frame:
    """Give a changed copy of a raw frame: (rows, cols) or (rows, cols, 3) uint8, as it came from the camera.

    Each colour of a Bayer frame is moved on its own grid, so that the copy is a Bayer frame too. The mirror image of
    the frame fills what comes in at its edges. Rows and columns of a Bayer frame must be even (ValueError).
    """
    if change == UNCHANGED:
        return frame.copy()
    moved = _lens(frame, change, bayer=pixel_format.value.startswith("Bayer"))
    bright = np.arange(256) / 255.0
    curve = (255.0 * np.minimum(bright**change.gamma * change.gain, 1.0)).astype(np.float32)
    if not change.noise:
        return (curve + 0.5).astype(np.uint8)[moved]
    light = curve[moved]
    random = np.random.default_rng(change.seed)
    deviation = change.noise * np.sqrt(READOUT_SHARE + (1 - READOUT_SHARE) / 255 * light)
    light += deviation * random.standard_normal(light.shape, np.float32) + np.float32(0.5)
    return light.clip(0, 255).astype(np.uint8)


def change_mask(mask: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Give the mask, (rows, cols) uint8 classes, moved as the frame is; no class is invented in between."""
    matrix = _matrix(change, mask.shape[0], mask.shape[1])
    return _warp(mask, matrix, cv2.INTER_NEAREST)


def change_boxes(boxes: Boxes, change: Change, shape: tuple[int, int]) -> tuple[Boxes, NDArray[np.intp]]:
    """Give the boxes around the moved boxes, and which of those given they are: some leave the picture.

    boxes: (boxes, 4) float32, x1, y1, x2, y2 in frame pixels; shape: (rows, cols) of the frame.
    """
    rows, cols = shape
    x1, y1, x2, y2 = (boxes[:, place].astype(np.float64) for place in range(4))
    corners = np.stack([np.stack([x1, x2, x1, x2], 1), np.stack([y1, y1, y2, y2], 1), np.ones((len(boxes), 4))])
    # Pixel centres lie half a pixel inside of pixel edges, which boxes are measured from.
    corners[:2] -= 0.5
    moved = np.einsum("ij,jbc->ibc", _matrix(change, rows, cols), corners) + 0.5
    low, high = moved.min(axis=2), moved.max(axis=2)
    limit = np.array([[cols], [rows]], np.float64)
    low_in, high_in = low.clip(0, limit), high.clip(0, limit)
    left = np.prod(high_in - low_in, axis=0) / np.maximum(np.prod(high - low, axis=0), 1e-9)
    kept = np.flatnonzero(left >= LEAST_LEFT)
    found = np.concatenate([low_in[:, kept], high_in[:, kept]]).T
    return np.ascontiguousarray(found, np.float32), kept


def _lens(frame: Frame, change: Change, *, bayer: bool) -> Frame:
    """Give the frame moved and blurred."""
    rows, cols = frame.shape[:2]
    matrix = _matrix(change, rows, cols)
    if not bayer:
        return _blur(_warp(frame, matrix, cv2.INTER_LINEAR), change.blur_px)
    if rows % 2 or cols % 2:
        raise ValueError(f"augmentation: Bayer frame of {rows} x {cols} pixels; rows and columns must be even")
    result = np.empty_like(frame)
    for top in (0, 1):
        for left in (0, 1):
            # Pixel (x, y) of this colour's plane is pixel (2 x + left, 2 y + top) of the frame.
            offset = np.array([left, top], np.float64)
            place = (matrix[:, :2] @ offset + matrix[:, 2] - offset) / 2
            plane = np.ascontiguousarray(frame[top::2, left::2])
            moved = _warp(plane, np.column_stack([matrix[:, :2], place]), cv2.INTER_LINEAR)
            result[top::2, left::2] = _blur(moved, change.blur_px / 2)
    return result


def _matrix(change: Change, rows: int, cols: int) -> Matrix:
    """Give the affine map, (2, 3), from (x, y, 1) of a pixel of the frame to its place in the copy."""
    turn = math.radians(change.rotation_deg)
    flip = np.diag([-1.0 if change.mirror_columns else 1.0, -1.0 if change.mirror_rows else 1.0])
    linear = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]) @ flip
    middle = np.array([(cols - 1) / 2, (rows - 1) / 2])
    moved = np.array([change.shift[1], change.shift[0]]) * min(rows, cols)
    return np.column_stack([linear, middle + moved - linear @ middle])


def _warp(image: Frame, matrix: Matrix, how: int) -> Frame:
    if np.array_equal(matrix, np.eye(2, 3)):
        return image
    size: Sequence[int] = (image.shape[1], image.shape[0])
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=how, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def _blur(image: Frame, deviation_px: float) -> Frame:
    if deviation_px < 0.1:  # the kernel's side weights would round to nothing in 8 bits
        return image
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation_px, borderType=cv2.BORDER_REFLECT_101), np.uint8)


def _check(options: Augmentation) -> None:
    shares = {"gain": options.gain, "gamma": options.gamma, "shift": options.shift}
    wrong = [f"{name} {value}" for name, value in shares.items() if not 0 <= value < 0.5]
    if wrong or not 0 <= options.rotation_deg <= LARGEST_ROTATION_DEG or min(options.noise, options.blur_px) < 0:
        raise ConfigError(
            f"augmentation: {wrong[0] if wrong else options}: gain, gamma and shift lie in [0, 0.5), rotation in "
            f"[0, {LARGEST_ROTATION_DEG:g}] degrees, noise and blur are not negative"
        )
