"""Fit the classification model from labelled frames: seconds, no torch, one call.

The backbone stays as it is; a random layer bends what small marks look like, and softmax regression on the means over
the image does the rest. Scores of good images come from models that did not see them.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.calibration import calibrate, capped
from appliance.ports.runtime import Runtime
from appliance.schema.bundle import ClassSpec, Head, Precision, Preprocessing, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.backbone import rounded
from appliance.training.classification_graph import (
    BENT,
    ClassificationWeights,
    classification_model,
    means_model,
    tap_model,
)
from appliance.training.labelled import Frame, Intake, Roi, folds_of, run_each
from appliance.training.linear import fit_softmax, random_layer
from appliance.training.package import Contents, FittedBundle, Network, pack

SETTINGS = "settings.json"
GOOD = "good"
# Images whose cells show the random layer where to bend.
SAMPLED_IMAGES = 32
# A class is learned from at least this many images.
FEWEST_IMAGES = 2

State = Mapping[str, NDArray[np.generic]]


class ClassificationOptions(Struct, frozen=True):
    """Choose how the model is fitted; the defaults are those measured in training/README.md."""

    size: tuple[int, int] = (224, 224)
    """(rows, cols) of the input image, multiples of 16."""
    roi: Roi | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    hidden: int = 128
    """Results of the random layer on each cell."""
    strength: float = 1e-1
    """Of the penalty on the last layer."""
    mirrored: bool = True
    """Learn from mirror images too; False where a mirrored part is another class."""
    folds: int = 4
    """Parts of the cross-fit: each good image is scored by a model of the other folds."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    margin: float = 1.0
    threshold: float = 0.5
    """Probability from which the likeliest defect is a finding."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered, for the record."""
    seed: int = 0
    threads: int = 2


def fit_classification_bundle(
    frames: Iterable[Frame],
    labels: Sequence[str],
    classes: Sequence[str],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    created: str,
    options: ClassificationOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedBundle:
    """Give a classification bundle; blocks for seconds.

    frames: raw camera frames, read one by one and not kept; labels: the class of each; classes: the taxonomy, the
    first is the good one. runtime, precision: those of the line. created: UTC, ISO 8601. groups: one name per frame,
    frames of one part share it. ConfigError when these do not fit together or good images are too few.
    """
    options = options or ClassificationOptions()
    truth = _indices(labels, classes)
    intake = Intake(TaskName.CLASSIFICATION, pixel_format, options.size, options.roi)
    for index, frame in enumerate(frames):
        if index >= len(labels):
            raise ConfigError(f"classification training: more frames than the {len(labels)} labels; give one per frame")
        intake.add(frame, labels[index].encode())
    images = intake.images()
    fitted = fit_classification(images, truth, len(classes), runtime, precision, options, groups)
    specs = (
        ClassSpec(classes[0], defect=False),
        *(ClassSpec(name, threshold=options.threshold) for name in classes[1:]),
    )
    contents = Contents(
        heads=(Head(TaskName.CLASSIFICATION, specs, SETTINGS),),
        networks={"model": Network(fitted.model, images)},
        settings={SETTINGS: b"{}"},
        preprocessing=Preprocessing(pixel_format, *options.size, options.roi),
        frame=intake.first,
        data=intake.snapshot(options.synthetic_share),
        created=created,
        # A part whose defects together are likelier than the threshold of one must not pass.
        calibration=capped(calibrate(fitted.good_scores, options.hold_back, options.margin), options.threshold),
    )
    return pack(contents, runtime, precision, options.threads)


class FittedClassification(Struct, frozen=True):
    """Hold the fitted weights, the model, and what good images score in models that did not see them."""

    weights: ClassificationWeights
    model: bytes
    good_scores: tuple[float, ...]


def fit_classification(
    images: NDArray[np.uint8],
    labels: NDArray[np.intp],
    classes: int,
    runtime: Runtime,
    precision: str,
    options: ClassificationOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedClassification:
    """Give the model for images (images, rows, cols, 3) uint8 with labels in [0, classes), 0 being good.

    ConfigError when labels and images do not fit together.
    """
    options = options or ClassificationOptions()
    counts = np.bincount(labels, minlength=classes)
    if len(labels) != len(images) or len(counts) > classes or counts.min() < FEWEST_IMAGES:
        raise ConfigError(
            f"classification training: {len(labels)} labels for {len(images)} images, {counts.tolist()} of each of "
            f"{classes} classes; every class needs at least {FEWEST_IMAGES} images"
        )
    state = rounded(weights.efficientnet_lite0())
    folds = folds_of(groups, len(images), options.folds, options.seed)
    random = np.random.default_rng(options.seed)
    sampled = np.sort(random.permutation(len(images))[:SAMPLED_IMAGES])
    cells = run_each(runtime.load(tap_model(state, options.size), precision, options.threads), images[sampled], BENT)
    hidden = random_layer(np.moveaxis(cells, 1, -1).reshape(-1, cells.shape[1]), options.hidden, random).rounded()

    model = means_model(state, options.size, hidden)
    # Learned from the means of f32 too, so that what only the precision changes is no sign of a class.
    sessions = [runtime.load(model, known, options.threads) for known in dict.fromkeys((precision, Precision.F32))]
    means = np.stack(
        [run_each(session, shown, "means") for shown in _mirrored(images, options) for session in sessions]
    )

    def fit(chosen: NDArray[np.bool_]) -> ClassificationWeights:
        features = means[:, chosen].reshape(-1, means.shape[-1])
        last = fit_softmax(features, np.tile(labels[chosen], len(means)), classes, options.strength)
        return ClassificationWeights(hidden, last.rounded())

    scores: list[float] = []
    for fold in range(options.folds):
        held_out = (folds == fold) & (labels == 0)
        if held_out.any():
            model = classification_model(state, options.size, fit(folds != fold))
            found = run_each(runtime.load(model, precision, options.threads), images[held_out], "probabilities")
            scores += found[:, 1:].sum(axis=1).tolist()
    last = fit(np.ones(len(images), np.bool_))
    return FittedClassification(last, classification_model(state, options.size, last), tuple(scores))


def _mirrored(images: NDArray[np.uint8], options: ClassificationOptions) -> list[NDArray[np.uint8]]:
    if not options.mirrored:
        return [images]
    return [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]]


def _indices(labels: Sequence[str], classes: Sequence[str]) -> NDArray[np.intp]:
    unknown = sorted(set(labels) - set(classes))
    if unknown or len(set(classes)) != len(classes) or len(classes) < 2:
        raise ConfigError(
            f"classification training: label {unknown[0] if unknown else 'none'} is unknown, classes are "
            f"{', '.join(classes)}; name at least two different classes, the good one first"
        )
    return np.array([list(classes).index(label) for label in labels], np.intp)
