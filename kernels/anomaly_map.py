"""Enlarge, blur and search an anomaly map in one pass of the fused C kernel."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.library import demand, function, same_layout
from kernels.reference import axis_matrix


class Axis(ctypes.Structure):
    """Mirror of `map_axis` in cpu/anomaly_map.c."""

    _fields_ = (
        ("source", ctypes.c_int32),
        ("length", ctypes.c_int32),
        ("band", ctypes.c_int32),
        ("first", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
    )


class MapFinisher:
    """Hold the weights for maps of one shape; not for use by two threads at once.

    map_shape: (rows, cols) of the map. size: (rows, cols) of the result. sigma: standard deviation of the blur in
    result pixels, 0 for none. Definition: reference/anomaly_map.py; error bound 2e-6 of the largest absolute value.
    Raises ValueError for an empty shape or a negative sigma, FileNotFoundError when the kernels are not built.
    """

    def __init__(
        self, map_shape: tuple[int, int], size: tuple[int, int], sigma: float, library: Path = LIBRARY
    ) -> None:
        if min(*map_shape, *size) < 1 or not 0 <= sigma < math.inf:
            raise ValueError(
                f"anomaly map: {map_shape} to {size} (rows, cols), blur of {sigma} px; at least 1 x 1 and 0 px"
            )
        same_layout(library, "firstshift_map_axis_bytes", Axis)
        self._kernel = function(library, "firstshift_finish_map")
        self._kernel.argtypes, self._kernel.restype = (ctypes.c_void_p,) * 5, ctypes.c_int64
        self.map_shape, self.size = map_shape, size
        self._bands = [_banded(axis_matrix(map_shape[i], size[i], sigma)) for i in (0, 1)]
        self._axes = [
            Axis(map_shape[i], size[i], weight.shape[1], first.ctypes.data, weight.ctypes.data)
            for i, (first, weight) in enumerate(self._bands)
        ]
        self._wide = np.zeros((map_shape[0], size[1]), np.float32)

    def run(self, distances: NDArray[np.float32], out: NDArray[np.float32]) -> tuple[float, int, int]:
        """Write the finished map and give its maximum with the first row and column where it is.

        distances: (rows, cols) float32, borrowed for the call. out: (rows, cols) float32. Both in C order. A cell that
        is not finite, or over 1e37 in size, gives (nan, -1, -1) and a map of nan. Releases the GIL. Raises ValueError
        on any other layout.
        """
        demand("map", distances, self.map_shape, np.float32)
        demand("finished map", out, self.size, np.float32, written=True)
        rows, cols = self._axes
        place: int = self._kernel(
            ctypes.byref(rows), ctypes.byref(cols), distances.ctypes.data, self._wide.ctypes.data, out.ctypes.data
        )
        if place < 0:
            return math.nan, -1, -1
        row, col = divmod(place, self.size[1])
        return float(out[row, col]), row, col


def _banded(matrix: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Give the first column of each row's band and the weights in it, all bands as wide as the widest."""
    used = matrix > 0
    start = used.argmax(axis=1)
    band = int((matrix.shape[1] - used[:, ::-1].argmax(axis=1) - start).max())
    first = np.minimum(start, matrix.shape[1] - band)
    weight = np.take_along_axis(matrix, first[:, None] + np.arange(band), axis=1)
    return first.astype(np.int32), np.ascontiguousarray(weight, np.float32)
