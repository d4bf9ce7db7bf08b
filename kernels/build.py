"""Compile the C kernels into one shared library: `python -m kernels.build`.

The system compiler is used where there is one, else the ziglang wheel, so that a machine with only Python can build.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SOURCES = tuple(sorted((FOLDER / "cpu").glob("*.c")))
LIBRARY = FOLDER.parent / "build" / "libkernels.so"
FLAGS = ("-std=gnu11", "-O3", "-fPIC", "-Wall", "-Wextra", "-Werror")
# Its results are compared exactly with the definition, so no product may keep more digits on the way into a sum.
FLAGS_OF = {"boxes.c": ("-ffp-contract=off",)}
COMPILE_LIMIT_S = 300


def build(library: Path = LIBRARY) -> Path:
    """Compile all kernels into `library` and give its path; the file appears complete or not at all.

    Raises FileNotFoundError without any compiler, subprocess.CalledProcessError when compiling fails.
    """
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{library.stem}.", dir=library.parent) as name:
        folder = Path(name)
        objects = [_compile(source, folder) for source in SOURCES]
        unfinished = folder / library.name
        _run([*compiler(), "-shared", *map(str, objects), "-lm", "-o", str(unfinished)])
        unfinished.replace(library)
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


def _compile(source: Path, folder: Path) -> Path:
    made = folder / f"{source.stem}.o"
    _run([*compiler(), *FLAGS, *FLAGS_OF.get(source.name, ()), "-c", str(source), "-o", str(made)])
    return made


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=COMPILE_LIMIT_S)


if __name__ == "__main__":
    sys.stdout.write(f"{build()}\n")
