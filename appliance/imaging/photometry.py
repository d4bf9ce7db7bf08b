"""Measure a picture as a technician adjusts a camera by: focus, exposure, evenness of the light. Pure.

Everything is read from the raw pixels: a Bayer frame's green cells are a picture of their own, so no demosaicing
smooths an edge or hides a saturated cell.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.frame import PixelFormat

Image = NDArray[np.uint8]

FULL = 255
"""Largest value of the 8-bit formats of the data path."""

BINS = 64
"""Bars of a histogram: four values each."""

MOST_SATURATED = 0.001
"""Share of saturated pixels that a well exposed picture may have: a glint, no face of a part."""

BRIGHTEST = 99.5
"""Percentile that exposure is set by: what lies above are glints."""

TARGET = 215.0
"""Level that the brightest percentile should have: 84 % of full scale leaves room for lamp and part to vary."""

WELL = (0.85, 1.12)
"""Factors within this range are not worth a change."""

FACTORS = (0.25, 4.0)
"""One step goes no further: what is clipped, or hidden in the noise, tells no more."""

CELLS = (6, 8)
"""Rows and columns of the grid that evenness is read from."""

DARK = 2.0
"""Mean level below which a picture has no structure to be focused by."""

ZEBRA = 160
"""Longest side of the map of saturated pixels."""


class Channel(Struct, frozen=True):
    """Describe one channel of the raw format."""

    name: str
    """red, green, blue or grey."""
    mean: float
    saturated: float
    """Share of pixels at full scale."""
    black: float
    """Share of pixels at 0."""
    brightest: float
    """Level of the `BRIGHTEST` percentile."""
    histogram: tuple[float, ...]
    """`BINS` shares, dark first; they add up to 1."""


class Reference(Struct, frozen=True):
    """Keep how a camera saw its station when somebody called it right."""

    focus: float
    light: tuple[tuple[float, ...], ...]
    """`light_of` that picture."""
    exposure_us: float
    gain_db: float
    person: str
    at: int
    """UTC, ns."""


def channels(pixels: Image, pixel_format: PixelFormat) -> Mapping[str, Image]:
    """Take a frame apart into its channels without changing a value.

    pixels: (rows, cols) uint8 Mono8 or BayerRG8, or (rows, cols, 3) uint8 RGB8. Of a mosaic, green has the cells of the
    red rows only, so that it is a regular picture of half the size.
    """
    if pixel_format is PixelFormat.RGB8:
        return {name: pixels[:, :, index] for index, name in enumerate(("red", "green", "blue"))}
    if pixel_format is PixelFormat.BAYER_RG8:
        return {"red": pixels[::2, ::2], "green": pixels[::2, 1::2], "blue": pixels[1::2, 1::2]}
    return {"grey": pixels}


def detail_of(pixels: Image, pixel_format: PixelFormat) -> Image:
    """Give the channel that focus and light are read from: green, or grey."""
    found = channels(pixels, pixel_format)
    return found.get("green", found.get("grey", pixels))


def focus(picture: Image) -> float:
    """Measure sharpness: energy of the second differences over the squared mean; 0.0 is without structure.

    picture: (rows, cols) uint8, one channel. Each difference is multiplied with that of the row (column) beside it: an
    edge goes through both, noise does not, so noise adds nothing on average, however much there is. A gain that clips
    nothing leaves the measure as it is; it depends on what is shown, so only pictures of the same part compare. Second
    differences as focus measure: Pech-Pacheco et al., ICPR 2000 (variance of the Laplacian).
    """
    if min(picture.shape) < 4:
        return 0.0
    level = float(picture.mean())
    if level < DARK:
        return 0.0
    values = picture.astype(np.float32)
    across = values[:, :-2] - 2 * values[:, 1:-1] + values[:, 2:]
    down = values[:-2] - 2 * values[1:-1] + values[2:]
    energy = _product(across[:-1], across[1:]) + _product(down[:, :-1], down[:, 1:])
    return max(energy, 0.0) / (level * level)


def measured(pixels: Image, pixel_format: PixelFormat) -> tuple[Channel, ...]:
    """Give histogram, and shares of saturated and of black pixels, by channel of the raw format."""
    return tuple(_channel(name, picture) for name, picture in channels(pixels, pixel_format).items())


def exposure_factor(found: Sequence[Channel]) -> float:
    """Suggest by what the exposure time is to be multiplied; 1.0: leave it.

    While pixels are saturated nobody knows how far: then it is at most halved, and to be measured again.
    """
    brightest = max((channel.brightest for channel in found), default=0.0)
    saturated = max((channel.saturated for channel in found), default=0.0)
    factor = TARGET / max(brightest, 1.0)
    if saturated > MOST_SATURATED:
        factor = 0.5 if brightest >= FULL else min(factor, 1 / WELL[1])
    if WELL[0] <= factor <= WELL[1] and saturated <= MOST_SATURATED:
        return 1.0
    return min(max(factor, FACTORS[0]), FACTORS[1])


def light_of(picture: Image) -> tuple[tuple[float, ...], ...]:
    """Give the level of each cell of a grid of `CELLS`: how the light lies over the picture.

    picture: (rows, cols) uint8, one channel; the median of a cell, so that a mark on the part is no shadow.
    """
    rows = np.array_split(picture, CELLS[0], axis=0)
    return tuple(
        tuple(float(np.median(cell)) if cell.size else 0.0 for cell in np.array_split(row, CELLS[1], axis=1))
        for row in rows
    )


def evenness(light: Sequence[Sequence[float]], reference: Sequence[Sequence[float]] | None = None) -> float:
    """Say how even the light lies: darkest cell over brightest, 1.0 is even.

    reference: light of the same scene when it was right; then only what has changed since counts. None: the picture
    must show something even, such as a white sheet.
    """
    now = np.asarray(light, np.float64)
    before = np.ones_like(now) if reference is None else np.asarray(reference, np.float64)
    if now.shape != before.shape:
        return math.nan
    lit = before >= (DARK if reference is not None else 0.0)
    shares = now[lit] / before[lit]
    if not shares.size or shares.max() <= 0:
        return math.nan
    return float(shares.min() / shares.max())


def drift(light: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> float:
    """Say how much light there is against a reference at the same exposure and gain: 1.0 is as much."""
    before = float(np.median(np.asarray(reference, np.float64)))
    return float(np.median(np.asarray(light, np.float64))) / before if before >= DARK else math.nan


def zebra(pixels: Image, pixel_format: PixelFormat) -> NDArray[np.bool_]:
    """Mark where a channel is saturated: (rows, cols) bool, at most `ZEBRA` cells a side, each True if any pixel is."""
    brightest = pixels.max(axis=2) if pixel_format is PixelFormat.RGB8 else pixels
    full = np.asarray(brightest >= FULL)
    step = max(1, -(-max(full.shape) // ZEBRA))
    step += step % 2  # a cell holds whole quads of a mosaic
    rows, columns = -(-full.shape[0] // step), -(-full.shape[1] // step)
    padded = np.zeros((rows * step, columns * step), np.bool_)
    padded[: full.shape[0], : full.shape[1]] = full
    return np.asarray(padded.reshape(rows, step, columns, step).any(axis=(1, 3)))


def _product(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Give the mean product of two pictures of the same shape."""
    return float(np.einsum("ij,ij->", one, other)) / one.size


def _channel(name: str, picture: Image) -> Channel:
    counts = np.bincount(picture.ravel(), minlength=FULL + 1).astype(np.float64)
    shares = counts / max(counts.sum(), 1.0)
    level = int(np.searchsorted(np.cumsum(shares), BRIGHTEST / 100 - 1e-12))
    bars = shares.reshape(BINS, -1).sum(axis=1)
    mean = float(shares @ np.arange(FULL + 1))
    return Channel(name, mean, float(shares[FULL]), float(shares[0]), float(min(level, FULL)), tuple(map(float, bars)))
