"""Measure what each task's bundle is worth on real parts that it has not seen, through the product's own training.

    python -m bench.accuracy [--only anomaly,labelled,peers,classification,semantic,instance,detection] [--seeds 5]
                             [--minutes N] [--data DIR] [--results FILE] [--kept DIR]

Magnetic tiles (DIR/mt) and circuit boards (DIR/deeppcb), parts and boards never on both sides; intervals draw parts
anew, rates are exact. Writes bench/results/accuracy.json after every finished fit of a block. Fitted bundles and cached
features stay in build/bench-accuracy, named by data, settings and the training code, so a stopped run goes on.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet, Sample
from appliance.evaluation.appraisal import appraise, appraise_folds
from appliance.evaluation.row import marks_of, scores_of
from appliance.schema.bundle import TaskName
from appliance.services._inspector import LoadedBundle
from appliance.trainer.partition import is_good, partition
from appliance.trainer.study import HEADLINES
from appliance.training.classification import class_folds
from bench.fingerprint import fingerprint
from bench.kept_fits import KEPT, Cost, Fits
from bench.peaks import load_average
from bench.worth import Found, background, counted, gain, kind_of, nothing_found, ranked, spread, told

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "accuracy.json"
TILES, BOARDS = "mt", "deeppcb"
SEEDS = 5
CLASSIFICATION_FOLDS, DENSE_FOLDS = 5, 3
# A hundredth of the patches of so many pictures is about 1,000 picks, some minutes of the peers' coreset.
PEERS_TRAINED = 100
PEERS_INTERPRETER = "PEERS_PYTHON"
NO_BOARD_INTERVAL = "five boards are too few to draw boards anew; lowest and highest board are given instead"
SUMMED_UP = ("image_auroc", "aupro", "pixel_auroc", "detection_at_5", "detection_at_10", "hit10", "hit", "escape_rate",
             "overkill_rate")  # fmt: skip

Folds = Sequence[tuple[Sequence[Sample], Sequence[Sample]]]
"""Of each what is learned from and what is judged."""


def anomaly(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:
    """Learn from the good pictures of the train folder, judge the test folder; every seed."""
    rows: list[Found] = []
    for seed in range(seeds):
        chosen = partition(data, seed)
        loaded, cost = fits.fit(f"anomaly-{seed}", data, chosen.fit, seed, chosen.defects)
        found = told(appraise(loaded, data, chosen.test))
        limits = loaded.manifest.calibration
        promised = {"expected": limits.overkill_expected, "upper": limits.overkill_upper} if limits else None
        speed = fits.cpu_ms(loaded, chosen.test)
        rows.append({"seed": seed, **found, "promised_overkill": promised, "cpu_ms": speed, "cost": cost})
        yield {
            "trained": counted(data, chosen.fit),
            "tested": counted(data, chosen.test),
            "over_seeds": {name: spread(_values(rows, name)) for name in SUMMED_UP},
            "seeds": rows,
        }


def labelled(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:
    """Show the anomaly model the marked defects of other folds beside the good parts; folds of the test folder."""
    chosen = partition(data, 0)
    rows: list[Found] = []
    for seed in range(seeds):
        costs: list[Cost] = []
        folds = grouped_folds(data, chosen.test, DENSE_FOLDS, seed)
        shown = ((chosen.fit, held, [one for one in rest if not is_good(one)]) for rest, held in folds)
        pooled = appraise_folds(
            (
                (_noted(costs, fits.fit(f"labelled-{seed}-{number}", data, good, seed, bad)), held)
                for number, (good, held, bad) in enumerate(shown)
            ),
            data,
        )
        rows.append({"seed": seed, **told(pooled), "cost": costs})
        yield {
            "folds": DENSE_FOLDS,
            "trained_good": counted(data, chosen.fit),
            "tested": counted(data, chosen.test),
            "over_seeds": {name: spread(_values(rows, name)) for name in SUMMED_UP},
            "seeds": rows,
        }


def peers(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:  # noqa: ARG001  one form for all blocks
    """Judge our bundle and anomalib's models, fitted to the same few pictures, on the same test folder."""
    interpreter = os.environ.get(PEERS_INTERPRETER)
    if not interpreter:
        yield {"skipped": f"{PEERS_INTERPRETER} names no interpreter with anomalib; bench/README.md says how"}
        return
    chosen = partition(data, 0)
    few = by_turns(chosen.fit, PEERS_TRAINED)
    loaded, cost = fits.fit("peers", data, few, 0)
    found = appraise(loaded, data, chosen.test)
    rows, bad = found.rows, marks_of(found.rows)
    scores = {"ours": scores_of(rows)}
    answer = fits.remembered(
        "peers", (few, chosen.test, peers_code()), partial(ask_peers, interpreter, few, chosen.test)
    )
    if "skipped" in answer:
        yield answer
        return
    scores |= {name: np.array(answer[name]["scores"], np.float64) for name in ("patchcore", "padim")}
    groups = [row.group for row in rows]
    own = {"cpu_ms": fits.cpu_ms(loaded, chosen.test)["median"], "fit_s": cost["fit_s"], "fit_cpu_s": cost["fit_cpu_s"]}
    yield {
        "trained": counted(data, few),
        "tested": counted(data, chosen.test),
        "backbone": "EfficientNet-Lite0, frozen, the same weights; peers: 256 x 256, strides 8 and 16",
        "versions": answer["versions"],
        "models": {
            name: ranked(given, bad, groups)
            | ({key: answer[name][key] for key in ("cpu_ms", "fit_s")} if name != "ours" else own)
            | ({"ours_minus_this": gain(scores["ours"], given, bad, groups)} if name != "ours" else {})
            for name, given in scores.items()
        },
        "ours_in_full": told(found),
    }


def classification(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:  # noqa: ARG001
    """Judge every picture by a bundle that has not seen its part, and again by one that may have."""
    folds = grouped_folds(data, data.samples, CLASSIFICATION_FOLDS, 0)
    grouped, costs = _pooled(data, fits, "classification-grouped", folds)
    found: Found = {"folds": CLASSIFICATION_FOLDS, "tested": counted(data, data.samples), "grouped": grouped}
    found |= {"cost": costs}
    yield found
    alone = [replace(sample, group=sample.name) for sample in data.samples]
    folds = grouped_folds(data, alone, CLASSIFICATION_FOLDS, 0)
    random, _ = _pooled(data, fits, "classification-random", folds)
    # Its intervals would take exposures of one part for parts of their own.
    found["random"] = {name: random["metrics"][name] for name in ("accuracy", "macro_f1", "auroc")}
    found["gap_macro_f1"] = round(random["metrics"]["macro_f1"] - grouped["metrics"]["macro_f1"], 4)
    yield found


def semantic(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:  # noqa: ARG001
    """Judge every picture's mask by a bundle that has not seen its part, beside the answer that all is background."""
    folds = grouped_folds(data, data.samples, DENSE_FOLDS, 0)
    found, costs = _pooled(data, fits, "semantic", folds)
    about = {"folds": DENSE_FOLDS, "tested": counted(data, data.samples)}
    yield {**about, "grouped": found, "all_background": background(data), "cost": costs}


def instance(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:  # noqa: ARG001
    """Judge every picture's objects by a bundle that has not seen its part, beside the answer that there are none."""
    folds = grouped_folds(data, data.samples, DENSE_FOLDS, 0)
    found, costs = _pooled(data, fits, "instance", folds)
    about = {"folds": DENSE_FOLDS, "tested": counted(data, data.samples)}
    yield {**about, "grouped": found, "nothing_found": {"mask_map50": nothing_found(data)}, "cost": costs}


def detection(data: DataSet, fits: Fits, seeds: int) -> Iterator[Found]:  # noqa: ARG001
    """Leave each board out in turn, with its defect-free template and without."""
    found: Found = {"tested": counted(data, data.samples), "no_interval": NO_BOARD_INTERVAL}
    bare = tuple(replace(sample, template=None) for sample in data.samples)
    for way, samples in (("with_template", data.samples), ("without_template", bare)):
        if way == "with_template" and any(sample.template is None for sample in samples):
            yield found | {way: {"skipped": "not every picture has a template"}}
            continue
        own, rows = replace(data, samples=tuple(samples)), []
        bundles: list[tuple[LoadedBundle, Sequence[Sample]]] = []
        for board in sorted({sample.group for sample in samples}):
            rest = [sample for sample in samples if sample.group != board]
            held = [sample for sample in samples if sample.group == board]
            loaded, cost = fits.fit(f"detection-{way}-{board}", own, rest, 0)
            speed = fits.cpu_ms(loaded, held)
            bundles.append((loaded, held))
            used = loaded.manifest.preprocessing.template is not None
            alone = told(appraise(loaded, own, held))
            rows.append({"board": board, "template_used": used, **alone, "cpu_ms": speed, "cost": cost})
            found[way] = {"boards": rows, "over_boards": {"map50": spread([row["metrics"]["map50"] for row in rows])}}
            yield found
        found[way]["pooled"] = told(appraise_folds(bundles, own))
        yield found


def grouped_folds(data: DataSet, samples: Sequence[Sample], count: int, seed: int) -> Folds:
    """Give what is learned from and what is judged of each fold; parts whole, every class spread over the folds."""
    kinds = [kind_of(sample, data) for sample in samples]
    labels = np.array([sorted(set(kinds)).index(kind) for kind in kinds], np.intp)
    fold_of = class_folds([sample.group for sample in samples], labels, count, seed)
    return [
        (
            [sample for sample, own in zip(samples, fold_of, strict=True) if own != fold],
            [sample for sample, own in zip(samples, fold_of, strict=True) if own == fold],
        )
        for fold in range(int(fold_of.max()) + 1)
    ]


def by_turns(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Give so many samples, the first of each part, then the second of each, and so on."""
    turn: dict[str, int] = {}
    order = []
    for place, sample in enumerate(samples):
        turn[sample.group] = turn.get(sample.group, 0) + 1
        order.append((turn[sample.group], place))
    return [samples[place] for _, place in sorted(sorted(order)[:count], key=lambda one: one[1])]


def ask_peers(interpreter: str, trained: Sequence[Sample], tested: Sequence[Sample]) -> Found:
    """Let the peers' own environment score the test pictures; minutes."""
    wish = {"train": [str(one.picture.resolve()) for one in trained], "seed": 0}
    wish |= {"test": [str(one.picture.resolve()) for one in tested]}
    command = [interpreter, "-P", str(Path(__file__).with_name("peers.py"))]
    told_by = subprocess.run(
        command, input=json.dumps(wish).encode(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    if told_by.returncode:
        return {"skipped": f"peers.py ended with code {told_by.returncode}; run it alone to see why"}
    found: Found = json.loads(told_by.stdout)
    return found


def peers_code() -> str:
    return Path(__file__).with_name("peers.py").read_text("utf-8")


def _pooled(data: DataSet, fits: Fits, name: str, folds: Folds) -> tuple[Found, list[Cost]]:
    costs: list[Cost] = []
    pooled = appraise_folds(
        (
            (_noted(costs, fits.fit(f"{name}-{number}", data, rest, 0)), held)
            for number, (rest, held) in enumerate(folds)
        ),
        data,
    )
    return told(pooled), costs


def _noted(costs: list[Cost], made: tuple[LoadedBundle, Cost]) -> LoadedBundle:
    costs.append(made[1])
    return made[0]


def _values(rows: Sequence[Found], name: str) -> list[float | None]:
    given = [row["metrics"].get(name) for row in rows]
    return [one["value"] if isinstance(one, dict) else one for one in given]


Block = Callable[[DataSet, Fits, int], Iterator[Found]]
BLOCKS: dict[str, tuple[str, TaskName, Block]] = {
    "anomaly": (TILES, TaskName.ANOMALY, anomaly),
    "peers": (TILES, TaskName.ANOMALY, peers),
    "classification": (TILES, TaskName.CLASSIFICATION, classification),
    "semantic": (TILES, TaskName.SEMANTIC, semantic),
    "instance": (TILES, TaskName.INSTANCE, instance),
    "detection": (BOARDS, TaskName.DETECTION, detection),
    "labelled": (TILES, TaskName.ANOMALY, labelled),
}
"""Folder, task and what measures it, in the order of running."""


def measure(name: str, root: Path, fits: Fits, seeds: int) -> Iterator[Found]:
    """Yield a block's results, more complete each time; the last one says that it is finished."""
    folder, task, block = BLOCKS[name]
    if not (root / folder).is_dir():
        yield {"skipped": f"no folder {folder} among the data; the pictures are not part of the project"}
        return
    data = read_data(root / folder, task)
    about = {
        "task": task.value, "layout": data.layout, "grouped_by": data.grouped_by,
        "remarks": [remark.text for remark in data.remarks], **fits.about(),
    }  # fmt: skip
    before, found = load_average(), {}
    for found in block(data, fits, seeds):
        yield {**about, "finished": False, **found, "load_before": before, "load_after": load_average()}
    yield {**about, "finished": True, **found, "load_before": before, "load_after": load_average()}


def headlines(name: str, found: Found) -> Iterator[str]:
    """Yield what a person wants to see at once."""
    if "skipped" in found:
        yield f"{name}: skipped, {found['skipped']}"
        return
    metric = HEADLINES[TaskName(found["task"])]
    yield f"{name}: {found['tested']['pictures']} pictures of {found['tested']['parts']} parts"
    for key, value in found.get("over_seeds", {}).items():
        yield f"  {key:18} {value and value['mean']}  over {value and value['n']} seeds, sd {value and value['sd']}"
    for key, value in found.get("models", {}).items():
        yield f"  {key:10} AUROC {value['image_auroc']}, detection {value['detection_at_10']}, {value['cpu_ms']:.0f} ms"
    for part in ("grouped", "random"):
        own = found.get(part, {})
        known = own.get("metrics", own)
        yield from [f"  {part:18} {metric} {known[metric]}  {own.get('intervals', {}).get(metric)}"] if known else []
    for name_of in ("all_background", "nothing_found"):
        yield from (f"  {name_of:18} {key} {value}" for key, value in found.get(name_of, {}).items())
    for way in ("with_template", "without_template"):
        rows = found.get(way, {}).get("boards", [])
        yield from (f"  {way} {row['board']}: {metric} {row['metrics'][metric]}" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(BLOCKS), help="blocks to measure, joined by commas")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="of the anomaly fits")
    parser.add_argument("--minutes", type=float, help="time budget of each fit; none: without")
    parser.add_argument("--data", type=Path, default=DATA, help="folder that holds mt and deeppcb")
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder for fitted bundles and features")
    # As `firstshift bench accuracy` the command line is another's.
    own = Path(sys.argv[0]).resolve() == Path(__file__).resolve()
    options = parser.parse_args(sys.argv[1:] if own else [])
    wanted = options.only.split(",")
    if strange := set(wanted) - set(BLOCKS):
        parser.error(f"--only {min(strange)}: unknown; choose among {', '.join(BLOCKS)}")
    fits = Fits(options.kept, options.minutes)
    for name in (one for one in BLOCKS if one in wanted):
        for found in measure(name, options.data, fits, options.seeds):
            _write(options.results, name, found)
        print("\n".join(headlines(name, found)), flush=True)


def _write(place: Path, name: str, found: Found) -> None:
    """Put a block beside what is known of the others; a killed run leaves the old file or the new one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(place.read_text("utf-8")) if place.exists() else {}
    unfinished = place.with_name(f".{place.name}")
    content = {**known, name: {**found, "machine": fingerprint()}}
    unfinished.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
    unfinished.replace(place)


if __name__ == "__main__":
    main()
