"""Turn raw frames into the input images that a bundle's network sees of them: one each, or its tiles."""

import numpy as np
from numpy.typing import NDArray

from appliance.imaging.tiling import tile_grid
from appliance.schema.bundle import Preprocessing
from kernels.canvas import CanvasPreprocessor
from kernels.preprocess import Preprocessor
from kernels.tiles import TileGatherer


class InputImages:
    """Make input images as the line does, whole frames without a template; kernels are made once per frame shape."""

    def __init__(self, how: Preprocessing) -> None:
        """Take the bundle's preprocessing."""
        self._how = how
        self._kernels: dict[tuple[int, int], Preprocessor | CanvasPreprocessor] = {}

    def of(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give (images, rows, cols, 3) uint8 of one frame; ValueError when it does not fit."""
        shape, size = (frame.shape[0], frame.shape[1]), (self._how.rows, self._how.columns)
        if self._how.tiling is not None:
            return self._tiles(frame, shape, size)
        if shape not in self._kernels:
            self._kernels[shape] = self._kernel(shape, size)
        image = np.empty((1, *size, 3), np.uint8)
        self._kernels[shape].run(frame, image[0])
        return image

    def _kernel(self, shape: tuple[int, int], size: tuple[int, int]) -> Preprocessor | CanvasPreprocessor:
        how = self._how
        if how.keep_aspect:
            return CanvasPreprocessor(shape, how.pixel_format, how.roi, size, how.shrink)
        return Preprocessor(shape, how.pixel_format, how.roi, size)

    def _tiles(self, frame: NDArray[np.uint8], shape: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
        grid = tile_grid(self._how, shape)
        tiles = np.empty((len(grid.origins), *size, 3), np.uint8)
        places = np.array(grid.origins, np.int32)
        TileGatherer(shape, self._how.pixel_format, places, grid.tile_px, size).run(frame, tiles)
        return tiles
