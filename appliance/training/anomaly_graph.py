"""Write the anomaly model as one graph: backbone, patch features, distance to the nearest good patch.

Method: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore, 2022), with a small frozen
backbone. The nearest-neighbour search is part of the graph, so each runtime and precision gives one answer.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import TAPS, Graph, add_backbone

TAPS_USED = ("s8", "s16")
CHANNELS = sum(TAPS[tap][1] for tap in TAPS_USED)
CELL_PX = 8


class Memory(Struct, frozen=True):
    """Hold what good patches look like."""

    mean: NDArray[np.float32]
    """(channels,) mean of each feature over good patches."""
    scale: NDArray[np.float32]
    """(channels,) factor that makes the standard deviation 1."""
    patches: NDArray[np.float32]
    """(patches, channels) standardised features of the chosen good patches."""


def feature_model(state: Mapping[str, NDArray[np.generic]], size: tuple[int, int]) -> bytes:
    """Give the model whose output `features` is (1, channels, rows / 8, cols / 8) float32, not standardised."""
    graph = Graph()
    _add_features(graph, state, size, "features")
    return graph.model(size, {"features": (1, CHANNELS, size[0] // CELL_PX, size[1] // CELL_PX)})


def anomaly_model(state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], memory: Memory) -> bytes:
    """Give the model whose output `map` is (1, rows / 8, cols / 8) float32: distance to the nearest good patch."""
    graph = Graph()
    features = _add_features(graph, state, size, "features")
    rows, cols = size[0] // CELL_PX, size[1] // CELL_PX
    mean = graph.constant("feature_mean", memory.mean.reshape(1, -1, 1, 1))
    scale = graph.constant("feature_scale", memory.scale.reshape(1, -1, 1, 1))
    centred = graph.add("Sub", [features, mean], "features_centred")
    standard = graph.add("Mul", [centred, scale], "features_standard")
    _add_distance(graph, standard, memory.patches, (rows, cols))
    return graph.model(size, {"map": (1, rows, cols)})


def _add_features(graph: Graph, state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], output: str) -> str:
    taps = add_backbone(graph, state, size, TAPS_USED)
    pooled = [
        graph.add(
            "AveragePool", [taps[tap]], f"{tap}_pooled", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=0
        )
        for tap in TAPS_USED
    ]
    factor = graph.constant("upsample", np.array([1, 1, 2, 2], np.float32))
    nothing = ""  # the region input of Resize, unused
    wide = graph.add(
        "Resize", [pooled[1], nothing, factor], "s16_wide", mode="linear", coordinate_transformation_mode="half_pixel"
    )
    return graph.add("Concat", [pooled[0], wide], output, axis=1)


def _add_distance(graph: Graph, features: str, patches: NDArray[np.float32], cells: tuple[int, int]) -> None:
    """|x - b|^2 = |x|^2 - 2 b.x + |b|^2, its minimum over b found before |x|^2 is added.

    One row per cell and one column per patch: 2.4 ms in bf16, the transposed form and a 1 x 1 convolution take 3.6.
    """
    channels = patches.shape[1]
    shape = graph.constant("plane", np.array([channels, cells[0] * cells[1]], np.int64))
    cell = graph.add("Transpose", [graph.add("Reshape", [features, shape], "planes")], "cells", perm=[1, 0])
    bank = graph.constant("bank", np.ascontiguousarray(-2 * patches.T))
    square = graph.constant("bank_square", (patches.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)[None])
    partial = graph.add("Add", [graph.add("MatMul", [cell, bank], "products"), square], "partial")
    nearest = graph.add("ReduceMin", [partial], "nearest", axes=[1], keepdims=0)
    axis = graph.constant("channel_axis", np.array([1], np.int64))
    own = graph.add("ReduceSum", [graph.add("Mul", [cell, cell], "cells_squared"), axis], "own", keepdims=0)
    squared = graph.add("Relu", [graph.add("Add", [nearest, own], "signed")], "squared")
    distance = graph.add("Sqrt", [squared], "distance")
    graph.add("Reshape", [distance, graph.constant("shape", np.array([1, *cells], np.int64))], "map")
