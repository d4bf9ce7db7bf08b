"""Several heads on one backbone pass give what each gives alone."""

import numpy as np
import pytest

from appliance.ports.runtime import Runtime
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.training import anomaly_graph, backbone, classification_graph, semantic_graph, weights
from appliance.training.anomaly_graph import Memory, add_anomaly_head, anomaly_model
from appliance.training.classification_graph import ClassificationWeights, add_classification_head, classification_model
from appliance.training.heads import HeadPlan, multi_head_model
from appliance.training.linear import Linear
from appliance.training.semantic_graph import SemanticWeights, add_semantic_head, semantic_model

SIZE = (96, 64)
BATCH = 2


def layer(random: np.random.Generator, features: int, results: int) -> Linear:
    """Give a layer of random weights."""
    scale = 1 / np.sqrt(features)
    return Linear(random.normal(0, scale, (features, results)).astype(np.float32), np.zeros(results, np.float32))


@pytest.fixture(scope="module")
def state():
    """Give the published weights."""
    return weights.efficientnet_lite0()


@pytest.fixture(scope="module")
def parts():
    """Give the weights of three heads."""
    random = np.random.default_rng(0)
    patches = random.normal(size=(50, anomaly_graph.CHANNELS)).astype(np.float32)
    unit = np.ones(anomaly_graph.CHANNELS, np.float32)
    kinds = ClassificationWeights(layer(random, 40, 16), layer(random, 16 + 112 + 320, 3))
    return Memory(0 * unit, unit, patches), kinds, SemanticWeights(layer(random, semantic_graph.CHANNELS, 4))


@pytest.mark.parametrize("runtime", [OnnxRuntime(), OpenVinoRuntime()], ids=["onnx", "openvino"])
def test_heads_together_give_what_each_gives_alone(state, parts, runtime: Runtime) -> None:
    """One graph with three heads, on a batch of two, equals three graphs with one head on single images."""
    memory, kinds, cells = parts
    heads = {
        "anomaly.": HeadPlan(anomaly_graph.TAPS_USED, lambda g, taps, p: add_anomaly_head(g, taps, memory, p)),
        "classification.": HeadPlan(
            classification_graph.TAPS_USED, lambda g, taps, p: add_classification_head(g, taps, kinds, p)
        ),
        "semantic.": HeadPlan(semantic_graph.TAPS_USED, lambda g, taps, p: add_semantic_head(g, taps, cells, p)),
    }
    alone = {
        "anomaly.map": anomaly_model(state, SIZE, memory),
        "classification.probabilities": classification_model(state, SIZE, kinds),
        "semantic.probabilities": semantic_model(state, SIZE, cells),
    }
    images = np.random.default_rng(1).integers(0, 256, (BATCH, *SIZE, 3), dtype=np.uint8)
    together = runtime.load(multi_head_model(state, SIZE, heads, BATCH), "f32", 1)
    together.input[...] = images
    found = {name: tensor.copy() for name, tensor in together.run().items() if name in alone}

    assert set(alone) == set(found)
    for name, model in alone.items():
        session = runtime.load(model, "f32", 1)
        for index, image in enumerate(images):
            session.input[0] = image
            expected = session.run()[name.partition(".")[2]][0]

            assert np.allclose(expected, found[name][index], atol=1e-4 * np.abs(expected).max())


def test_backbone_is_written_once(state, parts) -> None:
    """Two heads cost one backbone: the file grows by the heads alone."""
    memory, _, cells = parts
    one = HeadPlan(anomaly_graph.TAPS_USED, lambda g, taps, p: add_anomaly_head(g, taps, memory, p))
    two = HeadPlan(semantic_graph.TAPS_USED, lambda g, taps, p: add_semantic_head(g, taps, cells, p))
    both = multi_head_model(state, SIZE, {"a.": one, "b.": two})
    single = multi_head_model(state, SIZE, {"a.": one})

    assert len(both) - len(single) < 20_000


def test_prefixes_must_differ(state, parts) -> None:
    """A prefix that begins another one would hand a head the other's outputs."""
    plan = HeadPlan(semantic_graph.TAPS_USED, lambda g, taps, p: add_semantic_head(g, taps, parts[2], p))
    with pytest.raises(ValueError, match="begins another"):
        multi_head_model(state, SIZE, {"a": plan, "ab": plan})
    with pytest.raises(ValueError, match="choose from"):
        multi_head_model(state, SIZE, {})


def test_rounded_weights_drift_less(state) -> None:
    """With weights that bf16 holds exactly, f32 and bf16 come nearer to each other, and f32 stays near the original."""
    runtime = OpenVinoRuntime()
    if runtime.choose() != "bf16":
        pytest.skip("this CPU does not compute in bf16")
    image = np.random.default_rng(2).integers(0, 256, (*SIZE, 3), dtype=np.uint8)

    def tap(content: bytes, precision: str) -> np.ndarray:
        session = runtime.load(content, precision, 1)
        session.input[0] = image
        return session.run()["s16"].copy()

    exact, near = (backbone.efficientnet_lite0(one, SIZE, ("s16",)) for one in (state, backbone.rounded(state)))
    published = tap(exact, "f32")
    drift = {
        name: np.abs(tap(content, "bf16") - tap(content, "f32")).mean()
        for name, content in (("exact", exact), ("near", near))
    }

    assert drift["near"] < 0.8 * drift["exact"]
    assert np.abs(tap(near, "f32") - published).mean() < 2 * drift["exact"]
