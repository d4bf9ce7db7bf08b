"""Turn mask coefficients and prototypes into the masks of kept boxes, on the device."""

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.boxes import CudaBoxDecoder
from kernels.cuda.driver import Argument, Driver, Pointer
from kernels.cuda.memory import DeviceMemory

THREADS = 256
"""MASK_THREADS in masks.cu."""
MOST_PROTOTYPES = 8192
"""Their coefficients lie in shared memory."""
MOST_CELLS = 2**30


class CudaMaskDecoder:
    """Hold the masks of the boxes that one `decoder` keeps; `close` frees them.

    prototypes: their number K; rows, cols: their shape. scale: (x, y) prototype cells per unit of the boxes.
    Raises ValueError for an empty or too large shape.
    """

    def __init__(
        self,
        driver: Driver,
        module: object,
        decoder: CudaBoxDecoder,
        prototypes: int,
        rows: int,
        cols: int,
        scale: tuple[float, float],
    ) -> None:
        if not 1 <= prototypes <= MOST_PROTOTYPES or min(rows, cols) < 1 or rows * cols >= MOST_CELLS:
            raise ValueError(
                f"mask decode: {prototypes} prototypes of {rows} x {cols}; 1 to {MOST_PROTOTYPES}, of 1 to "
                f"{MOST_CELLS} cells"
            )
        self._memory = DeviceMemory(driver)
        self._masks = self._memory.empty(decoder.most * rows * cols)
        self._areas = self._memory.empty(4 * decoder.most)
        self._host_masks = driver.pinned((decoder.most, rows, cols), np.dtype(np.uint8))
        self._host_areas = driver.pinned((decoder.most,), np.dtype(np.int32))
        self._driver, self._module, self._most = driver, module, decoder.most
        self._shared_bytes = 4 * prototypes
        sizes = (np.int32(prototypes), np.int32(rows), np.int32(cols))
        scales = (np.float64(scale[0]), np.float64(scale[1]))
        self._arguments: list[Argument] = [
            0, 0, 0, decoder.index, decoder.count, *sizes, *scales, self._masks, self._areas,
        ]  # fmt: skip

    def run(self, coefficients: Pointer, prototypes: Pointer, boxes: Pointer, stream: int) -> None:
        """Put the launch on the stream of the decoder's last run, behind it; returns at once.

        coefficients: (boxes, K) float32. prototypes: (K, rows, cols) float32. boxes: as the decoder had them. All in
        device memory. Raises DriverFault.
        """
        self._arguments[:3] = [coefficients, prototypes, boxes]
        self._driver.launch(
            self._module,
            "masks_decode",
            (self._most, 1, 1),
            (THREADS, 1, 1),
            self._arguments,
            stream,
            self._shared_bytes,
        )

    def fetch(self, count: int, stream: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
        """Copy the first `count` masks and areas to the host: (count, rows, cols) uint8 and (count,) int32 cells.

        Blocks until the stream is done. An area of -1 says that box or sums were not finite. Views of the decoder's own
        memory, valid until the next fetch.
        """
        masks, areas = self._host_masks[:count], self._host_areas[:count]
        if count:
            self._driver.download(masks, self._masks, stream)
            self._driver.download(areas, self._areas, stream)
        self._driver.synchronise(stream)
        return masks, areas

    def close(self) -> None:
        """Free the masks."""
        self._memory.close()
