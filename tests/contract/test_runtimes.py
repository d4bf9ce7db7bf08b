"""Every runtime keeps the port's promises and computes the same numbers."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.runtimes.tensorrt import TensorRtRuntime
from appliance.schema.errors import RuntimeFault
from appliance.training import weights
from appliance.training.anomaly_graph import CHANNELS, Memory, anomaly_model, feature_model
from tests.trt import fake_tensorrt, models
from tests.trt.host_driver import HostDriver

SIZE = (96, 128)
RUNTIMES = ["openvino", "onnx", "tensorrt"]
F32_BOUND = 1e-3
# bf16 keeps 8 bits: 2^-8 per rounding, which the squared-distance expansion can amplify a few times.
BF16_BOUND = 3e-2
# int8 steps round the same way but for ties: one step of the last 8-bit tensor.
INT8_STEP = 0.04


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Give a folder of engines, so that each model is built once."""
    return tmp_path_factory.mktemp("engines")


@pytest.fixture(params=RUNTIMES)
def make(request, engines):
    """Give what makes each runtime; TensorRT is the fake that computes with ONNX Runtime in host memory."""
    return {
        "openvino": OpenVinoRuntime,
        "onnx": OnnxRuntime,
        "tensorrt": lambda: TensorRtRuntime(fake_tensorrt, HostDriver(), engines),
    }[request.param]


@pytest.fixture(scope="module")
def model() -> bytes:
    """Give an anomaly model with a memory of real patches of other images."""
    state = weights.efficientnet_lite0()
    session = OnnxRuntime().load(feature_model(state, SIZE), "f32", 1)
    flat = []
    for seed in range(4):
        session.input[0] = image(100 + seed)
        flat.append(session.run()["features"].reshape(CHANNELS, -1).T.copy())
    patches = np.concatenate(flat)
    mean, scale = patches.mean(axis=0), 1 / patches.std(axis=0)
    return anomaly_model(state, SIZE, Memory(mean, scale, ((patches - mean) * scale)[::3]))


def image(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    coarse = random.integers(60, 200, (SIZE[0] // 8, SIZE[1] // 8, 3)).repeat(8, axis=0).repeat(8, axis=1)
    return (coarse + random.normal(0, 6, coarse.shape)).clip(0, 255).astype(np.uint8)


def relative(expected: np.ndarray, actual: np.ndarray) -> float:
    return float(np.abs(expected - actual).max() / np.abs(expected).max())


def reference(model: bytes, seed: int) -> np.ndarray:
    session = OnnxRuntime().load(model, "f32", 1)
    session.input[0] = image(seed)
    return session.run()["map"].copy()


@pytest.mark.parametrize("threads", [1, 2])
def test_f32_parity(make, model: bytes, threads: int) -> None:
    """In f32 all runtimes agree to 1e-3 of the largest value."""
    session = make().load(model, "f32", threads)
    for seed in range(3):
        session.input[0] = image(seed)

        assert F32_BOUND >= relative(reference(model, seed), session.run()["map"])


def test_bf16_bound(model: bytes) -> None:
    """In bf16 the map stays within 3 % of its largest value."""
    runtime = OpenVinoRuntime()
    if runtime.choose() != "bf16":
        pytest.skip("this CPU has no bf16")
    session = runtime.load(model, "bf16", 1)
    for seed in range(3):
        session.input[0] = image(seed)

        assert BF16_BOUND >= relative(reference(model, seed), session.run()["map"])


def test_buffers_are_made_once(make, model: bytes) -> None:
    """Input and outputs stay at their addresses, so a run copies and allocates no tensor."""
    session = make().load(model, "f32", 1)
    before = session.input.ctypes.data
    first = session.run()["map"].ctypes.data
    session.input[0] = image(1)

    assert (before, first) == (session.input.ctypes.data, session.run()["map"].ctypes.data)
    assert ((1, *SIZE, 3), np.uint8) == (session.input.shape, session.input.dtype)
    assert session.input.flags.writeable


def test_input_is_read_at_each_run(make, model: bytes) -> None:
    """What lies in the input at the call is what is inspected, and equal inputs give equal outputs."""
    session = make().load(model, "f32", 1)
    results = []
    for seed in (1, 2, 1):
        session.input[0] = image(seed)
        results.append(session.run()["map"].copy())

    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[1])


def test_sessions_are_independent(make, model: bytes) -> None:
    """Two sessions of one model do not share buffers."""
    runtime = make()
    one, other = runtime.load(model, "f32", 1), runtime.load(model, "f32", 1)
    one.input[0] = image(1)
    other.input[0] = image(2)
    first = one.run()["map"].copy()
    other.run()

    assert np.array_equal(first, one.run()["map"])


def test_model_is_read_from_a_file(make, model: bytes, tmp_path) -> None:
    """A path is as good as bytes."""
    (tmp_path / "model.onnx").write_bytes(model)
    session = make().load(tmp_path / "model.onnx", "f32", 1)

    assert ("f32", make().name) == (session.precision, session.runtime)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(2000)])
def test_damaged_model_is_refused(make, content: bytes) -> None:
    """Bytes that are no model give a RuntimeFault of one line."""
    with pytest.raises(RuntimeFault, match=r"^[^\n]+$"):
        make().load(content, "f32", 1)


def test_unknown_precision_is_refused(make, model: bytes) -> None:
    """A precision is never replaced in silence."""
    with pytest.raises(RuntimeFault, match="int4"):
        make().load(model, "int4", 1)


def test_bf16_needs_the_cpu(model: bytes, monkeypatch) -> None:
    """Without bf16 in the CPU the precision is refused, and `auto` is f32."""
    runtime = OpenVinoRuntime()
    monkeypatch.setattr(runtime, "_core", type("Core", (), {"get_property": lambda *_: ["FP32", "INT8"]})())

    assert runtime.choose() == "f32"
    with pytest.raises(RuntimeFault, match="not bf16"):
        runtime.load(model, "bf16", 1)


def test_onnx_has_no_bf16(model: bytes) -> None:
    """ONNX Runtime computes in f32 on a CPU and says so."""
    with pytest.raises(RuntimeFault, match="bf16 is not f32"):
        OnnxRuntime().load(model, "bf16", 1)


def test_batches(make) -> None:
    """A batch is several images side by side: each entry is what it would be alone."""
    single, triple = make().load(models.small(1), "f32", 1), make().load(models.small(3), "f32", 1)
    images = np.random.default_rng(3).integers(0, 256, (3, 16, 16, 3), np.uint8)
    triple.input[...] = images
    together = triple.run()["map"].copy()

    assert (3, 16, 16, 3) == triple.input.shape
    for entry in range(3):
        single.input[0] = images[entry]

        assert F32_BOUND >= relative(single.run()["map"][0], together[entry])


def test_outputs_keep_their_type(make) -> None:
    """Classes come as uint8, int32, int64 or bool, whatever the file says, and say the same."""
    session = make().load(models.typed(), "f32", 1)
    session.input[...] = np.random.default_rng(4).integers(0, 256, session.input.shape, np.uint8)
    outputs = session.run()
    expected = session.input.argmax(axis=3)

    assert {"as_uint8", "as_int32", "as_int64", "as_bool", "value"} == set(outputs)
    for name in ("uint8", "int32", "int64", "bool"):
        assert np.dtype(name) == outputs[f"as_{name}"].dtype
        assert np.array_equal(expected.astype(name), outputs[f"as_{name}"])


def test_int8_is_the_model_s_own(make) -> None:
    """A file with 8-bit nodes runs in int8 and as nothing else, and says so; another file never does."""
    session = make().load(models.quantised(), "int8", 1)
    reference = OnnxRuntime().load(models.quantised(), "int8", 1)
    for one in (session, reference):
        one.input[...] = np.random.default_rng(5).integers(0, 256, one.input.shape, np.uint8)

    assert "int8" == session.precision
    assert np.abs(reference.run()["map"] - session.run()["map"]).max() <= INT8_STEP * 1.01
    with pytest.raises(RuntimeFault, match=r"^[^\n]*8-bit operators, so it runs in int8, not f32; ask for int8$"):
        make().load(models.quantised(), "f32", 1)
    with pytest.raises(RuntimeFault, match=r"^[^\n]*no QuantizeLinear and DequantizeLinear nodes[^\n]*$"):
        make().load(models.small(), "int8", 1)


def test_nan_is_passed_through(make) -> None:
    """An output that is not a number reaches the task, which never accepts it."""

    def spoil(proto) -> None:
        proto.graph.node[-1].output[0] = "numbers"
        proto.graph.initializer.append(numpy_helper.from_array(np.full((1, 16, 16), 1e6, np.float32), "far"))
        proto.graph.node.append(helper.make_node("Sub", ["numbers", "far"], ["negative"]))
        proto.graph.node.append(helper.make_node("Sqrt", ["negative"], ["map"]))

    session = make().load(models.changed(models.small(), spoil), "f32", 1)

    assert np.isnan(session.run()["map"]).all()


def test_result_of_a_known_shape_may_be_declared_dynamic(make) -> None:
    """Exporters leave names in the shapes of results; what follows from the image is found."""

    def loosen(proto) -> None:
        proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "rows"

    session = make().load(models.changed(models.small(), loosen), "f32", 1)

    assert (1, 16, 16) == session.run()["map"].shape


def no_input(proto) -> None:
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 16, 16, 3)))


def dynamic(proto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def dynamic_result(proto) -> None:
    proto.graph.node.append(helper.make_node("NonZero", ["map"], ["places"]))
    proto.graph.output.append(helper.make_tensor_value_info("places", TensorProto.INT64, (3, "count")))


def two_inputs(proto) -> None:
    proto.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, (1,)))


def planar(proto) -> None:
    shape = proto.graph.input[0].type.tensor_type.shape
    for axis, size in zip(shape.dim, (1, 3, 16, 16), strict=True):
        axis.dim_value = size
    next(node for node in proto.graph.node if node.op_type == "Transpose").attribute[0].ints[:] = [0, 1, 2, 3]


def half_result(proto) -> None:
    proto.graph.node.append(helper.make_node("Cast", ["map"], ["halves"], to=TensorProto.FLOAT16))
    proto.graph.output.append(helper.make_tensor_value_info("halves", TensorProto.FLOAT16, (1, 16, 16)))


def outside(proto) -> None:
    constant = next(item for item in proto.graph.initializer if item.name == "bank")
    constant.ClearField("raw_data")
    constant.data_location = TensorProto.EXTERNAL
    constant.external_data.add(key="location", value="../../etc/passwd")


def enormous(proto) -> None:
    for side in (proto.graph.input[0], proto.graph.output[0]):
        side.type.tensor_type.shape.dim[1].dim_value = 1 << 40


def lost_input(proto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Conv")
    del node.input[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (no_input, "no valid ONNX file|input image is float32"),
        (dynamic, r"dynamic axes \(batch\); export the model with a fixed shape"),
        (dynamic_result, r"places has dynamic axes \(count\); export the model with a fixed shape"),
        (two_inputs, r"2 inputs \(image, other\), needs one image"),
        (planar, r"\(1, 3, 16, 16\), needs uint8 \(batch, rows, columns, 3\)|no valid ONNX file"),
        (half_result, "output halves is float16, needs one of float32, uint8, int32, int64, bool; add a Cast"),
        (outside, "outside of the model|no valid ONNX file"),
        (enormous, "limit 536870912|no valid ONNX file"),
        (lost_input, "Conv"),
    ],
)
def test_unfit_model_is_refused(make, change, reason: str) -> None:
    """A file that breaks the contract of models is refused in one line that says what and how to mend it."""
    with pytest.raises(RuntimeFault, match=rf"^[^\n]*({reason})[^\n]*$"):
        make().load(models.changed(models.small(), change), "f32", 1)


def test_truncated_model_is_refused(make) -> None:
    """A file that ends early is refused, wherever it ends."""
    whole = models.small()
    for end in range(1, len(whole), 61):
        with pytest.raises(RuntimeFault, match=r"^[^\n]+$"):
            make().load(whole[:end], "f32", 1)


def test_missing_file_is_refused(make, tmp_path) -> None:
    """A file that is not there is a fault with its name, not an exception of the file system."""
    with pytest.raises(RuntimeFault, match=r"^[^\n]*gone\.onnx: No such file[^\n]*$"):
        make().load(tmp_path / "gone.onnx", "f32", 1)
