"""Run the fused CUDA preprocessing: raw frame in device-visible memory in, model input in device memory out."""

import numpy as np

from kernels.cuda.driver import Argument, Driver, Pointer
from kernels.cuda.region import RegionPlan
from kernels.plan import Normalisation, reads_quads


class CudaPreprocessor:
    """Hold the launch for frames of one shape; allocates nothing.

    module: of the fat binary (build.py). The rest as of kernels.preprocess.Preprocessor: shape (rows, cols), roi (x, y,
    width, height) or None for all, size (rows, cols), normalisation None for uint8 pixels. row_bytes: distance of two
    rows of the frame, None when they are adjacent. Raises ValueError when these do not fit together.
    """

    def __init__(
        self,
        driver: Driver,
        module: object,
        shape: tuple[int, int],
        pixel_format: str,
        roi: tuple[int, int, int, int] | None,
        size: tuple[int, int],
        normalisation: Normalisation | None = None,
        row_bytes: int | None = None,
    ) -> None:
        even = ~1 if pixel_format == "BayerRG8" else ~0
        self.roi = roi or (0, 0, shape[1] & even, shape[0] & even)
        x, y, width, height = self.roi
        if min(x, y) < 0 or min(width, height) < 1 or x + width > shape[1] or y + height > shape[0]:
            raise ValueError(
                f"roi {self.roi} (x, y, width, height) leaves the frame of {shape[1]} x {shape[0]} px; move it inside"
            )
        self._plan = RegionPlan(driver, shape, pixel_format, (width, height), size, normalisation, row_bytes)
        if reads_quads(pixel_format, (width, height), size) and any(value % 2 for value in self.roi):
            raise ValueError(f"roi {self.roi} cuts Bayer quads; x, y, width and height must be even")
        self._driver, self._module = driver, module
        self._kernel = f"preprocess_{self._plan.source.kernel}"
        plan = self._plan
        self._place: tuple[Argument, ...] = (np.int32(x), np.int32(y))
        self._arguments: list[Argument] = [0, *plan.of_frame, *self._place, *plan.of_area, 0, 0, *plan.of_colour]
        self._out = 1 + len(plan.of_frame) + len(self._place) + len(plan.of_area) + (1 if plan.normalised else 0)
        self.result_bytes = plan.result_bytes

    def run(self, frame: Pointer, out: Pointer, stream: int) -> None:
        """Put the launch on a stream; returns at once.

        frame: pixel (0, 0), device-visible until the stream has passed; never written. out: `result_bytes` of device
        memory, (rows, cols, 3) uint8, or (3, rows, cols) float32 with a normalisation. Raises DriverFault.
        """
        self._arguments[0], self._arguments[self._out] = frame, out
        plan = self._plan
        self._driver.launch(
            self._module, self._kernel, plan.grid, plan.block, self._arguments, stream, plan.shared_bytes
        )
