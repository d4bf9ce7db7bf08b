"""Fit an instance segmenter by steps: the multi-scale detector for boxes, the semantic decoder for what they hold.

Both learn from features of one frozen backbone and are written into one graph; the decoder tells each class from the
background, and what tells touching objects of one class apart is their boxes.
"""

from collections.abc import Sequence
from typing import overload

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision.calibration import FEWEST_GOOD_IMAGES, calibrate
from appliance.ports.runtime import Session
from appliance.schema.bundle import ClassSpec, DataSnapshot, GoodOnlyCalibration, Head, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import detection_pyramid, weights
from appliance.training.backbone import efficientnet_lite, rounded
from appliance.training.detection import MODEL, DetectionSettings, MultiScaleOptions, check_truth
from appliance.training.detection_cells import Instances
from appliance.training.detection_store import ViewStore
from appliance.training.detection_thresholds import answers_of, best_thresholds
from appliance.training.fit_run import FitRun
from appliance.training.instance import InstanceOptions
from appliance.training.instance_pyramid import instance_pyramid_model
from appliance.training.labelled import Frame
from appliance.training.package import GOLDEN_IMAGES, Contents, FittedBundle, Network, pack
from appliance.training.semantic import BACKGROUND
from appliance.training.semantic_canvas import Pictures, canvas_for
from appliance.training.semantic_folds import Budget, stratified_folds
from appliance.training.steps import Steps, take_steps
from appliance.training.torch_detection import DetectionNetwork
from appliance.training.torch_detection_examples import DetectionExamples
from appliance.training.torch_detection_loss import detection_loss
from appliance.training.torch_semantic_fit import filled_store, fit_decoder_bundle, survey, train_decoder

FEATURES = (0.2, 0.35)
"""Progress when the decoder's features are stored, and the detector's."""
GOLDEN_SHARE = 0.95
TRAININGS = 3
"""A first detector, to choose thresholds and limits with, the one that is kept, and the decoder."""


class ClassMasks(Sequence[NDArray[np.uint8]]):
    """Give the class of each pixel of each frame, 0 the background; of objects that overlap the smaller is on top."""

    def __init__(self, frames: Sequence[Frame], truths: Sequence[Instances]) -> None:
        """Take frames, for their shapes, and what is true of them, both read on access."""
        self._frames, self._truths = frames, truths

    def __len__(self) -> int:
        return len(self._truths)

    @overload
    def __getitem__(self, place: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[NDArray[np.uint8]]: ...
    def __getitem__(self, place: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        truth = self._truths[place]
        if len(truth.masks) != len(truth.kinds):
            raise ConfigError(
                f"instance training: truth {place + 1} has {len(truth.masks)} masks for {len(truth.kinds)} objects; "
                "give one for each"
            )
        shape = truth.masks[0].shape if truth.masks else self._frames[place].shape[:2]
        classes = np.zeros(shape, np.uint8)
        for kind, mask in sorted(zip(truth.kinds, truth.masks, strict=True), key=lambda pair: -int(pair[1].sum())):
            classes[mask] = 1 + kind
        return classes


class Images(Sequence[NDArray[np.uint8]]):
    """Give the input image of each frame when it is asked for."""

    def __init__(self, pictures: Pictures) -> None:
        """Take what makes them."""
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self._pictures)

    @overload
    def __getitem__(self, place: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[NDArray[np.uint8]]: ...
    def __getitem__(self, place: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        return self._pictures.image(place)


def fit_regions(
    frames: Sequence[Frame],
    truths: Sequence[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    run: FitRun,
    options: InstanceOptions,
    groups: Sequence[str] | None,
    good: Sequence[Frame],
) -> FittedBundle:
    """Give the bundle whose objects are connected regions; as `training/instance.fit_instance_bundle`."""
    if not len(frames) or len(frames) != len(truths):
        raise ConfigError(f"instance training: {len(frames)} frames, {len(truths)} truths; give one truth per frame")
    for place in range(len(truths)):
        check_truth(f"instance training: truth {place + 1}", truths[place], len(classes))
    if len(good):
        parts = [f"frame {place}" for place in range(len(frames))] if groups is None else list(groups)
        groups = [*parts, *(f"good {place}" for place in range(len(good)))]
        nothing = Instances(np.zeros(0, np.intp), np.zeros((0, 4)))
        frames, truths = [*frames, *good], [*truths, *[nothing] * len(good)]
    return fit_decoder_bundle(
        frames,
        ClassMasks(frames, truths),
        (BACKGROUND, *(one.name for one in classes)),
        pixel_format,
        run,
        options.outlines,
        groups,
        TaskName.INSTANCE,
        frozenset(one.name for one in classes if not one.defect),
    )


def fit_instances(
    frames: Sequence[Frame],
    truths: Sequence[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    run: FitRun,
    options: InstanceOptions,
    groups: Sequence[str] | None,
    good: Sequence[Frame],
) -> FittedBundle:
    """Give the bundle; as `training/instance.fit_instance_bundle`, which is what to call."""
    run.tell("frames", 0.0)
    if not len(frames) or len(frames) != len(truths):
        raise ConfigError(f"instance training: {len(frames)} frames, {len(truths)} truths; give one truth per frame")
    for place in range(len(truths)):
        check_truth(f"instance training: truth {place + 1}", truths[place], len(classes))
    masks, how = ClassMasks(frames, truths), options.outlines
    names = (BACKGROUND, *(one.name for one in classes))
    kinds, shapes, digest = survey(TaskName.INSTANCE, frames, masks, names)
    canvas = canvas_for(shapes, how.size, how.shrink, how.most_px, how.roi)
    pictures = Pictures(TaskName.INSTANCE, frames, pixel_format, canvas)
    images = Images(pictures)
    state = rounded(weights.efficientnet_lite0())
    store = filled_store(pictures, masks, kinds, len(names), state, digest, run, how)
    known = [placed(pictures, truths[place], shapes[place]) for place in range(len(truths))]
    session = run.runtime.load(
        efficientnet_lite(state, canvas.size, detection_pyramid.TAPS_USED), run.precision, run.threads
    )
    views = ViewStore(
        run.folder,
        f"{digest} {canvas} {run.runtime.name} {run.precision}",
        known,
        canvas.size,
        options.objects.views,
        run.seed,
    )
    views.fill(images, session, lambda share: run.tell("features", FEATURES[0] + (FEATURES[1] - FEATURES[0]) * share))
    budget = Budget(run, TRAININGS, (FEATURES[1], GOLDEN_SHARE))
    every = np.arange(len(known))
    marked = np.array([len(one) > 0 for one in kinds])
    left_out = stratified_folds(kinds, groups, max(2, round(1 / max(options.objects.hold_out, 0.01))), run.seed) == 0
    first = _detector(views, every[~left_out], len(classes), options.objects, budget.next(), "first detector")
    rehearsal = run.runtime.load(
        detection_pyramid.pyramid_model(state, canvas.size, first.layers()), run.precision, run.threads
    )
    answers = [answers_of(rehearsal, images[place], known[place], options.objects.nms_iou) for place in every[left_out]]
    found = best_thresholds(answers, [kind.threshold for kind in classes])
    specs = tuple(replace(kind, threshold=level) for kind, level in zip(classes, found, strict=True))
    defects = np.array([kind.defect for kind in classes], np.bool_)
    unseen = [images[place] for place in every[left_out & ~marked]]
    unseen += [Pictures(f"{TaskName.INSTANCE} good", good, pixel_format, canvas).image(n) for n in range(len(good))]
    scores = [_score(rehearsal, image, defects) for image in unseen]
    network = _detector(views, every, len(classes), options.objects, budget.next(), "detector")
    decoder = train_decoder(store, every, marked, len(names), budget.next(), how, "outlines")
    run.tell("golden tensors", GOLDEN_SHARE)
    golden = np.linspace(0, len(frames) - 1, min(GOLDEN_IMAGES, len(frames))).round().astype(int)
    model = instance_pyramid_model(state, canvas.size, network.layers(), decoder)
    settings = f"{TaskName.INSTANCE}.json"
    contents = Contents(
        heads=(Head(TaskName.INSTANCE, specs, settings),),
        networks={MODEL: Network(model, np.stack([images[int(place)] for place in golden]))},
        settings={settings: msgspec.json.format(msgspec.json.encode(DetectionSettings(options.objects.nms_iou)))},
        preprocessing=canvas.preprocessing(pixel_format),
        frame=np.array(frames[0]),
        data=DataSnapshot(len(frames), digest, how.synthetic_share),
        created=run.created,
        calibration=_limits(scores, options.objects),
    )
    return pack(contents, run.runtime, run.precision, run.threads)


def placed(pictures: Pictures, truth: Instances, shape: tuple[int, int]) -> Instances:
    """Give kinds and boxes in pixels of the input image, without masks; what lies beside the region is left out.

    shape: (rows, cols) of the frame.
    """
    x, y, width, height = pictures.placing(shape).window
    rows, cols = pictures.canvas.size
    region = pictures.placing(shape).roi
    low, high = np.array(region[:2]), np.array(region[:2]) + region[2:]
    corners = truth.boxes.reshape(-1, 2, 2).clip(low, high)
    boxes = ((corners - [x, y]) * [cols / width, rows / height]).reshape(-1, 4)
    kept = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
    return Instances(truth.kinds[kept], boxes[kept])


def _detector(
    views: ViewStore,
    learned: NDArray[np.intp],
    classes: int,
    options: MultiScaleOptions,
    budget: tuple[FitRun, tuple[float, float]],
    name: str,
) -> DetectionNetwork:
    run, shares = budget
    torch.manual_seed(run.seed)
    network = DetectionNetwork(classes, options.head, views.deviations())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on the CPU
    plan = Steps(options.passes, options.batch, options.rate)
    examples = DetectionExamples(views, learned)
    take_steps(network, examples, detection_loss, plan, run, f"instance-{name}-{views.key}".replace(" ", "-"), shares)
    return network


def _score(session: Session, image: NDArray[np.uint8], defects: NDArray[np.bool_]) -> float:
    """Give the image score, that of tasks/boxes.py."""
    session.input[0] = image
    return float(session.run()["scores"][0][:, defects].max(initial=0.0))


def _limits(scores: Sequence[float], options: MultiScaleOptions) -> GoodOnlyCalibration | None:
    """Give the limits that good frames set; None with too few of them, which leaves the bundle uncalibrated."""
    return calibrate(scores, options.hold_back) if len(scores) >= FEWEST_GOOD_IMAGES else None
