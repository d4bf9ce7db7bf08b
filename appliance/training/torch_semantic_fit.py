"""Fit the semantic decoder by steps on cached features, choose thresholds on parts left out, and pack the bundle."""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from appliance.decision.calibration import FEWEST_GOOD_IMAGES, calibrate
from appliance.schema.bundle import ClassSpec, DataSnapshot, GoodOnlyCalibration, Head, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.backbone import efficientnet_lite, rounded
from appliance.training.fit_run import FitRun
from appliance.training.labelled import Frame
from appliance.training.package import GOLDEN_IMAGES, Contents, FittedBundle, Network, pack
from appliance.training.semantic import SemanticOptions
from appliance.training.semantic_canvas import Canvas, Pictures, canvas_for
from appliance.training.semantic_decoder import TAPS_USED, DecoderWeights, decoder_model
from appliance.training.semantic_folds import Budget, stratified_folds
from appliance.training.semantic_store import CellStore, rows_for
from appliance.training.semantic_thresholds import HeldOut
from appliance.training.steps import Steps, take_steps
from appliance.training.torch_semantic import Decoder, decoder_weights
from appliance.training.torch_semantic_examples import SemanticExamples, SemanticLoss, class_weights

MODEL, SETTINGS = "model", "settings.json"
FEATURES_SHARE, GOLDEN_SHARE = 0.2, 0.95
"""Of the progress: until features are stored, and from when golden tensors are computed."""

State = dict[str, NDArray[np.generic]]
Masks = Sequence[NDArray[np.uint8]]


def fit_decoder_bundle(
    frames: Sequence[Frame],
    masks: Masks,
    classes: Sequence[str],
    pixel_format: PixelFormat,
    run: FitRun,
    options: SemanticOptions,
    groups: Sequence[str] | None,
    task: TaskName = TaskName.SEMANTIC,
    features: frozenset[str] = frozenset(),
) -> FittedBundle:
    """Give the bundle; as `training/semantic.fit_semantic_bundle`, which is what to call.

    task: of the head, semantic or instance. features: classes of things that belong to the part and are no defects.
    """
    run.tell("frames", 0.0)
    kinds, shapes, digest = survey(task, frames, masks, classes)
    canvas = canvas_for(shapes, options.size, options.shrink, options.most_px, options.roi)
    pictures = Pictures(task, frames, pixel_format, canvas)
    folds = stratified_folds(kinds, groups, options.folds, run.seed)
    state = rounded(weights.efficientnet_lite0())
    store = filled_store(pictures, masks, kinds, len(classes), state, digest, run, options)
    marked = np.array([len(one) > 0 for one in kinds])
    budget = Budget(run, passes=options.folds + 1, shares=(FEATURES_SHARE, GOLDEN_SHARE))
    held_out = HeldOut([place > 0 and name not in features for place, name in enumerate(classes)])
    for fold in range(options.folds):
        learned = np.flatnonzero(folds != fold)
        decoder = train_decoder(store, learned, marked, len(classes), budget.next(), options, f"fold {fold + 1}")
        session = run.runtime.load(decoder_model(state, canvas.size, decoder), run.precision, run.threads)
        for place in np.flatnonzero(folds == fold).tolist():
            session.input[0] = pictures.image(place)
            held_out.add(session.run()["probabilities"][0], pictures, masks[place])
    decoder = train_decoder(store, np.arange(len(frames)), marked, len(classes), budget.next(), options, "decoder")
    run.tell("golden tensors", GOLDEN_SHARE)
    return _packed(
        decoder, state, canvas, pictures, held_out, classes, frames, digest, pixel_format, run, options, task, features
    )


def survey(
    task: TaskName, frames: Sequence[Frame], masks: Masks, classes: Sequence[str]
) -> tuple[list[tuple[int, ...]], list[tuple[int, int]], str]:
    """Give the defect classes that each frame shows, its (rows, cols), and the digest of frames and masks.

    ConfigError when masks, frames and classes do not fit together, or a class is nowhere.
    """
    if not len(frames) or len(frames) != len(masks):
        raise ConfigError(f"{task} training: {len(frames)} frames, {len(masks)} masks; give one mask per frame")
    kinds, shapes, digest = [], [], hashlib.sha256()
    for place in range(len(frames)):
        frame, mask = frames[place], masks[place]
        if mask.shape != frame.shape[:2]:
            raise ConfigError(
                f"{task} training: mask {place + 1} is {mask.shape}, its frame {frame.shape[:2]}; give the class of "
                "each frame pixel"
            )
        shown = np.unique(mask)
        if int(shown[-1]) >= len(classes):
            raise ConfigError(
                f"{task} training: mask {place + 1} holds class {int(shown[-1])}, classes are {len(classes)}; name it"
            )
        for content in (repr(frame.shape).encode(), np.ascontiguousarray(frame).data, mask.tobytes()):
            digest.update(content)
        kinds.append(tuple(int(label) for label in shown if label))
        shapes.append((frame.shape[0], frame.shape[1]))
    missing = sorted(set(range(1, len(classes))) - {label for one in kinds for label in one})
    if missing:
        raise ConfigError(
            f"{task} training: class {classes[missing[0]]} is on none of {len(frames)} masks; give frames of it, or "
            "leave the class out"
        )
    return kinds, shapes, digest.hexdigest()


def filled_store(
    pictures: Pictures,
    masks: Masks,
    kinds: Sequence[tuple[int, ...]],
    classes: int,
    state: State,
    digest: str,
    run: FitRun,
    options: SemanticOptions,
) -> CellStore:
    """Give the features of every row and the classes of its cells; blocks for about 20 ms per row."""
    canvas = pictures.canvas
    rows = rows_for(np.array([len(one) > 0 for one in kinds]), options.copies)
    what = f"{digest} {run.runtime.name} {run.precision} {run.seed} {canvas} {options.augmentation} {options.cover}"
    key = hashlib.sha256(f"{what} {options.copies} {classes}".encode()).hexdigest()[:16]
    store = CellStore(run.folder, key, rows, canvas.size, options.cover)
    session = run.runtime.load(efficientnet_lite(state, canvas.size, TAPS_USED), run.precision, run.threads)
    store.fill(
        pictures,
        masks,
        classes,
        options.augmentation,
        run.seed,
        session,
        lambda share: run.tell("features", FEATURES_SHARE * share),
    )
    return store


def train_decoder(
    store: CellStore,
    learned: NDArray[np.intp],
    marked: NDArray[np.bool_],
    classes: int,
    budget: tuple[FitRun, tuple[float, float]],
    options: SemanticOptions,
    name: str,
) -> DecoderWeights:
    """Give the decoder trained on some frames; blocks for a minute. ConfigError when none shows a defect."""
    run, shares = budget
    examples = SemanticExamples(store, learned, marked)
    if not len(examples):
        raise ConfigError(
            f"semantic training: the {len(learned)} frames of {name} show no defect; give defects of more parts"
        )
    counts = examples.counts(classes)
    torch.manual_seed(run.seed)
    network = Decoder(store.deviations(examples.rows), classes)
    network.start_from(counts)
    passes = max(options.passes, -(-options.least_steps * options.batch // len(examples)))
    plan = Steps(passes, options.batch, options.rate, options.decay)
    title = f"semantic {name}"
    take_steps(
        network,
        examples,
        SemanticLoss(class_weights(counts)),
        plan,
        run,
        f"{title}-{store.key}".replace(" ", "-"),
        shares,
    )
    return decoder_weights(network)


def _packed(
    decoder: DecoderWeights,
    state: State,
    canvas: Canvas,
    pictures: Pictures,
    held_out: HeldOut,
    classes: Sequence[str],
    frames: Sequence[Frame],
    digest: str,
    pixel_format: PixelFormat,
    run: FitRun,
    options: SemanticOptions,
    task: TaskName,
    features: frozenset[str],
) -> FittedBundle:
    model = decoder_model(state, canvas.size, decoder)
    golden = np.linspace(0, len(frames) - 1, min(GOLDEN_IMAGES, len(frames))).round().astype(int)
    levels = held_out.thresholds()
    specs = (
        ClassSpec(classes[0], defect=False),
        *(ClassSpec(name, name not in features, level) for name, level in zip(classes[1:], levels, strict=True)),
    )
    settings = {"cover": options.cover, "fewest_cells": options.fewest_cells, "seed": run.seed}
    contents = Contents(
        heads=(Head(task, specs, SETTINGS),),
        networks={MODEL: Network(model, np.stack([pictures.image(int(place)) for place in golden]))},
        settings={SETTINGS: msgspec.json.format(msgspec.json.encode(settings, order="sorted"))},
        preprocessing=canvas.preprocessing(pixel_format),
        frame=np.array(frames[0]),
        data=DataSnapshot(len(frames), digest, options.synthetic_share),
        created=run.created,
        calibration=_limits(held_out.good_scores, options),
    )
    return pack(contents, run.runtime, run.precision, run.threads)


def _limits(scores: Sequence[float], options: SemanticOptions) -> GoodOnlyCalibration | None:
    """Give the limits that good frames set; None with too few of them, which leaves the bundle uncalibrated."""
    if len(scores) < FEWEST_GOOD_IMAGES:
        return None
    return calibrate(scores, options.hold_back, options.margin)
