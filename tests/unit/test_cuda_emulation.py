"""The emulated device finds the faults of kernels and launches that a real one would have or hide."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest

from kernels.cuda.driver import DriverFault
from kernels.cuda.host import emulated
from kernels.cuda.host.emulated import EmulatedDriver

SOURCE = """
#include "device.cuh"
KERNEL(64) fine(int *out, float f, double d, long long q, unsigned u) {
    out[threadIdx.x] = int(f + d) + int(q) + int(u); }
KERNEL(64) divergent(int *out) { if (threadIdx.x < 9) __syncthreads(); out[threadIdx.x] = 1; }
KERNEL(64) racy(int *out) {
    __shared__ int line[64];
    line[threadIdx.x] = threadIdx.x;
    out[threadIdx.x] = line[threadIdx.x ^ 1]; }
KERNEL(64) joined(int *out) {
    __shared__ int line[64];
    line[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = line[threadIdx.x ^ 1]; }
KERNEL(64) beyond(int *out, int n) { out[n] = 1; }
KERNEL(64) beyond_shared(int *out, int n) { out[0] = reinterpret_cast<int *>(dynamic_shared)[n]; }
KERNEL(64) beyond_static(int *out, int n) { __shared__ int line[8]; line[n] = 1; out[0] = line[n]; }
KERNEL(64) crooked(unsigned char *out, int n) { *reinterpret_cast<int *>(out + n) = 1; }
KERNEL(64) overflow(int *out, int n) { out[0] = n * 2; }
KERNEL(64) unwritten(int *out) { out[threadIdx.x] = reinterpret_cast<int *>(dynamic_shared)[threadIdx.x]; }
"""
ONE, BLOCK = (1, 1, 1), (64, 1, 1)


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("faulty")
    (folder / "faulty.cu").write_text(SOURCE)
    return emulated.build(folder / "faulty.so", (), [folder / "faulty.cu"])


@pytest.fixture
def driver(library):
    opened = EmulatedDriver(library)
    yield opened
    opened.close()


def launch(driver: EmulatedDriver, kernel: str, *arguments, grid=ONE, block=BLOCK, shared_bytes=0):
    out = driver.allocate(64 * 4)
    driver.launch(driver.module(emulated.IMAGE), kernel, grid, block, [out, *arguments], 0, shared_bytes)
    result = np.zeros(64, np.int32)
    driver.download(result, out, 0)
    return result


def test_arguments_arrive(driver) -> None:
    """Each type arrives by its width."""
    result = launch(driver, "fine", np.float32(1.5), np.float64(2.5), np.int64(30), np.uint32(400))

    assert {434} == set(result.tolist())


@pytest.mark.parametrize(
    "arguments",
    [(), (np.float64(1), np.float64(2), np.int64(3), np.uint32(4)), (np.float32(1), np.float64(2), 3, np.uint32(4))],
)
def test_wrong_arguments_are_refused(driver, arguments) -> None:
    """A wrong number or width, which a real device takes for other values, is a fault."""
    with pytest.raises(
        DriverFault, match=r"launch fine: arguments are .*, the kernel takes \['P', 'float32', 'float64'"
    ):
        launch(driver, "fine", *arguments)


def test_barrier_that_some_pass_is_a_fault(driver) -> None:
    """A barrier in a branch that not all threads take is found."""
    with pytest.raises(DriverFault, match="divergent: block 0 0 0: a barrier is not reached by all threads"):
        launch(driver, "divergent")


def test_missing_barrier_shows_in_the_order(library) -> None:
    """With its barrier a kernel gives the same forwards and backwards, without it does not."""
    results = {
        kernel: [launch(EmulatedDriver(library, backward=backward), kernel).tolist() for backward in (False, True)]
        for kernel in ("racy", "joined")
    }

    assert results["joined"][0] == results["joined"][1]
    assert results["racy"][0] != results["racy"][1]


@pytest.mark.parametrize(
    ("kernel", "number", "message"),
    [
        ("beyond", 64, "illegal address at 0x"),
        ("beyond", -9000, "illegal address at 0x"),
        ("beyond_shared", 16, "illegal address at 0x"),
        ("beyond_static", 8, "overflow, index or alignment"),
        ("crooked", 2, "overflow, index or alignment"),
        ("overflow", 2**30, "overflow, index or alignment"),
    ],
)
def test_faults_end_the_launch_not_the_process(driver, kernel: str, number: int, message: str) -> None:
    """What leaves memory, a shared array, alignment or the range of a number is named with block and thread."""
    with pytest.raises(DriverFault, match=f"{kernel}: {message}.*block 0 0 0, thread 0 0 0"):
        launch(driver, kernel, np.int32(number), shared_bytes=64)

    assert {434} == set(launch(driver, "fine", np.float32(1.5), np.float64(2.5), np.int64(30), np.uint32(400)).tolist())


def test_shared_memory_does_not_begin_at_zero(driver) -> None:
    """What no thread wrote is garbage, as on a device."""
    assert 0 not in launch(driver, "unwritten", shared_bytes=256).tolist()


@pytest.mark.parametrize(
    ("grid", "block", "shared_bytes"),
    [
        ((0, 1, 1), BLOCK, 0),
        ((1, 65536, 1), BLOCK, 0),
        (ONE, (1025, 1, 1), 0),
        (ONE, (1, 1, 65), 0),
        (ONE, BLOCK, (48 << 10) + 1),
    ],
)
def test_impossible_launches_are_refused(driver, grid, block, shared_bytes: int) -> None:
    """Grids, blocks and shared memory beyond what every device takes are refused."""
    with pytest.raises(DriverFault, match="joined: invalid configuration"):
        launch(driver, "joined", grid=grid, block=block, shared_bytes=shared_bytes)


def test_bytes_beside_a_buffer_are_watched(driver) -> None:
    """The few bytes between a buffer and its guard page are looked at when it is freed."""
    memory = driver.allocate(10)
    driver.launch(driver.module(emulated.IMAGE), "beyond", ONE, ONE, [memory, np.int32(3)], 0)
    with pytest.raises(DriverFault, match=r"bytes beside the 10 at 0x\w+ were written"):
        driver.free(memory)


def test_copies_stay_in_their_buffer(driver) -> None:
    """A copy that would pass the end of a buffer is a fault, not a fault of the process."""
    memory = driver.allocate(16)
    with pytest.raises(DriverFault, match="leave the device memory"):
        driver.upload(memory + 8, np.zeros(9, np.uint8), 0)


def test_driver_library_is_built_too() -> None:
    """The emulated device also comes as the driver's library, under its name, for a binding to run on."""
    library = ctypes.CDLL(str(emulated.build_libcuda()))
    function = ctypes.c_void_p()

    assert (0, 0) == (library.cuInit(0), library.cuModuleGetFunction(ctypes.byref(function), None, b"preprocess_mono"))
    assert function.value


@pytest.mark.slow
def test_zig_emulates_as_well(tmp_path, monkeypatch) -> None:
    """A machine whose only compiler is the ziglang package finds the same faults."""
    pytest.importorskip("ziglang")
    monkeypatch.setattr(emulated, "compiler", lambda: [sys.executable, "-m", "ziglang", "c++"])
    (tmp_path / "faulty.cu").write_text(SOURCE)
    opened = EmulatedDriver(emulated.build(tmp_path / "zig.so", (), [tmp_path / "faulty.cu"]))
    result = launch(opened, "joined")
    with pytest.raises(DriverFault, match="illegal address"):
        launch(opened, "beyond", np.int32(64))
    opened.close()

    assert [number ^ 1 for number in range(64)] == result.tolist()
