"""Fit a detection head on frozen features: one hidden layer over sampled cells, then again with the hardest ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.training.detection_cells import INPUTS, CellFeatures, Instances, Targets, targets
from appliance.training.detection_graph import NEAR_CHANNELS, SIDES, DetectionWeights
from appliance.training.detection_perceptron import Perceptron, sigmoid

HIDDEN = 64
PASSES = 6
"""Over the first samples, and as many over these and the hard ones."""
AROUND, FAR, HARD = 40, 40, 40
"""Cells of each image beside those of objects: near them, anywhere else, and those that the first fit misjudges."""
MOST_CELLS = 8_000
"""Of objects of one class: features of the part are on every image, defects are few."""
SMALLEST_DEVIATION = 1e-3
LARGEST_WEIGHT = 6.0
"""Rare classes count more, by the root of how rare they are, up to this."""
RARE_LOGIT = -3.0
"""Start of the class scores: hardly any cell holds an object."""
BOX_WEIGHT, BOX_BEND = 3.0, 0.3
"""Of the distances against the classes, and the error from which it counts linearly (Huber, 1964)."""


def fit_detection(
    features: CellFeatures, truths: Sequence[Instances], classes: int, random: np.random.Generator
) -> DetectionWeights:
    """Give the head fitted to images with their truth in input pixels; blocks for seconds.

    features: of every image, in the order of `truths`. Raises ValueError when their numbers differ or no object is
    among them.
    """
    if len(features) != len(truths) or not any(len(truth.kinds) for truth in truths):
        raise ValueError(
            f"detection: {len(features)} images, {len(truths)} truths with {sum(len(t.kinds) for t in truths)} objects;"
            " give one truth per image and at least one object"
        )
    wanted = [targets(truth, features.cells, classes) for truth in truths]
    counts = np.bincount(np.concatenate([target.kinds[target.measured] for target in wanted]), minlength=classes)
    share = np.minimum(1.0, MOST_CELLS / np.maximum(counts, 1))
    chosen = [_sample(target, share, random) for target in wanted]
    first = _gather(features, chosen)
    mean, scale = first.mean(axis=0), 1 / (first.std(axis=0) + SMALLEST_DEVIATION)
    network = Perceptron(INPUTS, HIDDEN, classes + SIDES, random)
    network.weights[3][:classes] = RARE_LOGIT
    _fit(network, _standard(first, mean, scale), wanted, chosen, cool=False)
    for image, target in enumerate(wanted):
        scores = sigmoid(network(_standard(features.take(image), mean, scale))[:, :classes])
        wrong = (np.abs(scores - target.scores) * target.weights).max(axis=1)
        wrong[chosen[image]] = 0
        chosen[image] = np.concatenate([chosen[image], np.argsort(-wrong, kind="stable")[:HARD]])
    _fit(network, _standard(_gather(features, chosen), mean, scale), wanted, chosen, cool=True)
    return _weights(network, mean, scale)


def _sample(target: Targets, share: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.intp]:
    near = ((target.weights == 0) | (target.scores > 0)).any(axis=1)
    around, far = np.flatnonzero(near & ~target.measured), np.flatnonzero(~near & ~target.measured)
    return np.concatenate(
        [
            np.flatnonzero(target.measured & (random.random(len(target.kinds)) < share[target.kinds])),
            random.choice(around, min(len(around), AROUND), replace=False),
            random.choice(far, min(len(far), FAR), replace=False),
        ]
    )


def _gather(features: CellFeatures, chosen: Sequence[NDArray[np.intp]]) -> NDArray[np.float32]:
    return np.concatenate([features.take(image, cells) for image, cells in enumerate(chosen)])


def _standard(
    samples: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    samples -= mean
    samples *= scale
    return samples


def _fit(
    network: Perceptron,
    samples: NDArray[np.float32],
    wanted: Sequence[Targets],
    chosen: Sequence[NDArray[np.intp]],
    *,
    cool: bool,
) -> None:
    pairs = list(zip(wanted, chosen, strict=True))
    scores = np.concatenate([target.scores[cells] for target, cells in pairs])
    logs = np.concatenate([target.logs[cells] for target, cells in pairs])
    measured = np.concatenate([target.measured[cells] for target, cells in pairs])[:, None] * np.float32(BOX_WEIGHT)
    counts = scores.sum(axis=0)
    rare = np.minimum(np.sqrt(counts.max() / np.maximum(counts, 1)), LARGEST_WEIGHT).astype(np.float32)
    weights = np.concatenate([target.weights[cells] for target, cells in pairs]) * np.where(scores > 0, rare, 1)
    classes = scores.shape[1]

    def slope(results: NDArray[np.float32], samples: NDArray[np.intp]) -> NDArray[np.float32]:
        wrong = np.empty_like(results)
        wrong[:, :classes] = (sigmoid(results[:, :classes]) - scores[samples]) * weights[samples]
        wrong[:, classes:] = np.clip(results[:, classes:] - logs[samples], -BOX_BEND, BOX_BEND) * measured[samples]
        return wrong

    network.fit(samples, slope, PASSES, cool=cool)


def _weights(network: Perceptron, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> DetectionWeights:
    """Fold the standardisation into the first layer (in float64, since means are large against deviations)."""
    first = network.weights[0].astype(np.float64) * scale[:, None]
    bias = network.weights[1] - mean.astype(np.float64) @ first
    near = first[: 9 * NEAR_CHANNELS].reshape(3, 3, NEAR_CHANNELS, -1).transpose(3, 2, 0, 1)
    wide = first[9 * NEAR_CHANNELS :].T[:, :, None, None]
    return DetectionWeights(
        near=np.ascontiguousarray(near, np.float32),
        wide=np.ascontiguousarray(wide, np.float32),
        hidden_bias=bias.astype(np.float32),
        out=np.ascontiguousarray(network.weights[2].T),
        out_bias=network.weights[3].copy(),
    )
