"""Fit a detector from raw frames with known objects, one call: minutes with torch, a minute without.

With torch a multi-scale head learns by steps (training/torch_detection_fit.py). Without it, or for a quick start, the
backbone is slimmed to the product and a small head is fitted in closed form. Features come from the runtime and in the
precision of the line.
"""

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.calibration import calibrate
from appliance.ports.runtime import Runtime
from appliance.schema.bundle import (
    ClassSpec,
    DataSnapshot,
    GoodOnlyCalibration,
    Head,
    Preprocessing,
    TaskName,
)
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.backbone import efficientnet_lite0
from appliance.training.detection_cells import CellFeatures, Instances, inside, mirrored
from appliance.training.detection_fit import fit_detection
from appliance.training.detection_graph import TAPS_USED, detection_model
from appliance.training.detection_pyramid import PyramidPlan
from appliance.training.detection_slim import slim_backbone
from appliance.training.detection_views import Views
from appliance.training.fit_run import FitRun
from appliance.training.labelled import Frame, Intake, Roi, run_each
from appliance.training.package import Contents, FittedBundle, Network, pack

MODEL = "model"
# More change nothing in which channels are kept, and the covariances take a second.
SLIMMING_IMAGES = 24
# Longer sides are reduced: a pass of the backbone takes 45 ms of one core at 640 x 640.
LARGEST_SIDE_PX = 640
SIDE_MULTIPLE_PX = 32

State = dict[str, NDArray[np.generic]]
Progress = Callable[[str, float], None]


class DetectionOptions(Struct, frozen=True):
    """Choose how a detector is fitted; the defaults are those measured in training/README.md."""

    size: tuple[int, int] = (416, 416)
    """(rows, cols) of the input image, multiples of 16."""
    roi: Roi | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    channels: float = 0.5
    """Share of the channels inside the backbone's blocks that are kept; 1 keeps the published network."""
    nms_iou: float = 0.3
    """Of two boxes of one class that overlap by more the weaker is dropped."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    mirrored: bool = True
    """Learn from each image mirrored left to right and upside down too: three times the objects. Off where a mirrored
    object is another thing."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered."""
    seed: int = 0
    threads: int = 2


class MultiScaleOptions(Struct, frozen=True):
    """Choose how the multi-scale head learns; the defaults are those measured in training/README.md."""

    size: tuple[int, int] | None = None
    """(rows, cols) of the input image, multiples of 32; None: those of what is shown, `LARGEST_SIDE_PX` at most."""
    roi: Roi | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    head: PyramidPlan = PyramidPlan()
    views: Views = Views()
    passes: int = 8
    """Over cuts around every object."""
    batch: int = 16
    rate: float = 3e-3
    nms_iou: float = 0.4
    """Of two boxes of one class that overlap by more the weaker is dropped."""
    hold_out: float = 0.2
    """Share of the parts that a first, shorter training leaves out, to choose the thresholds on; 0 keeps those given.
    The head that is kept learns from all parts."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered."""


class DetectionSettings(Struct, frozen=True):
    """State how a bundle's boxes become findings; `detection.json` of the bundle."""

    nms_iou: float


class Examples(Struct, frozen=True):
    """Hold the training data as the network sees it."""

    images: NDArray[np.uint8]
    """(images, rows, cols, 3) uint8."""
    truths: tuple[Instances, ...]
    """Of `detection_cells.inside`."""
    first: Frame
    data: DataSnapshot


def fit_detection_bundle(
    frames: Sequence[Frame],
    truths: Sequence[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    run: FitRun,
    options: MultiScaleOptions | None = None,
    groups: Sequence[str] | None = None,
    good: Iterable[Frame] = (),
) -> FittedBundle:
    """Give a detection bundle whose multi-scale head learnt from frames with their objects; blocks for minutes.

    frames: raw camera frames of one shape, (rows, cols) or (rows, cols, 3) uint8 of `pixel_format`, read on access and
    not kept. truths: one per frame; boxes in frame pixels, kinds in the order of `classes`. groups: one per frame, of
    the part it shows; None makes each frame a part. good: frames of other parts without defect, which set the limits;
    none leaves the bundle uncalibrated. Without torch the closed-form head of `fit_detection_bundle_closed` is fitted.
    Raises ConfigError for frames and truths that do not fit together, RuntimeFault when the model cannot be built or
    run.
    """
    options = options or MultiScaleOptions()
    if not len(frames) or len(frames) != len(truths):
        raise ConfigError(f"detection training: {len(frames)} frames, {len(truths)} truths; give one truth per frame")
    if importlib.util.find_spec("torch") is None:
        run.tell("no torch: closed-form head", 0.0)
        return fit_detection_bundle_closed(
            frames,
            truths,
            classes,
            pixel_format,
            run.runtime,
            run.precision,
            run.created,
            DetectionOptions(
                size=input_size(options, frames[0]),
                roi=options.roi,
                hold_back=options.hold_back,
                mirrored=options.views.mirrored,
                synthetic_share=options.synthetic_share,
                seed=run.seed,
                threads=run.threads,
            ),
            good,
            run.tell,
        )
    from appliance.training.torch_detection_fit import fit_multi_scale

    return fit_multi_scale(frames, truths, classes, pixel_format, run, options, groups, good)


def fit_detection_bundle_closed(
    frames: Iterable[Frame],
    truths: Iterable[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    created: str,
    options: DetectionOptions | None = None,
    good: Iterable[Frame] = (),
    progress: Progress | None = None,
) -> FittedBundle:
    """Give a detection bundle fitted from frames with their objects; blocks for about a minute.

    frames: raw camera frames of one shape, (rows, cols) or (rows, cols, 3) uint8 of `pixel_format`, read one by one and
    not kept. truths: one per frame; boxes in frame pixels, kinds in the order of `classes`. good: frames of other parts
    without defect, which set the limits; none leaves the bundle uncalibrated. runtime, precision: those of the line.
    created: UTC, ISO 8601. progress: told (step, share done). Raises ConfigError for frames and truths that do not fit
    together, RuntimeFault when the model cannot be built or run.
    """
    options, tell = options or DetectionOptions(), progress or _silent
    random = np.random.default_rng(options.seed)
    tell("frames", 0.0)
    examples = gather(TaskName.DETECTION, frames, truths, classes, pixel_format, options)
    tell("backbone", 0.2)
    state = slim(examples.images, options, runtime)
    tell("features", 0.3)
    features = CellFeatures()
    images, known = learnt_from(examples, options)
    for taps in run_taps(state, images, TAPS_USED, options, runtime, precision):
        features.add(taps["s8"], taps["s16"])
    tell("head", 0.5)
    head = fit_detection(features, known, len(classes), random)
    tell("golden tensors", 0.9)
    return bundle(
        TaskName.DETECTION,
        detection_model(state, options.size, head),
        examples,
        classes,
        good,
        pixel_format,
        runtime,
        precision,
        created,
        options,
    )


def input_size(options: MultiScaleOptions, frame: Frame) -> tuple[int, int]:
    """Give (rows, cols) of the input image for frames like this one."""
    if options.size is not None:
        return options.size
    rows, cols = frame.shape[:2] if options.roi is None else (options.roi[3], options.roi[2])
    scale = min(1.0, LARGEST_SIDE_PX / max(rows, cols))
    multiples = [max(1, round(side * scale / SIDE_MULTIPLE_PX)) for side in (rows, cols)]
    return multiples[0] * SIDE_MULTIPLE_PX, multiples[1] * SIDE_MULTIPLE_PX


def gather(
    task: TaskName,
    frames: Iterable[Frame],
    truths: Iterable[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    options: DetectionOptions,
) -> Examples:
    """Give the training data as the network sees it; ConfigError names the frame that does not fit."""
    intake = Intake(task, pixel_format, options.size, options.roi)
    known: list[Instances] = []
    for frame, truth in _pairs(task, frames, truths):
        check_truth(f"{task} training: truth {len(known) + 1}", truth, len(classes))
        intake.add(frame, b"".join(part.tobytes() for part in (truth.kinds, truth.boxes, *truth.masks)))
        known.append(inside(truth, shown_region(options.roi, frame, pixel_format), options.size))
    if not any(len(truth.kinds) for truth in known):
        raise ConfigError(f"{task} training: {len(known)} frames show no object; give frames that show some")
    return Examples(intake.images(), tuple(known), intake.first, intake.snapshot(options.synthetic_share))


def learnt_from(examples: Examples, options: DetectionOptions) -> tuple[NDArray[np.uint8], tuple[Instances, ...]]:
    """Give images and truths that the head is fitted to: those given and, if wanted, their mirror images."""
    if not options.mirrored:
        return examples.images, examples.truths
    images = [examples.images, examples.images[:, :, ::-1], examples.images[:, ::-1]]
    truths = [mirrored(truth, options.size, axis) for axis in (1, 0) for truth in examples.truths]
    return np.concatenate(images), (*examples.truths, *truths)


def slim(images: NDArray[np.uint8], options: DetectionOptions, runtime: Runtime) -> State:
    """Give the backbone's weights slimmed on images spread over those given."""
    spread = np.linspace(0, len(images) - 1, min(SLIMMING_IMAGES, len(images))).round().astype(int)
    state = weights.efficientnet_lite0()
    return slim_backbone(state, options.size, images[spread], options.channels, runtime, options.threads)


def run_taps(
    state: State,
    images: NDArray[np.uint8],
    taps: tuple[str, ...],
    options: DetectionOptions,
    runtime: Runtime,
    precision: str,
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield the backbone's taps of each image, (channels, rows / s, cols / s) float32, valid until the next."""
    session = runtime.load(efficientnet_lite0(state, options.size, taps), precision, options.threads)
    for image in images:
        session.input[0] = image
        results = session.run()
        yield {tap: results[tap][0].astype(np.float32, copy=False) for tap in taps}


def bundle(
    task: TaskName,
    model: bytes,
    examples: Examples,
    classes: Sequence[ClassSpec],
    good: Iterable[Frame],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    created: str,
    options: DetectionOptions,
) -> FittedBundle:
    """Give the bundle of a fitted model."""
    settings = f"{task}.json"
    contents = Contents(
        heads=(Head(task, tuple(classes), settings),),
        networks={MODEL: Network(model, examples.images)},
        settings={settings: msgspec.json.format(msgspec.json.encode(DetectionSettings(options.nms_iou)))},
        preprocessing=Preprocessing(pixel_format, *options.size, options.roi),
        frame=examples.first,
        data=examples.data,
        created=created,
        calibration=_limits(task, model, good, classes, pixel_format, runtime, precision, options),
    )
    return pack(contents, runtime, precision, options.threads)


def _silent(step: str, share: float) -> None:
    """Take no notice."""


def _pairs(task: TaskName, frames: Iterable[Frame], truths: Iterable[Instances]) -> Iterator[tuple[Frame, Instances]]:
    try:
        yield from zip(frames, truths, strict=True)
    except ValueError as cause:
        raise ConfigError(f"{task} training: frames and truths: {cause}; give one truth per frame") from cause


def shown_region(roi: Roi | None, frame: Frame, pixel_format: PixelFormat) -> Roi:
    """Give the region of interest, or the whole frame as preprocessing sees it."""
    if roi is not None:
        return roi
    even = ~1 if pixel_format is PixelFormat.BAYER_RG8 else ~0  # as the preprocessing kernel cuts an odd last line
    return (0, 0, frame.shape[1] & even, frame.shape[0] & even)


def check_truth(name: str, truth: Instances, classes: int) -> None:
    """Raise ConfigError when boxes and kinds do not fit together or a kind is none of the classes."""
    boxes, kinds = truth.boxes, truth.kinds
    if boxes.shape != (len(kinds), 4) or ((kinds < 0) | (kinds >= classes)).any():
        raise ConfigError(
            f"{name}: {boxes.shape} boxes of kinds {kinds.tolist()}; give one box of four numbers per object and kinds "
            f"below {classes}"
        )


def _limits(
    task: TaskName,
    model: bytes,
    good: Iterable[Frame],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    options: DetectionOptions,
) -> GoodOnlyCalibration | None:
    """Give the limits that scores of good parts set; the score is that of tasks/boxes.py."""
    intake = Intake(f"{task} good", pixel_format, options.size, options.roi)
    shown = False
    for frame in good:
        intake.add(frame, b"")
        shown = True
    if not shown:
        return None
    defects = np.array([kind.defect for kind in classes], np.bool_)
    scores = run_each(runtime.load(model, precision, options.threads), intake.images(), "scores")
    return calibrate(scores[:, :, defects].max(axis=(1, 2), initial=0.0).tolist(), options.hold_back)
