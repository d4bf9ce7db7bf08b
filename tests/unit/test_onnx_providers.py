"""Protect the choice of an execution provider: what runs is read back, and nothing is replaced in silence.

The GPU's path runs here on ONNX Runtime's CPU provider, with a device in host memory: bindings and order of work are
real, the provider is not.
"""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from appliance.runtimes import onnx as runtimes
from appliance.runtimes import onnx_session
from appliance.runtimes.device import open_driver
from appliance.runtimes.half_precision import half_precision
from appliance.runtimes.onnx import CPU, PROVIDERS, OnnxRuntime, check_distributions
from appliance.runtimes.tensorrt import open_tensorrt
from appliance.schema.errors import RuntimeFault
from tests.trt import fake_tensorrt, families, models
from tests.trt.host_driver import HostDriver


@pytest.fixture
def driver() -> HostDriver:
    return HostDriver(eager=True)


@pytest.fixture
def cpu_as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `cuda` name the CPU provider and its memory."""
    monkeypatch.setitem(PROVIDERS, "cuda", (CPU,))
    monkeypatch.setattr(onnx_session, "DEVICE", "cpu")


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ONNX Runtime list providers that do not come up, as its GPU wheel does on a machine without a GPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [*PROVIDERS["tensorrt"]])


def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (1, 16, 16, 3), np.uint8)


def expected() -> np.ndarray:
    session = OnnxRuntime().load(models.small(), "f32", 1)
    session.input[...] = image()
    return session.run()["map"].copy()


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_missing_provider_is_a_fault(provider: str, driver: HostDriver) -> None:
    """A wheel without the provider is a fault that names both."""
    with pytest.raises(RuntimeFault, match=rf"^onnx-{provider} [^\n]*{PROVIDERS[provider][0]}; install[^\n]*$"):
        OnnxRuntime(provider, driver=driver).load(models.small(), "f32", 1)


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
@pytest.mark.usefixtures("claims")
@pytest.mark.filterwarnings("ignore:Specified provider")
def test_provider_that_does_not_come_up_is_a_fault(provider: str, driver: HostDriver) -> None:
    """A session that runs on the CPU although the provider was listed is a fault, and its memory is given back."""
    with pytest.raises(RuntimeFault, match=rf"^[^\n]*runs on {CPU}, not {PROVIDERS[provider][0]}; [^\n]*$"):
        OnnxRuntime(provider, driver=driver).load(models.small(), "f32", 1)

    assert {} == driver.live


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_allowed_cpu_says_so(provider: str, driver: HostDriver) -> None:
    """Where the recipe allows the CPU the session runs there, with the reference's numbers, and tells."""
    session = OnnxRuntime(provider, allow_cpu=True, driver=driver).load(models.small(), "f32", 1)
    session.input[...] = image()

    assert ("cpu", "onnx", "f32") == (session.provider, session.runtime, session.precision)
    assert np.array_equal(expected(), session.run()["map"])


def test_allowed_cpu_keeps_the_precision(driver: HostDriver) -> None:
    """A bundle calibrated in f16 does not become another model on the CPU."""
    with pytest.raises(RuntimeFault, match="needs CUDAExecutionProvider"):
        OnnxRuntime("cuda", allow_cpu=True, driver=driver).load(models.small(), "f16", 1)


@pytest.mark.usefixtures("claims")
def test_no_device_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a binding or a device the fault names what was tried; TensorRT's module is asked for first."""
    for name in ("pycuda", "pycuda.driver", "cupy", "cupy.cuda", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)
    for opening in (lambda: OnnxRuntime("cuda").load(models.small(), "f32", 1), open_driver):
        with pytest.raises(RuntimeFault, match=r"^CUDA: no device: pycuda: [^\n]* / cupy: [^\n]*$"):
            opening()
    with pytest.raises(RuntimeFault, match=r"^tensorrt: [^\n]*; install it \(10\.3 to 11\.4; [^\n]*\)$"):
        open_tensorrt()


def test_opened_tensorrt(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """The installed module runs on the device that is given, with its engines below the home unless told."""
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    open_tensorrt(driver=HostDriver()).load(models.small(), "f32", 1)

    assert 1 == len(list((tmp_path / ".cache" / "firstshift" / "engines").glob("*.engine")))


@pytest.mark.usefixtures("cpu_as_gpu")
def test_device_session(driver: HostDriver) -> None:
    """Input and outputs are bound to device memory once; a run uploads, computes and brings results back."""
    session = OnnxRuntime("cuda", driver=driver).load(models.small(), "f32", 1)
    session.input[...] = image()
    addresses = {name: array.ctypes.data for name, array in session.run().items()}
    driver.calls.clear()

    assert ("onnx-cuda", "cuda", (1, 16, 16, 3)) == (session.runtime, session.provider, session.input_shape)
    assert np.array_equal(expected(), session.run()["map"])
    assert ["upload", "record", "wait", "download", "synchronise"] == driver.calls
    assert addresses == {name: array.ctypes.data for name, array in session.run().items()}
    session.close()
    assert {} == driver.live


@pytest.mark.usefixtures("cpu_as_gpu")
def test_kernels_write_the_input_in_place(driver: HostDriver) -> None:
    """What a kernel left at `input_pointer` is what is inspected."""
    session = OnnxRuntime("cuda", driver=driver).load(models.small(), "f32", 1)
    driver.upload(session.input_pointer, image(), session.stream)
    driver.calls.clear()

    assert np.array_equal(expected(), session.run_prepared()["map"])
    assert ["download", "synchronise"] == driver.calls


@pytest.mark.usefixtures("cpu_as_gpu")
def test_every_type_of_output_is_bound(driver: HostDriver) -> None:
    """Outputs of other types than float32 come back from the device as they are."""
    session = OnnxRuntime("cuda", driver=driver).load(models.typed(), "f32", 1)
    session.input[...] = np.random.default_rng(4).integers(0, 256, session.input.shape, np.uint8)
    outputs = session.run()

    for name in ("uint8", "int32", "int64", "bool"):
        assert np.array_equal(session.input.argmax(axis=3).astype(name), outputs[f"as_{name}"])


@pytest.mark.usefixtures("cpu_as_gpu")
def test_half_precision_is_a_cast_copy(driver: HostDriver) -> None:
    """f16 on a GPU is the model's 16-bit copy, and the session says so."""
    session = OnnxRuntime("cuda", driver=driver).load(models.small(), "f16", 1)
    session.input[...] = image()
    reference = expected()

    assert "f16" == session.precision
    assert 0 < np.abs(reference - session.run()["map"]).max() <= 0.01 * np.abs(reference).max()


@pytest.mark.parametrize("call", ["upload", "download", "synchronise"])
@pytest.mark.usefixtures("cpu_as_gpu")
def test_device_fault_is_a_fault(driver: HostDriver, call: str) -> None:
    """A CUDA call that fails in service is a fault of one line."""
    session = OnnxRuntime("cuda", driver=driver).load(models.small(), "f32", 1)
    driver.fails.add(call)
    with pytest.raises(RuntimeFault, match=rf"^onnx-cuda [^\n]*inference failed: {call}: [^\n]*$"):
        session.run()


@pytest.mark.usefixtures("cpu_as_gpu")
def test_too_little_device_memory_is_a_fault(driver: HostDriver) -> None:
    """A device without room leaves nothing behind."""
    driver.fails.add("allocate")
    with pytest.raises(RuntimeFault, match=r"^onnx-cuda: allocate: the device says no; free device memory$"):
        OnnxRuntime("cuda", driver=driver).load(models.small(), "f32", 1)


@pytest.mark.usefixtures("claims")
def test_heavy_operators_may_not_be_left_to_the_cpu(driver: HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that comes up and hands its convolutions to the CPU is a fault with their number."""
    monkeypatch.setitem(PROVIDERS, "cuda", (CPU, "AzureExecutionProvider"))
    runtime = OnnxRuntime("cuda", driver=driver)
    session = onnxruntime.InferenceSession(models.small(), runtimes._options(1), providers=[CPU])
    monkeypatch.setitem(PROVIDERS, "cuda", ("CUDAExecutionProvider", CPU))
    with pytest.raises(RuntimeFault, match=r"leaves 2 Conv, 1 MatMul to the CPU"):
        runtime._check_placement(session)


def test_f32_is_not_tf32(driver: HostDriver) -> None:
    """On a GPU f32 keeps its 24 bits, and the model shares the stream of our kernels."""
    options = OnnxRuntime("cuda", driver=driver)._provider_options("CUDAExecutionProvider", 17)

    assert {"device_id": "0", "user_compute_stream": "17", "use_tf32": "0"} == options


def test_engines_of_the_provider_are_cached(driver: HostDriver, tmp_path) -> None:
    """The TensorRT provider keeps its engines where it is told, since building takes minutes."""
    options = OnnxRuntime("tensorrt", driver=driver, cache=tmp_path)._provider_options("TensorrtExecutionProvider", 1)

    assert ("1", str(tmp_path)) == (options["trt_engine_cache_enable"], options["trt_engine_cache_path"])


def test_unknown_provider_is_refused() -> None:
    """Only providers that are known can be asked for."""
    with pytest.raises(RuntimeFault, match="provider 'vulkan' is not one of cpu, cuda, tensorrt"):
        OnnxRuntime("vulkan")


@pytest.mark.parametrize("other", ["onnxruntime-gpu", "onnxruntime_gpu", "onnxruntime-openvino"])
def test_two_distributions_are_a_fault(other: str) -> None:
    """Two ONNX Runtimes in one environment overwrite each other's files, so none of them is what it says."""
    with pytest.raises(RuntimeFault, match=rf"^onnx: onnxruntime and {other} are both installed[^\n]*; uninstall both"):
        check_distributions(["numpy", other, "onnxruntime", "onnxruntime-extensions"])


@pytest.mark.parametrize("one", ["onnxruntime", "onnxruntime-gpu"])
def test_one_distribution_is_fine(one: str) -> None:
    """Either of them alone is as it should be, and listed twice it is still one."""
    check_distributions(["numpy", one, one, "onnx"])


def test_this_environment_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime looks at what is installed when it is opened."""

    class Found:
        def __init__(self, name: str) -> None:
            self.name = name

    monkeypatch.setattr("importlib.metadata.distributions", lambda: [Found("onnxruntime"), Found("onnxruntime-gpu")])
    with pytest.raises(RuntimeFault, match="overwrite each other"):
        OnnxRuntime()


def test_cast_copy_keeps_its_ends() -> None:
    """The 16-bit copy takes the same image, gives the same types, and is half the size."""
    whole, half = families.feature(), half_precision(families.feature())
    types = [
        [item.type for item in (*session.get_inputs(), *session.get_outputs())]
        for session in (onnxruntime.InferenceSession(content, providers=[CPU]) for content in (whole, half))
    ]

    assert types[0] == types[1]
    assert len(half) < 0.6 * len(whole)


def test_large_deviation_stays_finite_in_f16() -> None:
    """A part far from everything that was seen has squares beyond the largest f16; they are summed in f32."""
    session = OnnxRuntime().load(half_precision(families.anomaly()), "f32", 1)
    session.input[...] = 255

    assert np.isfinite(session.run()["map"]).all()


QUIET = """
import appliance.runtimes.tensorrt, appliance.runtimes.onnx, sys
print([name for name in ("tensorrt", "tensorrt_rtx", "pycuda", "openvino") if name in sys.modules])
"""


def test_only_what_is_chosen_is_imported() -> None:
    """The TensorRT runtime is given its module and imports none, nor any binding of the driver."""
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True, timeout=60)

    assert "[]" == done.stdout.strip()
