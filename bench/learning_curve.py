"""Measure how many images classification of magnetic tiles needs, frozen backbone and head beside one from scratch.

    python -m bench.learning_curve [grouped] [curve] [scratch] [scratch_all] [tuned] [variants]

Six classes, 772 images of 144 parts, five folds by part; parts are the unit. Options are chosen inside the training
parts of each fold. Writes bench/results/learning_curve.json; sections that are not asked for keep their last result.
Needs ../shared/data/mt; `scratch` and `tuned` need torch.
"""

import csv
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.learning.bootstrap import interval
from appliance.learning.classification import accuracy, calibration_error, class_quality, confusion, macro_f1
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.frame import PixelFormat
from appliance.training import weights
from appliance.training.augmentation import Augmentation, change_frame, draw_change
from appliance.training.backbone import efficientnet_lite, rounded
from appliance.training.classification import class_folds, class_weights, fit_temperature
from appliance.training.classification_features import Features, Pictures, compute_features
from appliance.training.classification_options import ClassificationOptions
from appliance.training.fit_run import FitRun
from appliance.training.linear import Linear, fit_softmax, softmax
from appliance.training.weights import Variant
from bench.fingerprint import fingerprint
from bench.peaks import load_average

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "mt"
KEPT = ROOT / "build" / "bench-features"
RESULT = Path(__file__).parent / "results" / "learning_curve.json"
CLASSES = ("good", "blowhole", "break", "crack", "fray", "uneven")
FOLDS, INNER_FOLDS = 5, 4
SEEDS = 5
SIZES = (10, 30, 100)
SCRATCH_IMAGES = 100
SCRATCH_PASSES = 60
SCRATCH_FEWEST = 20
# Fine-tuning costs 25 CPU seconds a pass and fold, so one fold and few passes.
TUNED_FOLDS, TUNED_PASSES = 1, 3
CHANGES = Augmentation(mirror_columns=True, mirror_rows=True)
# (largest values beside means, strength, balance), one of which each fold chooses inside its training parts.
CANDIDATES = ((False, 0.1, 0.5), (True, 0.1, 0.5), (True, 0.3, 1.0), (True, 1.0, 0.5))
Labels = NDArray[np.intp]


class Tiles(Sequence[NDArray[np.uint8]]):
    """Give the grey frames of all tiles, read when asked for."""

    def __init__(self) -> None:
        known = dict(list(csv.reader((DATA / "groups.csv").open()))[1:])
        self.paths = sorted([*DATA.glob("train/good/*"), *DATA.glob("test/*/*")])
        self.labels = np.array([CLASSES.index(path.parent.name) for path in self.paths], np.intp)
        self.groups = [known[path.name] for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        return cv2.imread(str(self.paths[index]), cv2.IMREAD_GRAYSCALE)


class Study:
    """Hold tiles, features and folds."""

    def __init__(self, variant: Variant = Variant.LITE0, *, finetune: bool = False) -> None:
        self.tiles = Tiles()
        self.labels, self.groups = self.tiles.labels, self.tiles.groups
        self.options = ClassificationOptions(copies=2, finetune=finetune, variant=variant)
        runtime = OpenVinoRuntime()
        self.run = FitRun(runtime, runtime.choose(), "", folder=KEPT, threads=1)
        self.pictures = Pictures(self.tiles, len(self.tiles), PixelFormat.MONO8, self.options, 0)
        self.state = rounded(weights.efficientnet_lite(self.options.variant))
        self.features: Features = compute_features(self.pictures, self.labels, self.state, self.run, self.options)
        self.folds = class_folds(self.groups, self.labels, FOLDS, 0)

    def columns(self, *, maxima: bool) -> slice:
        """Give which features a candidate reads."""
        count = self.features.pooled.shape[2]
        return slice(0, count if maxima else count // 2)

    def fit(self, chosen: NDArray[np.intp], candidate: tuple[bool, float, float]) -> Callable[..., NDArray[np.float32]]:
        """Give what turns image places into logits, fitted on the chosen images."""
        maxima, strength, balance = candidate
        columns = self.columns(maxima=maxima)
        rows = self.features.pooled[chosen][..., columns].astype(np.float32)
        known = np.repeat(self.labels[chosen], rows.shape[1])
        importance = class_weights(self.labels[chosen], len(CLASSES), balance)
        flat = rows.reshape(-1, rows.shape[2])
        layer: Linear = fit_softmax(flat, known, len(CLASSES), strength, importance[known])
        return lambda places: layer(self.features.pooled[places, 0][:, columns].astype(np.float32))

    def inner(self, chosen: NDArray[np.intp], candidate: tuple[bool, float, float]) -> NDArray[np.float32]:
        """Give logits of the chosen images from models that did not see their parts."""
        folds = class_folds([self.groups[place] for place in chosen], self.labels[chosen], INNER_FOLDS, 1)
        found = np.zeros((len(chosen), len(CLASSES)), np.float32)
        for fold in range(folds.max() + 1):
            found[folds == fold] = self.fit(chosen[folds != fold], candidate)(chosen[folds == fold])
        return found


def told(labels: Labels, logits: NDArray[np.float32], groups: Sequence[str]) -> dict[str, Any]:
    """Give all numbers of one set of answers; logits: temperature applied."""
    answered = logits.argmax(axis=1)
    counts = confusion(labels, answered, len(CLASSES))
    shares = softmax(logits.astype(np.float32)).astype(np.float64)
    own, right = shares.max(axis=1), answered == labels

    def score(places: NDArray[np.intp]) -> float | None:
        return macro_f1(confusion(labels[places], answered[places], len(CLASSES)))

    spread = interval(groups, score)
    overall = accuracy(counts)
    rows = {}
    for place, name in enumerate(CLASSES):
        quality = class_quality(counts, place)
        recall = quality.recall
        parts = len({group for group, label in zip(groups, labels, strict=True) if label == place})
        rows[name] = {
            "f1": _round(quality.f1),
            "recall": {"value": _round(recall.value), "k": recall.k, "n": recall.n, "parts": parts}
            | {"low": _round(recall.low), "high": _round(recall.high)},
        }
    defect = labels != 0
    score_of = 1 - shares[:, 0]
    return {
        "macro_f1": _round(macro_f1(counts)),
        "macro_f1_by_part": [_round(spread.low), _round(spread.high)] if spread else None,
        "accuracy": {"value": _round(overall.value), "k": overall.k, "n": overall.n}
        | {"low": _round(overall.low), "high": _round(overall.high)},
        "ece_15": _round(calibration_error(own, right, "equal-width", 15)),
        "auroc_defect": _round(float((score_of[defect][:, None] > score_of[~defect]).mean())),
        "classes": rows,
        "confusion": counts.tolist(),
    }


def grouped(study: Study) -> dict[str, Any]:
    """Judge on parts never seen, options and temperature chosen inside; beside it what a random split would claim."""
    result = {}
    for name, folds in (("grouped", study.folds), ("random", class_folds(None, study.labels, FOLDS, 0))):
        logits = np.zeros((len(study.labels), len(CLASSES)), np.float32)
        raw, chosen_options = logits.copy(), []
        for fold in range(FOLDS):
            chosen, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            inner = {one: study.inner(chosen, one) for one in (CANDIDATES if name == "grouped" else CANDIDATES[1:2])}
            truth = study.labels[chosen]
            best = max(inner, key=lambda one: macro_f1(confusion(truth, inner[one].argmax(axis=1), 6)) or 0.0)
            raw[held] = study.fit(chosen, best)(held)
            logits[held] = raw[held] / fit_temperature(inner[best], truth)
            chosen_options.append(best)
        result[name] = told(study.labels, logits, study.groups) | {"chosen": chosen_options}
        result[name]["ece_15_without_temperature"] = told(study.labels, raw, study.groups)["ece_15"]
    # Its temperature was fitted by part, as it should be; so its calibration error says nothing about a random split.
    result["random"] = {key: result["random"][key] for key in ("macro_f1", "accuracy", "auroc_defect")}
    fixed = np.zeros((len(study.labels), len(CLASSES)), np.float32)
    for candidate in CANDIDATES:
        for fold in range(FOLDS):
            held = np.flatnonzero(study.folds == fold)
            fixed[held] = study.fit(np.flatnonzero(study.folds != fold), candidate)(held)
        result[f"fixed {candidate}"] = {
            key: value for key, value in told(study.labels, fixed, study.groups).items() if key != "confusion"
        }
    return result


def draw(study: Study, chosen: NDArray[np.intp], count: int, seed: int) -> NDArray[np.intp]:
    """Give `count` of the chosen images: class after class in turn, from the part used least, as a plant collects."""
    random = np.random.default_rng(seed)
    left = {label: list(random.permutation(chosen[study.labels[chosen] == label])) for label in range(len(CLASSES))}
    used: dict[str, int] = {}
    found: list[int] = []
    while len(found) < min(count, len(chosen)):
        for label in random.permutation(len(CLASSES)):
            if left[label] and len(found) < count:
                place = min(left[label], key=lambda one: used.get(study.groups[one], 0))
                left[label].remove(place)
                used[study.groups[place]] = used.get(study.groups[place], 0) + 1
                found.append(int(place))
    return np.sort(np.array(found))


def curve(study: Study) -> dict[str, Any]:
    """Give macro F1 by the number of images learned from; five draws each, each over all folds."""
    rows = {}
    for count in (*SIZES, 0):
        scores, answered = [], np.zeros(len(study.labels), np.intp)
        began = time.process_time()
        for seed in range(SEEDS if count else 1):
            for fold in range(FOLDS):
                chosen, held = np.flatnonzero(study.folds != fold), np.flatnonzero(study.folds == fold)
                places = draw(study, chosen, count, 100 * seed + fold) if count else chosen
                answered[held] = study.fit(places, CANDIDATES[1])(held).argmax(axis=1)
            scores.append(macro_f1(confusion(study.labels, answered, len(CLASSES))) or 0.0)
        rows[str(count or "all")] = {
            "images": count or int(np.mean([(study.folds != fold).sum() for fold in range(FOLDS)])),
            "macro_f1": _round(float(np.mean(scores))),
            "lowest": _round(min(scores)),
            "highest": _round(max(scores)),
            "draws": len(scores),
            "fit_cpu_s": _round((time.process_time() - began) / len(scores) / FOLDS),
        }
    return rows


def scratch(study: Study, counts: tuple[int, ...] = (SCRATCH_IMAGES,)) -> dict[str, Any]:
    """Train a network from scratch on the same images, one draw and one seed per fold; a count of 0 means all."""
    half = (study.pictures.size[1] // 2, study.pictures.size[0] // 2)
    shown = (study.pictures.image(place)[:, :, 0] for place in range(len(study.labels)))
    images = np.stack([cv2.resize(image, half, interpolation=cv2.INTER_AREA) for image in shown])
    result: dict[str, Any] = {}
    for count in counts:
        found = {name: np.zeros((len(study.labels), len(CLASSES)), np.float32) for name in ("scratch", "frozen")}
        seconds = {"scratch": 0.0, "frozen": 0.0}
        for fold in range(FOLDS):
            chosen, held = np.flatnonzero(study.folds != fold), np.flatnonzero(study.folds == fold)
            places = draw(study, chosen, count, fold) if count else chosen
            began = time.process_time()
            found["frozen"][held] = study.fit(places, CANDIDATES[1])(held)
            seconds["frozen"] += time.process_time() - began
            began = time.process_time()
            found["scratch"][held] = _from_scratch(images, study, places, held, fold)
            seconds["scratch"] += time.process_time() - began
            print(f"scratch {count or 'all'} fold {fold}: {seconds['scratch']:.0f} CPU s", flush=True)
        result[str(count or "all")] = {
            name: {key: value for key, value in told(study.labels, logits, study.groups).items() if key != "confusion"}
            | {"fit_cpu_s": _round(seconds[name] / FOLDS)}
            for name, logits in found.items()
        }
        own, other = (found[name].argmax(axis=1) for name in ("frozen", "scratch"))
        result[str(count or "all")]["gain_macro_f1"] = _gain(study, own, other)
    return result


def _from_scratch(
    images: NDArray[np.uint8], study: Study, chosen: NDArray[np.intp], held: NDArray[np.intp], seed: int
) -> NDArray[np.float32]:
    """Give logits of a small network that has seen nothing but the chosen images, with light, moves and mirrors."""
    import torch  # noqa: PLC0415 (only this needs it)
    from torch import nn  # noqa: PLC0415

    from appliance.training.steps import Steps, take_steps  # noqa: PLC0415

    class Examples:
        def __len__(self) -> int:
            return len(chosen)

        def batch(self, picked: NDArray[np.intp], random: np.random.Generator) -> dict[str, Any]:
            copies = random.integers(1, 1 << 30, size=len(picked))
            changed = [
                change_frame(
                    images[chosen[place]], draw_change(CHANGES, seed, int(place), int(copy)), PixelFormat.MONO8
                )
                for place, copy in zip(picked, copies, strict=True)
            ]
            labels = torch.from_numpy(study.labels[chosen[picked]].astype(np.int64))
            return {"images": torch.from_numpy(np.stack(changed)), "labels": labels}

    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for source, target in itertools.pairwise((1, 16, 32, 64, 128)):
        layers += [nn.Conv2d(source, target, 3, 2, 1, bias=False), nn.BatchNorm2d(target), nn.ReLU()]
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, len(CLASSES)))
    importance = torch.from_numpy(class_weights(study.labels[chosen], len(CLASSES), 0.5))

    def shown(pictures: Any) -> Any:
        return (pictures.float()[:, None] - 127) / 64

    def loss(module: Any, batch: dict[str, Any]) -> Any:
        logits = module(shown(batch["images"]))
        return nn.functional.cross_entropy(logits, batch["labels"], importance.to(logits.device))

    plan = Steps(max(SCRATCH_PASSES * SCRATCH_IMAGES // len(chosen), SCRATCH_FEWEST), batch=16, rate=3e-3, decay=1e-2)
    take_steps(network, Examples(), loss, plan, replace(study.run, folder=None, seed=seed), "scratch")
    with torch.no_grad():
        found = [network(shown(torch.from_numpy(part))).numpy() for part in np.array_split(images[held], 8)]
    return np.concatenate(found)


def tuned(study: Study) -> dict[str, Any]:
    """Let the last fifth of the layers learn on and judge every pass on the parts held out of the first folds."""
    from appliance.training.torch_classification import fine_tune  # noqa: PLC0415 (needs torch)

    importance = class_weights(study.labels, len(CLASSES), 0.5)
    before, heads = np.zeros((len(study.labels), len(CLASSES)), np.float32), []
    for fold in range(TUNED_FOLDS):
        held = study.folds == fold
        rows = study.features.pooled[~held]
        known = np.repeat(study.labels[~held], rows.shape[1])
        flat = rows.reshape(-1, rows.shape[2]).astype(np.float32)
        heads.append(fit_softmax(flat, known, len(CLASSES), CANDIDATES[1][1], importance[known]))
        before[held] = heads[-1](study.features.pooled[held, 0].astype(np.float32))
    began = time.process_time()
    options = replace(study.options, passes=TUNED_PASSES)
    found = fine_tune(study.features, study.state, study.labels, importance, study.folds, heads, study.run, options)
    spent = (time.process_time() - began) / TUNED_FOLDS
    judged = study.folds < TUNED_FOLDS
    truth = study.labels[judged]
    groups = [group for group, own in zip(study.groups, judged, strict=True) if own]
    rows_told = []
    for number, logits in enumerate((before, *found.logits)):
        row = told(truth, logits[judged] / fit_temperature(logits[judged], truth), groups)
        kept = {key: row[key] for key in ("macro_f1", "macro_f1_by_part", "accuracy", "auroc_defect")}
        rows_told.append({"pass": number, "log_loss": _log_loss(logits[judged], truth)} | kept)
    return {"images": int(judged.sum()), "folds": TUNED_FOLDS, "cpu_s_per_model": _round(spent), "passes": rows_told}


def variants(study: Study) -> dict[str, Any]:
    """Measure CPU time of each variant's backbone in turn, and what its features are worth."""
    sessions = {
        variant: study.run.runtime.load(
            efficientnet_lite(rounded(weights.efficientnet_lite(variant)), study.pictures.size, ("s8", "s16", "s32")),
            study.run.precision,
            1,
        )
        for variant in Variant
    }
    image = study.pictures.image(0)
    times: dict[str, list[float]] = {variant: [] for variant in sessions}
    for _ in range(30):
        for variant, session in sessions.items():
            session.input[0] = image
            began = time.process_time()
            session.run()
            times[variant].append((time.process_time() - began) * 1e3)
    rows: dict[str, Any] = {}
    answered: dict[str, Labels] = {}
    for variant in Variant:
        own = study if variant is study.options.variant else Study(variant)
        logits = np.zeros((len(own.labels), len(CLASSES)), np.float32)
        for fold in range(FOLDS):
            held = np.flatnonzero(own.folds == fold)
            logits[held] = own.fit(np.flatnonzero(own.folds != fold), CANDIDATES[1])(held)
        answered[variant] = logits.argmax(axis=1)
        found = told(own.labels, logits, own.groups)
        rows[variant] = {"p50_cpu_ms": _round(float(np.median(times[variant]))), "size": list(own.pictures.size)}
        rows[variant] |= {key: found[key] for key in ("macro_f1", "macro_f1_by_part", "accuracy", "auroc_defect")}
        rows[variant]["gain_over_lite0"] = _gain(study, answered[variant], answered[Variant.LITE0])
    return rows


def _gain(study: Study, own: Labels, other: Labels) -> dict[str, Any]:
    """Give how much macro F1 one set of answers has over another, with the interval over parts."""

    def gain(picked: NDArray[np.intp]) -> float:
        scores = [macro_f1(confusion(study.labels[picked], one[picked], len(CLASSES))) or 0.0 for one in (own, other)]
        return scores[0] - scores[1]

    spread = interval(study.groups, gain)
    by_part = [_round(spread.low), _round(spread.high)] if spread else None
    return {"value": _round(gain(np.arange(len(own)))), "by_part": by_part}


def _log_loss(logits: NDArray[np.float32], labels: Labels) -> float | None:
    shares = softmax(logits / np.float32(fit_temperature(logits, labels)))
    return _round(float(-np.log(np.maximum(shares[np.arange(len(labels)), labels], 1e-12)).mean()))


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main() -> None:
    if not DATA.is_dir():
        print(f"{DATA}: no magnetic tiles; nothing is measured")
        return
    sections = {
        "grouped": grouped,
        "curve": curve,
        "scratch": scratch,
        "scratch_all": lambda one: scratch(one, (0,)),
        "tuned": tuned,
        "variants": variants,
    }
    wanted = [name for name in sections if name in sys.argv[1:]] or list(sections)
    before, study = load_average(), Study(finetune=True)
    for name in wanted:
        found = sections[name](study)
        print(name, json.dumps(found), flush=True)
        kept = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
        about = {"load_before": before, "load_after": load_average(), "machine": fingerprint()}
        RESULT.write_text(json.dumps(kept | {name: found} | about, indent=2) + "\n")


if __name__ == "__main__":
    main()
