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


def feature_model(state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], batch: int = 1) -> bytes:
    """Give the model whose output `features` is (batch, channels, rows / 8, cols / 8) float32, not standardised."""
    graph = Graph()
    taps = add_backbone(graph, state, size, TAPS_USED, batch)
    _add_features(graph, taps, "", "features")
    return graph.model(size, {"features": (batch, CHANNELS, size[0] // CELL_PX, size[1] // CELL_PX)}, batch)


def anomaly_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], memory: Memory, batch: int = 1
) -> bytes:
    """Give the model whose output `map` is (batch, rows / 8, cols / 8) float32: distance to the nearest good patch."""
    graph = Graph()
    outputs = add_anomaly_head(graph, add_backbone(graph, state, size, TAPS_USED, batch), memory)
    return graph.model(size, outputs, batch)


def add_anomaly_head(
    graph: Graph, taps: Mapping[str, str], memory: Memory, prefix: str = ""
) -> dict[str, tuple[int, ...]]:
    """Append the search for the nearest good patch; taps: of `add_backbone`, `TAPS_USED` among them.

    Gives the output `<prefix>map`, (batch, rows / 8, cols / 8) float32 distances.
    """
    batch, _, rows, cols = graph.shapes[taps["s8"]]
    features = _add_features(graph, taps, prefix, f"{prefix}features")
    mean = graph.constant(f"{prefix}feature_mean", memory.mean.reshape(1, -1, 1, 1))
    scale = graph.constant(f"{prefix}feature_scale", memory.scale.reshape(1, -1, 1, 1))
    centred = graph.add("Sub", [features, mean], f"{prefix}features_centred")
    standard = graph.add("Mul", [centred, scale], f"{prefix}features_standard")
    _add_distance(graph, standard, memory.patches, (batch, rows, cols), prefix)
    return {f"{prefix}map": (batch, rows, cols)}


def _add_features(graph: Graph, taps: Mapping[str, str], prefix: str, output: str) -> str:
    pooled = [
        graph.add(
            "AveragePool",
            [taps[tap]],
            f"{prefix}{tap}_pooled",
            kernel_shape=[3, 3],
            pads=[1, 1, 1, 1],
            count_include_pad=0,
        )
        for tap in TAPS_USED
    ]
    factor = graph.constant(f"{prefix}upsample", np.array([1, 1, 2, 2], np.float32))
    nothing = ""  # the region input of Resize, unused
    wide = graph.add(
        "Resize",
        [pooled[1], nothing, factor],
        f"{prefix}s16_wide",
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    return graph.add("Concat", [pooled[0], wide], output, axis=1)


def _add_distance(
    graph: Graph, features: str, patches: NDArray[np.float32], cells: tuple[int, int, int], prefix: str
) -> None:
    """|x - b|^2 = |x|^2 - 2 b.x + |b|^2, its minimum over b found before |x|^2 is added.

    One row per cell and one column per patch: 2.4 ms in bf16, the transposed form and a 1 x 1 convolution take 3.6.
    """
    count = cells[0] * cells[1] * cells[2]
    shape = graph.constant(f"{prefix}flat", np.array([count, patches.shape[1]], np.int64))
    last = graph.add("Transpose", [features], f"{prefix}channels_last", perm=[0, 2, 3, 1])
    cell = graph.add("Reshape", [last, shape], f"{prefix}cells")
    bank = graph.constant(f"{prefix}bank", np.ascontiguousarray(-2 * patches.T))
    squares = (patches.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)
    square = graph.constant(f"{prefix}bank_square", squares[None])
    products = graph.add("MatMul", [cell, bank], f"{prefix}products")
    partial = graph.add("Add", [products, square], f"{prefix}partial")
    nearest = graph.add("ReduceMin", [partial], f"{prefix}nearest", axes=[1], keepdims=0)
    axis = graph.constant(f"{prefix}channel_axis", np.array([1], np.int64))
    power = graph.add("Mul", [cell, cell], f"{prefix}cells_squared")
    own = graph.add("ReduceSum", [power, axis], f"{prefix}own", keepdims=0)
    signed = graph.add("Add", [nearest, own], f"{prefix}signed")
    # Not Relu: OpenVINO's turns nan into 0, the best score there is. What is negative here is rounding round 0.
    distance = graph.add("Sqrt", [graph.add("Abs", [signed], f"{prefix}squared")], f"{prefix}distance")
    graph.add("Reshape", [distance, graph.constant(f"{prefix}shape", np.array(cells, np.int64))], f"{prefix}map")
