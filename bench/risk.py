"""Count how often a promised escape rate is broken: on real parts by resampling, and on a known population.

A promise speaks of the population that parts are drawn from. So the held-out defective parts are taken for the whole
population and calibration parts are drawn from them with replacement: the true escape rate of each limit is then known,
and the limit is over the promised rate in 1 - assurance of the draws at most. Halves are shown beside it: limits of one
half of the parts, escapes among the other, unseen half. That half is finite, so its share scatters around the true rate
and is over the promise more often; how often is known exactly from ranks alone (negative hypergeometric distribution),
and stands beside what was seen.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from appliance.datasets.reading import read_data
from appliance.decision.calibration import at_most
from appliance.decision.risk import Promise, allowed, escape_limit, needed
from appliance.evaluation.appraisal import row_of
from appliance.evaluation.decisions import worst_of_parts
from appliance.evaluation.judging import judge_all
from appliance.schema.bundle import TaskName
from appliance.schema.policy import Guarantee
from appliance.trainer.partition import partition
from appliance.trainer.plots import BLUE, INK, RED, RULE, SOFT, STYLE
from bench.fingerprint import fingerprint
from bench.kept_fits import Fits, plain

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "mt"
KEPT = ROOT / "build" / "bench-risk"
RESULT = ROOT / "bench" / "results" / "risk.json"
PLOT = ROOT / "bench" / "results" / "risk.svg"

RESAMPLES, SYNTHETIC = 200, 2000
RATES = (0.1, 0.15, 0.2, 0.3, 0.4)
ASSURANCES = (0.8, 0.9, 0.95)
KNOWN = ((0.005, 0.95, 598), (0.005, 0.95, 947), (0.005, 0.95, 140), (0.001, 0.95, 2995), (0.02, 0.9, 400))
"""(rate, assurance, defective parts) on the synthetic population."""
UNLIKELY = 0.001
"""A rule that keeps its promise shows more breaches than stated as the limit with this probability."""

Found = dict[str, Any]
Scores = np.ndarray


def held_out(data: Path, kept: Path) -> Found:
    """Give the worst score of each test part of the tiles; fitted and judged once, kept in `build/`."""
    place = kept / "scores.json"
    if not place.exists():
        tiles = read_data(data, TaskName.ANOMALY)
        chosen = partition(tiles, 0)
        loaded, cost = Fits(kept).fit("anomaly", tiles, chosen.fit, 0)
        rows = [row_of(judged, tiles, loaded.manifest) for judged in judge_all(loaded, chosen.test)]
        parts = [{"kinds": row.kinds, "score": row.score} for row in worst_of_parts(rows)]
        known = {"bundle": loaded.bundle.id, "precision": loaded.precision, "learned_from": cost["parts"]}
        place.write_text(json.dumps({**known, "pictures": len(rows), "parts": parts}), "utf-8")
    found: Found = json.loads(place.read_text("utf-8"))
    return found


def naive_limit(scores: Scores, rate: float) -> float:
    """Give the loosest limit that lets no larger share of these very parts pass: what is mostly done."""
    return math.nextafter(float(np.sort(scores)[int(rate * len(scores))]), -math.inf)


def from_population(scores: Scores, promise: Promise, generator: np.random.Generator) -> Found:
    """Draw calibration parts from the parts there are, with replacement; their own share is the true rate."""
    drawn = generator.choice(scores, (RESAMPLES, len(scores)))
    return _compared(promise, len(scores), [(row, scores) for row in drawn], 1 - promise.assurance)


def from_halves(scores: Scores, promise: Promise, generator: np.random.Generator) -> Found:
    """Calibrate on one half of the parts, drawn without replacement, and count on the other."""
    half = len(scores) // 2
    orders = [generator.permutation(scores) for _ in range(RESAMPLES)]
    escaped = allowed(promise, half)
    stated = 1.0 if escaped is None else beyond(escaped, half, len(scores) - half, promise.escape_rate)
    return _compared(promise, half, [(order[:half], order[half:]) for order in orders], stated)


def beyond(escaped: int, calibration: int, unseen: int, rate: float) -> float:
    """Give the probability that over `rate` of unseen parts score under the (escaped + 1)-th of calibration parts.

    Every order of distinct scores is equally likely, so it depends on counts alone.
    """
    every = math.comb(calibration + unseen, unseen)
    ways = [
        math.comb(escaped + under, under) * math.comb(calibration - escaped - 1 + unseen - under, unseen - under)
        for under in range(unseen + 1)
    ]
    return sum(way for under, way in enumerate(ways) if under > rate * unseen + 1e-9) / every


def _compared(promise: Promise, parts: int, pairs: list[tuple[Scores, Scores]], stated: float) -> Found:
    """Count breaches of our limits and of the naive ones; refused where too few parts prove the promise."""
    known: Found = {"escape_rate": promise.escape_rate, "assurance": promise.assurance, "calibration_parts": parts}
    naive = [float((judged <= naive_limit(own, promise.escape_rate)).mean()) for own, judged in pairs]
    known["naive"] = _realised(naive, promise.escape_rate)
    if allowed(promise, parts) is None:
        return {**known, "refused": f"{needed(promise)} needed without a miss"}
    limits = [escape_limit(own.tolist(), promise) for own, _ in pairs]
    rates = [
        float((judged <= limit).mean()) for limit, (_, judged) in zip(limits, pairs, strict=True) if limit is not None
    ]
    found = _realised(rates, promise.escape_rate)
    most = next(k for k in range(RESAMPLES + 1) if at_most(k, RESAMPLES, min(stated, 1 - 1e-9)) >= 1 - UNLIKELY)
    return {**known, "ours": {**found, "stated": stated, "most": most, "kept": found["breaches"] <= most}}


def _realised(rates: list[float], promised: float) -> Found:
    values = np.array(rates)
    breaches = int((values > promised + 1e-9).sum())
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {
        "resamples": len(rates), "breaches": breaches, "share": breaches / len(rates),
        "mean": values.mean(), "q05": low, "median": middle, "q95": high,
    }  # fmt: skip


def on_average(scores: Scores, generator: np.random.Generator) -> list[Found]:
    """Hold the mean true rate of limits that promise it on average against the promise."""
    rows = []
    for rate in RATES:
        promise = Promise(rate, guarantee=Guarantee.EXPECTED)
        drawn = generator.choice(scores, (RESAMPLES, len(scores)))
        limits = [escape_limit(row.tolist(), promise) for row in drawn]
        values = np.array([(scores <= limit).mean() for limit in limits if limit is not None])
        error = values.std(ddof=1) / math.sqrt(len(values))
        found = _realised(values.tolist(), rate)
        rows.append(
            {"escape_rate": rate, **found, "standard_error": error, "kept": values.mean() <= rate + 3.1 * error}
        )
    return rows


def on_a_known_population(generator: np.random.Generator) -> list[Found]:
    """Draw uniform scores: the true escape rate of a limit is the limit itself."""
    rows = []
    for rate, assurance, parts in KNOWN:
        promise = Promise(rate, assurance)
        row: Found = {"escape_rate": rate, "assurance": assurance, "calibration_parts": parts}
        samples = generator.random((SYNTHETIC, parts))
        naive = _realised([naive_limit(sample, rate) for sample in samples], rate)
        row["naive"] = naive
        if allowed(promise, parts) is None:
            rows.append({**row, "refused": f"{needed(promise)} needed without a miss"})
            continue
        found = _realised([escape_limit(sample.tolist(), promise) or 0.0 for sample in samples], rate)
        most = next(k for k in range(SYNTHETIC + 1) if at_most(k, SYNTHETIC, 1 - assurance) >= 1 - UNLIKELY)
        exact = at_most(allowed(promise, parts) or 0, parts, rate)
        rows.append(
            {**row, "ours": {**found, "stated": 1 - assurance, "exact": exact, "most": most,
                             "kept": found["breaches"] <= most}}
        )  # fmt: skip
    return rows


def measure(data: Path, kept: Path) -> Found:
    known = held_out(data, kept)
    defects = np.array([part["score"] for part in known["parts"] if part["kinds"]], np.float64)
    good = sum(not part["kinds"] for part in known["parts"])
    generator = np.random.default_rng(2026)
    promises = [Promise(rate, assurance) for assurance in ASSURANCES for rate in RATES]
    return {
        "data": "magnetic tiles, test parts, worst score of each part",
        "bundle": known["bundle"],
        "precision": known["precision"],
        "pictures": known["pictures"],
        "defective_parts": len(defects),
        "good_parts": good,
        "resamples": RESAMPLES,
        "population": [from_population(defects, promise, generator) for promise in promises],
        "halves": [from_halves(defects, promise, generator) for promise in promises],
        "on_average": on_average(defects, generator),
        "synthetic": on_a_known_population(generator),
    }


def drawing(found: Found) -> Figure:
    """Draw realised against promised rates, with the share of broken promises beside what was stated."""
    with mpl.rc_context(STYLE):
        figure = Figure((11, 7.6), layout="constrained")
        rows = figure.subplots(2, len(ASSURANCES), sharex=True, sharey=True)
        half = found["defective_parts"] // 2
        titles = (
            (found["population"], f"true escape rate of limits from {found['defective_parts']} parts drawn"),
            (found["halves"], f"escape rate of the unseen half, limits from {half} parts"),
        )
        for own, (cells, title) in zip(rows, titles, strict=True):
            for axes, assurance in zip(own, ASSURANCES, strict=True):
                _panel(axes, [cell for cell in cells if cell["assurance"] == assurance])
                axes.set_title(f"assurance {100 * assurance:.0f} %", fontsize=9, color=INK, loc="left")
            own[0].set_ylabel(title, fontsize=8)
        for axes in rows[-1]:
            axes.set_xlabel("promised escape rate of defective parts")
        handles = [
            mpl.lines.Line2D([], [], color=SOFT, linewidth=1, linestyle="--", label="promised"),
            mpl.lines.Line2D([], [], color=BLUE, marker="o", linewidth=2, label="proven limit, median and 5 to 95 %"),
            mpl.lines.Line2D([], [], color=RED, marker="o", linewidth=2, label="naive limit, the same"),
        ]
        below = (
            f"Numbers: share of {found['resamples']} resamples over the promise; grey: stated at most (above), exactly "
            "expected of a finite half (below)"
        )
        figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9, title=below)
        return figure


def _panel(axes: Axes, cells: list[Found]) -> None:
    axes.grid(visible=True, axis="y", color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.set_xlim(-0.6, len(cells) - 0.4)
    axes.set_ylim(-0.14, 0.78)
    axes.set_xticks(range(len(cells)), [f"{100 * cell['escape_rate']:.0f} %" for cell in cells])
    axes.set_yticks([0, 0.2, 0.4, 0.6], ["0 %", "20 %", "40 %", "60 %"])
    for place, cell in enumerate(cells):
        axes.plot([place - 0.4, place + 0.4], [cell["escape_rate"]] * 2, color=SOFT, linewidth=1, linestyle="--")
        _bar(axes, place + 0.14, cell["naive"], RED)
        _told(axes, place, 0.73, cell["naive"]["share"], RED)
        if "ours" not in cell:
            axes.annotate("refused", (place - 0.14, 0.0), fontsize=7, color=BLUE, ha="center", va="bottom", rotation=90)
            continue
        _bar(axes, place - 0.14, cell["ours"], BLUE)
        _told(axes, place, -0.05, cell["ours"]["share"], BLUE)
        _told(axes, place, -0.1, cell["ours"]["stated"], SOFT)


def _bar(axes: Axes, place: float, own: Found, colour: str) -> None:
    axes.plot([place] * 2, [own["q05"], own["q95"]], color=colour, linewidth=2)
    axes.plot([place], [own["median"]], color=colour, marker="o", markersize=4)


def _told(axes: Axes, place: float, height: float, share: float, colour: str) -> None:
    axes.annotate(f"{100 * share:.1f} %", (place, height), fontsize=7.5, color=colour, ha="center", va="center")


def lines(found: Found) -> list[str]:
    told = [f"{found['defective_parts']} defective parts, {found['resamples']} resamples"]
    for name in ("population", "halves", "synthetic"):
        for cell in found[name]:
            head = (
                f"  {name:10} {cell['escape_rate']:.1%} at {cell['assurance']:.0%}, {cell['calibration_parts']} parts"
            )
            ours = cell.get("ours")
            word = "exactly expected of a finite half" if name == "halves" else "stated at most"
            said = cell.get("refused") or (
                f"over the promise {ours['share']:.1%} ({ours['breaches']} of {ours['resamples']}; {word} "
                f"{ours['stated']:.1%}, with noise {ours['most']}), {'kept' if ours['kept'] else 'BROKEN'}"
            )
            told.append(f"{head}: {said}; naive {cell['naive']['share']:.1%}")
    told += [
        f"  on average {cell['escape_rate']:.0%}: mean {cell['mean']:.3f} +- {cell['standard_error']:.3f}, "
        f"{'kept' if cell['kept'] else 'BROKEN'}"
        for cell in found["on_average"]
    ]
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the magnetic tiles")
    parser.add_argument("--kept", type=Path, default=KEPT, help="folder for the fitted bundle and its scores")
    parser.add_argument("--results", type=Path, default=RESULT)
    parser.add_argument("--plot", type=Path, default=PLOT)
    # As `firstshift bench risk` the command line is another's.
    own = Path(sys.argv[0]).resolve() == Path(__file__).resolve()
    options = parser.parse_args(sys.argv[1:] if own else [])
    if not options.data.is_dir():
        print(f"risk: skipped, no folder {options.data.name} among the data; the pictures are not part of the project")
        return
    options.kept.mkdir(parents=True, exist_ok=True)
    found = plain(measure(options.data, options.kept))
    options.results.write_text(
        json.dumps({**found, "machine": fingerprint()}, indent=1, allow_nan=False) + "\n", "utf-8"
    )
    with mpl.rc_context(STYLE):  # as text, the same bytes each time
        drawing(found).savefig(options.plot, metadata={"Date": None} if options.plot.suffix == ".svg" else None)
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
