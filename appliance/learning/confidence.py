"""Turn raw scores into probabilities that hold on parts the model did not learn from, and stay modest where few did.

Two ways are fitted: a rising step function (isotonic regression) and a smooth curve (`temperature.py`). The one with
the smaller log loss on parts that its curve did not see is kept; under `FEWEST_PARTS` parts that comparison would be
chance, and steps, which promise less, are taken.

The share of right answers must not fall with the score (isotonic regression). Each step of it is then drawn towards the
overall share as if `PRIOR_PARTS` more parts had shown that one, pictures of one part counting as one: three right
answers of three give no confidence of 1.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.learning.bootstrap import FEWEST_PARTS, interval
from appliance.learning.classification import BINS, calibration_error
from appliance.learning.temperature import Temperature, drawn, fit_temperature, probabilities
from appliance.schema.bundle import ConfidenceCurve

PRIOR_PARTS = 2.0
FOLDS = 5
FEWEST_PER_BIN = 10
UNKNOWN_ERROR = 1.0
"""What a curve from one part says of itself: it cannot be held against another."""

LEAST_CHANCE = 1e-12
"""No log loss of a single answer is infinite."""

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
Parts = NDArray[np.str_]
Method = Literal["isotonic", "temperature"]


class Step(Struct, frozen=True):
    """Hold one run of scores with the same share of right answers."""

    low: float
    high: float
    """First and last score."""
    share: float
    weight: float
    parts: int = 0
    """Different parts among them; 0: not counted."""


def fit_curve(kind: str, scores: Sequence[float] | Floats, right: Marks, groups: Sequence[str]) -> ConfidenceCurve:
    """Give the curve of one class, or of the image score where `kind` is empty.

    scores: (n,) of held-out answers, those that are not finite left out; right: (n,) bool, the answer was a defect;
    groups: (n,) the part of each. Where no part can be left out, or the smooth curve cannot be fitted without each, it
    is isotonic. ValueError when no score is left.
    """
    values = np.asarray(scores, np.float64)
    finite = np.isfinite(values)
    values, marks, parts = values[finite], np.asarray(right, np.bool_)[finite], np.array(groups, np.str_)[finite]
    if not values.size:
        raise ValueError(f"confidence: class {kind!r} has no held-out score, at least 1 is needed; leave its curve out")
    logit = bool((values >= 0).all() and (values <= 1).all())
    promised = _held_out(values, marks, parts, logit=logit)
    losses: dict[str, float] = {name: log_loss(chances, marks) for name, chances in promised.items()}
    method: Method = "temperature" if losses.get("temperature", math.inf) < losses.get("isotonic", 0.0) else "isotonic"
    if np.unique(parts).size < FEWEST_PARTS:
        method = "isotonic"
    smooth = fit_temperature(values, marks, parts, logit=logit) if method == "temperature" else None
    places, confidences = drawn(smooth) if smooth else _fitted(values, marks, parts)
    kept = promised.get(method if smooth else "isotonic")
    bins = max(1, min(BINS, values.size // FEWEST_PER_BIN))
    known = None
    if kept is not None:
        known = interval(parts.tolist(), lambda own: expected_error(kept[own], marks[own], bins))
    return ConfidenceCurve(
        kind=kind,
        scores=places,
        confidences=confidences,
        count=values.size,
        right=int(marks.sum()),
        error=UNKNOWN_ERROR if kept is None else calibration_error(kept, marks, "equal-mass", bins) or 0.0,
        method="temperature" if smooth else "isotonic",
        parts=int(np.unique(parts).size),
        log_losses=losses,
        error_low=known.low if known else None,
        error_high=known.high if known else None,
    )


def log_loss(chances: Floats, right: Marks) -> float:
    """Give the mean log loss of probabilities, (n,) float64, of answers that were right or not, (n,) bool."""
    own = np.where(right, chances, 1 - chances)
    return float(-np.log(np.maximum(own, LEAST_CHANCE)).mean())


def expected_error(chances: Floats, right: Marks, bins: int) -> float:
    """Give the expected calibration error over bins of equal mass, as `calibration_error` does, without intervals."""
    order = np.sort(chances)
    place = np.searchsorted(order, chances, side="left") * bins // max(1, chances.size)
    gaps = np.bincount(place, chances) - np.bincount(place, right)
    return float(np.abs(gaps).sum() / chances.size)


def confidence_of(curve: ConfidenceCurve, score: float) -> float | None:
    """Give the probability in [0, 1] that an answer of this score is right; None for a score that is no number."""
    if math.isnan(score) or not curve.scores:
        return None
    after = bisect.bisect_right(curve.scores, score)
    if after in {0, len(curve.scores)}:
        value = curve.confidences[0 if after == 0 else -1]
    else:
        left, right = curve.scores[after - 1], curve.scores[after]
        low, high = curve.confidences[after - 1], curve.confidences[after]
        value = low + (high - low) * (score - left) / (right - left)
    return min(1.0, max(0.0, value))


def isotonic(scores: Floats, values: Floats, parts: Parts | None = None) -> tuple[Step, ...]:
    """Give the never-falling step function nearest to the values in squares, by pooling neighbours that fall.

    scores, values: (n,) float64; equal scores form one step. Ayer et al., "An empirical distribution function for
    sampling with incomplete information", Annals of Mathematical Statistics 26 (1955).
    """
    places, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(index, values) / counts
    steps = [
        Step(float(place), float(place), float(mean), float(count))
        for place, mean, count in zip(places, means, counts, strict=True)
    ]
    pooled = _pooled(steps)
    if parts is None:
        return pooled
    return tuple(
        Step(
            one.low, one.high, one.share, one.weight, np.unique(parts[(scores >= one.low) & (scores <= one.high)]).size
        )
        for one in pooled
    )


def _fitted(scores: Floats, right: Marks, parts: Parts) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give the curve's points: each step's first and last score, straight lines between steps."""
    steps = isotonic(scores, right.astype(np.float64), parts)
    number = np.unique(parts).size
    # The rule of succession keeps the overall share itself off 0 and 1.
    overall = (right.mean() * number + 1) / (number + 2)
    modest = [
        Step(
            one.low,
            one.high,
            float((one.share * one.parts + PRIOR_PARTS * overall) / (one.parts + PRIOR_PARTS)),
            one.parts + PRIOR_PARTS,
        )
        for one in steps
    ]
    points = {place: one.share for one in _pooled(modest) for place in (one.low, one.high)}
    return tuple(points), tuple(points.values())


def _pooled(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Join neighbours until no share falls."""
    done: list[Step] = []
    for step in steps:
        own = step
        while done and done[-1].share >= own.share:
            last = done.pop()
            weight = last.weight + own.weight
            own = Step(last.low, own.high, (last.share * last.weight + own.share * own.weight) / weight, weight)
        done.append(own)
    return tuple(done)


def _held_out(scores: Floats, right: Marks, parts: Parts, *, logit: bool) -> dict[Method, Floats]:
    """Give what curves promise of parts that they were fitted without, by method; empty of a single part."""
    names, part = np.unique(parts, return_inverse=True)
    if names.size < 2:
        return {}
    fold = part % min(FOLDS, names.size)
    steps, smooth = np.zeros(scores.size), np.zeros(scores.size)
    curves: list[Temperature | None] = []
    for one in np.unique(fold):
        own = fold == one
        places, confidences = _fitted(scores[~own], right[~own], parts[~own])
        steps[own] = np.interp(scores[own], places, confidences)
        curves.append(fit_temperature(scores[~own], right[~own], parts[~own], logit=logit))
        if curves[-1] is not None:
            smooth[own] = probabilities(curves[-1], scores[own])
    return {"isotonic": steps} if None in curves else {"isotonic": steps, "temperature": smooth}
