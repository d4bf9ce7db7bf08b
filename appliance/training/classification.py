"""Fit the classification model from labelled frames: seconds to minutes, no torch, one call.

The backbone stays as it is; a random layer bends what small marks look like, and softmax regression on means and
largest values over the image does the rest. Scores that limits and probabilities are set by come from models that did
not see the part. On demand the last fifth of the layers learns on, and is kept if parts held out say so.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.calibration import calibrate_if_enough, capped
from appliance.schema.bundle import ClassSpec, Head, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.backbone import rounded
from appliance.training.classification_features import Features, Pictures, State, compute_features
from appliance.training.classification_graph import ClassificationWeights, classification_model
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from appliance.training.labelled import Frame, run_each
from appliance.training.linear import Floats, Linear, fit_softmax
from appliance.training.package import Contents, FittedBundle, Network, pack

SETTINGS = "settings.json"
RECORD = "fit.json"
# A class is learned from at least this many images.
FEWEST_IMAGES = 2
# Good images that set the limits; more would only take time.
MOST_GOOD = 2000
# Fine-tuning is kept when it lowers the log loss on parts held out by this share; less may be chance.
LEAST_GAIN = 0.03
# Bounds of the inverse temperature, and steps of the search between them.
COOLEST, HOTTEST, TEMPERATURE_STEPS = 0.05, 4.0, 60


class FitRecord(Struct, frozen=True):
    """State what the fit chose and why; `fit.json` of the bundle."""

    variant: str
    parts: int
    rows: int
    """Rows of features learned from per frame: its copies, and the unchanged one once more in f32."""
    temperature: float
    """Logits were divided by this, fitted on parts held out."""
    log_loss: float
    """Mean on parts held out, with that temperature."""
    accuracy: float
    """On parts held out."""
    tuned: bool
    """True: the last fifth of the layers learned on, since it lowered the log loss on parts held out."""
    tuned_log_loss: tuple[float, ...] = ()
    """The same after each pass of fine-tuning; empty: not tried."""


class FittedClassification(Struct, frozen=True):
    """Hold the fitted weights, the model, and what good images score in models that did not see them."""

    weights: ClassificationWeights
    model: bytes
    good_scores: tuple[float, ...]
    record: FitRecord
    features: Features


def fit_classification_bundle(
    frames: Iterable[Frame],
    labels: Sequence[str],
    classes: Sequence[str],
    pixel_format: PixelFormat,
    run: FitRun,
    options: ClassificationOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedBundle:
    """Give a classification bundle; blocks for seconds to minutes.

    frames: raw camera frames, best a sequence that reads them from disk each time: then memory does not grow with
    them; labels: the class of each; classes: the taxonomy, the first is the good one. groups: one name per frame,
    frames of one part share it. ConfigError when these do not fit together or good images are too few.
    """
    options = options or ClassificationOptions()
    truth = _indices(labels, classes)
    pictures = Pictures(frames, len(labels), pixel_format, options, run.seed)
    fitted = fit_classification(pictures, truth, len(classes), run, options, groups)
    specs = (
        ClassSpec(classes[0], defect=False),
        *(ClassSpec(name, threshold=options.named_from) for name in classes[1:]),
    )
    limits = calibrate_if_enough(fitted.good_scores, options.hold_back, options.margin)
    contents = Contents(
        heads=(Head(TaskName.CLASSIFICATION, specs, SETTINGS),),
        networks={"model": Network(fitted.model, pictures.golden())},
        settings={SETTINGS: b"{}", RECORD: msgspec.json.format(msgspec.json.encode(fitted.record))},
        preprocessing=pictures.how,
        frame=pictures.frame(0),
        data=fitted.features.data,
        created=run.created,
        calibration=None if limits is None else capped(limits, options.threshold),
        evidence=(RECORD,),
    )
    return pack(contents, run.runtime, run.precision, run.threads)


def fit_classification(
    pictures: Pictures,
    labels: NDArray[np.intp],
    classes: int,
    run: FitRun,
    options: ClassificationOptions,
    groups: Sequence[str] | None = None,
) -> FittedClassification:
    """Give the model for pictures with labels in [0, classes), 0 being good; ConfigError when they do not fit."""
    counts = np.bincount(labels, minlength=classes)
    if len(labels) != len(pictures) or len(counts) > classes or counts.min() < FEWEST_IMAGES:
        raise ConfigError(
            f"classification training: {len(labels)} labels for {len(pictures)} images, {counts.tolist()} of each of "
            f"{classes} classes; every class needs at least {FEWEST_IMAGES} images"
        )
    learn_on = _tuner() if options.finetune else None
    folds = class_folds(groups, labels, options.folds, run.seed)
    state = rounded(weights.efficientnet_lite(options.variant))
    features = compute_features(pictures, labels, state, run, options)
    importance = class_weights(labels, classes, options.balance)

    heads = [
        _fit_head(features, labels, importance, folds != fold, classes, options) for fold in range(folds.max() + 1)
    ]
    logits = np.empty((len(labels), classes), np.float32)
    for fold, head in enumerate(heads):
        logits[folds == fold] = head(features.pooled[folds == fold, 0].astype(np.float32))
    everyone = np.ones(len(labels), np.bool_)
    last = _fit_head(features, labels, importance, everyone, classes, options)
    temperature = fit_temperature(logits, labels)
    models = [(state, head) for head in heads]
    final, tuned = (state, last), False
    losses: tuple[float, ...] = ()
    if learn_on is not None:
        better = learn_on(features, state, labels, importance, folds, [*heads, last], run, options)
        losses = tuple(log_loss(one, labels, fit_temperature(one, labels)) for one in better.logits)
        best = int(np.argmin(losses))
        tuned = losses[best] < (1 - LEAST_GAIN) * log_loss(logits, labels, temperature)
        if tuned:
            logits, models = better.logits[best], better.models(best)
            final, models = models[-1], models[:-1]
            temperature = fit_temperature(logits, labels)

    def built(one: tuple[State, Linear]) -> tuple[ClassificationWeights, bytes]:
        layer = Linear(one[1].weight / temperature, one[1].bias / temperature).rounded()
        whole = ClassificationWeights(features.hidden, layer, options.maxima)
        return whole, classification_model(one[0], pictures.size, whole)

    scores = _good_scores(pictures, labels, folds, [built(one)[1] for one in models], run)
    weights_, model = built(final)
    record = FitRecord(
        variant=options.variant,
        parts=len(labels) if groups is None else len(set(groups)),
        rows=features.pooled.shape[1],
        temperature=round(temperature, 4),
        log_loss=round(log_loss(logits, labels, temperature), 4),
        accuracy=round(float((logits.argmax(axis=1) == labels).mean()), 4),
        tuned=tuned,
        tuned_log_loss=tuple(round(value, 4) for value in losses),
    )
    return FittedClassification(weights_, model, scores, record, features)


def class_weights(labels: NDArray[np.intp], classes: int, balance: float) -> Floats:
    """Give the weight of an image of each class, (classes,) float32; the mean over images is 1."""
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    raw = counts.astype(np.float64) ** -balance
    result: Floats = (raw * len(labels) / (raw * counts).sum()).astype(np.float32)
    return result


def class_folds(groups: Sequence[str] | None, labels: NDArray[np.intp], folds: int, seed: int) -> NDArray[np.intp]:
    """Give each image its fold; images of one group share it, and the groups of each class are spread over the folds.

    groups: one name per image; None makes each image a part. A group counts for its rarest class. ConfigError when
    groups and images do not fit together, or there are fewer than two groups.
    """
    given = [str(index) for index in range(len(labels))] if groups is None else list(groups)
    if len(given) != len(labels):
        raise ConfigError(f"classification training: {len(given)} groups for {len(labels)} images; give one per image")
    names, place = np.unique(np.array(given, np.str_), return_inverse=True)
    if min(len(names), folds) < 2:
        raise ConfigError(f"classification training: {len(names)} parts and {folds} folds; both must be at least 2")
    counts = np.zeros((len(names), int(labels.max(initial=0)) + 1), np.intp)
    np.add.at(counts, (place, labels), 1)
    parts = (counts > 0).sum(axis=0)
    rarest = np.where(counts > 0, parts, len(names) + 1).argmin(axis=1)
    fold_of = np.empty(len(names), np.intp)
    images = np.zeros(folds)
    for label in np.argsort(parts, kind="stable"):
        held = np.zeros(folds)
        for one in np.random.default_rng((seed, int(label))).permutation(np.flatnonzero(rarest == label)):
            fold_of[one] = np.lexsort((images, held))[0]
            held[fold_of[one]] += 1
            images[fold_of[one]] += counts[one].sum()
    # Fewer parts than folds leave some folds empty.
    _, numbered = np.unique(fold_of, return_inverse=True)
    result: NDArray[np.intp] = numbered[place]
    return result


def fit_temperature(logits: Floats, labels: NDArray[np.intp]) -> float:
    """Give the divisor of logits with the least log loss: Guo et al., "On calibration of modern networks" (2017).

    logits: (images, classes) of models that did not see the part. The loss is convex in the inverse: a ternary search.
    """
    low, high = COOLEST, HOTTEST
    for _ in range(TEMPERATURE_STEPS):
        third = (high - low) / 3
        if log_loss(logits, labels, 1 / (low + third)) < log_loss(logits, labels, 1 / (high - third)):
            high -= third
        else:
            low += third
    return 2 / (low + high)


def log_loss(logits: Floats, labels: NDArray[np.intp], temperature: float) -> float:
    """Give the mean of -log of the true class's probability."""
    cooled = logits.astype(np.float64) / temperature
    raised = cooled - cooled.max(axis=1, keepdims=True)
    own = raised[np.arange(len(labels)), labels]
    return float((np.log(np.exp(raised).sum(axis=1)) - own).mean())


def _tuner() -> Callable[..., Any]:
    """Give what learns on in the last layers; ConfigError without torch."""
    try:
        from appliance.training.torch_classification import fine_tune
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"classification training: fine-tuning needs {missing.name}, which is not installed; install "
            "firstshift[train] or leave finetune off"
        ) from missing
    return fine_tune


def _fit_head(
    features: Features,
    labels: NDArray[np.intp],
    importance: Floats,
    chosen: NDArray[np.bool_],
    classes: int,
    options: ClassificationOptions,
) -> Linear:
    """Give the softmax regression on all copies of the chosen images."""
    rows = features.pooled[chosen]
    known = np.repeat(labels[chosen], rows.shape[1])
    flat = rows.reshape(-1, rows.shape[2]).astype(np.float32)
    return fit_softmax(flat, known, classes, options.strength, importance[known])


def _good_scores(
    pictures: Pictures, labels: NDArray[np.intp], folds: NDArray[np.intp], models: Sequence[bytes], run: FitRun
) -> tuple[float, ...]:
    """Give what good images score on the line in the model of the other folds."""
    good = np.flatnonzero(labels == 0)
    good = np.sort(np.random.default_rng(run.seed).permutation(good)[:MOST_GOOD])
    scores: list[float] = []
    for fold, model in enumerate(models):
        own = good[folds[good] == fold]
        if len(own):
            session = run.runtime.load(model, run.precision, run.threads)
            for index in own:
                found = run_each(session, pictures.image(int(index))[None], "probabilities")
                scores.append(float(found[0, 1:].sum()))
        run.tell("limits", (fold + 1) / len(models))
    return tuple(scores)


def _indices(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.intp]:
    unknown = sorted(set(labels) - set(classes))
    if unknown or len(set(classes)) != len(classes) or len(classes) < 2:
        raise ConfigError(
            f"classification training: label {unknown[0] if unknown else 'none'} is unknown, classes are "
            f"{', '.join(classes)}; name at least two different classes, the good one first"
        )
    return np.array([list(classes).index(label) for label in labels], np.intp)
