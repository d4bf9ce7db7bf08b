"""Make the f16 copy of a model: strongly typed runtimes compute in the types that the file names."""

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from appliance.runtimes.model_file import one_line
from appliance.schema.errors import RuntimeFault

# Sums of squares pass the largest f16, 65504, where a part is far from everything that was seen.
KEPT_IN_F32 = ("Exp", "Log", "Pow", "ReduceL2", "ReduceSum", "ReduceSumSquare", "Sqrt")
ERRORS = (onnx.checker.ValidationError, RuntimeError, ValueError, TypeError, KeyError, AttributeError)


def half_precision(content: bytes) -> bytes:
    """Give the model with 16-bit weights and arithmetic; input, outputs and their types stay as they are.

    Raises RuntimeFault when a model cannot be converted.
    """
    try:
        proto = convert_float_to_float16(
            onnx.load_from_string(content), keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_IN_F32]
        )
        OnnxModel(proto).topological_sort()  # its casts stand behind the nodes that read them
        onnx.checker.check_model(proto)
    except ERRORS as cause:
        raise RuntimeFault(f"model cannot be cast to f16: {one_line(cause)}; use f32") from cause
    return bytes(proto.SerializeToString(deterministic=True))
