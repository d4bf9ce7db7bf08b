"""Give marked surfaces their material, relief and light, and show them through a lens that is not perfect."""

import math
from collections.abc import Callable

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""(rows, cols) float32: grey levels 0 to 255, or shares."""

Material = Callable[[tuple[int, int], np.random.Generator], Plane]


def paper(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Give fine grain about 0, grey levels."""
    return _grain(shape, rng, 1.0, 2.5)


def plastic(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Give the faint waves of a moulding."""
    return _grain(shape, rng, 12.0, 4.0)


def board(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Give the fibres of cardboard."""
    return _grain(shape, rng, 1.2, 5.0) + _grain(shape, rng, 8.0, 5.0)


def brushed(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Give the scratches of brushed metal, along or across."""
    lines = rng.normal(0, 1, shape).astype(np.float32)
    size = (41, 1) if rng.random() < 0.5 else (1, 41)
    streaks: Plane = cv2.blur(lines, size)
    return (streaks * np.float32(rng.uniform(4, 11) / max(float(streaks.std()), 1e-6))).astype(np.float32, copy=False)


def cast(shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """Give the roughness of cast or blasted metal."""
    return _grain(shape, rng, 1.6, rng.uniform(4, 9)) + _grain(shape, rng, 16.0, 5.0)


def relief(depth: Plane, gain: float, toward: float) -> Plane:
    """Give how a height map in pixels brightens, grey levels, under light from direction `toward`, radians."""
    across: Plane = cv2.Sobel(depth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down: Plane = cv2.Sobel(depth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    return (gain * (across * math.cos(toward) + down * math.sin(toward))).astype(np.float32)


def soil(picture: Plane, rng: np.random.Generator, spots: int, size_px: float) -> None:
    """Put dirt and glints on a picture, in place."""
    for _ in range(spots):
        centre = (int(rng.integers(0, picture.shape[1])), int(rng.integers(0, picture.shape[0])))
        axes = (max(1, int(size_px * rng.uniform(0.05, 0.35))), max(1, int(size_px * rng.uniform(0.03, 0.15))))
        mask = np.zeros(picture.shape, np.uint8)
        cv2.ellipse(mask, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA)
        share = cv2.GaussianBlur(mask, (0, 0), 1.5).astype(np.float32) / 255 * np.float32(rng.uniform(0.2, 0.7))
        picture += share * (np.float32(rng.uniform(20, 230)) - picture)


class Bend(Struct, frozen=True):
    """Map a flat surface into a picture: over a cylinder with its axis upright, then by a homography."""

    middle: tuple[float, float]
    """(x, y) of the flat surface that the camera faces."""
    radius_px: float
    """Of the cylinder; infinite: flat."""
    drop: float
    """By how much the line falls at the sides as a share of the depth there: the camera looks from above."""
    matrix: tuple[float, ...]
    """Homography, row by row."""

    def forward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give (n, 2) picture points of (n, 2) flat points."""
        x, y = (points - self.middle).T
        if math.isfinite(self.radius_px):
            angle = np.clip(x / self.radius_px, -math.pi / 2, math.pi / 2)
            x, y = self.radius_px * np.sin(angle), y + self.drop * self.radius_px * (1 - np.cos(angle))
        moved = np.stack([x, y, np.ones_like(x)]) if len(points) else np.zeros((3, 0))
        u, v, w = np.reshape(self.matrix, (3, 3)) @ moved
        return np.stack([u / w, v / w], axis=1)

    def draw(self, flat: Plane, size: tuple[int, int]) -> Plane:
        """Give the (rows, cols) picture of a flat surface; its border goes on beyond it."""
        rows, cols = size
        v, u = np.mgrid[0:rows, 0:cols].reshape(2, -1)
        x, y, w = np.linalg.inv(np.reshape(self.matrix, (3, 3))) @ np.stack([u, v, np.ones(u.size)])
        x, y = x / w, y / w
        if math.isfinite(self.radius_px):
            angle = np.arcsin(np.clip(x / self.radius_px, -1, 1))
            x, y = self.radius_px * angle, y - self.drop * self.radius_px * (1 - np.cos(angle))
        across, down = (
            (part + middle).reshape(size).astype(np.float32) for part, middle in zip((x, y), self.middle, strict=True)
        )
        laid: Plane = cv2.remap(flat, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        return laid.astype(np.float32, copy=False)


def _grain(shape: tuple[int, int], rng: np.random.Generator, sigma: float, levels: float) -> Plane:
    # Coarse grain is drawn small and enlarged: blurring by many pixels costs more.
    step = max(1, int(sigma / 2))
    small = tuple(-(-length // step) + 2 for length in shape)
    noise = cv2.GaussianBlur(rng.normal(0, 1, small).astype(np.float32), (0, 0), sigma / step)
    noise *= levels / max(float(noise.std()), 1e-6)
    wide: Plane = cv2.resize(noise, None, fx=step, fy=step)
    return wide[: shape[0], : shape[1]].astype(np.float32, copy=False)
