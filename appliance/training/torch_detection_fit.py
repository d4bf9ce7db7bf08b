"""Fit the multi-scale detection head by steps on cached features, choose its thresholds, and pack the bundle."""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision.calibration import calibrate
from appliance.ports.runtime import Session
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
from appliance.training.backbone import efficientnet_lite, rounded
from appliance.training.detection import (
    MODEL,
    DetectionSettings,
    MultiScaleOptions,
    check_truth,
    input_size,
    shown_region,
)
from appliance.training.detection_cells import Instances, inside
from appliance.training.detection_pyramid import TAPS_USED, pyramid_model
from appliance.training.detection_store import ViewStore, affordable
from appliance.training.detection_thresholds import Answers, answers_of, best_thresholds
from appliance.training.fit_run import FitRun, unnoted
from appliance.training.labelled import Frame, Roi, folds_of
from appliance.training.package import GOLDEN_IMAGES, Contents, FittedBundle, Network, pack
from appliance.training.steps import Steps, take_steps
from appliance.training.torch_detection import DetectionNetwork
from appliance.training.torch_detection_examples import DetectionExamples
from appliance.training.torch_detection_loss import detection_loss
from kernels.preprocess import Preprocessor

# Views take 8 bytes per pixel; more images need fewer views of each. In memory without a folder, on disk with one.
KEPT_BYTES, STORED_BYTES = 2_000_000_000, 16_000_000_000
REHEARSAL = 0.5
"""Share of the passes that the training takes which thresholds are chosen with."""
REHEARSAL_TIME = 0.3
"""Of what is left of a time budget."""
FEWEST_PARTS = 3
"""Below, none is left out and the thresholds stay as given."""


class InputImages(Sequence[NDArray[np.uint8]]):
    """Give the input image of each frame when it is asked for."""

    def __init__(
        self, frames: Sequence[Frame], pixel_format: PixelFormat, roi: Roi | None, size: tuple[int, int]
    ) -> None:
        """Take raw frames, read on access, and how they become images of `size`, (rows, cols)."""
        self._frames, self._format, self._roi, self._size = frames, pixel_format, roi, size
        self._preprocessors: dict[tuple[int, ...], Preprocessor] = {}

    def __len__(self) -> int:
        return len(self._frames)

    @overload
    def __getitem__(self, place: int) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[NDArray[np.uint8]]: ...
    def __getitem__(self, place: int | slice) -> NDArray[np.uint8] | Sequence[NDArray[np.uint8]]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        frame = self._frames[place]
        image = np.empty((*self._size, 3), np.uint8)
        try:
            if frame.shape not in self._preprocessors:
                made = Preprocessor((frame.shape[0], frame.shape[1]), self._format, self._roi, self._size)
                self._preprocessors[frame.shape] = made
            self._preprocessors[frame.shape].run(frame, image)
        except ValueError as cause:
            raise ConfigError(f"detection training: frame {place + 1}: {cause}") from cause
        return image


def fit_multi_scale(
    frames: Sequence[Frame],
    truths: Sequence[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    run: FitRun,
    options: MultiScaleOptions,
    groups: Sequence[str] | None,
    good: Iterable[Frame],
) -> FittedBundle:
    """Give the bundle; as `training/detection.fit_detection_bundle`, which is what to call."""
    run.tell("frames", 0.0)
    known, digest, size = _taken_in(frames, truths, classes, pixel_format, options)
    images = InputImages(frames, pixel_format, options.roi, size)
    state = rounded(weights.efficientnet_lite0())
    session = run.runtime.load(efficientnet_lite(state, size, TAPS_USED), run.precision, run.threads)
    name = f"{digest} {run.runtime.name} {run.precision}"
    most = KEPT_BYTES if run.folder is None else STORED_BYTES
    store = ViewStore(run.folder, name, known, size, affordable(options.views, len(known), size, most), run.seed)
    store.fill(images, session, lambda share: run.tell("features", 0.3 * share))
    every = np.arange(len(known))
    kept = _kept_parts(groups, len(known), options.hold_out, run.seed)
    specs, start = tuple(classes), 0.3
    if kept is not None and any(len(known[place].kinds) for place in every[kept]):
        start = 0.5
        passes = max(1, round(options.passes * REHEARSAL))
        short = replace(run, left_s=_share_of(run.left_s, REHEARSAL_TIME), note=unnoted)
        rehearsal = _trained(store, every[kept], len(classes), passes, short, options, "rehearsal", (0.3, start))
        model = run.runtime.load(pyramid_model(state, size, rehearsal.layers()), run.precision, run.threads)
        answers = [answers_of(model, images[place], known[place], options.nms_iou) for place in every[~kept]]
        specs = _with_thresholds(specs, answers)
    network = _trained(store, every, len(classes), options.passes, run, options, "detector", (start, 0.9))
    model_file = pyramid_model(state, size, network.layers())
    run.tell("golden tensors", 0.9)
    shown = np.linspace(0, len(images) - 1, min(GOLDEN_IMAGES, len(images))).round().astype(int)
    settings = f"{TaskName.DETECTION}.json"
    contents = Contents(
        heads=(Head(TaskName.DETECTION, specs, settings),),
        networks={MODEL: Network(model_file, np.stack([images[place] for place in shown]))},
        settings={settings: msgspec.json.format(msgspec.json.encode(DetectionSettings(options.nms_iou)))},
        preprocessing=Preprocessing(pixel_format, *size, options.roi),
        frame=np.array(frames[0]),
        data=DataSnapshot(len(known), digest, options.synthetic_share),
        created=run.created,
        calibration=_limits(model_file, good, specs, pixel_format, run, options, size),
    )
    return pack(contents, run.runtime, run.precision, run.threads)


def _taken_in(
    frames: Sequence[Frame],
    truths: Sequence[Instances],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    options: MultiScaleOptions,
) -> tuple[list[Instances], str, tuple[int, int]]:
    """Give truths in pixels of the input image, the digest of frames and truths, and the size of the input image."""
    size = input_size(options, frames[0])
    digest = hashlib.sha256()
    known = []
    for place, truth in enumerate(truths):
        frame = frames[place]
        check_truth(f"detection training: truth {place + 1}", truth, len(classes))
        for content in (repr(frame.shape).encode(), np.ascontiguousarray(frame).data, truth.kinds.tobytes()):
            digest.update(content)
        digest.update(truth.boxes.tobytes())
        known.append(replace(inside(truth, shown_region(options.roi, frame, pixel_format), size), masks=()))
    if not any(len(truth.kinds) for truth in known):
        raise ConfigError(f"detection training: {len(known)} frames show no object; give frames that show some")
    return known, digest.hexdigest(), size


def _kept_parts(groups: Sequence[str] | None, images: int, hold_out: float, seed: int) -> NDArray[np.bool_] | None:
    """Say which images the first training learns from; None when the parts are too few to leave some out."""
    parts = images if groups is None else len(set(groups))
    if hold_out <= 0 or parts < FEWEST_PARTS:
        return None
    folds = min(parts, max(2, round(1 / hold_out)))
    kept: NDArray[np.bool_] = folds_of(groups, images, folds, seed) != 0
    return kept


def _trained(
    store: ViewStore,
    images: NDArray[np.intp],
    classes: int,
    passes: int,
    run: FitRun,
    options: MultiScaleOptions,
    name: str,
    shares: tuple[float, float],
) -> DetectionNetwork:
    torch.manual_seed(run.seed)
    network = DetectionNetwork(classes, options.head, store.deviations())
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a fifth faster on the CPU
    plan = Steps(passes, options.batch, options.rate)
    kept = f"{name}-{store.key}-{hashlib.sha256(images.tobytes()).hexdigest()[:8]}"
    take_steps(network, DetectionExamples(store, images), detection_loss, plan, run, kept, shares)
    return network


def _share_of(left_s: Callable[[], float], share: float) -> Callable[[], float]:
    """Give the seconds left of a share of what is left now."""
    kept = (1 - share) * left_s()
    return (lambda: left_s() - kept) if math.isfinite(kept) else left_s


def _with_thresholds(classes: Sequence[ClassSpec], answers: Sequence[Answers]) -> tuple[ClassSpec, ...]:
    found = best_thresholds(answers, [kind.threshold for kind in classes])
    return tuple(replace(kind, threshold=value) for kind, value in zip(classes, found, strict=True))


def _limits(
    model: bytes,
    good: Iterable[Frame],
    classes: Sequence[ClassSpec],
    pixel_format: PixelFormat,
    run: FitRun,
    options: MultiScaleOptions,
    size: tuple[int, int],
) -> GoodOnlyCalibration | None:
    """Give the limits that scores of good parts set; the score is that of tasks/boxes.py."""
    defects = np.array([kind.defect for kind in classes], np.bool_)
    session = run.runtime.load(model, run.precision, run.threads)
    scores = list(_image_scores(session, good, defects, pixel_format, options.roi, size))
    return calibrate(scores, options.hold_back) if scores else None


def _image_scores(
    session: Session,
    frames: Iterable[Frame],
    defects: NDArray[np.bool_],
    pixel_format: PixelFormat,
    roi: Roi | None,
    size: tuple[int, int],
) -> Iterator[float]:
    for frame in frames:
        session.input[0] = InputImages([frame], pixel_format, roi, size)[0]
        yield float(session.run()["scores"][0][:, defects].max(initial=0.0))
