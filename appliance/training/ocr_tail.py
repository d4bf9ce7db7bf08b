"""Open the recognition network between its convolutions and its last layers, so that these can be fitted again.

Names are those of the one known file (ocr_models.py), whose digest is checked.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from appliance.training.ocr_models import recognition_model

FEATURES = "p2o.pd_op.pool2d.1.0"
CHANNELS = 384
FITTED = {f"linear_{number}.{kind}_0": f"linear_{number}.{kind}_0" for number in range(9) for kind in "wb"}
FITTED |= {f"norm_{n // 2}.{('weight', 'bias')[n % 2]}": f"helper.reshape.{n}" for n in range(10)}
"""Name of each weight that is fitted -> its name in the file: two attention blocks, and the layer of the classes."""
FROZEN = tuple(f"conv2d_{number}.w_0" for number in (65, 66, 67))
FROZEN += tuple(f"batch_norm2d_{number}.{kind}" for number in (55, 56, 57) for kind in ("w_0", "b_0", "w_1", "w_2"))

Weights = Mapping[str, NDArray[np.float32]]


def tail_weights(model: bytes) -> dict[str, NDArray[np.float32]]:
    """Give the weights behind the convolutions of a recognition model, by name."""
    known = {tensor.name: tensor for tensor in onnx.load_model_from_string(model).graph.initializer}
    named = FITTED | {name: name for name in FROZEN}
    return {name: numpy_helper.to_array(known[own]).astype(np.float32) for name, own in named.items()}


def with_tail(model: bytes, weights: Weights) -> bytes:
    """Give a recognition model with fitted weights in place of its own; others stay. ValueError on another shape."""
    changed = onnx.load_model_from_string(model)
    known = {tensor.name: tensor for tensor in changed.graph.initializer}
    for name, value in weights.items():
        tensor = known[FITTED[name]]
        if tuple(tensor.dims) != value.shape:
            raise ValueError(f"recognition: weight {name} has shape {value.shape}, expected {tuple(tensor.dims)}")
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), tensor.name))
    return bytes(changed.SerializeToString(deterministic=True))


def feature_model(columns: int, characters: tuple[str, ...]) -> bytes:
    """Give the recognition network up to its last layers: `features` (1, steps, channels) float32 out."""
    model = onnx.load_model_from_string(recognition_model(columns, characters))
    graph = model.graph
    kept = _needed(graph.node, FEATURES)
    steps = columns // 8
    graph.initializer.append(numpy_helper.from_array(np.array([1, CHANNELS, steps], np.int64), "feature_shape"))
    kept += [
        helper.make_node("Reshape", [FEATURES, "feature_shape"], ["feature_rows"], name="feature_rows"),
        helper.make_node("Transpose", ["feature_rows"], ["features"], name="features", perm=[0, 2, 1]),
    ]
    used = {name for node in kept for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.output[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    graph.output.append(helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, steps, CHANNELS]))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _needed(nodes: Any, output: str) -> list[onnx.NodeProto]:
    """Give the nodes that an output needs, in their order."""
    wanted, kept = {output}, []
    for node in reversed(list(nodes)):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    return kept[::-1]
