"""Prepare the weights and scratch memory that the C preprocessing reads regions of a frame with."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kernels.library import function, same_layout
from kernels.reference import area_weights, debayers

PIXEL_FORMATS = ("BayerRG8", "Mono8", "RGB8")
# Vertical weights are whole numbers of 1/4096 of a row, finer where a result covers less than a row, coarser where sums
# would overflow; what that costs is kept under a fifth of a grey level.
WEIGHT_BITS = 12
LARGEST_WEIGHT_ERROR = 0.2
# Sums of one result must stay below 2^31: 255 grey levels of 2 million pixels, rounding left over.
LARGEST_SHRINK = 2_000_000
# Boundaries inside a point are float32 fractions: at a thousand results per point still good to 0.1 grey level.
LARGEST_GROWTH = 1000
_MONO8, _RGB8, _BAYER_QUADS, _BAYER_PIXELS = range(4)
_SIXTEENTHS = 16  # DEBAYER_ONE in cpu/debayer.h: unit of debayered samples
_HALO = 2  # DEBAYER_HALO there
# A grey level, the two greens of a quad, or sixteenths of a grey level.
_LARGEST_SAMPLE = {_MONO8: 255, _RGB8: 255, _BAYER_QUADS: 510, _BAYER_PIXELS: 255 * _SIXTEENTHS}


class Normalisation(NamedTuple):
    """State how a grey level of each channel becomes a number: (grey level - mean) * scale."""

    mean: tuple[float, float, float]
    scale: tuple[float, float, float]


class Plan(ctypes.Structure):
    """Mirror of `preprocess_plan` in cpu/preprocess.c."""

    _fields_ = (
        ("format", ctypes.c_int32),
        ("points", ctypes.c_int32),
        ("out_rows", ctypes.c_int32),
        ("out_cols", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("cols", ctypes.c_int32),
        ("native", ctypes.c_int32),
        ("normalised", ctypes.c_int32),
        ("mean", ctypes.c_float * 3),
        ("gain", ctypes.c_float * 3),
        ("row_bytes", ctypes.c_int64),
        ("first", ctypes.c_void_p),
        ("count", ctypes.c_void_p),
        ("offset", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("row_scale", ctypes.c_void_p),
        ("edge", ctypes.c_void_p),
        ("fraction", ctypes.c_void_p),
        ("bits", ctypes.c_int32),
        ("sums", ctypes.c_void_p),
        ("narrow", ctypes.c_void_p),
        ("even", ctypes.c_void_p),
        ("odd", ctypes.c_void_p),
        ("running", ctypes.c_void_p),
        ("row", ctypes.c_void_p),
        ("odd_columns", ctypes.c_void_p),
        ("mosaic", ctypes.c_void_p),
        ("planes", ctypes.c_void_p),
        ("colours", ctypes.c_void_p),
    )


class RegionReader:
    """Hold the plan for regions of one size in frames of one shape; not for use by two threads at once.

    shape: (rows, cols) of the frames. region: (width, height) in frame pixels. size: (rows, cols) of each result.
    Raises ValueError when these do not fit together, FileNotFoundError when the kernels are not built.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        pixel_format: str,
        region: tuple[int, int],
        size: tuple[int, int],
        normalisation: Normalisation | None,
        library: Path,
    ) -> None:
        same_layout(library, "firstshift_preprocess_plan_bytes", Plan)
        self._kernel = function(library, "firstshift_preprocess")
        self._kernel.argtypes, self._kernel.restype = (*_POINTERS, ctypes.c_int32, ctypes.c_void_p), None
        check_region(shape, pixel_format, region, size)
        self.shape = (shape[0], shape[1], 3) if pixel_format == "RGB8" else (shape[0], shape[1])
        self.one = (3, *size) if normalisation else (*size, 3)
        self.dtype: type[np.generic] = np.float32 if normalisation else np.uint8
        code = _code(pixel_format, region, size)
        bits = _bits(code, region, size)
        self._arrays = _arrays(code, region, size, bits)
        mean, scale = normalisation or Normalisation((0, 0, 0), (1, 1, 1))
        self._plan = Plan(
            format=code,
            points=_points(code, region)[0],
            out_rows=size[0],
            out_cols=size[1],
            rows=shape[0],
            cols=shape[1],
            native=code != _BAYER_QUADS and region == (size[1], size[0]) and normalisation is None,
            normalised=normalisation is not None,
            mean=mean,
            gain=scale,
            bits=bits,
        )
        for name, array in self._arrays.items():
            setattr(self._plan, name, array.ctypes.data)
        self._pointer = ctypes.byref(self._plan)

    def read(self, frame: NDArray[np.uint8], places: NDArray[np.int32], out: NDArray[np.generic]) -> None:
        """Write the regions that begin at `places` into `out`, which holds as many; releases the GIL.

        places: (regions, 2) int32, x and y, inside the frame. Raises ValueError for a frame of another layout.
        """
        if frame.shape != self.shape or frame.dtype != np.uint8 or not _rows_are_dense(frame):
            raise ValueError(
                f"frame is {frame.shape} {frame.dtype} with strides {frame.strides}, the preprocessor was made for "
                f"{self.shape} uint8 with adjacent pixels; make one for this camera mode"
            )
        self._plan.row_bytes = frame.strides[0]
        self._kernel(self._pointer, frame.ctypes.data, places.ctypes.data, len(places), out.ctypes.data)


def check_region(shape: tuple[int, int], pixel_format: str, region: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise ValueError when a region of (width, height) px cannot be read from a frame, or not into this size."""
    width, height = region
    if pixel_format not in PIXEL_FORMATS:
        raise ValueError(f"pixel format {pixel_format} is not one of {', '.join(PIXEL_FORMATS)}; set the camera to one")
    if min(size) < 1:
        raise ValueError(f"output size {size} (rows, cols) is empty; at least 1 x 1")
    if min(width, height) < 1 or width > shape[1] or height > shape[0]:
        raise ValueError(
            f"region of {width} x {height} px leaves the frame of {shape[1]} x {shape[0]} px; choose a smaller one"
        )
    if pixel_format == "BayerRG8" and min(shape) < 2:
        raise ValueError(f"frame of {shape[1]} x {shape[0]} px has no Bayer quad; at least 2 x 2")
    if size[0] > LARGEST_GROWTH * height or size[1] > LARGEST_GROWTH * width:
        raise ValueError(
            f"output size {size} (rows, cols) enlarges {width} x {height} px more than {LARGEST_GROWTH} times; "
            "choose a smaller size"
        )
    if width * height > LARGEST_SHRINK * size[0] * size[1]:
        raise ValueError(
            f"output size {size} (rows, cols) averages over {LARGEST_SHRINK} px of {width} x {height} per value; "
            "choose a larger size"
        )


def reads_quads(pixel_format: str, region: tuple[int, int], size: tuple[int, int]) -> bool:
    """Say whether a region is read as Bayer quads, so that place and size must be even."""
    return pixel_format == "BayerRG8" and not debayers(*region, size)


_POINTERS = (ctypes.c_void_p,) * 3


def _code(pixel_format: str, region: tuple[int, int], size: tuple[int, int]) -> int:
    if pixel_format == "BayerRG8":
        return _BAYER_QUADS if reads_quads(pixel_format, region, size) else _BAYER_PIXELS
    return _RGB8 if pixel_format == "RGB8" else _MONO8


def _points(code: int, region: tuple[int, int]) -> tuple[int, int]:
    """Give the sampling points of a region, (cols, rows)."""
    return (region[0] // 2, region[1] // 2) if code == _BAYER_QUADS else region


def _arrays(
    code: int, region: tuple[int, int], size: tuple[int, int], bits: int
) -> dict[str, NDArray[np.int32] | NDArray[np.int16] | NDArray[np.float32] | NDArray[np.uint32]]:
    cols, rows = _points(code, region)
    samples = {_MONO8: cols, _RGB8: 3 * cols, _BAYER_QUADS: 2 * cols, _BAYER_PIXELS: 3 * cols}[code]
    whole = _whole_weights(rows, size[0], bits)
    first = (whole > 0).argmax(axis=1)
    count = (whole > 0).sum(axis=1)
    bounds = np.arange(size[1] + 1, dtype=np.float64) * cols / size[1]
    edge = np.minimum(np.floor(bounds), cols)
    debayered = code == _BAYER_PIXELS
    unit = _SIXTEENTHS if debayered else 1
    return {
        "first": first.astype(np.int32),
        "count": count.astype(np.int32),
        "offset": np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int32),
        "weight": np.concatenate(
            [whole[i, f : f + c] for i, (f, c) in enumerate(zip(first, count, strict=True))]
        ).astype(np.float32),
        "row_scale": (1.0 / (whole.sum(axis=1) * (cols / size[1]) * unit)).astype(np.float32),
        "edge": edge.astype(np.int32),
        "fraction": (bounds - edge).astype(np.float32),
        "sums": np.zeros(samples if debayered else 0, np.float32),
        "narrow": np.zeros(0 if debayered else samples, np.uint16),
        "even": np.zeros(samples + 1, np.int32),
        "odd": np.zeros(samples + 1, np.int32),
        "running": np.zeros((cols + 2) * (1 if code == _MONO8 else 4), np.uint32),
        "row": np.zeros(3 * size[1], np.float32),
        "odd_columns": -(np.arange(cols + 1 if debayered else 0, dtype=np.int16) & 1),
        "mosaic": np.zeros(3 * (cols + 2 * _HALO) if debayered else 0, np.int16),
        "planes": np.zeros(samples if debayered else 0, np.int16),
        "colours": np.zeros(samples if debayered else 0, np.int16),
    }


def _bits(code: int, region: tuple[int, int], size: tuple[int, int]) -> int:
    """Give b for vertical weights in units of 2^-b of a row, so that no sum of one result reaches 2^31."""
    cols, rows = _points(code, region)
    span = rows / size[0]
    # Two rows more than the span cover the rounding of the weights.
    room = np.log2(_LARGEST_SAMPLE[code] * max(1.0, cols / size[1]) * (span + 2 if span >= 1 else 3 * span))
    return min(WEIGHT_BITS + max(0, int(np.ceil(-np.log2(span)))), int(np.floor(31 - room)))


def _whole_weights(rows: int, length: int, bits: int) -> NDArray[np.float64]:
    """Give the vertical weights as whole numbers, (length, rows); a row that is covered whole weighs 2^bits."""
    exact = area_weights(rows, length)
    whole: NDArray[np.float64] = np.maximum(np.rint(exact * (rows / length) * 2.0**bits), exact > 0)
    # Weights add up to one, so the worst picture has white where they are too large and black where too small.
    error = 255 / 2 * np.abs(whole / whole.sum(axis=1, keepdims=True) - exact).sum(axis=1).max()
    if error > LARGEST_WEIGHT_ERROR:
        raise ValueError(
            f"output of {length} rows from {rows} averages so many columns that rows weigh {error:.1f} grey levels "
            f"wrongly, limit {LARGEST_WEIGHT_ERROR}; choose more columns or fewer rows"
        )
    return whole


def _rows_are_dense(frame: NDArray[np.uint8]) -> bool:
    return frame.strides[1:] == ((3, 1) if frame.ndim == 3 else (1,))
