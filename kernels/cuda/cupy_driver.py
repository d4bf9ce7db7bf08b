"""Drive a CUDA device through cupy, the second binding: it checks the first, and it captures CUDA graphs.

Names and calls were checked against cupy 14.2. It works in the device's primary context.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, DriverFault, Pointer, demand_contiguous


class CupyDriver:
    """Implement `Driver`; raises DriverFault where cupy, a driver or the device is missing."""

    def __init__(self, ordinal: int = 0) -> None:
        try:
            cuda: Any = import_module("cupy.cuda")
        except ImportError as cause:
            raise DriverFault(f"cupy: {_line(cause)}; install cupy and the NVIDIA driver") from cause
        self._driver, self._runtime, self._module_type = cuda.driver, cuda.runtime, cuda.function.Module
        runtime = self._runtime
        self._faults = (cuda.driver.CUDADriverError, runtime.CUDARuntimeError)
        self._ordinal = ordinal
        with self._call(f"cupy: device {ordinal}"):
            properties = runtime.getDeviceProperties(ordinal)
            version = runtime.driverGetVersion()
            self.host_register_supported = self._has(runtime.cudaDevAttrHostRegisterSupported)
            self._read_only_supported = self._has(runtime.cudaDevAttrHostRegisterReadOnlySupported)
            self.maps_host_memory = self._has(runtime.cudaDevAttrIntegrated) and self.host_register_supported
        self.name: str = properties["name"].decode()
        self.compute_capability: tuple[int, int] = (int(properties["major"]), int(properties["minor"]))
        self.driver_version = f"CUDA {version // 1000}.{version % 1000 // 10}"
        self._streams: list[int] = []
        self._passed: dict[int, int] = {}
        self._memory: set[Pointer] = set()
        self._pinned: list[int] = []
        self._registered: set[int] = set()
        self._functions: dict[tuple[int, str], Any] = {}
        self._modules: list[Any] = []
        self._graphs: list[int] = []
        self._clock: tuple[int, int] | None = None

    def stream(self) -> int:
        """See `Driver`."""
        with self._call("stream"):
            handle = int(self._runtime.streamCreate())
            self._streams.append(handle)
            self._passed[handle] = self._runtime.eventCreateWithFlags(self._runtime.eventDisableTiming)
        return handle

    def allocate(self, size: int) -> Pointer:
        """See `Driver`."""
        if size < 1:
            raise DriverFault(f"allocate: {size} bytes cannot be had; ask for at least 1")
        with self._call(f"allocate {size} bytes"):
            pointer = int(self._runtime.malloc(size))
        self._memory.add(pointer)
        return pointer

    def free(self, pointer: Pointer) -> None:
        """See `Driver`."""
        if pointer not in self._memory:
            raise DriverFault(f"free: {pointer:#x} was not allocated here; free what `allocate` gave, once")
        self._memory.remove(pointer)
        with self._call("free"):
            self._runtime.free(pointer)

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """See `Driver`."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        with self._call(f"pinned {shape} {dtype}"):
            address = int(self._runtime.hostAlloc(size, self._runtime.hostAllocMapped))
        self._pinned.append(address)
        held = (ctypes.c_uint8 * size).from_address(address)
        memory: NDArray[np.generic] = np.ctypeslib.as_array(held).view(dtype).reshape(shape)
        memory[...] = np.zeros((), dtype)
        return memory

    def register(self, memory: NDArray[np.uint8]) -> Pointer | None:
        """See `Driver`."""
        if not self.host_register_supported:
            return None
        demand_contiguous("register", memory)
        flags = _REGISTER_MAPPED
        if not memory.flags.writeable and self._read_only_supported:
            flags |= _REGISTER_READ_ONLY
        with self._call(f"register {memory.nbytes} bytes"):
            self._runtime.hostRegister(memory.ctypes.data, memory.nbytes, flags)
            self._registered.add(memory.ctypes.data)
            if not self.maps_host_memory:
                return None
            return int(self._runtime.pointerGetAttributes(memory.ctypes.data).devicePointer)

    def unregister(self, memory: NDArray[np.uint8]) -> None:
        """See `Driver`."""
        if memory.ctypes.data not in self._registered:
            raise DriverFault(f"unregister: memory of {memory.shape} is not registered; register it first")
        with self._call("unregister"):
            self._runtime.hostUnregister(memory.ctypes.data)
        self._registered.remove(memory.ctypes.data)

    def upload(self, target: Pointer, source: NDArray[np.generic], stream: int) -> None:
        """See `Driver`."""
        demand_contiguous("upload", source)
        kind = self._runtime.memcpyHostToDevice
        with self._call(f"upload {source.nbytes} bytes"):
            self._runtime.memcpyAsync(target, source.ctypes.data, source.nbytes, kind, stream)

    def download(self, target: NDArray[np.generic], source: Pointer, stream: int) -> None:
        """See `Driver`."""
        demand_contiguous("download", target)
        kind = self._runtime.memcpyDeviceToHost
        with self._call(f"download {target.nbytes} bytes"):
            self._runtime.memcpyAsync(target.ctypes.data, source, target.nbytes, kind, stream)

    def record(self, stream: int) -> object:
        """See `Driver`; the event is the stream's own, recorded anew each time."""
        with self._call("record"):
            self._runtime.eventRecord(self._passed[stream], stream)
        return self._passed[stream]

    def wait(self, stream: int, event: object) -> None:
        """See `Driver`."""
        with self._call("wait"):
            self._runtime.streamWaitEvent(stream, event, 0)

    def synchronise(self, stream: int) -> None:
        """See `Driver`."""
        with self._call("synchronise"):
            self._runtime.streamSynchronize(stream)

    def module(self, image: bytes) -> object:
        """See `Driver`."""
        loaded = self._module_type()
        with self._call(f"module of {len(image)} bytes"):
            loaded.load(image)
        self._modules.append(loaded)
        return loaded

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
        """See `Driver`."""
        values = [np.array([item], np.uint64 if isinstance(item, int) else None) for item in arguments]
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        with self._call(f"launch {kernel}"):
            function = self._functions.get((id(module), kernel))
            if function is None:
                loaded: Any = module
                function = self._functions[id(module), kernel] = loaded.get_function(kernel)
            self._driver.launchKernel(function.ptr, *grid, *block, shared_bytes, stream, ctypes.addressof(addresses), 0)

    def begin_capture(self, stream: int) -> bool:
        """See `Driver`."""
        with self._call("begin_capture"):
            self._runtime.streamBeginCapture(stream, self._runtime.streamCaptureModeThreadLocal)
        return True

    def end_capture(self, stream: int) -> object:
        """See `Driver`."""
        with self._call("end_capture"):
            graph = self._runtime.streamEndCapture(stream)
            ready = int(self._runtime.graphInstantiate(graph))
            self._runtime.graphDestroy(graph)
        self._graphs.append(ready)
        return ready

    def replay(self, graph: object, stream: int) -> None:
        """See `Driver`."""
        with self._call("replay"):
            self._runtime.graphLaunch(graph, stream)

    def measure_ms(self, stream: int, action: Callable[[], None]) -> float:
        """Give the device's time for what `action` puts on the stream, ms; blocks until it is done."""
        runtime = self._runtime
        with self._call("measure"):
            begin, end = self._clock = self._clock or (runtime.eventCreate(), runtime.eventCreate())
            runtime.eventRecord(begin, stream)
        action()
        with self._call("measure"):
            runtime.eventRecord(end, stream)
            runtime.eventSynchronize(end)
            return float(runtime.eventElapsedTime(begin, end))

    def close(self) -> None:
        """See `Driver`."""
        runtime = self._runtime
        with self._call("close"):
            for stream in self._streams:
                runtime.streamSynchronize(stream)
            for release, owned in (
                (runtime.graphExecDestroy, self._graphs),
                (runtime.hostUnregister, self._registered),
                (runtime.freeHost, self._pinned),
                (runtime.free, self._memory),
                (runtime.eventDestroy, [*self._passed.values(), *(self._clock or ())]),
                (runtime.streamDestroy, self._streams),
            ):
                for handle in owned:
                    release(handle)
                owned.clear()
        self._passed.clear()
        self._functions.clear()
        self._modules.clear()
        self._clock = None

    def _has(self, attribute: int) -> bool:
        return bool(self._runtime.deviceGetAttribute(attribute, self._ordinal))

    @contextmanager
    def _call(self, call: str) -> Iterator[None]:
        """Name the call in its fault; the device is chosen for the calling thread."""
        try:
            self._runtime.setDevice(self._ordinal)
            yield
        except self._faults as cause:
            raise DriverFault(f"{call}: {_line(cause)}") from cause


# cudaHostRegisterMapped and cudaHostRegisterReadOnly of driver_types.h, for which cupy has no names.
_REGISTER_MAPPED = 0x02
_REGISTER_READ_ONLY = 0x08


def _line(cause: Exception) -> str:
    return " ".join(str(cause).split())
