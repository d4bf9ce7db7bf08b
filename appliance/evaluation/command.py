"""Answer `firstshift evaluate`: judge a bundle by labelled pictures and report, as JSON and in lines for people."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress

from appliance.datasets.inspection import refusals
from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet, Sample, Split
from appliance.datasets.splitting import selected
from appliance.evaluation.appraisal import Appraisal, appraise, check_classes
from appliance.evaluation.judging import Tell, unheard
from appliance.evaluation.robustness import Disturbed, run_robustness, worst_cases
from appliance.evaluation.seen import unseen
from appliance.learning.rates import Rate
from appliance.ports.runtime import Runtime
from appliance.schema.errors import ConfigError, RuntimeFault
from appliance.services._inspector import LoadedBundle, load_bundle
from appliance.services._runtimes import open_runtime
from appliance.storage import bundle as bundles
from appliance.storage.whole_file import write_whole

ALL = "all"
SPLITS = {split.value or ALL: split for split in Split}


class EvaluateOptions(Struct, frozen=True):
    """Take what the command line says."""

    bundle: Path
    data: Path
    split: str = "test"
    """`train`, `val`, `test`, or `all` whatever the data set says."""
    json: str | None = None
    """File for the JSON, `-` for standard output alone."""
    runtime: str | None = None
    """None: the one the bundle was calibrated with."""
    precision: str | None = None
    """None: the one the bundle was calibrated in."""
    threads: int = 1
    robustness: bool = False
    """Also judge under changed light, blur, noise and movement."""


def run_evaluate(options: EvaluateOptions) -> int:
    """Judge the pictures of one split and report; gives 0, whatever the numbers are."""
    if options.split not in SPLITS:
        raise ConfigError(f"--split {options.split!r}: unknown; choose one of {', '.join(SPLITS)}")
    if options.threads < 1:
        raise ConfigError(f"--threads: {options.threads}, at least 1 is needed; give the number of cores to use")
    manifest = bundles.read(options.bundle).manifest
    data = read_data(options.data, manifest.task)
    for remark in refusals(data, training=False):
        raise ConfigError(f"{data.root}: {remark.text}; `firstshift dataset inspect` names the pictures")
    check_classes(manifest, data)
    runtime = open_runtime(options.runtime or manifest.runtime)
    precision = options.precision or _nearest(runtime, manifest.precision, same=runtime.name == manifest.runtime)
    loaded = load_bundle(options.bundle, runtime, precision, options.threads, any_precision=True)
    samples, remarks = _chosen(data, options, loaded)
    with shown("evaluate") as tell:
        found = appraise(loaded, data, samples, tell)
    rows: tuple[Disturbed, ...] = ()
    if options.robustness:
        with shown("robustness") as tell:
            rows = run_robustness(loaded, data, samples, tell)
    report = report_of(loaded, data, found, remarks, rows)
    _deliver(options.json, report, [*remarks, *found.outcome.remarks])
    return 0


def report_of(
    loaded: LoadedBundle,
    data: DataSet,
    found: Appraisal,
    remarks: Sequence[str] = (),
    robustness: Sequence[Disturbed] = (),
) -> dict[str, Any]:
    """Give the report as plain values for JSON; its first keys are those of every task."""
    outcome = found.outcome
    report: dict[str, Any] = {
        "task": data.task.value,
        "n": len(found.rows),
        "runtime": loaded.runtime,
        "precision": loaded.precision,
        "metrics": outcome.metrics,
        "per_class": outcome.per_class,
        "intervals": {name: known for name, known in outcome.intervals.items() if known is not None},
        "bundle": loaded.bundle.id,
        "data": {"root": str(data.root), "layout": data.layout, "grouped_by": data.grouped_by},
        "groups": len({row.group for row in found.rows}),
        "good": sum(not row.bad for row in found.rows),
        "defective": sum(row.bad for row in found.rows),
        "remarks": [*remarks, *outcome.remarks, *(remark.text for remark in data.remarks)],
        **outcome.more,
    }
    if robustness:
        report["robustness"] = robustness
        report["robustness_worst"] = worst_cases(robustness)
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _chosen(data: DataSet, options: EvaluateOptions, loaded: LoadedBundle) -> tuple[tuple[Sample, ...], list[str]]:
    """Give the samples to judge by: of the split where there is one, and none that the bundle has seen."""
    remarks = []
    samples = selected(data, SPLITS[options.split])
    if not samples:
        samples = data.samples
        remarks.append(
            f"ATTENTION: the data set states no {options.split} pictures, so ALL {len(samples)} are taken: those that "
            "the bundle has learned from would flatter it"
        )
    found = unseen(samples, loaded.bundle.files)
    if found.seen:
        remarks.append(
            f"ATTENTION: the bundle was made from {found.seen} of these {len(samples)} pictures: they are left out, "
            f"with {found.related} others of the same parts"
        )
    if not found.known:
        remarks.append("the bundle does not say which pictures it was made from: make sure that none is judged here")
    if not found.kept:
        raise ConfigError(
            f"{data.root}: all {len(samples)} pictures are of parts that the bundle was made from, at least 1 other is "
            "needed; give pictures of other parts"
        )
    return found.kept, remarks


def _nearest(runtime: Runtime, calibrated: str, *, same: bool) -> str:
    """Give the calibrated precision where the runtime has it, else its own choice."""
    if same:
        return calibrated
    try:
        return runtime.choose(calibrated)
    except RuntimeFault:
        return runtime.choose("auto")


@contextmanager
def shown(what: str) -> Iterator[Tell]:
    """Give a function to tell the share done to; draws on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield unheard
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def _deliver(target: str | None, report: dict[str, Any], remarks: Sequence[str]) -> None:
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    if target is not None:
        write_whole(Path(target), text.encode())
    sys.stdout.write("".join(f"{line}\n" for line in (*remarks, *_lines(report))))


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for people."""
    yield (
        f"{report['task']}: {report['n']} pictures of {report['groups']} parts, {report['good']} good and "
        f"{report['defective']} defective, {report['runtime']} {report['precision']}"
    )
    for name, value in report["metrics"].items():
        yield f"  {name:<28} {_said(value, report['intervals'].get(name))}"
    for kind, found in report["per_class"].items():
        yield f"  {kind}: " + ", ".join(f"{name} {_said(value, None)}" for name, value in found.items())
    for row in report.get("robustness", ()):
        rates = f"escapes {_said(row['escape_rate'], None)}, overkill {_said(row['overkill_rate'], None)}"
        yield f"  under {row['disturbance']} {row['level']}: {rates}"
    for row in report.get("robustness_worst", ()):
        what = "overkill" if row["kind"] == "good" else "escapes"
        yield f"  worst for {row['kind']}: {what} {_said(row['rate'], None)} under {row['disturbance']} {row['level']}"


def _said(value: Any, known: dict[str, Any] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        found = msgspec.convert(value, Rate)
        if found.value is None:
            return "- (0 of 0)"
        return f"{found.value:.3f} ({found.k} of {found.n}, {found.low:.3f} to {found.high:.3f})"
    text = str(value) if isinstance(value, int) else f"{value:.3f}"
    return f"{text} ({known['low']:.3f} to {known['high']:.3f} by {known['parts']} parts)" if known else text
