"""Every driver of a CUDA device keeps the promises of `kernels.cuda.driver.Driver`, the emulated one too."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kernels.cuda.driver import Driver, DriverFault
from kernels.cuda.host import emulated
from tests.unit.cuda_rig import REAL, Device, open_device

ROOT = Path(__file__).resolve().parents[2]
RUN_LIMIT_S = 300
ONE = (1, 1, 1)


@pytest.fixture(params=["emulated", "mapped", "pycuda-second", *REAL])
def device(request):
    opened = open_device(request.param)
    yield opened
    opened.driver.close()


def copy(device: Device, source: int, target: int, pairs: int, stream: int) -> None:
    arguments = [source, target, np.int64(pairs)]
    device.driver.launch(device.module, "bandwidth_copy", (pairs // 256 + 1, 1, 1), (256, 1, 1), arguments, stream)


def test_facts_of_the_device(device) -> None:
    """Name, capability and version are there; a device that maps memory can register it."""
    driver: Driver = device.driver

    assert driver.name
    assert driver.driver_version
    assert all(isinstance(number, int) for number in driver.compute_capability)
    assert driver.host_register_supported >= driver.maps_host_memory


def test_bytes_go_up_and_come_down(device) -> None:
    """What is uploaded, copied by a kernel and downloaded is the same, pinned or not, over two streams in order."""
    driver, second = device.driver, device.driver.stream()
    sent = driver.pinned((16, 25), np.dtype(np.float32))
    sent[...] = np.arange(400).reshape(16, 25)
    first, other = driver.allocate(sent.nbytes), driver.allocate(sent.nbytes)
    driver.upload(first, sent, device.stream)
    driver.wait(second, driver.record(device.stream))
    copy(device, first, other, 100, second)
    received = driver.pinned((16, 25), np.dtype(np.float32))
    driver.download(received, other, second)
    driver.synchronise(second)

    assert device.stream != second
    assert np.array_equal(sent, received)
    assert np.array_equal(sent, device.get(other, (16, 25), np.float32))


def test_arrays_with_gaps_are_refused(device) -> None:
    """No copy takes an array whose elements lie apart."""
    pointer, gaps = device.driver.allocate(16), np.zeros(16, np.uint8)[::2]
    with pytest.raises(DriverFault, match="has gaps"):
        device.driver.upload(pointer, gaps, device.stream)
    with pytest.raises(DriverFault, match="has gaps"):
        device.driver.download(gaps, pointer, device.stream)


def test_pinned_memory_begins_at_zero(device) -> None:
    """It has the asked shape and type, in C order, and may be written."""
    memory = device.driver.pinned((3, 5), np.dtype(np.int16))

    assert ((3, 5), np.int16, True) == (memory.shape, memory.dtype, memory.flags.c_contiguous)
    assert not memory.any()


@pytest.mark.parametrize("size", [0, 1 << 50])
def test_memory_that_cannot_be_had_is_a_fault(device, size: int) -> None:
    """Nothing, and more than there is, is refused in one line."""
    with pytest.raises(DriverFault, match=r"\Aallocate.*\Z"):
        device.driver.allocate(size)


def test_memory_is_freed_once(device) -> None:
    """A pointer that is not the driver's own, or no longer, is refused."""
    pointer = device.driver.allocate(64)
    device.driver.free(pointer)
    with pytest.raises(DriverFault, match="was not allocated here"):
        device.driver.free(pointer)


def test_ring_is_registered_once(device) -> None:
    """A ring is registered, read in place where the device maps it, and given back; giving back twice is refused."""
    driver = device.driver
    ring = np.arange(1 << 16, dtype=np.uint8).reshape(16, 4096)
    if not driver.host_register_supported:
        pytest.skip(f"{driver.name} registers no host memory")
    address = driver.register(ring)
    if address is not None:
        target = driver.allocate(4096)
        copy(device, address + 4096, target, 256, device.stream)

        assert np.array_equal(ring[1], device.get(target, (4096,), np.uint8))
    driver.unregister(ring)

    assert driver.maps_host_memory is (address is not None)
    with pytest.raises(DriverFault, match="is not registered"):
        driver.unregister(ring)
    with pytest.raises(DriverFault, match=r"register: array of .* has gaps"):
        driver.register(ring[:, ::2])


def test_wrong_image_is_a_fault(device) -> None:
    """What is no binary for the device is refused with its size."""
    with pytest.raises(DriverFault, match="module of 30 bytes"):
        device.driver.module(b"this is neither cubin nor PTX\0")


def test_unknown_kernel_is_a_fault(device) -> None:
    """A kernel that the binary lacks is named."""
    with pytest.raises(DriverFault, match="launch"):
        device.driver.launch(device.module, "no_such_kernel", ONE, ONE, [], device.stream)


@pytest.mark.parametrize(("grid", "block"), [((0, 1, 1), (256, 1, 1)), (ONE, (2000, 1, 1))])
def test_impossible_launch_is_a_fault(device, grid, block) -> None:
    """What no device can launch is refused, and the device goes on working."""
    pointer = device.driver.allocate(64)
    with pytest.raises(DriverFault, match="launch bandwidth_copy"):
        device.driver.launch(
            device.module, "bandwidth_copy", grid, block, [pointer, pointer, np.int64(0)], device.stream
        )
    copy(device, pointer, pointer, 4, device.stream)
    device.driver.synchronise(device.stream)


def test_captured_launches_are_replayed(device) -> None:
    """A graph does again what was captured and does nothing while it is captured; a binding without graphs says so."""
    driver = device.driver
    first, second = device.put(np.arange(64, dtype=np.uint8)), device.put(np.zeros(64, np.uint8))
    if not driver.begin_capture(device.stream):
        with pytest.raises(DriverFault, match="captures no graphs"):
            driver.end_capture(device.stream)
        return
    copy(device, first, second, 4, device.stream)
    graph = driver.end_capture(device.stream)
    before = device.get(second, (64,), np.uint8)
    driver.replay(graph, device.stream)

    assert not before.any()
    assert list(range(64)) == device.get(second, (64,), np.uint8).tolist()


def test_another_thread_may_call(device) -> None:
    """One thread at a time, but not always the same."""
    results: list[list[int]] = []

    def work() -> None:
        pointer = device.put(np.arange(32, dtype=np.uint8))
        copy(device, pointer, pointer, 2, device.stream)
        results.append(device.get(pointer, (32,), np.uint8).tolist())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert [list(range(32))] == results


def test_close_gives_everything_back(device) -> None:
    """Closing with memory held, rings registered and streams open is clean."""
    ring = np.zeros(8192, np.uint8)
    if device.driver.host_register_supported:
        device.driver.register(ring)
    device.driver.allocate(100)
    device.driver.pinned((10,), np.dtype(np.uint8))


def test_pycuda_itself_runs_on_the_emulated_device() -> None:
    """The product's binding, where it is installed, passes all of this and every kernel test without a GPU."""
    if importlib.util.find_spec("pycuda") is None:
        pytest.skip("pycuda is not installed; it is built from source where a GPU is")
    tests = [
        "tests/contract/test_cuda_drivers.py",
        "tests/unit/test_cuda_preprocess.py",
        "tests/unit/test_cuda_decode.py",
    ]
    command = [sys.executable, "-m", "tests.unit.cuda_on_host", str(emulated.build_libcuda()), "-q", "-x", *tests]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", "-k", "pycuda and not itself"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_LIMIT_S,
    )

    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-1000:]
    assert "skipped" not in done.stdout
