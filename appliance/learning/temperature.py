"""Turn scores into probabilities by one smooth curve: a logistic function with a temperature and an offset.

Guo et al., "On calibration of modern neural networks", ICML (2017), divide a network's logit by a temperature. A score
of an anomaly head has no natural zero, and a detector's no natural share, so an offset is fitted too. Answers count as
`(right + 1) / (right + 2)` and `1 / (wrong + 2)` instead of 1 and 0, parts being counted: Platt, "Probabilistic outputs
for support vector machines" (1999). So scores that part right from wrong cleanly give no certainty from a few parts.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
Parts = NDArray[np.str_]

ROUNDS = 100
ENOUGH = 1e-10
EDGE = 1e-6
"""Shares nearer to 0 or 1 have the logit of this one."""
STEP = 0.2
"""Of the logit between points of a drawn curve: straight lines between them differ by less than 0.001."""


class Temperature(Struct, frozen=True):
    """Hold a fitted curve: the logistic function of (x - offset) / temperature, x the score or its logit."""

    temperature: float
    offset: float
    logit: bool
    """Scores are shares in [0, 1], and x is their logit."""
    low: float
    high: float
    """First and last score; beyond them the curve is held."""
    least: float
    """Confidences stay in [least, 1 - least]: what as many parts, all alike, would say by the rule of succession."""


def fit_temperature(scores: Floats, right: Marks, parts: Parts, *, logit: bool) -> Temperature | None:
    """Give the curve of least log loss; None where right and wrong are not both there, or confidence would not rise.

    scores: (n,) float64, finite; right: (n,) bool; parts: (n,) the part of each. logit: they are shares in [0, 1].
    """
    x = _logit(scores) if logit else scores
    spread = float(x.std()) if x.size else 0.0
    if right.all() or not right.any() or not spread > 0:
        return None
    middle = float(x.mean())
    hits, misses = (np.unique(parts[own]).size for own in (right, ~right))
    aims = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
    slope, shift = _fitted((x - middle) / spread, aims)
    if not slope > 0:
        return None
    temperature = spread / slope
    least = 1 / (np.unique(parts).size + 2)
    return Temperature(
        temperature, middle - shift * temperature, logit, float(scores.min()), float(scores.max()), least
    )


def probabilities(curve: Temperature, scores: Floats) -> Floats:
    """Give the confidence of each score, (n,) float64 in (0, 1)."""
    held = np.clip(scores, curve.low, curve.high)
    x = _logit(held) if curve.logit else held
    result: Floats = np.clip(_logistic((x - curve.offset) / curve.temperature), curve.least, 1 - curve.least)
    return result


def drawn(curve: Temperature) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Give points of the curve, scores ascending with their confidences, for straight lines in between."""
    ends = np.array([curve.low, curve.high])
    first, last = (_logit(ends) if curve.logit else ends).tolist()
    bound = -float(_logit(np.array([curve.least]))[0])
    low, high = (float(np.clip((x - curve.offset) / curve.temperature, -bound, bound)) for x in (first, last))
    steps = np.linspace(low, high, 2 + int((high - low) / STEP))
    x = curve.offset + curve.temperature * steps
    scores = np.clip(_logistic(x) if curve.logit else x, curve.low, curve.high)
    scores = np.unique(np.concatenate([ends, scores]))
    return tuple(scores.tolist()), tuple(probabilities(curve, scores).tolist())


def _fitted(x: Floats, aims: Floats) -> tuple[float, float]:
    """Give slope and shift of the logistic function nearest to the aims in log loss, by Newton's method."""
    design = np.stack([x, np.ones_like(x)])
    weights = np.zeros(2)
    loss = _loss(weights @ design, aims)
    for _ in range(ROUNDS):
        chance = _logistic(weights @ design)
        gradient = design @ (chance - aims)
        curvature = (design * (chance * (1 - chance))) @ design.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (after := _loss((weights - size * step) @ design, aims)) > loss and size > ENOUGH:
            size /= 2
        if not after < loss - ENOUGH * x.size:
            break
        weights, loss = weights - size * step, after
    return float(weights[0]), float(weights[1])


def _loss(logits: Floats, aims: Floats) -> float:
    return float((np.logaddexp(0.0, logits) - aims * logits).sum())


def _logistic(x: Floats) -> Floats:
    result: Floats = 0.5 * (1 + np.tanh(0.5 * x))
    return result


def _logit(shares: Floats) -> Floats:
    held = np.clip(shares, EDGE, 1 - EDGE)
    result: Floats = np.log(held) - np.log1p(-held)
    return result
