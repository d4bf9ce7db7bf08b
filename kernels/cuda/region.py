"""Plan the launch that averages regions of a raw frame: shared by whole input images and by tiles."""

from typing import NamedTuple

import numpy as np

from kernels.cuda.driver import Argument, Driver
from kernels.plan import Normalisation, check_region, reads_quads

THREADS = 128
"""AREA_THREADS in area.cuh."""
MOST_COLS = 64
"""Results of one block in a row: bounds the shared memory of a block that enlarges."""
MOST_SUM = 2**31
"""Boundaries are counted in 32-bit numbers, a point's length times the size of the result."""
LONGEST_SIDE = 2**20
"""A column's sum must stay below 2^32: 255 grey levels, of sixteenths, over so many rows."""
MOST_BLOCKS_DOWN = 65535


class Source(NamedTuple):
    """Describe a source of area.cuh."""

    kernel: str
    """Last part of the kernel's name."""
    channels: int
    points: int
    """Of each thread."""
    pixels: int
    """Frame pixels per point along each axis."""
    stage_bytes: int


BAYER_QUADS, BAYER_PIXELS = Source("bayer", 3, 2, 2, 0), Source("bayer_full", 3, 1, 1, 8 * (THREADS + 4))
MONO, RGB = Source("mono", 1, 4, 1, 0), Source("rgb", 3, 4, 1, 0)


class RegionPlan:
    """Hold what a launch needs for regions of one size in frames of one shape.

    shape: (rows, cols) of the frames. region: (width, height) in frame pixels. size: (rows, cols) of each result.
    row_bytes: distance of two rows, None when they are adjacent. Raises ValueError when these do not fit together.
    """

    def __init__(
        self,
        driver: Driver,
        shape: tuple[int, int],
        pixel_format: str,
        region: tuple[int, int],
        size: tuple[int, int],
        normalisation: Normalisation | None,
        row_bytes: int | None,
    ) -> None:
        check_region(shape, pixel_format, region, size)
        source = _source(pixel_format, region, size)
        row_length = shape[1] * (3 if pixel_format == "RGB8" else 1)
        if row_bytes is not None and abs(row_bytes) < row_length:
            raise ValueError(f"frame rows of {row_length} bytes lie {row_bytes} bytes apart; they must not overlap")
        points = (region[1] // source.pixels, region[0] // source.pixels)
        if max(points) > LONGEST_SIDE:
            raise ValueError(
                f"region of {region[0]} x {region[1]} px: a side passes {LONGEST_SIDE} px, the longest whose sums fit "
                "32 bits; choose a smaller one"
            )
        if max((points[axis] + 1) * (size[axis] + 1) for axis in (0, 1)) >= MOST_SUM:
            raise ValueError(
                f"region of {region[0]} x {region[1]} px into {size} (rows, cols): a side's product passes {MOST_SUM}; "
                "choose a smaller size"
            )
        tile_rows, tile_cols = _tile(driver, source, points, size)
        self.source = source
        self.grid = (-(-size[1] // tile_cols), -(-size[0] // tile_rows), 1)
        if self.grid[1] > MOST_BLOCKS_DOWN:
            raise ValueError(
                f"output of {size[0]} rows needs {self.grid[1]} blocks, {MOST_BLOCKS_DOWN} fit; make it smaller"
            )
        self.block = (THREADS, 1, 1)
        self.shared_bytes = (
            source.channels * (8 * tile_rows * tile_cols + 4 * THREADS * source.points) + source.stage_bytes
        )
        self.result_bytes = size[0] * size[1] * 3 * (4 if normalisation else 1)
        self.normalised = normalisation is not None
        self.of_frame: tuple[Argument, ...] = (
            np.int64(row_bytes or row_length),
            np.int32(shape[0]),
            np.int32(shape[1]),
        )
        self.of_area: tuple[Argument, ...] = tuple(np.int32(n) for n in (*points, *size, tile_rows, tile_cols))
        mean, scale = normalisation or Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        self.of_colour: tuple[Argument, ...] = tuple(np.float32(n) for n in (*mean, *scale))


def _source(pixel_format: str, region: tuple[int, int], size: tuple[int, int]) -> Source:
    if pixel_format == "BayerRG8":
        return BAYER_QUADS if reads_quads(pixel_format, region, size) else BAYER_PIXELS
    return MONO if pixel_format == "Mono8" else RGB


def _tile(driver: Driver, source: Source, points: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Give the results of one block: as many columns as its threads cover, and few or many rows.

    Rows at the edge of a block are read by two blocks. Where the frame stays in host memory that costs bus time, so
    blocks are tall; elsewhere the second read hits the cache, and more blocks hide more latency.
    """
    tile_cols = (THREADS * source.points - 2 * source.points) * size[1] // points[1]
    return min(8 if driver.maps_host_memory else 2, size[0]), max(1, min(tile_cols, MOST_COLS, size[1]))
