"""Turn a detector's boxes and scores into the few that count, by the fused C kernel."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.build import LIBRARY
from kernels.library import demand, function

_POINTER = ctypes.c_void_p
_ARGUMENTS = (
    *(_POINTER, _POINTER, _POINTER, ctypes.c_int64, ctypes.c_int32, ctypes.c_int32, ctypes.c_double),
    *(_POINTER, _POINTER, _POINTER, _POINTER, _POINTER),
)
_BLOCK = 64
# Places are 32-bit numbers in the sorting key.
LARGEST_SCORES = 2**32


class BoxDecoder:
    """Hold scratch memory and results for one shape of detector output; not for use by two threads at once.

    boxes, classes: size of the score matrix. most: results kept, the strongest. Definition: reference/boxes.py; equal
    in every result. Raises ValueError for an empty or too large shape, FileNotFoundError when the kernels are not
    built.
    """

    def __init__(self, boxes: int, classes: int, most: int, library: Path = LIBRARY) -> None:
        if min(boxes, classes, most) < 1 or boxes * classes >= LARGEST_SCORES:
            raise ValueError(
                f"box decode: {boxes} boxes of {classes} classes, {most} results; each at least 1, and fewer than "
                f"{LARGEST_SCORES} scores"
            )
        self._kernel = function(library, "firstshift_decode_boxes")
        self._kernel.argtypes, self._kernel.restype = _ARGUMENTS, ctypes.c_int32
        self.boxes, self.classes, self.most = boxes, classes, most
        self.index = np.zeros(most, np.int32)
        """(most,) int32: number of the box; the first `count` are valid until the next run, like `kind` and `score`."""
        self.kind = np.zeros(most, np.int32)
        """(most,) int32: number of the class."""
        self.score = np.zeros(most, np.float32)
        """(most,) float32."""
        self._keys = np.zeros(boxes * classes, np.uint64)
        self._marks = np.zeros(boxes * classes // _BLOCK + 1, np.uint8)
        self._own = tuple(a.ctypes.data for a in (self._keys, self._marks, self.index, self.kind, self.score))

    def run(
        self, boxes: NDArray[np.float32], scores: NDArray[np.float32], thresholds: NDArray[np.float32], iou: float
    ) -> int:
        """Fill `index`, `kind` and `score`, strongest first, and give their number; -1 when an input is not finite.

        boxes: (boxes, 4) float32 as x1 y1 x2 y2. scores: (boxes, classes) float32. thresholds: (classes,) float32,
        infinity leaves a class out. All in C order, borrowed for the call. iou: a weaker box of the same class that
        overlaps by more is dropped; from 1 on none is. Releases the GIL. Raises ValueError on any other layout, and on
        a threshold or iou that is not a number.
        """
        demand("boxes", boxes, (self.boxes, 4), np.float32)
        demand("scores", scores, (self.boxes, self.classes), np.float32)
        demand("thresholds", thresholds, (self.classes,), np.float32)
        if not iou >= 0 or np.isnan(thresholds).any():
            raise ValueError(f"box decode: iou {iou}, thresholds {thresholds.tolist()}; iou from 0, no nan")
        addresses = (boxes.ctypes.data, scores.ctypes.data, thresholds.ctypes.data)
        count: int = self._kernel(*addresses, self.boxes, self.classes, self.most, iou, *self._own)
        return count
