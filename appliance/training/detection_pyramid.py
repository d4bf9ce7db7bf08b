"""Write the multi-scale detection head as nodes: class scores and boxes at every cell of strides 8, 16 and 32.

The layers come from training/torch_detection.py, batch norms folded in. Outputs are dense and ordered by place, as
those of training/detection_graph.py and for its reasons.
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import Graph, add_backbone
from appliance.training.detection_graph import LARGEST_LOG_CELLS, SIDES, enlarge

TAPS_USED = ("s4", "s8", "s16")
STRIDES = (8, 16, 32)
STEM_KERNEL, STEM_STRIDE = 8, 4


class PyramidPlan(Struct, frozen=True):
    """Choose the size of the head; the defaults are those measured in training/README.md."""

    width: int = 48
    """Channels of the levels and of the tower."""
    fine: int = 16
    """Channels at stride 4."""
    tower: int = 2
    """3 x 3 layers that all levels share."""
    stem: bool = True
    """Read the image itself too, at stride 4, beside the frozen taps."""


class Layer(Struct, frozen=True):
    """Hold one convolution."""

    weight: NDArray[np.float32]
    """(results, inputs, rows, cols)"""
    bias: NDArray[np.float32]
    """(results,)"""
    stride: int = 1


Layers = dict[str, Layer]


def pyramid_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], layers: Mapping[str, Layer], batch: int = 1
) -> bytes:
    """Give the model file with the outputs of `add_pyramid`; size: (rows, cols), multiples of 16."""
    graph = Graph()
    taps = add_backbone(graph, state, size, TAPS_USED, batch)
    return graph.model(size, add_pyramid(graph, taps, layers, size), batch)


def cells_of(size: tuple[int, int]) -> int:
    """Give how many boxes the head gives for an input image of (rows, cols)."""
    return sum(rows * cols for rows, cols in _levels(size))


def add_pyramid(
    graph: Graph, taps: Mapping[str, str], layers: Mapping[str, Layer], size: tuple[int, int], prefix: str = ""
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them; size: (rows, cols) of the input image.

    Gives `<prefix>boxes` (batch, cells, 4) float32, x1 y1 x2 y2 in input pixels, and `<prefix>scores` (batch, cells,
    classes) float32 in [0, 1]; the cells of each stride after those of the one before, row by row.
    """
    batch, classes = graph.shapes[taps["s8"]][0], len(layers["out"].bias) - SIDES
    steps = sum(name.startswith("tower") for name in layers) // len(STRIDES)
    out = layers["out"]
    parts: dict[str, list[str]] = {"logits": [], "log_cells": []}
    for stride, level in zip(STRIDES, _add_levels(graph, taps, layers, prefix), strict=True):
        current = level
        for step in range(steps):
            current = _raised(
                graph, prefix, f"tower{step}_{stride}", [_add(graph, prefix, current, layers, f"tower{step}_{stride}")]
            )
        for name, rows in (("logits", slice(0, classes)), ("log_cells", slice(classes, None))):
            layer = Layer(out.weight[rows], out.bias[rows])
            planes = _add(graph, prefix, current, {f"{name}_{stride}": layer}, f"{name}_{stride}")
            flat = graph.constant(f"{prefix}{name}_{stride}_shape", np.array([0, len(layer.bias), -1], np.int64))
            parts[name].append(graph.add("Reshape", [planes, flat], f"{prefix}{name}_{stride}_flat"))
    logits, logs = (
        graph.add(
            "Transpose",
            [graph.add("Concat", some, f"{prefix}{name}_joined", axis=2)],
            f"{prefix}{name}",
            perm=[0, 2, 1],
        )
        for name, some in parts.items()
    )
    graph.add("Sigmoid", [logits], f"{prefix}scores")
    _add_boxes(graph, logs, size, prefix)
    cells = cells_of(size)
    return {f"{prefix}boxes": (batch, cells, SIDES), f"{prefix}scores": (batch, cells, classes)}


def level_centres(cells: tuple[int, int], stride: int) -> NDArray[np.float32]:
    """Give (cells, 2) float32: x and y of the centre of each cell in input pixels, row by row."""
    row, col = np.mgrid[: cells[0], : cells[1]]
    return ((np.stack([col, row], axis=-1).reshape(-1, 2) + 0.5) * stride).astype(np.float32)


def _levels(size: tuple[int, int]) -> list[tuple[int, int]]:
    return [(-(-size[0] // stride), -(-size[1] // stride)) for stride in STRIDES]


def _add_levels(graph: Graph, taps: Mapping[str, str], layers: Mapping[str, Layer], prefix: str) -> list[str]:
    """Append the fusion of the taps and give the tensor of each level."""
    fine, near, wide = (taps[tap] for tap in TAPS_USED)

    def convolved(source: str, name: str) -> str:
        return _add(graph, prefix, source, layers, name)

    start = [convolved(fine, "fine_tap")]
    if "fine_stem" in layers:
        start.append(convolved("image_planes", "fine_stem"))
    detail = _raised(graph, prefix, "fine", start)
    detail = _raised(graph, prefix, "fine_more", [convolved(detail, "fine_more")])
    # A 1 x 1 convolution and a linear enlargement may change places: done small, it costs a quarter.
    enlarged = enlarge(graph, convolved(wide, "near_wide"), f"{prefix}near_wide_large")
    first = _raised(graph, prefix, "near", [convolved(near, "near_tap"), enlarged, convolved(detail, "near_fine")])
    second = _raised(graph, prefix, "middle", [convolved(wide, "middle_tap"), convolved(first, "middle_near")])
    return [first, second, _raised(graph, prefix, "far", [convolved(second, "far_middle")])]


def _add(graph: Graph, prefix: str, source: str, layers: Mapping[str, Layer], name: str) -> str:
    layer, full = layers[name], f"{prefix}{name}"
    inputs = [source, graph.constant(f"{full}.weight", layer.weight), graph.constant(f"{full}.bias", layer.bias)]
    kernel = layer.weight.shape[2]
    how = {"kernel_shape": [kernel] * 2, "strides": [layer.stride] * 2, "pads": [padding(kernel, layer.stride)] * 4}
    return graph.add("Conv", inputs, full, **how)


def padding(kernel: int, stride: int) -> int:
    """Give the zeros on each side that a layer adds: the stem, read in patches, fewer than the 3 x 3 layers."""
    return (kernel - stride) // 2 if kernel == STEM_KERNEL else kernel // 2


def _raised(graph: Graph, prefix: str, name: str, summands: list[str]) -> str:
    """Append sum and rectifier."""
    total = summands[0]
    for place, summand in enumerate(summands[1:]):
        total = graph.add("Add", [total, summand], f"{prefix}{name}_sum{place}")
    return graph.add("Relu", [total], f"{prefix}{name}_raised")


def _add_boxes(graph: Graph, logs: str, size: tuple[int, int], prefix: str) -> None:
    low = graph.constant(f"{prefix}log_low", np.array(-LARGEST_LOG_CELLS, np.float32))
    high = graph.constant(f"{prefix}log_high", np.array(LARGEST_LOG_CELLS, np.float32))
    distance = graph.add("Exp", [graph.add("Clip", [logs, low, high], f"{prefix}log_held")], f"{prefix}distances")
    places = [level_centres(cells, stride) for cells, stride in zip(_levels(size), STRIDES, strict=True)]
    signs = np.array([-1, -1, 1, 1], np.float32)
    reaches = [np.tile(signs * stride, (len(one), 1)) for one, stride in zip(places, STRIDES, strict=True)]
    outward = graph.constant(f"{prefix}outward", np.concatenate(reaches)[None].astype(np.float32))
    centre = graph.constant(f"{prefix}cell_centres", np.tile(np.concatenate(places), 2)[None])
    graph.add("Add", [graph.add("Mul", [distance, outward], f"{prefix}reach"), centre], f"{prefix}boxes")
