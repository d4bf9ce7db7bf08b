"""Find the nearest vector of a memory bank for many features, on the device."""

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, Driver, Pointer
from kernels.cuda.memory import DeviceMemory

THREADS, SIDE = 256, 64
"""KNN_THREADS and SIDE in knn.cu."""
BLOCKS_WANTED = 512
"""Parts of the bank are added until a launch has so many blocks: a few for each processor of a large card."""
MOST_BLOCKS_DOWN = 65535


class CudaNearest:
    """Hold a memory bank for batches of one size; `close` frees it.

    bank: (vectors, channels) float32, copied to the device once. features: vectors of one batch.
    Raises ValueError for an empty bank or batch, and for a bank that is not finite.
    """

    def __init__(self, driver: Driver, module: object, bank: NDArray[np.float32], features: int, stream: int) -> None:
        if bank.ndim != 2 or bank.dtype != np.float32 or min(*bank.shape, features) < 1:
            raise ValueError(
                f"nearest neighbour: bank of {bank.shape} {bank.dtype}, {features} features; need (vectors, channels) "
                "float32 and at least one of each"
            )
        if not np.isfinite(bank).all():
            raise ValueError(
                f"nearest neighbour: vector {int((~np.isfinite(bank)).any(axis=1).argmax())} of the bank is not finite"
                "; fit the bank again"
            )
        if max(bank.shape[0], features) * bank.shape[1] >= 2**40 or max(bank.shape[0], features) >= 2**31 - SIDE:
            raise ValueError(f"nearest neighbour: bank of {bank.shape}, {features} features; places are 32-bit numbers")
        blocks = -(-features // SIDE)
        tiles = -(-bank.shape[0] // SIDE)
        each = -(-tiles // min(tiles, max(1, BLOCKS_WANTED // blocks), MOST_BLOCKS_DOWN))
        parts = -(-tiles // each)
        self._driver, self._module, self._memory = driver, module, DeviceMemory(driver)
        vectors = self._memory.holding(bank, stream)
        nearest = self._memory.empty(8 * parts * features)
        self._part_grid, self._join_grid = (blocks, parts, 1), (-(-features // THREADS), 1, 1)
        self._part: list[Argument] = [
            0, np.int32(features), vectors, *map(np.int32, bank.shape), np.int32(each * SIDE), nearest,
        ]  # fmt: skip
        self._join: list[Argument] = [nearest, np.int32(parts), np.int32(features), 0, 0]

    def run(self, features: Pointer, distance: Pointer, place: Pointer, stream: int) -> None:
        """Put both launches on a stream; returns at once.

        features: (features, channels) float32. distance: (features,) float32, Euclidean. place: (features,) int32 in
        the bank, -1 with a distance of nan. All in device memory. Raises DriverFault.
        """
        self._part[0], self._join[3], self._join[4] = features, distance, place
        block = (THREADS, 1, 1)
        self._driver.launch(self._module, "knn_part", self._part_grid, block, self._part, stream)
        self._driver.launch(self._module, "knn_join", self._join_grid, block, self._join, stream)

    def close(self) -> None:
        """Free the bank."""
        self._memory.close()
