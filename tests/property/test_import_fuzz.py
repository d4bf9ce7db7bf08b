"""Damage foreign models and mappings in every way: an import ends in a bundle or in one line, and nothing else.

Each run is a process of its own, since a runtime that reads damaged bytes may end it.
"""

import faulthandler
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from appliance.importing.importer import Imported, import_model
from appliance.runtimes.onnx import OnnxRuntime
from appliance.schema.errors import ConfigError, RuntimeFault
from tests.unit import foreign_models as foreign
from tests.unit.import_rig import IMAGENET, PLAIN, names

ROOT = Path(__file__).resolve().parents[2]
BUDGET_S = 600.0
MODELS = (
    (foreign.classifier(3, 32), names(3) + IMAGENET),
    (foreign.classifier(3, 32, axes="NHWC", kind=TensorProto.UINT8), names(3) + 'colour = "BGR"\n'),
    (foreign.torchvision(3, 32), names(3) + IMAGENET),
    (foreign.anomalib(dynamic=True), "size = [32, 32]\n"),
    (foreign.ultralytics(("a", "b"), 64), ""),
    (foreign.ultralytics(("a", "b"), 64, 32), ""),
    (foreign.end_to_end(("a", "b"), 64, 20), ""),
    (foreign.d_fine(3, 64, 10), names(3) + PLAIN),
    (foreign.detr_pair(4, 64, 64, 10), "size = [64, 64]\n" + names(3) + PLAIN),
)
MEMBERS = ("node", "initializer", "input", "output")
KINDS = ("drop", "double", "rewire", "operator", "shape", "type", "weights", "opset", "metadata", "name")
KEYS = ("names", "task", "imgsz", "stride", "end2end", "args")
SAID = (
    "",
    "{",
    "{0: 'a'}",
    "{1: 2}",
    "[" * 500,
    "segment",
    "pose",
    "[64, 1e9]",
    "True",
    "9" * 99,
    "{0: '\\ud800'}",
    "{0: 'a\\nb', 1: '\U0001f600'}",
)
OUTSIDE = ("", "0", "-1", "../x", "/etc/passwd", "model.onnx", "x" * 99)
OPERATORS = (
    "Relu", "Reshape", "Transpose", "Concat", "TopK", "Softmax", "Cast", "Gather", "Frobnicate", "NonZero", "If",
    "Loop",
)  # fmt: skip
WORDS = (
    "task", "classes", "not_defects", "input", "size", "axes", "colour", "divisor", "mean", "std", "constants",
    "layout", "outputs", "scores", "objectness", "box_format", "box_unit", "threshold", "thresholds", "nms_iou",
    "pixel_format", "roi", "mm_per_px", "other",
)  # fmt: skip
VALUES = (
    "1", "-1", "0.5", "nan", "inf", "1e300", '""', '"a"', '"detection"', '"instance"', '"rows"', '"sorted"',
    '"columns"', '"planes"', '"share"', '"sigmoid"', '"softmax"', '"GREY"', '"NHWC"', '"Mono8"', '"BayerRG8"',
    "true", "[]", "[1]", "[8, 8]", "[64, 48]", "[1, 1, 8, 8]", "[0, 0, 16, 16]", '["a", "b"]', "[0.5]", "[1e-30]",
    "[nan]", "{}", '{ scores = "logits" }', '{ rows = "output0" }', "{ a = 0.1 }",
    "{ orig_target_sizes = [[1, 2]] }", "{ orig_target_sizes = [[[]]] }",
)  # fmt: skip


@st.composite
def bytes_of(draw: st.DrawFn, model: onnx.ModelProto) -> bytes:
    """Draw damaged bytes of a model file."""
    content = bytearray(model.SerializeToString())
    place = st.integers(0, len(content) - 1)
    for index, value in draw(st.lists(st.tuples(place, st.integers(0, 255)), min_size=1, max_size=6)):
        content[index] = value
    if draw(st.integers(0, 3)) == 0:
        first = draw(place)
        del content[first : first + draw(st.integers(0, 40))]
    if draw(st.integers(0, 3)) == 0:
        del content[draw(place) :]
    return bytes(content)


@st.composite
def structures(draw: st.DrawFn, model: onnx.ModelProto) -> bytes:
    """Draw a model with one to three parts of its graph changed."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(draw(st.integers(1, 3))):
        _change(draw, changed)
    return bytes(changed.SerializeToString())


def _change(draw: st.DrawFn, model: onnx.ModelProto) -> None:
    graph = model.graph
    kind = draw(st.sampled_from(KINDS))
    if kind in {"drop", "double"}:
        _members(draw, getattr(graph, draw(st.sampled_from(MEMBERS))), kind)
    elif kind in {"rewire", "operator"} and graph.node:
        _node(draw, graph, kind)
    elif kind in {"shape", "type"} and (graph.input or graph.output):
        _port(draw, draw(st.sampled_from([*graph.input, *graph.output])).type.tensor_type, kind)
    elif kind == "weights" and graph.initializer:
        _weights(draw, draw(st.sampled_from(list(graph.initializer))))
    elif kind == "opset":
        model.opset_import[0].version = draw(st.integers(0, 30))
        model.ir_version = draw(st.integers(0, 20))
    elif kind == "metadata":
        entry = model.metadata_props.add()
        entry.key, entry.value = draw(st.sampled_from(KEYS)), draw(st.sampled_from(SAID))
    elif kind == "name" and graph.output:
        graph.output[0].name = draw(st.sampled_from(["anomaly_map", "out", "labels", "boxes", "scores", ""]))


def _members(draw: st.DrawFn, members: Any, kind: str) -> None:
    if not members:
        return
    index = draw(st.integers(0, len(members) - 1))
    if kind == "drop":
        del members[index]
    else:
        members.add().CopyFrom(members[index])


def _node(draw: st.DrawFn, graph: onnx.GraphProto, kind: str) -> None:
    tensors = [name for node in graph.node for name in (*node.input, *node.output)]
    node = draw(st.sampled_from(list(graph.node)))
    side = draw(st.sampled_from([node.input, node.output]))
    if kind == "operator":
        node.op_type = draw(st.sampled_from(OPERATORS))
    elif side:
        chosen = draw(st.sampled_from([*tensors, "", "image", "scores", "boxes"]))
        side[draw(st.integers(0, len(side) - 1))] = chosen


def _port(draw: st.DrawFn, tensor: Any, kind: str) -> None:
    if kind == "type":
        tensor.elem_type = draw(st.integers(0, 23))
    elif tensor.shape.dim:
        axis = draw(st.sampled_from(list(tensor.shape.dim)))
        axis.dim_value = draw(st.sampled_from([-1, 0, 1, 2, 3, 8, 31, 4096, 2**31, 2**40, 2**62]))


def _weights(draw: st.DrawFn, tensor: onnx.TensorProto) -> None:
    what = draw(st.sampled_from(["value", "dims", "data", "type", "outside"]))
    if what == "value" and tensor.data_type == TensorProto.FLOAT:
        values = np.frombuffer(tensor.raw_data, np.float32).copy()
        values[:] = draw(st.sampled_from([np.nan, np.inf, 0.0, 1e38, -1e38]))
        tensor.raw_data = values.tobytes()
    elif what == "value" and tensor.data_type == TensorProto.INT64:
        count = len(tensor.raw_data) // 8
        chosen = draw(st.lists(st.sampled_from([-9, -1, 0, 1, 2, 3, 7, 2**20, 2**40]), min_size=count, max_size=count))
        tensor.raw_data = np.array(chosen, np.int64).tobytes()
    elif what == "dims":
        tensor.dims.append(draw(st.sampled_from([-1, 0, 1, 2, 2**40])))
    elif what == "data":
        tensor.raw_data = tensor.raw_data[: draw(st.integers(0, len(tensor.raw_data)))]
    elif what == "type":
        tensor.data_type = draw(st.integers(0, 24))
    else:
        tensor.data_location = TensorProto.EXTERNAL
        for key in ("location", "offset", "length"):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, draw(st.sampled_from(OUTSIDE))


@st.composite
def mappings(draw: st.DrawFn, mapping: str) -> str:
    """Draw a mapping with some keys said otherwise."""
    lines = dict(line.split(" = ", 1) for line in mapping.splitlines())
    for key in draw(st.lists(st.sampled_from(WORDS), max_size=3)):
        lines[key] = draw(st.sampled_from(VALUES))
    return "".join(f"{key} = {value}\n" for key, value in lines.items())


@st.composite
def cases(draw: st.DrawFn) -> tuple[bytes, str]:
    model, mapping = draw(st.sampled_from(MODELS))
    how = draw(st.sampled_from(["bytes", "structure", "structure", "mapping"]))
    if how == "mapping":
        return model.SerializeToString(), draw(mappings(mapping))
    return draw(bytes_of(model) if how == "bytes" else structures(model)), mapping


def run(seconds: float, seed: int) -> dict[str, int]:
    """Import damaged models for so many seconds; count how it ended."""
    faulthandler.enable()
    warnings.simplefilter("error")
    counts = {"imported": 0, "refused": 0}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        import_rig_images(folder)

        @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(cases())
        def check(case: tuple[bytes, str]) -> None:
            (folder / "model.onnx").write_bytes(case[0])
            (folder / "mapping.toml").write_text(case[1])
            counts["imported" if imported(folder) else "refused"] += 1

        due = time.monotonic() + seconds
        while True:
            hypothesis.seed(seed)(check)()
            seed += 1
            if time.monotonic() > due:
                return counts


def import_rig_images(folder: Path) -> None:
    import cv2

    image = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "image.png"), image)


def imported(folder: Path) -> Imported | None:
    """Import what lies in the folder; None when it is refused, in one line."""
    try:
        return import_model(
            folder / "model.onnx",
            folder / "mapping.toml",
            [folder / "image.png"],
            OnnxRuntime(),
            "f32",
            "2026-11-21T12:00:00+00:00",
            1,
        )
    except (ConfigError, RuntimeFault) as fault:
        line = str(fault)
    assert line.strip()
    assert "\n" not in line
    return None


def fuzz(seconds: float, seed: int) -> None:
    program = (
        f"from tests.property import test_import_fuzz as f; import os; print(f.run({seconds}, {seed})); os._exit(0)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + 600)

    assert 0 == done.returncode, (done.stdout[-500:], done.stderr[-6000:])


def test_a_damaged_model_is_refused_in_one_line_or_is_a_bundle(request: pytest.FixtureRequest) -> None:
    """Bytes changed, graphs rewired, mappings that lie: ConfigError, RuntimeFault or a proven bundle."""
    fuzz(0, request.config.getoption("--seed"))


@pytest.mark.slow
def test_damaged_models_for_ten_minutes(request: pytest.FixtureRequest) -> None:
    """The same in new places, as long as the budget lasts."""
    fuzz(BUDGET_S, request.config.getoption("--seed") * 1000)
