"""Turn boxes, class scores and mask prototypes into findings with outlines."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.ports.runtime import Tensors
from appliance.ports.task import Interpretation, Window
from appliance.schema.bundle import Head
from appliance.schema.finding import Finding
from appliance.tasks.boxes import BOXES, BoxReader, BoxSettings, Detected, entry_of
from appliance.tasks.regions import Regions, Spot
from kernels.build import LIBRARY
from kernels.masks import MaskDecoder

COEFFICIENTS, PROTOTYPES = "coefficients", "prototypes"


class InstanceInterpreter:
    """Interpret boxes and masks of one head for one window; scratch memory is made once."""

    def __init__(
        self,
        head: Head,
        settings: BoxSettings,
        window: Window,
        input_size: tuple[int, int],
        boxes: int,
        prototypes: tuple[int, int, int],
        library: Path = LIBRARY,
        shown: Window | None = None,
    ) -> None:
        """Take the head, whose classes are in the order of the scores, and the window that an input image shows.

        input_size: (rows, cols) of the input image. boxes: how many the model gives. prototypes: (K, rows, cols).
        shown: the part of the window that is really seen, where the rest shows its mirror image; None: all of it.
        """
        self._head = head
        self._reader = BoxReader(head, settings, window, input_size, boxes, library, shown)
        self._shapes = {BOXES: (boxes, 4), COEFFICIENTS: (boxes, prototypes[0]), PROTOTYPES: prototypes}
        self._decoder = MaskDecoder(*prototypes, library)
        self._mask = np.zeros(prototypes[1:], np.uint8)
        self._regions = Regions(window, prototypes[1:], shown)
        self._beside = self._regions.beside()
        self._cells = np.array([prototypes[2] / input_size[1], prototypes[1] / input_size[0]] * 2)
        self._finite = {name: np.zeros(self._shapes[name], np.bool_) for name in (COEFFICIENTS, PROTOTYPES)}

    def interpret(self, tensors: Tensors, index: int = 0) -> Interpretation:
        """Give score and findings of batch entry `index`; area and outline are those of the mask inside the box.

        RuntimeFault when an output is missing or of another shape.
        """
        read = self._reader.read(tensors, index)
        entries = entry_of(self._head.task, tensors, self._shapes, index)
        if not all(np.isfinite(entries[name], out=scratch).all() for name, scratch in self._finite.items()):
            return Interpretation(math.nan, ())
        findings = [self._finding(one, entries) for one in read.found]
        if None in findings:
            return Interpretation(math.nan, ())
        return Interpretation(read.score, tuple(finding for finding in findings if finding is not None))

    def _finding(self, one: Detected, entries: dict[str, NDArray[np.float32]]) -> Finding | None:
        """Give the finding of one box; None when its mask is not finite."""
        left, top, right, bottom = (entries[BOXES][one.index] * self._cells).tolist()
        coefficients = entries[COEFFICIENTS][one.index]
        area = self._decoder.run(coefficients, entries[PROTOTYPES], (left, top, right, bottom), self._mask)
        if area < 0:
            return None
        if self._beside is not None and area:
            self._mask[self._beside] = 0
            area = int(np.count_nonzero(self._mask))
        if area == 0:
            # Found, but not outlined: the box is all that is known, and its area is never too small.
            return Finding(one.kind, one.score, None, one.box, area_px=one.box.width_px * one.box.height_px)
        region = self._regions.place(self._spot(one.score))
        return Finding(one.kind, one.score, None, one.box, area_px=region.area_px, polygon=region.polygon)

    def _spot(self, score: float) -> Spot:
        rows, cols = np.flatnonzero(self._mask.any(axis=1)), np.flatnonzero(self._mask.any(axis=0))
        cells = self._mask[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1].view(np.bool_)
        return Spot(score, int(rows[0]), int(cols[0]), cells)
