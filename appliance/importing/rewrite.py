"""Rewrite a foreign graph: uint8 RGB image in, canonical outputs out, every shape fixed."""

import math

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from appliance.importing.decoding import Decoding, Results
from appliance.importing.feed import LUMA, Feed
from appliance.importing.graph_outputs import Nodes, append_outputs
from appliance.importing.opening import Opened
from appliance.importing.source import DAMAGE, Source, line
from appliance.schema.errors import ConfigError

IR_VERSION = 8
"""Oldest that the runtimes are tested with (training/backbone.py)."""
PREFIX = "foreign/"
IMAGE = "image"
LARGEST_TENSOR_VALUES = 1 << 31
"""The largest honest tensor, one activation of a 2048 x 2048 image, is a quarter of it."""


def check_sizes(source: Source, opened: Opened) -> None:
    """Refuse a model with a tensor that no machine can hold, before anything runs it; ConfigError names it."""
    try:
        model = onnx.shape_inference.infer_shapes(_fixed(source, opened), data_prop=True)
    except DAMAGE as cause:
        raise ConfigError(
            f"import {source.name}: its shapes do not fit together: {line(cause)}; export it again"
        ) from cause
    for value in (*model.graph.value_info, *model.graph.output):
        values = math.prod(max(axis.dim_value, 1) for axis in value.type.tensor_type.shape.dim)
        if values > LARGEST_TENSOR_VALUES:
            raise ConfigError(
                f"import {source.name}: tensor {line(value.name)} has {values} values, limit {LARGEST_TENSOR_VALUES}; "
                "export the model for a smaller image"
            )


def rewrite(source: Source, feed: Feed, how: Decoding, expected: Results) -> bytes:
    """Give the bundle's model file; expected: canonical outputs of one image, for their shapes and types.

    ConfigError when the graph cannot be rewritten.
    """
    try:
        model = compose.add_prefix(_fixed(source, feed.opened), PREFIX)
        graph = model.graph
        before, behind = Nodes("image"), Nodes("outputs")
        _append_input(before, feed)
        append_outputs(behind, how, {role: PREFIX + name for role, name in how.outputs.items()})
        foreign = list(graph.node)
        del graph.node[:], graph.input[:], graph.output[:], graph.value_info[:]
        graph.node.extend([*before.nodes, *foreign, *behind.nodes])
        graph.initializer.extend([*before.constants, *behind.constants])
        rows, columns = feed.opened.size
        graph.input.append(helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [1, rows, columns, 3]))
        graph.output.extend(_output(name, array) for name, array in expected.items())
        _prune(graph)
        graph.doc_string = ""
        model.ir_version = max(model.ir_version, IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
    except DAMAGE as cause:
        raise ConfigError(f"import {source.name}: cannot be rewritten: {line(cause)}; export it again") from cause


def _fixed(source: Source, opened: Opened) -> onnx.ModelProto:
    """Give the model with the image's shape stated and its other inputs made constants."""
    model = onnx.load_model_from_string(source.content)
    graph = model.graph
    kept = [value for value in graph.input if value.name == opened.image]
    kind = kept[0].type.tensor_type.elem_type
    del graph.input[:], graph.value_info[:]
    graph.input.append(helper.make_tensor_value_info(opened.image, kind, list(opened.shape)))
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in opened.constants.items())
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def _append_input(nodes: Nodes, feed: Feed) -> None:
    """Append image -> the model's own input: cast, colour, scale, order of axes."""
    opened, target = feed.opened, PREFIX + feed.opened.image
    floats = opened.kind == "float32"
    current = nodes.add("Cast", [IMAGE], to=TensorProto.FLOAT) if floats or feed.colour == "GREY" else IMAGE
    if feed.colour == "BGR":
        current = nodes.add("Gather", [current, nodes.constant(np.array([2, 1, 0], np.int64))], axis=3)
    elif feed.colour == "GREY":
        current = nodes.add("MatMul", [current, nodes.constant(np.array(LUMA, np.float32)[:, None])])
    if floats:
        current = nodes.add("Mul", [current, nodes.constant(_per_channel(feed.gain))])
        current = nodes.add("Add", [current, nodes.constant(_per_channel(feed.offset))])
    elif feed.colour == "GREY":
        # Rounded as numpy's `rint` rounds: half to even.
        current = nodes.add("Cast", [nodes.add("Round", [current])], to=TensorProto.UINT8)
    if opened.axes == "NCHW":
        nodes.add("Transpose", [current], target, perm=[0, 3, 1, 2])
    else:
        nodes.add("Identity", [current], target)


def _per_channel(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(1, 1, 1, -1)


def _output(name: str, array: NDArray[np.generic]) -> onnx.ValueInfoProto:
    kind = TensorProto.UINT8 if array.dtype == np.uint8 else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, list(array.shape))


def _prune(graph: onnx.GraphProto) -> None:
    """Leave out nodes and constants that no output needs."""
    wanted = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(list(graph.node)):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input) | _captured(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    constants = [item for item in graph.initializer if item.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _captured(node: onnx.NodeProto) -> set[str]:
    """Give what graphs inside a node read; names of their own do no harm."""
    read: set[str] = set()
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            read |= {output.name for output in graph.output}
            for inner in graph.node:
                read |= set(inner.input) | _captured(inner)
    return read
