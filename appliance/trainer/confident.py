"""Fit what scores mean on pictures that the model did not learn from."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.datasets.sample import DataSet, Sample
from appliance.datasets.truth import class_mask, things_of
from appliance.evaluation.judging import Judged, must_not_pass
from appliance.learning.confidence import confidence_of, fit_curve
from appliance.learning.rates import rate
from appliance.schema.bundle import ConfidenceCurve, TaskName
from appliance.schema.finding import Box, Finding

# A box that overlaps the truth by this much is right, as in COCO's most lenient average precision.
RIGHT_IOU = 0.5
# With fewer held-out answers of a class nothing can be said of its confidence.
FEWEST_ANSWERS = 10
BINS = 6


class Answers(Struct, frozen=True):
    """Hold scores with what was true of each."""

    scores: tuple[float, ...]
    right: tuple[bool, ...]
    groups: tuple[str, ...]


def answers(data: DataSet, judged: Sequence[Judged]) -> dict[str, Answers]:
    """Give the answers by class, and under the empty name the image scores: right means defective."""
    found: dict[str, list[tuple[float, bool, str]]] = {"": []}
    for one in judged:
        found[""].append((one.score, must_not_pass(one, data), one.sample.group))
        for finding, right in zip(one.findings, _right(one.findings, one.sample, data), strict=True):
            found.setdefault(finding.kind, []).append((finding.score, right, one.sample.group))
    return {
        kind: Answers(*(tuple(column) for column in zip(*rows, strict=True))) if rows else Answers((), (), ())
        for kind, rows in found.items()
    }


def curves(by_kind: dict[str, Answers]) -> tuple[ConfidenceCurve, ...]:
    """Give a curve for each class with enough answers, right and wrong ones among the image scores."""
    return tuple(
        fit_curve(kind, own.scores, np.array(own.right, np.bool_), own.groups)
        for kind, own in sorted(by_kind.items())
        if np.isfinite(own.scores).sum() >= FEWEST_ANSWERS and (kind or 0 < sum(own.right) < len(own.right))
    )


def bins(curve: ConfidenceCurve, own: Answers) -> tuple[tuple[float, float, float, float, int], ...]:
    """Give (confidence, share right, low, high, count) of equally filled bins, for people to look at."""
    promised = np.array([confidence_of(curve, score) for score in own.scores], np.float64)
    right = np.array(own.right, np.bool_)
    kept = np.isfinite(promised)
    order = np.argsort(promised[kept], kind="stable")
    rows = []
    for part in np.array_split(order, min(BINS, max(1, len(order) // FEWEST_ANSWERS))):
        if len(part):
            counted = rate(int(right[kept][part].sum()), len(part))
            mean = float(promised[kept][part].mean())
            rows.append((mean, counted.value or 0.0, counted.low, counted.high, counted.n))
    return tuple(rows)


def _right(findings: Sequence[Finding], sample: Sample, data: DataSet) -> list[bool]:
    """Say of each finding whether there is such a defect."""
    if not findings:
        return []
    match data.task:
        case TaskName.CLASSIFICATION:
            return [finding.kind == sample.label for finding in findings]
        case TaskName.OCR:
            return [finding.text == sample.text for finding in findings]
        case TaskName.DETECTION | TaskName.INSTANCE:
            return _boxes_right(findings, sample, data)
        case _:
            return _regions_right(findings, sample, data)


def _boxes_right(findings: Sequence[Finding], sample: Sample, data: DataSet) -> list[bool]:
    """Match each finding, strongest first, with the best free object of its class."""
    kinds, boxes, _ = things_of(sample, data)
    free = np.ones(len(kinds), np.bool_)
    right = []
    for finding in findings:
        overlap = _overlaps(finding.box, np.asarray(boxes)) * free
        overlap *= [data.classes[kind] == finding.kind for kind in kinds]
        best = int(overlap.argmax()) if len(overlap) else -1
        right.append(best >= 0 and bool(overlap[best] >= RIGHT_IOU))
        if right[-1]:
            free[best] = False
    return right


def _overlaps(box: Box | None, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the intersection over union of a box with each of (n, 4) x1 y1 x2 y2."""
    if box is None or not len(boxes):
        return np.zeros(len(boxes))
    left, top = np.maximum(boxes[:, 0], box.x_px), np.maximum(boxes[:, 1], box.y_px)
    right = np.minimum(boxes[:, 2], box.x_px + box.width_px)
    bottom = np.minimum(boxes[:, 3], box.y_px + box.height_px)
    shared = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    result: NDArray[np.float64] = shared / np.maximum(areas + box.width_px * box.height_px - shared, 1e-9)
    return result


def _regions_right(findings: Sequence[Finding], sample: Sample, data: DataSet) -> list[bool]:
    """Say of each region whether its box shows any pixel of its class, of any defect for an unnamed anomaly."""
    mask = class_mask(sample, data)
    right = []
    for finding in findings:
        box = finding.box
        if box is None:
            right.append(False)
            continue
        rows = slice(max(0, int(box.y_px)), max(0, int(np.ceil(box.y_px + box.height_px))))
        cols = slice(max(0, int(box.x_px)), max(0, int(np.ceil(box.x_px + box.width_px))))
        own = mask[rows, cols] == data.classes.index(finding.kind) if finding.kind in data.classes else mask[rows, cols]
        right.append(bool(own.any()))
    return right
