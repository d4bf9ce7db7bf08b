"""Say whether an 8-bit model is quantised the way TensorRT takes it: signed, around zero, and biases left in f32."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper


def unfit_for_tensorrt(content: bytes) -> str:
    """Name what TensorRT would refuse in a checked model, for example `bias: int32`; empty: nothing.

    Source: the parser of TensorRT-RTX 1.7.1 refuses uint8 steps but for DLA, zero points other than 0, and 32-bit
    integers as the input of DequantizeLinear.
    """
    graph = onnx.load_from_string(content).graph
    constants = {item.name: item for item in graph.initializer}
    for node in graph.node:
        if node.op_type not in {"QuantizeLinear", "DequantizeLinear"}:
            continue
        source = constants.get(node.input[0])
        if source is not None and source.data_type == TensorProto.INT32:
            return f"{source.name}: int32"
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None:
            if node.op_type == "QuantizeLinear":
                return f"{node.output[0]}: uint8"  # what ONNX means by no zero point
            continue
        if zero.data_type != TensorProto.INT8:
            return f"{node.output[0]}: {TensorProto.DataType.Name(zero.data_type).lower()}"
        if np.any(numpy_helper.to_array(zero)):
            return f"{node.output[0]}: zero point is not 0"
    return ""
