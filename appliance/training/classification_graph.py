"""Write the classification head: pooled features and a pooled bent layer, one linear layer, softmax."""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import Graph, add_backbone, block_result
from appliance.training.linear import Floats, Linear

# Means of s16 and s32 say what the image holds; small marks vanish in a mean unless each cell is bent before it, and
# stand out in the largest value.
BENT = "s8"
TAPS_USED = (BENT, "s16", "s32")
POOLED_FEATURES = "pooled"
BODY = "body"


class ClassificationWeights(Struct, frozen=True):
    """Hold what is fitted and what is drawn."""

    hidden: Linear
    """(channels of s8, width) layer on each cell of s8, its negative results set to 0."""
    last: Linear
    """(features, classes) layer on the means of hidden, s16 and s32 and, with `maxima`, on their largest values."""
    maxima: bool = False


def classification_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], weights: ClassificationWeights, batch: int = 1
) -> bytes:
    """Give the model whose output `probabilities` is (batch, classes) float32."""
    graph = Graph()
    outputs = add_classification_head(graph, add_backbone(graph, state, size, TAPS_USED, batch), weights)
    return graph.model(size, outputs, batch)


def add_classification_head(
    graph: Graph, taps: Mapping[str, str], weights: ClassificationWeights, prefix: str = ""
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them. Gives the output `<prefix>probabilities`."""
    joined, _ = _add_pooled(graph, taps, weights.hidden, prefix, maxima=weights.maxima)
    layer = [
        graph.constant(f"{prefix}class.weight", weights.last.weight),
        graph.constant(f"{prefix}class.bias", weights.last.bias),
    ]
    logits = graph.add("Gemm", [joined, *layer], f"{prefix}logits")
    graph.add("Softmax", [logits], f"{prefix}probabilities", axis=1)
    return {f"{prefix}probabilities": (graph.shapes[taps[BENT]][0], len(weights.last.bias))}


def tap_model(state: Mapping[str, NDArray[np.generic]], size: tuple[int, int]) -> bytes:
    """Give the model whose output `s8` is what the hidden layer reads."""
    graph = Graph()
    tap = add_backbone(graph, state, size, (BENT,))[BENT]
    graph.add("Identity", [tap], BENT)
    return graph.model(size, {BENT: graph.shapes[tap]})


def pooled_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], hidden: Linear, *, maxima: bool, body: int = 0
) -> tuple[bytes, dict[str, tuple[int, ...]]]:
    """Give the model whose output `pooled` is (1, features) float32, what the last layer reads, and output shapes.

    body: where not 0, a second output `body` is what block `body` reads, (1, channels, rows, cols) float32 at stride
    32, where the last stages work.
    """
    graph = Graph()
    joined, count = _add_pooled(graph, add_backbone(graph, state, size, TAPS_USED), hidden, "", maxima=maxima)
    graph.add("Identity", [joined], POOLED_FEATURES)
    outputs: dict[str, tuple[int, ...]] = {POOLED_FEATURES: (1, count)}
    if body:
        graph.add("Identity", [block_result(graph, body - 1)], BODY)
        channels = state[f"_blocks.{body}._expand_conv.weight"].shape[1]
        outputs[BODY] = (1, channels, -(-size[0] // 32), -(-size[1] // 32))
    return graph.model(size, outputs), outputs


def _add_pooled(graph: Graph, taps: Mapping[str, str], hidden: Linear, prefix: str, *, maxima: bool) -> tuple[str, int]:
    """Append the pooling and give the tensor with its count of features: all means, then all largest values."""
    layer = [
        graph.constant(f"{prefix}hidden.weight", pointwise(hidden.weight)),
        graph.constant(f"{prefix}hidden.bias", hidden.bias),
    ]
    bent = graph.add("Relu", [graph.add("Conv", [taps[BENT], *layer], f"{prefix}hidden")], f"{prefix}bent")
    flat = []
    for kind, operator in (("mean", "GlobalAveragePool"), ("most", "GlobalMaxPool"))[: 2 if maxima else 1]:
        for tap in TAPS_USED:
            one = graph.add(operator, [bent if tap == BENT else taps[tap]], f"{prefix}{tap}_{kind}")
            flat.append(graph.add("Flatten", [one], f"{prefix}{tap}_{kind}_flat"))
    count = len(hidden.bias) + sum(graph.shapes[taps[tap]][1] for tap in TAPS_USED if tap != BENT)
    return graph.add("Concat", flat, f"{prefix}joined", axis=1), count * (2 if maxima else 1)


def pointwise(weight: Floats) -> Floats:
    """Give a layer's weight as that of a 1 x 1 convolution: (results, features, 1, 1)."""
    return np.ascontiguousarray(weight.T[:, :, None, None])
