"""Compile the C kernels into one shared library: `python -m kernels.build`.

The system compiler is used where there is one, else the ziglang wheel, so that a machine with only Python can build.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = (FOLDER / "cpu" / "preprocess.c", FOLDER / "cpu" / "k_centre.c")
LIBRARY = FOLDER.parent / "build" / "libkernels.so"
# -ffp-contract=fast is left out: the bound in reference.py must hold on every compiler.
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror")
COMPILE_LIMIT_S = 300


def build(library: Path = LIBRARY) -> Path:
    """Compile all kernels into `library` and give its path; the file appears complete or not at all.

    Raises FileNotFoundError without any compiler, subprocess.CalledProcessError when compiling fails.
    """
    library.parent.mkdir(parents=True, exist_ok=True)
    unfinished = library.with_name(f"{library.name}.{os.getpid()}")
    command = [*compiler(), *FLAGS, *map(str, SOURCES), "-o", str(unfinished)]
    try:
        subprocess.run(command, check=True, timeout=COMPILE_LIMIT_S)
        unfinished.replace(library)
    finally:
        unfinished.unlink(missing_ok=True)
    return library


def compiler() -> list[str]:
    """Give the command of a C compiler: the system's, else zig's."""
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path:
            return [path]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise FileNotFoundError("no C compiler: neither cc, gcc, clang nor the ziglang package; install one of them")


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
