"""Show the pictures that a bundle judged worst: what it would let pass, and what it would hold back for nothing."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.datasets.sample import DataSet, Sample
from appliance.datasets.truth import class_mask, load_frame
from appliance.evaluation.judging import Judged
from appliance.schema.bundle import TaskName
from appliance.schema.finding import Finding
from appliance.schema.frame import PixelFormat
from appliance.trainer.data_sheet import Card

SHOWN = 12
"""Half of them escapes, half overkill, as far as there are any."""
SIDE_PX = 320
TRUTH, FOUND = (179, 38, 30), (255, 176, 0)
"""RGB: outlines of what is there, boxes of what was found."""
JPEG_QUALITY = 85


def worst(data: DataSet, judged: Sequence[tuple[Judged, bool]]) -> tuple[Card, ...]:
    """Give cards of the worst pictures; judged: each with whether it must not pass, without its map.

    Escapes come first, the most trusted one before the others; then good pictures held back, the strangest first; where
    neither fills its half, the ones that came nearest to it.
    """
    bad = sorted((one for one, must in judged if must), key=lambda one: one.score)
    good = sorted((one for one, must in judged if not must), key=lambda one: -one.score)
    half = SHOWN // 2
    chosen = [*bad[: max(half, SHOWN - len(good))], *good[: max(half, SHOWN - len(bad))]][:SHOWN]
    return tuple(_card(data, one) for one in chosen)


def _card(data: DataSet, one: Judged) -> Card:
    sample = one.sample
    said = one.disposition.value.upper()
    if data.task is TaskName.OCR:
        read = " ".join(finding.text or "unreadable" for finding in one.findings if finding.kind == "text")
        said = f"{said}: {read or 'nothing read'}"
    score = one.score if np.isfinite(one.score) else None
    return Card(sample.name, said, _truth(data, sample), score, _picture(data, sample, one.findings))


def _truth(data: DataSet, sample: Sample) -> str:
    if data.task is TaskName.OCR:
        return sample.text or "no text"
    kinds = sorted({thing.kind for thing in sample.things})
    return ", ".join(kinds) or sample.label or ("marked" if sample.mask else "good")


def _picture(data: DataSet, sample: Sample, findings: Sequence[Finding]) -> str:
    frame = load_frame(sample, data.pixel_format)
    shown = np.repeat(frame[:, :, None], 3, axis=2) if data.pixel_format is PixelFormat.MONO8 else frame.copy()
    scale = SIDE_PX / max(shown.shape[:2])
    size = (max(1, round(shown.shape[1] * scale)), max(1, round(shown.shape[0] * scale)))
    small = np.ascontiguousarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA))
    for outline in _outlines(data, sample):
        cv2.polylines(small, [(outline * scale).astype(np.int32)], isClosed=True, color=TRUTH, thickness=1)
    for finding in findings:
        if finding.box is not None:
            box = finding.box
            corner = (int(box.x_px * scale), int(box.y_px * scale))
            other = (int((box.x_px + box.width_px) * scale), int((box.y_px + box.height_px) * scale))
            cv2.rectangle(small, corner, other, FOUND, 1)
    _, coded = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode()}"


def _outlines(data: DataSet, sample: Sample) -> list[NDArray[np.float64]]:
    """Give the outlines of what is marked, (points, 2) in frame pixels each."""
    if sample.things and not sample.mask:
        corners = [(x1, y1, x2, y2) for x1, y1, x2, y2 in (thing.box for thing in sample.things)]
        return [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64) for x1, y1, x2, y2 in corners]
    if sample.mask is None:
        return []
    found, _ = cv2.findContours(
        (class_mask(sample, data) > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return [contour[:, 0].astype(np.float64) for contour in found]
