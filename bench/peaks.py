"""Measure what this machine can do at most, with one thread: multiply-adds in each precision, bytes from memory."""

import os
import time
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from appliance.runtimes.openvino import OpenVinoRuntime

GEMM = 1536
"""Large enough to be bound by arithmetic, small enough for the second-level cache to feed it in blocks."""
MEMORY_MB = 128
"""Several times any cache."""


def arithmetic_peaks(rounds: int = 7) -> dict[str, float]:
    """Give the best rate of a square matrix product in OpenVINO, one thread, GFLOP/s by precision."""
    runtime = OpenVinoRuntime()
    precisions = ["f32"] + (["bf16"] if runtime.choose() == "bf16" else [])
    model = _gemm()
    runs = {name: runtime.load(model, name, 1).run for name in precisions}
    best = best_cpu_seconds(runs, rounds)
    return {name: round(2 * GEMM**3 / seconds / 1e9, 1) for name, seconds in best.items()}


def memory_peaks(rounds: int = 9) -> dict[str, float]:
    """Give the best rate of reading, and of copying (read and write counted), GB/s, one thread."""
    source = np.ones(MEMORY_MB << 17, np.uint64)
    target = np.empty_like(source)
    best = best_cpu_seconds({"read": source.sum, "copy": lambda: np.copyto(target, source)}, rounds)
    size = source.nbytes / 1e9
    return {"read": round(size / best["read"], 1), "copy": round(2 * size / best["copy"], 1)}


def best_cpu_seconds(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Give the least CPU time of each, all taking turns, so that what disturbs one disturbs all."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - began)
    return best


def load_average() -> list[float]:
    """Give the load of the last 1, 5 and 15 minutes: how much else the machine did."""
    return [round(value, 2) for value in os.getloadavg()]


def _gemm() -> bytes:
    """Give a model whose only work is one matrix product; its input is the port's uint8 image."""
    side = GEMM
    weight = np.random.default_rng(0).standard_normal((side, side)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "square"], ["left"]),
        helper.make_node("MatMul", ["left", "weight"], ["product"]),
        helper.make_node("ReduceMax", ["product"], ["largest"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "gemm",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [1, side, side // 3, 3])],
        [helper.make_tensor_value_info("largest", TensorProto.FLOAT, [side])],
        [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([side, side], np.int64), "square"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
