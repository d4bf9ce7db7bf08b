"""Write small ONNX models in the layouts that other trainers export; random weights, real shapes."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 3, 1, 1)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32).reshape(1, 3, 1, 1)
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
COCO = tuple(f"thing {number}" for number in range(80))

Dims = Sequence[int | str]


class Foreign:
    """Collect the nodes of a model under construction."""

    def __init__(self, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: object) -> str:
        """Append a node with one result."""
        name = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def constant(self, value: NDArray[np.generic]) -> str:
        """Append a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def conv(self, source: str, channels: int, taken: int, stride: int, gain: float = 1.0) -> str:
        """Append a convolution over patches, random weights."""
        weight = self.random.normal(0, gain / stride, (channels, taken, stride, stride)).astype(np.float32)
        bias = self.random.normal(0, gain / 4, channels).astype(np.float32)
        return self.add("Conv", [source, self.constant(weight), self.constant(bias)], strides=[stride, stride])

    def shape(self, source: str, shape: tuple[int, ...], output: str = "") -> str:
        """Append a reshape."""
        return self.add("Reshape", [source, self.constant(np.array(shape, np.int64))], output)

    def model(
        self,
        inputs: Mapping[str, tuple[int, Dims]],
        outputs: Mapping[str, tuple[int, Dims]],
        metadata: Mapping[str, str] | None = None,
        opset: int = 17,
        producer: str = "pytorch",
    ) -> onnx.ModelProto:
        """Give the model."""
        graph = helper.make_graph(
            self.nodes,
            "main_graph",
            [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in inputs.items()],
            [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in outputs.items()],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", opset)], producer_name=producer, producer_version="2.13.0"
        )
        model.ir_version = 8
        helper.set_model_props(model, dict(metadata or {}))
        return model


def anomalib(*, inside: bool = True, dynamic: bool = False, normalise: bool = True) -> onnx.ModelProto:
    """Give an export with a map and scores; inside: with labels and masks, as from version 2 on."""
    net = Foreign()
    image = "input"
    if normalise:
        image = net.add("Div", [net.add("Sub", [image, net.constant(IMAGENET_MEAN)]), net.constant(IMAGENET_STD)])
    features = net.add("Relu", [net.conv(image, 8, 3, 8)])
    mixed = net.add("ReduceMean", [features], axes=[1], keepdims=1)
    raw = net.add("Resize", [mixed, "", net.constant(np.array([1, 1, 8, 8], np.float32))], mode="linear")
    name = "anomaly_map" if inside else "output"
    calm = net.add("Mul", [raw, net.constant(np.array(0.5, np.float32))])
    net.add("Sigmoid" if inside else "Identity", [calm], name)
    side: int | str = "height" if dynamic else 256
    outputs: dict[str, tuple[int, Dims]] = {name: (FLOAT, ["batch_size", 1, side, side])}
    if inside:
        net.add("ReduceMax", [name], "pred_score", axes=[1, 2, 3], keepdims=0)
        half = net.constant(np.array(0.5, np.float32))
        net.add("Greater", ["pred_score", half], "pred_label")
        net.add("Greater", [name, half], "pred_mask")
        outputs |= {
            "pred_score": (FLOAT, ["batch_size"]),
            "pred_label": (BOOL, ["batch_size"]),
            "pred_mask": (BOOL, ["batch_size", 1, side, side]),
        }
    return net.model({"input": (FLOAT, ["batch_size", 3, side, side])}, outputs, opset=14)


def ultralytics(
    classes: Sequence[str] = COCO,
    side: int = 640,
    coefficients: int = 0,
    *,
    metadata: bool = True,
    dynamic: bool = False,
) -> onnx.ModelProto:
    """Give a detector (1, 4 + classes, N), with 32 coefficients and prototypes a segmenter."""
    net = Foreign()
    width = len(classes) + coefficients
    levels = [_level(net, side, stride, width, len(classes)) for stride in (8, 16, 32)]
    net.add("Concat", levels, "output0", axis=2)
    boxes = sum((side // stride) ** 2 for stride in (8, 16, 32))
    outputs: dict[str, tuple[int, Dims]] = {"output0": (FLOAT, [1, 4 + width, boxes])}
    if coefficients:
        net.add("Identity", [net.conv("images", coefficients, 3, 4)], "output1")
        outputs["output1"] = (FLOAT, [1, coefficients, side // 4, side // 4])
    task = "segment" if coefficients else "detect"
    dims: Dims = ["batch", 3, "height", "width"] if dynamic else [1, 3, side, side]
    return net.model({"images": (FLOAT, dims)}, outputs, yolo_metadata(task, classes, side) if metadata else {})


def _level(net: Foreign, side: int, stride: int, width: int, classes: int) -> str:
    """Give (1, 4 + width, cells) of one stride: boxes about their cells in pixels, probabilities, coefficients."""
    cells = side // stride
    raw = net.shape(net.conv("images", 4 + width, 3, stride), (1, 4 + width, cells * cells))
    parts = [_cut(net, raw, 0, 2), _cut(net, raw, 2, 4), _cut(net, raw, 4, 4 + classes)]
    place = (np.arange(cells, dtype=np.float32) + 0.5) * stride
    grid = np.stack(np.meshgrid(place, place)).reshape(1, 2, -1)
    centre = net.add("Add", [net.add("Tanh", [parts[0]]), net.constant(grid)])
    size = net.add("Mul", [net.add("Sigmoid", [parts[1]]), net.constant(np.array(4.0 * stride, np.float32))])
    kept = [centre, size, net.add("Sigmoid", [parts[2]])]
    kept += [_cut(net, raw, 4 + classes, 4 + width)] if width > classes else []
    return net.add("Concat", kept, axis=1)


def _cut(net: Foreign, source: str, first: int, end: int, axis: int = 1) -> str:
    return net.add("Slice", [source, *(net.constant(np.array([value], np.int64)) for value in (first, end, axis))])


def yolo_metadata(task: str, classes: Sequence[str], side: int, **more: str) -> dict[str, str]:
    """Give what such exports say of themselves."""
    return {
        "description": "a model",
        "author": "Ultralytics",
        "license": "AGPL-3.0 License (https://ultralytics.com/license)",
        "stride": "32",
        "task": task,
        "batch": "1",
        "imgsz": str([side, side]),
        "names": str(dict(enumerate(classes))),
        **more,
    }


def end_to_end(classes: Sequence[str], side: int = 320, boxes: int = 300) -> onnx.ModelProto:
    """Give a detector that sorts by score itself: (1, boxes, 6)."""
    net = Foreign()
    level = net.add("Transpose", [_level(net, side, 8, len(classes), len(classes))], perm=[0, 2, 1])
    corners, best = _cut(net, level, 0, 4, 2), _cut(net, level, 4, 4 + len(classes), 2)
    score = net.add("ReduceMax", [best], axes=[2], keepdims=1)
    label = net.add("Cast", [net.add("ArgMax", [best], axis=2, keepdims=1)], to=FLOAT)
    rows = net.add("Concat", [corners, score, label], axis=2)
    flat = net.shape(score, (1, (side // 8) ** 2))
    net.nodes.append(
        helper.make_node("TopK", [flat, net.constant(np.array([boxes], np.int64))], ["top", "places"], axis=1)
    )
    chosen = net.shape("places", (boxes,))
    net.add("Gather", [rows, chosen], "output0", axis=1)
    return net.model(
        {"images": (FLOAT, [1, 3, side, side])},
        {"output0": (FLOAT, [1, boxes, 6])},
        yolo_metadata("detect", classes, side, end2end="True"),
    )


def ultralytics_classifier(classes: Sequence[str], side: int = 224) -> onnx.ModelProto:
    """Give a classifier with probabilities."""
    net = Foreign()
    net.add("Softmax", [_pooled(net, "images", len(classes))], "output0", axis=-1)
    metadata = yolo_metadata("classify", classes, side)
    return net.model({"images": (FLOAT, [1, 3, side, side])}, {"output0": (FLOAT, [1, len(classes)])}, metadata)


def classifier(
    classes: int, side: int = 96, *, softmax: bool = False, opset: int = 17, axes: str = "NCHW", kind: int = FLOAT
) -> onnx.ModelProto:
    """Give a plain classifier with logits or probabilities."""
    net = Foreign()
    image = "image" if axes == "NCHW" else net.add("Transpose", ["image"], perm=[0, 3, 1, 2])
    image = image if kind == FLOAT else net.add("Cast", [image], to=FLOAT)
    if kind != FLOAT:
        image = net.add("Mul", [image, net.constant(np.array(1 / 255, np.float32))])
    logits = _pooled(net, image, classes)
    net.add("Softmax" if softmax else "Identity", [logits], "logits", **({"axis": -1} if softmax else {}))
    dims = ["batch", 3, side, side] if axes == "NCHW" else ["batch", side, side, 3]
    return net.model({"image": (kind, dims)}, {"logits": (FLOAT, ["batch", classes])}, opset=opset)


def _pooled(net: Foreign, image: str, classes: int) -> str:
    features = net.add("Relu", [net.conv(image, 16, 3, 8)])
    mean = net.add("GlobalAveragePool", [features])
    weight = net.constant(net.random.normal(0, 1.5, (16, classes)).astype(np.float32))
    return net.add("MatMul", [net.add("Flatten", [mean]), weight])


def detr_rows(classes: int, side: int = 320, queries: int = 300) -> onnx.ModelProto:
    """Give (1, queries, 4 + classes): centre and size as shares of the image, probabilities."""
    net = Foreign()
    net.add("Sigmoid", [_queries(net, "images", (side // 16) ** 2, queries, 4 + classes)], "output0")
    return net.model({"images": (FLOAT, [1, 3, side, side])}, {"output0": (FLOAT, [1, queries, 4 + classes])})


def detr_pair(classes: int, rows: int = 320, columns: int = 320, queries: int = 100) -> onnx.ModelProto:
    """Give logits and boxes of queries."""
    net = Foreign()
    raw = _queries(net, "pixel_values", (rows // 16) * (columns // 16), queries, 4 + classes)
    net.add("Sigmoid", [_cut(net, raw, 0, 4, 2)], "pred_boxes")
    net.add("Identity", [_cut(net, raw, 4, 4 + classes, 2)], "logits")
    return net.model(
        {"pixel_values": (FLOAT, ["batch_size", 3, "height", "width"])},
        {"logits": (FLOAT, ["batch_size", queries, classes]), "pred_boxes": (FLOAT, ["batch_size", queries, 4])},
    )


def d_fine(classes: int, side: int = 320, queries: int = 300) -> onnx.ModelProto:
    """Give labels, boxes and scores, scaled to a second input."""
    net = Foreign()
    raw = net.add("Sigmoid", [_queries(net, "images", (side // 16) ** 2, queries, 4 + classes)])
    best = _cut(net, raw, 4, 4 + classes, 2)
    score = net.add("ReduceMax", [best], axes=[2], keepdims=0)
    net.nodes.append(
        helper.make_node("TopK", [score, net.constant(np.array([queries], np.int64))], ["scores", "places"], axis=1)
    )
    chosen = net.shape("places", (queries,))
    net.add("Gather", [net.add("ArgMax", [best], axis=2, keepdims=0), chosen], "labels", axis=1)
    share = net.add("Gather", [_cut(net, raw, 0, 4, 2), chosen], axis=1)
    half = net.add("Mul", [_cut(net, share, 2, 4, 2), net.constant(np.array(0.5, np.float32))])
    corners = net.add(
        "Concat", [net.add(operator, [_cut(net, share, 0, 2, 2), half]) for operator in ("Sub", "Add")], axis=2
    )
    sizes = net.add("Cast", ["orig_target_sizes"], to=FLOAT)
    scale = net.shape(net.add("Concat", [sizes, sizes], axis=1), (1, 1, 4))
    net.add("Mul", [corners, scale], "boxes")
    return net.model(
        {"images": (FLOAT, ["N", 3, side, side]), "orig_target_sizes": (INT64, ["N", 2])},
        {"labels": (INT64, ["N", queries]), "boxes": (FLOAT, ["N", queries, 4]), "scores": (FLOAT, ["N", queries])},
        opset=16,
    )


def _queries(net: Foreign, image: str, cells: int, queries: int, width: int) -> str:
    """Give (1, queries, width) logits, of the first cells of the image."""
    flat = net.shape(net.conv(image, width, 3, 16), (1, width, cells))
    return net.add("Transpose", [_cut(net, flat, 0, queries, 2)], perm=[0, 2, 1])


def torchvision(classes: int, side: int = 128, *, opset: int = 17) -> onnx.ModelProto:
    """Give a segmentation with logits at the size of the image, and the training's second output."""
    net = Foreign()
    for name, gain in (("out", 1.0), ("aux", 0.5)):
        low = net.conv("input", classes, 3, 8, gain)
        net.add(
            "Resize",
            [low, net.constant(np.zeros(0, np.float32)), net.constant(np.array([1, 1, 8, 8], np.float32))],
            name,
            mode="linear",
        )
    dims: Dims = ["batch", classes, side, side]
    return net.model(
        {"input": (FLOAT, ["batch", 3, side, side])}, {"out": (FLOAT, dims), "aux": (FLOAT, dims)}, opset=opset
    )
