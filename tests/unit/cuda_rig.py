"""Give tests a CUDA device: the emulated one in several moods, and a real one where there is one."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from kernels.cuda import build
from kernels.cuda.cupy_driver import CupyDriver
from kernels.cuda.driver import Driver, DriverFault, Pointer
from kernels.cuda.host import emulated
from kernels.cuda.pycuda_driver import PycudaDriver

EMULATED = ("emulated", "backward", "fused")
REAL = ("pycuda", "cupy")


class Device:
    """Hold a driver with the kernels loaded, and one stream."""

    def __init__(self, driver: Driver, image: bytes) -> None:
        self.driver = driver
        self.module = driver.module(image)
        self.stream = driver.stream()

    def put(self, array: np.ndarray) -> Pointer:
        """Give device memory with the array's values."""
        pointer = self.space(array.nbytes)
        self.driver.upload(pointer, np.ascontiguousarray(array), self.stream)
        return pointer

    def put_last(self, data: bytes) -> Pointer:
        """Give the place of these bytes at the very end of an allocation, so that one byte beyond is not readable."""
        gap = -len(data) % 16
        return self.put(np.frombuffer(bytes(gap) + data, np.uint8)) + gap

    def space(self, size: int) -> Pointer:
        return self.driver.allocate(size)

    def get(self, pointer: Pointer, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Wait, and give what device memory holds."""
        array = np.zeros(shape, dtype)
        self.driver.download(array, pointer, self.stream)
        self.driver.synchronise(self.stream)
        return array


def open_device(kind: str) -> Device:
    """Open a device by name, or skip the test with the reason."""
    if kind in EMULATED or kind == "mapped":
        return Device(
            emulated.EmulatedDriver(
                _library(fused=kind == "fused"), backward=kind == "backward", maps_host_memory=kind == "mapped"
            ),
            emulated.IMAGE,
        )
    driver = _real(kind)
    if driver.name == "host emulation":
        return Device(driver, emulated.IMAGE)
    try:
        image = build.image(build.build())
    except FileNotFoundError as missing:
        driver.close()
        pytest.skip(str(missing))
    return Device(driver, image)


def _real(kind: str) -> Driver:
    try:
        return PycudaDriver(int(kind == "pycuda-second")) if "pycuda" in kind else CupyDriver()
    except DriverFault as fault:
        pytest.skip(str(fault))


@cache
def _library(*, fused: bool) -> Path:
    if not fused:
        return emulated.build()
    if " fma " not in Path("/proc/cpuinfo").read_text("utf-8"):
        pytest.skip("this processor has no fused multiply-add to stand in for the device's")
    return emulated.build(emulated.LIBRARY.with_name("emulation-fused.so"), ("-mfma", "-ffp-contract=fast"))
