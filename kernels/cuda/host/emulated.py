"""Be a CUDA device in host memory: the same sources compiled as C++, behind the same Driver.

What it shows: results, launch shapes, argument types, and every access outside an allocation. What it cannot show:
speed, the device's own rounding (fused multiply-add), and races that no change of order brings out.
"""

import ctypes
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kernels.cuda.build import BUILD, FOLDER, SOURCES, sources_digest
from kernels.cuda.driver import Argument, DriverFault, Pointer, demand_contiguous

LIBRARY = BUILD / "emulation.so"
IMAGE = b"emulated"
LIBCUDA = BUILD / "emulated" / "libcuda.so.1"
FLAGS = (
    "-std=c++17", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
    "-fno-strict-aliasing", "-fsanitize=bounds,alignment,shift,signed-integer-overflow,integer-divide-by-zero",
    "-fsanitize-undefined-trap-on-error",
)  # fmt: skip
COMPILE_LIMIT_S = 300
_ENTRY = re.compile(r'extern "C"\s+void\s+(\w+)\s*\(')
_LETTERS = {"i": np.int32, "I": np.uint32, "f": np.float32, "d": np.float64, "q": np.int64}


def build(library: Path = LIBRARY, extra: Sequence[str] = (), sources: Sequence[Path] = SOURCES) -> Path:
    """Compile the sources for the host unless up to date; `extra` are flags, such as ones for fused multiply-add.

    Raises FileNotFoundError without a C++ compiler, RuntimeError with the compiler's first error.
    """
    return _build(library, "emulation.cpp", extra, sources)


def build_libcuda(library: Path = LIBCUDA) -> Path:
    """Compile the emulated device as the driver's library itself, so that a real binding can run on it; as `build`."""
    return _build(library, "libcuda.cpp", ("-Wl,-soname,libcuda.so.1",), SOURCES)


def _build(library: Path, main: str, extra: Sequence[str], sources: Sequence[Path]) -> Path:
    command = [*compiler(), *FLAGS, f"-I{FOLDER}", *extra]
    digest = sources_digest([*command, main, *map(str, sources)])
    stamp = library.with_name(f"{library.name}.stamp")
    if library.exists() and stamp.exists() and stamp.read_text("utf-8") == digest:
        return library
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent, prefix=".emulation.") as scratch:
        _write_list(Path(scratch) / "kernels_list.h", sources)
        product = Path(scratch) / library.name
        _run([*command, f"-I{scratch}", "-o", str(product), str(FOLDER / "host" / main)])
        product.replace(library)
    stamp.write_text(digest, "utf-8")
    return library


def compiler() -> list[str]:
    """Give the command of a C++ compiler: the system's, else zig's; FileNotFoundError when there is none."""
    for name in ("c++", "g++", "clang++"):
        path = shutil.which(name)
        if path:
            return [path]
    if not importlib.util.find_spec("ziglang"):
        raise FileNotFoundError(
            "no C++ compiler: neither c++, g++, clang++ nor the ziglang package; install one of them"
        )
    return [sys.executable, "-m", "ziglang", "c++"]


class EmulatedDriver:
    """Implement `Driver` over host memory; everything is done when a call returns.

    backward: run blocks and threads in reverse order, to bring out what depends on order.
    maps_host_memory: play an integrated device, whose registered memory is read in place.
    """

    def __init__(self, library: Path, *, backward: bool = False, maps_host_memory: bool = False) -> None:
        self.name = "host emulation"
        self.compute_capability = (0, 0)
        self.driver_version = "none"
        self.host_register_supported = True
        self.maps_host_memory = maps_host_memory
        self.allocations = 0
        self.launches = 0
        self._library = _load(library)
        self._backward = backward
        self._sizes: dict[Pointer, int] = {}
        self._registered: set[int] = set()
        self._pinned: list[NDArray[np.generic]] = []
        self._recording: list[Callable[[], None]] | None = None
        self._streams = 0

    def stream(self) -> int:
        """See `Driver`."""
        self._streams += 1
        return self._streams

    def allocate(self, size: int) -> Pointer:
        """Allocate memory that ends within 16 bytes of a page nobody may touch."""
        pointer = self._library.emulated_allocate(size) if size > 0 else None
        if not pointer:
            raise DriverFault(f"allocate: {size} bytes cannot be had; ask for at least 1 and less than is free")
        self._sizes[pointer] = size
        self.allocations += 1
        return int(pointer)

    def free(self, pointer: Pointer) -> None:
        """Give memory back; a fault when the bytes around it were written."""
        if pointer not in self._sizes:
            raise DriverFault(f"free: {pointer:#x} was not allocated here; free what `allocate` gave, once")
        size = self._sizes.pop(pointer)
        if self._library.emulated_free(pointer, size):
            raise DriverFault(f"free: bytes beside the {size} at {pointer:#x} were written; a kernel left its buffer")

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
        """See `Driver`."""
        memory = np.zeros(shape, dtype)
        self._pinned.append(memory)
        return memory

    def register(self, memory: NDArray[np.uint8]) -> Pointer | None:
        """See `Driver`."""
        demand_contiguous("register", memory)
        if memory.ctypes.data in self._registered:
            raise DriverFault(f"register: memory of {memory.shape} is registered already; unregister it first")
        self._registered.add(memory.ctypes.data)
        return int(memory.ctypes.data) if self.maps_host_memory else None

    def unregister(self, memory: NDArray[np.uint8]) -> None:
        """See `Driver`."""
        if memory.ctypes.data not in self._registered:
            raise DriverFault(f"unregister: memory of {memory.shape} is not registered; register it first")
        self._registered.remove(memory.ctypes.data)

    def upload(self, target: Pointer, source: NDArray[np.generic], stream: int) -> None:
        """See `Driver`."""
        self._do(lambda: self._copy(target, source, source.ctypes.data, upload=True))

    def download(self, target: NDArray[np.generic], source: Pointer, stream: int) -> None:
        """See `Driver`."""
        self._do(lambda: self._copy(source, target, target.ctypes.data, upload=False))

    def record(self, stream: int) -> object:
        """See `Driver`."""
        return stream

    def wait(self, stream: int, event: object) -> None:
        """See `Driver`."""

    def synchronise(self, stream: int) -> None:
        """See `Driver`."""

    def module(self, image: bytes) -> object:
        """Take `IMAGE` alone: the kernels are those of the library."""
        if image != IMAGE:
            raise DriverFault(f"module of {len(image)} bytes: not for the emulated device; give emulated.IMAGE")
        return self._library

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
        """Run a kernel to its end; DriverFault for what a device would refuse or fail on, and for wrong types."""
        number = self._library.emulated_find(kernel.encode())
        if number < 0:
            raise DriverFault(f"launch: no kernel {kernel} in the module; build the kernels again")
        signature = self._library.emulated_signature(number).decode()
        _check_types(kernel, signature, arguments)
        values = [_held(argument) for argument in arguments]
        self._do(lambda: self._launch(kernel, number, grid, block, values, shared_bytes))

    def begin_capture(self, stream: int) -> bool:
        """See `Driver`."""
        self._recording = []
        return True

    def end_capture(self, stream: int) -> object:
        """See `Driver`."""
        if self._recording is None:
            raise DriverFault("end_capture: nothing is being captured; call begin_capture first")
        graph, self._recording = self._recording, None
        return graph

    def replay(self, graph: object, stream: int) -> None:
        """See `Driver`."""
        if not isinstance(graph, list):
            raise DriverFault(f"replay: {type(graph).__name__} is no captured graph; give what end_capture gave")
        for action in graph:
            action()

    def close(self) -> None:
        """Free everything; a fault when bytes around an allocation were written."""
        for pointer in list(self._sizes):
            self.free(pointer)

    def _do(self, action: Callable[[], None]) -> None:
        if self._recording is None:
            action()
        else:
            self._recording.append(action)

    def _copy(self, pointer: Pointer, array: NDArray[np.generic], address: int, *, upload: bool) -> None:
        demand_contiguous("copy", array)
        if not any(start <= pointer and pointer + array.nbytes <= start + size for start, size in self._sizes.items()):
            raise DriverFault(f"copy: {array.nbytes} bytes at {pointer:#x} leave the device memory they begin in")
        ctypes.memmove(*((pointer, address) if upload else (address, pointer)), array.nbytes)

    def _launch(
        self,
        kernel: str,
        number: int,
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        values: list[NDArray[np.generic]],
        shared_bytes: int,
    ) -> None:
        addresses = (ctypes.c_void_p * len(values))(*(value.ctypes.data for value in values))
        message = ctypes.create_string_buffer(300)
        shapes = [(ctypes.c_uint * 3)(*shape) for shape in (grid, block)]
        self.launches += 1
        if self._library.emulated_launch(
            number, *shapes, addresses, shared_bytes, int(self._backward), message, len(message)
        ):
            raise DriverFault(f"launch {kernel}: {message.value.decode()}")


def _check_types(kernel: str, signature: str, arguments: Sequence[Argument]) -> None:
    given = ["P" if isinstance(argument, int) else np.asarray(argument).dtype.name for argument in arguments]
    wanted = ["P" if letter == "P" else np.dtype(_LETTERS[letter]).name for letter in signature]
    if given != wanted:
        raise DriverFault(f"launch {kernel}: arguments are {given}, the kernel takes {wanted}")


def _held(argument: Argument) -> NDArray[np.generic]:
    return np.array([argument], np.uint64 if isinstance(argument, int) else None)


def _write_list(path: Path, sources: Sequence[Path]) -> None:
    preprocess = [*compiler(), "-std=c++17", "-E", "-P", f"-I{FOLDER}", "-x", "c++"]
    names = [name for source in sources for name in _ENTRY.findall(_run([*preprocess, str(source)]))]
    includes = "".join(f'#include "{source}"\n' for source in sources)
    path.write_text(f"{includes}#define KERNELS {' '.join(f'ENTRY({name})' for name in names)}\n", "utf-8")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_LIMIT_S)
    if done.returncode:
        lines = done.stderr.splitlines() or ["no message"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise RuntimeError(f"{command[0]} cannot compile the CUDA sources for the host: {first.strip()}")
    return done.stdout


def _load(library: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library))
    loaded.emulated_find.argtypes, loaded.emulated_find.restype = (ctypes.c_char_p,), ctypes.c_int
    loaded.emulated_signature.argtypes, loaded.emulated_signature.restype = (ctypes.c_int,), ctypes.c_char_p
    loaded.emulated_allocate.argtypes, loaded.emulated_allocate.restype = (ctypes.c_size_t,), ctypes.c_void_p
    loaded.emulated_free.argtypes, loaded.emulated_free.restype = (ctypes.c_void_p, ctypes.c_size_t), ctypes.c_int
    loaded.emulated_launch.argtypes = (
        ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_char_p,
        ctypes.c_size_t,
    )  # fmt: skip
    loaded.emulated_launch.restype = ctypes.c_int
    return loaded
