"""Answer `firstshift train`: read, divide, fit, prove, measure, and store the bundle with its data sheet."""

import json
import math
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from appliance.datasets.inspection import refusals
from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet
from appliance.evaluation.appraisal import Appraisal, appraise
from appliance.evaluation.judging import judge_all
from appliance.evaluation.robustness import run_robustness
from appliance.evaluation.seen import SEEN, seen_file
from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError, Refused
from appliance.services._inspector import load_bundle
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.storage.whole_file import write_whole
from appliance.trainer import confident, data_sheet, fits, study
from appliance.trainer.confident import Answers
from appliance.trainer.known_parts import with_detector
from appliance.trainer.partition import Partition, partition
from appliance.trainer.progress import part, shown
from appliance.trainer.sheet import Made, sheet_of
from appliance.trainer.wishes import Wishes, checked
from appliance.trainer.workplace import workplace
from appliance.training.fit_run import FitRun, Progress, unnoted
from appliance.training.package import FittedBundle

# Curve and gap refit several times; without a budget they are measured where the first fit took no longer than this.
QUICK_FIT_S = 90.0
# Shares of the work, for the progress bar.
FITTED, JUDGED = 0.5, 0.65


class TrainOptions(Struct, frozen=True):
    """Take what the command line says."""

    task: TaskName
    data: Path
    out: Path
    minutes: float | None = None
    """Time budget; None: none."""
    seed: int = 0
    runtime: str = "openvino"
    precision: str = "auto"
    threads: int = 2
    study: bool | None = None
    """Measure learning curve and gap; None: where time allows."""
    wishes: Wishes = Wishes()
    robustness: bool = False
    """Also judge the test pictures under changed light, blur, noise and movement."""
    json: str | None = None
    """File for the data sheet's numbers, `-` for standard output alone."""


def run_train(options: TrainOptions) -> int:
    """Make the bundle; everything that can be refused is refused before the first picture is learned from."""
    _check(options)
    data = read_data(options.data, options.task)
    _check_data(data)
    chosen = partition(data, options.seed)
    runtime = open_runtime(options.runtime)
    precision = runtime.choose(options.precision)
    settings = (options.seed, runtime.name, precision, options.minutes, options.wishes)
    began = time.monotonic()
    left_s = _left(began, options.minutes)
    notes: list[str] = []
    with workplace(options.out, data, settings) as folder, shown(f"train {options.task}") as tell:
        run = FitRun(
            runtime=runtime,
            precision=precision,
            created=_created(folder),
            folder=folder,
            tell=part(tell, 0, FITTED),
            left_s=left_s,
            seed=options.seed,
            threads=options.threads,
            note=notes.append,
        )
        fitted = _fitted(data, chosen, run, options.wishes, folder)
        fit_s = time.monotonic() - began
        made = _proven(data, chosen, fitted, run, folder, tell)
        made = _studied(made, options, run, fit_s, tell)
        if options.robustness:
            judging = part(tell, JUDGED, 1.0)
            disturbed = run_robustness(made.loaded, data, chosen.test, lambda share: judging("robustness", share))
            made = replace(made, disturbed=disturbed)
        sheet = sheet_of(replace(made, notes=tuple(notes), seconds=time.monotonic() - began))
        files = {
            **fitted.files,
            data_sheet.HTML: data_sheet.as_html(sheet),
            data_sheet.JSON: data_sheet.as_json(sheet),
            SEEN: seen_file((*chosen.fit, *chosen.defects, *chosen.calibration)),
        }
        manifest = replace(made.manifest, evidence=(*fitted.manifest.evidence, data_sheet.HTML, data_sheet.JSON, SEEN))
        identity = bundles.write(options.out, manifest, files)
        tell("done", 1.0)
    _report(options, identity, sheet)
    return 0


def _check(options: TrainOptions) -> None:
    if options.out.exists():
        raise Refused(f"train: {options.out} already exists and bundles are never overwritten; name another --out")
    if options.minutes is not None and not (options.minutes > 0 and math.isfinite(options.minutes)):
        raise ConfigError(f"--minutes: {options.minutes:g}, must be over 0; give the time that training may take")
    if options.threads < 1:
        raise ConfigError(f"--threads: {options.threads}, at least 1 is needed; give the number of cores to use")
    if options.seed < 0:
        raise ConfigError(f"--seed: {options.seed}, limit is 0 or more; give another")
    checked(options.wishes)


def _check_data(data: DataSet) -> None:
    """Refuse data that would make a bundle lie, before anything is learned."""
    refused = refusals(data, training=True)
    if refused:
        more = f"; {len(refused) - 1} more such remarks" if len(refused) > 1 else ""
        raise ConfigError(f"{data.root}: {refused[0].text}{more}; `firstshift dataset inspect` names the pictures")


def _left(began: float, minutes: float | None) -> Callable[[], float]:
    if minutes is None:
        return lambda: math.inf
    return lambda: began + 60 * minutes - time.monotonic()


def _created(folder: Path) -> str:
    """Give the time at which the work began, the same after a resume."""
    note = folder / "created"
    if not note.exists():
        note.write_text(datetime.now(UTC).isoformat(timespec="seconds"), "utf-8")
    return note.read_text("utf-8")


def _fitted(data: DataSet, chosen: Partition, run: FitRun, wishes: Wishes, folder: Path) -> FittedBundle:
    """Fit, or take up what a killed run had fitted already."""
    place = folder / "fitted"
    if not place.exists():
        fitted = with_detector(data, chosen, fits.fit(data, chosen.fit, run, wishes, chosen.defects), run)
        bundles.write(place, fitted.manifest, fitted.files)
    kept = bundles.read(place)
    return FittedBundle(replace(kept.manifest, files=()), dict(kept.files))


def _proven(data: DataSet, chosen: Partition, fitted: FittedBundle, run: FitRun, folder: Path, tell: Progress) -> Made:
    """Load the fitted bundle as a line would, fit its confidences, and judge it by the test pictures."""
    tell("confidence", FITTED)
    loaded = load_bundle(folder / "fitted", run.runtime, run.precision, 1)
    answers: dict[str, Answers] = {}
    if chosen.calibration:
        answers = confident.answers(data, tuple(judge_all(loaded, chosen.calibration)))
    curves = confident.curves(answers)
    manifest = replace(fitted.manifest, confidence=curves)
    shutil.rmtree(folder / "confident", ignore_errors=True)
    bundles.write(folder / "confident", manifest, fitted.files)
    loaded = load_bundle(folder / "confident", run.runtime, run.precision, 1)
    found: Appraisal | None = None
    if chosen.test:
        judging = part(tell, FITTED, JUDGED)
        found = appraise(loaded, data, chosen.test, lambda share: judging("test pictures", share))
    return Made(data, chosen, fitted, manifest, loaded, run, answers, found)


def _studied(made: Made, options: TrainOptions, run: FitRun, fit_s: float, tell: Progress) -> Made:
    """Add learning curve and gap where they are wanted and time allows."""
    whole = study.headline(made.data.task, made.found) if made.found else None
    if whole is None:
        return replace(made, left_out="Neither learning curve nor gap: no test picture tells them.")
    wanted = options.study if options.study is not None else fit_s < QUICK_FIT_S
    if not wanted:
        return replace(
            made, left_out=f"Neither learning curve nor gap: a fit took {fit_s:.0f} s; --study measures them."
        )
    alone = replace(run, folder=None, tell=part(tell, JUDGED, 1.0), note=unnoted)
    curve, gap, left_out = study.curve_and_gap(made.data, made.chosen, whole, alone, options.wishes)
    return replace(made, curve=curve, gap=gap, left_out=left_out)


def _report(options: TrainOptions, identity: str, sheet: data_sheet.DataSheet) -> None:
    numbers = data_sheet.as_json(sheet).decode()
    if options.json == "-":
        sys.stdout.write(json.dumps({"bundle": identity, "sheet": json.loads(numbers)}, indent=1) + "\n")
        return
    if options.json is not None:
        write_whole(Path(options.json), numbers.encode())
    sys.stdout.write(f"{options.out}: {identity}\n")
    for line in (*sheet.decision, *sheet.metrics):
        sys.stdout.write(f"  {data_sheet.sentence(line)}\n")
    sys.stdout.write(f"  {sheet.unknown}\n")
    for remark in sheet.remarks:
        sys.stdout.write(f"  note: {remark}\n")
    sys.stdout.write(f"  {sheet.seconds:.0f} s; data sheet: {options.out / data_sheet.HTML}\n")
