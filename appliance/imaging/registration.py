"""Find where a template lies in a frame: a small shift, turn and scale, to a tenth of a pixel, under another light.

A normalised cross-correlation on a reduced image gives the shift, Gauss-Newton steps on the template's edge points
refine it from coarse to fine: Lucas and Kanade (1981), with gain and offset of the light as two more unknowns and
Tukey's weights, so that a defect does not pull. Points on edges alone keep a step under a millisecond at any size.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

LEAST_QUALITY = 0.6
"""Share of the template's edges that must be found. On 644 pairs of bare boards the lowest is 0.75; of 250 frames
beside the template of another place on the same board one reached 0.56, all others 0.35 at most (2026-11-21)."""

# Reduced images have at most so many pixels a side: the coarsest to search in, the finest to measure in.
COARSEST_PX = 256
FINEST_PX = 1024
POINTS = 2000
# An edge is where the template changes by so many grey levels per pixel of its reduced image, smoothed.
LEAST_SLOPE = 4.0
FEWEST_POINTS = 50
SMOOTHING = 1.2
MOST_STEPS = 15
# Pixels of the reduced image: a step that moves no corner further is the last.
SHORTEST_STEP = 0.005
# Tukey's constant: 95 % efficient on normal noise (Holland and Welsch, 1977).
TUKEY = 4.685
LEAST_SPREAD = 2.0
"""Grey levels: noise below this is not told from quantisation."""
DAMPING = 1e-3
# Between places that correlate alike (a repeated pattern) the nearest one is taken.
FAVOUR_NEAR = 0.01

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Registration(Struct, frozen=True):
    """State where the template lies in a frame."""

    matrix: Doubles
    """(2, 3) float64: template pixel (x, y, 1) to frame pixel (x, y)."""
    quality: float
    """Mean agreement of the gradient's direction over the template's edge points, in [-1, 1]: about the share of them
    that the frame shows. Steger, "Similarity measures for occlusion, clutter, and illumination invariant object
    recognition" (2001), equation 2."""
    registered: bool
    """False: the frame does not show the template within its reach, and nothing may be concluded from comparing."""


class _Level(Struct, frozen=True):
    """Hold the template at one reduction; coordinates are template pixels from its middle."""

    factor: int
    picture: Floats
    places: Floats
    """(2, points) float32, x and y."""
    values: Floats
    slope: Floats
    """(2, points) float32, grey levels per template pixel."""
    columns: Doubles
    """(points, unknowns): how a value answers to shift x, shift y, scale, turn."""


class Registrar:
    """Hold a template made ready for being found in frames of its own shape; keeps no frame."""

    def __init__(self, template: NDArray[np.uint8], reach_px: int, *, turning: bool = True) -> None:
        """Take (rows, cols) uint8 and the largest displacement of any of its points, frame pixels.

        turning: follow a turn and a change of scale too, as far as no corner moves by more than the reach.
        """
        self.shape, self.reach_px = template.shape, reach_px
        self._unknowns = 4 if turning else 2
        self._middle = np.array([(template.shape[1] - 1) / 2, (template.shape[0] - 1) / 2])
        self._levels = [self._level(template, factor) for factor in _factors(max(template.shape))]

    def find(self, frame: NDArray[np.uint8]) -> Registration:
        """Find the template in (rows, cols) uint8 of the template's shape; a few milliseconds, never raises."""
        move = np.zeros(4)
        for level in self._levels:
            picture = _reduced(frame, level.factor)
            if level is self._levels[0]:
                move[:2] = _search(picture, level.picture, self.reach_px / level.factor) * level.factor
            if level.places.shape[1] >= FEWEST_POINTS:
                move = self._refine(level, picture, move)
        finest = self._levels[-1]
        quality = self._agreement(finest, picture, move) if finest.places.shape[1] >= FEWEST_POINTS else 0.0
        held = bool(quality >= LEAST_QUALITY and self._furthest(move) <= self.reach_px + 1)
        return Registration(self._matrix(move), quality, held)

    def _level(self, template: NDArray[np.uint8], factor: int) -> _Level:
        picture = _reduced(template, factor)
        slope = np.stack([cv2.Sobel(picture, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))])
        strength = np.hypot(*slope)
        least = max(LEAST_SLOPE, 0.25 * float(np.percentile(strength, 99)))
        ys, xs = np.nonzero(strength > least)
        step = max(1, -(-len(ys) // POINTS))
        ys, xs = ys[::step], xs[::step]
        inner = (np.array([xs, ys]) * factor + (factor - 1) / 2) - self._middle[:, None]
        chosen = (slope[:, ys, xs] / factor).astype(np.float32)
        (x, y), (gx, gy) = inner, chosen
        columns = np.stack([gx, gy, gx * x + gy * y, gy * x - gx * y], axis=1)[:, : self._unknowns]
        return _Level(factor, picture, inner.astype(np.float32), picture[ys, xs], chosen, columns.astype(np.float64))

    def _refine(self, level: _Level, picture: Floats, start: Doubles) -> Doubles:
        move, gain, offset = start.copy(), 1.0, 0.0
        for step in range(MOST_STEPS):
            seen, inside = self._sample(level, picture, move)
            if inside.sum() < FEWEST_POINTS:
                break
            if step == 0:
                gain, offset = _light(level.values[inside], seen[inside])
            rest = seen - (gain * level.values + offset)
            weights = _tukey(rest, inside)
            columns = np.concatenate([-gain * level.columns, level.values[:, None], np.ones((len(rest), 1))], axis=1)
            change = _solve(columns, rest, weights)
            move[: self._unknowns] += change[:-2]
            gain, offset = gain + change[-2], offset + change[-1]
            if not np.isfinite(move).all() or self._furthest(move) > 2 * self.reach_px + 2 * level.factor:
                return start
            moved = np.zeros(4)
            moved[: self._unknowns] = change[:-2]
            if self._furthest(moved) < SHORTEST_STEP * level.factor:
                break
        return move

    def _sample(
        self, level: _Level, picture: Floats, move: Doubles, aside: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Give the frame's values where the level's points lie now, and which of these lie inside it."""
        x, y = level.places
        dx, dy, c, s = move
        across = ((1 + c) * x - s * y + dx + self._middle[0] - (level.factor - 1) / 2) / level.factor + aside[0]
        down = (s * x + (1 + c) * y + dy + self._middle[1] - (level.factor - 1) / 2) / level.factor + aside[1]
        inside = (across >= 0) & (down >= 0) & (across <= picture.shape[1] - 1) & (down <= picture.shape[0] - 1)
        maps = across.astype(np.float32)[None], down.astype(np.float32)[None]
        seen = cv2.remap(picture, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        return seen, inside

    def _agreement(self, level: _Level, picture: Floats, move: Doubles) -> float:
        right, left, below, above = (
            self._sample(level, picture, move, aside)[0] for aside in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0))
        )
        inside = self._sample(level, picture, move)[1]
        found = np.stack([right - left, below - above]) / 2
        # Slopes far under an edge's have no direction worth the name.
        strength = np.maximum(np.hypot(*found), LEAST_SLOPE / 2) * np.maximum(np.hypot(*level.slope), 1e-6)
        return float(((found * level.slope).sum(axis=0) / strength)[inside].sum() / level.places.shape[1])

    def _furthest(self, move: Doubles) -> float:
        """Give the largest displacement along an axis among the corners, template pixels."""
        x, y = self._middle
        dx, dy, c, s = move
        return float(max(abs(dx) + abs(c * x) + abs(s * y), abs(dy) + abs(s * x) + abs(c * y)))

    def _matrix(self, move: Doubles) -> Doubles:
        dx, dy, c, s = move
        turn = np.array([[1 + c, -s], [s, 1 + c]])
        shift = self._middle + np.array([dx, dy]) - turn @ self._middle
        return np.concatenate([turn, shift[:, None]], axis=1)


def _factors(longest: int) -> Iterator[int]:
    """Yield the reductions from the coarsest to the finest."""
    fine = 1
    while longest / fine > FINEST_PX:
        fine *= 2
    coarse = fine
    while longest / coarse > COARSEST_PX:
        coarse *= 2
    while coarse >= fine:
        yield coarse
        coarse //= 2


def _reduced(picture: NDArray[np.uint8], factor: int) -> Floats:
    """Give the smoothed mean over factor x factor pixels, float32; lines over a multiple of it are left out."""
    rows, cols = (max(1, length // factor) for length in picture.shape)
    whole = picture[: rows * factor, : cols * factor]
    small = whole if factor == 1 else cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA)
    smooth: Floats = cv2.GaussianBlur(small, (0, 0), SMOOTHING).astype(np.float32)
    return smooth


def _search(frame: Floats, template: Floats, reach: float) -> Doubles:
    """Give the shift (x, y) at which the template correlates best, in pixels of these pictures."""
    most = min(frame.shape) // 4
    around = min(int(np.ceil(reach)), most)
    if around < 1:
        return np.zeros(2)
    inner = np.ascontiguousarray(template[around:-around, around:-around])
    if float(inner.std()) < 1e-3:
        return np.zeros(2)
    found = cv2.matchTemplate(frame, inner, cv2.TM_CCOEFF_NORMED)
    away = np.hypot(*np.mgrid[-around : around + 1, -around : around + 1]) / around
    y, x = np.unravel_index(np.argmax(np.nan_to_num(found) - FAVOUR_NEAR * away), found.shape)
    return np.array([x - around, y - around], np.float64)


def _light(template: Floats, frame: Floats) -> tuple[float, float]:
    """Give gain and offset that bring spread and middle of the template's values to the frame's."""
    spread = float(template.std())
    gain = float(np.clip(frame.std() / max(spread, 1e-3), 0.25, 4.0))
    return gain, float(np.median(frame) - gain * np.median(template))


def _tukey(rest: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Give the biweight of each residual; its scale is their median, and 0 is outside the frame."""
    spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(rest[inside]))))
    near = 1 - (rest / (TUKEY * spread)) ** 2
    return np.where(inside & (near > 0), near**2, 0).astype(np.float32)


def _solve(columns: Doubles, rest: Floats, weights: Floats) -> Doubles:
    """Give the weighted least squares solution; what the points hardly determine (a shift along lines) stays.

    columns: of motion, in pairs, then gain and offset.
    """
    scale = np.sqrt((weights[:, None] * columns**2).sum(axis=0)) + 1e-9
    for first in range(0, len(scale) - 2, 2):
        scale[first : first + 2] = scale[first : first + 2].max()
    scaled = columns / scale
    square = scaled.T @ (weights[:, None] * scaled) + DAMPING * np.eye(columns.shape[1])
    return np.asarray(np.linalg.solve(square, scaled.T @ (weights * rest)) / scale)
