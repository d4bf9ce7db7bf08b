"""Fit the anomaly model from raw frames of good parts: seconds on two cores, one call.

Every stage that decides later runs here as it will run on the line: the same preprocessing kernel, the same runtime in
the same precision, the same graph. Scores of good images come from models that did not see them (cross-fitting).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import MapStatistics, Placement
from appliance.decision.calibration import FEWEST_GOOD_IMAGES, calibrate
from appliance.ports.runtime import Runtime, Session, Tensors
from appliance.schema.bundle import ClassSpec, DataSnapshot, Head, Precision, Preprocessing, TaskName
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import coreset, weights
from appliance.training.anomaly_graph import CELL_PX, CHANNELS, Memory, anomaly_model, feature_model
from appliance.training.package import Contents, FittedBundle, Network, npz, pack
from kernels.preprocess import Preprocessor

SETTINGS = "settings.json"
STATISTICS = "statistics.npz"
# A cell that looks like one in memory is at a distance near 0, the root of a difference of large squares: two runtimes
# differed there by 0.0013 of the map's largest value in f32.
GOLDEN_F32 = 5e-3
# Cells over the level that 95 % of good images stay under everywhere are shown as findings.
FINDING_QUANTILE = 0.95
# Good images this many median deviations above the median are shown to a person. Scores lean to the right, so it is
# twice the 3 that suit a bell curve.
SUSPECT_DEVIATIONS = 6.0

Frame = NDArray[np.uint8]
Progress = Callable[[str, float], None]


class AnomalyOptions(Struct, frozen=True):
    """Choose how the model is fitted; the defaults are those measured in training/README.md."""

    size: tuple[int, int] = (256, 256)
    """(rows, cols) of the input image, multiples of 16."""
    roi: tuple[int, int, int, int] | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    patches: int = 1000
    """Good patches kept; time of the search grows with them."""
    folds: int = 6
    """Parts of the cross-fit: each good image is scored by a model of the other folds."""
    placement: Placement = Placement.BORDER
    top_share: float = 0.01
    """The image score is the mean over this share of the calibrated map."""
    hold_back: float = 0.05
    """Share of good parts that may be held back; 0 puts the limit at the largest good score, where one mislabelled
    good image lets nearly every defect pass (measured)."""
    margin: float = 1.0
    seed: int = 0
    threads: int = 2


class AnomalySettings(Struct, frozen=True):
    """State how a bundle's map becomes a score and findings; `settings.json` of the bundle."""

    top_share: float
    finding_level: float
    """Calibrated map value from which a cell belongs to a finding."""
    placement: Placement
    seed: int


def fit_anomaly(
    frames: Iterable[Frame],
    pixel_format: PixelFormat,
    runtime: Runtime,
    precision: str,
    created: str,
    options: AnomalyOptions | None = None,
    groups: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> FittedBundle:
    """Give an anomaly bundle fitted from frames of good parts; blocks for seconds.

    frames: raw camera frames, (rows, cols) or (rows, cols, 3) uint8 of `pixel_format`, read one by one and not kept.
    runtime, precision: those of the line; the limits hold for them alone. created: UTC, ISO 8601. groups: one name per
    frame, frames of one part share it and stay in one fold; None makes each frame a part. progress: told (step, share
    done). Raises ConfigError for too few frames, RuntimeFault when the model cannot be built or run.
    """
    options = options or AnomalyOptions()
    tell = progress or _silent
    state = weights.efficientnet_lite0()
    images, first, digest = _images(frames, pixel_format, options, tell)
    folds = _folds(groups or [str(index) for index in range(len(images))], len(images), options)

    tell("features", 0.2)
    features = _features(runtime.load(feature_model(state, options.size), precision, options.threads), images)
    random = np.random.default_rng(options.seed)
    distances = np.empty((len(images), *_cells(options.size)), np.float32)
    for fold in range(int(folds.max()) + 1):
        tell("cross-fit", 0.3 + 0.5 * fold / (folds.max() + 1))
        held_out = np.flatnonzero(folds == fold)
        model = anomaly_model(state, options.size, _memory(features[folds != fold], options.patches, random))
        distances[held_out] = _maps(runtime.load(model, precision, options.threads), images[held_out])

    tell("final model", 0.85)
    model = anomaly_model(state, options.size, _memory(features, options.patches, random))
    known = anomaly_map.statistics(distances, options.placement)
    scores, level = _good_scores(distances, folds, options)
    settings = AnomalySettings(options.top_share, level, options.placement, options.seed)
    tell("golden tensors", 0.95)
    contents = Contents(
        heads=(Head(TaskName.ANOMALY, (ClassSpec("anomaly", threshold=level),), SETTINGS),),
        # Mirrored: what lies in the memory itself is at distance 0, where bf16 knows no digit of the result.
        networks={"model": Network(model, images[:, :, ::-1], limits=_limits(precision))},
        settings={
            SETTINGS: msgspec.json.format(msgspec.json.encode(settings, order="sorted")),
            STATISTICS: npz({"mean": known.mean, "deviation": known.deviation}),
        },
        preprocessing=Preprocessing(pixel_format, *options.size, options.roi),
        frame=first,
        data=DataSnapshot(len(images), digest),
        created=created,
        calibration=calibrate(scores, options.hold_back, options.margin),
        suspects=_suspects(scores),
    )
    bundle = pack(contents, runtime, precision, options.threads)
    tell("done", 1.0)
    return bundle


def _limits(precision: str) -> dict[str, float]:
    """Give the golden bound of the map in f32: the rest, bf16 for one, has a wider one of its own already."""
    return {"map": GOLDEN_F32} if precision == Precision.F32 else {}


def _silent(step: str, share: float) -> None:
    """Take no notice."""


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // CELL_PX, size[1] // CELL_PX


def _images(
    frames: Iterable[Frame], pixel_format: PixelFormat, options: AnomalyOptions, tell: Progress
) -> tuple[NDArray[np.uint8], Frame, str]:
    """Give the input images (images, rows, cols, 3) uint8, the first frame, and the SHA-256 over all in their order."""
    digest = hashlib.sha256()
    preprocessors: dict[tuple[int, ...], Preprocessor] = {}
    images: list[NDArray[np.uint8]] = []
    first = np.empty(0, np.uint8)
    for frame in frames:
        first = first if images else frame.copy()
        tell(f"frame {len(images) + 1}", 0.0)
        digest.update(repr(frame.shape).encode())
        digest.update(np.ascontiguousarray(frame).data)
        try:
            if frame.shape not in preprocessors:
                preprocessors[frame.shape] = Preprocessor(frame.shape[:2], pixel_format, options.roi, options.size)
            image = np.empty((*options.size, 3), np.uint8)
            preprocessors[frame.shape].run(frame, image)
        except ValueError as cause:
            raise ConfigError(f"anomaly training: frame {len(images) + 1}: {cause}") from cause
        images.append(image)
    if len(images) < FEWEST_GOOD_IMAGES:
        raise ConfigError(
            f"anomaly training: {len(images)} good images, at least {FEWEST_GOOD_IMAGES} are needed, "
            "30 to 60 are better; take more of parts known to be good"
        )
    return np.stack(images), first, digest.hexdigest()


def _folds(groups: Sequence[str], images: int, options: AnomalyOptions) -> NDArray[np.intp]:
    """Give each image the number of its fold; images of one group share it."""
    if len(groups) != images:
        raise ConfigError(f"anomaly training: {len(groups)} groups for {images} images; give one per image")
    names = sorted(set(groups))
    if len(names) < 2 or options.folds < 2:
        raise ConfigError(f"anomaly training: {len(names)} parts and {options.folds} folds; both must be at least 2")
    order = np.random.default_rng(options.seed).permutation(len(names))
    fold_of = {names[place]: index % options.folds for index, place in enumerate(order)}
    return np.array([fold_of[group] for group in groups])


def _features(session: Session, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give (images, cells, channels) float32."""
    # The session reuses its output memory, so each result is copied out.
    return np.stack([_run(session, image)["features"].reshape(CHANNELS, -1).T.copy() for image in images])


def _maps(session: Session, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give (images, rows, cols) float32 distances."""
    return np.stack([_run(session, image)["map"][0].copy() for image in images])


def _run(session: Session, image: NDArray[np.uint8]) -> Tensors:
    session.input[0] = image
    return session.run()


def _memory(features: NDArray[np.float32], patches: int, random: np.random.Generator) -> Memory:
    flat = features.reshape(-1, features.shape[-1])
    mean = flat.mean(axis=0)
    scale = 1 / np.maximum(flat.std(axis=0), 1e-6)
    standard = (flat - mean) * scale
    chosen = standard[coreset.choose(standard, patches, random)]
    return Memory(mean.astype(np.float32), scale.astype(np.float32), chosen.astype(np.float32))


def _good_scores(
    distances: NDArray[np.float32], folds: NDArray[np.intp], options: AnomalyOptions
) -> tuple[list[float], float]:
    """Give image scores and finding level; each map is judged by statistics of the other folds."""
    deviation = np.empty_like(distances)
    for fold in np.unique(folds):
        known: MapStatistics = anomaly_map.statistics(distances[folds != fold], options.placement)
        deviation[folds == fold] = anomaly_map.deviations(distances[folds == fold], known)
    scores = anomaly_map.image_scores(deviation, options.top_share)
    level = np.quantile(deviation.reshape(len(deviation), -1).max(axis=1), FINDING_QUANTILE)
    return scores.tolist(), float(level)


def _suspects(scores: Sequence[float]) -> tuple[int, ...]:
    middle = float(np.median(scores))
    spread = float(np.median(np.abs(np.array(scores) - middle))) * 1.4826  # of a bell curve: one standard deviation
    return tuple(index for index, score in enumerate(scores) if score > middle + SUSPECT_DEVIATIONS * spread)
