"""Run the fused C preprocessing: raw frame in, uint8 RGB input image out, no copy and no allocation per frame."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.library import function
from kernels.reference import area_weights

PIXEL_FORMATS = {"Mono8": 0, "RGB8": 1, "BayerRG8": 2}
# Vertical weights are whole numbers of 1/4096 of a row: exact in float32 up to 16 rows, 0.1 grey level beyond.
WEIGHT_BITS = 12
# Sums of one result must stay below 2^31: 255 grey levels of 2 million pixels, rounding left over.
LARGEST_SHRINK = 2_000_000


class Plan(ctypes.Structure):
    """Mirror of `preprocess_plan` in cpu/preprocess.c."""

    _fields_ = (
        ("format", ctypes.c_int32),
        ("points", ctypes.c_int32),
        ("out_rows", ctypes.c_int32),
        ("out_cols", ctypes.c_int32),
        ("row_bytes", ctypes.c_int64),
        ("first", ctypes.c_void_p),
        ("count", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("row_scale", ctypes.c_void_p),
        ("edge", ctypes.c_void_p),
        ("fraction", ctypes.c_void_p),
        ("sums", ctypes.c_void_p),
        ("even", ctypes.c_void_p),
        ("odd", ctypes.c_void_p),
        ("running", ctypes.c_void_p),
    )


class Preprocessor:
    """Hold the weights and scratch memory for frames of one shape; not for use by two threads at once.

    shape: (rows, cols) of the frames. roi: (x, y, width, height) in frame pixels, None for the whole frame.
    size: (rows, cols) of the result. Raises ValueError when these do not fit together, FileNotFoundError when the
    kernels are not built.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_format: str,
        roi: tuple[int, int, int, int] | None,
        size: tuple[int, int],
        library: Path = LIBRARY,
    ) -> None:
        self._function = _load(library)
        self.pixel_format = pixel_format
        self.shape = (shape[0], shape[1], 3) if pixel_format == "RGB8" else (shape[0], shape[1])
        self.roi = roi or _whole(shape, pixel_format)
        self.size = size
        _check(shape, pixel_format, self.roi, size)
        self._arrays = _arrays(pixel_format, self.roi, size)
        self._plan = Plan(format=PIXEL_FORMATS[pixel_format], out_rows=size[0], out_cols=size[1])
        self._plan.points = self.roi[2] // 2 if pixel_format == "BayerRG8" else self.roi[2]
        for name, array in self._arrays.items():
            setattr(self._plan, name, array.ctypes.data)
        self._plan_pointer = ctypes.byref(self._plan)

    def run(self, frame: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Write the input image of `frame` into `out`; blocks for about a millisecond, releases the GIL.

        frame: borrowed for the call, never written; shape (rows, cols[, 3]) uint8, pixels of a row adjacent, rows at
        any stride. out: (rows, cols, 3) or (1, rows, cols, 3) uint8, C order. Raises ValueError on any other layout.
        """
        if frame.shape != self.shape or frame.dtype != np.uint8 or not _rows_are_dense(frame):
            raise ValueError(
                f"frame is {frame.shape} {frame.dtype} with strides {frame.strides}, the preprocessor was made for "
                f"{self.shape} uint8 with adjacent pixels; make one for this camera mode"
            )
        if out.size != self.size[0] * self.size[1] * 3 or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f"output is {out.shape} {out.dtype}, needs {(*self.size, 3)} uint8 in C order")
        if not out.flags.writeable:
            raise ValueError(f"output {out.shape} is read-only; give a buffer that may be written")
        self._plan.row_bytes = frame.strides[0]
        start = frame.ctypes.data + self.roi[1] * frame.strides[0] + self.roi[0] * frame.strides[1]
        self._function(self._plan_pointer, start, out.ctypes.data)


def _whole(shape: tuple[int, int], pixel_format: str) -> tuple[int, int, int, int]:
    even = ~1 if pixel_format == "BayerRG8" else ~0
    return (0, 0, shape[1] & even, shape[0] & even)


def _check(shape: tuple[int, int], pixel_format: str, roi: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    x, y, width, height = roi
    if pixel_format not in PIXEL_FORMATS:
        raise ValueError(f"pixel format {pixel_format} is not one of {', '.join(PIXEL_FORMATS)}; set the camera to one")
    if min(x, y) < 0 or min(width, height) < 1 or x + width > shape[1] or y + height > shape[0]:
        raise ValueError(
            f"roi {roi} (x, y, width, height) leaves the frame of {shape[1]} x {shape[0]} px; move it inside"
        )
    if pixel_format == "BayerRG8" and any(value % 2 for value in roi):
        raise ValueError(f"roi {roi} cuts Bayer quads; x, y, width and height must be even")
    if min(size) >= 1 and width * height > LARGEST_SHRINK * size[0] * size[1]:
        raise ValueError(
            f"output size {size} (rows, cols) averages over {LARGEST_SHRINK} px of {width} x {height} per value; "
            "choose a larger size"
        )
    if min(size) < 1:
        raise ValueError(f"output size {size} (rows, cols) is empty; at least 1 x 1")


def _arrays(
    pixel_format: str, roi: tuple[int, int, int, int], size: tuple[int, int]
) -> dict[str, NDArray[np.int32] | NDArray[np.float32] | NDArray[np.uint32]]:
    per_point = 2 if pixel_format == "BayerRG8" else 1
    lanes = 1 if pixel_format == "Mono8" else 4
    cols, rows = roi[2] // per_point, roi[3] // per_point
    # A result's sum must stay below 2^31: 510 (two greens) * 2^bits * area.
    area = max(1.0, cols / size[1]) * (max(1.0, rows / size[0]) + 2)
    bits = min(WEIGHT_BITS, int(np.floor(31 - np.log2(510 * area))))
    exact = area_weights(rows, size[0]) * (rows / size[0])
    whole = np.maximum(np.rint(exact * (1 << bits)), exact > 0)
    first = (whole > 0).argmax(axis=1)
    count = (whole > 0).sum(axis=1)
    bounds = np.arange(size[1] + 1, dtype=np.float64) * cols / size[1]
    edge = np.minimum(np.floor(bounds), cols)
    bytes_per_row = roi[2] * (3 if pixel_format == "RGB8" else 1)
    return {
        "first": first.astype(np.int32),
        "count": count.astype(np.int32),
        "offset": np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int32),
        "weight": np.concatenate(
            [whole[i, f : f + c] for i, (f, c) in enumerate(zip(first, count, strict=True))]
        ).astype(np.float32),
        "row_scale": (1.0 / (whole.sum(axis=1) * (cols / size[1]))).astype(np.float32),
        "edge": edge.astype(np.int32),
        "fraction": (bounds - edge).astype(np.float32),
        "sums": np.zeros(bytes_per_row, np.float32),
        "even": np.zeros(bytes_per_row + 1, np.int32),
        "odd": np.zeros(bytes_per_row + 1, np.int32),
        "running": np.zeros((cols + 2) * lanes, np.uint32),
    }


def _rows_are_dense(frame: NDArray[np.uint8]) -> bool:
    return frame.strides[1:] == ((3, 1) if frame.ndim == 3 else (1,))


@cache
def _load(library: Path) -> ctypes._NamedFuncPointer:
    plan_bytes = function(library, "firstshift_preprocess_plan_bytes")
    plan_bytes.argtypes, plan_bytes.restype = (), ctypes.c_int32
    if plan_bytes() != ctypes.sizeof(Plan):
        raise FileNotFoundError(
            f"{library} was built from other sources (plan of {plan_bytes()} bytes, not {ctypes.sizeof(Plan)}); "
            "run `python -m kernels.build`"
        )
    kernel = function(library, "firstshift_preprocess")
    kernel.argtypes, kernel.restype = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p), None
    return kernel
