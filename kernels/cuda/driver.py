"""Say what our CUDA code needs of a binding to the driver; pycuda in the product, cupy as a second, a fake in tests.

Pointers are plain integers, so that no binding's types travel. Every method raises `DriverFault` in one line when the
driver says no.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pointer = int
"""Address in device memory, or of host memory as the device sees it."""

Argument = np.generic | int
"""Kernel argument: a numpy scalar of the right width, or a pointer as a Python int (passed as 64 bits)."""


class DriverFault(Exception):
    """A CUDA call failed; the message names call and cause."""


def demand_contiguous(call: str, array: NDArray[np.generic]) -> None:
    """Raise DriverFault for an array with gaps, which no call can copy or register at once."""
    if not array.flags.c_contiguous:
        raise DriverFault(f"{call}: array of {array.shape} has gaps; give a contiguous one")


class Driver(Protocol):
    """Hold one device with its context; one thread at a time."""

    name: str
    """Of the device, for example `NVIDIA H200`."""
    compute_capability: tuple[int, int]
    driver_version: str
    host_register_supported: bool
    """Whether pageable host memory can be registered (cudaDevAttrHostRegisterSupported)."""
    maps_host_memory: bool
    """Whether the device reads registered host memory in place (integrated memory: Jetson)."""

    def stream(self) -> int:
        """Make a stream and give its handle; freed by `close`."""

    def allocate(self, size: int) -> Pointer:
        """Allocate device memory of `size` bytes; freed by `free` or `close`."""

    def free(self, pointer: Pointer) -> None:
        """Give device memory back."""

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Allocate page-locked host memory, owned by the driver until `close`."""

    def register(self, memory: NDArray[np.uint8]) -> Pointer | None:
        """Page-lock foreign host memory (a frame ring) once, and give its device address where the device maps it.

        None elsewhere: then copies run at full speed. Unregister before the memory goes away.
        """

    def unregister(self, memory: NDArray[np.uint8]) -> None:
        """Undo `register`."""

    def upload(self, target: Pointer, source: NDArray[np.generic], stream: int) -> None:
        """Copy host to device, asynchronous when the source is page-locked."""

    def download(self, target: NDArray[np.generic], source: Pointer, stream: int) -> None:
        """Copy device to host, asynchronous when the target is page-locked."""

    def record(self, stream: int) -> object:
        """Record an event behind what `stream` holds so far."""

    def wait(self, stream: int, event: object) -> None:
        """Make `stream` wait for an event, without blocking the caller."""

    def synchronise(self, stream: int) -> None:
        """Block until the stream is done."""

    def module(self, image: bytes) -> object:
        """Load a cubin, fatbin or PTX image."""

    def launch(
        self,
        module: object,
        kernel: str,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[Argument],
        stream: int,
        shared_bytes: int = 0,
    ) -> None:
        """Launch a kernel on a stream; returns at once."""

    def begin_capture(self, stream: int) -> bool:
        """Begin capturing a CUDA graph; False when this binding cannot."""

    def end_capture(self, stream: int) -> object:
        """End capturing and give a graph that `replay` runs."""

    def replay(self, graph: object, stream: int) -> None:
        """Launch a captured graph on a stream."""

    def close(self) -> None:
        """Free everything that this driver made."""
