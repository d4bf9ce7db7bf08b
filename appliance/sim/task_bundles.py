"""Fit one bundle of each of the six tasks from rendered parts: for tests and measurements, and to look at.

The same product as on the simulated line; the parts here are never shown there.
"""

from collections.abc import Callable, Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Runtime
from appliance.schema.bundle import ClassSpec, TaskName
from appliance.schema.frame import PixelFormat
from appliance.sim.parts.dayone import good_frames
from appliance.sim.parts.objects import KINDS, TruePart, true_parts
from appliance.sim.parts.product import FIELD_MM
from appliance.sim.parts.renderer import SIZE
from appliance.sim.parts.truth import DEFECTS, GOOD
from appliance.training.anomaly import AnomalyOptions, fit_anomaly
from appliance.training.classification import fit_classification_bundle
from appliance.training.detection import fit_detection_bundle_closed
from appliance.training.detection_cells import Instances
from appliance.training.fit_run import FitRun
from appliance.training.instance import fit_instance_bundle_closed
from appliance.training.ocr import OcrOptions, ocr_bundle
from appliance.training.package import FittedBundle
from appliance.training.semantic import BACKGROUND
from appliance.training.semantic_linear import fit_semantic_bundle_closed

PARTS = 84
"""28 good ones, which suffice for a limit, and nine or ten of each defect."""
GOOD_EVERY = 3

GOOD_FRAMES = 40
CREATED = "2026-01-01T00:00:00+00:00"
TEXT_MM = (-8.5, -28.0, 17.0, 11.0)
"""(x, y, width, height) from the part's centre: where the two engraved lines lie, however the part was fed."""


class Wish(Struct, frozen=True):
    """Say what bundle is wanted."""

    task: TaskName
    runtime: Runtime
    precision: str
    size: tuple[int, int] = SIZE
    """(width, height) of the frames, px."""
    parts: int = PARTS
    seed: int = 3


def task_bundle(wish: Wish) -> FittedBundle:
    """Fit and pack a bundle; blocks for seconds to a minute."""
    makers: dict[TaskName, Callable[[Wish], FittedBundle]] = {
        TaskName.CLASSIFICATION: _classification,
        TaskName.DETECTION: _detection,
        TaskName.SEMANTIC: _semantic,
        TaskName.INSTANCE: _instance,
        TaskName.ANOMALY: _anomaly,
        TaskName.OCR: _ocr,
    }
    return makers[wish.task](wish)


def text_region(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Give (x, y, width, height) in frame pixels of the engraved lines, all even, for frames of (width, height)."""
    scale = min(size) / FIELD_MM
    left, top = size[0] / 2 + TEXT_MM[0] * scale, size[1] / 2 + TEXT_MM[1] * scale
    x, y, width, height = (int(value) & ~1 for value in (left, top, TEXT_MM[2] * scale, TEXT_MM[3] * scale))
    return x, y, width, height


def _parts(wish: Wish) -> Iterator[TruePart]:
    return true_parts(range(wish.parts), wish.size, wish.seed, GOOD_EVERY)


def _classification(wish: Wish) -> FittedBundle:
    labels = [part.defect or GOOD for part in _parts(wish)]
    return fit_classification_bundle(
        (part.raw for part in _parts(wish)),
        labels,
        (GOOD, *DEFECTS),
        PixelFormat.BAYER_RG8,
        FitRun(wish.runtime, wish.precision, CREATED),
    )


def _semantic(wish: Wish) -> FittedBundle:
    return fit_semantic_bundle_closed(
        (part.raw for part in _parts(wish)),
        (_classes(part) for part in _parts(wish)),
        (BACKGROUND, *DEFECTS),
        PixelFormat.BAYER_RG8,
        wish.runtime,
        wish.precision,
        CREATED,
    )


def _detection(wish: Wish) -> FittedBundle:
    return _boxes(wish, fit_detection_bundle_closed, (Instances(part.kinds, part.boxes) for part in _parts(wish)))


def _instance(wish: Wish) -> FittedBundle:
    truths = (Instances(part.kinds, part.boxes, tuple(part.masks)) for part in _parts(wish))
    return _boxes(wish, fit_instance_bundle_closed, truths)


def _boxes(wish: Wish, fit: Callable[..., FittedBundle], truths: Iterator[Instances]) -> FittedBundle:
    return fit(
        (part.raw for part in _parts(wish)),
        truths,
        tuple(ClassSpec(kind, defect=kind in DEFECTS) for kind in KINDS),
        PixelFormat.BAYER_RG8,
        wish.runtime,
        wish.precision,
        CREATED,
        good=good_frames(GOOD_FRAMES, wish.seed, size=wish.size),
    )


def _anomaly(wish: Wish) -> FittedBundle:
    return fit_anomaly(
        good_frames(GOOD_FRAMES, wish.seed, size=wish.size),
        PixelFormat.BAYER_RG8,
        wish.runtime,
        wish.precision,
        CREATED,
        AnomalyOptions(seed=wish.seed),
    )


def _ocr(wish: Wish) -> FittedBundle:
    region = text_region(wish.size)
    return ocr_bundle(
        good_frames(1, wish.seed, size=wish.size),
        PixelFormat.BAYER_RG8,
        wish.runtime,
        wish.precision,
        CREATED,
        OcrOptions(roi=region, widths=(160, 208), upright=True),
    )


def _classes(part: TruePart) -> NDArray[np.uint8]:
    """Give the class of each pixel: the defect's, holes being part of the product."""
    classes = np.zeros(part.raw.shape, np.uint8)
    for kind, mask in zip(part.kinds, part.masks, strict=True):
        if KINDS[kind] in DEFECTS:
            classes[mask] = 1 + DEFECTS.index(KINDS[kind])
    return classes
