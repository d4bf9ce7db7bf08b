"""Load the shared library of compiled kernels."""

import ctypes
from functools import cache
from pathlib import Path


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
