"""Lay overlapping tiles over a region, and say how small a defect the model can still see."""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.bundle import ClassSpec, Preprocessing
from appliance.schema.errors import ConfigError

SMALLEST_DEFECT_PX = 3.0
"""A defect under this many pixels of the input image is sampled too thinly to be told from noise: two samples per
period (Shannon, 1949) and one for its place between them."""


class TileGrid(Struct, frozen=True):
    """Place the tiles of one frame."""

    origins: tuple[tuple[int, int], ...]
    """(x, y) of each tile's upper left frame pixel, row by row; even, so that no Bayer quad is cut."""
    tile_px: tuple[int, int]
    """(width, height) of a tile in frame pixels."""


def tile_grid(how: Preprocessing, frame_shape: tuple[int, int]) -> TileGrid:
    """Cover the region of interest with as few equal tiles as overlap by what the bundle asks.

    frame_shape: (rows, cols). The outer tiles end with the region, so that nothing is padded. ConfigError when the
    region is smaller than a tile, or the overlap is not smaller.
    """
    if how.tiling is None:
        raise ConfigError("tiling: the bundle cuts no tiles; read it whole")
    x, y, width, height = how.roi or (0, 0, frame_shape[1], frame_shape[0])
    overlap = how.tiling.overlap_px
    tile = (_even(how.columns * how.tiling.shrink), _even(how.rows * how.tiling.shrink))
    for name, region, length in (("width", width, tile[0]), ("height", height, tile[1])):
        if length > region:
            raise ConfigError(
                f"tiling: a tile's {name} is {length} px, the region of interest has {region} px; widen the region, or "
                "build the bundle with smaller tiles"
            )
        if overlap >= length:
            raise ConfigError(
                f"tiling: overlap {overlap} px, limit is under the tile's {name} of {length} px; lower it"
            )
    columns, rows = _starts(width, tile[0], overlap), _starts(height, tile[1], overlap)
    return TileGrid(tuple((x + left, y + top) for top in rows for left in columns), tile)


def input_pixels_per_mm(how: Preprocessing, frame_shape: tuple[int, int], mm_per_px: float) -> float:
    """Give how many pixels of the input image one mm of the part gets, in the direction that gets fewer."""
    if how.tiling is not None:
        return 1 / (mm_per_px * how.tiling.shrink)
    if how.keep_aspect:
        return 1 / (mm_per_px * how.shrink)
    _, _, width, height = how.roi or (0, 0, frame_shape[1], frame_shape[0])
    return min(how.columns / width, how.rows / height) / mm_per_px


def too_small(classes: Iterable[ClassSpec], pixels_per_mm: float) -> tuple[str, ...]:
    """Give one line for each class whose smallest defect is under `SMALLEST_DEFECT_PX` of the input image."""
    return tuple(
        f"class {item.name}: smallest defect {item.min_size_mm:g} mm is {item.min_size_mm * pixels_per_mm:.1f} px "
        f"of the input image, {SMALLEST_DEFECT_PX:g} are needed; use tiles, a smaller region or a longer lens"
        for item in classes
        if item.min_size_mm is not None and item.min_size_mm * pixels_per_mm < SMALLEST_DEFECT_PX
    )


def _even(length: float) -> int:
    return max(2, round(length / 2) * 2)


def _starts(region: int, tile: int, overlap: int) -> list[int]:
    if region == tile:
        return [0]
    needed = min(overlap + 2, tile - 1)  # rounding to even places may take up to 2 px of an overlap
    count = 1 + -(-(region - tile) // (tile - needed))
    places: NDArray[np.float64] = np.linspace(0, region - tile, count)
    return [int(place) & ~1 for place in places]
