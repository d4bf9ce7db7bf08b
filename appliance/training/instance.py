"""Fit an instance segmenter from raw frames with known masks: as detection, with prototypes at stride 4.

With torch the decoder of the semantic task tells the classes of cells, and objects are its connected regions or what
the boxes of the multi-scale detector hold; without torch boxes and masks are fitted in closed form.
"""

import importlib.util
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct

from appliance.ports.runtime import Runtime
from appliance.schema.bundle import ClassSpec, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.detection import (
    DetectionOptions,
    MultiScaleOptions,
    Progress,
    bundle,
    gather,
    learnt_from,
    run_taps,
    slim,
)
from appliance.training.detection_cells import CellFeatures, Instances
from appliance.training.detection_fit import fit_detection
from appliance.training.fit_run import FitRun
from appliance.training.instance_fit import MaskFeatures, fit_masks
from appliance.training.instance_graph import TAPS_USED, instance_model
from appliance.training.labelled import Frame
from appliance.training.package import FittedBundle
from appliance.training.semantic import SemanticOptions


class InstanceOptions(Struct, frozen=True):
    """Choose how both halves learn; the defaults are those measured in training/README.md."""

    regions: bool = True
    """Each connected region of a class is an object: better where defects are few and lie apart. Off where objects of
    one class touch: then boxes tell them apart."""
    objects: MultiScaleOptions = MultiScaleOptions()
    """Of boxes, thresholds and limits; its size and region are not read. For boxes alone."""
    outlines: SemanticOptions = SemanticOptions(most_px=416 * 416)
    """Of the input image and the masks; beside boxes its folds and limits are not read."""


def fit_instance_bundle(
    frames: Sequence[Frame],
    truths: Sequence[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    run: FitRun,
    options: InstanceOptions | None = None,
    groups: Sequence[str] | None = None,
    good: Sequence[Frame] = (),
) -> FittedBundle:
    """Give an instance bundle; blocks for minutes.

    frames: raw camera frames of any sizes, read on access and not kept. truths: one per frame, each with one mask per
    object, (rows, cols) bool of the frame; kinds in the order of `classes`. groups: one name per frame, frames of one
    part share it; None makes each frame a part. good: frames of other parts without defect; with those among `frames`
    that show none and were left out of a first training they set the limits. Without torch the closed-form model of
    `fit_instance_bundle_closed` is fitted. ConfigError when these do not fit together, RuntimeFault when the model
    cannot be built or run.
    """
    options = options or InstanceOptions()
    if importlib.util.find_spec("torch") is None:
        run.tell("no torch: closed-form head", 0.0)
        closed = DetectionOptions(
            size=options.outlines.size or DetectionOptions().size,
            roi=options.outlines.roi,
            nms_iou=options.objects.nms_iou,
            hold_back=options.objects.hold_back,
            mirrored=options.objects.views.mirrored,
            synthetic_share=options.outlines.synthetic_share,
            seed=run.seed,
            threads=run.threads,
        )
        given = (frames, truths, classes, pixel_format, run.runtime, run.precision, run.created)
        return fit_instance_bundle_closed(*given, closed, good, run.tell)
    from appliance.training.torch_instance_fit import fit_instances, fit_regions

    how = fit_regions if options.regions else fit_instances
    return how(frames, truths, classes, pixel_format, run, options, groups, good)


def fit_instance_bundle_closed(
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
    """Give an instance bundle fitted from frames with their masks; blocks for about a minute.

    As `fit_detection_bundle_closed`; each truth has one mask per object, (rows, cols) bool of the frame.
    """
    options, tell = options or DetectionOptions(), progress or (lambda _step, _share: None)
    random = np.random.default_rng(options.seed)
    tell("frames", 0.0)
    examples = gather(TaskName.INSTANCE, frames, truths, classes, pixel_format, options)
    tell("backbone", 0.2)
    state = slim(examples.images, options, runtime)
    tell("features", 0.3)
    cells = CellFeatures()
    masks = MaskFeatures(cells)
    images, known = learnt_from(examples, options)
    for taps in run_taps(state, images, TAPS_USED, options, runtime, precision):
        cells.add(taps["s8"], taps["s16"])
        masks.add(taps["s4"])
    tell("head", 0.5)
    head = fit_detection(cells, known, len(classes), random)
    tell("masks", 0.8)
    try:
        layers = fit_masks(masks, known, options.size, len(classes), random)
    except ValueError as cause:
        raise ConfigError(f"instance training: {cause}") from cause
    tell("golden tensors", 0.9)
    return bundle(
        TaskName.INSTANCE,
        instance_model(state, options.size, head, layers),
        examples,
        classes,
        good,
        pixel_format,
        runtime,
        precision,
        created,
        options,
    )
