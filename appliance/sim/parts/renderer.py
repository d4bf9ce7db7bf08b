"""Render what the camera sees of one part: pose, finish, light, defect and sensor noise over one fixed product.

All that parts share is drawn once per frame size (`product.py`); a part is one blend of two finishes, one warp, one
product with the light, one sum with the belt and the noise, all on 8-bit arrays.
"""

from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.errors import ConfigError
from appliance.sim.parts.defects import Canvas, draw_defect, draw_harmless_mark
from appliance.sim.parts.product import CANVAS_MM, FIELD_MM, FINISHES, LIGHT, draw_product
from appliance.sim.parts.truth import PartTruth, RenderedPart

SIZE: Final = (1280, 1024)
"""Width and height in px of the default camera."""
SHIFT_MM: Final = 0.4
ROTATION_DEG: Final = 2.5
"""The feeder's nest holds a part this well."""
NOISE_LEVELS: Final = 1.8
"""Standard deviation of the sensor noise, the same at every level behind a square-root transfer curve."""
SMALLEST_PX: Final = 128

_LIGHT_NODES: Final = 96
_UNIT_LIGHT: Final = 200
"""The 8-bit code of light level 1: leaves room for a hot spot of 1.27."""
_BELT_LEVEL: Final = 27.0


class Look(Struct, frozen=True):
    """Fix how one part lies, how it was turned and how it is lit."""

    shift_mm: tuple[float, float]
    rotation_deg: float
    finishes: tuple[int, int]
    finish_share: float
    level: float
    gradient: tuple[float, float]
    """Relative change of the light from the centre to the field's edge, x and y."""
    hot_spot: tuple[float, float, float, float]
    """Place x, y in mm, width in mm, relative strength."""
    bow: tuple[float, float, float]
    """The anisotropic glint of turned metal: strength, direction in rad, sharpness."""
    tint: tuple[float, float, float]
    belt_level: float
    harmless_marks: int


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the variation that good parts have; bounds are those of one machine, one material and one ageing lamp."""
    first, second = rng.choice(FINISHES, 2, replace=False)
    return Look(
        shift_mm=(float(rng.uniform(-SHIFT_MM, SHIFT_MM)), float(rng.uniform(-SHIFT_MM, SHIFT_MM))),
        rotation_deg=float(rng.uniform(-ROTATION_DEG, ROTATION_DEG)),
        finishes=(int(first), int(second)),
        finish_share=float(rng.uniform(0.1, 0.9)),
        level=float(rng.uniform(0.93, 1.05)),
        gradient=(float(rng.normal(0.0, 0.02)), float(rng.normal(0.0, 0.02))),
        hot_spot=(*rng.uniform(-18.0, 18.0, 2).tolist(), float(rng.uniform(9.0, 18.0)), float(rng.uniform(0.0, 0.07))),
        bow=(float(rng.uniform(0.14, 0.22)), float(rng.normal(0.0, 0.06)), float(rng.uniform(5.0, 8.0))),
        tint=(1.0 + float(rng.normal(0.0, 0.006)), 1.0, 1.0 + float(rng.normal(0.0, 0.010))),
        belt_level=float(rng.uniform(0.85, 1.15)),
        harmless_marks=int(rng.integers(0, 4)),
    )


class Renderer:
    """Render parts for one frame size; holds the drawings and scratch memory, so one thread at a time uses it."""

    def __init__(self, size: tuple[int, int] = SIZE) -> None:
        """Draw the product for a frame of (width, height) px; raises ConfigError for a frame too small to show it."""
        width, height = size
        if min(size) < SMALLEST_PX:
            raise ConfigError(f"frame of {width}x{height} px is below {SMALLEST_PX} px a side; choose a larger one")
        self._size = size
        self._product = draw_product(min(size) / FIELD_MM)
        side = self._product.belt.shape[0]
        self._image = np.empty((side, side, 3), np.uint8)
        self._belt = np.empty((side, side), np.uint8)
        self._mask = np.zeros((side, side), np.uint8)
        self._roi = _centred(size, round((CANVAS_MM + 2 * SHIFT_MM) * self._product.px_per_mm) + 2)
        rng = np.random.default_rng(size)
        self._belt_tile = _belt_tile(size, self._product.px_per_mm, rng)
        self._noise = _noise_tiles(size, rng)

    @property
    def px_per_mm(self) -> float:
        """Give the scale of the frame."""
        return self._product.px_per_mm

    def render(self, truth: PartTruth, rng: np.random.Generator) -> RenderedPart:
        """Give the part's image and the truth mask in fresh arrays."""
        look = draw_look(rng)
        canvas = self._make_part(look, truth.defect, rng)
        warp = self._warp(look)
        frame = self._empty_belt(look.belt_level, rng)
        rows, cols = self._roi
        box = (cols.stop - cols.start, rows.stop - rows.start)
        part = cv2.warpAffine(canvas.image, warp, box, flags=cv2.INTER_LINEAR)
        shown = cv2.warpAffine(canvas.belt, warp, box, flags=cv2.INTER_LINEAR, borderValue=255)
        light = cv2.resize(self._light(look), box, interpolation=cv2.INTER_LINEAR)
        cv2.multiply(part, light, dst=part, scale=1.0 / _UNIT_LIGHT)
        roi = frame[rows, cols]
        behind = cv2.multiply(roi, shown, scale=1.0 / 255.0)
        image = cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB)
        image[rows, cols] = cv2.add(part, cv2.cvtColor(behind, cv2.COLOR_GRAY2RGB))
        self._add_noise(image, rng)
        return RenderedPart(image, self._truth_mask(truth, warp, box), truth)

    def render_empty(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Give the empty belt as the camera sees it: (rows, cols, 3) uint8, RGB."""
        image: NDArray[np.uint8] = cv2.cvtColor(self._empty_belt(1.0, rng), cv2.COLOR_GRAY2RGB)
        self._add_noise(image, rng)
        return image

    def _make_part(self, look: Look, defect: str | None, rng: np.random.Generator) -> Canvas:
        product, (first, second) = self._product, look.finishes
        share = look.finish_share
        cv2.addWeighted(product.finishes[first], share, product.finishes[second], 1.0 - share, 0.0, dst=self._image)
        np.copyto(self._belt, product.belt)
        bare = product.bare[first]
        if defect is not None:
            bare = cv2.addWeighted(bare, share, product.bare[second], 1.0 - share, 0.0)
        canvas = Canvas(self._image, self._belt, self._mask, product.metal, bare, product.px_per_mm)
        for _ in range(look.harmless_marks):
            draw_harmless_mark(canvas, rng)
        # A generator of its own: the same part without its defect has the same light, belt and noise.
        defect_rng = np.random.default_rng(int(rng.integers(2**32)))
        if defect is not None:
            self._mask[:] = 0
            draw_defect(canvas, defect, defect_rng)
        return canvas

    def _warp(self, look: Look) -> NDArray[np.float64]:
        side, scale = self._image.shape[0], self._product.px_per_mm
        rows, cols = self._roi
        warp: NDArray[np.float64] = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), look.rotation_deg, 1.0)
        warp[0, 2] += look.shift_mm[0] * scale + (cols.stop - cols.start - side) / 2
        warp[1, 2] += look.shift_mm[1] * scale + (rows.stop - rows.start - side) / 2
        return warp

    def _light(self, look: Look) -> NDArray[np.uint8]:
        """Give the light on the part on a coarse grid: it has no detail that a finer one would show."""
        rows, cols = self._roi
        half_x, half_y = ((s.stop - s.start) / 2 / self._product.px_per_mm for s in (cols, rows))
        x = np.linspace(-half_x, half_x, _LIGHT_NODES, dtype=np.float32)[None, :]
        y = np.linspace(-half_y, half_y, _LIGHT_NODES, dtype=np.float32)[:, None]
        spot_x, spot_y, spot_mm, spot = look.hot_spot
        strength, turn, sharpness = look.bow
        towards = np.arctan2(LIGHT[1], LIGHT[0]) + turn
        along = np.abs(x * np.float32(np.cos(towards)) + y * np.float32(np.sin(towards))) / (np.hypot(x, y) + 0.5)
        level = look.gradient[0] * (x / half_x) + look.gradient[1] * (y / half_y)
        level = level + spot * np.exp(-((x - spot_x) ** 2 + (y - spot_y) ** 2) / (2 * spot_mm**2))
        level = look.level * (0.95 + level + strength * along**sharpness)
        tinted = level[..., None] * np.array(look.tint, np.float32) * _UNIT_LIGHT
        coded: NDArray[np.uint8] = np.clip(np.rint(tinted), 0, 255).astype(np.uint8)
        return coded

    def _empty_belt(self, level: float, rng: np.random.Generator) -> NDArray[np.uint8]:
        width, height = self._size
        top, left = (
            int(rng.integers(0, tile - n + 1)) for tile, n in zip(self._belt_tile.shape, (height, width), strict=True)
        )
        crop = self._belt_tile[top : top + height, left : left + width]
        belt: NDArray[np.uint8] = cv2.convertScaleAbs(crop, alpha=level)
        return belt

    def _add_noise(self, image: NDArray[np.uint8], rng: np.random.Generator) -> None:
        width, height = self._size
        up, down = self._noise
        top, left = int(rng.integers(0, up.shape[0] - height + 1)), int(rng.integers(0, up.shape[1] - width + 1))
        cv2.add(image, up[top : top + height, left : left + width], dst=image)
        cv2.subtract(image, down[top : top + height, left : left + width], dst=image)

    def _truth_mask(self, truth: PartTruth, warp: NDArray[np.float64], box: tuple[int, int]) -> NDArray[np.bool_]:
        width, height = self._size
        mask = np.zeros((height, width), np.bool_)
        if truth.defect is not None:
            mask[self._roi] = cv2.warpAffine(self._mask, warp, box, flags=cv2.INTER_LINEAR) > 127
        return mask


def render(part: PartTruth, size: tuple[int, int], rng: np.random.Generator) -> RenderedPart:
    """Render one part for a frame of (width, height) px; the first call for a size takes a second or two.

    Not for several threads: give each its own `Renderer`.
    """
    return _renderer(size).render(part, rng)


def part_generator(part: PartTruth) -> np.random.Generator:
    """Start the part's own random generator: the same part gets the same pixels wherever it is rendered."""
    return np.random.default_rng(part.seed)


@lru_cache(maxsize=2)
def _renderer(size: tuple[int, int]) -> Renderer:
    return Renderer(size)


def _centred(size: tuple[int, int], side: int) -> tuple[slice, slice]:
    width, height = size
    rows, cols = min(side, height), min(side, width)
    # Equal parity keeps the part's centre in the frame's centre.
    rows, cols = rows - (height - rows) % 2, cols - (width - cols) % 2
    top, left = (height - rows) // 2, (width - cols) // 2
    return slice(top, top + rows), slice(left, left + cols)


def _belt_tile(size: tuple[int, int], px_per_mm: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw more belt than one frame shows: black rubber over a fabric, with wear along the travel."""
    width, height = size
    rows, cols = height + 200, width + 400
    tile = np.full((rows, cols), _BELT_LEVEL, np.float32)
    tile += 2.2 * _smooth((rows, cols), 0.09 * px_per_mm, rng) + 2.0 * _smooth((rows, cols), 3.0 * px_per_mm, rng)
    wear = cv2.GaussianBlur(
        rng.standard_normal((rows, 1)).astype(np.float32), (1, 0), sigmaX=0.1, sigmaY=0.25 * px_per_mm
    )
    tile += 1.6 * wear / wear.std()
    x, y = np.arange(cols, dtype=np.float32) / px_per_mm, np.arange(rows, dtype=np.float32) / px_per_mm
    tile += 1.3 * np.sin(x * (2 * np.pi / 1.1))[None, :] * np.sin(y * (2 * np.pi / 1.1))[:, None]
    return np.clip(np.rint(tile), 0, 255).astype(np.uint8)


def _smooth(shape: tuple[int, int], sigma_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    noise: NDArray[np.float32] = cv2.GaussianBlur(
        rng.standard_normal(shape).astype(np.float32), (0, 0), max(sigma_px, 0.5)
    )
    noise /= noise.std()
    return noise


def _noise_tiles(size: tuple[int, int], rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Split signed noise into what is added and what is taken away: two saturating 8-bit passes."""
    width, height = size
    noise = np.rint(rng.normal(0.0, NOISE_LEVELS, (height + 256, width + 256, 3))).astype(np.int16)
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)
