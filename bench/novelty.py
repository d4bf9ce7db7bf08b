"""Measure what the detector of unknown parts finds when each defect class in turn was never shown to the bundle.

    python -m bench.novelty [--only classification,anomaly,both,ablation,cost] [--data DIR]
                            [--results FILE] [--kept DIR]

Magnetic tiles (DIR/mt), split by part. Classification knows good and the other classes; its backbone is frozen, so its
features are computed once and heads, limits and detectors are fitted to them as `firstshift train` does. An anomaly
bundle knows good parts alone: to it every class is unknown. Circuit boards (DIR/deeppcb) are another product, shown to
both. Writes bench/results/novelty.json and novelty.png. Features and bundles stay in build/bench-novelty.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from appliance.datasets.reading import read_data
from appliance.datasets.sample import DataSet
from appliance.decision.calibration import clopper_pearson
from appliance.decision.novelty import distances, false_unknown_rate, is_unknown, joined, novelty, read_known
from appliance.learning.ranking import auroc
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.services._inspector import load_bundle
from appliance.storage import bundle as bundles
from appliance.trainer.partition import is_good
from appliance.training import weights
from appliance.training.backbone import efficientnet_lite
from appliance.training.novelty import fit_novelty
from appliance.training.novelty_graph import with_features
from bench.fingerprint import fingerprint
from bench.kept_fits import plain
from bench.novelty_folds import (
    ANOMALY_FOLDS,
    COST_SIZE,
    DATA,
    FOLDS,
    KEPT,
    POOLED_CHANNELS,
    RATES,
    RESULT,
    TIMED,
    Seen,
    anomaly_bundle,
    boards,
    features_of,
    novelty_rows,
    read,
)


def classification(data: DataSet, kept: Path) -> dict[str, Any]:
    """Leave each class out in turn."""
    samples, good = data.samples, data.classes[0]
    features = features_of(data, kept)
    names = [sample.name for sample in samples]
    labels = np.array([data.classes.index(sample.label) for sample in samples])
    groups = np.array([sample.group for sample in samples])
    result = {}
    for left_out, kind in enumerate(data.classes):
        if kind == good:
            continue
        strange = np.isin(groups, groups[labels == left_out])
        known = np.flatnonzero(~strange)
        unknown = np.flatnonzero(labels == left_out)
        held, shown = left_out(features, labels, groups, known, unknown, data.classes, names)
        result[kind] = summed_up(held, shown)
        _keep(kept / f"seen-{kind}.json", shown)
    return result


def anomaly(data: DataSet, kept: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Show bundles that know good parts alone every other class, and another product."""
    bad = {sample.group for sample in data.samples if not is_good(sample)}
    good = [sample for sample in data.samples if sample.group not in bad]
    defects = [sample for sample in data.samples if not is_good(sample)]
    parts = {part: place % ANOMALY_FOLDS for place, part in enumerate(_shuffled({one.group for one in good}))}
    turns = {part: place % ANOMALY_FOLDS for place, part in enumerate(sorted(bad))}
    held: list[Seen] = []
    shown: list[Seen] = []
    foreign: list[Seen] = []
    strangers = boards()
    for fold in range(ANOMALY_FOLDS):
        loaded = anomaly_bundle(data, [one for one in good if parts[one.group] != fold], fold, kept)
        held += read(loaded, [one for one in good if parts[one.group] == fold], data)
        shown += read(loaded, [one for one in defects if turns[one.group] == fold], data)
        foreign += read(loaded, strangers[fold::ANOMALY_FOLDS], data)
    _keep(kept / "seen-anomaly.json", shown)
    by_kind = {kind: summed_up(held, [one for one in shown if one.kind == kind]) for kind in data.classes[1:]}
    return by_kind, summed_up(held, foreign)


def ablation(data: DataSet, kept: Path) -> dict[str, Any]:
    """Compare stages and distances on every other part; AUROC by class left out, the worst picture of each part."""
    rows = novelty_rows(features_of(data, kept))
    labels = np.array([sample.label for sample in data.samples])
    groups = np.array([sample.group for sample in data.samples])
    half = np.isin(groups, _shuffled(set(groups.tolist()))[::2])
    near, far = POOLED_CHANNELS
    starts = {"s16 mean": (0, near), "s32 mean": (near, near + far)}
    starts |= {"s16 most": (sum(POOLED_CHANNELS), 2 * near + far), "s32 most": (2 * near + far, 2 * (near + far))}
    sets = {"all": tuple(starts), "means": ("s16 mean", "s32 mean"), "s16": ("s16 mean", "s16 most"),
            "s32": ("s32 mean", "s32 most")}  # fmt: skip
    found: dict[str, Any] = {"parts": len(set(groups[half]))}
    for name, chosen in sets.items():
        columns = np.concatenate([np.arange(*starts[one]) for one in chosen])
        own = rows[:, columns]
        found[name] = _compared(own[half], labels[half], groups[half], data.classes[1:])
    alike = _compared(rows[half], labels[half], groups[half], data.classes[1:], one_class=True)
    return {**found, "all, one class for all": alike}


def _compared(
    rows: NDArray[np.float32],
    labels: NDArray[np.str_],
    groups: NDArray[np.str_],
    kinds: Sequence[str],
    *,
    one_class: bool = False,
) -> dict[str, Any]:
    answer: dict[str, dict[str, float]] = {"mahalanobis": {}, "nearest": {}, "joined": {}}
    for kind in kinds:
        strange = np.isin(groups, groups[labels == kind])
        parts = _shuffled(set(groups[~strange].tolist()))
        fold_of = {part: place % FOLDS for place, part in enumerate([*parts, *np.unique(groups[labels == kind])])}
        worst: dict[tuple[bool, str], list[tuple[float, float, float]]] = {}
        for fold in range(FOLDS):
            inside = [i for i in np.flatnonzero(~strange) if fold_of[groups[i]] != fold]
            names = ["known" if one_class else labels[i] for i in inside]
            known = fit_novelty([rows[i][None] for i in inside], names, [groups[i] for i in inside]).known
            judged = ~strange | (labels == kind)
            for i in [i for i in np.flatnonzero(judged) if fold_of[groups[i]] == fold]:
                apart = distances(known, rows[i])
                worst.setdefault((bool(strange[i]), groups[i]), []).append((*apart, joined(known, apart)))
        marks = np.array([key[0] for key in worst])
        for column, name in enumerate(answer):
            scores = np.array([max(one[column] for one in own) for own in worst.values()])
            answer[name][kind] = auroc(scores, marks)
    return {name: {**own, "mean": float(np.mean(list(own.values())))} for name, own in answer.items()}


def both(kinds: Sequence[str], kept: Path) -> dict[str, Any]:
    """Say what passes where a part must be accepted by both bundles and be unknown to neither."""
    beside = {one.picture: one for one in _kept(kept / "seen-anomaly.json")}
    found = {}
    for kind in kinds:
        parts = _by_part([one for one in _kept(kept / f"seen-{kind}.json") if one.picture in beside])
        found[kind] = {
            "passed_limits_alone": _share(
                parts, lambda own: all(one.accepted and beside[one.picture].accepted for one in own)
            ),
            **{
                f"passed_at_{rate:g}": _share(
                    parts,
                    lambda own, rate=rate: all(
                        _passes(one, rate) and _passes(beside[one.picture], rate) for one in own
                    ),
                )
                for rate in RATES
            },
        }
    return found


def _keep(place: Path, seen: Sequence[Seen]) -> None:
    place.write_bytes(msgspec.json.encode(seen))


def _kept(place: Path) -> list[Seen]:
    return msgspec.json.decode(place.read_bytes(), type=list[Seen])


def cost(kept: Path) -> dict[str, Any]:
    """Time networks with and without the output, interleaved, and the detector itself; CPU ms, one thread."""
    runtime = OpenVinoRuntime()
    state = weights.efficientnet_lite0()
    tasks = {"classification stages": ("s8", "s16", "s32"), "anomaly stages": ("s4", "s8", "s16")}
    found: dict[str, Any] = {}
    for name, taps in tasks.items():
        model = efficientnet_lite(state, COST_SIZE, taps)
        pair = [runtime.load(one, runtime.choose(), 1) for one in (model, with_features(model))]
        spent = np.array([[_cpu_ms(session.run) for session in pair] for _ in range(TIMED)])
        without, beside = np.median(spent, axis=0)
        found[name] = {
            "without_ms": without,
            "with_ms": beside,
            "added_ms": float(np.median(spent[:, 1] - spent[:, 0])),
        }
    loaded = load_bundle(kept / "anomaly-0", runtime, runtime.choose(), 1)
    spec = next(one for one in loaded.manifest.models[0].outputs if one.name == loaded.manifest.novelty.output)
    known = read_known(bundles.arrays(loaded.bundle, loaded.manifest.novelty.file), spec.shape[1])
    row = np.ones(spec.shape[1], np.float32)
    found["distances_ms"] = {
        "median": float(np.median([_cpu_ms(lambda: novelty(known, [row])) for _ in range(TIMED)])),
        "features": spec.shape[1],
        "memory": len(known.memory),
    }
    return {"size": COST_SIZE, "runs": TIMED, **found}


def _cpu_ms(run: Callable[[], object]) -> float:
    began = time.process_time_ns()
    run()
    return (time.process_time_ns() - began) / 1e6


def plot(answer: dict[str, Any], place: Path) -> None:
    """Draw recall and what passes, by class left out, with exact 95 % intervals."""
    blocks = [block for block in ("classification", "anomaly") if block in answer]
    figure = Figure(figsize=(6 * len(blocks), 4), layout="constrained")
    axes = figure.subplots(1, len(blocks), squeeze=False)
    bars = {
        "recall at 5 % false unknowns": lambda own: own["at_0.05"]["recall"],
        "passed by the limits alone": lambda own: own["passed_limits_alone"],
        "passed, unknown rate 5 %": lambda own: own["at_0.05"]["passed"],
        "passed, unknown rate 1 %": lambda own: own["at_0.01"]["passed"],
    }
    for axis, block in zip(axes[0], blocks, strict=True):
        kinds = list(answer[block])
        for place_, (name, share_of) in enumerate(bars.items()):
            shares = [share_of(answer[block][kind]) for kind in kinds]
            values = np.array([share["value"] for share in shares])
            ends = [values - [share["low"] for share in shares], [share["high"] for share in shares] - values]
            across = np.arange(len(kinds)) + (place_ - 1.5) / 5
            axis.bar(across, values, 0.18, yerr=np.abs(ends), capsize=2, label=name)
        names = [f"{kind}\n{answer[block][kind]['unknown_parts']} parts" for kind in kinds]
        axis.set(title=f"{block}: class left out", xticks=range(len(kinds)), ylim=(0, 1), ylabel="share of parts")
        axis.set_xticklabels(names)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(bars), fontsize=8)
    figure.savefig(place, dpi=110)


def summed_up(known: Sequence[Seen], unknown: Sequence[Seen]) -> dict[str, Any]:
    """Give recall, false unknowns and what passes, by part (its worst picture decides) and by picture."""
    parts, strange = _by_part(known), _by_part(unknown)
    marks = np.array([False] * len(parts) + [True] * len(strange))
    worst = np.array([max(one.novelty for one in own) for own in (*parts, *strange)])
    answer: dict[str, Any] = {
        "known_parts": len(parts),
        "unknown_parts": len(strange),
        "unknown_pictures": len(unknown),
        "auroc": auroc(np.nan_to_num(worst, posinf=1e30), marks),
    }
    for rate in RATES:
        answer[f"at_{rate:g}"] = {
            "promised_false_unknown": false_unknown_rate(known[0].known_parts, rate),
            "false_unknown": _share(parts, lambda own, rate=rate: any(_unknown(one, rate) for one in own)),
            "recall": _share(strange, lambda own, rate=rate: any(_unknown(one, rate) for one in own)),
            "passed": _share(strange, lambda own, rate=rate: all(_passes(one, rate) for one in own)),
            "passed_pictures": _share([[one] for one in unknown], lambda own, rate=rate: _passes(own[0], rate)),
            "good_passed": _share(
                [own for own in parts if own[0].kind == "good"],
                lambda own, rate=rate: all(_passes(one, rate) for one in own),
            ),
        }
        if known[0].anomaly_p is not None:
            answer[f"at_{rate:g}"]["recall_anomaly_score"] = _share(
                strange, lambda own, rate=rate: any((one.anomaly_p or 0) <= rate for one in own)
            )
            answer[f"at_{rate:g}"]["recall_either_at_half_the_rate"] = _share(
                strange,
                lambda own, rate=rate: any(_unknown(one, rate / 2) or (one.anomaly_p or 0) <= rate / 2 for one in own),
            )
    answer["passed_limits_alone"] = _share(strange, lambda own: all(one.accepted for one in own))
    answer["passed_limits_alone_pictures"] = _share([[one] for one in unknown], lambda own: own[0].accepted)
    return answer


def _by_part(seen: Sequence[Seen]) -> list[list[Seen]]:
    parts: dict[str, list[Seen]] = {}
    for one in seen:
        parts.setdefault(one.part, []).append(one)
    return list(parts.values())


def _unknown(one: Seen, rate: float) -> bool:
    return is_unknown(one.novelty_p, one.known_parts, rate)


def _passes(one: Seen, rate: float) -> bool:
    return one.accepted and not _unknown(one, rate)


def _share(parts, says) -> dict[str, Any]:  # noqa: ANN001
    hits = sum(bool(says(own)) for own in parts)
    low, high = clopper_pearson(hits, len(parts))
    return {"value": hits / len(parts) if parts else None, "k": hits, "n": len(parts), "low": low, "high": high}


def _shuffled(names: set[str]) -> list[str]:
    return np.random.default_rng(0).permutation(sorted(names)).tolist()


def _table(name: str, found: dict[str, Any]) -> None:
    print(f"{name:<12} AUROC  recall at 5 %      passed by limits   with novelty (5 %)  (1 %)")
    for kind, own in found.items():
        five, one = own["at_0.05"], own["at_0.01"]
        shares = (five["recall"], own["passed_limits_alone"], five["passed"], one["passed"])
        print(f"  {kind:<10} {own['auroc']:.2f}   " + "  ".join(_written(share) for share in shares))


def _written(share: dict[str, Any]) -> str:
    return f"{share['k']:>2}/{share['n']:<3}({share['low']:.2f}-{share['high']:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="classification,anomaly,both,ablation,cost")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--kept", type=Path, default=KEPT)
    options = parser.parse_args()
    data = read_data(options.data / "mt", TaskName.CLASSIFICATION)
    answer: dict[str, Any] = json.loads(options.results.read_text("utf-8")) if options.results.exists() else {}
    answer |= {"machine": fingerprint(), "date": datetime.now(UTC).isoformat(timespec="seconds")}
    for block in options.only.split(","):
        if block == "classification":
            answer[block] = plain(classification(data, options.kept))
            _table(block, answer[block])
        elif block == "ablation":
            answer[block] = plain(ablation(data, options.kept))
        elif block == "both":
            answer[block] = plain(both(data.classes[1:], options.kept))
        elif block == "cost":
            answer[block] = plain(cost(options.kept))
            print(answer[block])
        else:
            by_kind, boards = anomaly(data, options.kept)
            answer |= {block: plain(by_kind), "another_product": plain(boards)}
            _table(block, {**answer[block], "(boards)": answer["another_product"]})
        options.results.write_text(json.dumps(answer, indent=1) + "\n", "utf-8")
    plot(answer, options.results.with_suffix(".png"))


if __name__ == "__main__":
    main()
