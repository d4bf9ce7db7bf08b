"""Make small models that are typical of what the appliance runs, and some that nothing can run."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from appliance.training.backbone import IR_VERSION, OPSET

F32, U8 = TensorProto.FLOAT, TensorProto.UINT8


def small(batch: int = 1) -> bytes:
    """Give a model with the operators of the shipped ones: (batch, 16, 16, 3) uint8 to `map` (batch, 16, 16)."""
    random = np.random.default_rng(1)
    constants = {
        "mean": np.full((1, 1, 1, 1), 127, np.float32),
        "scale": np.full((1, 1, 1, 1), 1 / 128, np.float32),
        "kernel": random.normal(0, 0.3, (4, 3, 3, 3)).astype(np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(6, np.float32),
        "wide": np.array([1, 1, 2, 2], np.float32),
        "depthwise": random.normal(0, 0.3, (4, 1, 3, 3)).astype(np.float32),
        "planes_shape": np.array([batch, 8, 256], np.int64),
        "bank": random.normal(0, 1, (8, 16)).astype(np.float32),
        "map_shape": np.array([batch, 16, 16], np.int64),
    }
    nodes = [
        *_image(),
        helper.make_node("Conv", ["scaled", "kernel"], ["stem"], kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Clip", ["stem", "low", "high"], ["active"]),
        helper.make_node("AveragePool", ["active"], ["pooled"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node(
            "Resize", ["pooled", "", "wide"], ["up"], mode="linear", coordinate_transformation_mode="half_pixel"
        ),
        helper.make_node("Conv", ["up", "depthwise"], ["spread"], group=4, kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Concat", ["up", "spread"], ["both"], axis=1),
        helper.make_node("Reshape", ["both", "planes_shape"], ["planes"]),
        helper.make_node("Transpose", ["planes"], ["cells"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["cells", "bank"], ["products"]),
        helper.make_node("ReduceMin", ["products"], ["nearest"], axes=[2], keepdims=0),
        helper.make_node("Reshape", ["nearest", "map_shape"], ["map"]),
    ]
    return model(nodes, constants, {"map": (F32, (batch, 16, 16))}, {"image": (U8, (batch, 16, 16, 3))})


def typed(batch: int = 2) -> bytes:
    """Give a model with an output of every type: the class of each pixel, in several types, and its value."""
    kinds = {"as_uint8": U8, "as_int32": TensorProto.INT32, "as_bool": TensorProto.BOOL}
    nodes = [
        *_image(),
        helper.make_node("ArgMax", ["scaled"], ["as_int64"], axis=1, keepdims=0),
        helper.make_node("ReduceMax", ["scaled"], ["value"], axes=[1], keepdims=0),
        *(helper.make_node("Cast", ["as_int64"], [name], to=kind) for name, kind in kinds.items()),
    ]
    constants = {"mean": np.full((1, 1, 1, 1), 127, np.float32), "scale": np.full((1, 1, 1, 1), 0.01, np.float32)}
    outputs = {name: (kind, (batch, 16, 16)) for name, kind in kinds.items()}
    outputs |= {"as_int64": (TensorProto.INT64, (batch, 16, 16)), "value": (F32, (batch, 16, 16))}
    return model(nodes, constants, outputs, {"image": (U8, (batch, 16, 16, 3))})


def quantised() -> bytes:
    """Give a model whose convolution is 8-bit: QuantizeLinear and DequantizeLinear at its input, weights and output."""
    kernel = np.random.default_rng(2).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    constants = {
        "mean": np.full((1, 1, 1, 1), 127, np.float32),
        "scale": np.full((1, 1, 1, 1), 1 / 128, np.float32),
        "step": np.array(1 / 127, np.float32),
        "zero": np.array(0, np.int8),
        "kernel": kernel,
        "kernel_step": np.full(4, 0.003, np.float32),
        "kernel_zero": np.zeros(4, np.int8),
        "wide_step": np.array(0.04, np.float32),
    }
    nodes = [
        *_image(),
        helper.make_node("QuantizeLinear", ["scaled", "step", "zero"], ["q_image"]),
        helper.make_node("DequantizeLinear", ["q_image", "step", "zero"], ["d_image"]),
        helper.make_node("DequantizeLinear", ["kernel", "kernel_step", "kernel_zero"], ["d_kernel"], axis=0),
        helper.make_node("Conv", ["d_image", "d_kernel"], ["convolved"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("QuantizeLinear", ["convolved", "wide_step", "zero"], ["q_convolved"]),
        helper.make_node("DequantizeLinear", ["q_convolved", "wide_step", "zero"], ["d_convolved"]),
        helper.make_node("ReduceMax", ["d_convolved"], ["map"], axes=[1], keepdims=0),
    ]
    return model(nodes, constants, {"map": (F32, (1, 16, 16))}, {"image": (U8, (1, 16, 16, 3))})


def model(nodes, constants, outputs, inputs) -> bytes:
    """Give a model file; inputs and outputs are (type, shape) by name. It is not checked."""
    stored = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()]
    ends = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "small", *ends, stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    proto.ir_version = IR_VERSION
    return proto.SerializeToString(deterministic=True)


def changed(content: bytes, change) -> bytes:
    """Give a model after `change` was applied to its protobuf."""
    proto = onnx.load_from_string(content)
    change(proto)
    return proto.SerializeToString()


def _image():
    return [
        helper.make_node("Cast", ["image"], ["floats"], to=F32),
        helper.make_node("Transpose", ["floats"], ["planar"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planar", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
    ]


def _one(operator: str, kind: int, shape, **attributes) -> bytes:
    nodes = [helper.make_node(operator, ["image"], ["map"], **attributes)]
    return model(nodes, {}, {"map": (kind, shape)}, {"image": (kind, shape)})


def refused() -> dict[str, bytes]:
    """Give models that the real parser or builder refuses, by what is wrong with them."""
    shape = (1, 3, 8, 8)
    mixed = model(
        [helper.make_node("Add", ["image", "half"], ["map"])],
        {"half": np.ones(shape, np.float16)},
        {"map": (F32, shape)},
        {"image": (F32, shape)},
    )
    return {
        "unknown operator": _one("Unheard", F32, shape),
        "mixed types": mixed,
        "strings": _one("Identity", TensorProto.STRING, (1, 3)),
        "garbage": bytes(range(256)) * 4,
        "empty": b"",
        "dynamic": _one("Relu", F32, ("n", 3, 8, 8)),
    }
