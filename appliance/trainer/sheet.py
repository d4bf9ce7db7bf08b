"""Fill a bundle's data sheet from what its making showed."""

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from appliance.datasets.sample import GOOD, DataSet, Sample
from appliance.datasets.truth import load_frame
from appliance.decision.novelty import false_unknown_rate
from appliance.evaluation.appraisal import Appraisal
from appliance.evaluation.judging import judge_all
from appliance.evaluation.robustness import Disturbed
from appliance.learning import rates
from appliance.learning.bootstrap import Interval
from appliance.schema.bundle import GoodOnlyCalibration, Manifest, TaskName
from appliance.schema.errors import RuntimeFault
from appliance.schema.policy import Policy
from appliance.services._inspector import LoadedBundle
from appliance.trainer import confident, contact_sheet
from appliance.trainer.confident import Answers
from appliance.trainer.data_sheet import Confidence, CountRow, CurvePoint, DataSheet, Gap, Rate
from appliance.trainer.known_parts import known_samples
from appliance.trainer.partition import NO_TEST, Partition
from appliance.trainer.study import HEADLINES
from appliance.training.fit_run import FitRun
from appliance.training.novelty import reason_without
from appliance.training.package import FittedBundle

DECISIONS = {
    "escape_rate": "Escapes: defective, accepted",
    "overkill_rate": "Overkill: good, not accepted",
    "review_rate": "Shown to a person, of all",
}
TIMED_PICTURES = 15
# Below this many pictures an interval is so wide that the sheet says so.
FEW = 60


class Made(Struct, frozen=True):
    """Hold what training made and found."""

    data: DataSet
    chosen: Partition
    fitted: FittedBundle
    manifest: Manifest
    """With confidences."""
    loaded: LoadedBundle
    run: FitRun
    answers: dict[str, Answers]
    found: Appraisal | None
    """On the test pictures; None where none were held out."""
    curve: tuple[CurvePoint, ...] = ()
    gap: Gap | None = None
    left_out: str = ""
    disturbed: tuple[Disturbed, ...] = ()
    notes: tuple[str, ...] = ()
    """What the fit said of itself."""
    seconds: float = 0.0


def sheet_of(made: Made) -> DataSheet:
    """Give the data sheet."""
    data, chosen, manifest = made.data, made.chosen, made.manifest
    calibration = manifest.calibration
    rows = made.found.rows if made.found else ()
    return DataSheet(
        task=data.task.value,
        headline=HEADLINES[data.task],
        created=manifest.created,
        root=data.root.resolve().name,
        layout=data.layout,
        pixel_format=data.pixel_format.value,
        grouped_by=data.grouped_by,
        test_origin=chosen.test_origin,
        counts=_counts(chosen),
        groups=(_groups(chosen.fit), _groups(chosen.calibration), _groups(chosen.test)),
        remarks=(*(remark.text for remark in data.remarks), *made.notes),
        runtime=made.run.runtime.name,
        precision=made.run.precision,
        seed=made.run.seed,
        seconds=made.seconds,
        input_shape=(manifest.preprocessing.rows, manifest.preprocessing.columns),
        cpu_ms=_cpu_ms(made),
        decision=tuple(_decisions(made.found)),
        metrics=tuple(_metrics(made.found)),
        per_class=_per_class(made.found),
        good_scores=tuple(row.score for row in rows if not row.bad and math.isfinite(row.score)),
        defect_scores=tuple(row.score for row in rows if row.bad and math.isfinite(row.score)),
        accept_below=calibration.accept_below if calibration else None,
        reject_above=calibration.reject_above if calibration else None,
        promise=promise(calibration),
        unknown=unknown(manifest, known_samples(data.task, chosen)),
        confidences=_confidences(made),
        curve=made.curve,
        gap=made.gap,
        left_out=made.left_out,
        robustness=tuple(
            (
                one.disturbance,
                one.level,
                _rate("escapes", one.escape_rate, None),
                _rate("overkill", one.overkill_rate, None),
            )
            for one in made.disturbed
        ),
        worst=_worst(made),
        limits=tuple(_limits(made)),
    )


def promise(calibration: GoodOnlyCalibration | None) -> str:
    """Say in words what the limits promise."""
    if calibration is None:
        return "The bundle has no limits: every part goes to a person."
    return (
        f"The limits were set on {calibration.images} good ones that the model had not seen: overkill is expected at "
        f"{calibration.overkill_expected:.1%} and lies under {calibration.overkill_upper:.1%} with 95 % confidence."
    )


def unknown(manifest: Manifest, known: Sequence[Sample]) -> str:
    """Say in words what becomes of parts unlike everything known."""
    if manifest.novelty is None:
        reason = reason_without(manifest, len({sample.group for sample in known}))
        return (
            f"It cannot tell a part unlike everything known: {reason}. A recipe that asks for it, as all do that do "
            "not say otherwise, accepts nothing with this bundle."
        )
    rate, parts = Policy().unknown_rate, len(manifest.novelty.scores)
    expected = false_unknown_rate(parts, rate)
    return (
        f"A part unlike everything known ({', '.join(manifest.novelty.kinds)}) is held as unknown. With the usual rate "
        f"of {rate:.1%}, {expected:.1%} of known parts are expected to be held so too, by {parts} known parts that the "
        "detector had not seen."
    )


def _counts(chosen: Partition) -> tuple[CountRow, ...]:
    parts = [_by_class(samples) for samples in (chosen.fit, chosen.calibration, chosen.test)]
    names = sorted({name for part in parts for name in part}, key=lambda name: (name != GOOD, name))
    return tuple(CountRow(name, *(part.get(name, 0) for part in parts)) for name in names)


def _by_class(samples: Sequence[Sample]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for sample in samples:
        for name in _classes(sample):
            counts[name] = counts.get(name, 0) + 1
    return counts


def _classes(sample: Sample) -> set[str]:
    if sample.text is not None:
        return {"text"}
    return {thing.kind for thing in sample.things} or {sample.label or ("marked" if sample.mask else GOOD)}


def _groups(samples: Sequence[Sample]) -> int:
    return len({sample.group for sample in samples})


def _cpu_ms(made: Made) -> float | None:
    """Time some pictures one by one; the process's CPU time, since the machine may be shared."""
    samples = (made.chosen.test or made.chosen.fit)[:TIMED_PICTURES]
    spent = []
    for sample in samples:
        frame = load_frame(sample, made.data.pixel_format)
        try:
            reader = made.loaded.reader((frame.shape[0], frame.shape[1]))
        except RuntimeFault:
            continue  # a frame that the bundle cannot read has no verdict, and no time
        reader.read(frame)
        began = time.process_time()
        reader.read(frame)
        spent.append(1e3 * (time.process_time() - began))
    return float(np.median(spent)) if spent else None


def _decisions(found: Appraisal | None) -> Iterator[Rate]:
    if found is None:
        return
    for name, words in DECISIONS.items():
        yield _rate(words, found.outcome.metrics[name], None)


def _metrics(found: Appraisal | None) -> Iterator[Rate]:
    if found is None:
        return
    for name, value in found.outcome.metrics.items():
        if name not in DECISIONS:
            yield _rate(name, value, found.outcome.intervals.get(name), len(found.rows))


def _per_class(found: Appraisal | None) -> dict[str, tuple[Rate, ...]]:
    if found is None:
        return {}
    return {
        kind: tuple(_rate(name, value, None) for name, value in numbers.items())
        for kind, numbers in found.outcome.per_class.items()
    }


def _rate(name: str, value: Any, known: Interval | None, pictures: int | None = None) -> Rate:
    if isinstance(value, rates.Rate):
        return Rate(name, value.value, value.low, value.high, value.k, value.n)
    number = None if value is None or math.isnan(value) else float(value)
    if known is None:
        return Rate(name, number, n=pictures)
    return Rate(name, number, known.low, known.high, n=pictures, note=f"by {known.parts} parts drawn again")


def _confidences(made: Made) -> tuple[Confidence, ...]:
    return tuple(
        Confidence(
            kind=curve.kind,
            count=curve.count,
            right=curve.right,
            error=curve.error,
            bins=confident.bins(curve, made.answers[curve.kind]),
            method=curve.method,
            log_losses=curve.log_losses,
            low=curve.error_low,
            high=curve.error_high,
            parts=curve.parts,
        )
        for curve in made.manifest.confidence
    )


def _worst(made: Made) -> tuple[Any, ...]:
    """Look again at the pictures that were judged worst; both ends of the ranking suffice."""
    if made.found is None:
        return ()
    rows = made.found.rows
    bad = {row.name: row.bad for row in rows}
    ends = [
        *sorted((row for row in rows if row.bad), key=lambda row: row.score)[: contact_sheet.SHOWN],
        *sorted((row for row in rows if not row.bad), key=lambda row: -row.score)[: contact_sheet.SHOWN],
    ]
    names = {row.name for row in ends}
    samples = [sample for sample in made.chosen.test if sample.name in names]
    judged = [(one, bad[one.sample.name]) for one in judge_all(made.loaded, samples)]
    return contact_sheet.worst(made.data, judged)


def _limits(made: Made) -> Iterator[str]:
    """Say what this bundle cannot do, in sentences."""
    manifest, found, chosen = made.manifest, made.found, made.chosen
    yield (
        f"Its limits hold for {manifest.runtime} in {manifest.precision} and for pictures like these "
        f"({made.data.pixel_format.value}). Another camera, lens, lamp or product needs its own bundle."
    )
    if chosen.test_origin == NO_TEST:
        yield "Nothing is known of how well it works: no picture could be held out. Add pictures of other parts."
    if not made.data.grouped_by:
        yield (
            "No groups are known. If several pictures show one part, every figure here is too good; name the parts in "
            "groups.csv."
        )
    if found is not None:
        yield from _weak(found)
    if manifest.task is TaskName.ANOMALY:
        yield "It knows good parts only: it says that something is unusual, and not what it is."
    if manifest.task is TaskName.CLASSIFICATION:
        yield "It names one class for the whole picture and not the place; small defects need another task."
    if not made.manifest.confidence:
        yield "Its findings carry no confidence: no labelled defects were left to fit one on."


def _weak(found: Appraisal) -> Iterator[str]:
    metrics = found.outcome.metrics
    escapes, overkill = metrics["escape_rate"], metrics["overkill_rate"]
    if escapes.n and escapes.k:
        yield (
            f"It lets defects pass: {escapes.k} of {escapes.n} in this test, so up to {escapes.high:.1%} must be "
            "expected. Do not let it open a gate alone."
        )
    elif escapes.n:
        yield f"No defect passed in this test, and up to {escapes.high:.1%} must still be expected (n={escapes.n})."
    for what, rate in (("defective", escapes), ("good", overkill)):
        if rate.n < FEW:
            yield f"Only {rate.n} {what} pictures were tested; the interval above is as wide as that makes it."
    for kind, numbers in sorted(found.outcome.per_class.items()):
        own = numbers.get("escape_rate")
        if isinstance(own, rates.Rate) and own.n and own.value is not None and own.value > 0.5:
            yield f"It misses most of class {kind}: {own.k} of {own.n} escape."
