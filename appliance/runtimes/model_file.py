"""Read an ONNX file and check it, before a runtime sees a byte of it.

OpenVINO 2026.4.1 dies of a segmentation fault on a damaged file whose convolution has lost an input, and ONNX Runtime
takes tensors of petabytes for granted; `tests/property/test_onnx_fuzz.py` holds both to a fault of one line.
"""

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from msgspec import Struct
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

from appliance.schema.errors import RuntimeFault

QUANTISED = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
    "MatMulInteger",
}  # fmt: skip
OUTPUT_TYPES = ("float32", "uint8", "int32", "int64", "bool")
FLOATING = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)
LARGEST_TENSOR_VALUES = 1 << 29
"""2 GB in f32; the largest honest tensor, 32 channels of a 2048 x 2048 image, is a quarter of it."""
LARGEST_FILE_BYTES = (1 << 31) - 1
"""What protobuf can hold."""
CHECK_ERRORS = (
    DecodeError,
    onnx.checker.ValidationError,
    shape_inference.InferenceError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RuntimeError,
    RecursionError,
    MemoryError,
)


class TensorInfo(Struct, frozen=True):
    """Describe an input or output of a model."""

    name: str
    dtype: str
    """numpy's name."""
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size of the tensor."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class ModelFile(Struct, frozen=True):
    """Hold a checked model file: one uint8 image input, fixed shapes, all data inside."""

    content: bytes
    input: TensorInfo
    """(batch, rows, columns, 3) uint8."""
    outputs: tuple[TensorInfo, ...]
    quantised: bool
    """Whether it holds 8-bit operators, which makes its precision int8."""
    doubles: str
    """Name of a tensor that it computes in 64-bit floating point; empty: none."""

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return hashlib.sha256(self.content).hexdigest()


def read_model(runtime: str, model: Path | bytes) -> ModelFile:
    """Read and check an ONNX file. RuntimeFault in one line, begun with the runtime's name, when it cannot be run."""
    content = _bytes(runtime, model)
    try:
        return _checked(runtime, content)
    except RuntimeFault as fault:  # names in a damaged file may hold anything
        raise RuntimeFault(one_line(fault)) from fault
    except CHECK_ERRORS as cause:
        raise RuntimeFault(f"{runtime}: model is no valid ONNX file: {one_line(cause)}; export it again") from cause


def _checked(runtime: str, content: bytes) -> ModelFile:
    proto = onnx.load_from_string(content)
    onnx.checker.check_model(proto)
    proto = shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    graph = proto.graph
    _check_data(runtime, proto)
    known = {constant.name for constant in graph.initializer}
    inputs = [_tensor(runtime, value) for value in graph.input if value.name not in known]
    if len(inputs) != 1:
        names = ", ".join(item.name for item in inputs) or "none"
        raise RuntimeFault(f"{runtime}: model has {len(inputs)} inputs ({names}), needs one image; export it again")
    image = inputs[0]
    if image.dtype != "uint8" or len(image.shape) != 4 or image.shape[3] != 3:
        raise RuntimeFault(
            f"{runtime}: input {image.name} is {image.dtype} {image.shape}, needs uint8 (batch, rows, columns, 3); "
            "fold the normalisation into the model and export it again"
        )
    outputs = tuple(_tensor(runtime, value) for value in graph.output)
    if not outputs:
        raise RuntimeFault(f"{runtime}: model has no output; export it again")
    for output in outputs:
        if output.dtype not in OUTPUT_TYPES:
            raise RuntimeFault(
                f"{runtime}: output {output.name} is {output.dtype}, needs one of {', '.join(OUTPUT_TYPES)}; add a Cast"
            )
    functions = (node for function in proto.functions for node in function.node)
    operators = {node.op_type for node in _nodes((*graph.node, *functions))}
    return ModelFile(content, image, outputs, quantised=bool(operators & QUANTISED), doubles=_doubles(graph))


def check_precision(runtime: str, model: ModelFile, precision: str) -> None:
    """Raise RuntimeFault unless the file's own precision fits: int8 is a property of the file, not of a runtime."""
    if model.quantised and precision != "int8":
        raise RuntimeFault(f"{runtime}: model holds 8-bit operators, so it runs in int8, not {precision}; ask for int8")
    if precision == "int8" and not model.quantised:
        raise RuntimeFault(
            f"{runtime}: model holds no QuantizeLinear and DequantizeLinear nodes, so it cannot run in int8; "
            "quantise it or ask for another precision"
        )


def one_line(cause: object) -> str:
    """Give what a library said as one line of at most 300 characters."""
    return " ".join(str(cause).split())[:300] or type(cause).__name__


def _bytes(runtime: str, model: Path | bytes) -> bytes:
    if isinstance(model, bytes):
        content = model
    else:
        try:
            content = model.read_bytes()
        except OSError as cause:
            raise RuntimeFault(f"{runtime}: model {model}: {cause.strerror}; install the bundle again") from cause
    if not content or len(content) > LARGEST_FILE_BYTES:
        raise RuntimeFault(f"{runtime}: model has {len(content)} bytes, needs 1 to {LARGEST_FILE_BYTES}; get it again")
    return content


def _tensor(runtime: str, value: onnx.ValueInfoProto) -> TensorInfo:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise RuntimeFault(f"{runtime}: {value.name} is no tensor of a known shape; export the model again")
    dynamic = [axis.dim_param or "?" for axis in kind.shape.dim if axis.dim_value < 1]
    if dynamic:
        raise RuntimeFault(
            f"{runtime}: {value.name} has dynamic axes ({', '.join(dynamic)}); export the model with a fixed shape"
        )
    shape = tuple(axis.dim_value for axis in kind.shape.dim)
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return TensorInfo(value.name, "str" if dtype == "object" else dtype, shape)


def _check_data(runtime: str, proto: onnx.ModelProto) -> None:
    """Refuse data outside of the file, and tensors that no machine can hold."""
    for constant in proto.graph.initializer:
        if constant.data_location == TensorProto.EXTERNAL:
            raise RuntimeFault(f"{runtime}: data of {constant.name} lie outside of the model; save it as one file")
    for constant in _constants(proto.graph):
        if constant.data_type in FLOATING and not np.isfinite(numpy_helper.to_array(constant)).all():
            # OpenVINO's Relu, Clip and MaxPool turn nan into numbers, and those can look good.
            raise RuntimeFault(f"{runtime}: constant {constant.name} holds nan or infinity; export it again")
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        size = math.prod(max(axis.dim_value, 1) for axis in value.type.tensor_type.shape.dim)
        if size > LARGEST_TENSOR_VALUES:
            raise RuntimeFault(
                f"{runtime}: tensor {value.name} has {size} values, limit {LARGEST_TENSOR_VALUES}; export it again"
            )


def _constants(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in _nodes(graph.node):
        yield from (item.t for item in node.attribute if item.type == AttributeProto.TENSOR)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _nodes(attribute.g.node)


def _doubles(graph: onnx.GraphProto) -> str:
    named = [(item.name, item.data_type) for item in graph.initializer]
    named += [(item.name, item.type.tensor_type.elem_type) for item in graph.value_info]
    return next((name for name, kind in named if kind == TensorProto.DOUBLE), "")
