"""Give a network one more output: what its backbone makes of the whole image, for the detector of unknown parts.

Mean and largest value of the two coarsest stages that the network computes anyway, so nothing is computed twice and no
second network runs: 16 and 32 for classification, 8 and 16 for the other tasks.
"""

import re
from collections.abc import Iterable

import onnx
from onnx import TensorProto, helper, shape_inference

OUTPUT = "novelty_features"
STAGES = 2
POOLING = {"mean": "GlobalAveragePool", "most": "GlobalMaxPool"}
RESULT = re.compile(r"_blocks\.(\d+)\.(sum|_project_conv)$")
"""Tensor that a block of the backbone gives (`training/backbone.py`)."""


def with_features(model: bytes) -> bytes:
    """Give the model with the output `novelty_features`, (batch, features) float32; unchanged where it cannot have it.

    That is a network without the blocks of our backbone, one that has the output already, or an 8-bit one.
    """
    whole = onnx.load_model_from_string(model)
    graph = whole.graph
    if any(one.name == OUTPUT for one in graph.output):
        return model
    chosen = _coarsest(shape_inference.infer_shapes(whole).graph)
    if not chosen:
        return model
    flat = []
    for kind, operator in POOLING.items():
        for name, _ in chosen:
            pooled, row = f"{OUTPUT}.{name}.{kind}", f"{OUTPUT}.{name}.{kind}.flat"
            graph.node.append(helper.make_node(operator, [name], [pooled], name=pooled))
            graph.node.append(helper.make_node("Flatten", [pooled], [row], name=row))
            flat.append(row)
    graph.node.append(helper.make_node("Concat", flat, [OUTPUT], name=OUTPUT, axis=1))
    batch = graph.input[0].type.tensor_type.shape.dim[0].dim_value
    count = len(POOLING) * sum(channels for _, channels in chosen)
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [batch, count]))
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString(deterministic=True))


def _coarsest(graph: onnx.GraphProto) -> list[tuple[str, int]]:
    """Name the results of the last block of the coarsest stages with their channels, the finer one first."""
    sizes = {one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in graph.value_info}
    last: dict[int, tuple[str, int]] = {}
    for _, name in sorted(_results(graph.node)):
        _, channels, rows, _ = sizes[name]
        last[rows] = (name, channels)
    return [last[rows] for rows in sorted(last, reverse=True)[-STAGES:]]


def _results(nodes: Iterable[onnx.NodeProto]) -> Iterable[tuple[int, str]]:
    """Yield block number and tensor; a block with a shortcut gives the sum and not the convolution."""
    found: dict[int, str] = {}
    for node in nodes:
        for name in node.output:
            match = RESULT.match(name)
            if match and (match[2] == "sum" or int(match[1]) not in found):
                found[int(match[1])] = name
    return found.items()
