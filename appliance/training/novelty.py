"""Fit the detector of unknown parts beside a task: seconds, no torch, good and known defective parts alone.

The backbone is as the task's fit left it; what is learned here are class means, one covariance and a small memory in
the space of its features. Scores of known parts come from detectors that did not see the part (cross-fitting by part),
so the stated rate of false unknowns rests on parts that are new to the detector.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision.novelty import Known, distances, joined, known_arrays
from appliance.schema.bundle import Manifest, Novelty
from appliance.schema.errors import ConfigError
from appliance.training.fit_run import FitRun
from appliance.training.input_images import InputImages
from appliance.training.labelled import Frame, folds_of
from appliance.training.novelty_graph import OUTPUT
from appliance.training.package import FittedBundle, npz

FILE = "novelty.npz"
# Below this, one known part more or less moves the rate of false unknowns by over 5 %: nothing is promised then.
FEWEST_PARTS = 20
FOLDS = 8
# Further pictures would take time and tell little: the covariance of 900 features is shrunk anyway.
MOST_PICTURES = 2000
# Known pictures kept for the nearest one; 500 x 864 values are 1.7 MB.
MOST_KEPT = 500
# A class of fewer pictures has no mean worth the name and counts among the others like it.
FEWEST_OF_CLASS = 5
# Both distances are counted in what lies between the median and this share of known pictures.
WIDE = 0.9

Floats = NDArray[np.float64]


class FittedNovelty(Struct, frozen=True):
    """Hold the detector and what known parts that it did not see score, ascending, one score per part."""

    known: Known
    scores: tuple[float, ...]


def with_novelty(
    fitted: FittedBundle,
    frames: Iterable[Frame],
    labels: Sequence[str],
    run: FitRun,
    groups: Sequence[str] | None = None,
) -> FittedBundle:
    """Give the bundle with a detector of unknown parts, or as it is where `reason_without` says why not.

    frames: raw ones of known parts, with the class of each in `labels`; groups: one name per frame, frames of one part
    share it. Blocks for about as long as reading each frame once. ConfigError when these do not fit together.
    """
    names = [str(index) for index in range(len(labels))] if groups is None else list(groups)
    if len(names) != len(labels):
        raise ConfigError(f"novelty: {len(names)} groups for {len(labels)} frames; give one per frame")
    if reason_without(fitted.manifest, len(set(names))):
        return fitted
    chosen = _chosen(names, run.seed)
    rows = _features(fitted, frames, chosen, run)
    kept = sorted(index for index, own in rows.items() if np.isfinite(own).all())
    parts = [names[index] for index in kept]
    if reason_without(fitted.manifest, len(set(parts))):
        return fitted
    found = fit_novelty([rows[index] for index in kept], [labels[index] for index in kept], parts, run.seed)
    kinds = tuple(dict.fromkeys(labels))
    manifest = replace(fitted.manifest, novelty=Novelty(FILE, OUTPUT, found.scores, kinds))
    return replace(fitted, manifest=manifest, files={**fitted.files, FILE: npz(known_arrays(found.known))})


def inherited(fitted: FittedBundle, manifest: Manifest, files: Mapping[str, bytes]) -> FittedBundle:
    """Give a bundle its parent's detector, where the backbone, and so every feature, is the same by construction.

    manifest, files: of the parent. Without a detector there, or in another runtime or precision, it gets none.
    """
    own, before = fitted.manifest, manifest.novelty
    alike = (own.runtime, own.precision) == (manifest.runtime, manifest.precision)
    if before is None or not alike or all(one.name != before.output for one in own.models[0].outputs):
        return fitted
    return replace(
        fitted, manifest=replace(own, novelty=before), files={**fitted.files, before.file: files[before.file]}
    )


def reason_without(manifest: Manifest, parts: int) -> str:
    """Say why a bundle fitted to so many parts has no detector; empty: it has one."""
    if all(one.name != OUTPUT for one in manifest.models[0].outputs) or manifest.preprocessing.template is not None:
        return f"its {manifest.task} network gives no features of the whole part"
    if parts < FEWEST_PARTS:
        return f"{parts} known parts, at least {FEWEST_PARTS} are needed; add pictures of other parts"
    return ""


def fit_novelty(
    rows: Sequence[NDArray[np.float32]], labels: Sequence[str], groups: Sequence[str], seed: int = 0
) -> FittedNovelty:
    """Give the detector for pictures of known parts.

    rows: of each picture (images, features), one per input image, all finite. labels, groups: class and part of each.
    ConfigError with fewer than two parts.
    """
    folds = folds_of(groups, len(rows), FOLDS, seed)
    kinds = _kinds(labels)
    held: list[list[tuple[float, float]]] = [[] for _ in rows]
    for fold in range(folds.max() + 1):
        inside = np.flatnonzero(folds != fold).tolist()
        own = _learned([rows[index] for index in inside], kinds[inside], seed)
        for index in np.flatnonzero(folds == fold).tolist():
            held[index] = [distances(own, row) for row in rows[index]]
    every = np.array([pair for pairs in held for pair in pairs])
    middle = np.median(every, axis=0)
    spread = np.maximum(np.quantile(every, WIDE, axis=0) - middle, 1e-6 * np.maximum(middle, 1.0))
    learned = _learned(rows, kinds, seed)
    known = replace(learned, middle=(float(middle[0]), float(middle[1])), spread=(float(spread[0]), float(spread[1])))
    worst: dict[str, float] = {}
    for group, pairs in zip(groups, held, strict=True):
        worst[group] = max(worst.get(group, -math.inf), *(joined(known, pair) for pair in pairs))
    return FittedNovelty(known, tuple(sorted(worst.values())))


def shrunk_covariance(rows: Floats) -> Floats:
    """Give the covariance of centred rows, (rows, features), shrunk towards a multiple of the identity.

    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices" (2004), equations 14 ff.
    """
    count, features = rows.shape
    sample = rows.T @ rows / count
    level = np.trace(sample) / features
    off = float(((sample - level * np.eye(features)) ** 2).sum())
    noise = float(((rows**2).sum(axis=1) ** 2).sum() / count**2 - (sample**2).sum() / count)
    share = min(1.0, max(0.0, noise) / off) if off else 1.0
    result: Floats = (1 - share) * sample + share * level * np.eye(features)
    return result


def _learned(rows: Sequence[NDArray[np.float32]], kinds: NDArray[np.intp], seed: int) -> Known:
    """Learn means, covariance and memory; the scales of the distances are still to be set."""
    flat = np.concatenate(rows).astype(np.float64)
    own = np.repeat(kinds, [len(row) for row in rows])
    mean, scale = flat.mean(axis=0), 1 / np.maximum(flat.std(axis=0), 1e-6)
    standard = (flat - mean) * scale
    present = np.unique(own)
    centres = np.stack([standard[own == kind].mean(axis=0) for kind in present])
    apart = standard - centres[np.searchsorted(present, own)]
    # Any square root of the inverse gives the same lengths.
    values, vectors = np.linalg.eigh(shrunk_covariance(apart))
    whitening = vectors / np.sqrt(np.maximum(values, 1e-9))
    lengths = np.maximum(np.linalg.norm(standard, axis=1, keepdims=True), 1e-9)
    kept = np.sort(np.random.default_rng(seed).permutation(len(standard))[:MOST_KEPT])
    return Known(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        whitening=whitening.astype(np.float32),
        centres=(centres @ whitening).astype(np.float32),
        memory=(standard / lengths)[kept].astype(np.float32),
        middle=(0.0, 0.0),
        spread=(1.0, 1.0),
    )


def _kinds(labels: Sequence[str]) -> NDArray[np.intp]:
    """Give each picture the number of its class; classes of few pictures share one."""
    names, place, counts = np.unique(np.array(labels, np.str_), return_inverse=True, return_counts=True)
    numbers = np.where(counts >= FEWEST_OF_CLASS, np.arange(len(names)), len(names))
    result: NDArray[np.intp] = numbers[place].astype(np.intp)
    return result


def _chosen(groups: Sequence[str], seed: int) -> frozenset[int]:
    """Choose whole parts at random until there are pictures enough."""
    names = sorted(set(groups))
    by_group: dict[str, list[int]] = {name: [] for name in names}
    for index, group in enumerate(groups):
        by_group[group].append(index)
    taken: list[int] = []
    for place in np.random.default_rng(seed).permutation(len(names)):
        if len(taken) >= MOST_PICTURES:
            break
        taken += by_group[names[place]]
    return frozenset(taken)


def _features(
    fitted: FittedBundle, frames: Iterable[Frame], chosen: frozenset[int], run: FitRun
) -> dict[int, NDArray[np.float32]]:
    """Give what the network makes of the chosen frames that it can read, (images, features) of each."""
    model = fitted.manifest.models[0]
    session = run.runtime.load(fitted.files[model.file], run.precision, run.threads)
    cut = InputImages(fitted.manifest.preprocessing)
    cut = InputImages(fitted.manifest.preprocessing)
    result = {}
    source = ((index, frames[index]) for index in sorted(chosen)) if isinstance(frames, Sequence) else enumerate(frames)
    for index, frame in source:
        if index not in chosen:
            continue
        try:
            images = cut.of(frame)
        except ValueError:
            continue  # too large for the input image: on the line such a frame has no verdict at all
        own = []
        for image in images:
            session.input[...] = image
            own.append(session.run()[OUTPUT][0].astype(np.float32, copy=True))
        result[index] = np.stack(own)
        run.tell("unknown parts", len(result) / len(chosen))
    return result
