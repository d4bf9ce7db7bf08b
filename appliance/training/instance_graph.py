"""Write the instance head as nodes: the detection head, and masks as a sum of prototypes.

Method: Bolya et al., "YOLACT: Real-time Instance Segmentation" (2019). Here prototype k is the mask logit of class k at
stride 4, and a box's coefficients are the shares of the classes among its scores: no more weights, few planes, and what
tells touching objects apart is their class and their box.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import TAPS, Graph, add_backbone
from appliance.training.detection_cells import MASK_PX
from appliance.training.detection_graph import DetectionWeights, add_detection_head, convolve, enlarge

TAPS_USED = ("s4", "s8", "s16")
FINE_CHANNELS = TAPS["s4"][1]
# Boxes in which no class scores have coefficients near 0 instead of the quotient of two roundings.
NO_SCORE = 0.01


class MaskWeights(Struct, frozen=True):
    """Hold the two layers behind the prototypes; they read the taps as they are."""

    fine: NDArray[np.float32]
    """(hidden, 24, 3, 3), on the tap of stride 4."""
    near: NDArray[np.float32]
    """(hidden, 40, 1, 1), on the tap of stride 8, enlarged afterwards."""
    wide: NDArray[np.float32]
    """(hidden, 112, 1, 1), on the tap of stride 16, enlarged twice."""
    hidden_bias: NDArray[np.float32]
    """(hidden,)"""
    out: NDArray[np.float32]
    """(classes, hidden): mask logit of each class."""
    out_bias: NDArray[np.float32]
    """(classes,)"""


def instance_model(
    state: Mapping[str, NDArray[np.generic]],
    size: tuple[int, int],
    weights: DetectionWeights,
    masks: MaskWeights,
    batch: int = 1,
) -> bytes:
    """Give the model file with the outputs of `add_instance_head`; size: (rows, cols), multiples of 16."""
    graph = Graph()
    taps = add_backbone(graph, state, size, TAPS_USED, batch)
    return graph.model(size, add_instance_head(graph, taps, weights, masks, size), batch)


def add_instance_head(
    graph: Graph,
    taps: Mapping[str, str],
    weights: DetectionWeights,
    masks: MaskWeights,
    size: tuple[int, int],
    prefix: str = "",
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them; size: (rows, cols) of the input image.

    Gives the outputs of `add_detection_head`, `<prefix>coefficients` (batch, cells, classes) float32 in [0, 1] and
    `<prefix>prototypes` (batch, classes, rows / 4, cols / 4) float32: a mask is where their sum is positive.
    """
    outputs = add_detection_head(graph, taps, weights, size, prefix)
    add_coefficients(graph, prefix)
    _add_prototypes(graph, taps, masks, prefix)
    batch, cells, classes = outputs[f"{prefix}scores"]
    return outputs | {
        f"{prefix}coefficients": (batch, cells, classes),
        f"{prefix}prototypes": (batch, classes, size[0] // MASK_PX, size[1] // MASK_PX),
    }


def add_coefficients(graph: Graph, prefix: str) -> None:
    """Append `<prefix>coefficients`, the shares of the classes among `<prefix>scores` of each box."""
    axis = graph.constant(f"{prefix}class_axis", np.array([2], np.int64))
    nothing = graph.constant(f"{prefix}no_score", np.array(NO_SCORE, np.float32))
    total = graph.add("ReduceSum", [f"{prefix}scores", axis], f"{prefix}score_sum", keepdims=1)
    held = graph.add("Add", [total, nothing], f"{prefix}score_sum_held")
    graph.add("Div", [f"{prefix}scores", held], f"{prefix}coefficients")


def _add_prototypes(graph: Graph, taps: Mapping[str, str], masks: MaskWeights, prefix: str) -> None:
    none = np.zeros_like(masks.hidden_bias)
    fine = convolve(graph, taps["s4"], f"{prefix}mask_fine", masks.fine, masks.hidden_bias, padding=1)
    near = convolve(graph, taps["s8"], f"{prefix}mask_near", masks.near, none)
    wide = enlarge(graph, convolve(graph, taps["s16"], f"{prefix}mask_wide", masks.wide, none), f"{prefix}mask_wide_2")
    coarse = enlarge(graph, graph.add("Add", [near, wide], f"{prefix}mask_coarse"), f"{prefix}mask_coarse_2")
    hidden = graph.add("Relu", [graph.add("Add", [fine, coarse], f"{prefix}mask_sum")], f"{prefix}mask_hidden")
    convolve(graph, hidden, f"{prefix}prototypes", masks.out[:, :, None, None], masks.out_bias)
