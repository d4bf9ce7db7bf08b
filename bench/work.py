"""Count what a network must do for one image: multiply-adds twice, and the bytes of weights and activations once."""

import math
import sys
import tempfile
from pathlib import Path

import onnxruntime

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino  # noqa: E402  as in appliance/runtimes/openvino.py

BYTES = {"f32": 4, "bf16": 2, "f16": 2, "int8": 1}


def work_of(model: bytes, precision: str) -> dict[str, float]:
    """Give GFLOP, and the MB that must cross memory if every weight and activation does so exactly once.

    Shapes are OpenVINO's. Activations are written once and read once by their convolution or product; what a runtime
    fuses into those (activations, additions, shape changes) costs nothing here. So both are lower bounds.
    """
    size, flop, moved = BYTES[precision], 0, 0
    for node in openvino.Core().read_model(_folded(model)).get_ops():
        kind = node.get_type_name()
        if kind not in {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"}:
            continue
        left, right = (list(node.input(place).get_shape()) for place in (0, 1))
        out = list(node.output(0).get_shape())
        flop += 2 * _multiplications(kind, left, right, out, transposed=bool(node.get_attributes().get("transpose_a")))
        moved += size * (math.prod(left) + math.prod(right) + math.prod(out))
    return {"gflop": round(flop / 1e9, 3), "mbytes": round(moved / 1e6, 2)}


def _folded(model: bytes) -> bytes:
    """Give the model with its constants folded, since shapes that are computed are else unknown."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return Path(options.optimized_model_filepath).read_bytes()


def _multiplications(kind: str, left: list[int], right: list[int], out: list[int], *, transposed: bool) -> int:
    match kind:
        case "Convolution":  # weights (out, in, rows, cols)
            return math.prod(out) * math.prod(right[1:])
        case "GroupConvolution":  # weights (groups, out, in, rows, cols)
            return math.prod(out) * math.prod(right[2:])
        case "ConvolutionBackpropData":  # weights (in, out, rows, cols)
            return math.prod(left) * math.prod(right[1:])
    return math.prod(out) * left[-2 if transposed else -1]
