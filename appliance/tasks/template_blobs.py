"""Read composed pictures blob by blob: each difference is measured, and a small network says what it is."""

import math
import time

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.imaging.blobs import GEOMETRY, MEASURES, contrast_of, find_blobs, measure
from appliance.imaging.template import NEUTRAL
from appliance.ports.runtime import Session
from appliance.ports.task import Reading, Window
from appliance.schema.bundle import Head
from appliance.schema.errors import RuntimeFault
from appliance.tasks.boxes import BOXES, SCORES, BoxSettings
from appliance.tasks.detection import DetectionInterpreter

BLOBS = "blobs.json"
"""File of a bundle whose network reads measures of blobs."""
PROBABILITIES = "probabilities"
MOST_BLOBS = 1024
GROSS_SHARE = 0.1
"""A frame that differs in more than this share of its pixels, or in more blobs than are measured, shows another thing
than the network learnt to judge: it has no score."""
MS = 1e6


class BlobSettings(Struct, frozen=True):
    """Read how blobs become boxes from a bundle's settings."""

    tolerance_px: int
    nms_iou: float
    """Of two boxes of any class that overlap by more the weaker is dropped."""
    margins: tuple[tuple[tuple[float, ...], ...], ...]
    """Of each class and each side (left, top, right, bottom): factors of a blob's `GEOMETRY` measures and a constant,
    whose sum is by how many pixels the box is larger than the blob there."""


class BlobReader:
    """Find, measure and judge the blobs of composed pictures; holds the memory of the results."""

    def __init__(self, session: Session, head: Head, settings: BlobSettings, frame_shape: tuple[int, int]) -> None:
        """Take a session for (batch, 1, 16, 3) measures and the head it serves; RuntimeFault when they do not fit."""
        self._session, self._settings, self._classes = session, settings, len(head.classes)
        self._margins = np.array(settings.margins, np.float64)
        if self._margins.shape != (self._classes, 4, GEOMETRY + 1) or session.input[0].size != MEASURES:
            raise RuntimeFault(
                f"{head.task} task: {BLOBS} has margins of {self._margins.shape} and the network takes "
                f"{session.input.shape}, {(self._classes, 4, GEOMETRY + 1)} and {MEASURES} measures are needed; build "
                "the bundle again"
            )
        self._boxes = np.zeros((1, MOST_BLOBS, 4), np.float32)
        self._scores = np.zeros((1, MOST_BLOBS, self._classes), np.float32)
        window = Window(0, 0, frame_shape[1], frame_shape[0])
        self._interpreter = DetectionInterpreter(head, BoxSettings(), window, frame_shape, MOST_BLOBS)

    def read(self, pixels: NDArray[np.uint8]) -> Reading:
        """Read a composed picture, (rows, cols, 3) uint8; blocking; keeps no reference. RuntimeFault as a session's."""
        started = time.monotonic_ns()
        contrast = contrast_of(pixels)
        differs = np.abs(pixels[:, :, 2].astype(np.int16) - NEUTRAL) > contrast.least
        blobs = find_blobs(pixels, self._settings.tolerance_px, contrast) if differs.mean() <= GROSS_SHARE else None
        if blobs is None or len(blobs) > MOST_BLOBS:
            return Reading(math.nan, (), (time.monotonic_ns() - started) / MS, 0.0)
        measures = np.array([measure(pixels, blob, contrast) for blob in blobs], np.uint8).reshape(-1, MEASURES)
        prepared = time.monotonic_ns()
        probabilities = self._judge(measures)
        inferred = time.monotonic_ns()
        self._place(np.array([blob.box for blob in blobs], np.float64).reshape(-1, 4), measures, probabilities)
        said = self._interpreter.interpret({BOXES: self._boxes, SCORES: self._scores})
        return Reading(said.score, said.findings, (prepared - started) / MS, (inferred - prepared) / MS)

    def _judge(self, measures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Give the probability of nothing and of each class, (blobs, 1 + classes)."""
        batch = len(self._session.input)
        found = np.zeros((len(measures), 1 + self._classes), np.float32)
        for first in range(0, len(measures), batch):
            part = measures[first : first + batch]
            self._session.input.reshape(batch, MEASURES)[: len(part)] = part
            result = self._session.run().get(PROBABILITIES)
            if result is None or result.shape != (batch, found.shape[1]):
                raise RuntimeFault(
                    f"detection task: output `{PROBABILITIES}` of {(batch, found.shape[1])} is missing; build the "
                    "bundle again"
                )
            found[first : first + len(part)] = result[: len(part)]
        return found

    def _place(
        self, blobs: NDArray[np.float64], measures: NDArray[np.uint8], probabilities: NDArray[np.float32]
    ) -> None:
        """Fill boxes and scores, the weaker of two that overlap left out."""
        self._boxes[:], self._scores[:] = 0, 0
        if not len(blobs):
            return
        scores = probabilities[:, 1:]
        terms = np.concatenate([measures[:, :GEOMETRY], np.ones((len(blobs), 1))], axis=1)
        larger = np.einsum("bst,bt->bs", self._margins[scores.argmax(axis=1)], terms)
        boxes = blobs + np.array([-1, -1, 1, 1]) * np.maximum(larger, 0)
        for place in _strongest(boxes, scores.max(axis=1), self._settings.nms_iou):
            self._boxes[0, place], self._scores[0, place] = boxes[place], scores[place]


def read_settings(content: bytes) -> BlobSettings:
    """Give the settings in a bundle's file; RuntimeFault when it is damaged."""
    try:
        return msgspec.json.decode(content, type=BlobSettings)
    except msgspec.DecodeError as cause:
        raise RuntimeFault(f"detection task: {BLOBS} is damaged: {cause}; install the bundle again") from cause


def _strongest(boxes: NDArray[np.float64], scores: NDArray[np.float32], nms_iou: float) -> list[int]:
    """Give the places of boxes that no stronger one overlaps by more; one that is no number stays, to be seen."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    kept: list[int] = []
    for place in np.argsort(-np.nan_to_num(scores, nan=np.inf)).tolist():
        shared = np.minimum(boxes[place, 2:], boxes[kept, 2:]) - np.maximum(boxes[place, :2], boxes[kept, :2])
        common = np.maximum(shared, 0).prod(axis=1)
        if not (common > nms_iou * (areas[place] + areas[kept] - common)).any():
            kept.append(place)
    return kept
