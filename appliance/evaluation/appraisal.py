"""Judge a bundle by labelled pictures: metrics of its task, and what its limits let pass and hold back."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from appliance.datasets.sample import DataSet, Sample
from appliance.decision.disposition import is_fault
from appliance.evaluation.anomaly import AnomalyTally
from appliance.evaluation.classification import ClassificationTally
from appliance.evaluation.decisions import band_intervals, bands, by_kind, by_part
from appliance.evaluation.judging import Judged, Tell, defects_of, judge_all, must_not_pass, unheard
from appliance.evaluation.objects import ObjectTally, listing_all
from appliance.evaluation.outcome import SEED, Outcome, Tally
from appliance.evaluation.row import Row, ranked
from appliance.evaluation.semantic import SemanticTally
from appliance.evaluation.text import TextTally
from appliance.learning.bootstrap import FEWEST_PARTS
from appliance.schema.bundle import ConfidenceCurve, Manifest, TaskName
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.services._inspector import LoadedBundle

MOST_WORST = 20
WITH_THINGS = frozenset({TaskName.DETECTION, TaskName.INSTANCE})


Fold = tuple[LoadedBundle, Sequence[Sample]]
"""A bundle with samples that it has not seen."""


class Appraisal(Struct, frozen=True):
    """Hold what a bundle is worth on some pictures."""

    rows: tuple[Row, ...]
    outcome: Outcome


def appraise(
    loaded: LoadedBundle,
    data: DataSet,
    samples: Sequence[Sample],
    tell: Tell = unheard,
) -> Appraisal:
    """Judge every sample and sum up; memory holds one picture at a time, and a short row of each.

    tell: told the share done. ConfigError for data that the bundle cannot be judged by, RuntimeFault when it can read
    none of the frames.
    """
    return appraise_folds(((loaded, samples),), data, tell)


def appraise_folds(folds: Iterable[Fold], data: DataSet, tell: Tell = unheard) -> Appraisal:
    """Judge each fold's samples by its own bundle and sum up once over all, as if one bundle had judged them.

    folds: taken one after the other, so that each may be fitted when its turn comes; no group stands in two of them.
    tell: told the share of the fold being judged. ConfigError as for `appraise`, and for bundles with other classes
    than the first; RuntimeFault when no frame of any fold can be read. Scores of all folds are ranked together: where
    one bundle's scores run higher than another's, AUROC is lower than that of each.
    """
    rows: list[Row] = []
    faults: list[str] = []
    by_group: dict[str, LoadedBundle] = {}
    tally: Tally | None = None
    first: Manifest | None = None
    for loaded, samples in folds:
        check_classes(loaded.manifest, data)
        first = first or loaded.manifest
        _check_alike(first, loaded.manifest)
        tally = tally or _tally(first, data)
        _check_apart(by_group, samples)
        by_group |= dict.fromkeys((sample.group for sample in samples), loaded)
        source = listing_all(loaded) if data.task in WITH_THINGS else loaded
        for judged in judge_all(source, samples, maps=True, tell=tell):
            row = row_of(judged, data, loaded.manifest)
            tally.add(judged, row)
            rows.append(row)
            faults += [judged.fault] if judged.fault else []
    if tally is None:
        raise ConfigError(f"{data.root}: 0 folds to judge, at least 1 is needed; give a bundle and its samples")
    if faults and len(faults) == len(rows):
        raise RuntimeFault(faults[0])
    return Appraisal(tuple(rows), _summed_up(tally, rows, by_group, faults))


def row_of(judged: Judged, data: DataSet, manifest: Manifest) -> Row:
    """Give what the rates need of a judged picture."""
    sample = judged.sample
    kinds = defects_of(sample, data, features_of(manifest))
    bad = must_not_pass(judged, data) if data.task is TaskName.OCR else bool(kinds)
    return Row(sample.name, sample.group, kinds, bad, judged.score, judged.disposition)


def features_of(manifest: Manifest) -> frozenset[str]:
    """Give the classes that are no defects."""
    return frozenset(one.name for head in manifest.heads for one in head.classes if not one.defect)


def check_classes(manifest: Manifest, data: DataSet) -> None:
    """Raise ConfigError for data of another task, or with classes that the bundle does not know."""
    if manifest.task is not data.task:
        raise ConfigError(f"{data.root}: data of task {data.task}, the bundle is of task {manifest.task}; use its own")
    if data.task in {TaskName.ANOMALY, TaskName.OCR}:
        return  # whatever is no good part is an anomaly
    known = {one.name for one in manifest.heads[0].classes}
    if data.task is TaskName.SEMANTIC:
        known.add(data.classes[0])
    strange = [name for name in data.classes if name not in known]
    if strange:
        raise ConfigError(
            f"{data.root}: class {strange[0]!r} is unknown to the bundle, which knows {', '.join(sorted(known))}; "
            "correct the name, or train a bundle for it"
        )


def worst(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Name the escapes, least suspicious first, and after them the good pictures held back, most suspicious first."""
    escapes = sorted((row for row in rows if row.bad and row.accepted), key=lambda row: row.score)
    overkill = sorted((row for row in rows if not row.bad and not row.accepted), key=lambda row: -ranked(row.score))
    return [
        {
            "image": row.name,
            "group": row.group,
            "truth": row.kinds or ("good",),
            "score": row.score if math.isfinite(row.score) else None,
            "disposition": row.disposition,
        }
        for row in (*escapes[:MOST_WORST], *overkill[:MOST_WORST])
    ]


def _check_alike(first: Manifest, manifest: Manifest) -> None:
    """Raise ConfigError where answers of two bundles cannot be counted together."""
    names, other = ([one.name for one in each.heads[0].classes] for each in (first, manifest))
    if names != other:
        raise ConfigError(
            f"folds: a bundle knows {', '.join(other)}, the first {', '.join(names)}; fit all with the same classes"
        )
    if first.task is TaskName.CLASSIFICATION and _image_curve(first) != _image_curve(manifest):
        raise ConfigError("folds: bundles have confidence curves of their own; judge each alone, or fit without")


def _image_curve(manifest: Manifest) -> ConfidenceCurve | None:
    return next((curve for curve in manifest.confidence if not curve.kind), None)


def _check_apart(by_group: Mapping[str, LoadedBundle], samples: Sequence[Sample]) -> None:
    shared = next((sample.group for sample in samples if sample.group in by_group), None)
    if shared is not None:
        raise ConfigError(f"folds: part {shared} stands in two folds; keep the pictures of a part in one")


def _summed_up(
    tally: Tally, rows: Sequence[Row], by_group: Mapping[str, LoadedBundle], faults: Sequence[str]
) -> Outcome:
    outcome = tally.outcome(rows)
    outcome.metrics |= asdict(bands(rows))
    outcome.intervals |= band_intervals(rows, SEED)
    for kind, found in by_kind(rows).items():
        outcome.of_class(kind, found)
    if len(by_group) < len(rows):
        outcome.more["by_part"] = by_part(rows, by_group)
    outcome.more["worst"] = worst(rows)
    if faults:
        outcome.remarks.append(
            f"ATTENTION: {len(faults)} of {len(rows)} pictures cannot be read: they have no verdict and rank as most "
            f"suspicious; {faults[0]}"
        )
    outcome.remarks += _remarks(tuple(by_group.values()), rows, len(faults))
    return outcome


def _tally(manifest: Manifest, data: DataSet) -> Tally:
    match data.task:
        case TaskName.ANOMALY:
            return AnomalyTally(data)
        case TaskName.CLASSIFICATION:
            return ClassificationTally(data, manifest)
        case TaskName.SEMANTIC:
            return SemanticTally(data, manifest)
        case TaskName.OCR:
            return TextTally()
    return ObjectTally(data)


def _remarks(bundles: Sequence[LoadedBundle], rows: Sequence[Row], unread: int) -> list[str]:
    lines = []
    if any(loaded.manifest.calibration is None for loaded in bundles):
        lines.append("the bundle has no limits: every picture goes to review, so nothing escapes and all is overkill")
    moved = next((one for one in bundles if _settings(one) != (one.manifest.runtime, one.manifest.precision)), None)
    if moved is not None and moved.manifest.calibration is not None:
        lines.append(
            f"run in {moved.runtime} {moved.precision}, limits were set in {moved.manifest.runtime} "
            f"{moved.manifest.precision}: escape, overkill and review rates are those of another model"
        )
    parts = len({row.group for row in rows})
    if parts < FEWEST_PARTS:
        lines.append(
            f"{parts} parts, at least {FEWEST_PARTS} are needed for intervals by part, so only rates have one; add "
            "pictures of other parts"
        )
    unscored = sum(is_fault(row.score) for row in rows) - unread
    if unscored:
        lines.append(f"{unscored} pictures were read and have no score, so no verdict; they rank as most suspicious")
    return lines


def _settings(loaded: LoadedBundle) -> tuple[str, str]:
    return loaded.runtime, loaded.precision
