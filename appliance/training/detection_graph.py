"""Write the detection head as nodes: class scores and boxes at every cell of stride 8, without anchors.

Method: Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (2019), one level. Peak finding stays
outside the graph: thresholds are settings of the bundle, dense outputs compare by value across runtimes and precisions,
where sorted lists do not, and a TopK of 100 inside gains nothing (within noise; the kernel needs 0.012 ms).
"""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.training.backbone import TAPS, Graph, add_backbone

TAPS_USED = ("s8", "s16")
NEAR_CHANNELS, WIDE_CHANNELS = (TAPS[tap][1] for tap in TAPS_USED)
CELL_PX = 8
SIDES = 4
# exp(6) cells are 3,200 px, more than any input; float32 and bfloat16 hold it well.
LARGEST_LOG_CELLS = 6.0


class DetectionWeights(Struct, frozen=True):
    """Hold the two layers of a head; they read the taps as they are."""

    near: NDArray[np.float32]
    """(hidden, 40, 3, 3), on the tap of stride 8."""
    wide: NDArray[np.float32]
    """(hidden, 112, 1, 1), on the tap of stride 16, enlarged to stride 8 afterwards."""
    hidden_bias: NDArray[np.float32]
    """(hidden,)"""
    out: NDArray[np.float32]
    """(classes + 4, hidden): logits of the classes, then the logarithms of the distances to left, top, right, bottom
    in cells."""
    out_bias: NDArray[np.float32]
    """(classes + 4,)"""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.out_bias) - SIDES


def detection_model(
    state: Mapping[str, NDArray[np.generic]], size: tuple[int, int], weights: DetectionWeights, batch: int = 1
) -> bytes:
    """Give the model file with the outputs of `add_detection_head`; size: (rows, cols), multiples of 16."""
    graph = Graph()
    taps = add_backbone(graph, state, size, TAPS_USED, batch)
    return graph.model(size, add_detection_head(graph, taps, weights, size), batch)


def add_detection_head(
    graph: Graph, taps: Mapping[str, str], weights: DetectionWeights, size: tuple[int, int], prefix: str = ""
) -> dict[str, tuple[int, ...]]:
    """Append the head; taps: of `add_backbone`, `TAPS_USED` among them; size: (rows, cols) of the input image.

    Gives `<prefix>boxes` (batch, cells, 4) float32, x1 y1 x2 y2 in input pixels, and `<prefix>scores` (batch, cells,
    classes) float32 in [0, 1]; cells row by row.
    """
    batch, rows, cols = graph.shapes[taps["s8"]][0], size[0] // CELL_PX, size[1] // CELL_PX
    hidden = add_hidden(graph, taps, weights, prefix)
    classes, cells = weights.classes, rows * cols
    logits = _listed(graph, hidden, f"{prefix}logits", weights.out[:classes], weights.out_bias[:classes])
    graph.add("Sigmoid", [logits], f"{prefix}scores")
    logs = _listed(graph, hidden, f"{prefix}log_cells", weights.out[classes:], weights.out_bias[classes:])
    _add_boxes(graph, logs, (rows, cols), prefix)
    return {f"{prefix}boxes": (batch, cells, SIDES), f"{prefix}scores": (batch, cells, classes)}


def add_hidden(graph: Graph, taps: Mapping[str, str], weights: DetectionWeights, prefix: str) -> str:
    """Append the first layer and give its tensor, (batch, hidden, rows / 8, cols / 8), not negative."""
    near = convolve(graph, taps["s8"], f"{prefix}near", weights.near, weights.hidden_bias, padding=1)
    # A 1 x 1 convolution and a linear enlargement may change places: done small, it costs a quarter.
    small = convolve(graph, taps["s16"], f"{prefix}wide", weights.wide, np.zeros_like(weights.hidden_bias))
    wide = enlarge(graph, small, f"{prefix}wide_near")
    return graph.add("Relu", [graph.add("Add", [near, wide], f"{prefix}hidden_sum")], f"{prefix}hidden")


def enlarge(graph: Graph, source: str, output: str) -> str:
    """Append a linear enlargement to twice the rows and columns."""
    factor = graph.constant(f"{output}_factor", np.array([1, 1, 2, 2], np.float32))
    nothing = ""  # the region input of Resize, unused
    how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    return graph.add("Resize", [source, nothing, factor], output, **how)


def _add_boxes(graph: Graph, logs: str, cells: tuple[int, int], prefix: str) -> None:
    low = graph.constant(f"{prefix}log_low", np.array(-LARGEST_LOG_CELLS, np.float32))
    high = graph.constant(f"{prefix}log_high", np.array(LARGEST_LOG_CELLS, np.float32))
    distance = graph.add("Exp", [graph.add("Clip", [logs, low, high], f"{prefix}log_held")], f"{prefix}distances")
    outward = graph.constant(f"{prefix}outward", np.array([-CELL_PX, -CELL_PX, CELL_PX, CELL_PX], np.float32))
    centre = graph.constant(f"{prefix}cell_centres", np.tile(centres(cells), 2)[None])
    reach = graph.add("Mul", [distance, outward], f"{prefix}reach")
    graph.add("Add", [reach, centre], f"{prefix}boxes")


def centres(cells: tuple[int, int]) -> NDArray[np.float32]:
    """Give (cells, 2) float32: x and y of the centre of each cell in input pixels, row by row."""
    row, col = np.mgrid[: cells[0], : cells[1]]
    return ((np.stack([col, row], axis=-1).reshape(-1, 2) + 0.5) * CELL_PX).astype(np.float32)


def _listed(graph: Graph, hidden: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
    """Append a layer on each cell and give its tensor, (batch, cells, results)."""
    planes = convolve(graph, hidden, f"{name}_planes", weight[:, :, None, None], bias)
    shape = graph.constant(f"{name}_shape", np.array([0, len(bias), -1], np.int64))
    return graph.add("Transpose", [graph.add("Reshape", [planes, shape], f"{name}_flat")], name, perm=[0, 2, 1])


def convolve(
    graph: Graph, source: str, name: str, weight: NDArray[np.float32], bias: NDArray[np.float32], padding: int = 0
) -> str:
    """Append a convolution with stride 1 and give its tensor."""
    inputs = [source, graph.constant(f"{name}.weight", weight), graph.constant(f"{name}.bias", bias)]
    shape = list(weight.shape[2:])
    return graph.add("Conv", inputs, name, kernel_shape=shape, pads=[padding] * 4)
