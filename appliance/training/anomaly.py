"""Fit the anomaly model from raw frames of good parts: seconds to minutes on two cores, one call, no torch.

Every stage that decides later runs here as it will run on the line: the same preprocessing kernel, the same runtime in
the same precision, the same graph. Scores of good images come from models that did not see them (cross-fitting).
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision.anomaly_map import BorderTables, MapStatistics, Placement, lay_out, statistics_arrays
from appliance.decision.calibration import calibrate_if_enough
from appliance.ports.runtime import Runtime
from appliance.schema.bundle import ClassSpec, Head, Precision, Preprocessing, TaskName, Tiling
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.anomaly_crossfit import CrossFit, Fitted, HeldOut, Method, Recipe
from appliance.training.anomaly_graph import PLAIN, Memory, PatchPlan, anomaly_model
from appliance.training.anomaly_input import Cutter, Defect, Frame, Frames, canvas_of, looked_at
from appliance.training.anomaly_scores import finding_level, one_per_part, suspects_of
from appliance.training.fit_run import FitRun, Progress, silent
from appliance.training.package import Contents, FittedBundle, Network, npz, pack

SETTINGS = "settings.json"
STATISTICS = "statistics.npz"
MEMORY, FIT = "memory.npz", "fit.json"
"""What `update_anomaly` goes on from."""
# A cell that looks like one in memory is at a distance near 0, the root of a difference of large squares: two runtimes
# differed there by 0.0013 of the map's largest value in f32.
GOLDEN_F32 = 5e-3
# Where the size of a pixel is not stated, the largest region fills about this many pixels of the input image; the scale
# that this gives on tiles of 250 x 350 px, 0.85, did as well there as any other (anomaly.md).
REGION_PX = 140_000


class Exposures(StrEnum):
    """Say what one answer is about."""

    EACH = "each"
    """Each image is judged by itself; parts with several images weigh as much as others."""
    JOINED = "joined"
    """The mean score over all images of a part is judged."""


class AnomalyOptions(Struct, frozen=True):
    """Choose how the model is fitted; the defaults are small and fast, `BEST` is what does best on real parts."""

    size: tuple[int, int] = (256, 256)
    """(rows, cols) of the input image, or of a tile, multiples of 16; not read where the aspect is kept."""
    roi: tuple[int, int, int, int] | None = None
    """(x, y, width, height) in frame pixels; None is the whole frame."""
    keep_aspect: bool = False
    """Regions are scaled alike in both directions and stand in an input image that holds the largest one."""
    shrink: float | None = None
    """Frame pixels per pixel where the aspect is kept; None: chosen by the largest frame."""
    tiling: Tiling | None = None
    """Cuts large frames into tiles of `size`."""
    plan: PatchPlan = PLAIN
    method: Method = Method.MEMORY
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
    exposures: Exposures = Exposures.EACH
    painted: int = 0
    """Copies of each good image with painted defects, for a network that is shown them; 0: none."""
    marker_weight: float = 1.0
    """How much that network counts against the distance from good patches."""
    seed: int = 0
    threads: int = 2


BEST = AnomalyOptions(
    keep_aspect=True,
    plan=PatchPlan(("s4", "s8", "s16"), pooled=False, exposure=110.0),
    patches=1500,
    folds=12,
    hold_back=0.1,
    painted=2,
)
"""What does best on real parts from good images alone (anomaly.md)."""


class AnomalySettings(Struct, frozen=True):
    """State how a bundle's map becomes a score and findings; `settings.json` of the bundle."""

    top_share: float
    finding_level: float
    """Calibrated map value from which a cell belongs to a finding."""
    placement: Placement
    seed: int
    exposures: Exposures = Exposures.EACH


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
    """Give a small, fast anomaly bundle fitted from frames of good parts; blocks for seconds.

    Arguments as for `fit_anomaly_bundle`; runtime, precision: those of the line. progress: told (step, share done).
    """
    options = options or AnomalyOptions()
    run = FitRun(runtime, precision, created, tell=progress or silent, seed=options.seed, threads=options.threads)
    return fit_anomaly_bundle(frames, pixel_format, run, options, groups)


def fit_anomaly_bundle(
    frames: Iterable[Frame],
    pixel_format: PixelFormat,
    run: FitRun,
    options: AnomalyOptions | None = None,
    groups: Sequence[str] | None = None,
    defects: Sequence[Defect] = (),
) -> FittedBundle:
    """Give an anomaly bundle fitted from frames of good parts; blocks for a minute or two per 350 of them.

    frames: raw camera frames, (rows, cols) or (rows, cols, 3) uint8 of `pixel_format`; a sequence is read from again
    and again and not kept. options: None is `BEST`, with the seed and threads of the run. groups: one name per frame,
    frames of one part share it and stay in one fold; None makes each frame a part. defects: labelled ones, which the
    model is shown too. Memory does not grow with the frames beyond a fair sample of their patches. Raises ConfigError
    for too few frames, RuntimeFault when the model cannot be built or run.
    """
    options = options or replace(BEST, seed=run.seed, threads=run.threads)
    run.tell("frames", 0.0)
    with looked_at(frames) as seen:
        return _fitted(seen, pixel_format, run, options, groups, defects)


def _fitted(
    seen: Frames,
    pixel_format: PixelFormat,
    run: FitRun,
    options: AnomalyOptions,
    groups: Sequence[str] | None,
    defects: Sequence[Defect],
) -> FittedBundle:
    names = [str(index) for index in range(len(seen.shapes))] if groups is None else list(groups)
    folds = _folds(names, len(seen.shapes), options)
    how = _preprocessing(seen, pixel_format, options, [defect.frame.shape[:2] for defect in defects])
    cutter = Cutter(how)
    cutter.check(seen)
    fit = CrossFit(seen.frames, cutter, (how.rows, how.columns), folds, _recipe(options), run)
    fit.look(defects)
    held = fit.cross_fit()
    scores, peaks = fit.judge(held, options.top_share)
    suspects = suspects_of(scores)
    run.tell("final model", 0.85)
    final = fit.final(frozenset(suspects))
    stricter, higher = fit.strictness(final, held, scores, peaks, options.top_share)
    level = finding_level(peaks) + higher
    scores = [score + stricter for score in scores]
    kept = one_per_part(scores, [names[index] for index in fit.scored], joined=options.exposures is Exposures.JOINED)
    settings = AnomalySettings(options.top_share, level, options.placement, options.seed, options.exposures)
    run.tell("golden tensors", 0.95)
    contents = Contents(
        heads=(Head(TaskName.ANOMALY, (ClassSpec("anomaly", threshold=level),), SETTINGS),),
        # Mirrored: what lies in the memory itself is at distance 0, where bf16 knows no digit of the result.
        networks={"model": network_of(final, fit.images()[:, :, ::-1], (how.rows, how.columns), options, run)},
        settings={
            SETTINGS: msgspec.json.format(msgspec.json.encode(settings, order="sorted")),
            STATISTICS: npz(statistics_arrays(_statistics(fit, held, how))),
            FIT: msgspec.json.format(msgspec.json.encode(options, order="sorted")),
            MEMORY: npz(kept_arrays(final)),
        },
        preprocessing=how,
        frame=seen.first,
        data=seen.data,
        created=run.created,
        calibration=calibrate_if_enough(kept, options.hold_back, options.margin),
        suspects=tuple(fit.scored[index] for index in suspects),
    )
    bundle = pack(contents, run.runtime, run.precision, options.threads)
    run.tell("done", 1.0)
    return bundle


def _statistics(fit: CrossFit, held: Sequence[HeldOut], how: Preprocessing) -> MapStatistics | BorderTables:
    """Give the statistics of good maps; laid out where the map shows the same part of every frame."""
    known = fit.statistics(held)
    if isinstance(known, BorderTables) and not how.keep_aspect and how.tiling is None:
        return lay_out(known, held[0].view)
    return known


def _recipe(options: AnomalyOptions) -> Recipe:
    return Recipe(
        plan=options.plan,
        method=options.method,
        patches=options.patches,
        placement=options.placement,
        painted=options.painted,
        marker_weight=options.marker_weight,
        seed=options.seed,
        threads=options.threads,
    )


def _preprocessing(
    seen: Frames, pixel_format: PixelFormat, options: AnomalyOptions, others: Sequence[tuple[int, ...]]
) -> Preprocessing:
    if not options.keep_aspect:
        return Preprocessing(pixel_format, *options.size, options.roi, options.tiling)
    if options.tiling is not None:
        raise ConfigError("anomaly training: tiles keep the aspect by themselves; leave keep_aspect or tiling out")
    shapes = {*seen.shapes, *((shape[0], shape[1]) for shape in others)}
    regions = [(options.roi[3], options.roi[2])] if options.roi else shapes
    largest = max(rows * cols for rows, cols in regions)
    shrink = options.shrink or max(1.0, round((largest / REGION_PX) ** 0.5, 3))
    rows, cols = canvas_of(shapes, options.roi, shrink)
    return Preprocessing(pixel_format, rows, cols, options.roi, keep_aspect=True, shrink=shrink)


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


def network_of(
    fitted: Fitted, images: NDArray[np.uint8], size: tuple[int, int], options: AnomalyOptions, run: FitRun
) -> Network:
    """Give the network of what was fitted, proven on input images that it does not know by heart."""
    model = anomaly_model(weights.efficientnet_lite0(), size, fitted.good, 1, options.plan, fitted.marker)
    exact = run.precision == Precision.F32 and isinstance(fitted.good, Memory)
    return Network(model, images, limits={"map": GOLDEN_F32} if exact else {})


def kept_arrays(fitted: Fitted) -> dict[str, NDArray[np.generic]]:
    """Give what a bundle keeps of what was fitted, so that good images can be added."""
    good, marker = fitted.good, fitted.marker
    arrays: dict[str, NDArray[np.generic]] = {"mean": good.mean}
    arrays |= {"scale": good.scale, "patches": good.patches} if isinstance(good, Memory) else {}
    if marker:
        layers = (marker.first.weight, marker.first.bias, marker.second.weight, marker.second.bias)
        arrays |= {f"marker_{index}": layer for index, layer in enumerate(layers)}
        arrays["scales"] = np.array([marker.centre, marker.answer_scale, marker.distance_scale])
    return arrays
