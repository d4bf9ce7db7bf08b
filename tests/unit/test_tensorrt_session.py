"""Protect the TensorRT session: order of work, memory made once, and every answer of the library looked at.

The engine is a fake in host memory (tests/trt); its interface is held against the real one in
tests/contract/test_tensorrt_names.py.
"""

import numpy as np
import pytest
from onnx import TensorProto, helper

from appliance.runtimes.onnx import OnnxRuntime
from appliance.runtimes.tensorrt import TensorRtRuntime
from appliance.runtimes.tensorrt_log import process_logger
from appliance.schema.errors import RuntimeFault
from tests.trt import fake_tensorrt, models
from tests.trt.host_driver import HostDriver

RUN = ["upload", "record", "wait", "download", "synchronise"]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    return tmp_path_factory.mktemp("engines")


@pytest.fixture
def driver() -> HostDriver:
    return HostDriver()


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch):
    """Make one thing of the library go wrong, in this process."""
    return lambda mode: monkeypatch.setitem(fake_tensorrt.BEHAVIOUR, "mode", mode)


@pytest.fixture
def open_session(driver: HostDriver, engines):
    """Give a loader of the small model; the engine is built once."""

    def load(content: bytes | None = None, precision: str = "f32", *, graph: bool = False):
        runtime = TensorRtRuntime(fake_tensorrt, driver, engines, graph=graph)
        return runtime.load(content or models.small(), precision, 1)

    return load


def expected(image: np.ndarray) -> np.ndarray:
    reference = OnnxRuntime().load(models.small(), "f32", 1)
    reference.input[...] = image
    return reference.run()["map"].copy()


def image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("graph", [False, True])
def test_each_run_sees_its_own_input(open_session, graph: bool) -> None:
    """Upload, execution and download follow one another across both streams, captured as a graph or not."""
    session = open_session(graph=graph)

    assert graph == session.captured
    for seed in range(3):
        session.input[...] = image(seed)

        assert np.array_equal(expected(image(seed)), session.run()["map"])


def test_a_run_makes_nothing(open_session, driver: HostDriver) -> None:
    """After loading, a run allocates nothing on either side, makes no stream, and brings back results alone."""
    session = open_session()
    addresses = {name: array.ctypes.data for name, array in session.run().items()}
    driver.calls.clear()
    outputs = [session.run() for _ in range(3)][-1]

    assert 3 * RUN == driver.calls
    assert addresses == {name: array.ctypes.data for name, array in outputs.items()}


def test_a_graph_is_one_launch(open_session, driver: HostDriver) -> None:
    """A captured run asks the library for nothing."""
    session = open_session(graph=True)
    driver.calls.clear()
    session.run()

    assert ["upload", "record", "wait", "replay", "download", "synchronise"] == driver.calls


def test_binding_without_graphs_runs_plainly(engines) -> None:
    """Where the binding cannot capture, the session runs and says so."""
    driver = HostDriver(captures=False)
    session = TensorRtRuntime(fake_tensorrt, driver, engines, graph=True).load(models.small(), "f32", 1)
    session.input[...] = image(1)

    assert not session.captured
    assert np.array_equal(expected(image(1)), session.run()["map"])


def test_kernels_write_the_input_in_place(open_session, driver: HostDriver) -> None:
    """What a kernel leaves at `input_pointer` on the session's stream is what is inspected, with no upload."""
    session = open_session()
    frame = image(2)
    driver.upload(session.input_pointer, frame, session.stream)  # stands for the kernel
    driver.calls.clear()

    assert np.array_equal(expected(frame), session.run_prepared()["map"])
    assert ["download", "synchronise"] == driver.calls


def test_input_is_blank_after_warming(open_session) -> None:
    """The noise of the warm-up is not left for anyone to take for a frame."""
    assert not open_session().input.any()


def test_close_gives_memory_back(open_session, driver: HostDriver) -> None:
    """A swapped bundle leaves nothing on the device, and its session runs no more."""
    session = open_session()
    session.close()

    assert {} == driver.live
    with pytest.raises(RuntimeFault, match=r"^[^\n]*session is closed[^\n]*|^[^\n]*holds no[^\n]*$"):
        session.run()


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("zeros", "every output is zero"),
        ("unwritten", "output map is never written"),
        ("refuse to run", "inference failed"),
        ("foreign", "plan of [0-9]+ bytes does not load; it said cudaError 35"),
        ("nullptr", "no runtime: factory function returned nullptr"),
        ("no context", "no execution context"),
        ("unbound", "tensors cannot be bound"),
        ("renamed", "engine has tensors image_renamed, map_renamed, the model image, map"),
        ("retyped", r"is int32 \(1, 16, 16, 3\) in the engine, uint8 \(1, 16, 16, 3\) in the model"),
        ("host", "tensor image is uint8"),
    ],
)
def test_wrong_engine_never_goes_live(open_session, driver: HostDriver, behave, mode: str, reason: str) -> None:
    """Whatever a load answers or an engine computes wrongly is a fault of one line, and its memory is given back."""
    behave(mode)
    with pytest.raises(RuntimeFault, match=rf"^[^\n]*{reason}[^\n]*; [^\n;]+$"):
        open_session()

    assert {} == driver.live


def test_refusal_in_service_is_a_fault(open_session, behave) -> None:
    """An engine that refuses one run is a fault for that part, and nothing else."""
    session = open_session()
    behave("refuse to run")
    with pytest.raises(RuntimeFault, match=r"^[^\n]*inference failed; it said nothing; load the bundle again$"):
        session.run()
    behave("")
    session.input[...] = image(1)

    assert np.array_equal(expected(image(1)), session.run()["map"])


@pytest.mark.parametrize("call", ["upload", "wait", "download", "synchronise"])
def test_device_fault_in_service_is_a_fault(open_session, driver: HostDriver, call: str) -> None:
    """A CUDA call that fails is named."""
    session = open_session()
    driver.fails.add(call)
    with pytest.raises(RuntimeFault, match=rf"^tensorrt 10\.3\.0: inference failed: {call}: [^\n]*$"):
        session.run()


@pytest.mark.parametrize("call", ["stream", "pinned", "allocate", "begin_capture", "end_capture", "replay"])
def test_device_fault_while_loading_is_a_fault(open_session, driver: HostDriver, call: str) -> None:
    """Too little memory, or a capture that fails, leaves no session and no memory behind."""
    driver.fails.add(call)
    with pytest.raises(RuntimeFault, match=rf"^[^\n]*{call}: the device says no[^\n]*$"):
        open_session(graph=True)

    assert {} == driver.live


def test_full_device_leaves_nothing(open_session, driver: HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the second tensor does not fit, the first one's memory is given back."""
    monkeypatch.setattr("tests.trt.host_driver.DEVICE_BYTES", 1000)
    with pytest.raises(RuntimeFault, match=r"^[^\n]*out of memory; free device memory$"):
        open_session()

    assert {} == driver.live


@pytest.mark.parametrize("content", [models.small(3), models.typed()])
def test_half_precision_is_near(open_session, content: bytes) -> None:
    """The 16-bit copy keeps input, types and shapes, and comes within 1 % of the largest value."""
    half, full = open_session(content, "f16"), OnnxRuntime().load(content, "f32", 1)
    for session in (half, full):
        session.input[...] = np.random.default_rng(7).integers(0, 256, session.input.shape, np.uint8)
    reference, outputs = full.run(), half.run()

    assert "f16" == half.precision
    for name, array in reference.items():
        assert (array.dtype, array.shape) == (outputs[name].dtype, outputs[name].shape)
        if array.dtype == np.float32:
            assert np.abs(array - outputs[name]).max() <= 0.01 * np.abs(array).max()


def test_lost_device_keeps_the_reason(open_session, driver: HostDriver, behave) -> None:
    """A device that is lost frees nothing either, and that does not hide what went wrong first."""
    driver.fails.add("free")
    behave("zeros")
    with pytest.raises(RuntimeFault, match="every output is zero"):
        open_session()


def test_one_logger_for_life() -> None:
    """The library keeps the first logger of a process for ever, so there is never a second one."""
    assert process_logger(fake_tensorrt) is process_logger(fake_tensorrt)


def test_choice_of_precision(driver: HostDriver, tmp_path) -> None:
    """A GPU computes in f16 unless told otherwise; bf16 is not offered, and nothing is replaced in silence."""
    runtime = TensorRtRuntime(fake_tensorrt, driver, tmp_path)

    assert ["f16", "f32", "int8"] == [runtime.choose(name) for name in ("auto", "f32", "int8")]
    with pytest.raises(RuntimeFault, match="precision bf16 is not one of f32, f16, int8"):
        runtime.choose("bf16")


def test_old_library_is_refused(driver: HostDriver, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT before 10.3 lacks names that are used."""
    monkeypatch.setattr(fake_tensorrt, "__name__", "tensorrt")
    monkeypatch.setattr(fake_tensorrt, "__version__", "10.2.0.post1")
    with pytest.raises(RuntimeFault, match=r"^tensorrt 10\.2\.0\.post1: is older than 10\.3; update it$"):
        TensorRtRuntime(fake_tensorrt, driver, tmp_path)


def test_64_bit_arithmetic_is_refused(open_session) -> None:
    """The library takes doubles and builds them; a GPU of the edge computes them at a 64th of the speed, or not."""

    def widen(proto) -> None:
        proto.graph.node[-1].output[0] = "numbers"
        proto.graph.node.append(helper.make_node("Cast", ["numbers"], ["doubled"], to=TensorProto.DOUBLE))
        proto.graph.node.append(helper.make_node("Cast", ["doubled"], ["map"], to=TensorProto.FLOAT))

    with pytest.raises(
        RuntimeFault, match=r"^tensorrt: doubled is 64-bit floating point; export the model in 32 bits$"
    ):
        open_session(models.changed(models.small(), widen))
