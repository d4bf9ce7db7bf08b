"""Read a foreign ONNX file: whole, checked, with all data inside, and what it says of itself."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from msgspec import Struct
from onnx import AttributeProto, TensorProto, external_data_helper, helper, numpy_helper

from appliance.schema.errors import ConfigError

LARGEST_FILE_BYTES = 1 << 30
"""What a bundle takes (storage/bundle.py)."""
OPSETS = (11, 25)
"""From 11 on slices, comparisons and the like mean today's thing; the runtimes read up to 25."""
DOMAINS = {"", "ai.onnx"}
INPUT_TYPES = {TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8"}
COPYLEFT = re.compile(r"\bA?GPL\b|\bAGPL|GNU (Affero )?General Public", re.IGNORECASE)
# Between the image and where the network begins.
PASSING = {"Cast", "Resize", "Identity", "Clip", "Transpose", "Mul", "Div", "Unsqueeze", "Squeeze", "Pad", "Reshape"}
DAMAGE = (
    DecodeError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
    RecursionError,
    MemoryError,
)


class Port(Struct, frozen=True):
    """Describe an input or output as the file declares it."""

    name: str
    kind: int
    """onnx.TensorProto.DataType."""
    dims: tuple[int | None, ...]
    """None: depends on the run."""


class Source(Struct, frozen=True):
    """Hold a foreign model."""

    name: str
    """Of the file."""
    content: bytes
    """The file with all data inside."""
    sha256: str
    """Of the file as it was."""
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int
    producer: str
    metadata: dict[str, str]
    inner_mean: float
    """Largest number that the graph itself subtracts from the image before the network begins; 0: none."""
    resizes_to: tuple[int, int] | None
    """(rows, columns) that the graph itself brings the image to."""

    @property
    def copyleft(self) -> str:
        """What the file says of a licence that binds those who pass the model on; empty: nothing."""
        said = [self.producer, *(f"{key}: {value}" for key, value in self.metadata.items())]
        return next((line(text) for text in said if COPYLEFT.search(text)), "")


def read_source(path: Path) -> Source:
    """Read and check an ONNX file; ConfigError in one line when it cannot be imported."""
    content = _read(path)
    try:
        model = onnx.load_model_from_string(content)
        _check(path, model)
        _embed(path, model)
        onnx.checker.check_model(model)
        whole = model.SerializeToString()
        graph = model.graph
        constants = _constants(graph)
        given = {item.name for item in graph.initializer}
        first = [value for value in graph.input if value.name not in given]
        inner_mean, size = _preprocessing(graph, constants, {value.name for value in first})
        return Source(
            name=path.name,
            content=whole,
            sha256=hashlib.sha256(content).hexdigest(),
            inputs=tuple(_port(path, value) for value in first),
            outputs=tuple(_port(path, value) for value in graph.output),
            opset=_opset(model),
            producer=line(f"{model.producer_name} {model.producer_version}") or "unnamed",
            metadata={item.key: item.value for item in model.metadata_props},
            inner_mean=inner_mean,
            resizes_to=size,
        )
    except DAMAGE as cause:
        raise ConfigError(f"import {path}: no valid ONNX model: {line(cause)}; export it again") from cause


def line(cause: object) -> str:
    """Give what a library or a file said as one line of at most 300 characters."""
    said = " ".join(str(cause).split())[:300]
    return type(cause).__name__ if isinstance(cause, BaseException) and not said else said


def nested(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Give a graph and every graph inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from nested(attribute.g)
            for inner in attribute.graphs:
                yield from nested(inner)


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not 0 < size <= LARGEST_FILE_BYTES:
            raise ConfigError(f"import {path}: {size} bytes, needs 1 to {LARGEST_FILE_BYTES}; export the model again")
        return path.read_bytes()
    except OSError as cause:
        raise ConfigError(f"import {path}: {cause.strerror}; give an ONNX file") from cause


def _embed(path: Path, model: onnx.ModelProto) -> None:
    """Take data that lie in files beside the model into it."""
    total = 0
    for tensor in _tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        location = next((item.value for item in tensor.external_data if item.key == "location"), "")
        file = path.parent / location
        inside = location and not Path(location).is_absolute() and ".." not in Path(location).parts
        if (
            not inside
            or file.is_symlink()
            or not file.is_file()
            or not file.resolve().is_relative_to(path.parent.resolve())
        ):
            raise ConfigError(
                f"import {path}: data of tensor {line(tensor.name)!r} lie in {line(location)!r}, no file beside the "
                "model; put the file there or export the model as one file"
            )
        total += _external_bytes(tensor, file)
        if total > LARGEST_FILE_BYTES:
            raise ConfigError(
                f"import {path}: external data are over {LARGEST_FILE_BYTES} bytes, the most a bundle takes; "
                "use a smaller model"
            )
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        except OSError as cause:
            raise ConfigError(f"import {path}: {line(location)}: {cause.strerror}; export the model again") from cause
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_bytes(tensor: onnx.TensorProto, file: Path) -> int:
    length = next((item.value for item in tensor.external_data if item.key == "length"), "")
    return int(length) if length.isdecimal() else file.stat().st_size


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for one in nested(graph):
        yield from one.initializer
        for node in one.node:
            for attribute in node.attribute:
                if attribute.type == AttributeProto.TENSOR:
                    yield attribute.t
                yield from attribute.tensors


def _check(path: Path, model: onnx.ModelProto) -> None:
    opset, graph = _opset(model), model.graph
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise ConfigError(
            f"import {path}: opset {opset} is not in {OPSETS[0]} to {OPSETS[1]}; export the model with opset 17"
        )
    foreign = sorted({node.domain for one in nested(graph) for node in one.node} - DOMAINS)
    if foreign or len(model.functions):
        what = f"operators of {line(foreign[0])}" if foreign else f"function {line(model.functions[0].name)}"
        raise ConfigError(
            f"import {path}: holds {what}, the runtimes know ai.onnx alone; export the model with standard operators"
        )
    if not graph.output or not graph.input:
        raise ConfigError(
            f"import {path}: has {len(graph.input)} inputs and {len(graph.output)} outputs; export it again"
        )


def _opset(model: onnx.ModelProto) -> int:
    return next((int(item.version) for item in model.opset_import if item.domain in DOMAINS), 0)


def _port(path: Path, value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type"):
        raise ConfigError(f"import {path}: {line(value.name)} is no tensor; export the model with plain tensors")
    dims = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in tensor.shape.dim)
    return Port(value.name, tensor.elem_type, dims)


def _constants(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    stored = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.output and node.attribute and node.attribute[0].name == "value":
            stored[node.output[0]] = node.attribute[0].t
    return stored


def _preprocessing(
    graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto], inputs: set[str]
) -> tuple[float, tuple[int, int] | None]:
    """Follow the image to the network and look for a mean that is subtracted and a size it is brought to."""
    front, mean, size = set(inputs), 0.0, None
    for node in graph.node:
        if not front & set(node.input):
            continue
        if node.op_type in {"Sub", "Add"}:
            mean = max(mean, *(_mean(constants.get(name)) for name in node.input))
        if node.op_type == "Resize" and len(node.input) > 3:
            size = _sizes(graph, constants, node.input[3]) or size
        if node.op_type in PASSING:
            front |= set(node.output)
    return mean, size


def _sizes(graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto], name: str) -> tuple[int, int] | None:
    """Give the constant end of a Resize's sizes; exporters put a batch that is not constant before it."""
    joined = next((node for node in graph.node if node.op_type == "Concat" and name in node.output), None)
    if joined is not None:
        name = joined.input[len(joined.input) - 1]
    sizes = numpy_helper.to_array(constants[name]).ravel() if name in constants else np.zeros(0, np.int64)
    return (int(sizes[-2]), int(sizes[-1])) if sizes.size >= 2 else None


def _mean(tensor: onnx.TensorProto | None) -> float:
    if tensor is None or tensor.data_type != TensorProto.FLOAT:
        return 0.0
    values = numpy_helper.to_array(tensor)
    return float(np.abs(values).max(initial=0)) if values.size in {1, 3} else 0.0


def dtype(kind: int) -> str:
    """Give numpy's name of an ONNX element type."""
    try:
        return str(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).name)
    except KeyError:
        return f"type {kind}"
