"""Fit an instance segmenter from raw frames with known masks: as detection, with prototypes at stride 4."""

from collections.abc import Iterable, Sequence

import numpy as np

from appliance.ports.runtime import Runtime
from appliance.schema.bundle import ClassSpec, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.detection import DetectionOptions, Progress, bundle, gather, learnt_from, run_taps, slim
from appliance.training.detection_cells import CellFeatures, Instances
from appliance.training.detection_fit import fit_detection
from appliance.training.instance_fit import MaskFeatures, fit_masks
from appliance.training.instance_graph import TAPS_USED, instance_model
from appliance.training.labelled import Frame
from appliance.training.package import FittedBundle


def fit_instance_bundle(
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

    As `fit_detection_bundle`; each truth has one mask per object, (rows, cols) bool of the frame.
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
