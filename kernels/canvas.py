"""Place a region of a frame in the middle of an input image, its aspect kept, with its mirror image around it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from kernels.preprocess import Preprocessor


class CanvasPreprocessor:
    """Hold the weights and scratch memory for frames of one shape; not for use by two threads at once.

    shape, pixel_format, roi: as for Preprocessor. canvas: (rows, cols) of the input image. shrink: frame pixels per
    pixel of the input image, in both directions. make: the kernel that scales. Raises ValueError when the scaled region
    is larger than the canvas or the kernel refuses it.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_format: str,
        roi: tuple[int, int, int, int] | None,
        canvas: tuple[int, int],
        shrink: float,
        make: Callable[..., Preprocessor] = Preprocessor,
    ) -> None:
        region = roi or _whole(shape, pixel_format)
        size = scaled(region[2:], shrink)
        if size[0] > canvas[0] or size[1] > canvas[1]:
            raise ValueError(
                f"region of {region[2]} x {region[3]} px over {shrink:g} is {size[1]} x {size[0]} px, the input image "
                f"holds {canvas[1]} x {canvas[0]}; choose a smaller region or fit the model with such frames"
            )
        self._scale = make(shape, pixel_format, region, size)
        self.roi = self._scale.roi
        self.size = canvas
        top, left = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
        self.inner = (top, left, *size)
        """(top, left, rows, cols) of the region in the input image."""
        self._borders = (top, canvas[0] - size[0] - top, left, canvas[1] - size[1] - left)
        self._small = np.zeros((*size, 3), np.uint8)
        across, down = self.roi[2] / size[1], self.roi[3] / size[0]
        self.window = (self.roi[0] - left * across, self.roi[1] - top * down, canvas[1] * across, canvas[0] * down)
        """(x, y, width, height) in frame pixels of the whole input image; it reaches beyond the region."""

    def run(self, frame: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write the input image of `frame` into `out`; as Preprocessor.run. The border pixel itself is not repeated."""
        if out.size != self.size[0] * self.size[1] * 3 or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f"output is {out.shape} {out.dtype}, needs {(*self.size, 3)} uint8 in C order")
        self._scale.run(frame, self._small)
        cv2.copyMakeBorder(self._small, *self._borders, cv2.BORDER_REFLECT_101, dst=out.reshape(*self.size, 3))


def scaled(region: tuple[int, int], shrink: float) -> tuple[int, int]:
    """Give the (rows, cols) that a region of (width, height) frame pixels takes in the input image."""
    return max(1, round(region[1] / shrink)), max(1, round(region[0] / shrink))


def _whole(shape: tuple[int, int], pixel_format: str) -> tuple[int, int, int, int]:
    even = ~1 if pixel_format == "BayerRG8" else ~0
    return (0, 0, shape[1] & even, shape[0] & even)
