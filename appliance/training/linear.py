"""Fit linear layers on frozen features in closed form or nearly so: seconds in numpy, the same result each time.

Features are standardised inside and the standardisation is folded into the layer, so a layer reads raw features.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# Channels that hardly vary would be blown up to noise; relative to the largest deviation among the channels.
SMALLEST_DEVIATION = 1e-4
# Softmax regression stops when a step would lower the mean log loss by no more than this, or after so many steps: where
# classes are told apart without error, the last of them hardly move a decision.
MOST_STEPS = 100
LEAST_GAIN = 1e-8
SHORTEST_STEP = 1e-3
# Steps that the quasi-Newton method remembers.
MEMORY = 12

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class Linear(Struct, frozen=True):
    """Hold a layer: results = features @ weight + bias."""

    weight: Floats
    """(features, results) float32."""
    bias: Floats
    """(results,) float32."""

    def rounded(self) -> "Linear":
        """Give the layer with weights that bf16 holds exactly, so that f32 and bf16 compute with the same ones."""
        return Linear(round_to_bf16(self.weight), self.bias)

    def __call__(self, features: Floats) -> Floats:
        """Give (..., results) float32 of (..., features) float32."""
        return features @ self.weight + self.bias


class Moments:
    """Sum up samples in any number of portions for a least-squares fit; memory does not grow with them."""

    def __init__(self, features: int, targets: int) -> None:
        """Take the number of features and targets of a sample."""
        self._features = features
        self._count = 0.0
        self._pivot: Floats | None = None
        self._sums = np.zeros(features + targets)
        self._products = np.zeros((features + targets, features + targets))

    def add(self, features: Floats, targets: Floats, weights: Floats | None = None) -> None:
        """Add samples: (samples, features) and (samples, targets) float32; weights: (samples,), None is 1 each."""
        weight = np.ones(len(features), np.float32) if weights is None else weights
        joined = np.concatenate([features, targets], axis=1, dtype=np.float32)
        if self._pivot is None:  # near the mean, so that float32 products keep their digits
            self._pivot = joined.mean(axis=0)
        joined -= self._pivot
        self._count += float(weight.sum(dtype=np.float64))
        self._sums += weight.astype(np.float64) @ joined
        self._products += (joined * weight[:, None]).T @ joined

    def ridge(self, strength: float) -> Linear:
        """Give the layer with the least mean squared error plus `strength` times its squared standardised weights.

        Ridge regression: Hoerl and Kennard (1970); the bias is not penalised. Raises ValueError without samples.
        """
        if self._pivot is None or not self._count > 0:
            raise ValueError("ridge regression: 0 samples; add some")
        mean = self._sums / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        inner = self._features
        scale = _scale(np.sqrt(np.maximum(np.diag(covariance)[:inner], 0.0)))
        square = covariance[:inner, :inner] * np.outer(scale, scale) + strength * np.eye(inner)
        weight = scale[:, None] * np.linalg.solve(square, scale[:, None] * covariance[:inner, inner:])
        centre = mean + self._pivot
        return _layer(weight, centre[inner:] - centre[:inner] @ weight)


def fit_ridge(features: Floats, targets: Floats, strength: float, weights: Floats | None = None) -> Linear:
    """Give the ridge regression of (samples, targets) on (samples, features); see `Moments.ridge`."""
    moments = Moments(features.shape[1], targets.shape[1])
    moments.add(features, targets, weights)
    return moments.ridge(strength)


def fit_softmax(
    features: Floats,
    labels: NDArray[np.integer],
    classes: int,
    strength: float,
    weights: Floats | None = None,
    steps: int = MOST_STEPS,
) -> Linear:
    """Give the multinomial logistic regression whose softmax is the probability of each class.

    features: (samples, features) float32; labels: (samples,) in [0, classes); strength: of the squared standardised
    weights (halved) against the mean log loss. A quasi-Newton method from a bound of the curvature: Bohning,
    "Multinomial logistic regression algorithm" (1992). ValueError when labels and features do not fit together.
    """
    if len(labels) != len(features) or not len(labels) or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"softmax regression: {len(labels)} labels for {len(features)} samples of {classes} classes; "
            "give one label from 0 to classes - 1 per sample"
        )
    share = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    share = (share / share.sum()).astype(np.float32)[:, None]
    mean = (features * share).sum(axis=0, dtype=np.float64)
    scale = _scale(np.sqrt((share * (features - mean.astype(np.float32)) ** 2).sum(axis=0, dtype=np.float64)))
    standard = np.empty((len(features), features.shape[1] + 1), np.float32)
    standard[:, :-1], standard[:, -1] = (features - mean.astype(np.float32)) * scale.astype(np.float32), 1.0
    wanted = np.zeros((len(labels), classes), np.float32)
    wanted[np.arange(len(labels)), labels] = 1.0
    solution = _descend(_Problem(standard, wanted, share, strength), classes, steps)
    weight = scale[:, None] * solution[:-1]
    return _layer(weight, solution[-1] - mean @ weight)


def softmax(values: Floats) -> Floats:
    """Give the softmax over the last axis."""
    raised: Floats = np.exp(values - values.max(axis=-1, keepdims=True))
    raised /= raised.sum(axis=-1, keepdims=True)
    return raised


def round_to_bf16(values: Floats) -> Floats:
    """Give the nearest number of 8 significant bits to each value, ties to even; values: finite float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    kept = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return kept.view(np.float32)


def random_layer(features: Floats, width: int, random: np.random.Generator) -> Linear:
    """Give a fixed random layer of `width` results for `rectify`; a linear fit on these bends where features do not.

    Random features: Huang et al., "Extreme learning machine" (2006). features: (samples, features) float32, from which
    come the standardisation and, one sample per result, the place where that result begins to rise.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    scale = _scale(features.std(axis=0, dtype=np.float64))
    weight = scale[:, None] * random.standard_normal((features.shape[1], width)) / np.sqrt(features.shape[1])
    begin = features[random.integers(len(features), size=width)]
    return _layer(weight, -np.einsum("wf,fw->w", begin - mean, weight) - mean @ weight)


def rectify(layer: Linear, features: Floats) -> Floats:
    """Give the layer's results with negative ones set to 0."""
    return np.maximum(layer(features), np.float32(0))


class _Problem:
    """Hold the loss of softmax regression on standardised features, the last of which is 1."""

    def __init__(self, standard: Floats, wanted: Floats, share: Floats, strength: float) -> None:
        self._standard, self._wanted, self._share = standard, wanted, share
        self._penalty = np.full((standard.shape[1], 1), strength)
        self._penalty[-1] = 1e-9  # the bias is free; only the sum over classes needs holding
        bound = 0.5 * (standard * share).T.astype(np.float64) @ standard
        curved = bound + np.diag(self._penalty[:, 0]) + 1e-9 * np.eye(len(bound))
        self.inverse: Doubles = np.linalg.inv(curved.astype(np.float64))
        """Inverse of a bound of the curvature, the same for each class."""

    def at(self, place: Doubles) -> tuple[float, Doubles]:
        """Give the loss and its slope."""
        values = self._standard @ place.astype(np.float32)
        values -= values.max(axis=1, keepdims=True)
        own = (values * self._wanted).sum(axis=1)
        np.exp(values, out=values)
        total = values.sum(axis=1, keepdims=True)
        loss = float(((np.log(total[:, 0]) - own) * self._share[:, 0]).sum(dtype=np.float64))
        values /= total
        values -= self._wanted
        values *= self._share
        held = self._penalty * place
        slope: Doubles = (self._standard.T @ values).astype(np.float64) + held
        return loss + 0.5 * float((held * place).sum()), slope


def _descend(problem: _Problem, classes: int, steps: int) -> Doubles:
    """Give (features + 1, classes) weights of least loss, the last row being the bias."""
    place = np.zeros((len(problem.inverse), classes))
    loss, slope = problem.at(place)
    history: list[tuple[Doubles, Doubles]] = []
    for _ in range(steps):
        step = _quasi_newton(slope, history, problem.inverse)
        fall = float((step * slope).sum())
        if fall < 2 * LEAST_GAIN:
            break
        length = 1.0
        after, steeper = problem.at(place - step)
        while after > loss - 1e-4 * length * fall and length > SHORTEST_STEP:
            length /= 2
            after, steeper = problem.at(place - length * step)
        if after >= loss:  # as low as float32 can tell
            break
        history = [*history[1 - MEMORY :], (-length * step, steeper - slope)]
        place, loss, slope = place - length * step, after, steeper
    return place


def _quasi_newton(
    slope: Doubles,
    history: list[tuple[Doubles, Doubles]],
    inverse: Doubles,
) -> Doubles:
    """Give the step downhill: Nocedal and Wright, "Numerical Optimization" (2006), algorithm 7.4."""
    step, shares = slope, []
    for moved, bent in reversed(history):
        share = float((moved * step).sum()) / float((moved * bent).sum())
        shares.append(share)
        step = step - share * bent
    step = inverse @ step
    for (moved, bent), share in zip(history, reversed(shares), strict=True):
        step = step + (share - float((bent * step).sum()) / float((moved * bent).sum())) * moved
    return step


def _scale(deviation: Doubles) -> Doubles:
    """Give the factors that standardise; constant channels count for nothing."""
    least = SMALLEST_DEVIATION * max(float(deviation.max(initial=0.0)), np.finfo(np.float64).tiny)
    return np.where(deviation > least, 1.0 / np.maximum(deviation, least), 0.0)


def _layer(weight: Doubles, bias: Doubles) -> Linear:
    return Linear(np.ascontiguousarray(weight, np.float32), np.ascontiguousarray(bias, np.float32))
