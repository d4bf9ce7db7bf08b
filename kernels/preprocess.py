"""Run the fused C preprocessing: raw frame in, model input out, no copy and no allocation per frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.plan import Normalisation, RegionReader, check_region, reads_quads


class Preprocessor:
    """Hold the weights and scratch memory for frames of one shape; not for use by two threads at once.

    shape: (rows, cols) of the frames. roi: (x, y, width, height) in frame pixels, None for the whole frame; for
    BayerRG8 all even when both axes shrink at least twofold, since quads are read then (reference.debayers). size:
    (rows, cols) of the result. normalisation: None for uint8 pixels, else float32 planes. Raises ValueError when these
    do not fit together, FileNotFoundError when the kernels are not built.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_format: str,
        roi: tuple[int, int, int, int] | None,
        size: tuple[int, int],
        library: Path = LIBRARY,
        normalisation: Normalisation | None = None,
    ) -> None:
        self.roi = roi or _whole(shape, pixel_format)
        _check(shape, pixel_format, self.roi, size)
        self.pixel_format = pixel_format
        self.size = size
        self._reader = RegionReader(shape, pixel_format, self.roi[2:], size, normalisation, library)
        self._place = np.array([self.roi[:2]], np.int32)
        self.shape = self._reader.shape

    def run(self, frame: NDArray[np.uint8], out: NDArray[np.uint8] | NDArray[np.float32]) -> None:
        """Write the input image of `frame` into `out`; blocks for about a millisecond, releases the GIL.

        frame: borrowed for the call, never written; shape (rows, cols[, 3]) uint8, pixels of a row adjacent, rows at
        any stride. out, in C order: (rows, cols, 3) or (1, rows, cols, 3) uint8; with a normalisation (3, rows, cols)
        or (1, 3, rows, cols) float32. Raises ValueError on any other layout.
        """
        one, dtype = self._reader.one, self._reader.dtype
        if out.size != one[0] * one[1] * one[2] or out.dtype != dtype or not out.flags.c_contiguous:
            raise ValueError(f"output is {out.shape} {out.dtype}, needs {one} {dtype.__name__} in C order")
        if not out.flags.writeable:
            raise ValueError(f"output {out.shape} is read-only; give a buffer that may be written")
        self._reader.read(frame, self._place, out)


def _whole(shape: tuple[int, int], pixel_format: str) -> tuple[int, int, int, int]:
    even = ~1 if pixel_format == "BayerRG8" else ~0
    return (0, 0, shape[1] & even, shape[0] & even)


def _check(shape: tuple[int, int], pixel_format: str, roi: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    x, y, width, height = roi
    if min(x, y) < 0 or min(width, height) < 1 or x + width > shape[1] or y + height > shape[0]:
        raise ValueError(
            f"roi {roi} (x, y, width, height) leaves the frame of {shape[1]} x {shape[0]} px; move it inside"
        )
    check_region(shape, pixel_format, (width, height), size)
    if reads_quads(pixel_format, (width, height), size) and any(value % 2 for value in roi):
        raise ValueError(f"roi {roi} cuts Bayer quads; x, y, width and height must be even")
