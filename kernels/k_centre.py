"""Choose points that stand for all others, by the fused C kernel."""

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.library import function

_ARGUMENTS = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)


def k_centre(points: NDArray[np.float32], count: int, first: int, library: Path = LIBRARY) -> NDArray[np.int64]:
    """Give the indices of `count` points, each the farthest from those before it; definition in reference.py.

    points: (points, channels) float32, finite. first: index of the first choice. Blocks for about a quarter of a second
    at 40,000 x 32 points and 1,000 choices; releases the GIL. Raises ValueError when there are fewer points.
    """
    if not 1 <= count <= len(points) or not 0 <= first < len(points):
        raise ValueError(
            f"k-centre: {count} choices beginning at {first} from {len(points)} points; need 1 to all of them"
        )
    columns = np.ascontiguousarray(points.T, np.float32)
    nearest = np.empty(len(points), np.float32)
    chosen = np.empty(count, np.int64)
    chosen[0] = first
    kernel = function(library, "firstshift_k_centre")
    kernel.argtypes, kernel.restype = _ARGUMENTS, None
    kernel(columns.ctypes.data, len(points), columns.shape[0], count, nearest.ctypes.data, chosen.ctypes.data)
    return chosen
