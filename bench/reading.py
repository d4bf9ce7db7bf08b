"""Count what is read of 1,000 rendered texts in eight styles: right, wrong and not at all, with rules on and off.

    python -m bench.reading

Each text is cut where it lies and read by the OCR bundle's recognition network in this machine's best precision, then
judged four ways: as it is read; by the kind's pattern; by pattern and check digits or date; and read by the pattern
where it reads otherwise, then judged by all rules. Every fifth text goes through the whole reader too, detection
included. For the three styles of dots, the last layers are fitted again on 200 other texts of the style. Renderer and
networks are all that this says something about; writes bench/results/reading.json.
"""

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import cv2
import msgspec
import numpy as np
from msgspec import Struct

from appliance.decision import text_rules
from appliance.ocr.decoding import Grammar
from appliance.ports.runtime import Runtime, Session
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.finding import Box, Finding
from appliance.schema.rule import Text
from appliance.tasks.ocr import OcrReader, OcrSettings, read_settings
from appliance.training.fit_run import FitRun
from appliance.training.marking import Marked, MarkOptions, Style, mark
from appliance.training.marking_lines import cut_line, rendered_lines
from appliance.training.marking_strings import KINDS, Wording, make_wording
from appliance.training.ocr_models import WIDTHS, OcrParts, ocr_bundle_parts
from appliance.training.ocr_reads import Read, distance, rate, read_line
from appliance.training.ocr_tail import feature_model, tail_weights, with_tail
from bench.fingerprint import fingerprint
from bench.peaks import load_average

PER_STYLE = 125
SEED = 20_261_121
THRESHOLD = 0.6
THRESHOLDS = (0.0, 0.6, 0.8, 0.9, 0.95, 0.99)
EVERY = 5
BESIDE_PX = 48
TODAY = date(2026, 1, 1)
DOTS = (Style.DOT_MATRIX, Style.INKJET, Style.PEENED)
LEARNED = 200
WAYS = ("as read", "pattern", "pattern and digits", "read by pattern, all rules")


class Case(Struct, frozen=True):
    """Hold one rendered text."""

    wording: Wording
    marked: Marked


def cases() -> Iterator[Case]:
    """Give the texts, each kind equally often in each style."""
    kinds = list(KINDS)
    for number, style in enumerate(Style):
        for place in range(PER_STYLE):
            wording = make_wording(kinds[place % len(kinds)], np.random.default_rng([SEED, number, place]))
            yield Case(wording, mark(wording.text, style, [SEED, number, place, 1]))


def judged(rule: Text, text: str) -> str:
    """Give a text where the rule holds, empty where it rejects."""
    finding = Finding(kind="text", score=1.0, confidence=None, box=None, area_px=1.0, polygon=(), text=text)
    return text if text and text_rules.broken(rule, [finding], frozenset(), TODAY) is None else ""


def by_way(rule: Text, free: str, bound: str) -> dict[str, str]:
    """Give what counts as read, each way; free, bound: what passed its threshold, else empty."""
    bare = msgspec.structs.replace(rule, check_digit="", format="")
    texts = (free, judged(bare, free), judged(rule, free), judged(rule, bound))
    return dict(zip(WAYS, texts, strict=True))


def tally(pairs: Sequence[tuple[str, str]]) -> dict[str, object]:
    """Count (truth, what counts as read) pairs."""
    right = sum(truth == text for truth, text in pairs)
    none = sum(not text for _, text in pairs)
    return {
        "right": rate(right, len(pairs)),
        "wrong": rate(len(pairs) - right - none, len(pairs)),
        "none": rate(none, len(pairs)),
    }


def free_text(read: Read, threshold: float) -> str:
    """Give the free reading when it is sure enough."""
    return read.free.text.strip() if read.free.lowest >= threshold else ""


def bound_text(read: Read, threshold: float, settings: OcrSettings) -> str:
    """Give the reading by the pattern where the free one does not fit, as tasks/ocr.py does."""
    if read.fits or read.bound is None:
        return free_text(read, threshold)
    sure = read.bound.lowest >= settings.bound_threshold and read.bound.gap <= settings.most_gap
    return read.bound.text if sure else free_text(read, threshold)


def read_lines(
    known: Sequence[Case], sessions: Mapping[str, Session], settings: OcrSettings
) -> tuple[list[Read], dict[str, float]]:
    """Read every text where it lies; also the median CPU ms of the network and of reading by a pattern."""
    grammars = {case.wording.rule.pattern: Grammar(case.wording.rule.pattern, settings.characters) for case in known}
    reads, network, bound = [], [], list[float]()
    for case in known:
        line = cut_line(case.marked, WIDTHS)
        session = sessions[f"recognition_{line.shape[1]}"]
        session.input[0] = line
        began = time.process_time()
        found = session.run()["probabilities"][0].copy()
        network.append(time.process_time() - began)
        began = time.process_time()
        reads.append(read_line(case.wording.text, found, settings.characters, grammars[case.wording.rule.pattern]))
        if not reads[-1].fits:
            bound.append(time.process_time() - began)
    return reads, {
        "network_cpu_ms": round(statistics.median(network) * 1e3, 2),
        "by_pattern_cpu_ms": round(statistics.median(bound or [0.0]) * 1e3, 2),
        "by_pattern_lines": len(bound),
    }


def read_whole(known: Sequence[Case], sessions: Mapping[str, Session], settings: OcrSettings) -> dict[str, object]:
    """Read pictures with detection and all, free and by pattern; CPU ms per picture beside."""
    pairs: dict[str, list[tuple[str, str]]] = {way: [] for way in WAYS}
    times: dict[str, list[float]] = {"free": [], "by pattern": []}
    for case in known:
        rule = case.wording.rule
        # A line that ends at the border of what is seen counts as cut, so the surface goes on.
        picture = cv2.copyMakeBorder(case.marked.picture, *(BESIDE_PX,) * 4, cv2.BORDER_REPLICATE).astype(np.uint8)
        view = Box(0, 0, picture.shape[1], picture.shape[0])
        found = {}
        for name, patterns in (("free", {}), ("by pattern", {view: [rule.pattern]})):
            reader = OcrReader(sessions, settings, THRESHOLD, picture.shape, "Mono8", [view], patterns=patterns)  # type: ignore[arg-type]
            began = time.process_time()
            findings = reader.read(picture).findings
            times[name].append((time.process_time() - began) * 1e3)
            largest = max(findings, key=lambda one: one.area_px or 0, default=None)
            found[name] = (largest.text or "").strip() if largest else ""
        for way, text in by_way(rule, found["free"], found["by pattern"]).items():
            pairs[way].append((case.wording.text, text))
    told: dict[str, object] = {way: tally(own) for way, own in pairs.items()}
    return told | {f"{name}_cpu_ms": round(statistics.median(own), 1) for name, own in times.items()}


def read_fitted(
    known: Sequence[Case], parts: OcrParts, settings: OcrSettings, runtime: Runtime, precision: str
) -> dict[str, object]:
    """Read the texts of the dotted styles after the last layers were fitted on others of the style."""
    if importlib.util.find_spec("torch") is None:
        return {"skipped": "torch is not installed; install the extra `train`"}
    from appliance.training import torch_ocr  # noqa: PLC0415  # comes with the extra `train` alone

    models = {name: model for name, model in parts.models.items() if name.startswith("recognition")}
    cut = {w: runtime.load(feature_model(w, settings.characters), precision, 1) for w in WIDTHS}
    place_of = {letter: place for place, letter in enumerate(settings.characters, 1)}
    weights = tail_weights(models[f"recognition_{max(WIDTHS)}"])
    told: dict[str, object] = {"learned_from": LEARNED}
    for style in DOTS:
        lines = []
        for text, line in rendered_lines("", style, LEARNED, SEED + 1, MarkOptions(), WIDTHS):
            session = cut[line.shape[1]]
            session.input[0] = line
            features = session.run()["features"][0].astype(np.float16)
            lines.append(torch_ocr.Line(features, tuple(place_of[letter] for letter in text)))
        began = time.process_time()
        tail = torch_ocr.refit(weights, lines, FitRun(runtime, precision, ""), "reading")
        spent = time.process_time() - began
        own = [case for case in known if case.marked.style == style]
        fitted = tail.fitted()
        sessions = {name: runtime.load(with_tail(model, fitted), precision, 1) for name, model in models.items()}
        reads, _ = read_lines(own, sessions, settings)
        texts = [
            by_way(c.wording.rule, free_text(r, THRESHOLD), bound_text(r, THRESHOLD, settings))
            for c, r in zip(own, reads, strict=True)
        ]
        row = {way: tally([(r.truth, text[way]) for r, text in zip(reads, texts, strict=True)]) for way in WAYS}
        print(f"{style:11} fitted", *(shown(row[way]) for way in WAYS))
        sys.stdout.flush()
        told[str(style)] = {**row, "fit_cpu_s": round(spent, 1)}
    return told


def main() -> None:
    before = load_average()
    runtime = OpenVinoRuntime()
    precision = runtime.choose()
    parts = ocr_bundle_parts(((64, 320), (96, 320)), upright=True)
    sessions = {name: runtime.load(model, precision, 1) for name, model in parts.models.items()}
    settings = read_settings(parts.settings)
    known = list(cases())
    reads, cost = read_lines(known, sessions, settings)
    styles: dict[str, object] = {}
    for style in [*Style, None]:
        places = [place for place, case in enumerate(known) if style in (None, case.marked.style)]
        texts = [
            by_way(known[p].wording.rule, free_text(reads[p], THRESHOLD), bound_text(reads[p], THRESHOLD, settings))
            for p in places
        ]
        row: dict[str, object] = {
            way: tally([(reads[p].truth, text[way]) for p, text in zip(places, texts, strict=True)]) for way in WAYS
        }
        errors = sum(distance(reads[p].free.text.strip(), reads[p].truth) for p in places)
        letters = sum(len(reads[p].truth) for p in places)
        row["character_errors"] = {"value": round(errors / letters, 5), "k": errors, "n": letters}
        styles[str(style or "all")] = row
        print(f"{style or 'all':11}", *(shown(row[way]) for way in WAYS), f"CER {errors / letters:.3f}")
        sys.stdout.flush()
    told: dict[str, object] = {
        "precision": precision,
        "threshold": THRESHOLD,
        "cost": cost,
        "styles": styles,
        "kinds": by_kind(known, reads, settings),
        "thresholds": by_threshold(known, reads, settings),
        "load_before": before,
        "machine": fingerprint(),
    }
    told["whole_reader"] = read_whole(known[::EVERY], sessions, settings)
    keep(told)
    told["layers_fitted"] = read_fitted(known, parts, settings, runtime, precision)
    keep(told)


def keep(told: dict[str, object]) -> None:
    """Write the results so far: the last part takes the longest."""
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    told["load_after"] = load_average()
    (results / "reading.json").write_text(json.dumps(told, indent=2) + "\n")


def by_kind(known: Sequence[Case], reads: Sequence[Read], settings: OcrSettings) -> dict[str, object]:
    """Give what check digits and patterns do for each kind of text."""
    told: dict[str, object] = {}
    for kind in KINDS:
        own = [(case, read) for case, read in zip(known, reads, strict=True) if case.wording.kind == kind]
        texts = [by_way(c.wording.rule, free_text(r, THRESHOLD), bound_text(r, THRESHOLD, settings)) for c, r in own]
        told[kind] = {
            way: tally([(r.truth, text[way]) for (_, r), text in zip(own, texts, strict=True)]) for way in WAYS
        }
    return told


def by_threshold(known: Sequence[Case], reads: Sequence[Read], settings: OcrSettings) -> dict[str, object]:
    """Give the trade of wrong reads against no reads."""
    told: dict[str, object] = {}
    for threshold in THRESHOLDS:
        texts = [
            by_way(c.wording.rule, free_text(r, threshold), bound_text(r, threshold, settings))
            for c, r in zip(known, reads, strict=True)
        ]
        told[str(threshold)] = {
            way: tally([(r.truth, text[way]) for r, text in zip(reads, texts, strict=True)]) for way in WAYS
        }
    return told


def shown(row: object) -> str:
    """Give right/wrong/none of a tally."""
    return "/".join(str(row[name]["k"]) for name in ("right", "wrong", "none"))  # type: ignore[index]


if __name__ == "__main__":
    main()
