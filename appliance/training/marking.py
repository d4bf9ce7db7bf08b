"""Render texts as factories mark them, worn and seen as a camera sees them, with the truth beside.

Eight styles. Everything random comes from the generator given, so one seed gives one picture. What is rendered is a
start for a fit and a measure for a reader; it is no proof for a site: its own pictures are.
"""

import math
from enum import StrEnum

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.finding import Box
from appliance.training import marking_surface as surface
from appliance.training.marking_dots import COLUMNS, ROWS, Grid, spelt
from appliance.training.marking_strokes import BUILT_IN, Drawn, segmented, stencilled, stroked, typeset
from appliance.training.marking_surface import Bend, Plane

OVER = 2
"""The flat surface is drawn this many times finer than the picture."""


class Style(StrEnum):
    """Name how a text is marked."""

    DOT_MATRIX = "dot matrix"
    INKJET = "inkjet"
    LASER = "laser"
    EMBOSSED = "embossed"
    THERMAL = "thermal"
    PAD = "pad print"
    PEENED = "dot peen"
    STENCIL = "stencil"


class MarkOptions(Struct, frozen=True):
    """Say how hard a marking is to read."""

    height_px: tuple[int, int] = (20, 44)
    """Least and most height of capitals in the picture."""
    wear: float = 1.0
    """0: new, flat, sharp and evenly lit; 1: as bad as a line still accepts."""
    face: str = BUILT_IN
    """Typeface of thermal transfer, pad print, embossing and stencils; a path of a TrueType file names the site's."""
    turn_deg: float = 3.0
    """Most rotation at wear 1."""


class Marked(Struct, frozen=True):
    """Hold a picture with its truth."""

    picture: NDArray[np.uint8]
    """(rows, cols) uint8, Mono8."""
    text: str
    style: Style
    outline: tuple[tuple[float, float], ...]
    """Corners of the rectangle of the capitals, as it lies: upper left of the text first, clockwise; by edges."""
    box: Box
    """Upright rectangle around the outline."""
    characters: tuple[Box, ...]
    """Upright rectangle of each character's cell, blanks too."""


class _Flat(Struct, frozen=True):
    picture: Plane
    cells: tuple[tuple[float, float, float, float], ...]


def mark(text: str, style: Style, seed: int | list[int], options: MarkOptions | None = None) -> Marked:
    """Render one text; ValueError when it is empty or has a character that the style does not know."""
    if not text.strip():
        raise ValueError("marking: the text is empty; give at least one character")
    options = options or MarkOptions()
    rng = np.random.default_rng(seed)
    height = int(rng.integers(options.height_px[0], options.height_px[1] + 1))
    flat = _MARKERS[style](text, height * OVER, rng, options)
    return _seen(text, style, flat, height, rng, options)


def _dot_matrix(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Print with needles or nozzles in a fixed grid: dots of one size, some missing."""
    cover, cells = _dotted(text, height, rng, missing=0.02 * options.wear, jitter=0.04, size=(0.62, 1.05))
    return _inked(cover, cells, surface.board if rng.random() < 0.5 else surface.paper, rng, options)


def _inkjet(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Print with a continuous jet: dots drift and differ, the line leans and waves, ink spatters."""
    wear = options.wear
    drawn = _dotted(
        text,
        height,
        rng,
        missing=0.02 * wear,
        jitter=0.04 + 0.1 * wear,
        size=(0.75, 1.25),
        spread=0.12 * wear,
        lean=rng.uniform(-0.05, 0.25) * wear,
        wave=0.03 * wear,
        spatter=0.04 * wear,
    )
    return _inked(*drawn, surface.plastic if rng.random() < 0.6 else surface.brushed, rng, options)


def _laser(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Engrave thin lines into metal or plastic: little contrast, lighter or darker than the ground."""
    thick = max(2, round(height * rng.uniform(0.05, 0.11)))
    drawn = stroked(text, height, thick, rng.uniform(0.0, 0.12), double=bool(rng.random() < 0.3))
    cover = drawn.cover.astype(np.float32) / 255
    cover *= 1 + np.clip(rng.normal(0, 0.25, cover.shape), -0.6, 0.6).astype(np.float32) * options.wear
    ground = rng.uniform(90, 190)
    depth = rng.uniform(70 - 42 * options.wear, 95 - 20 * options.wear) * (1 if rng.random() < 0.4 else -1)
    material = surface.brushed if rng.random() < 0.7 else surface.plastic
    picture = ground + material(cover.shape, rng) * options.wear + depth * cover
    return _Flat(picture.astype(np.float32), drawn.cells)


def _embossed(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Raise or sink the characters: only light from the side shows them."""
    drawn = typeset(text, height, options.face, int(rng.integers(400, 750)), 0.08)
    depth = cv2.GaussianBlur(drawn.cover.astype(np.float32) / 255, (0, 0), height * rng.uniform(0.02, 0.04))
    depth *= height * 0.1 * (1 if rng.random() < 0.5 else -1)
    ground = rng.uniform(80, 170)
    gain = rng.uniform(150 - 70 * options.wear, 260 - 80 * options.wear)
    shade = surface.relief(depth, gain, rng.uniform(0, 2 * math.pi))
    texture = (surface.plastic if rng.random() < 0.4 else surface.cast)(depth.shape, rng) * options.wear
    return _Flat((ground + texture + shade).astype(np.float32), drawn.cells)


def _thermal(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Print by ribbon on a label: in pixels of the head, with dead elements and creases."""
    drawn = typeset(text, height, options.face, int(rng.integers(400, 800)), 0.03)
    step = max(1, round(height / rng.uniform(16, 28)))
    rows, cols = drawn.cover.shape
    small = cv2.resize(drawn.cover, (max(1, cols // step), max(1, rows // step)), interpolation=cv2.INTER_AREA)
    cover = (cv2.resize(small, (cols, rows), interpolation=cv2.INTER_NEAREST) > 127).astype(np.float32)
    if rng.random() < 0.35 * options.wear:  # a dead element leaves a line along the way of the label
        place = int(rng.integers(height, 2 * height))
        cover[place : place + step] = 0
    if rng.random() < 0.4 * options.wear:  # a crease of the ribbon leaves a slanting one
        x = int(rng.integers(height, cols - height))
        cv2.line(cover, (x, 0), (x + int(rng.normal(0, height)), rows), 0.0, step, cv2.LINE_AA)
    cover *= 1 - 0.5 * options.wear * np.clip(surface.plastic(cover.shape, rng) / 12, 0, 1)
    return _inked(cover, drawn.cells, surface.paper, rng, options, dark=True)


def _pad(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Print by pad or screen on plastic: frayed edges, pinholes, sometimes light on dark."""
    drawn = typeset(text, height, options.face, int(rng.integers(400, 700)))
    edge = drawn.cover.astype(np.float32) / 255
    edge = cv2.GaussianBlur(edge, (0, 0), height * 0.02) + surface.cast(edge.shape, rng) / 60 * options.wear
    cover = np.clip((edge - 0.5) * 6 + 0.5, 0, 1).astype(np.float32)
    holes = surface.paper(cover.shape, rng) > (9.5 - 2.5 * options.wear)
    cover[cv2.dilate(holes.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] *= 0.4
    return _inked(cover, drawn.cells, surface.plastic, rng, options)


def _peened(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Hammer dots into metal: each is a crater, lit on one side and dark on the other."""
    cover, cells = _dotted(text, height, rng, missing=0.01 * options.wear, jitter=0.06 * options.wear, size=(0.7, 1.0))
    depth = -cv2.GaussianBlur(cover, (0, 0), height * 0.018) * (height * 0.1)
    shade = surface.relief(depth, rng.uniform(140 - 50 * options.wear, 260 - 60 * options.wear), rng.uniform(0, 7))
    material = surface.brushed if rng.random() < 0.6 else surface.cast
    ground = rng.uniform(90, 180) + material(cover.shape, rng) * options.wear
    # A crater keeps some light in: it is a little darker than the ground.
    return _Flat((ground + shade - rng.uniform(8, 35) * cover).astype(np.float32), cells)


def _stencil(text: str, height: int, rng: np.random.Generator, options: MarkOptions) -> _Flat:
    """Spray through a stencil; a text of digits alone is shown in seven segments now and then."""
    bare = set(text) <= set("0123456789-.:/ ")
    drawn: Drawn = segmented(text, height) if bare and rng.random() < 0.5 else stencilled(text, height)
    cover = cv2.GaussianBlur(drawn.cover.astype(np.float32) / 255, (0, 0), height * (0.01 + 0.02 * options.wear))
    cover = np.clip(cover + surface.cast(cover.shape, rng) / 90 * options.wear, 0, 1)
    material = (surface.board, surface.cast)[int(rng.integers(0, 2))]
    return _inked(cover.astype(np.float32), drawn.cells, material, rng, options)


_MARKERS = {
    Style.DOT_MATRIX: _dot_matrix,
    Style.INKJET: _inkjet,
    Style.LASER: _laser,
    Style.EMBOSSED: _embossed,
    Style.THERMAL: _thermal,
    Style.PAD: _pad,
    Style.PEENED: _peened,
    Style.STENCIL: _stencil,
}


def _dotted(
    text: str,
    height: int,
    rng: np.random.Generator,
    *,
    missing: float,
    jitter: float,
    size: tuple[float, float],
    spread: float = 0.0,
    lean: float = 0.0,
    wave: float = 0.0,
    spatter: float = 0.0,
) -> tuple[Plane, tuple[tuple[float, float, float, float], ...]]:
    """Give cover and cells of a text in dots. Lengths are shares: of the pitch, `wave` of the height."""
    grid: Grid = "7x9" if rng.integers(0, 2) else "5x7"
    dots, starts = spelt(text, grid, slashed=bool(rng.random() < 0.5))
    pitch = height / (ROWS[grid] - 1 + 0.8)
    stretch = rng.uniform(0.85, 1.15)  # columns follow the belt's speed, rows the head
    places = dots * np.array([pitch * stretch, pitch], np.float32) + height + 0.4 * pitch
    places += rng.normal(0, jitter * pitch / 2, places.shape)
    places[:, 0] += lean * (2 * height - places[:, 1])
    places[:, 1] += wave * height * np.sin(places[:, 0] / height * rng.uniform(0.3, 1.2) + rng.uniform(0, 7))
    kept = places[rng.random(len(places)) >= missing]
    radii = pitch * rng.uniform(*size) / 2 * np.clip(1 + rng.normal(0, spread, len(kept)), 0.5, 1.6)
    extra = kept[rng.random(len(kept)) < spatter]
    strays = extra + rng.normal(0, pitch, extra.shape)
    cols = round(len(starts) and (starts[-1] + COLUMNS[grid]) * pitch * stretch + 2 * height)
    cover = np.zeros((3 * height, cols), np.uint8)
    for (x, y), radius in zip([*kept, *strays], [*radii, *(radii[: len(strays)] * 0.5)], strict=True):
        at = (round(float(x) * 16), round(float(y) * 16))
        cv2.circle(cover, at, max(12, round(float(radius) * 16)), 255, -1, cv2.LINE_AA, 4)
    wide = COLUMNS[grid] * pitch * stretch
    lefts = [height + start * pitch * stretch for start in starts]
    return (cover / 255).astype(np.float32), tuple((x, float(height), x + wide, 2.0 * height) for x in lefts)


def _inked(
    cover: Plane,
    cells: tuple[tuple[float, float, float, float], ...],
    material: surface.Material,
    rng: np.random.Generator,
    options: MarkOptions,
    *,
    dark: bool = False,
) -> _Flat:
    """Put ink on a material: mostly dark on light, with less contrast the more it is worn."""
    ground = surface_level = rng.uniform(150, 225)
    contrast = rng.uniform(0.75 - 0.4 * options.wear, 0.9)
    ink = ground * (1 - contrast)
    if not dark and rng.random() < 0.25:
        ground, ink = ink + 15, surface_level
    picture = ground + material(cover.shape, rng) * options.wear
    return _Flat((picture + cover * (ink - picture)).astype(np.float32), cells)


def _seen(text: str, style: Style, flat: _Flat, height: int, rng: np.random.Generator, options: MarkOptions) -> Marked:
    """Show a flat surface as the camera does."""
    wear = options.wear
    rows, cols = flat.picture.shape
    bend, size = _bend((rows, cols), rng, options)
    fine = cv2.GaussianBlur(flat.picture, (0, 0), 0.4 * OVER)
    picture = bend.draw(fine, size)
    u, v = np.meshgrid(np.linspace(-1, 1, size[1]), np.linspace(-1, 1, size[0]))
    toward, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.35) * wear
    picture *= (1 + slope * (u * math.cos(toward) + v * math.sin(toward))).astype(np.float32)
    surface.soil(picture, rng, int(rng.poisson(0.8 * wear)), height)
    blur = rng.uniform(0, 0.05) * wear * height
    if blur > 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), blur).astype(np.float32)
    picture += rng.normal(0, 1 + rng.uniform(0, 6) * wear, size).astype(np.float32)
    return _truth(text, style, np.clip(np.rint(picture), 0, 255).astype(np.uint8), flat, bend)


def _bend(flat: tuple[int, int], rng: np.random.Generator, options: MarkOptions) -> tuple[Bend, tuple[int, int]]:
    """Draw how a flat surface of (rows, cols) lies before the camera; also the (rows, cols) of its picture."""
    wear = options.wear
    turn = math.radians(rng.uniform(-options.turn_deg, options.turn_deg) * wear)
    scale = 1 / OVER
    round_part = rng.random() < 0.35 * wear
    # The text covers at most 120 degrees of the cylinder.
    radius = flat[1] / math.radians(rng.uniform(40, 120)) if round_part else math.inf
    drop = rng.uniform(-0.08, 0.08) if round_part else 0.0
    cols = 2 * radius * math.sin(flat[1] / (2 * radius)) if round_part else flat[1]
    size = (round((flat[0] + abs(math.sin(turn)) * flat[1]) * scale), round(cols * scale))
    tilt = rng.uniform(-0.12, 0.12, 2) * wear / np.array([flat[1], flat[0]])
    turned = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    seen = np.array([[scale, 0, (size[1] - 1) / 2], [0, scale, (size[0] - 1) / 2], [0, 0, 1]])
    lens = np.array([[1, 0, 0], [0, 1, 0], [*tilt, 1]])
    middle = ((flat[1] - 1) / 2, (flat[0] - 1) / 2)
    return Bend(middle, radius, drop, tuple((seen @ lens @ turned).ravel().tolist())), size


def _truth(text: str, style: Style, picture: NDArray[np.uint8], flat: _Flat, bend: Bend) -> Marked:
    left, top, right, bottom = flat.cells[0][0], flat.cells[0][1], flat.cells[-1][2], flat.cells[0][3]
    # Points along the upper and lower side, since a cylinder bends them.
    along = np.linspace(left, right, 9)
    sides = [np.stack([along, np.full(9, y)], axis=1) for y in (top, bottom)]
    upper, lower = (bend.forward(side) + 0.5 for side in sides)
    outline = _rectangle(upper, lower)
    boxes = [
        _around(bend.forward(np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])) + 0.5) for x0, y0, x1, y1 in flat.cells
    ]
    return Marked(picture, text, style, outline, _around(np.array(outline)), tuple(boxes))


def _rectangle(upper: NDArray[np.float64], lower: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
    """Give the rectangle around both sides of a line, in the direction of its ends."""
    way = (upper[-1] - upper[0]) + (lower[-1] - lower[0])
    angle = math.atan2(way[1], way[0])
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    points = np.concatenate([upper, lower]) @ turn
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)]) @ turn.T
    return tuple((float(x), float(y)) for x, y in corners)


def _around(points: NDArray[np.float64]) -> Box:
    low, high = points.min(axis=0), points.max(axis=0)
    return Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
