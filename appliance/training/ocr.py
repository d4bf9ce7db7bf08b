"""Make a bundle that reads text: published networks, nothing is fitted; frames only show the camera's format."""

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.runtime import Runtime
from appliance.schema.bundle import DataSnapshot, GoodOnlyCalibration, Head, Preprocessing, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.fit_run import FitRun
from appliance.training.ocr_models import PRINTED, WIDTHS, OcrParts, detection_size, ocr_bundle_parts
from appliance.training.package import GOLDEN_IMAGES, Contents, FittedBundle, Network, pack

SETTINGS = "ocr.json"
REGION_PX, WHOLE_VIEW_PX = 320, 1280
"""Longest side of the detection input."""


class OcrOptions(Struct, frozen=True):
    """Choose how text is read."""

    roi: tuple[int, int, int, int] | None = None
    """(x, y, width, height) in frame pixels where text may be; None is the whole frame."""
    regions: tuple[tuple[int, int], ...] = ()
    """(width, height) in frame pixels of the regions that recipes will name; each shape gets a detection network."""
    widths: tuple[int, ...] = WIDTHS
    """Columns of the recognition networks."""
    characters: str = PRINTED
    """What may be read; empty: all that the network knows."""
    threshold: float = 0.6
    """A line with a character less probable than this is unreadable."""
    upright: bool = False
    """No part can lie upside down, so lines are not checked for it."""
    threads: int = 2


def ocr_bundle(
    frames: Iterable[NDArray[np.uint8]],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    created: str,
    options: OcrOptions | None = None,
) -> FittedBundle:
    """Give a bundle that reads text on frames like these; blocks for seconds. It has no calibration.

    frames: at least one raw frame of `pixel_format`. created: UTC, ISO 8601. ConfigError without a frame, RuntimeFault
    when the networks are not installed or do not run.
    """
    options = options or OcrOptions()
    digest, first, count = hashlib.sha256(), None, 0
    for frame in frames:
        first = frame.copy() if first is None else first
        digest.update(repr(frame.shape).encode())
        digest.update(np.ascontiguousarray(frame).data)
        count += 1
    if first is None:
        raise ConfigError("OCR: 0 frames, at least 1 is needed to know what the camera delivers; give one")
    run = FitRun(runtime, precision, created, threads=options.threads)
    data = DataSnapshot(count, digest.hexdigest())
    return pack_ocr(plan_parts(options, first.shape), options, first, data, pixel_format, run)


def plan_parts(options: OcrOptions, frame_shape: tuple[int, ...]) -> OcrParts:
    """Give the networks that read frames of this shape; about two seconds. RuntimeFault without the wheel."""
    sizes = {detection_size(width, height, REGION_PX) for width, height in options.regions}
    if options.roi is not None:
        sizes.add(detection_size(options.roi[2], options.roi[3], REGION_PX))
    elif not sizes:
        # A view without regions is searched as a whole, where print is small: it gets more pixels.
        sizes.add(detection_size(frame_shape[1], frame_shape[0], WHOLE_VIEW_PX))
    return ocr_bundle_parts(
        tuple(sorted(sizes)),
        options.widths,
        options.characters,
        options.threshold,
        GOLDEN_IMAGES,
        upright=options.upright,
    )


def pack_ocr(
    parts: OcrParts,
    options: OcrOptions,
    frame: NDArray[np.uint8],
    data: DataSnapshot,
    pixel_format: PixelFormat,
    run: FitRun,
    evidence: Mapping[str, bytes] | None = None,
    calibration: GoodOnlyCalibration | None = None,
) -> FittedBundle:
    """Give the bundle of these parts; frame: a raw one of the camera; evidence: files that show how it was proven."""
    shapes = [parts.golden[name].shape for name in parts.models if name.startswith("detection")]
    rows, cols = max((shape[1], shape[2]) for shape in shapes)
    contents = Contents(
        heads=(Head(TaskName.OCR, parts.classes, SETTINGS),),
        # Of `probabilities` the other two outputs are the largest and its place. It is not compared step by step:
        # another precision may put a letter one step further (0.73 in one step, 2026-11-21) and read the same.
        networks={
            name: Network(model, parts.golden[name], derived=("probabilities",)) for name, model in parts.models.items()
        },
        settings={SETTINGS: parts.settings, **(evidence or {})},
        preprocessing=Preprocessing(pixel_format, rows, cols, options.roi),
        frame=frame,
        data=data,
        created=run.created,
        evidence=tuple(evidence or ()),
        calibration=calibration,
    )
    return pack(contents, run.runtime, run.precision, run.threads)
