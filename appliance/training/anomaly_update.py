"""Add good images to a fitted anomaly bundle: its memory stays as large, its limits rest on more parts."""

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision import anomaly_map
from appliance.decision.anomaly_map import read_statistics
from appliance.decision.calibration import calibrate
from appliance.schema.bundle import DataSnapshot, GoodOnlyCalibration, Manifest
from appliance.schema.errors import ConfigError
from appliance.training import weights
from appliance.training.anomaly import FIT, MEMORY, STATISTICS, AnomalyOptions, Exposures, kept_arrays, network_of
from appliance.training.anomaly_crossfit import Fitted, laid_out, rows_of
from appliance.training.anomaly_graph import Marker, Memory, feature_model
from appliance.training.anomaly_input import Cutter, Frame, Frames, looked_at
from appliance.training.anomaly_memory import Reservoir, Rows, renewed
from appliance.training.anomaly_scores import one_per_part, suspects_of
from appliance.training.coreset import MOST_CANDIDATES
from appliance.training.fit_run import FitRun
from appliance.training.linear import Linear
from appliance.training.novelty import inherited
from appliance.training.package import Contents, FittedBundle, npz, pack

Arrays = Mapping[str, NDArray[np.generic]]


class _Known(Struct, frozen=True):
    """Hold what the bundle keeps of its fit."""

    options: AnomalyOptions
    fitted: Fitted
    memory: Memory


def update_anomaly(
    manifest: Manifest,
    files: Mapping[str, bytes],
    frames: Iterable[Frame],
    run: FitRun,
    groups: Sequence[str] | None = None,
    parent: str = "",
) -> FittedBundle:
    """Give the bundle that also knows these good frames; blocks for a second per 30 of them.

    manifest, files: of a bundle that `fit_anomaly_bundle` made with a memory. groups: one name per new frame, of parts
    that the bundle has not seen. parent: id of the bundle. New frames are scored by the old model, which never saw
    them, and these scores join the old ones, so the limits still hold; statistics of the map and what the model knows
    of defects stay. Raises ConfigError when the bundle keeps no memory or frames do not fit.
    """
    known = _known(manifest, files)
    calibration = manifest.calibration
    if calibration is None:
        raise ConfigError("anomaly update: the bundle has no limits to go on from; fit it again")
    with looked_at(frames, fewest=1) as seen:
        return _updated(manifest, files, known, calibration, seen, run, groups, parent)


def _updated(
    manifest: Manifest,
    files: Mapping[str, bytes],
    known: _Known,
    calibration: GoodOnlyCalibration,
    seen: Frames,
    run: FitRun,
    groups: Sequence[str] | None,
    parent: str,
) -> FittedBundle:
    names = [str(index) for index in range(len(seen.shapes))] if groups is None else list(groups)
    if len(names) != len(seen.shapes):
        raise ConfigError(f"anomaly update: {len(names)} groups for {len(seen.shapes)} images; give one per image")
    rows, scores = _taken_in(manifest, files, known, seen, run)
    random = np.random.default_rng(run.seed)
    fitted = replace(known.fitted, good=renewed(known.memory, rows, random))
    options = replace(known.options, seed=run.seed, threads=run.threads)
    fresh = one_per_part(scores, names, joined=options.exposures is Exposures.JOINED)
    (model,) = manifest.models
    old_images = _arrays(files, model.golden)["images"].astype(np.uint8, copy=False)
    how = replace(manifest.preprocessing, golden="", frame_shape=None)
    kept = {name: files[name] for name in (manifest.heads[0].settings, STATISTICS, FIT)}
    contents = Contents(
        heads=manifest.heads,
        networks={model.name: network_of(fitted, old_images, (how.rows, how.columns), options, run)},
        settings={**kept, MEMORY: npz(kept_arrays(fitted))},
        preprocessing=how,
        frame=seen.first,
        data=_joined(manifest.data, seen.data),
        created=run.created,
        calibration=calibrate([*calibration.scores, *fresh], options.hold_back, options.margin),
        parent=parent,
        suspects=tuple(
            place - calibration.images
            for place in suspects_of([*calibration.scores, *scores])
            if place >= calibration.images
        ),
    )
    return inherited(pack(contents, run.runtime, run.precision, run.threads), manifest, files)


def _taken_in(
    manifest: Manifest, files: Mapping[str, bytes], known: _Known, seen: Frames, run: FitRun
) -> tuple[Rows, list[float]]:
    """Give a fair sample of the new patches and the old model's score of each new frame."""
    how, options = manifest.preprocessing, known.options
    size = (how.rows, how.columns)
    cutter = Cutter(how)
    cutter.check(seen)
    features = feature_model(weights.efficientnet_lite0(), size, 1, options.plan)
    session = run.runtime.load(features, run.precision, run.threads)
    judge = run.runtime.load(files[manifest.models[0].file], run.precision, run.threads)
    statistics = read_statistics(dict(_arrays(files, STATISTICS)))
    patches, scores = Reservoir(MOST_CANDIDATES, np.random.default_rng(run.seed)), []
    for index in range(len(seen.shapes)):
        run.tell(f"frame {index + 1}", index / len(seen.shapes))
        score = -np.inf
        for picture in cutter.pictures(seen.frames[index], index):
            patches.add(rows_of(session, picture, picture.image, options.plan), index)
            judge.input[0] = picture.image
            found = picture.view.cut(judge.run()["map"][0])
            deviation = anomaly_map.deviations(found, laid_out(statistics, picture.view))
            score = max(score, anomaly_map.image_score(deviation, options.top_share))
        scores.append(float(score))
    return patches.rows(), scores


def _known(manifest: Manifest, files: Mapping[str, bytes]) -> _Known:
    if MEMORY not in files or FIT not in files:
        raise ConfigError(
            f"anomaly update: the {manifest.task} bundle keeps no {MEMORY} and {FIT}; fit it again with these frames"
        )
    arrays = _arrays(files, MEMORY)
    options = msgspec.json.decode(files[FIT], type=AnomalyOptions)
    if "patches" not in arrays:
        raise ConfigError(
            "anomaly update: the bundle describes good parts by no memory; fit it again with these frames"
        )
    memory = Memory(*(arrays[name].astype(np.float32) for name in ("mean", "scale", "patches")))
    marker = None
    if "scales" in arrays:
        layers = [arrays[f"marker_{index}"].astype(np.float32) for index in range(4)]
        scales = arrays["scales"].astype(np.float64)
        marker = Marker(Linear(*layers[:2]), Linear(*layers[2:]), *(float(value) for value in scales))
    return _Known(options, Fitted(memory, marker), memory)


def _arrays(files: Mapping[str, bytes], name: str) -> Arrays:
    with np.load(io.BytesIO(files[name]), allow_pickle=False) as content:
        return dict(content)


def _joined(old: DataSnapshot, new: DataSnapshot) -> DataSnapshot:
    both = hashlib.sha256(f"{old.sha256} {new.sha256}".encode()).hexdigest()
    return DataSnapshot(old.images + new.images, both, old.synthetic_share * old.images / (old.images + new.images))
