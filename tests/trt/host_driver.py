"""Stand in for a GPU in host memory: pointers are real addresses, streams hold work until somebody waits for it.

Work that is not waited for is never done, so a missing wait or synchronisation shows as a wrong result.
"""

import ctypes
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, DriverFault, Pointer

Work = Callable[[], None]
DEVICE_BYTES = 1 << 30
_handles = count(1)
_streams: dict[int, "HostDriver"] = {}


def enqueue(stream: int, work: Work) -> bool:
    """Put work on a stream from outside, as a library with a stream handle does; False for an unknown stream."""
    if stream not in _streams:
        return False
    _streams[stream].put(stream, work)
    return True


class HostDriver:
    """Do what `kernels.cuda.driver.Driver` says, one thread at a time."""

    def __init__(
        self,
        name: str = "Host 1",
        compute_capability: tuple[int, int] = (8, 9),
        *,
        captures: bool = True,
        eager: bool = False,
    ) -> None:
        """Choose what the device is; an eager one does all work at once, for a library that knows no such streams."""
        self.name = name
        self.compute_capability = compute_capability
        self.driver_version = "580.1"
        self.host_register_supported = False
        self.maps_host_memory = False
        self.calls: list[str] = []
        self.fails: set[str] = set()
        """Calls that raise."""
        self.live: dict[Pointer, NDArray[np.uint8]] = {}
        self._captures = captures
        self._eager = eager
        self._queues: dict[int, list[Work]] = {}
        self._captured: dict[int, list[Work]] = {}

    def stream(self) -> int:
        """Make a stream."""
        self._note("stream")
        handle = next(_handles)
        self._queues[handle] = []
        _streams[handle] = self
        return handle

    def allocate(self, size: int) -> Pointer:
        """Allocate memory that holds no zeros, as a device's does."""
        self._note("allocate")
        if sum(block.size for block in self.live.values()) + size > DEVICE_BYTES:
            raise DriverFault(f"allocate: {size} bytes: out of memory")
        block = np.full(max(size, 1), 0x5A, np.uint8)
        self.live[block.ctypes.data] = block
        return block.ctypes.data

    def free(self, pointer: Pointer) -> None:
        """Give memory back; twice is a fault."""
        self._note("free")
        if self.live.pop(pointer, None) is None:
            raise DriverFault(f"free: {pointer:#x} is no allocation")

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """Allocate host memory."""
        self._note("pinned")
        return np.zeros(shape, dtype)

    def register(self, memory: NDArray[np.uint8]) -> Pointer | None:
        """Say that this device maps nothing."""
        return None

    def unregister(self, memory: NDArray[np.uint8]) -> None:
        """Undo nothing."""

    def upload(self, target: Pointer, source: NDArray[np.generic], stream: int) -> None:
        """Copy when the stream gets there."""
        self._note("upload")
        self._check(target, source.nbytes)
        self.put(stream, lambda: _move(target, source.ctypes.data, source.nbytes))

    def download(self, target: NDArray[np.generic], source: Pointer, stream: int) -> None:
        """Copy when the stream gets there."""
        self._note("download")
        self._check(source, target.nbytes)
        self.put(stream, lambda: _move(target.ctypes.data, source, target.nbytes))

    def record(self, stream: int) -> object:
        """Name the work that a stream holds now."""
        self._note("record")
        return (stream, list(self._queues[stream]))

    def wait(self, stream: int, event: object) -> None:
        """Do an event's work before what follows on the stream."""
        self._note("wait")
        other, held = event  # type: ignore[misc]

        def work() -> None:
            while self._queues[other] and self._queues[other][0] in held:
                self._queues[other].pop(0)()

        self.put(stream, work)

    def synchronise(self, stream: int) -> None:
        """Do all that the stream holds."""
        self._note("synchronise")
        queue = self._queues[stream]
        while queue:
            queue.pop(0)()

    def module(self, image: bytes) -> object:
        """Refuse: no kernel runs on a host."""
        raise DriverFault("module: this is no GPU")

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
        """Refuse: no kernel runs on a host."""
        raise DriverFault(f"launch: {kernel}: this is no GPU")

    def begin_capture(self, stream: int) -> bool:
        """Begin to collect instead of to do."""
        self._note("begin_capture")
        if self._captures:
            self._captured[stream] = []
        return self._captures

    def end_capture(self, stream: int) -> object:
        """Give what was collected."""
        self._note("end_capture")
        return self._captured.pop(stream)

    def replay(self, graph: object, stream: int) -> None:
        """Put collected work on a stream."""
        self._note("replay")
        for work in graph:  # type: ignore[attr-defined]
            self.put(stream, work)

    def close(self) -> None:
        """Free everything."""
        self.live.clear()
        for handle in self._queues:
            _streams.pop(handle, None)

    def put(self, stream: int, work: Work) -> None:
        """Append work to a stream, or to the capture of it."""
        if self._eager:
            work()
        else:
            self._captured.get(stream, self._queues[stream]).append(work)

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fails:
            raise DriverFault(f"{call}: the device says no")

    def _check(self, pointer: Pointer, size: int) -> None:
        if pointer not in self.live or self.live[pointer].size < size:
            raise DriverFault(f"copy: {pointer:#x} holds no {size} bytes")


def _move(target: int, source: int, size: int) -> None:
    ctypes.memmove(target, source, size)
