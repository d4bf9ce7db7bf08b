"""Fit small detectors on rendered parts, read frames with them, and hold the findings of two runs to each other."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from msgspec import Struct

from appliance.ports.runtime import Runtime, Session
from appliance.ports.task import Interpretation, Interpreter
from appliance.schema.bundle import ClassSpec
from appliance.schema.finding import Box, Finding
from appliance.schema.frame import PixelFormat
from appliance.sim.parts.objects import HOLE, KINDS, TruePart, true_parts
from appliance.training.detection import DetectionOptions
from appliance.training.detection_cells import Instances
from appliance.training.package import FittedBundle
from kernels.preprocess import Preprocessor

FRAME = (512, 512)
SIZE = (256, 256)
SCALE = FRAME[0] / SIZE[1]
TRAINING, UNSEEN = range(1, 91), range(5001, 5029)
CREATED = "2026-11-21T12:00:00Z"
CLASSES = tuple(ClassSpec(kind, defect=kind != HOLE, threshold=0.2) for kind in KINDS)
OPTIONS = DetectionOptions(size=SIZE, synthetic_share=1.0, threads=1)


class Bounds(Struct, frozen=True):
    """Say how near the findings of two runs are: kinds and count equal but for those that may appear or not."""

    score: float
    """Scores differ by no more; a finding within this of its threshold may appear or not."""
    box_px: float
    """Sides differ by no more, in pixels of the input image."""
    iou: float
    """A finding that overlaps a stronger one of its kind within this of the suppression limit may appear or not."""


def fit(
    how: Callable[..., FittedBundle],
    runtime: Runtime,
    parts: Sequence[TruePart] | None = None,
    options: DetectionOptions = OPTIONS,
) -> FittedBundle:
    """Fit a bundle on rendered parts; without parts given, on those of TRAINING."""
    known = list(true_parts(TRAINING, FRAME)) if parts is None else parts
    truths = (Instances(part.kinds, part.boxes, tuple(part.masks)) for part in known)
    frames = (part.raw for part in known)
    return how(frames, truths, CLASSES, PixelFormat.BAYER_RG8, runtime, "f32", CREATED, options)


def readings(session: Session, interpreter: Interpreter, frames: Sequence[np.ndarray]) -> Iterator[Interpretation]:
    """Read frames the way the judge does."""
    preprocessor = Preprocessor(frames[0].shape, "BayerRG8", None, SIZE)
    for frame in frames:
        preprocessor.run(frame, session.input)
        yield interpreter.interpret(session.run())


def disagreement(one: Interpretation, other: Interpretation, bounds: Bounds) -> str:
    """Give the first reason why two interpretations of one frame differ by more than the bounds; empty when none."""
    if not abs(one.score - other.score) <= bounds.score:
        return f"image score {one.score} and {other.score}"
    for mine, theirs in ((one.findings, other.findings), (other.findings, one.findings)):
        free = list(theirs)
        for finding in mine:
            match = next((twin for twin in free if _same(finding, twin, bounds)), None)
            if match is not None:
                free.remove(match)
            elif not _may_vanish(finding, mine, bounds):
                return f"{finding.kind} {finding.score:.4f} at {finding.box} has no twin"
    return ""


def twins(ones: Sequence[Interpretation], others: Sequence[Interpretation], bounds: Bounds) -> float:
    """Give the share of findings that have a twin within the bounds on the same frame."""
    pairs = [
        any(_same(finding, twin, bounds) for twin in other.findings)
        for one, other in zip(ones, others, strict=True)
        for finding in one.findings
    ]
    return sum(pairs) / len(pairs)


def overlap(one: Box, other: Box) -> float:
    """Give intersection over union."""
    wide = min(one.x_px + one.width_px, other.x_px + other.width_px) - max(one.x_px, other.x_px)
    high = min(one.y_px + one.height_px, other.y_px + other.height_px) - max(one.y_px, other.y_px)
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / max(one.width_px * one.height_px + other.width_px * other.height_px - shared, 1e-9)


def true_box(corners: np.ndarray) -> Box:
    """Give a box of the truth."""
    return Box(*corners[:2].tolist(), *(corners[2:] - corners[:2]).tolist())


def _same(one: Finding, other: Finding, bounds: Bounds) -> bool:
    sides = [[box.x_px, box.y_px, box.x_px + box.width_px, box.y_px + box.height_px] for box in (one.box, other.box)]
    apart = np.abs(np.subtract(*sides)).max() / SCALE
    return one.kind == other.kind and abs(one.score - other.score) <= bounds.score and apart <= bounds.box_px


def _may_vanish(finding: Finding, beside: Sequence[Finding], bounds: Bounds) -> bool:
    threshold = CLASSES[KINDS.index(finding.kind)].threshold
    if finding.score <= threshold + bounds.score:
        return True
    stronger = [one for one in beside if one.kind == finding.kind and one.score > finding.score]
    return any(overlap(one.box, finding.box) >= OPTIONS.nms_iou - bounds.iou for one in stronger)
