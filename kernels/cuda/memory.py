"""Hold the device memory that one launcher works with."""

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Driver, Pointer


class DeviceMemory:
    """Allocate when a launcher is made, free when it is closed, nothing between."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._pointers: list[Pointer] = []

    def empty(self, size: int) -> Pointer:
        """Give `size` bytes; DriverFault when they cannot be had."""
        pointer = self._driver.allocate(size)
        self._pointers.append(pointer)
        return pointer

    def holding(self, array: NDArray[np.generic], stream: int) -> Pointer:
        """Give memory with a copy of the array in it; blocks until it is there."""
        pointer = self.empty(array.nbytes)
        self._driver.upload(pointer, np.ascontiguousarray(array), stream)
        self._driver.synchronise(stream)
        return pointer

    def close(self) -> None:
        """Free all; what still runs on it must have ended."""
        while self._pointers:
            self._driver.free(self._pointers.pop())
