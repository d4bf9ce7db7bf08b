"""Build every shipped model for real, without a GPU: TensorRT-RTX has a builder that needs none.

It shares the interface with TensorRT 11.4; a plan proves parser, types and shapes, not a kernel. No plan is loaded or
run here: that takes a GPU.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
from onnx import helper, numpy_helper

from appliance.runtimes.half_precision import half_precision
from appliance.runtimes.model_file import read_model
from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.tensorrt import TensorRtRuntime
from appliance.runtimes.tensorrt_build import BuildOrder, BuildProgress
from appliance.runtimes.tensorrt_stage import Built, build_in_stage
from appliance.schema.errors import RuntimeFault
from tests.trt import fake_tensorrt, families, models
from tests.trt.host_driver import HostDriver
from tests.trt.wheels import environment, wheel

MODULE, VERSION = "tensorrt_rtx_bindings", "1.7.1.116"
TARGETS = ((8, 6), (8, 9))
NETWORKS = {**families.FAMILIES, "small": models.small, "batch of 3": lambda: models.small(3), "types": models.typed}
REASONS = {
    "unknown operator": "Unheard: .*Plugin not found",
    "mixed types": "Add: .*must have same input types",
    "strings": "Failed to convert ONNX date type",
    "no protobuf": "model is refused",
    "garbage": "0 inputs and 0 outputs",
    "empty": "0 inputs and 0 outputs",
    "dynamic": "no optimization profile",
}
"""What the real library says about each; empty bytes it takes for a good model, and a dynamic one until the build."""


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the staging process find the library."""
    monkeypatch.syspath_prepend(str(wheel("rtx-1.7.1")))


def build(content: bytes, targets=TARGETS, report=lambda _: None) -> Built:
    return build_in_stage(BuildOrder(MODULE, VERSION, targets), content, b"", report)


def program(text: str, *arguments: str) -> list[str]:
    """Run a program beside the library; gives the lines it printed."""
    command = [sys.executable, "-c", text, *arguments]
    done = subprocess.run(
        command, env=environment("rtx-1.7.1"), capture_output=True, text=True, check=False, timeout=120
    )  # fmt: skip

    assert 0 == done.returncode, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("precision", ["f32", "f16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_shipped_models_are_built(name: str, precision: str) -> None:
    """Each shipped family passes the parser's typing rules and the builder, in 32 bits and as its 16-bit copy."""
    content = NETWORKS[name]()
    read_model("tensorrt", content)
    phases: list[BuildProgress] = []
    built = build(half_precision(content) if precision == "f16" else content, report=phases.append)

    assert b"vtrt" == built.plan[:4]
    assert len(phases) > 3


def test_quantised_model_is_built() -> None:
    """8-bit convolutions come from the nodes in the file, with no calibrator."""
    assert b"vtrt" == build(models.quantised()).plan[:4]


def unsigned(proto) -> None:
    for name in ("zero", "kernel", "kernel_zero"):
        constant = next(item for item in proto.graph.initializer if item.name == name)
        constant.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(constant).view(np.uint8), name))


def off_centre(proto) -> None:
    constant = next(item for item in proto.graph.initializer if item.name == "zero")
    constant.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), "zero"))


def quantised_bias(proto) -> None:
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int32), "bias"))
    step = np.full(4, np.float32(0.003) * np.float32(1 / 127), np.float32)  # the image's step by the kernel's
    proto.graph.initializer.append(numpy_helper.from_array(step, "bias_step"))
    proto.graph.node.insert(0, helper.make_node("DequantizeLinear", ["bias", "bias_step"], ["d_bias"], axis=0))
    next(node for node in proto.graph.node if node.op_type == "Conv").input.append("d_bias")


@pytest.mark.parametrize(
    ("change", "reason"),
    [(unsigned, "q_image: uint8"), (off_centre, "q_image: zero point is not 0"), (quantised_bias, "bias: int32")],
)
def test_other_quantisation_is_refused(change, reason: str, tmp_path) -> None:
    """What the real parser refuses in an 8-bit model is said before, with how to quantise it."""
    content = models.changed(models.quantised(), change)
    with pytest.raises(RuntimeFault, match="model is refused: "):
        build(content)
    with pytest.raises(RuntimeFault, match=rf"^tensorrt: {reason}; 8-bit models must be int8 around 0[^\n]*$"):
        TensorRtRuntime(fake_tensorrt, HostDriver(), tmp_path).load(content, "int8", 1)

    assert "int8" == OnnxRuntime().load(content, "int8", 1).precision


@pytest.mark.parametrize("name", REASONS)
def test_refusals_carry_the_reason(name: str) -> None:
    """The library raises nothing: each False and None becomes a fault of one line with what its log says."""
    content = {**models.refused(), "no protobuf": b"not a model"}[name]
    with pytest.raises(RuntimeFault, match=rf"^{MODULE} {VERSION}: [^\n]*{REASONS[name]}[^\n]*$"):
        build(content)


def test_unknown_target_is_refused() -> None:
    """A GPU that the library does not build for is named, with those it knows."""
    with pytest.raises(RuntimeFault, match=r"compute capability 9\.0, only for SM75, SM80"):
        build(models.small(), targets=((9, 0),))


def test_other_version_is_refused() -> None:
    """A library that was updated under a running service builds nothing for it."""
    with pytest.raises(RuntimeFault, match=r"1\.7\.1\.116: the caller has 1\.7\.0"):
        build_in_stage(BuildOrder(MODULE, "1.7.0", TARGETS), models.small(), b"", lambda _: None)


TENSORS = """
import importlib, json, sys
from tests.trt import families, models
trt = importlib.import_module("tensorrt_rtx_bindings")
from appliance.runtimes.tensorrt_log import process_logger
from appliance.runtimes.tensorrt_session import DTYPES
from appliance.runtimes.model_file import read_model
logger = process_logger(trt)
for make in (*families.FAMILIES.values(), models.small, models.typed):
    content = make()
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(content)
    found = [network.get_input(0), *(network.get_output(i) for i in range(network.num_outputs))]
    file = read_model("tensorrt", content)
    print(json.dumps([
        sorted((item.name, DTYPES[item.dtype.name], list(item.shape)) for item in found),
        sorted((item.name, item.dtype, item.shape) for item in (file.input, *file.outputs)),
    ]))
"""


def test_tensors_keep_name_type_and_shape() -> None:
    """What the library sees of a model is what the file promises, so binding by name works."""
    for line in program(TENSORS):
        found, promised = json.loads(line)

        assert promised == found


LOADING = """
import importlib, pathlib, sys
trt = importlib.import_module("tensorrt_rtx_bindings")
from appliance.runtimes.tensorrt import TensorRtRuntime
from appliance.schema.errors import RuntimeFault
from tests.trt import models
from tests.trt.host_driver import HostDriver
runtime = TensorRtRuntime(trt, HostDriver(), pathlib.Path(sys.argv[1]))
for _ in range(2):
    try:
        runtime.load(models.small(), "f32", 1)
    except RuntimeFault as fault:
        print(fault)
"""


def test_loading_without_a_gpu_is_a_fault(tmp_path) -> None:
    """The real library's None is a fault that names the driver, the first time and out of the cache."""
    lines = program(LOADING, str(tmp_path))

    assert 2 == len(lines)
    for line in lines:
        assert "does not load" in line
        assert "cudaError 35" in line


ROWS = """
import importlib, json, os
trt = importlib.import_module("tensorrt_rtx_bindings")
from onnx import TensorProto
from appliance.runtimes.tensorrt_log import process_logger
from tests.trt import models
logger = process_logger(trt)
parsers = []

def begin(content):
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parsers.append(trt.OnnxParser(network, logger))
    return builder, network, parsers[-1].parse(content)

def profiled(low, best, high):
    builder, network, _ = begin(models.refused()["dynamic"])
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    try:
        profile.set_shape("image", low, best, high)
    except Exception as cause:
        return type(cause).__name__
    index = config.add_optimization_profile(profile)
    return [index, builder.build_serialized_network(network, config) is None]

shape = (1, 3, 8, 8)
builder, network, first = begin(models.small())
parsers.append(trt.OnnxParser(network, logger))
again = parsers[-1].parse(models.small())
double = begin(models._one("Relu", TensorProto.DOUBLE, shape))
print(json.dumps({
    "second parse": [first, again],
    "min over max": profiled((4, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8)),
    "wrong rank": profiled((1, 3), (1, 3), (1, 3)),
    "fixed axis changed": profiled((1, 5, 8, 8), (1, 5, 8, 8), (1, 5, 8, 8)),
    "double": [double[2], double[0].build_serialized_network(double[1], double[0].create_builder_config()) is None],
}), flush=True)
os._exit(0)  # a network that was parsed into twice crashes the process when it is let go
"""


def test_answers_that_our_checks_stand_before() -> None:
    """Where a check of ours refuses a model first, the library itself would take it or say no without raising."""
    rows = json.loads(program(ROWS)[0])

    assert [True, False] == rows["second parse"]
    assert [-1, True] == rows["min over max"]
    assert [0, True] == rows["wrong rank"]
    assert [0, True] == rows["fixed axis changed"]
    assert [True, False] == rows["double"]


TWICE = """
import gc, importlib
trt = importlib.import_module("tensorrt_rtx_bindings")
from appliance.runtimes.tensorrt_build import build_plan
from appliance.schema.errors import RuntimeFault
from tests.trt import models
for content in (models.small(), models.refused()["unknown operator"], models.small()):
    try:
        print(len(build_plan(trt, content, ((8, 9),), b"", lambda _: None)[0]) > 0)
    except RuntimeFault:
        print("refused")
    gc.collect()
"""


def test_builds_of_one_process_share_a_logger() -> None:
    """A second builder logs to the first one's logger; a process died when that had been collected."""
    assert ["True", "refused", "True"] == program(TWICE)
