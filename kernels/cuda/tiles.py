"""Cut overlapping tiles out of a raw frame into one batch, by the CUDA kernel."""

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, Driver, Pointer
from kernels.cuda.memory import DeviceMemory
from kernels.cuda.region import MOST_BLOCKS_DOWN, RegionPlan
from kernels.plan import Normalisation, reads_quads
from kernels.reference import tile_places


class CudaTileGatherer:
    """Hold the launch and the places of tiles of one size; `close` frees the places.

    origins: (tiles, 2) whole numbers, x and y in frame pixels; tile_px: (width, height); the rest as of
    kernels.tiles.TileGatherer and CudaPreprocessor. stream: for the upload of the places, which blocks.
    """

    def __init__(
        self,
        driver: Driver,
        module: object,
        shape: tuple[int, int],
        pixel_format: str,
        origins: NDArray[np.integer],
        tile_px: tuple[int, int],
        size: tuple[int, int],
        stream: int,
        normalisation: Normalisation | None = None,
        row_bytes: int | None = None,
    ) -> None:
        plan = RegionPlan(driver, shape, pixel_format, tile_px, size, normalisation, row_bytes)
        if reads_quads(pixel_format, tile_px, size) and any(value % 2 for value in tile_px):
            raise ValueError(f"tile of {tile_px[0]} x {tile_px[1]} px cuts Bayer quads; width and height must be even")
        if origins.ndim != 2 or origins.shape[1] != 2 or origins.dtype.kind not in "iu" or not len(origins):
            raise ValueError(
                f"tile origins are {origins.shape} {origins.dtype}, need (tiles, 2) whole numbers, x and y"
            )
        self.places = tile_places(shape, pixel_format, origins, tile_px, size)
        """(tiles, 2) int32: where the tiles really begin, x and y."""
        self.tile_bytes = plan.result_bytes
        self._memory = DeviceMemory(driver)
        self._origins = self._memory.holding(self.places, stream)
        self._driver, self._module, self._plan = driver, module, plan
        self._kernel = f"tiles_{plan.source.kernel}"
        self._arguments: list[Argument] = [0, *plan.of_frame, 0, *plan.of_area, 0, 0, *plan.of_colour]
        self._origins_at = 1 + len(plan.of_frame)
        self._out_at = self._origins_at + 1 + len(plan.of_area) + (1 if plan.normalised else 0)

    def run(self, frame: Pointer, out: Pointer, stream: int, first: int = 0, count: int | None = None) -> int:
        """Put tiles `first` to `first + count` on a stream and give their number; returns at once.

        frame, out: as of CudaPreprocessor.run; out holds `count` times `tile_bytes`. count: None for all that are left.
        Raises ValueError for tiles that do not exist, DriverFault.
        """
        count = len(self.places) - first if count is None else count
        if not 0 <= first < first + count <= len(self.places) or count > MOST_BLOCKS_DOWN:
            raise ValueError(
                f"tiles {first} to {first + count} of {len(self.places)}: none or not there, or over "
                f"{MOST_BLOCKS_DOWN} at once; choose others"
            )
        self._arguments[0] = frame
        self._arguments[self._origins_at] = self._origins + first * 2 * self.places.itemsize
        self._arguments[self._out_at] = out
        plan = self._plan
        self._driver.launch(
            self._module,
            self._kernel,
            (*plan.grid[:2], count),
            plan.block,
            self._arguments,
            stream,
            plan.shared_bytes,
        )
        return count

    def close(self) -> None:
        """Free the places."""
        self._memory.close()
