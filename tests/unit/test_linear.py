"""Linear layers fitted in numpy are the optimum they claim to be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.training.linear import Linear, Moments, fit_ridge, fit_softmax, random_layer, rectify, softmax


def samples(seed: int, count: int = 200, width: int = 6) -> np.ndarray:
    """Give correlated features of very different scale and offset."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(count, width)) @ random.normal(size=(width, width))
    return (mixed * 10.0 ** random.uniform(-1, 1, width) + 50 * random.normal(size=width)).astype(np.float32)


def standardised(features: np.ndarray) -> np.ndarray:
    wide = features.astype(np.float64)
    return (wide - wide.mean(axis=0)) / wide.std(axis=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 10))
def test_ridge_is_the_minimum(seed: int, strength: float) -> None:
    """The layer equals the textbook solution on standardised features, whatever their scale and offset."""
    features = samples(seed)
    targets = np.random.default_rng(seed + 1).normal(size=(len(features), 2)).astype(np.float32)
    x = standardised(features)
    weight = np.linalg.solve(
        x.T @ x / len(x) + strength * np.eye(x.shape[1]), x.T @ (targets - targets.mean(0)) / len(x)
    )
    expected = x @ weight + targets.mean(axis=0)

    assert np.allclose(expected, fit_ridge(features, targets, strength)(features), atol=2e-3)


def test_portions_and_weights_add_up() -> None:
    """Samples in portions give the layer of all at once, and a weight of 2 counts like the sample twice."""
    features = samples(3)
    targets = (features[:, :1] > features[:, :1].mean()).astype(np.float32)
    portions = Moments(features.shape[1], 1)
    for part in np.array_split(np.arange(len(features)), 7):
        portions.add(features[part], targets[part])
    twice = np.concatenate([features, features[:50]])
    weights = np.where(np.arange(len(features)) < 50, 2.0, 1.0).astype(np.float32)
    repeated = fit_ridge(twice, np.concatenate([targets, targets[:50]]), 0.1)

    assert np.allclose(fit_ridge(features, targets, 0.1)(features), portions.ridge(0.1)(features), atol=1e-4)
    assert np.allclose(repeated(features), fit_ridge(features, targets, 0.1, weights)(features), atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-3, 1))
def test_softmax_regression_is_the_minimum(seed: int, strength: float) -> None:
    """At the solution the slope of the loss in each standardised weight and bias is zero."""
    features = samples(seed, 300)
    labels = np.random.default_rng(seed).integers(0, 3, 300)
    features[labels == 1, 0] += features[:, 0].std()
    layer = fit_softmax(features, labels, 3, strength)
    wrong = softmax(layer(features)) - np.eye(3)[labels]
    scale = features.astype(np.float64).std(axis=0)[:, None]
    slope = standardised(features).T @ wrong / len(labels) + strength * layer.weight * scale

    assert np.abs(slope).max() < 5e-4
    assert np.abs(wrong.mean(axis=0)).max() < 5e-4


def test_probabilities_are_those_of_the_data() -> None:
    """Two classes that mix in known shares get these shares as probabilities."""
    features = np.repeat(np.array([[0.0], [1.0]], np.float32), 100, axis=0)
    labels = np.concatenate([np.arange(100) < 20, np.arange(100) < 90]).astype(np.intp)
    found = softmax(fit_softmax(features, labels, 2, 1e-6)(features[[0, 100]]))

    assert np.allclose([0.2, 0.9], found[:, 1], atol=0.01)


def test_constant_channels_are_ignored() -> None:
    """A channel that never varied in training moves no result, even when it varies later."""
    features = samples(5)
    features[:, 2] = 4.0
    targets = features[:, :1]
    changed = features.copy()
    changed[:, 2] = -1e6
    ridge, regression = fit_ridge(features, targets, 1e-3), fit_softmax(features, np.arange(200) % 2, 2, 1e-2)

    assert np.array_equal(ridge(features), ridge(changed))
    assert np.array_equal(regression(features), regression(changed))


def test_random_layer_bends() -> None:
    """A linear fit on the random layer learns what no linear fit on the features can: exclusive or."""
    random = np.random.default_rng(0)
    features = random.normal(size=(2000, 2)).astype(np.float32)
    labels = (features[:, 0] * features[:, 1] > 0).astype(np.intp)
    hidden = random_layer(features, 64, np.random.default_rng(1))
    bent = fit_softmax(rectify(hidden, features), labels, 2, 1e-4)
    right = (bent(rectify(hidden, features)).argmax(axis=1) == labels).mean()
    flat = (fit_softmax(features, labels, 2, 1e-4)(features).argmax(axis=1) == labels).mean()

    assert right > 0.93
    assert flat < 0.7
    again = random_layer(features, 64, np.random.default_rng(1))

    assert np.array_equal(hidden.weight, again.weight)


def test_misfits_are_refused() -> None:
    """No samples, labels out of range and labels of another count are refused."""
    features = samples(0)
    with pytest.raises(ValueError, match="0 samples"):
        Moments(3, 1).ridge(1.0)
    with pytest.raises(ValueError, match="from 0 to classes - 1"):
        fit_softmax(features, np.full(200, 3), 3, 1.0)
    with pytest.raises(ValueError, match="199 labels for 200 samples"):
        fit_softmax(features, np.zeros(199, np.intp), 3, 1.0)


def test_layer_is_affine() -> None:
    """A layer multiplies and adds over the last axis."""
    layer = Linear(np.array([[1.0, 2.0]], np.float32), np.array([0.5, -1.0], np.float32))

    assert [[2.5, 3.0], [3.5, 5.0]] == layer(np.array([[2.0], [3.0]], np.float32)).tolist()
