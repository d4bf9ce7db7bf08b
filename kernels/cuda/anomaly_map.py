"""Enlarge, blur and search anomaly maps on the device."""

import math

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, Driver, Pointer
from kernels.cuda.memory import DeviceMemory
from kernels.reference import axis_matrix

THREADS, COLS = 256, 32
"""MAP_THREADS and MAP_COLS in anomaly_map.cu."""
TILE_ROWS = 32
MOST_SHARED_BYTES = 40 << 10
MOST_CELLS = 2**31
MOST_BLOCKS_DOWN = 65535


class CudaMapFinisher:
    """Hold weights and results for maps of one shape; `close` frees them.

    map_shape, size: (rows, cols); sigma: standard deviation of the blur in result pixels, 0 for none; images: maps that
    one launch takes. Raises ValueError when these do not fit together.
    """

    def __init__(
        self,
        driver: Driver,
        module: object,
        map_shape: tuple[int, int],
        size: tuple[int, int],
        sigma: float,
        stream: int,
        images: int = 1,
    ) -> None:
        if min(*map_shape, *size, images) < 1 or not 0 <= sigma < math.inf:
            raise ValueError(
                f"anomaly map: {images} maps, {map_shape} to {size} (rows, cols), blur of {sigma} px; at least 1, 1 x 1"
                " and 0 px"
            )
        if size[0] * size[1] >= MOST_CELLS or max(images, -(-size[0] // TILE_ROWS)) > MOST_BLOCKS_DOWN:
            raise ValueError(f"anomaly map: {images} of {size} (rows, cols) are more than one launch takes; use fewer")
        (row_first, row_weight), (col_first, col_weight) = (
            banded(axis_matrix(map_shape[axis], size[axis], sigma)) for axis in (0, 1)
        )
        tile_rows, span = _tile(row_first, row_weight.shape[1], size[0])
        if span * COLS * 4 > MOST_SHARED_BYTES or -(-size[0] // tile_rows) > MOST_BLOCKS_DOWN:
            raise ValueError(
                f"anomaly map: a row of the result reads {span} rows of the map, {MOST_SHARED_BYTES // COLS // 4} fit; "
                "blur less or enlarge more"
            )
        self._driver, self._module, self._images = driver, module, images
        self._memory = memory = DeviceMemory(driver)
        rows = (memory.holding(row_first, stream), memory.holding(row_weight, stream), np.int32(row_weight.shape[1]))
        cols = (memory.holding(col_first, stream), memory.holding(col_weight, stream), np.int32(col_weight.shape[1]))
        self._grid = (-(-size[1] // COLS), -(-size[0] // tile_rows), images)
        blocks = self._grid[0] * self._grid[1]
        peaks = memory.empty(8 * blocks * images)
        self._shared_bytes = span * COLS * 4
        self._finish: list[Argument] = [
            0, *map(np.int32, map_shape), *rows, *cols, *map(np.int32, size), np.int32(tile_rows), 0, peaks,
        ]  # fmt: skip
        self._peak: list[Argument] = [
            0, np.int32(map_shape[0] * map_shape[1]), 0, np.int32(size[0] * size[1]), peaks, np.int32(blocks), 0, 0,
        ]  # fmt: skip

    def run(self, distances: Pointer, out: Pointer, value: Pointer, place: Pointer, stream: int) -> None:
        """Put both launches on a stream; returns at once.

        distances: (images, *map_shape) float32. out: (images, *size) float32. value: (images,) float32, the maximum;
        place: (images,) int32, its row * cols + col, -1 when a cell is not finite. All in device memory.
        Raises DriverFault.
        """
        self._finish[0], self._finish[-2] = distances, out
        self._peak[0], self._peak[2], self._peak[-2], self._peak[-1] = distances, out, value, place
        block = (THREADS, 1, 1)
        self._driver.launch(self._module, "anomaly_map", self._grid, block, self._finish, stream, self._shared_bytes)
        self._driver.launch(self._module, "anomaly_peak", (self._images, 1, 1), block, self._peak, stream)

    def close(self) -> None:
        """Free weights and results."""
        self._memory.close()


def banded(matrix: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give the first column of each row's band and the weights in it, all bands as wide as the widest."""
    used = matrix > 0
    start = used.argmax(axis=1)
    band = int((matrix.shape[1] - used[:, ::-1].argmax(axis=1) - start).max())
    first = np.minimum(start, matrix.shape[1] - band)
    weight = np.take_along_axis(matrix, first[:, None] + np.arange(band), axis=1)
    return first.astype(np.int32), np.ascontiguousarray(weight, np.float32)


def _tile(first: NDArray[np.int32], band: int, rows: int) -> tuple[int, int]:
    """Give the result rows of a block and the most map rows under one, as many as shared memory holds."""
    tile_rows = TILE_ROWS
    while True:
        begin = np.arange(0, rows, tile_rows)
        span = int((first[np.minimum(begin + tile_rows, rows) - 1] - first[begin]).max()) + band
        if tile_rows == 1 or span * COLS * 4 <= MOST_SHARED_BYTES:
            return tile_rows, span
        tile_rows //= 2
