"""Find a part's twins: the known good one and the known defect that look most like it.

No model is asked: what a person is shown beside the part must not share the model's mistakes. A defect is described by
a square cut around it, with some of its surroundings, and by its size and shape; a whole picture by its coarse grey
values. A good twin is compared at the same place of the frame.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.finding import Box

SIDE = 48
"""Cut, px: a defect of this size is seen as it is, a larger one shrunk."""
MARGIN = 0.25
"""Surroundings on each side, of the larger side of the box."""
LEAST_PX = 16.0
"""Smallest square cut, before its margin."""
COARSE, CELLS, BINS = 12, 4, 8
WHOLE = 16
NOISE = 4.0
"""Grey levels under which a picture's contrast is not stretched."""

SCALES = (1.36, 0.97, 0.074, 0.325, 0.52)
"""Median squared distance of the five blocks (cut, edges, texture, levels, shape) between two marked defects of
magnetic tiles, so that each counts alike. So the nearest defect of other tiles is of the same class for 140 of 207
(chance 0.21), of other printed boards for 1243 of 1500 (chance 0.17); 2026-11-22."""
WHOLE_SCALE = 1.08

MOST_HELD = 4000
"""Described pictures in memory; about 1.7 kB each."""

Image = NDArray[np.uint8]
Blocks = tuple[NDArray[np.float32], ...]


class Candidate(Struct, frozen=True):
    """Name a picture that a person has labelled."""

    part: str
    camera: str
    path: str
    """In the image folder."""
    kind: str
    """`good` or a defect class."""
    box: Box | None = None
    """Where the defect is, frame px; None: nobody marked it, the whole picture is meant."""


class Twin(Struct, frozen=True):
    """Give the picture that looks most alike."""

    candidate: Candidate
    distance: float
    """In units in which two defects taken at random are about 1 apart."""


class Traits(NamedTuple):
    """Hold what a picture looks like."""

    cut: Blocks
    """At the marked place."""
    whole: NDArray[np.float32]
    """(WHOLE * WHOLE,) coarse grey values, mean 0."""


def traits(image: Image, box: Box | None) -> Traits:
    """Describe a picture, (rows, cols) or (rows, cols, 3) uint8, and the place in it; None: all of it."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    place = box or Box(0, 0, grey.shape[1], grey.shape[0])
    whole = _stretched(cv2.resize(grey, (WHOLE, WHOLE), interpolation=cv2.INTER_AREA).astype(np.float32))
    square = cut_out(grey, place)
    stretched = _stretched(square)
    coarse = cv2.resize(stretched, (COARSE, COARSE), interpolation=cv2.INTER_AREA).ravel() / COARSE
    blocks = (coarse, _edges(stretched), _texture(square), _levels(grey, place), _shape(place))
    return Traits(tuple(block.astype(np.float32) for block in blocks), (whole.ravel() / WHOLE).astype(np.float32))


def alike(one: Traits, other: Traits) -> float:
    """Give how far apart two marked places look; 0 is the same, about 1 two defects taken at random."""
    parts = zip(one.cut, other.cut, SCALES, strict=True)
    return float(sum(np.sum((a - b) ** 2) / scale for a, b, scale in parts) / len(SCALES))


def alike_whole(one: Traits, other: Traits) -> float:
    """Give how far apart two whole pictures look, and the same place of both."""
    return float((np.sum((one.whole - other.whole) ** 2) / WHOLE_SCALE + alike(one, other)) / 2)


def nearest(
    mine: Traits, others: Iterable[tuple[Candidate, Traits]], measure: Callable[[Traits, Traits], float]
) -> Twin | None:
    """Give the twin among the candidates; None when there are none."""
    found = [Twin(candidate, measure(mine, seen)) for candidate, seen in others]
    return min(found, key=lambda twin: twin.distance, default=None)


class Album:
    """Hold the traits of pictures seen before, the newest used; used by one thread at a time."""

    def __init__(self, load: Callable[[str], Image], most: int = MOST_HELD) -> None:
        """Take what reads a picture of the image folder; it may raise StoreError or OSError."""
        self._load = load
        self._most = most
        self._held: OrderedDict[tuple[str, Box | None], Traits | None] = OrderedDict()

    def describe(self, wanted: Sequence[tuple[str, Box | None]], most: int) -> int:
        """Describe up to `most` of the pictures that are not held yet, first ones first; how many are left."""
        missing = [key for key in dict.fromkeys(wanted) if key not in self._held]
        for path, box in missing[:most]:
            self._keep((path, box), self._read(path, box))
        return max(0, len(missing) - most)

    def get(self, path: str, box: Box | None) -> Traits | None:
        """Give what is held; None where nothing is, or the picture cannot be read."""
        key = (path, box)
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def _read(self, path: str, box: Box | None) -> Traits | None:
        image = self._load(path)
        return traits(image, box) if image.size else None

    def _keep(self, key: tuple[str, Box | None], seen: Traits | None) -> None:
        self._held[key] = seen
        while len(self._held) > self._most:
            self._held.popitem(last=False)


def cut_out(grey: Image, place: Box, side: int = SIDE) -> NDArray[np.float32]:
    """Cut the square around a place, (side, side) float32; beyond the frame its edge goes on."""
    reach = max(place.width_px, place.height_px, LEAST_PX) * (1 + 2 * MARGIN)
    left = int(np.floor(place.x_px + (place.width_px - reach) / 2))
    top = int(np.floor(place.y_px + (place.height_px - reach) / 2))
    size = int(np.ceil(reach))
    ys = np.clip(np.arange(top, top + size), 0, grey.shape[0] - 1)
    xs = np.clip(np.arange(left, left + size), 0, grey.shape[1] - 1)
    way = cv2.INTER_AREA if size >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey[np.ix_(ys, xs)], (side, side), interpolation=way), np.float32)


def _stretched(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((image - image.mean()) / (image.std() + NOISE), np.float32)


def _edges(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give how much edge runs in each direction, in each cell; length 1."""
    dx, dy = (cv2.Sobel(image, cv2.CV_32F, *order, ksize=3) for order in ((1, 0), (0, 1)))
    strength = np.hypot(dx, dy)
    bins = np.minimum((np.mod(np.arctan2(dy, dx), np.pi) / np.pi * BINS).astype(int), BINS - 1)
    cell = image.shape[0] // CELLS
    found = np.stack([np.where(bins == number, strength, 0) for number in range(BINS)])
    summed = found.reshape(BINS, CELLS, cell, CELLS, cell).sum(axis=(2, 4)).ravel()
    return np.asarray(summed / (np.linalg.norm(summed) + 1e-6), np.float32)


def _texture(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the square roots of the shares of local binary patterns, the uniform ones by number of brighter neighbours.

    Ojala, Pietikäinen, Mäenpää 2002.
    """
    middle = image[1:-1, 1:-1] + 2
    around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
    rows, cols = middle.shape
    brighter = np.stack([image[y : y + rows, x : x + cols] > middle for y, x in around])
    turns = (brighter != np.roll(brighter, 1, axis=0)).sum(axis=0)
    codes = np.where(turns <= 2, brighter.sum(axis=0), 9)
    return np.asarray(np.sqrt(np.bincount(codes.ravel(), minlength=10) / codes.size), np.float32)


def _levels(grey: Image, place: Box) -> NDArray[np.float32]:
    """Give the grey levels of the place against those around it, in robust standard deviations, bounded."""
    rows, cols = grey.shape
    x, y = int(np.clip(place.x_px, 0, cols - 1)), int(np.clip(place.y_px, 0, rows - 1))
    width, height = max(1, int(place.width_px)), max(1, int(place.height_px))
    wide, high = max(width // 2, 6), max(height // 2, 6)
    ring = grey[max(y - high, 0) : y + height + high, max(x - wide, 0) : x + width + wide].astype(np.float32)
    middle = np.median(ring)
    spread = max(float(np.median(np.abs(ring - middle))) * 1.4826, NOISE)
    inside = grey[y : y + height, x : x + width].astype(np.float32)
    levels = np.percentile((inside - middle) / spread, [2, 10, 25, 50, 75, 90, 98])
    return np.asarray(np.tanh(levels / 6), np.float32)


def _shape(place: Box) -> NDArray[np.float32]:
    width, height = max(place.width_px, 1.0), max(place.height_px, 1.0)
    size, stretch = np.log2(width * height) / 2, np.log2(max(width, height) / min(width, height))
    return np.array([size / 3, stretch / 3], np.float32)
