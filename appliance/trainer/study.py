"""Measure how much data is worth: the same fit from fewer images, and from a split that tears parts apart."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from appliance.datasets.sample import GOOD, DataSet, Sample
from appliance.datasets.splitting import split_by_group
from appliance.evaluation.appraisal import Appraisal, appraise
from appliance.learning.bootstrap import Interval
from appliance.learning.rates import Rate
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ApplianceError
from appliance.services._inspector import load_bundle
from appliance.storage import bundle as bundles
from appliance.trainer.data_sheet import CurvePoint, Gap
from appliance.trainer.fits import fit
from appliance.trainer.partition import Partition
from appliance.trainer.progress import part
from appliance.trainer.wishes import Wishes
from appliance.training.fit_run import FitRun

HEADLINES = {
    TaskName.ANOMALY: "image_auroc",
    TaskName.CLASSIFICATION: "macro_f1",
    TaskName.DETECTION: "map50",
    TaskName.INSTANCE: "mask_map50",
    TaskName.OCR: "string_accuracy",
    TaskName.SEMANTIC: "miou",
}
"""The one metric that curve and gap follow."""
SIZES = (10, 30, 100, 300, 1000)
# Smaller sets differ too little from the whole to be worth a fit.
LARGEST_SHARE = 0.8


class Headline(Struct, frozen=True):
    """State a metric with its interval."""

    value: float
    low: float | None
    """None: too few parts for an interval."""
    high: float | None


def headline(task: TaskName, found: Appraisal) -> Headline | None:
    """Give the metric that the curve follows, with the interval that is known for it; None when it has no value."""
    name = HEADLINES[task]
    value = found.outcome.metrics.get(name)
    known = found.outcome.intervals.get(name)
    if isinstance(value, Rate):
        return None if value.value is None else Headline(value.value, value.low, value.high)
    if value is None or math.isnan(value):
        return None
    return Headline(value, known.low, known.high) if isinstance(known, Interval) else Headline(value, None, None)


def planned_sizes(images: int) -> tuple[int, ...]:
    """Give the numbers of images that a curve is drawn for, the whole left out."""
    return tuple(size for size in SIZES if size <= LARGEST_SHARE * images)


def subset(samples: Sequence[Sample], images: int, seed: int) -> list[Sample]:
    """Give about so many samples, parts whole, every class in turn as long as there are some of it."""
    random = np.random.default_rng((seed, images))
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    by_kind: dict[str, list[str]] = {}
    for name in random.permutation(sorted(groups)).tolist():
        by_kind.setdefault(_kind(groups[name]), []).append(name)
    chosen: list[Sample] = []
    while len(chosen) < images and any(by_kind.values()):
        for names in by_kind.values():
            if names and len(chosen) < images:
                chosen += groups[names.pop()][: images - len(chosen)]
    return chosen


def curve_and_gap(
    data: DataSet,
    chosen: Partition,
    whole: Headline,
    run: FitRun,
    wishes: Wishes,
) -> tuple[tuple[CurvePoint, ...], Gap | None, str]:
    """Give the learning curve, the gap to a random split, and what was left out and why.

    whole: the headline of the bundle itself. Ends early when the time budget does.
    """
    points: list[CurvePoint] = []
    sizes = planned_sizes(len(chosen.fit))
    steps = len(sizes) + 1
    missing = []
    for place, images in enumerate(sizes):
        few = subset(chosen.fit, images, run.seed)
        own = replace(run, tell=part(run.tell, place / steps, (place + 1) / steps))
        found = _tried(data, few, chosen.test, own, wishes)
        if found is None:
            missing.append(str(images))
            continue
        points.append(CurvePoint(len(few), _groups(few), found.value, found.low, found.high))
    points.append(CurvePoint(len(chosen.fit), _groups(chosen.fit), whole.value, whole.low, whole.high))
    gap = _gap(data, chosen, whole, replace(run, tell=part(run.tell, len(sizes) / steps, 1.0)), wishes)
    left_out = f"No model came of {' or '.join(missing)} images: too few, or no time was left." if missing else ""
    return tuple(points), gap, left_out


def _gap(data: DataSet, chosen: Partition, whole: Headline, run: FitRun, wishes: Wishes) -> Gap | None:
    """Draw as many pictures as the honest split does, of parts that the model may know."""
    every = [*chosen.fit, *chosen.test]
    if len({sample.group for sample in every}) == len(every):
        return None  # each picture is a part of its own: both splits are the same
    alone = [replace(sample, group=sample.name) for sample in every]
    good_only = data.task is TaskName.ANOMALY
    pool = [sample for sample in alone if not good_only or sample.label == GOOD]
    held_out = sum(not good_only or sample.label == GOOD for sample in chosen.test)
    if not 0 < held_out < len(pool):
        return None
    kept, held = split_by_group(pool, held_out / len(pool), run.seed)
    defects = [sample for sample in chosen.test if good_only and sample.label != GOOD]
    found = _tried(data, kept, [*held, *defects], run, wishes)
    if found is None:
        return None
    return Gap(whole.value, len(chosen.test), found.value, len(held) + len(defects))


def _tried(
    data: DataSet, samples: Sequence[Sample], test: Sequence[Sample], run: FitRun, wishes: Wishes
) -> Headline | None:
    """Fit and appraise; None when so few images do not make a model or no time is left."""
    if run.left_s() <= 0:
        return None
    try:
        fitted = fit(data, samples, run, wishes)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "bundle"
            bundles.write(folder, fitted.manifest, fitted.files)
            loaded = load_bundle(folder, run.runtime, run.precision, 1)
            return headline(data.task, appraise(loaded, data, test))
    except ApplianceError:
        return None


def _groups(samples: Sequence[Sample]) -> int:
    return len({sample.group for sample in samples})


def _kind(samples: Sequence[Sample]) -> str:
    kinds = sorted({thing.kind for sample in samples for thing in sample.things})
    return kinds[0] if kinds else samples[0].label
