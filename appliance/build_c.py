"""Compile the project's C sources with whatever compiler the machine has, and only when they changed.

A machine with no compiler but Python still builds: the `ziglang` wheel carries one.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

FLAGS = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror")
SHARED_FLAGS = ("-fPIC", "-shared", "-fvisibility=hidden")
LIBRARIES = ("-lm", "-lpthread")


class CompileError(RuntimeError):
    """No compiler was found, or the compiler refused the sources."""


def compiler() -> list[str]:
    """Return the command that starts the C compiler: the system's own if there is one, else the `ziglang` wheel.

    Raises CompileError when there is neither.
    """
    for name in ("cc", "gcc", "clang"):
        found = shutil.which(name)
        if found:
            return [found]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise CompileError("no C compiler: neither cc, gcc, clang nor the ziglang package; run `pip install ziglang`")


def compile_shared(
    sources: Sequence[Path],
    out: Path,
    includes: Sequence[Path] = (),
    defines: Sequence[str] = (),
    cc: Sequence[str] | None = None,
) -> Path:
    """Build a shared library at `out` unless it is up to date, and return `out`.

    `defines` are `NAME` or `NAME=value`; `cc` replaces the compiler found by `compiler()`. Up to date means: same
    command, same bytes in `sources` and in every header beside them or in `includes`. Only symbols that the source
    marks visible are exported. Blocks while compiling; safe against a second process building the same file.
    Raises CompileError.
    """
    return _compile([*(cc or compiler()), *FLAGS, *SHARED_FLAGS], sources, out, includes, defines)


def compile_program(
    sources: Sequence[Path],
    out: Path,
    includes: Sequence[Path] = (),
    defines: Sequence[str] = (),
    cc: Sequence[str] | None = None,
    libraries: Sequence[str] = LIBRARIES,
) -> Path:
    """Build an executable at `out` unless it is up to date, and return `out`; else as `compile_shared`."""
    return _compile([*(cc or compiler()), *FLAGS], sources, out, includes, defines, libraries)


def _compile(
    start: list[str],
    sources: Sequence[Path],
    out: Path,
    includes: Sequence[Path],
    defines: Sequence[str],
    libraries: Sequence[str] = LIBRARIES,
) -> Path:
    options = [f"-I{folder}" for folder in includes] + [f"-D{define}" for define in defines]
    command = [*start, *options, *(str(source) for source in sources)]
    stamp = out.with_name(out.name + ".stamp")
    digest = _digest(command, _inputs(sources, includes))
    if out.exists() and stamp.exists() and stamp.read_text() == digest:
        return out

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
        product = Path(scratch) / out.name  # renamed into place: a process that has the old file mapped keeps it
        _run([*command, "-o", str(product), *libraries], out)
        product.replace(out)
        note = Path(scratch) / stamp.name
        note.write_text(digest)
        note.replace(stamp)
    return out


def _inputs(sources: Iterable[Path], includes: Iterable[Path]) -> list[Path]:
    sources = list(sources)
    folders = sorted({source.parent for source in sources} | set(includes))
    return sources + [header for folder in folders for header in sorted(folder.glob("*.h"))]


def _digest(command: Sequence[str], inputs: Iterable[Path]) -> str:
    digest = hashlib.blake2b("\0".join(command).encode(), digest_size=16)
    for path in inputs:
        if not path.exists():
            raise CompileError(f"C source {path} does not exist; restore it or correct the list of sources")
        digest.update(hashlib.blake2b(path.read_bytes(), digest_size=16).digest())
    return digest.hexdigest()


def _run(command: Sequence[str], out: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.splitlines() or ["the compiler said nothing"]
        first = next((line for line in lines if "error" in line or "undefined" in line), lines[0])
        raise CompileError(f"cannot build {out.name}: {first.strip()} (by {' '.join(command[:4])}; {len(lines)} lines)")
