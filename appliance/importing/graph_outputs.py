"""Append to a graph what turns a model's outputs into canonical ones; operators mean the same from opset 11 on."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.importing.decoding import Decoding
from appliance.importing.mapping import PROTOTYPES, Layout


@dataclass
class Nodes:
    """Collect nodes and constants; names are given in order, begun with `label`."""

    label: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    count: int = 0

    def add(self, operator: str, inputs: list[str], output: str = "", **attributes: object) -> str:
        """Append a node with one result and give the result's name."""
        name = output or self._name(operator)
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value: NDArray[np.generic]) -> str:
        """Append a constant and give its name."""
        name = self._name("constant")
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def cut(self, source: str, first: int, end: int, axis: int) -> str:
        """Append a slice along one axis."""
        bounds = [self.constant(np.array([value], np.int64)) for value in (first, end, axis)]
        return self.add("Slice", [source, *bounds])

    def shaped(self, source: str, shape: tuple[int, ...], output: str = "") -> str:
        """Append a reshape, which also states the shape to runtimes that could not work it out."""
        return self.add("Reshape", [source, self.constant(np.array(shape, np.int64))], output)

    def _name(self, what: str) -> str:
        self.count += 1
        return f"{self.label}/{what}_{self.count}"


def append_outputs(nodes: Nodes, how: Decoding, names: dict[str, str]) -> None:
    """Append everything behind the model's own outputs; names: role -> tensor."""
    roles = {role: nodes.add("Cast", [name], to=TensorProto.FLOAT) for role, name in names.items()}
    if how.layout is Layout.MAP:
        nodes.shaped(roles["map"], (1, *how.shapes["map"][-2:]), "map")
    elif how.layout is Layout.VECTOR:
        _vector(nodes, how, roles["scores"])
    elif how.layout is Layout.PLANES:
        _planes(nodes, how, roles["scores"])
    else:
        _boxes(nodes, how, roles)


def _vector(nodes: Nodes, how: Decoding, scores: str) -> None:
    width = int(np.prod(how.shapes["scores"]))
    active = _active(nodes, how, nodes.shaped(scores, (1, width)))
    nodes.shaped(_two(nodes, how, active, width), (1, how.classes), "probabilities")


def _planes(nodes: Nodes, how: Decoding, scores: str) -> None:
    # Classes last: Softmax over the last axis means the same in every opset.
    _, width, rows, cols = how.shapes["scores"]
    last = nodes.add("Transpose", [nodes.shaped(scores, (1, width, rows, cols))], perm=[0, 2, 3, 1])
    active = _two(nodes, how, _active(nodes, how, last), width)
    # One node gives both: the class that is strongest and how strong it is.
    top, place = f"{active}.top", f"{active}.place"
    one = nodes.constant(np.array([1], np.int64))
    nodes.nodes.append(helper.make_node("TopK", [active, one], [top, place], name=top, axis=-1))
    nodes.shaped(nodes.add("Cast", [place], to=TensorProto.UINT8), (1, rows, cols), "classes")
    nodes.shaped(top, (1, rows, cols), "confidence")


def _boxes(nodes: Nodes, how: Decoding, roles: dict[str, str]) -> None:
    rows = roles.get("rows", "")
    if rows:
        rows = nodes.shaped(rows, how.shapes["rows"])
        rows = nodes.add("Transpose", [rows], perm=[0, 2, 1]) if how.layout is Layout.COLUMNS else rows
        count, width = how.shapes["rows"][1:]
        count, width = (width, count) if how.layout is Layout.COLUMNS else (count, width)
    else:
        count, width = how.shapes["boxes"][1], 0
    boxes = _corners(nodes, how, nodes.cut(rows, 0, 4, 2) if rows else nodes.shaped(roles["boxes"], (1, count, 4)))
    nodes.shaped(boxes, (1, count, 4), "boxes")
    nodes.shaped(_scores(nodes, how, roles, rows, count), (1, count, how.classes), "scores")
    if how.coefficients:
        coefficients = nodes.cut(rows, width - how.coefficients, width, 2)
        nodes.shaped(coefficients, (1, count, how.coefficients), "coefficients")
        nodes.shaped(roles[PROTOTYPES], how.shapes[PROTOTYPES], PROTOTYPES)


def _corners(nodes: Nodes, how: Decoding, boxes: str) -> str:
    """Give x1 y1 x2 y2 in pixels of the input image."""
    if how.box_format == "cxcywh":
        centre = nodes.cut(boxes, 0, 2, 2)
        half = nodes.add("Mul", [nodes.cut(boxes, 2, 4, 2), nodes.constant(np.array(0.5, np.float32))])
        corners = [nodes.add(operator, [centre, half]) for operator in ("Sub", "Add")]
        boxes = nodes.add("Concat", corners, axis=2)
    if how.box_scale == (1.0, 1.0):
        return boxes
    return nodes.add("Mul", [boxes, nodes.constant(np.array([*how.box_scale, *how.box_scale], np.float32))])


def _scores(nodes: Nodes, how: Decoding, roles: dict[str, str], rows: str, count: int) -> str:
    if how.layout is Layout.SORTED:
        return _spread(nodes, how, nodes.cut(rows, 5, 6, 2), _active(nodes, how, nodes.cut(rows, 4, 5, 2)))
    if how.layout is Layout.LABELLED:
        scores = _active(nodes, how, nodes.shaped(roles["scores"], (1, count, 1)))
        return _spread(nodes, how, nodes.shaped(roles["labels"], (1, count, 1)), scores)
    if how.layout is Layout.QUERIES:
        active = _active(nodes, how, nodes.shaped(roles["scores"], how.shapes["scores"]))
        return nodes.cut(active, 0, how.classes, 2)
    first = 5 if how.objectness else 4
    scores = _active(nodes, how, nodes.cut(rows, first, first + how.classes, 2))
    if how.objectness:
        scores = nodes.add("Mul", [scores, _active(nodes, how, nodes.cut(rows, 4, 5, 2))])
    return scores


def _spread(nodes: Nodes, how: Decoding, labels: str, scores: str) -> str:
    """Give one score per class, 0 but for the box's own."""
    numbers = nodes.constant(np.arange(how.classes, dtype=np.float32).reshape(1, 1, -1))
    # A class beyond the taxonomy must not vanish: it counts as the last one.
    known = nodes.add("Min", [labels, nodes.constant(np.array(how.classes - 1, np.float32))])
    same = nodes.add("Cast", [nodes.add("Equal", [known, numbers])], to=TensorProto.FLOAT)
    return nodes.add("Mul", [same, scores])


def _active(nodes: Nodes, how: Decoding, scores: str) -> str:
    if how.scores == "sigmoid":
        return nodes.add("Sigmoid", [scores])
    return nodes.add("Softmax", [scores], axis=-1) if how.scores == "softmax" else scores


def _two(nodes: Nodes, how: Decoding, active: str, width: int) -> str:
    if width == how.classes:
        return active
    other = nodes.add("Sub", [nodes.constant(np.array(1, np.float32)), active])
    return nodes.add("Concat", [other, active], axis=-1)
