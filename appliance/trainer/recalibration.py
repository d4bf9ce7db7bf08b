"""Answer `firstshift bundle calibrate`: limits and confidences of a bundle for another precision, from unseen parts."""

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from appliance.datasets.splitting import split_by_group
from appliance.decision.calibration import FEWEST_GOOD_IMAGES, calibrate_if_enough, capped
from appliance.evaluation.appraisal import features_of
from appliance.evaluation.command import SPLITS
from appliance.evaluation.held_out import Chosen, choose, scores_of_parts
from appliance.evaluation.judging import Judged, defects_of, judge_all, must_not_pass
from appliance.evaluation.seen import SEEN, seen_also
from appliance.infer.show import curve_line, limits_line
from appliance.ports.runtime import Runtime
from appliance.schema.bundle import (
    ConfidenceCurve,
    GoodOnlyCalibration,
    Head,
    Manifest,
    Novelty,
    Precision,
    TaskName,
)
from appliance.schema.errors import ConfigError, Refused, RuntimeFault
from appliance.services._inspector import load_bundle
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.tasks.ocr import OcrSettings
from appliance.trainer import confident, data_sheet
from appliance.trainer.progress import shown
from appliance.training.classification_options import ClassificationOptions
from appliance.training.novelty import FEWEST_PARTS
from appliance.training.package import golden_outputs, npz

EVIDENCE = "evidence/calibration.json"
IMAGES = "images"


class CalibrateOptions(Struct, frozen=True):
    """Take what the command line says."""

    bundle: Path
    data: Path
    out: Path
    split: str = "test"
    share: float = 0.5
    """Of the parts that the bundle has not seen; the others stay unseen, to judge it by."""
    overkill: float = 0.05
    """Share of good parts that may be held back."""
    runtime: str | None = None
    """None: the one the bundle was calibrated with."""
    precision: str = "auto"
    views: int | None = None
    seed: int = 0
    threads: int = 1


class Evidence(Struct, frozen=True):
    """State what the calibration rests on; kept in the bundle."""

    parent: str
    runtime: str
    precision: str
    data: str
    """SHA-256 of the pictures, their parts and classes."""
    pictures: int
    good: int
    defects: int
    known: int
    """Parts behind the rate of false unknowns."""
    limits: GoodOnlyCalibration | None
    confidence: tuple[ConfidenceCurve, ...]
    remarks: tuple[str, ...]


def run_calibrate(options: CalibrateOptions) -> int:
    """Score unseen parts in the wished precision and write a new bundle, child of the old one."""
    _check(options)
    origin = bundles.read(options.bundle)
    runtime = open_runtime(options.runtime or origin.manifest.runtime)
    precision = Precision(runtime.choose(options.precision))
    chosen = _share(choose(options.data, SPLITS[options.split], origin), options.share, options.seed)
    with TemporaryDirectory(prefix="firstshift-") as place, shown("calibrate") as tell:
        manifest, files = _bare(origin, runtime, precision, options.threads)
        bundles.write(Path(place) / "bare", manifest, files)
        loaded = load_bundle(Path(place) / "bare", runtime, precision, options.threads)
        judged = tuple(judge_all(loaded, chosen.samples, tell=lambda share: tell("pictures", share)))
    parts = scores_of_parts(judged, chosen, manifest, options.views, options.seed)
    limits = calibrate_if_enough(parts.held.good, options.overkill)
    at_most = _cap(origin)
    if limits is not None and at_most is not None:
        limits = capped(limits, at_most)
    curves = confident.curves(confident.answers(chosen.data, judged))
    novelty = _novelty(manifest.novelty, judged, chosen)
    remarks = (*parts.remarks, *_remarks(limits, curves, manifest, novelty))
    evidence = Evidence(
        origin.id,
        runtime.name,
        precision,
        parts.sha256,
        parts.pictures,
        len(parts.held.good),
        len(parts.held.defects),
        len(novelty.scores) if novelty else 0,
        limits,
        curves,
        remarks,
    )
    files |= {
        EVIDENCE: msgspec.json.format(msgspec.json.encode(evidence)),
        SEEN: seen_also(chosen.samples, origin.files),
    }
    heads = (manifest.heads[0], *_other_heads(origin.manifest, judged, chosen, options.overkill))
    kept = tuple(path for path in manifest.evidence if path not in {EVIDENCE, SEEN})
    if manifest.novelty is not None and novelty is None:
        del files[manifest.novelty.file]
    whole = replace(
        manifest,
        heads=heads,
        calibration=limits,
        confidence=curves,
        novelty=novelty,
        evidence=(*kept, EVIDENCE, SEEN),
    )
    identity = bundles.write(options.out, whole, files)
    _report(options.out, identity, evidence)
    return 0


def _check(options: CalibrateOptions) -> None:
    if options.out.exists():
        raise Refused(f"calibrate: {options.out} already exists, bundles are never overwritten; name another --out")
    if options.split not in SPLITS:
        raise ConfigError(f"--split {options.split!r}: unknown; choose one of {', '.join(SPLITS)}")
    if not 0 < options.share <= 1:
        raise ConfigError(f"--share {options.share:g}: must be over 0 and at most 1; give the share of unseen parts")
    if not 0 <= options.overkill < 0.5:
        raise ConfigError(f"--overkill {options.overkill:g}: must lie in [0, 0.5); give a share of good parts")
    if options.threads < 1 or options.seed < 0 or (options.views is not None and options.views < 1):
        raise ConfigError(
            f"--threads {options.threads}, --seed {options.seed}, --views {options.views}: at least 1, 0 and 1 are "
            "needed; give other counts"
        )


def _share(chosen: Chosen, share: float, seed: int) -> Chosen:
    """Take so many of the parts; the others stay unseen."""
    if share == 1:
        return chosen
    _, taken = split_by_group(chosen.samples, share, seed)
    return replace(chosen, samples=taken)


def _bare(
    origin: bundles.Bundle, runtime: Runtime, precision: Precision, threads: int
) -> tuple[Manifest, dict[str, bytes]]:
    """Give the bundle proven in the new precision, without limits: the same images, their new golden tensors."""
    dropped = {data_sheet.HTML, data_sheet.JSON}  # they speak of the old limits
    files = {path: content for path, content in origin.files.items() if path not in dropped}
    for model in origin.manifest.models:
        golden = bundles.arrays(origin, model.golden)
        if IMAGES not in golden:
            raise RuntimeFault(f"bundle {origin.folder}: {model.golden}: no `{IMAGES}`; build the bundle again")
        session = runtime.load(origin.files[model.file], precision, threads)
        every = golden_outputs(session, golden[IMAGES].astype(np.uint8, copy=False))
        files[model.golden] = npz({name: tensor for name, tensor in every.items() if name in golden})
    old = origin.manifest
    manifest = replace(
        old,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        heads=tuple(replace(head, calibration=None) for head in old.heads),
        runtime=runtime.name,
        precision=precision,
        calibration=None,
        confidence=(),
        parent=origin.id,
        evidence=tuple(path for path in old.evidence if path in files),
        files=(),
    )
    return manifest, files


def _cap(origin: bundles.Bundle) -> float | None:
    """Give the score from which a part must not pass whatever good parts score; None: there is no such score."""
    head = origin.manifest.heads[0]
    if head.task is TaskName.CLASSIFICATION:
        return ClassificationOptions().threshold
    if head.task is not TaskName.OCR:
        return None
    settings = msgspec.json.decode(origin.files[head.settings], type=OcrSettings)
    named = max((one.threshold for one in head.classes), default=1.0)
    return 1 - min(named, settings.bound_threshold)


def _novelty(detector: Novelty | None, judged: Sequence[Judged], chosen: Chosen) -> Novelty | None:
    """Give the detector with the scores that known parts have in the new precision; None where they are too few."""
    if detector is None:
        return None
    worst: dict[str, float] = {}
    strange = set()
    for one in judged:
        kinds = defects_of(one.sample, chosen.data)
        if any(kind not in detector.kinds for kind in kinds) or one.novelty is None:
            strange.add(one.sample.group)
        else:
            worst[one.sample.group] = max(worst.get(one.sample.group, -math.inf), one.novelty)
    scores = sorted(score for group, score in worst.items() if group not in strange)
    return replace(detector, scores=tuple(scores)) if len(scores) >= FEWEST_PARTS else None


def _other_heads(origin: Manifest, judged: Sequence[Judged], chosen: Chosen, overkill: float) -> Iterator[Head]:
    """Yield the heads behind the deciding one with limits of their own, where they had some."""
    bad = {one.sample.group for one in judged if must_not_pass(one, chosen.data, features_of(origin))}
    for place, head in enumerate(origin.heads[1:]):
        worst: dict[str, float] = {}
        for one in judged:
            if one.sample.group not in bad and place < len(one.others):
                worst[one.sample.group] = max(worst.get(one.sample.group, -math.inf), one.others[place])
        own = calibrate_if_enough(tuple(worst.values()), overkill) if head.calibration else None
        yield replace(head, calibration=own)


def _remarks(
    limits: GoodOnlyCalibration | None, curves: Sequence[ConfidenceCurve], origin: Manifest, novelty: Novelty | None
) -> Iterator[str]:
    if limits is None:
        yield f"no limits: under {FEWEST_GOOD_IMAGES} good parts promise nothing, so every part goes to a person"
    if not any(not curve.kind for curve in curves):
        yield "uncalibrated: too few good and defective parts for a confidence, so nothing is accepted by it"
    if origin.novelty is not None and novelty is None:
        yield f"no detector of unknown parts: under {FEWEST_PARTS} known parts say nothing of how often it errs"


def _report(out: Path, identity: str, found: Evidence) -> None:
    """Say what was made, for people."""
    first = (
        f"{found.runtime} {found.precision}, from {found.good} good and {found.defects} defective parts of "
        f"{found.pictures} pictures that the bundle had not seen"
    )
    lines = [first]
    if found.limits is not None:
        lines.append(f"limits: {limits_line(found.limits)}")
    lines += [f"confidence: {curve_line(curve)}" for curve in found.confidence]
    lines += [f"note: {remark}" for remark in found.remarks]
    sys.stdout.write(f"{out}: {identity}\n" + "".join(f"  {line}\n" for line in lines))
