"""Write the anomaly model as one graph: backbone, patch features, distance to the nearest good patch.

Method: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore, 2022), with a small frozen
backbone. The nearest-neighbour search is part of the graph, so each runtime and precision gives one answer.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import Graph, add_backbone, tap_channels, variant_of
from appliance.training.linear import Linear

TAPS_USED = ("s8", "s16")
CHANNELS = 152
"""Of the plain plan on EfficientNet-Lite0."""
CELL_PX = 8
# A black image is not brightened to noise: gains end here.
DARKEST_MEAN = 10.0


class PatchPlan(Struct, frozen=True):
    """Say what describes a patch, a cell of 8 x 8 pixels of the input image."""

    taps: tuple[str, ...] = TAPS_USED
    """Feature maps read: of `s4` the mean and the largest value in a cell, of `s16` what lies between its cells."""
    pooled: bool = True
    """Feature maps of strides 8 and 16 are averaged over 3 x 3 cells first."""
    exposure: float | None = None
    """Mean grey level that each image is scaled to, inside the graph; None: images are taken as they are."""
    position_weight: float = 0.0
    """Standard deviations that one cell of displacement counts for: patches are then compared with those that good
    parts show near the same place; 0: with those of any place."""


PLAIN = PatchPlan()


class Memory(Struct, frozen=True):
    """Hold what good patches look like."""

    mean: NDArray[np.float32]
    """(channels,) mean of each feature over good patches."""
    scale: NDArray[np.float32]
    """(channels,) factor that makes the standard deviation 1."""
    patches: NDArray[np.float32]
    """(patches, channels) standardised features of the chosen good patches; where positions count, row and column
    follow as two more channels."""


class Gaussian(Struct, frozen=True):
    """Hold one normal distribution of good patches; a distance is Mahalanobis'.

    Method: Defard et al., "PaDiM" (2021), with one covariance for all places.
    """

    mean: NDArray[np.float32]
    """(channels,), or (channels, rows, cols) where each place has a mean of its own."""
    whitening: NDArray[np.float32]
    """(channels, channels): the squared length of (patch - mean) @ whitening is the squared distance."""


class Marker(Struct, frozen=True):
    """Hold a small network that was shown defects, and how its answer and the distance make one map.

    map = distance / `distance_scale` + (answer - `centre`) / `answer_scale`.
    """

    first: Linear
    """Reads raw features."""
    second: Linear
    centre: float
    answer_scale: float
    distance_scale: float


Good = Memory | Gaussian


def channels_of(state: Mapping[str, NDArray[np.generic]], plan: PatchPlan) -> int:
    """Give the number of features of a patch, positions not counted."""
    return sum(tap_channels(tap, variant_of(state)) * (2 if tap == "s4" else 1) for tap in plan.taps)


def feature_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], batch: int = 1, plan: PatchPlan = PLAIN
) -> bytes:
    """Give the model whose output `features` is (batch, channels, rows / 8, cols / 8) float32, not standardised."""
    graph = Graph()
    taps = _add_taps(graph, state, size, batch, plan)
    _add_features(graph, taps, "", "features", plan)
    shape = (batch, channels_of(state, plan), size[0] // CELL_PX, size[1] // CELL_PX)
    return graph.model(size, {"features": shape}, batch)


def anomaly_model(
    state: Mapping[str, NDArray[np.generic]],
    size: tuple[int, int],
    good: Good,
    batch: int = 1,
    plan: PatchPlan = PLAIN,
    marker: Marker | None = None,
) -> bytes:
    """Give the model whose output `map` is (batch, rows / 8, cols / 8) float32: distance from good patches.

    marker: adds what a network says that was shown defects; None: the distance alone.
    """
    graph = Graph()
    outputs = add_anomaly_head(graph, _add_taps(graph, state, size, batch, plan), good, plan=plan, marker=marker)
    return graph.model(size, outputs, batch)


def add_anomaly_head(
    graph: Graph,
    taps: Mapping[str, str],
    good: Good,
    prefix: str = "",
    plan: PatchPlan = PLAIN,
    marker: Marker | None = None,
) -> dict[str, tuple[int, ...]]:
    """Append the distance from good patches; taps: of `add_backbone`, those of the plan among them.

    Gives the output `<prefix>map`, (batch, rows / 8, cols / 8) float32. The exposure of the plan is not applied here.
    """
    shape = _cells(graph, taps, plan)
    features = _add_features(graph, taps, prefix, f"{prefix}features", plan)
    own = f"{prefix}distance_map" if marker else f"{prefix}map"
    if isinstance(good, Memory):
        standard = _standardised(graph, features, good, shape, prefix, plan)
        _add_distance(graph, standard, good.patches, shape, prefix, own)
    else:
        _add_mahalanobis(graph, features, good, shape, prefix, own)
    if marker:
        _add_marker(graph, features, marker, shape, prefix, own)
    return {f"{prefix}map": shape}


def _add_taps(
    graph: Graph, state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], batch: int, plan: PatchPlan
) -> dict[str, str]:
    taps = add_backbone(graph, state, size, plan.taps, batch)
    if plan.exposure is not None:
        _level_exposure(graph, plan.exposure)
    return taps


def _level_exposure(graph: Graph, level: float) -> None:
    """Scale each image to one mean grey level, between the cast and the normalisation that the backbone begins with."""
    place = next(index for index, node in enumerate(graph.nodes) if node.name == "image_float") + 1
    rest = graph.nodes[place:]
    del graph.nodes[place:]
    mean = graph.add("ReduceMean", ["image_float"], "exposure_mean", axes=[1, 2, 3], keepdims=1)
    darkest = graph.constant("exposure_darkest", np.full((1, 1, 1, 1), DARKEST_MEAN, np.float32))
    held = graph.add("Max", [mean, darkest], "exposure_held")
    wanted = graph.constant("exposure_level", np.full((1, 1, 1, 1), level, np.float32))
    gain = graph.add("Div", [wanted, held], "exposure_gain")
    levelled = graph.add("Mul", ["image_float", gain], "image_levelled")
    for node in rest:
        for index, name in enumerate(node.input):
            if name == "image_float":
                node.input[index] = levelled
    graph.nodes.extend(rest)


def _cells(graph: Graph, taps: Mapping[str, str], plan: PatchPlan) -> tuple[int, int, int]:
    tap = plan.taps[-1]
    batch, _, rows, cols = graph.shapes[taps[tap]]
    stride = int(tap.removeprefix("s").removesuffix("_early"))
    return batch, rows * stride // CELL_PX, cols * stride // CELL_PX


def _add_features(graph: Graph, taps: Mapping[str, str], prefix: str, output: str, plan: PatchPlan) -> str:
    parts: list[str] = []
    for tap in plan.taps:
        if tap == "s4":
            halves = {"kernel_shape": [2, 2], "strides": [2, 2]}
            parts.append(graph.add("AveragePool", [taps[tap]], f"{prefix}s4_mean", **halves))
            parts.append(graph.add("MaxPool", [taps[tap]], f"{prefix}s4_largest", **halves))
            continue
        near = taps[tap]
        if plan.pooled:
            window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 0}
            near = graph.add("AveragePool", [near], f"{prefix}{tap}_pooled", **window)
        parts.append(near if tap == "s8" else _enlarged(graph, near, f"{prefix}{tap}_wide", prefix))
    return graph.add("Concat", parts, output, axis=1)


def _enlarged(graph: Graph, source: str, output: str, prefix: str) -> str:
    factor = graph.constant(f"{prefix}upsample", np.array([1, 1, 2, 2], np.float32))
    nothing = ""  # the region input of Resize, unused
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.add("Resize", [source, nothing, factor], output, **how)


def _standardised(
    graph: Graph, features: str, memory: Memory, shape: tuple[int, int, int], prefix: str, plan: PatchPlan
) -> str:
    mean = graph.constant(f"{prefix}feature_mean", memory.mean.reshape(1, -1, 1, 1))
    scale = graph.constant(f"{prefix}feature_scale", memory.scale.reshape(1, -1, 1, 1))
    centred = graph.add("Sub", [features, mean], f"{prefix}features_centred")
    standard = graph.add("Mul", [centred, scale], f"{prefix}features_standard")
    if not plan.position_weight:
        return standard
    places = positions((shape[1], shape[2]), plan.position_weight).T.reshape(1, 2, shape[1], shape[2])
    fixed = graph.constant(f"{prefix}positions", np.repeat(places, shape[0], axis=0))
    return graph.add("Concat", [standard, fixed], f"{prefix}features_placed", axis=1)


def positions(cells: tuple[int, int], weight: float) -> NDArray[np.float32]:
    """Give (rows * cols, 2) float32: row and column of each cell from the middle, times the weight of a cell.

    From the middle, so that bf16 keeps the digits of small distances.
    """
    rows, cols = (np.arange(count, dtype=np.float32) - (count - 1) / 2 for count in cells)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    return (grid.reshape(-1, 2) * weight).astype(np.float32)


def _flat(graph: Graph, features: str, channels: int, shape: tuple[int, int, int], name: str) -> str:
    """Append one row per cell, (cells, channels)."""
    count = shape[0] * shape[1] * shape[2]
    last = graph.add("Transpose", [features], f"{name}_channels_last", perm=[0, 2, 3, 1])
    return graph.add("Reshape", [last, graph.constant(f"{name}_flat", np.array([count, channels], np.int64))], name)


def _shaped(graph: Graph, cells: str, shape: tuple[int, int, int], output: str) -> str:
    return graph.add("Reshape", [cells, graph.constant(f"{output}_shape", np.array(shape, np.int64))], output)


def _add_distance(
    graph: Graph,
    features: str,
    patches: NDArray[np.float32],
    shape: tuple[int, int, int],
    prefix: str,
    output: str,
) -> None:
    """|x - b|^2 = |x|^2 - 2 b.x + |b|^2, its minimum over b found before |x|^2 is added.

    One row per cell and one column per patch: 2.4 ms in bf16, the transposed form and a 1 x 1 convolution take 3.6.
    """
    cell = _flat(graph, features, patches.shape[1], shape, f"{prefix}cells")
    bank = graph.constant(f"{prefix}bank", np.ascontiguousarray(-2 * patches.T))
    squares = (patches.astype(np.float64) ** 2).sum(axis=1).astype(np.float32)
    square = graph.constant(f"{prefix}bank_square", squares[None])
    products = graph.add("MatMul", [cell, bank], f"{prefix}products")
    partial = graph.add("Add", [products, square], f"{prefix}partial")
    nearest = graph.add("ReduceMin", [partial], f"{prefix}nearest", axes=[1], keepdims=0)
    own = _square_sum(graph, cell, prefix, "own")
    signed = graph.add("Add", [nearest, own], f"{prefix}signed")
    # Not Relu: OpenVINO's turns nan into 0, the best score there is. What is negative here is rounding round 0.
    distance = graph.add("Sqrt", [graph.add("Abs", [signed], f"{prefix}squared")], f"{prefix}distance")
    _shaped(graph, distance, shape, output)


def _add_mahalanobis(
    graph: Graph, features: str, good: Gaussian, shape: tuple[int, int, int], prefix: str, output: str
) -> None:
    mean = good.mean.reshape(1, good.mean.shape[0], *(good.mean.shape[1:] or (1, 1)))
    centred = graph.add("Sub", [features, graph.constant(f"{prefix}good_mean", mean)], f"{prefix}features_centred")
    cell = _flat(graph, centred, len(good.whitening), shape, f"{prefix}cells")
    white = graph.add("MatMul", [cell, graph.constant(f"{prefix}whitening", good.whitening)], f"{prefix}white")
    distance = graph.add("Sqrt", [_square_sum(graph, white, prefix, "squared")], f"{prefix}distance")
    _shaped(graph, distance, shape, output)


def _square_sum(graph: Graph, cells: str, prefix: str, name: str) -> str:
    axis = graph.constant(f"{prefix}channel_axis", np.array([1], np.int64))
    power = graph.add("Mul", [cells, cells], f"{prefix}{name}_power")
    return graph.add("ReduceSum", [power, axis], f"{prefix}{name}", keepdims=0)


def _add_marker(
    graph: Graph, features: str, marker: Marker, shape: tuple[int, int, int], prefix: str, distance: str
) -> None:
    cell = _flat(graph, features, len(marker.first.weight), shape, f"{prefix}marker_cells")
    hidden = _linear(graph, cell, marker.first, f"{prefix}marker_first")
    answer = _linear(graph, graph.add("Relu", [hidden], f"{prefix}marker_hidden"), marker.second, f"{prefix}marker")
    gain = graph.constant(f"{prefix}marker_gain", np.array(1 / marker.answer_scale, np.float32))
    shift = graph.constant(f"{prefix}marker_shift", np.array(-marker.centre / marker.answer_scale, np.float32))
    scaled = graph.add("Mul", [answer, gain], f"{prefix}marker_scaled")
    moved = _shaped(graph, graph.add("Add", [scaled, shift], f"{prefix}marker_moved"), shape, f"{prefix}marker_map")
    share = graph.constant(f"{prefix}distance_gain", np.array(1 / marker.distance_scale, np.float32))
    # The distance carries what is no number into the sum; Relu may have dropped it from the answer.
    graph.add("Add", [graph.add("Mul", [distance, share], f"{prefix}distance_scaled"), moved], f"{prefix}map")


def _linear(graph: Graph, source: str, layer: Linear, name: str) -> str:
    products = graph.add("MatMul", [source, graph.constant(f"{name}_weight", layer.weight)], f"{name}_products")
    return graph.add("Add", [products, graph.constant(f"{name}_bias", layer.bias)], f"{name}_sum")
