"""Write the classification head: means over the image of features and of a bent layer, one linear layer, softmax."""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import TAPS, Graph, add_backbone
from appliance.training.linear import Floats, Linear

# Means of s16 and s32 say what the image holds; small marks vanish in a mean unless each cell is bent before it.
BENT = "s8"
TAPS_USED = (BENT, "s16", "s32")


class ClassificationWeights(Struct, frozen=True):
    """Hold what is fitted and what is drawn."""

    hidden: Linear
    """(40, width) layer on each cell of s8, its negative results set to 0."""
    last: Linear
    """(width + 112 + 320, classes) layer on the means of hidden, s16 and s32."""


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
    joined = _add_means(graph, taps, weights.hidden, prefix)
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


def means_model(state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], hidden: Linear) -> bytes:
    """Give the model whose output `means` is (1, width + 112 + 320) float32, what the last layer reads."""
    graph = Graph()
    joined = _add_means(graph, add_backbone(graph, state, size, TAPS_USED), hidden, "")
    graph.add("Identity", [joined], "means")
    width = len(hidden.bias) + sum(TAPS[tap][1] for tap in TAPS_USED if tap != BENT)
    return graph.model(size, {"means": (1, width)})


def _add_means(graph: Graph, taps: Mapping[str, str], hidden: Linear, prefix: str) -> str:
    layer = [
        graph.constant(f"{prefix}hidden.weight", pointwise(hidden.weight)),
        graph.constant(f"{prefix}hidden.bias", hidden.bias),
    ]
    bent = graph.add("Relu", [graph.add("Conv", [taps[BENT], *layer], f"{prefix}hidden")], f"{prefix}bent")
    flat = []
    for tap in TAPS_USED:
        mean = graph.add("GlobalAveragePool", [bent if tap == BENT else taps[tap]], f"{prefix}{tap}_mean")
        flat.append(graph.add("Flatten", [mean], f"{prefix}{tap}_flat"))
    return graph.add("Concat", flat, f"{prefix}joined", axis=1)


def pointwise(weight: Floats) -> Floats:
    """Give a layer's weight as that of a 1 x 1 convolution: (results, features, 1, 1)."""
    return np.ascontiguousarray(weight.T[:, :, None, None])
