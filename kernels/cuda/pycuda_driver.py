"""Drive a CUDA device through pycuda, the binding of the product.

Names and calls were checked against the source of pycuda 2026.1. It captures no CUDA graphs, so `begin_capture` says
no. Its `register_host_memory` gives a numpy array a second base, which numpy refuses, and the process dies of it; so
registering goes to the driver's library itself.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.driver import Argument, DriverFault, Pointer, demand_contiguous

# cuda.h, CUdevice_attribute and CU_MEMHOSTREGISTER_*: values that pycuda has no names for.
HOST_REGISTER_SUPPORTED = 99
REGISTER_MAPPED = 0x02
REGISTER_READ_ONLY = 0x08
LIBRARY = "libcuda.so.1"


class PycudaDriver:
    """Implement `Driver` in the device's primary context, which TensorRT and ONNX Runtime share.

    The context is current only within a call, so that any thread may call (one at a time) and none is left with it.
    Raises DriverFault where pycuda, a driver or the device is missing.
    """

    def __init__(self, ordinal: int = 0) -> None:
        try:
            cuda: Any = import_module("pycuda.driver")
        except ImportError as cause:
            raise DriverFault(f"pycuda: {_line(cause)}; install pycuda and the NVIDIA driver") from cause
        self._cuda = cuda
        try:
            cuda.init()
            device = cuda.Device(ordinal)
            self.name: str = device.name()
            self.compute_capability: tuple[int, int] = device.compute_capability()
            version = cuda.get_driver_version()
            attribute = cuda.device_attribute
            self.host_register_supported = bool(device.get_attribute(attribute(HOST_REGISTER_SUPPORTED)))
            self._read_only_supported = bool(device.get_attribute(attribute.READ_ONLY_HOST_REGISTER_SUPPORTED))
            self.maps_host_memory = bool(device.get_attribute(attribute.INTEGRATED)) and self.host_register_supported
            self._context: Any = device.retain_primary_context()
        except cuda.Error as cause:
            raise DriverFault(f"pycuda: device {ordinal}: {_line(cause)}; check the driver and the number") from cause
        self._library = ctypes.CDLL(LIBRARY)
        self.driver_version = f"CUDA {version // 1000}.{version % 1000 // 10}"
        self._streams: dict[int, Any] = {0: None}
        self._passed: dict[int, Any] = {}
        self._memory: dict[Pointer, Any] = {}
        self._pinned: list[NDArray[np.generic]] = []
        self._registered: set[int] = set()
        self._functions: dict[tuple[int, str], Any] = {}
        self._modules: list[Any] = []
        self._clock: tuple[Any, Any] | None = None

    def stream(self) -> int:
        """See `Driver`."""
        with self._active("stream"):
            made = self._cuda.Stream(flags=0)
            handle = int(made.handle)
            self._streams[handle] = made
            self._passed[handle] = self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)
        return handle

    def allocate(self, size: int) -> Pointer:
        """See `Driver`."""
        with self._active(f"allocate {size} bytes"):
            allocation = self._cuda.mem_alloc(size)
        self._memory[int(allocation)] = allocation
        return int(allocation)

    def free(self, pointer: Pointer) -> None:
        """See `Driver`."""
        allocation = self._memory.pop(pointer, None)
        if allocation is None:
            raise DriverFault(f"free: {pointer:#x} was not allocated here; free what `allocate` gave, once")
        with self._active("free"):
            allocation.free()

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """See `Driver`."""
        with self._active(f"pinned {shape} {dtype}"):
            memory: NDArray[np.generic] = self._cuda.pagelocked_empty(
                shape, dtype, mem_flags=self._cuda.host_alloc_flags.DEVICEMAP
            )
        memory[...] = np.zeros((), dtype)
        self._pinned.append(memory)
        return memory

    def register(self, memory: NDArray[np.uint8]) -> Pointer | None:
        """See `Driver`."""
        if not self.host_register_supported:
            return None
        demand_contiguous("register", memory)
        flags = REGISTER_MAPPED
        if not memory.flags.writeable and self._read_only_supported:
            flags |= REGISTER_READ_ONLY
        address, mapped = ctypes.c_void_p(memory.ctypes.data), ctypes.c_uint64()
        with self._active(f"register {memory.nbytes} bytes"):
            self._ask("cuMemHostRegister_v2", address, ctypes.c_size_t(memory.nbytes), ctypes.c_uint(flags))
            self._registered.add(memory.ctypes.data)
            if not self.maps_host_memory:
                return None
            self._ask("cuMemHostGetDevicePointer_v2", ctypes.byref(mapped), address, ctypes.c_uint(0))
        return mapped.value

    def unregister(self, memory: NDArray[np.uint8]) -> None:
        """See `Driver`."""
        if memory.ctypes.data not in self._registered:
            raise DriverFault(f"unregister: memory of {memory.shape} is not registered; register it first")
        with self._active("unregister"):
            self._ask("cuMemHostUnregister", ctypes.c_void_p(memory.ctypes.data))
        self._registered.remove(memory.ctypes.data)

    def upload(self, target: Pointer, source: NDArray[np.generic], stream: int) -> None:
        """See `Driver`."""
        demand_contiguous("upload", source)
        with self._active(f"upload {source.nbytes} bytes"):
            self._cuda.memcpy_htod_async(target, source, self._streams[stream])

    def download(self, target: NDArray[np.generic], source: Pointer, stream: int) -> None:
        """See `Driver`."""
        demand_contiguous("download", target)
        with self._active(f"download {target.nbytes} bytes"):
            self._cuda.memcpy_dtoh_async(target, source, self._streams[stream])

    def record(self, stream: int) -> object:
        """See `Driver`; the event is the stream's own, recorded anew each time."""
        with self._active("record"):
            return self._passed[stream].record(self._streams[stream])

    def wait(self, stream: int, event: object) -> None:
        """See `Driver`."""
        with self._active("wait"):
            self._streams[stream].wait_for_event(event)

    def synchronise(self, stream: int) -> None:
        """See `Driver`."""
        with self._active("synchronise"):
            self._streams[stream].synchronize()

    def module(self, image: bytes) -> object:
        """See `Driver`."""
        with self._active(f"module of {len(image)} bytes"):
            loaded = self._cuda.module_from_buffer(image)
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
        with self._active(f"launch {kernel}"):
            function = self._functions.get((id(module), kernel))
            if function is None:
                loaded: Any = module
                function = self._functions[id(module), kernel] = loaded.get_function(kernel)
            function(
                *(np.uint64(argument) if isinstance(argument, int) else argument for argument in arguments),
                grid=grid,
                block=block,
                shared=shared_bytes,
                stream=self._streams[stream],
            )

    def begin_capture(self, stream: int) -> bool:
        """Say no: pycuda has no graphs."""
        return False

    def end_capture(self, stream: int) -> object:
        """Raise DriverFault: nothing was begun."""
        raise DriverFault("end_capture: pycuda captures no graphs; launch directly when `begin_capture` says no")

    def replay(self, graph: object, stream: int) -> None:
        """Raise DriverFault: there are no graphs."""
        raise DriverFault("replay: pycuda captures no graphs; launch directly when `begin_capture` says no")

    def measure_ms(self, stream: int, action: Callable[[], None]) -> float:
        """Give the device's time for what `action` puts on the stream, ms; blocks until it is done."""
        with self._active("measure"):
            begin, end = self._clock = self._clock or (self._cuda.Event(0), self._cuda.Event(0))
            begin.record(self._streams[stream])
        action()
        with self._active("measure"):
            end.record(self._streams[stream])
            end.synchronize()
            return float(end.time_since(begin))

    def close(self) -> None:
        """See `Driver`."""
        with self._active("close"):
            for stream in self._streams.values():
                if stream is not None:
                    stream.synchronize()
            for address in self._registered:
                self._ask("cuMemHostUnregister", ctypes.c_void_p(address))
            for memory in self._pinned:
                base: Any = memory.base
                base.free()
            for allocation in self._memory.values():
                allocation.free()
            for owned in (self._registered, self._memory, self._functions, self._passed, self._streams):
                owned.clear()
            self._pinned.clear()
            self._modules.clear()
            self._clock = None
        self._context.detach()  # its finalizer would detach a primary context in the wrong way

    @contextmanager
    def _active(self, call: str) -> Iterator[None]:
        """Make the context current for one call, and name that call in its fault."""
        cuda = self._cuda
        self._context.push()
        try:
            yield
        except cuda.Error as cause:
            raise DriverFault(f"{call}: {_line(cause)}") from cause
        finally:
            cuda.Context.pop()

    def _ask(self, call: str, *arguments: Any) -> None:
        """Call the driver's library, which pycuda has loaded."""
        status = getattr(self._library, call)(*arguments)
        if status:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(status, ctypes.byref(text))
            raise DriverFault(f"{call}: error {status} {(text.value or b'').decode()}")


def _line(cause: Exception) -> str:
    return " ".join(str(cause).split())
