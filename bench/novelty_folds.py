"""Fit what a class-left-out study compares, as training does, and judge the pictures held out."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet, Sample
from appliance.datasets.truth import load_frame
from appliance.decision.calibration import calibrate_if_enough, capped
from appliance.decision.novelty import novelty, p_value
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.services._inspector import LoadedBundle, load_bundle
from appliance.storage import bundle as bundles
from appliance.trainer import fits
from appliance.training import weights
from appliance.training.backbone import rounded
from appliance.training.classification import class_folds, class_weights, fit_temperature
from appliance.training.classification_features import Features, Pictures, compute_features
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from appliance.training.linear import fit_softmax
from appliance.training.novelty import fit_novelty, with_novelty

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
KEPT = ROOT / "build" / "bench-novelty"
RESULT = Path(__file__).parent / "results" / "novelty.json"
FOLDS, INNER, ANOMALY_FOLDS = 3, 4, 2
COST_SIZE, TIMED = (256, 256), 100
OPTIONS = ClassificationOptions(copies=2)
RATES = (0.05, 0.01)
"""The rate that recalls are compared at, and that of a recipe which says nothing."""
BOARDS = 60
"""Pictures of another product that are shown."""
POOLED_CHANNELS = (112, 320)
"""Of s16 and s32 in Lite0: behind the bent layer in each half of what the classification head reads."""


class Seen(Struct, frozen=True):
    """State what a bundle that never saw this part makes of one picture of it."""

    picture: str
    part: str
    kind: str
    novelty: float
    novelty_p: float
    known_parts: int
    """Behind the p-value."""
    accepted: bool
    """Under the limits alone."""
    anomaly_p: float | None = None


def left_out(
    features: Features,
    labels: NDArray[np.intp],
    groups: NDArray[np.str_],
    known: NDArray[np.intp],
    unknown: NDArray[np.intp],
    classes: Sequence[str],
    names: Sequence[str],
) -> tuple[list[Seen], list[Seen]]:
    """Fit to the known parts of two folds, judge those of the third and the unknown ones."""
    numbers = np.unique(labels[known])
    own = np.searchsorted(numbers, labels[known])
    folds = class_folds(groups[known].tolist(), own, FOLDS, 0)
    turns = {part: place % FOLDS for place, part in enumerate(np.unique(groups[unknown]))}
    held: list[Seen] = []
    shown: list[Seen] = []
    for fold in range(FOLDS):
        fit = known[folds != fold]
        judge = _judge(features, np.searchsorted(numbers, labels[fit]), groups, fit, labels, classes, names)
        held += judge(known[folds == fold])
        shown += judge([index for index in unknown if turns[groups[index]] == fold])
    return held, shown


def _judge(features, truth, groups, fit, labels, classes, names):  # noqa: ANN001, ANN202
    """Fit head, limits and detector as the product does, and give what judges pictures with them."""
    count = int(truth.max()) + 1
    importance = class_weights(truth, count, OPTIONS.balance)
    inner = class_folds(groups[fit].tolist(), truth, INNER, 0)
    logits = np.empty((len(fit), count), np.float32)
    for fold in range(inner.max() + 1):
        head = _head(features, fit, truth, importance, inner != fold, count)
        logits[inner == fold] = head(features.pooled[fit[inner == fold], 0].astype(np.float32))
    cooler = fit_temperature(logits, truth)
    good_scores = 1 - _softmax(logits[truth == 0] / cooler)[:, 0]
    limits = calibrate_if_enough(good_scores.tolist(), OPTIONS.hold_back, OPTIONS.margin)
    limit = -1.0 if limits is None else capped(limits, OPTIONS.threshold).accept_below
    head = _head(features, fit, truth, importance, np.ones(len(fit), np.bool_), count)
    rows = novelty_rows(features)
    kinds = [classes[labels[index]] for index in fit]
    found = fit_novelty([rows[index][None] for index in fit], kinds, groups[fit].tolist())

    def judged(chosen: Sequence[int]) -> list[Seen]:
        seen = []
        for index in chosen:
            said = head(features.pooled[index, 0].astype(np.float32)[None]) / cooler
            score = float(1 - _softmax(said)[0, 0])
            strange = novelty(found.known, [rows[index]])
            p = p_value(strange, found.scores)
            about = (names[index], str(groups[index]), classes[labels[index]])
            seen.append(Seen(*about, strange, p, len(found.scores), bool(score <= limit)))
        return seen

    return judged


def _head(features, fit, truth, importance, chosen, count):  # noqa: ANN001, ANN202
    rows = features.pooled[fit[chosen]]
    repeated = np.repeat(truth[chosen], rows.shape[1])
    flat = rows.reshape(-1, rows.shape[2]).astype(np.float32)
    return fit_softmax(flat, repeated, count, OPTIONS.strength, importance[repeated])


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return result


def features_of(data: DataSet, kept: Path) -> Features:
    frames = [load_frame(sample, data.pixel_format) for sample in data.samples]
    pictures = Pictures(frames, len(frames), data.pixel_format, OPTIONS, 0)
    labels = np.array([data.classes.index(sample.label) for sample in data.samples])
    kept.mkdir(parents=True, exist_ok=True)
    return compute_features(pictures, labels, rounded(weights.efficientnet_lite0()), run_in(kept), OPTIONS)


def novelty_rows(features: Features) -> NDArray[np.float32]:
    """Cut what the output for the detector holds out of what the head reads: means, then largest values."""
    half = features.pooled.shape[2] // 2
    bent = half - sum(POOLED_CHANNELS)
    columns = np.concatenate([np.arange(bent, half), np.arange(half + bent, 2 * half)])
    result: NDArray[np.float32] = features.pooled[:, 0][:, columns].astype(np.float32)
    return result


def anomaly_bundle(data: DataSet, samples: Sequence[Sample], fold: int, kept: Path) -> LoadedBundle:
    place, run = kept / f"anomaly-{fold}", run_in(None)
    if not place.exists():
        fitted = fits.fit(replace(data, task=TaskName.ANOMALY), samples, run)
        groups = [sample.group for sample in samples]
        fitted = with_novelty(fitted, fits.frames_of(data, samples), ["good"] * len(samples), run, groups)
        bundles.write(place, fitted.manifest, fitted.files)
    return load_bundle(place, run.runtime, run.precision, 1)


def read(loaded: LoadedBundle, samples: Sequence[Sample], data: DataSet) -> Iterator[Seen]:
    known, limits = loaded.manifest.novelty, loaded.manifest.calibration
    if known is None or limits is None:
        raise SystemExit("novelty: the anomaly bundle has no detector or no limits; fit it to more parts")
    for sample in samples:
        frame = load_frame(sample, data.pixel_format)
        how = loaded.manifest.preprocessing
        frame = np.ascontiguousarray(frame[: int(how.rows * how.shrink) & ~1, : int(how.columns * how.shrink) & ~1])
        reading = loaded.reader((frame.shape[0], frame.shape[1])).read(frame)
        p = p_value(reading.score, limits.scores)
        strange = np.inf if reading.novelty is None else reading.novelty
        accepted = bool(reading.score <= limits.accept_below)
        about = (sample.name, sample.group, sample.label or "good")
        yield Seen(*about, strange, p_value(strange, known.scores), len(known.scores), accepted, p)


def boards() -> list[Sample]:
    """Give pictures of another product, each a part of its own."""
    samples = read_data(DATA / "deeppcb", TaskName.DETECTION).samples
    chosen = samples[:: max(1, len(samples) // BOARDS)][:BOARDS]
    return [replace(sample, group=sample.name, label="board") for sample in chosen]


def run_in(folder: Path | None) -> FitRun:
    runtime = OpenVinoRuntime()
    return FitRun(runtime, runtime.choose(), datetime.now(UTC).isoformat(timespec="seconds"), folder, threads=1)
