"""Read a detector's boxes and scores: the image score, and the few boxes that count, in frame pixels."""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Tensors
from appliance.ports.task import Window
from appliance.schema.bundle import Head
from appliance.schema.errors import RuntimeFault
from appliance.schema.finding import Box
from kernels.boxes import BoxDecoder
from kernels.build import LIBRARY

BOXES, SCORES = "boxes", "scores"
# The strongest are listed; the image score looks at all.
MOST_FINDINGS = 64
# A window that shows nothing but the frame may seem to end so much earlier.
ROUNDING_PX = 1e-6


class BoxSettings(Struct, frozen=True):
    """Read how boxes become findings from a bundle's settings file; other keys are for people."""

    nms_iou: float = 1.0
    """Of two boxes of one class that overlap by more (intersection over union) the weaker is dropped; from 1 on none
    is, for models that find each object once."""


class Detected(Struct, frozen=True):
    """Hold one box that counts."""

    index: int
    """Its place among the model's boxes."""
    kind: str
    score: float
    box: Box
    """Inside the window; a box that lies outside becomes a line on its border."""


class Detections(Struct, frozen=True):
    """State what boxes and scores say."""

    score: float
    """Largest score that any box has for a class of defects, found or not; nan when a value is not finite."""
    found: tuple[Detected, ...]
    """Strongest first, `MOST_FINDINGS` at most; equal ones in the model's order."""


class BoxReader:
    """Read the boxes of one head for one window; holds the decoder's memory."""

    def __init__(
        self,
        head: Head,
        settings: BoxSettings,
        window: Window,
        input_size: tuple[int, int],
        boxes: int,
        library: Path = LIBRARY,
        shown: Window | None = None,
    ) -> None:
        """Take the head, whose classes are in the order of the scores, and the window that an input image shows.

        input_size: (rows, cols) of the input image. boxes: how many the model gives. shown: the part of the window that
        is really seen, where the rest shows its mirror image; None: all of it.
        """
        self._head, self._settings = head, settings
        self._thresholds = np.array([kind.threshold for kind in head.classes], np.float32)
        self._defects = np.array([kind.defect for kind in head.classes], np.bool_)
        self._shapes = {BOXES: (boxes, 4), SCORES: (boxes, len(head.classes))}
        self._decoder = BoxDecoder(boxes, len(head.classes), MOST_FINDINGS, library)
        self._best = np.zeros(len(head.classes), np.float32)
        self._scale = (window.width_px / input_size[1], window.height_px / input_size[0])
        self._window = window
        self._low, self._high = _seen(shown or window, window, self._scale, input_size)
        off = (*self._low, input_size[1] - self._high[0], input_size[0] - self._high[1])
        self._whole = max(off) < ROUNDING_PX
        self._own_scores = np.zeros((boxes, len(head.classes)), np.float32)

    def read(self, tensors: Tensors, index: int) -> Detections:
        """Give what batch entry `index` says; RuntimeFault when an output is missing or of another shape."""
        entries = entry_of(self._head.task, tensors, self._shapes, index)
        boxes, scores = entries[BOXES], self._inside(entries[BOXES], entries[SCORES])
        count = self._decoder.run(boxes, scores, self._thresholds, self._settings.nms_iou)
        if count < 0:
            return Detections(math.nan, ())
        scores.max(axis=0, out=self._best)
        found = zip(self._decoder.index[:count], self._decoder.kind[:count], self._decoder.score[:count], strict=True)
        return Detections(
            score=float(self._best[self._defects].max(initial=0.0)),
            found=tuple(
                Detected(int(place), self._head.classes[kind].name, float(score), self._box(boxes[place]))
                for place, kind, score in found
            ),
        )

    def _inside(self, boxes: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give the scores, 0 where the middle of a box lies beside what is shown; one that is no number stays."""
        if self._whole:
            return scores
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        beside = np.any((middle < self._low) | (middle > self._high), axis=1)
        np.copyto(self._own_scores, scores)
        self._own_scores[beside[:, None] & np.isfinite(scores)] = 0
        return self._own_scores

    def _box(self, corners: NDArray[np.float32]) -> Box:
        x1, y1, x2, y2 = corners.tolist()
        left, right = (min(max(x, self._low[0]), self._high[0]) for x in (x1, x2))
        top, bottom = (min(max(y, self._low[1]), self._high[1]) for y in (y1, y2))
        wide, high = self._scale
        width, height = max(0.0, right - left) * wide, max(0.0, bottom - top) * high
        return Box(self._window.x_px + left * wide, self._window.y_px + top * high, width, height)


def _seen(
    shown: Window, window: Window, scale: tuple[float, float], input_size: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Give (x, y) of the first and last corner of what is shown, in pixels of the input image."""
    limit = (float(input_size[1]), float(input_size[0]))
    starts = ((shown.x_px - window.x_px) / scale[0], (shown.y_px - window.y_px) / scale[1])
    ends = (starts[0] + shown.width_px / scale[0], starts[1] + shown.height_px / scale[1])
    return (max(0.0, starts[0]), max(0.0, starts[1])), (min(limit[0], ends[0]), min(limit[1], ends[1]))


def entry_of(
    task: str, tensors: Tensors, shapes: Mapping[str, tuple[int, ...]], index: int
) -> dict[str, NDArray[np.float32]]:
    """Give the outputs of one batch entry, views of `tensors`; RuntimeFault unless they have these shapes."""
    entries = {}
    for name, shape in shapes.items():
        found = tensors.get(name)
        if found is None or found.shape[1:] != shape or found.dtype != np.float32 or not 0 <= index < len(found):
            what = "missing" if found is None else f"{found.shape} {found.dtype}"
            raise RuntimeFault(
                f"{task} task: output `{name}` is {what}, needs (batch over {index}, {', '.join(map(str, shape))}) "
                f"float32; use a bundle of task {task}"
            )
        entries[name] = found[index]
    return entries


def read_settings(task: str, content: bytes) -> BoxSettings:
    """Give the settings in a bundle's file; RuntimeFault when it is damaged or the overlap is no share."""
    try:
        settings = msgspec.json.decode(content, type=BoxSettings)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"{task} task: settings are damaged: {cause}; install the bundle again") from cause
    if not settings.nms_iou >= 0:
        raise RuntimeFault(f"{task} task: nms_iou {settings.nms_iou} is below 0; build the bundle again")
    return settings
