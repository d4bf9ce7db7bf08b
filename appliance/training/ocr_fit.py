"""Fit how a site's texts are read: treatment of the lines, last layers, thresholds; each only where it pays.

Numbers in the evidence are of groups that nothing was chosen on: treatment and layers of a fold come from the other
groups, its thresholds from the other groups' held-out readings.
"""

import hashlib
import importlib.util
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.decision.calibration import calibrate_if_enough, capped, upper_bound
from appliance.ocr.decoding import Grammar, grammars
from appliance.ocr.treatment import Kind, Treatment, treat
from appliance.ports.runtime import Session
from appliance.schema.bundle import DataSnapshot, GoodOnlyCalibration
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.training.fit_run import FitRun
from appliance.training.labelled import folds_of
from appliance.training.marking import MarkOptions, Style
from appliance.training.marking_lines import rendered_lines
from appliance.training.ocr import OcrOptions, pack_ocr, plan_parts
from appliance.training.ocr_models import OcrParts
from appliance.training.ocr_pictures import LineSource, Picture, take_pictures
from appliance.training.ocr_reads import Read, Thresholds, choose_thresholds, counts, pays, read_line
from appliance.training.ocr_tail import Weights, feature_model, tail_weights, with_tail
from appliance.training.package import FittedBundle

EVIDENCE = "ocr_fit.json"
FEWEST_PICTURES = 20
"""Fewer say nothing about rates; nothing is fitted on them."""
MOST_TRIED = 400
"""Pictures that treatments are compared on."""
MOST_LEARNED = 1000
"""Lines that layers are fitted on; each costs about 0.2 s per fold."""
FEWEST_LINES = 60
"""Fewer, rendered ones included, are not worth fitting layers on."""
UNPROVEN = Thresholds(0.8, 0.98, 12.0)
"""Where nothing was measured at the site: fewer wrong reads than at the networks' usual 0.6 (bench/reading.py)."""
TREATMENTS = (Treatment(Kind.BLUR, 1.5), Treatment(Kind.JOIN, 5.0), Treatment(Kind.EVEN, 0.0))


class OcrFitOptions(Struct, frozen=True):
    """Choose what may be fitted."""

    reading: OcrOptions = OcrOptions()
    pattern: str = ""
    """What every text of the site matches, as in a recipe's rule; empty: none."""
    wrong_reads: float = 0.01
    """Share of pictures that may be read wrongly on held-out groups; more are made no reads by higher thresholds."""
    treatments: tuple[Treatment, ...] = TREATMENTS
    """What is tried on the lines beside nothing."""
    refit: bool = True
    """Fit the last layers again where that pays; needs the extra `train`."""
    rendered: int = 0
    """Texts to render and learn from, made from the pattern."""
    style: Style | None = None
    """How they are marked; None: all styles in turn."""
    marking: MarkOptions = MarkOptions()
    """Typeface and wear of what is rendered."""
    folds: int = 3


class _Fitted(Struct, frozen=True):
    """Hold what is chosen on some pictures."""

    treatment: Treatment
    weights: Weights | None


def fit_ocr_bundle(
    frames: Iterable[NDArray[np.uint8]],
    texts: Iterable[str],
    pixel_format: PixelFormat,
    run: FitRun,
    options: OcrFitOptions | None = None,
    groups: Sequence[str] | None = None,
) -> FittedBundle:
    """Give a bundle that reads text on frames like these, with `ocr_fit.json` as evidence; blocks for minutes.

    texts: what the largest line of each frame, or of the roi, says. groups: the part of each frame. Under 20 pictures
    or 2 groups nothing is fitted and thresholds are careful. ConfigError names what does not fit together.
    """
    options = options or OcrFitOptions()
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ConfigError("OCR: 0 frames, at least 1 is needed to know what the camera delivers; give one")
    parts = plan_parts(options.reading, first.shape)
    fit = _Fit(parts, run, options)
    source = LineSource(fit.sessions, options.reading.widths, pixel_format, options.reading.roi)
    pictures, digest, first = take_pictures(chain([first], frames), texts, groups, source, run.seed)
    if 2 * source.cut > len(pictures):
        raise ConfigError(
            f"OCR: {source.cut} of {len(pictures)} texts lie within half a letter of the border of what is looked at, "
            "where a cut letter cannot be told and nothing is read; take pictures with more room around the text"
        )
    run.tell("lines cut out", 0.2)
    chosen, limits, evidence, calibration = fit.whole(pictures)
    share = options.rendered / (options.rendered + len(pictures)) if chosen.weights is not None else 0.0
    data = DataSnapshot(len(pictures), digest, share)
    return pack_ocr(
        _changed(parts, chosen, limits, options.pattern),
        options.reading,
        first,
        data,
        pixel_format,
        run,
        {EVIDENCE: evidence},
        calibration,
    )


class _Fit:
    """Hold the networks of one fit; what they said of the pictures is kept per treatment."""

    def __init__(self, parts: OcrParts, run: FitRun, options: OcrFitOptions) -> None:
        self._run, self._options = run, options
        self.sessions = {
            name: run.runtime.load(model, run.precision, run.threads) for name, model in parts.models.items()
        }
        self._characters = tuple(msgspec.json.decode(parts.settings)["characters"])
        made = grammars([options.pattern], self._characters)
        self._grammar: Grammar | None = made[0] if made else None
        self._models = {
            int(name.split("_")[1]): m for name, m in parts.models.items() if name.startswith("recognition")
        }
        self._floor = Thresholds(options.reading.threshold, 0.95, UNPROVEN.most_gap)
        self._reads: dict[tuple[Treatment, int], Read] = {}
        self._features: dict[tuple[Treatment, int], NDArray[np.float16]] = {}
        self._rendered: dict[Treatment, list[tuple[str, NDArray[np.float16]]]] = {}
        self._takers: dict[int, Session] = {}

    def whole(self, pictures: Sequence[Picture]) -> tuple[_Fitted, Thresholds, bytes, GoodOnlyCalibration | None]:
        """Give what is chosen, the thresholds, the evidence, and the limits of the image score."""
        plain = _Fitted(Treatment(), None)
        every = np.arange(len(pictures))
        usual = self._read(pictures, Treatment(), every)
        told: dict[str, object] = {"pictures": len(pictures), "parts": len({one.group for one in pictures})}
        told["without_line"] = sum(one.line is None for one in pictures)
        if len(pictures) < FEWEST_PICTURES or told["parts"] == 1:
            limits = replace(UNPROVEN, threshold=max(UNPROVEN.threshold, self._floor.threshold))
            told |= {"fitted": False, "thresholds": limits, "as_published": counts(usual, self._floor)}
            return plain, limits, _json(told | {"now": counts(usual, limits)}), None
        groups = [one.group for one in pictures]
        folds = folds_of(groups, len(pictures), min(self._options.folds, len(set(groups))), self._run.seed)
        learns, why_not = self._can_learn(pictures)
        treated, fitted = self._held_out(pictures, folds, learns=learns)
        takes = learns and pays(treated, fitted)
        held_out = fitted if takes else treated
        chosen = self._chosen(pictures, every, learns=takes)
        limits = choose_thresholds(held_out, self._floor, self._options.wrong_reads)
        now = self._counted(held_out, folds)
        wrong = sum(read.text(limits) not in ("", read.truth) for read in held_out)
        told |= {
            "fitted": True,
            "held_out_folds": int(folds.max()) + 1,
            "as_published": counts(usual, self._floor),
            "now": now,
            "treatment": chosen.treatment,
            "layers_fitted": takes,
            "layers": why_not or {"without": sum(r.right for r in treated), "with": sum(r.right for r in fitted)},
            "rendered": self._options.rendered if takes else 0,
            "thresholds": limits,
            "wrong_reads_upper_95": round(upper_bound(wrong, len(held_out)), 4),
        }
        return chosen, limits, _json(told), _calibrated(held_out, groups, limits)

    def _held_out(
        self, pictures: Sequence[Picture], folds: NDArray[np.intp], *, learns: bool
    ) -> tuple[list[Read], list[Read]]:
        """Give each picture's readings by what was chosen on the other folds, without and with layers fitted."""
        treated = self._read(pictures, Treatment(), np.arange(len(pictures)))
        fitted = treated.copy()
        for fold in range(int(folds.max()) + 1):
            others, own = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            chosen = self._chosen(pictures, others, learns=learns)
            plain = self._read(pictures, chosen.treatment, own)
            new = plain if chosen.weights is None else self._read_with(pictures, own, chosen)
            for place, index in enumerate(own.tolist()):
                treated[index], fitted[index] = plain[place], new[place]
            self._run.tell(f"fold {fold + 1} read", 0.3 + 0.5 * (fold + 1) / (folds.max() + 1))
        return treated, fitted

    def _counted(self, reads: Sequence[Read], folds: NDArray[np.intp]) -> dict[str, object]:
        """Count readings by thresholds from the other folds, so that these are held out too."""
        texts = [""] * len(reads)
        for fold in range(int(folds.max()) + 1):
            others = [reads[index] for index in np.flatnonzero(folds != fold).tolist()]
            limits = choose_thresholds(others, self._floor, self._options.wrong_reads)
            for index in np.flatnonzero(folds == fold).tolist():
                texts[index] = reads[index].text(limits)
        return counts(reads, texts)

    def _can_learn(self, pictures: Sequence[Picture]) -> tuple[bool, str]:
        """Say whether layers can be fitted, and why not."""
        if not self._options.refit:
            return False, "not wanted"
        if importlib.util.find_spec("torch") is None:
            return False, "torch is not installed; install the extra `train`"
        lines = sum(one.line is not None for one in pictures) + self._options.rendered
        if lines < FEWEST_LINES:
            return False, f"{lines} lines, at least {FEWEST_LINES} are needed; label more or render some"
        if self._run.left_s() <= 0:
            return False, "no time was left"
        return True, ""

    def _chosen(self, pictures: Sequence[Picture], places: NDArray[np.intp], *, learns: bool) -> _Fitted:
        """Choose on some pictures alone."""
        tried = np.random.default_rng(self._run.seed).permutation(places)[:MOST_TRIED]
        usual = self._read(pictures, Treatment(), tried)
        best, most = Treatment(), sum(read.right for read in usual)
        for treatment in self._options.treatments:
            if self._run.left_s() <= 0:
                break
            new = self._read(pictures, treatment, tried)
            right = sum(read.right for read in new)
            if right > most and pays(usual, new):
                best, most = treatment, right
        return _Fitted(best, self._fitted_weights(pictures, places, best) if learns else None)

    def _fitted_weights(self, pictures: Sequence[Picture], places: NDArray[np.intp], treatment: Treatment) -> Weights:
        from appliance.training import torch_ocr  # torch comes with the extra `train` alone

        chosen = np.random.default_rng(self._run.seed).permutation(places)[:MOST_LEARNED].tolist()
        known = [
            (pictures[place].text, own)
            for place in chosen
            if (own := self._features_of(pictures, place, treatment)) is not None
        ]
        made = self._rendered_features(treatment)[: MOST_LEARNED - len(known)]
        lines = [
            torch_ocr.Line(own, classes)
            for text, own in [*known, *made]
            if (classes := self._classes(text)) is not None and _fits(classes, len(own))
        ]
        widest = self._models[max(self._models)]
        # A checkpoint of other lines must not be taken for this one's.
        digest = hashlib.sha256(repr((treatment, [line.classes for line in lines])).encode())
        for line in lines:
            digest.update(np.ascontiguousarray(line.features).data)
        name = f"ocr-{digest.hexdigest()[:16]}"
        return torch_ocr.refit(tail_weights(widest), lines, self._run, name).fitted()

    def _read_with(self, pictures: Sequence[Picture], places: NDArray[np.intp], chosen: _Fitted) -> list[Read]:
        """Read some pictures with fitted layers, in the runtime and precision of the line."""
        sessions = {
            columns: self._run.runtime.load(
                with_tail(model, chosen.weights or {}), self._run.precision, self._run.threads
            )
            for columns, model in self._models.items()
        }
        return [self._read_one(pictures[place], chosen.treatment, sessions) for place in places]

    def _read(self, pictures: Sequence[Picture], treatment: Treatment, places: NDArray[np.intp]) -> list[Read]:
        """Read some pictures with the networks as published."""
        sessions = {columns: self.sessions[f"recognition_{columns}"] for columns in self._models}
        for place in places.tolist():
            if (treatment, place) not in self._reads:
                self._reads[treatment, place] = self._read_one(pictures[place], treatment, sessions)
        return [self._reads[treatment, place] for place in places.tolist()]

    def _read_one(self, picture: Picture, treatment: Treatment, sessions: dict[int, Session]) -> Read:
        found = None if picture.line is None else _run(sessions, picture.line, treatment, "probabilities")
        return read_line(picture.text, found, self._characters, self._grammar)

    def _features_of(self, pictures: Sequence[Picture], place: int, treatment: Treatment) -> NDArray[np.float16] | None:
        line = pictures[place].line
        if line is not None and (treatment, place) not in self._features:
            self._features[treatment, place] = self._features_of_line(line, treatment)
        return self._features.get((treatment, place))

    def _rendered_features(self, treatment: Treatment) -> list[tuple[str, NDArray[np.float16]]]:
        options = self._options
        if treatment not in self._rendered:
            lines = rendered_lines(
                options.pattern, options.style, options.rendered, self._run.seed, options.marking, tuple(self._models)
            )
            self._rendered[treatment] = [(text, self._features_of_line(line, treatment)) for text, line in lines]
        return self._rendered[treatment]

    def _features_of_line(self, line: NDArray[np.uint8], treatment: Treatment) -> NDArray[np.float16]:
        columns = line.shape[1]
        if columns not in self._takers:
            model = feature_model(columns, self._characters)
            self._takers[columns] = self._run.runtime.load(model, self._run.precision, self._run.threads)
        return _run(self._takers, line, treatment, "features").astype(np.float16)

    def _classes(self, text: str) -> tuple[int, ...] | None:
        known = {character: place for place, character in enumerate(self._characters, 1)}
        return tuple(known[one] for one in text) if set(text) <= known.keys() else None


def _run(sessions: dict[int, Session], line: NDArray[np.uint8], how: Treatment, output: str) -> NDArray[np.float32]:
    session = sessions[line.shape[1]]
    session.input[0] = line
    treat(session.input[0], how)
    found: NDArray[np.float32] = session.run()[output][0].astype(np.float32, copy=True)
    return found


def _fits(classes: tuple[int, ...], steps: int) -> bool:
    """Say whether a text can be spelled in so many steps: equal neighbours need a blank between."""
    return len(classes) + sum(a == b for a, b in pairwise(classes)) <= steps


def _calibrated(held_out: Sequence[Read], groups: Sequence[str], limits: Thresholds) -> GoodOnlyCalibration | None:
    """Give limits that accept what is read and hold back what is not; the stated overkill counts the no reads.

    Every marking taken for training is a good one. Of several pictures of a part the worst counts.
    """
    worst: dict[str, float] = {}
    for read, group in zip(held_out, groups, strict=True):
        worst[group] = max(worst.get(group, 0.0), read.score(limits))
    found = calibrate_if_enough(tuple(worst.values()))
    return None if found is None else capped(found, 1 - min(limits.threshold, limits.bound_threshold))


def _changed(parts: OcrParts, chosen: _Fitted, limits: Thresholds, pattern: str) -> OcrParts:
    """Put what was chosen into the parts of a bundle."""
    settings = msgspec.json.decode(parts.settings)
    settings |= {
        "treatment": msgspec.to_builtins(chosen.treatment),
        "bound_threshold": limits.bound_threshold,
        "most_gap": limits.most_gap,
        "pattern": pattern,
    }
    models = {
        name: with_tail(model, chosen.weights) if chosen.weights and name.startswith("recognition") else model
        for name, model in parts.models.items()
    }
    classes = tuple(replace(item, threshold=limits.threshold) for item in parts.classes)
    return OcrParts(models, msgspec.json.format(msgspec.json.encode(settings), indent=1), classes, parts.golden)


def _json(told: dict[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(told), indent=1)
