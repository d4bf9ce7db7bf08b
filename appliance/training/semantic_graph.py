"""Write the semantic head: a linear layer on each of two taps, summed at stride 8, softmax over the classes.

The coarse layer's few class channels are enlarged instead of its many features: a linear layer and bilinear
interpolation change places without a change of result.

Probabilities leave the graph and the likeliest class is found outside: at 64 x 64 cells that takes 0.07 ms in numpy,
ArgMax, Cast and ReduceMax inside 0.3 ms in OpenVINO bf16 (0 to 0.7 in f32), where ArgMax becomes TopK. Stride 4 costs
0.4 ms more, enlarging to all 512 x 512 pixels 6 ms in OpenVINO and 28 in ONNX Runtime, and tells nothing new. cpu ms,
one thread, AMD EPYC (Zen 4), 2026-11-21; the whole model 12.5 to 15.8 in bf16, 12.1 at best.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import TAPS, Graph, add_backbone
from appliance.training.classification_graph import pointwise
from appliance.training.linear import Linear

FINE, COARSE = "s8", "s16_early"
TAPS_USED = (FINE, COARSE)
CHANNELS = sum(TAPS[tap][1] for tap in TAPS_USED)
CELL_PX = 8


class SemanticWeights(Struct, frozen=True):
    """Hold the fitted layer."""

    layer: Linear
    """(40 + 80, classes): features of s8, then those of the enlarged s16_early."""


def semantic_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], weights: SemanticWeights, batch: int = 1
) -> bytes:
    """Give the model whose output `probabilities` is (batch, classes, rows / 8, cols / 8) float32."""
    graph = Graph()
    outputs = add_semantic_head(graph, add_backbone(graph, state, size, TAPS_USED, batch), weights)
    return graph.model(size, outputs, batch)


def feature_model(state: Mapping[str, NDArray[np.generic]], size: tuple[int, int]) -> bytes:
    """Give the model whose outputs are the two taps, (1, channels, rows / s, cols / s) float32."""
    graph = Graph()
    taps = add_backbone(graph, state, size, TAPS_USED)
    for tap, name in taps.items():
        graph.add("Identity", [name], tap)
    return graph.model(size, {tap: graph.shapes[name] for tap, name in taps.items()})


def add_semantic_head(
    graph: Graph, taps: Mapping[str, str], weights: SemanticWeights, prefix: str = ""
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them. Gives the output `<prefix>probabilities`."""
    batch, fine_channels, rows, cols = graph.shapes[taps[FINE]]
    weight, bias = pointwise(weights.layer.weight), weights.layer.bias
    fine = [
        graph.constant(f"{prefix}fine.weight", weight[:, :fine_channels]),
        graph.constant(f"{prefix}fine.bias", bias),
    ]
    coarse = [graph.constant(f"{prefix}coarse.weight", weight[:, fine_channels:])]
    near = graph.add("Conv", [taps[FINE], *fine], f"{prefix}fine")
    wide = graph.add(
        "Resize",
        [
            graph.add("Conv", [taps[COARSE], *coarse], f"{prefix}coarse"),
            "",  # the region, unused
            graph.constant(f"{prefix}factor", np.array([1, 1, 2, 2], np.float32)),
        ],
        f"{prefix}coarse_wide",
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    logits = graph.add("Add", [near, wide], f"{prefix}logits")
    graph.add("Softmax", [logits], f"{prefix}probabilities", axis=1)
    return {f"{prefix}probabilities": (batch, len(bias), rows, cols)}
