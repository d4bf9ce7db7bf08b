"""Draw the product once: a turned aluminium flange with a bore, a seal ring, six countersunk holes and a laser mark.

Everything that no part changes is drawn here, in the part's own frame, at the station's scale: colour under even light
for several finishes, where the belt shows through, and the bare face under each hole. The grey levels follow the square
root of the light, as a camera with gamma 0.5 gives them: products stay products, and shot noise is the same at every
level.
"""

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.floating[Any]]

FIELD_MM: Final = 73.1
"""Shorter side of the field of view: the 60 mm flange fills 82 % of it, a usual choice for a feeder with a nest."""
CANVAS_MM: Final = 66.0
RADIUS_MM: Final = 30.0
BORE_MM: Final = 8.0
FACE_FROM_MM: Final = 17.2
FACE_TO_MM: Final = 28.7
HOLE_CIRCLE_MM: Final = 22.5
HOLE_MM: Final = 2.6
SINK_MM: Final = 4.1
HOLES: Final = 6
LIGHT: Final = (-0.6, -0.8)
"""Unit vector towards the bar light in the image plane: from above left."""
FINISHES: Final = 5

_FACE_LEVEL: Final = 0.60
_SEAL_RGB: Final = (0.66, 0.33, 0.17)
_METAL_RGB: Final = (1.0, 0.995, 0.975)


class Product(NamedTuple):
    """Hold the product's drawings; square canvases of `side` px, part centre in the middle."""

    px_per_mm: float
    finishes: list[NDArray[np.uint8]]
    """Each (side, side, 3) uint8, RGB under even light of level 1; belt pixels are 0."""
    bare: list[NDArray[np.uint8]]
    """The same without holes: what a hole that was never drilled looks like."""
    belt: NDArray[np.uint8]
    """(side, side) uint8, 255 where the belt shows fully, 0 on metal, between in shadow and on edges."""
    metal: NDArray[np.uint8]
    """(side, side) uint8, 255 on the part."""


def draw_product(px_per_mm: float, seed: int = 60) -> Product:
    """Draw the product at a scale; takes about a second, once per station."""
    x, y = _grid(px_per_mm)
    finishes, bare = [], []
    metal = _metal(x, y, px_per_mm)
    plain, plain_rough, whole, rough, seal = _relief(x, y, px_per_mm)
    for index in range(FINISHES):
        grain = _finish(plain.shape[0], px_per_mm, np.random.default_rng((seed, index)))
        finishes.append(_colour(whole * (1.0 + grain * rough), seal, metal))
        bare.append(_colour(plain * (1.0 + grain * plain_rough), seal, _disc(x, y, RADIUS_MM, px_per_mm)))
    return Product(px_per_mm, finishes, bare, _belt_shown(metal, px_per_mm), np.rint(metal * 255).astype(np.uint8))


def hole_centres() -> list[tuple[float, float]]:
    """Give the holes' centres in mm from the part's centre, x right, y down."""
    angles = np.arange(HOLES) * (2 * np.pi / HOLES)
    return [(HOLE_CIRCLE_MM * float(np.cos(a)), HOLE_CIRCLE_MM * float(np.sin(a))) for a in angles]


def _grid(px_per_mm: float) -> tuple[Plane, Plane]:
    side = round(CANVAS_MM * px_per_mm)
    axis = ((np.arange(side) - (side - 1) / 2) / px_per_mm).astype(np.float32)
    return np.meshgrid(axis, axis)


def _step(distance_mm: Plane, px_per_mm: float) -> Plane:
    """Give the coverage of a pixel by the side where the distance is positive, one and a half pixels soft (lens)."""
    coverage: Plane = np.clip(0.5 + distance_mm * (px_per_mm / 1.5), 0.0, 1.0)
    return coverage


def _disc(x: Plane, y: Plane, radius_mm: float, px_per_mm: float) -> Plane:
    return _step(radius_mm - np.hypot(x, y), px_per_mm)


def _metal(x: Plane, y: Plane, px_per_mm: float) -> Plane:
    metal = _disc(x, y, RADIUS_MM, px_per_mm) - _disc(x, y, BORE_MM, px_per_mm)
    for cx, cy in hole_centres():
        metal *= 1.0 - _disc(x - cx, y - cy, HOLE_MM, px_per_mm)
    for cx, cy, radius, lean in [(0.0, 0.0, BORE_MM, (0.12, 0.3)), *((*c, HOLE_MM, _lean(c)) for c in hole_centres())]:
        # The lens looks past the upper rim onto the far wall: a crescent of dark metal inside each hole.
        wall = _disc(x - cx, y - cy, radius, px_per_mm)
        wall -= np.minimum(wall, _disc(x - cx - lean[0], y - cy - lean[1], radius - 0.1, px_per_mm))
        metal = np.maximum(metal, wall)
    return metal


def _lean(centre: tuple[float, float]) -> tuple[float, float]:
    return (-centre[0] * 0.4 / HOLE_CIRCLE_MM, -centre[1] * 0.4 / HOLE_CIRCLE_MM)


def _relief(x: Plane, y: Plane, px_per_mm: float) -> tuple[Plane, Plane, Plane, Plane, Plane]:
    """Give level and strength of finish without holes, both with holes, and where the seal lies."""
    r = np.hypot(x, y) + 1e-6
    facing = (x * LIGHT[0] + y * LIGHT[1]) / r

    def ring(low: float, high: float) -> Plane:
        return _step(r - low, px_per_mm) * _step(high - r, px_per_mm)

    level = np.full_like(r, _FACE_LEVEL)
    rough = np.full_like(r, 1.0)

    def paint(where: Plane, value: Plane | float, finish: float) -> None:
        level[:] = level * (1 - where) + where * value
        rough[:] = rough * (1 - where) + where * finish

    paint(ring(FACE_TO_MM, 40.0), 0.53 + 0.30 * facing, 0.35)
    paint(ring(RADIUS_MM - 0.18, 40.0), 0.42 + 0.2 * facing, 0.2)
    paint(ring(FACE_TO_MM - 0.1, FACE_TO_MM + 0.08), 0.74, 0.3)
    paint(ring(0.0, FACE_FROM_MM - 0.2), 0.52, 0.8)
    paint(ring(FACE_FROM_MM - 0.35, FACE_FROM_MM), 0.44 - 0.22 * facing, 0.2)
    paint(ring(13.9, 16.5), 0.16, 0.1)
    seal = ring(14.15, 16.25)
    tube = np.sqrt(np.clip(1.0 - ((r - 15.2) / 1.06) ** 2, 0.0, 1.0))
    gloss = np.exp(-(((r - 15.2) / 0.16) ** 2)) * np.clip(facing, 0.0, 1.0) ** 2
    paint(seal, 0.45 + 0.45 * tube + 0.25 * gloss, 0.05)
    paint(ring(12.0, 12.7), 0.50 + 0.28 * facing, 0.3)
    paint(ring(9.0, 12.0), 0.68, 0.9)
    paint(ring(8.6, 9.05), 0.52 - 0.30 * facing, 0.2)
    paint(ring(0.0, 8.62), 0.46 - 0.24 * facing, 0.2)
    paint(ring(0.0, BORE_MM), 0.15 - 0.10 * facing, 0.0)
    _engrave(level, px_per_mm)
    plain, plain_rough = level.copy(), rough.copy()
    for cx, cy in hole_centres():
        d = np.hypot(x - cx, y - cy) + 1e-6
        turned = ((x - cx) * LIGHT[0] + (y - cy) * LIGHT[1]) / d
        paint(_step(SINK_MM + 0.12 - d, px_per_mm) * _step(d - SINK_MM + 0.12, px_per_mm), 0.72, 0.3)
        paint(_step(SINK_MM - d, px_per_mm), 0.47 - 0.27 * turned, 0.25)
        paint(_step(HOLE_MM - d, px_per_mm), 0.17 - 0.10 * turned, 0.0)
    return plain, plain_rough, level, rough, seal


def _engrave(level: Plane, px_per_mm: float) -> None:
    """Burn the laser mark into the face: type, lot and a matrix code, the same on every part of the lot."""
    side = level.shape[0]
    fine = 4
    ink = np.zeros((side, side), np.float32)
    for text, row_mm, height_mm in (("FS-60", -23.6, 2.5), ("LOT 4711", -20.2, 1.7)):
        scale = height_mm * px_per_mm * fine / 22.0
        thick = max(1, round(0.26 * px_per_mm * fine))
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        plate = np.zeros((height + 4 * thick, width + 4 * thick), np.uint8)
        cv2.putText(
            plate, text, (2 * thick, height + 2 * thick), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA
        )
        _press(ink, cv2.resize(plate, None, fx=1 / fine, fy=1 / fine, interpolation=cv2.INTER_AREA), row_mm * px_per_mm)
    code = np.random.default_rng(4711).integers(0, 2, (14, 14)).astype(np.uint8) * 255
    code[:, 0], code[-1, :] = 255, 255
    code[0, :], code[:, -1] = np.tile([255, 0], 7), np.tile([0, 255], 7)
    cells = round(5.4 * px_per_mm)
    _press(ink, cv2.resize(code, (cells, cells), interpolation=cv2.INTER_AREA), 22.3 * px_per_mm)
    level *= 1.0 - 0.42 * cv2.GaussianBlur(ink, (0, 0), 0.6)


def _press(ink: Plane, plate: NDArray[np.uint8], row_px: float) -> None:
    rows, cols = plate.shape
    top = round(ink.shape[0] / 2 + row_px - rows / 2)
    left = round(ink.shape[1] / 2 - cols / 2)
    ink[top : top + rows, left : left + cols] = plate / np.float32(255)


def _finish(side: int, px_per_mm: float, rng: np.random.Generator) -> Plane:
    """Give the turned finish as relative deviations: feed marks, and streaks that follow the tool for some degrees."""
    radii = round(side * 0.75)
    angles = 1536
    streaks = cv2.GaussianBlur(rng.standard_normal((angles, radii)).astype(np.float32), (1, 181), sigmaX=0.1, sigmaY=40)
    streaks /= streaks.std()
    rings = cv2.GaussianBlur(rng.standard_normal((1, radii)).astype(np.float32), (0, 0), 0.9)
    bands = cv2.GaussianBlur(rng.standard_normal((1, radii)).astype(np.float32), (0, 0), 1.2 * px_per_mm)
    r_mm = np.arange(radii, dtype=np.float32) / px_per_mm
    feed = np.sin(r_mm * (2 * np.pi / rng.uniform(0.36, 0.44)))
    polar = 0.022 * streaks + 0.020 * rings / rings.std() + 0.012 * bands / bands.std() + 0.014 * feed
    centre = ((side - 1) / 2, (side - 1) / 2)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP | cv2.WARP_FILL_OUTLIERS
    finish: Plane = cv2.warpPolar(polar, (side, side), centre, float(radii), flags)
    return finish


def _colour(level: Plane, seal: Plane, shown: Plane) -> NDArray[np.uint8]:
    image = np.empty((*level.shape, 3), np.uint8)
    for channel in range(3):
        tint = _METAL_RGB[channel] * (1 - seal) + _SEAL_RGB[channel] * seal
        image[..., channel] = np.rint(np.clip(level * tint * shown, 0.0, 1.0) * 255)
    return image


def _belt_shown(metal: Plane, px_per_mm: float) -> NDArray[np.uint8]:
    """Give the belt's share: none under metal, less in the shadow that the part throws away from the bar light."""
    shift = np.array([[1, 0, -LIGHT[0] * 0.8 * px_per_mm], [0, 1, -LIGHT[1] * 0.8 * px_per_mm]])
    shadow = cv2.warpAffine(metal, shift, metal.shape[::-1])
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.8 * px_per_mm)
    shown: NDArray[np.uint8] = np.rint((1.0 - metal) * (1.0 - 0.6 * shadow) * 255).astype(np.uint8)
    return shown
