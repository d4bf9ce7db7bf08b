"""Fit the semantic model without torch: softmax regression on the cells of frozen features, in seconds.

A cell is what 8 x 8 pixels of the input image show. Cells that a defect covers in part teach nothing about the
background, since the truth at their rim is a matter of taste.
"""

from collections.abc import Iterable, Sequence

import cv2
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision.calibration import calibrate_if_enough
from appliance.ports.runtime import Runtime, Session
from appliance.schema.bundle import ClassSpec, Head, Preprocessing, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.backbone import rounded
from appliance.training.labelled import Frame, Intake, Roi, folds_of, run_each
from appliance.training.linear import Floats, fit_softmax
from appliance.training.package import Contents, FittedBundle, Network, pack
from appliance.training.semantic_graph import (
    CELL_PX,
    COARSE,
    FINE,
    SemanticWeights,
    feature_model,
    semantic_model,
)

SETTINGS = "settings.json"
# Cells over the level that this share of good images stays under everywhere are shown as findings.
FINDING_QUANTILE = 0.95
LEAST_THRESHOLD = 0.5


class LinearOptions(Struct, frozen=True):
    """Choose how the model is fitted; the defaults are those measured in training/README.md."""

    size: tuple[int, int] = (512, 512)
    """(rows, cols) of the input image, multiples of 16."""
    roi: Roi | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    strength: float = 1e-3
    """Of the penalty on the layer."""
    cover: float = 0.2
    """Share of a cell that a class must cover to be learned from."""
    background_cells: int = 100
    """Cells of the background learned from, of each image."""
    folds: int = 3
    """Parts of the cross-fit: each good image is scored by a model of the other folds."""
    hold_back: float = 0.02
    """Share of good parts that may be held back by the limit on the score."""
    margin: float = 1.0
    fewest_cells: int = 1
    """Smaller regions are no findings."""
    synthetic_share: float = 0.0
    """Share of the frames that were rendered, for the record."""
    seed: int = 0
    threads: int = 2


class FittedSemantic(Struct, frozen=True):
    """Hold the fitted weights, the model, and what good images score in models that did not see them."""

    weights: SemanticWeights
    model: bytes
    good_scores: tuple[float, ...]
    good_confidences: tuple[float, ...]
    """Of the same images: the highest probability of one defect class in one cell."""


def fit_semantic_bundle_closed(
    frames: Iterable[Frame],
    masks: Iterable[NDArray[np.uint8]],
    classes: Sequence[str],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    created: str,
    options: LinearOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedBundle:
    """Give a semantic bundle; blocks for seconds.

    frames: raw camera frames, read one by one and not kept; masks: (rows, cols) uint8 each, the class of each frame
    pixel; classes: the taxonomy, the first is the background. runtime, precision: those of the line. created: UTC,
    ISO 8601. groups: one name per frame, frames of one part share it. ConfigError when these do not fit together.
    """
    options = options or LinearOptions()
    intake = Intake(TaskName.SEMANTIC, pixel_format, options.size, options.roi)
    shares: list[Floats] = []
    try:
        for frame, mask in zip(frames, masks, strict=True):
            intake.add(frame, mask.tobytes())
            if mask.shape != frame.shape[:2]:
                raise ConfigError(
                    f"semantic training: mask {len(shares) + 1} is {mask.shape}, its frame {frame.shape[:2]}; "
                    "give the class of each frame pixel"
                )
            shares.append(cell_shares(_cropped(mask, options.roi), options.size, len(classes)))
    except ValueError as cause:
        raise ConfigError(f"semantic training: {cause}; give one mask per frame") from cause
    images = intake.images()
    fitted = fit_semantic(images, np.stack(shares), runtime, precision, options, groups)
    level = max(LEAST_THRESHOLD, float(np.quantile(fitted.good_confidences, FINDING_QUANTILE)))
    specs = (ClassSpec(classes[0], defect=False), *(ClassSpec(name, threshold=level) for name in classes[1:]))
    settings = {"cover": options.cover, "fewest_cells": options.fewest_cells, "seed": options.seed}
    contents = Contents(
        heads=(Head(TaskName.SEMANTIC, specs, SETTINGS),),
        networks={"model": Network(fitted.model, images)},
        settings={SETTINGS: msgspec.json.format(msgspec.json.encode(settings, order="sorted"))},
        preprocessing=Preprocessing(pixel_format, *options.size, options.roi),
        frame=intake.first,
        data=intake.snapshot(options.synthetic_share),
        created=created,
        calibration=calibrate_if_enough(fitted.good_scores, options.hold_back, options.margin),
    )
    return pack(contents, runtime, precision, options.threads)


def cell_shares(mask: NDArray[np.uint8], size: tuple[int, int], classes: int) -> Floats:
    """Give the share of each cell that each class covers, (classes, rows / 8, cols / 8) float32, exact by area.

    mask: (rows, cols) uint8 of what the whole input image shows, at any resolution. ConfigError for a class too high.
    """
    if int(mask.max(initial=0)) >= classes:
        raise ConfigError(f"semantic training: a mask holds class {int(mask.max())}, classes are {classes}; name it")
    cells = (size[1] // CELL_PX, size[0] // CELL_PX)
    shares = np.zeros((classes, cells[1], cells[0]), np.float32)
    for label in np.unique(mask):
        own = (mask == label).astype(np.float32)
        shares[label] = cv2.resize(own, cells, interpolation=cv2.INTER_AREA)
    return shares


def fit_semantic(
    images: NDArray[np.uint8],
    shares: Floats,
    runtime: Runtime,
    precision: str,
    options: LinearOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedSemantic:
    """Give the model for images (images, rows, cols, 3) uint8 with `cell_shares` of each, class 0 the background.

    Images of nothing but background are the good ones. ConfigError when a class covers no cell.
    """
    options = options or LinearOptions()
    classes = shares.shape[1]
    state = rounded(weights.efficientnet_lite0())
    folds = folds_of(groups, len(images), options.folds, options.seed)
    random = np.random.default_rng(options.seed)
    session = runtime.load(feature_model(state, options.size), precision, options.threads)
    samples = [_sampled(session, image, one, options, random) for image, one in zip(images, shares, strict=True)]
    learned = np.unique(np.concatenate([sample.labels for sample in samples]))
    if len(learned) < classes:
        missing = sorted(set(range(classes)) - set(learned.tolist()))
        raise ConfigError(
            f"semantic training: class {missing[0]} covers {options.cover} of no cell in {len(images)} images; "
            "give images of it, or a larger input size"
        )

    def fit(chosen: NDArray[np.bool_]) -> SemanticWeights:
        own = [sample for sample, taken in zip(samples, chosen, strict=True) if taken]
        features = np.concatenate([sample.features for sample in own])
        labels = np.concatenate([sample.labels for sample in own])
        importance = np.concatenate([sample.weights for sample in own])
        importance = _balanced(labels, importance, classes)
        return SemanticWeights(fit_softmax(features, labels, classes, options.strength, importance).rounded())

    good = (shares[:, 1:] == 0).all(axis=(1, 2, 3))
    scores: list[float] = []
    confidences: list[float] = []
    for fold in range(options.folds):
        held_out = (folds == fold) & good
        if held_out.any():
            model = semantic_model(state, options.size, fit(folds != fold))
            found = run_each(runtime.load(model, precision, options.threads), images[held_out], "probabilities")
            scores += found[:, 1:].sum(axis=1).max(axis=(1, 2)).tolist()
            confidences += found[:, 1:].max(axis=(1, 2, 3)).tolist()
    layer = fit(np.ones(len(images), np.bool_))
    return FittedSemantic(layer, semantic_model(state, options.size, layer), tuple(scores), tuple(confidences))


class _Sample(Struct, frozen=True):
    """Hold what one image teaches."""

    features: Floats
    labels: NDArray[np.intp]
    weights: Floats


def _sampled(
    session: Session, image: NDArray[np.uint8], shares: Floats, options: LinearOptions, random: np.random.Generator
) -> _Sample:
    session.input[0] = image
    tensors = session.run()
    fine = np.moveaxis(tensors[FINE][0], 0, -1)
    coarse = _enlarged(np.moveaxis(tensors[COARSE][0], 0, -1).astype(np.float32))
    features = np.concatenate([fine, coarse], axis=-1, dtype=np.float32).reshape(fine.shape[0] * fine.shape[1], -1)
    flat = shares.reshape(len(shares), -1)
    defects = np.flatnonzero(flat[1:].max(axis=0) >= options.cover)
    clear = np.flatnonzero(flat[0] >= 1)
    taken = random.permutation(clear)[: options.background_cells]
    labels = np.concatenate([1 + flat[1:, defects].argmax(axis=0), np.zeros(len(taken), np.intp)])
    # A background cell taken stands for those not taken.
    share = np.float32(len(clear) / max(len(taken), 1))
    importance = np.concatenate([np.ones(len(defects), np.float32), np.full(len(taken), share, np.float32)])
    return _Sample(features[np.concatenate([defects, taken])], labels.astype(np.intp), importance)


def _enlarged(values: Floats) -> Floats:
    """Give (rows, cols, channels) at twice the size, as the graph's Resize does; 128 channels at most."""
    size = (2 * values.shape[1], 2 * values.shape[0])
    wide: Floats = cv2.resize(np.ascontiguousarray(values), size, interpolation=cv2.INTER_LINEAR)
    return wide


def _balanced(labels: NDArray[np.intp], importance: Floats, classes: int) -> Floats:
    """Give weights such that all defects count alike, and all of them together as much as the background."""
    balanced = importance.copy()
    for label in np.unique(labels):
        own = labels == label
        balanced[own] *= (classes - 1 if label == 0 else 1) / importance[own].sum()
    return balanced


def _cropped(mask: NDArray[np.uint8], roi: Roi | None) -> NDArray[np.uint8]:
    if roi is None:
        return mask
    x, y, width, height = roi
    return mask[y : y + height, x : x + width]
