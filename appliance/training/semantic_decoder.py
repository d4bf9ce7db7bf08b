"""Write the trained semantic decoder as nodes: three taps, lateral layers and a way down to stride 4, softmax.

Lin et al., "Feature Pyramid Networks for Object Detection" (2017), at small widths: 0.28 GFLOP at 512 x 512.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import Graph, add_backbone
from appliance.training.detection_graph import convolve, enlarge

FINE, NEAR, COARSE = "s4", "s8", "s16"
TAPS_USED = (FINE, NEAR, COARSE)
WIDTHS = (48, 32, 16)
"""Channels of the decoder at strides 16, 8 and 4."""
CELL_PX = 4


class Layer(Struct, frozen=True):
    """Hold a convolution."""

    weight: NDArray[np.float32]
    """(results, channels, rows, cols)"""
    bias: NDArray[np.float32]
    """(results,)"""


class DecoderWeights(Struct, frozen=True):
    """Hold the layers; the lateral ones, `_in`, read the taps as they are."""

    coarse_in: Layer
    coarse_mix: Layer
    near_in: Layer
    near_mix: Layer
    near_out: Layer
    fine_in: Layer
    fine_mix: Layer
    out: Layer


def decoder_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], weights: DecoderWeights, batch: int = 1
) -> bytes:
    """Give the model whose output `probabilities` is (batch, classes, rows / 4, cols / 4) float32."""
    graph = Graph()
    outputs = add_decoder(graph, add_backbone(graph, state, size, TAPS_USED, batch), weights)
    return graph.model(size, outputs, batch)


def add_decoder(
    graph: Graph, taps: Mapping[str, str], weights: DecoderWeights, prefix: str = ""
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them. Gives the output `<prefix>probabilities`."""
    batch, _, rows, cols = graph.shapes[taps[FINE]]
    logits = add_decoder_layers(graph, taps, weights, prefix, result=f"{prefix}logits")
    graph.add("Softmax", [logits], f"{prefix}probabilities", axis=1)
    return {f"{prefix}probabilities": (batch, len(weights.out.bias), rows, cols)}


def add_decoder_layers(graph: Graph, taps: Mapping[str, str], weights: DecoderWeights, prefix: str, result: str) -> str:
    """Append the decoder's layers and give the tensor of its results, named `result`."""

    def conv(source: str, name: str, output: str = "") -> str:
        layer: Layer = getattr(weights, name)
        padding = layer.weight.shape[2] // 2
        return convolve(graph, source, output or f"{prefix}{name}", layer.weight, layer.bias, padding)

    def raised(source: str) -> str:
        return graph.add("Relu", [source], f"{source}.raised")

    def joined(lateral: str, below: str, name: str) -> str:
        wide = enlarge(graph, below, f"{prefix}{name}_wide")
        return raised(graph.add("Add", [lateral, wide], f"{prefix}{name}_sum"))

    coarse = raised(conv(raised(conv(taps[COARSE], "coarse_in")), "coarse_mix"))
    near = raised(conv(joined(conv(taps[NEAR], "near_in"), coarse, "near"), "near_mix"))
    fine = joined(conv(taps[FINE], "fine_in"), conv(near, "near_out"), "fine")
    return conv(raised(conv(fine, "fine_mix")), "out", result)
