"""Load the shared library of compiled kernels, and guard what goes into it."""

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@cache
def load(library: Path) -> ctypes.CDLL:
    """Give the loaded library; FileNotFoundError with the build command when it is missing."""
    if not library.exists():
        raise FileNotFoundError(f"kernels are not built: {library} is missing; run `python -m kernels.build`")
    return ctypes.CDLL(str(library))


def function(library: Path, name: str) -> "ctypes._NamedFuncPointer":
    """Give a kernel by name; FileNotFoundError with the build command when the library is older than the kernel."""
    try:
        return getattr(load(library), name)  # type: ignore[no-any-return]
    except AttributeError as missing:
        raise FileNotFoundError(f"{library} has no {name}; run `python -m kernels.build`") from missing


def same_layout(library: Path, name: str, structure: type[ctypes.Structure]) -> None:
    """Compare a structure's size with what the C function `name` gives; FileNotFoundError when the library is older."""
    size = function(library, name)
    size.argtypes, size.restype = (), ctypes.c_int32
    if size() != ctypes.sizeof(structure):
        raise FileNotFoundError(
            f"{library} was built from other sources ({structure.__name__} of {size()} bytes, not "
            f"{ctypes.sizeof(structure)}); run `python -m kernels.build`"
        )


def demand(
    name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: type[np.generic], *, written: bool = False
) -> None:
    """Raise ValueError unless an array has this shape and type in C order, and may be written where it must be."""
    if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
        raise ValueError(f"{name} is {array.shape} {array.dtype}, needs {shape} {dtype.__name__} in C order")
    if written and not array.flags.writeable:
        raise ValueError(f"{name} {array.shape} is read-only; give a buffer that may be written")
