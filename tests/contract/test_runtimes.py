"""Every runtime keeps the port's promises and computes the same numbers."""

import numpy as np
import pytest

from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.errors import RuntimeFault
from appliance.training import weights
from appliance.training.anomaly_graph import CHANNELS, Memory, anomaly_model, feature_model

SIZE = (96, 128)
RUNTIMES = [OpenVinoRuntime, OnnxRuntime]
F32_BOUND = 1e-3
# bf16 keeps 8 bits: 2^-8 per rounding, which the squared-distance expansion can amplify a few times.
BF16_BOUND = 3e-2


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


@pytest.mark.parametrize("make", RUNTIMES)
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


@pytest.mark.parametrize("make", RUNTIMES)
def test_buffers_are_made_once(make, model: bytes) -> None:
    """Input and outputs stay at their addresses, so a run copies and allocates no tensor."""
    session = make().load(model, "f32", 1)
    before = session.input.ctypes.data
    first = session.run()["map"].ctypes.data
    session.input[0] = image(1)

    assert (before, first) == (session.input.ctypes.data, session.run()["map"].ctypes.data)
    assert ((1, *SIZE, 3), np.uint8) == (session.input.shape, session.input.dtype)
    assert session.input.flags.writeable


@pytest.mark.parametrize("make", RUNTIMES)
def test_input_is_read_at_each_run(make, model: bytes) -> None:
    """What lies in the input at the call is what is inspected, and equal inputs give equal outputs."""
    session = make().load(model, "f32", 1)
    results = []
    for seed in (1, 2, 1):
        session.input[0] = image(seed)
        results.append(session.run()["map"].copy())

    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[1])


@pytest.mark.parametrize("make", RUNTIMES)
def test_sessions_are_independent(make, model: bytes) -> None:
    """Two sessions of one model do not share buffers."""
    runtime = make()
    one, other = runtime.load(model, "f32", 1), runtime.load(model, "f32", 1)
    one.input[0] = image(1)
    other.input[0] = image(2)
    first = one.run()["map"].copy()
    other.run()

    assert np.array_equal(first, one.run()["map"])


@pytest.mark.parametrize("make", RUNTIMES)
def test_model_is_read_from_a_file(make, model: bytes, tmp_path) -> None:
    """A path is as good as bytes."""
    (tmp_path / "model.onnx").write_bytes(model)
    session = make().load(tmp_path / "model.onnx", "f32", 1)

    assert ("f32", make.name) == (session.precision, session.runtime)


@pytest.mark.parametrize("make", RUNTIMES)
@pytest.mark.parametrize("content", [b"", b"not a model", bytes(2000)])
def test_damaged_model_is_refused(make, content: bytes) -> None:
    """Bytes that are no model give a RuntimeFault of one line."""
    with pytest.raises(RuntimeFault, match=r"^[^\n]+$"):
        make().load(content, "f32", 1)


@pytest.mark.parametrize("make", RUNTIMES)
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
