"""Turn mask coefficients and prototypes into one object's mask, by the fused C kernel."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.library import demand, function

_ARGUMENTS = (
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32),
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
)


class MaskDecoder:
    """Hold scratch memory for masks of one shape; not for use by two threads at once.

    prototypes: their number K; rows, cols: their shape. Definition and error bound: reference/masks.py, cpu/masks.c.
    Raises ValueError for an empty shape, FileNotFoundError when the kernels are not built.
    """

    def __init__(self, prototypes: int, rows: int, cols: int, library: Path = LIBRARY) -> None:
        if min(prototypes, rows, cols) < 1:
            raise ValueError(f"mask decode: {prototypes} prototypes of {rows} x {cols}; each at least 1")
        self._kernel = function(library, "firstshift_decode_mask")
        self._kernel.argtypes, self._kernel.restype = _ARGUMENTS, ctypes.c_int32
        self.shape = (prototypes, rows, cols)
        self._sums = np.zeros(cols, np.float32)
        self._box = np.zeros(4, np.float64)
        self._own = (self._box.ctypes.data, self._sums.ctypes.data)

    def run(
        self,
        coefficients: NDArray[np.float32],
        prototypes: NDArray[np.float32],
        box: tuple[float, float, float, float],
        out: NDArray[np.uint8],
    ) -> int:
        """Write the mask, 1 inside and 0 outside, and give its area in cells; -1 when an input is not finite.

        coefficients: (K,) float32. prototypes: (K, rows, cols) float32. Both in C order, borrowed for the call. box:
        x1, y1, x2, y2 in prototype cells; a cell counts when its centre is inside. out: (rows, cols) uint8 in C order,
        empty when the area is -1. Only cells in the box are read. Releases the GIL. Raises ValueError on any other
        layout.
        """
        demand("coefficients", coefficients, self.shape[:1], np.float32)
        demand("prototypes", prototypes, self.shape, np.float32)
        demand("mask", out, self.shape[1:], np.uint8, written=True)
        self._box[:] = box
        area: int = self._kernel(
            coefficients.ctypes.data, prototypes.ctypes.data, *self.shape, *self._own, out.ctypes.data
        )
        return area
