"""Measure how far features are from a memory bank, by the fused C kernel."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.library import demand, function

_LANES = 16
_ARGUMENTS = (
    *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32),
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p),
)


class Bank:
    """Hold the vectors of a memory bank as the kernel reads them; may be used by several threads.

    vectors: (vectors, channels) float32, copied. Raises ValueError for an empty bank or one with values that are not
    finite or whose squares overflow, FileNotFoundError when the kernels are not built.
    """

    def __init__(self, vectors: NDArray[np.float32], library: Path = LIBRARY) -> None:
        if vectors.ndim != 2 or not vectors.size or vectors.dtype != np.float32:
            raise ValueError(f"memory bank is {vectors.shape} {vectors.dtype}, needs (vectors, channels) float32")
        with np.errstate(over="ignore"):
            squares = (vectors.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)
        if not np.isfinite(squares).all():
            raise ValueError(
                f"memory bank {vectors.shape}: vector {int((~np.isfinite(squares)).argmax())} is not finite "
                "or its square overflows float32; fit the bank again"
            )
        self._kernel = function(library, "firstshift_nearest")
        self._kernel.argtypes, self._kernel.restype = _ARGUMENTS, None
        self.vectors, self.channels = vectors.shape
        panels = -(-self.vectors // _LANES)
        packed = np.zeros((panels * _LANES, self.channels), np.float32)
        packed[: self.vectors] = vectors
        self._panels = np.ascontiguousarray(packed.reshape(panels, _LANES, self.channels).transpose(0, 2, 1))
        self._squares = np.full(panels * _LANES, np.inf, np.float32)
        self._squares[: self.vectors] = squares
        self._own = (self._panels.ctypes.data, self._squares.ctypes.data, panels)

    def nearest(self, features: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Write each feature's Euclidean distance to its nearest vector into `out`; releases the GIL.

        features: (features, channels) float32, borrowed for the call. out: (features,) float32. Both in C order. The
        distance of a feature that is not finite is nan. Definition: reference/neighbours.py; error bound: cpu/knn.c.
        Raises ValueError on any other layout.
        """
        demand("features", features, (*features.shape[:1], self.channels), np.float32)
        demand("distances", out, features.shape[:1], np.float32, written=True)
        self._kernel(features.ctypes.data, len(features), self.channels, *self._own, out.ctypes.data)


def nearest(features: NDArray[np.float32], bank: Bank) -> NDArray[np.float32]:
    """Give each feature's distance to its nearest vector of the bank, (features,) float32; see Bank.nearest."""
    distances = np.empty(len(features), np.float32)
    bank.nearest(features, distances)
    return distances
