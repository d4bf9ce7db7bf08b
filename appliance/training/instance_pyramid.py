"""Write the trained instance head as nodes: boxes of the multi-scale detector, masks from the semantic decoder.

Method: Bolya et al., "YOLACT: Real-time Instance Segmentation" (2019). Prototype k is how much likelier class k is than
the background at each cell of stride 4, and a box's coefficients are the shares of the classes among its scores, as in
`instance_graph.py`.
"""

from collections.abc import Mapping

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.training import detection_pyramid, semantic_decoder
from appliance.training.backbone import Graph, add_backbone
from appliance.training.detection_pyramid import add_pyramid
from appliance.training.instance_graph import add_coefficients
from appliance.training.semantic_decoder import CELL_PX, DecoderWeights, Layer, add_decoder_layers

TAPS_USED = tuple(dict.fromkeys((*detection_pyramid.TAPS_USED, *semantic_decoder.TAPS_USED)))


def instance_pyramid_model(
    state: Mapping[str, NDArray[np.generic]],
    size: tuple[int, int],
    layers: Mapping[str, detection_pyramid.Layer],
    decoder: DecoderWeights,
    batch: int = 1,
) -> bytes:
    """Give the model file with the outputs of `add_instance_pyramid`; size: (rows, cols), multiples of 16."""
    graph = Graph()
    taps = add_backbone(graph, state, size, TAPS_USED, batch)
    return graph.model(size, add_instance_pyramid(graph, taps, layers, decoder, size), batch)


def add_instance_pyramid(
    graph: Graph,
    taps: Mapping[str, str],
    layers: Mapping[str, detection_pyramid.Layer],
    decoder: DecoderWeights,
    size: tuple[int, int],
    prefix: str = "",
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them; size: (rows, cols) of the input image.

    decoder: its first class is the background, the others are those of the boxes. Gives the outputs of `add_pyramid`,
    `<prefix>coefficients` (batch, boxes, classes) float32 in [0, 1] and `<prefix>prototypes` (batch, classes, rows / 4,
    cols / 4) float32: a mask is where their sum is positive.
    """
    outputs = add_pyramid(graph, taps, layers, size, prefix)
    add_coefficients(graph, prefix)
    against = against_background(decoder)
    add_decoder_layers(graph, taps, against, f"{prefix}mask_", result=f"{prefix}prototypes")
    batch, boxes, classes = outputs[f"{prefix}scores"]
    return outputs | {
        f"{prefix}coefficients": (batch, boxes, classes),
        f"{prefix}prototypes": (batch, classes, size[0] // CELL_PX, size[1] // CELL_PX),
    }


def against_background(decoder: DecoderWeights) -> DecoderWeights:
    """Give the decoder whose results are the logits of each class but the first less the first one's."""
    weight, bias = decoder.out.weight, decoder.out.bias
    return replace(decoder, out=Layer(weight[1:] - weight[:1], bias[1:] - bias[:1]))
