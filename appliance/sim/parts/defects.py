"""Put one defect, or one harmless mark, on a part's canvas and record the truth of it.

Sizes are in mm. Every drawing works in the smallest square that holds it: its cost follows the defect, not the frame.
"""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.sim.parts.product import (
    FACE_FROM_MM,
    FACE_TO_MM,
    HOLE_MM,
    HOLES,
    LIGHT,
    RADIUS_MM,
    SINK_MM,
    Plane,
    hole_centres,
)


class Canvas(NamedTuple):
    """Hold one part being made, in the part's own frame; all arrays are written in place."""

    image: NDArray[np.uint8]
    """(side, side, 3) uint8, RGB."""
    belt: NDArray[np.uint8]
    """(side, side) uint8, the belt's share."""
    mask: NDArray[np.uint8]
    """(side, side) uint8, 255 on the defect."""
    metal: NDArray[np.uint8]
    """(side, side) uint8, 255 on the part as designed; read only."""
    bare: NDArray[np.uint8]
    """(side, side, 3) uint8, the part without holes; read only."""
    px_per_mm: float


class Window(NamedTuple):
    """Name a square of the canvas with its own coordinates in mm from the part's centre."""

    rows: slice
    cols: slice
    x: Plane
    y: Plane


TRUE_AT: Final = 0.3
"""Coverage from which a pixel counts as defect: a pixel with less than a third of it does not show it."""


def draw_defect(canvas: Canvas, kind: str, rng: np.random.Generator) -> None:
    """Put one defect of a kind on the part, at a place and of a size that the generator chooses."""
    draw = {
        "scratch": _scratch,
        "dent": _dent,
        "chip": _chip,
        "stain": _stain,
        "missing_hole": _missing_hole,
        "crack": _crack,
    }[kind]
    draw(canvas, rng)


def draw_harmless_mark(canvas: Canvas, rng: np.random.Generator) -> None:
    """Put a dried drop of coolant on the part: faint, soft, no defect."""
    x, y = _place_on_face(rng, 2.0)
    size = float(rng.uniform(0.8, 2.4))
    window = _window(canvas, x, y, 1.6 * size)
    inside = _blob(canvas, window, (x, y), size, rng, soft_mm=0.5)
    _multiply(canvas, window, 1.0 - inside * float(rng.uniform(0.01, 0.035)))


def _scratch(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = _place_on_face(rng, 1.0)
    length, width = float(rng.uniform(5.0, 20.0)), float(rng.uniform(0.16, 0.42))
    heading = rng.uniform(0, 2 * np.pi) + np.linspace(-0.5, 0.5, 32) * rng.normal(0.0, 0.35)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0) * (length / 32)
    path += np.array([x, y]) - path[16]
    window = _window(canvas, x, y, length / 2 + 1.0)
    groove = _stroke(canvas, window, path, width)
    # The tool skips: parts of the scratch are shallow.
    depth = np.clip(0.75 + 0.35 * _cloud(groove.shape, 1.2 * canvas.px_per_mm, rng), 0.35, 1.0)
    groove *= depth * (canvas.metal[window.rows, window.cols] > 128)
    side = np.array(
        [[1, 0, LIGHT[0] * 0.9 * width * canvas.px_per_mm], [0, 1, LIGHT[1] * 0.9 * width * canvas.px_per_mm]]
    )
    burr = cv2.warpAffine(groove, side, groove.shape[::-1])
    contrast = float(rng.uniform(0.22, 0.45))
    if rng.random() < 0.65:  # fresh metal flashes, its burr throws a shadow; an old scratch is dark
        _multiply(
            canvas, window, (1.0 + 1.2 * contrast * groove) * (1.0 - 0.6 * contrast * np.clip(burr - groove, 0, 1))
        )
    else:
        _multiply(
            canvas, window, (1.0 - 1.3 * contrast * groove) * (1.0 + 0.5 * contrast * np.clip(burr - groove, 0, 1))
        )
    _mark(canvas, window, groove)


def _dent(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = _place_on_face(rng, 1.6)
    radius = float(rng.uniform(0.9, 2.3))
    window = _window(canvas, x, y, 2.2 * radius)
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(0.7, 1.0)
    u = ((window.x - x) * np.cos(angle) + (window.y - y) * np.sin(angle)) / radius
    v = (-(window.x - x) * np.sin(angle) + (window.y - y) * np.cos(angle)) / (radius * stretch)
    distance = u * u + v * v
    height = -np.exp(-(distance**1.5)) + 0.12 * np.exp(-((np.sqrt(distance) - 1.35) ** 2) / 0.05)
    dy, dx = np.gradient(height.astype(np.float32))
    towards = (dx * LIGHT[0] + dy * LIGHT[1]) * (canvas.px_per_mm * radius)
    steep = float(rng.uniform(0.24, 0.5))
    # A wall that rises away from the lamp faces it: lit where the height falls towards the light.
    shade = 1.0 - steep * towards - 0.22 * steep * np.exp(-distance)
    _multiply(canvas, window, np.clip(shade, 0.35, 1.7) ** (canvas.metal[window.rows, window.cols] / 255.0))
    _mark(canvas, window, (distance < 1.35**2).astype(np.float32))


def _chip(canvas: Canvas, rng: np.random.Generator) -> None:
    angle = rng.uniform(0, 2 * np.pi)
    depth, width = float(rng.uniform(1.1, 2.9)), float(rng.uniform(2.8, 6.5))
    cx, cy = (RADIUS_MM + 0.25) * np.cos(angle), (RADIUS_MM + 0.25) * np.sin(angle)
    window = _window(canvas, cx, cy, max(width, depth) + 1.0)
    inward = -((window.x - cx) * np.cos(angle) + (window.y - cy) * np.sin(angle)) / depth
    along = (-(window.x - cx) * np.sin(angle) + (window.y - cy) * np.cos(angle)) / (width / 2)
    ragged = 0.16 * _cloud(window.x.shape, 0.7 * canvas.px_per_mm, rng)
    edge = 1.0 - np.hypot(inward, along) + ragged
    soft = canvas.px_per_mm * depth / 1.5
    broken = np.clip(0.5 + edge * soft, 0, 1) * (canvas.metal[window.rows, window.cols] / 255.0)
    gone = np.clip(0.5 + (edge - rng.uniform(0.22, 0.5)) * soft, 0, 1)
    grain = _cloud(window.x.shape, 0.18 * canvas.px_per_mm, rng) + _cloud(window.x.shape, 0.5 * canvas.px_per_mm, rng)
    facing = float(np.cos(angle) * LIGHT[0] + np.sin(angle) * LIGHT[1])
    fracture = np.clip(0.36 + 0.16 * facing + 0.09 * grain, 0.05, 0.95) * 255
    patch = canvas.image[window.rows, window.cols].astype(np.float32)
    patch += (fracture[..., None] - patch) * (broken * np.clip(edge * 6 + 0.3, 0, 1))[..., None]
    rim = np.exp(-((edge * depth / 0.13) ** 2)) * broken
    patch = (patch * (1.0 + 0.35 * rim[..., None])) * (1.0 - gone[..., None])
    canvas.image[window.rows, window.cols] = np.clip(patch, 0, 255)
    shown = canvas.belt[window.rows, window.cols]
    np.maximum(shown, np.uint8(gone * 200), out=shown)
    _mark(canvas, window, broken)


def _stain(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = _place_on_face(rng, 0.5)
    size = float(rng.uniform(1.3, 4.2))
    window = _window(canvas, x, y, 1.7 * size)
    inside = _blob(canvas, window, (x, y), size, rng, soft_mm=0.12) * (canvas.metal[window.rows, window.cols] / 255.0)
    rim = np.clip(inside - cv2.GaussianBlur(inside, (0, 0), 0.35 * canvas.px_per_mm), 0, 1)
    thick = np.clip(inside * (0.8 + 0.25 * _cloud(inside.shape, 0.8 * canvas.px_per_mm, rng)) + 0.7 * rim, 0, 1.3)
    oils = ((0.14, 0.24, 0.44), (0.40, 0.42, 0.46), (0.30, 0.16, 0.10))  # brown oil, black grease, blue layout dye
    absorb = np.array(oils[rng.choice(3, p=(0.55, 0.3, 0.15))], np.float32) * float(rng.uniform(0.7, 1.45))
    _multiply(canvas, window, 1.0 - np.clip(thick[..., None] * absorb, 0, 0.85))
    _mark(canvas, window, inside)


def _missing_hole(canvas: Canvas, rng: np.random.Generator) -> None:
    x, y = hole_centres()[int(rng.integers(HOLES))]
    window = _window(canvas, x, y, SINK_MM + 0.6)
    distance = np.hypot(window.x - x, window.y - y)
    soft = canvas.px_per_mm / 1.5
    sunk = rng.random() < 0.35  # the drill broke after the countersink: a blind cone instead of a hole
    radius = HOLE_MM + 0.15 if sunk else SINK_MM + 0.3
    inside = np.clip(0.5 + (radius - distance) * soft, 0, 1)
    patch = canvas.image[window.rows, window.cols].astype(np.float32)
    fill = canvas.bare[window.rows, window.cols].astype(np.float32)
    if sunk:
        facing = ((window.x - x) * LIGHT[0] + (window.y - y) * LIGHT[1]) / (distance + 1e-6)
        cone = 0.36 - 0.2 * facing * np.clip(distance / 0.6, 0, 1)
        fill = np.repeat(np.clip(cone + 0.02 * _cloud(distance.shape, 3, rng), 0, 1)[..., None] * 255, 3, 2)
    patch += (fill - patch) * inside[..., None]
    canvas.image[window.rows, window.cols] = np.clip(patch, 0, 255)
    shown = canvas.belt[window.rows, window.cols]
    np.multiply(shown, 1.0 - inside, out=shown, casting="unsafe")
    _mark(canvas, window, (distance < (radius if sunk else SINK_MM)).astype(np.float32))


def _crack(canvas: Canvas, rng: np.random.Generator) -> None:
    hole = hole_centres()[int(rng.integers(HOLES))]
    away = rng.uniform(0, 2 * np.pi)
    start = (hole[0] + SINK_MM * np.cos(away), hole[1] + SINK_MM * np.sin(away))
    if not FACE_FROM_MM < np.hypot(*start) < FACE_TO_MM - 1:
        start, away = _place_on_face(rng, 1.5), rng.uniform(0, 2 * np.pi)
    length, width = float(rng.uniform(4.0, 13.0)), float(rng.uniform(0.14, 0.34))
    main = _walk(start, away, length, rng)
    middle = main.mean(0)
    window = _window(canvas, float(middle[0]), float(middle[1]), length / 2 + 2.0)
    gap = _stroke(canvas, window, main[: len(main) * 2 // 3], width)
    gap = np.maximum(gap, 0.85 * _stroke(canvas, window, main[len(main) * 2 // 3 - 1 :], 0.65 * width))
    for _ in range(int(rng.integers(0, 3))):
        fork = int(rng.integers(len(main) // 4, len(main) * 3 // 4))
        turn = away + rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
        branch = _walk(tuple(main[fork]), turn, length * float(rng.uniform(0.15, 0.35)), rng)
        gap = np.maximum(gap, 0.8 * _stroke(canvas, window, branch, 0.6 * width))
    # The seal ring is rubber and lies in its groove: a crack in the metal ends at the groove.
    gap *= (canvas.metal[window.rows, window.cols] > 128) & (np.hypot(window.x, window.y) > FACE_FROM_MM - 0.5)
    lip = np.clip(cv2.GaussianBlur(gap, (0, 0), 0.14 * canvas.px_per_mm) - gap, 0, 1)
    _multiply(canvas, window, (1.0 - float(rng.uniform(0.6, 0.85)) * gap) * (1.0 + 0.25 * lip))
    _mark(canvas, window, gap)


def _place_on_face(rng: np.random.Generator, margin_mm: float) -> tuple[float, float]:
    """Choose a place on the turned face, outside the countersinks."""
    holes = np.array(hole_centres())
    while True:
        radius = np.sqrt(rng.uniform((FACE_FROM_MM + margin_mm) ** 2, (FACE_TO_MM - margin_mm) ** 2))
        angle = rng.uniform(0, 2 * np.pi)
        place = np.array([radius * np.cos(angle), radius * np.sin(angle)])
        if np.hypot(*(holes - place).T).min() > SINK_MM + 0.5 * margin_mm:
            return float(place[0]), float(place[1])


def _walk(
    start: tuple[float, float], heading: float, length_mm: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Walk as a crack grows: straight in the large, ragged in the small."""
    steps = max(6, round(length_mm / 0.35))
    turns = heading + np.cumsum(rng.normal(0.0, 0.12, steps)) + rng.normal(0.0, 0.45, steps)
    path = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1) * (length_mm / steps), 0)
    return np.vstack([[start], path + np.array(start)])


def _window(canvas: Canvas, x_mm: float, y_mm: float, half_mm: float) -> Window:
    side, scale = canvas.image.shape[0], canvas.px_per_mm
    middle = (side - 1) / 2
    col, row, half = x_mm * scale + middle, y_mm * scale + middle, half_mm * scale
    rows = slice(max(0, int(row - half)), min(side, int(row + half) + 2))
    cols = slice(max(0, int(col - half)), min(side, int(col + half) + 2))
    xs = ((np.arange(cols.start, cols.stop) - middle) / scale).astype(np.float32)
    ys = ((np.arange(rows.start, rows.stop) - middle) / scale).astype(np.float32)
    return Window(rows, cols, *np.meshgrid(xs, ys))


def _stroke(canvas: Canvas, window: Window, path_mm: NDArray[np.float64], width_mm: float) -> Plane:
    """Draw a line of a width; a line thinner than a pixel is fainter, as a lens shows it."""
    middle = (canvas.image.shape[0] - 1) / 2
    origin = np.array([window.cols.start, window.rows.start])
    points = np.rint((path_mm * canvas.px_per_mm + middle - origin) * 16).astype(np.int32)
    width_px = width_mm * canvas.px_per_mm
    line = np.zeros(window.x.shape, np.uint8)
    cv2.polylines(line, [points.reshape(-1, 1, 2)], False, 255, max(1, round(width_px)), cv2.LINE_AA, 4)
    soft = cv2.GaussianBlur(line.astype(np.float32) / 255, (0, 0), 0.6)
    coverage: Plane = np.clip(soft * min(1.3, 1.3 * width_px), 0, 1)
    return coverage


def _cloud(shape: tuple[int, ...], cell_px: float, rng: np.random.Generator) -> Plane:
    """Give smooth noise of unit variance at its nodes, with a grain of `cell_px`."""
    rows, cols = (max(3, int(n / max(cell_px, 1.0)) + 2) for n in shape)
    nodes = rng.standard_normal((rows, cols)).astype(np.float32)
    cloud: Plane = cv2.resize(nodes, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return cloud


def _blob(
    canvas: Canvas,
    window: Window,
    centre: tuple[float, float],
    size_mm: float,
    rng: np.random.Generator,
    soft_mm: float,
) -> Plane:
    """Give the coverage of an irregular spot of about `size_mm` radius."""
    distance = np.hypot(window.x - centre[0], window.y - centre[1]) / size_mm
    ragged = 0.28 * _cloud(distance.shape, 0.8 * size_mm * canvas.px_per_mm, rng)
    ragged += 0.08 * _cloud(distance.shape, 0.25 * size_mm * canvas.px_per_mm, rng)
    coverage: Plane = np.clip(0.5 + (0.85 + ragged - distance) * (size_mm / soft_mm), 0, 1)
    return coverage


def _multiply(canvas: Canvas, window: Window, factor: NDArray[np.floating]) -> None:
    patch = canvas.image[window.rows, window.cols]
    scaled = patch * (factor if factor.ndim == 3 else factor[..., None])
    canvas.image[window.rows, window.cols] = np.clip(scaled, 0, 255)


def _mark(canvas: Canvas, window: Window, coverage: NDArray[np.floating]) -> None:
    mask = canvas.mask[window.rows, window.cols]
    np.maximum(mask, np.where(coverage > TRUE_AT, np.uint8(255), np.uint8(0)), out=mask)
