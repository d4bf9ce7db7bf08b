"""Compile the CUDA kernels into one fat binary: `python -m kernels.cuda.build`.

It holds machine code for every architecture of ours that the installed nvcc knows (CUDA 12 or 13), and PTX of the
newest for cards to come. A machine without nvcc takes the file from one that has it.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

FOLDER = Path(__file__).resolve().parent
SOURCES = tuple(
    FOLDER / f"{name}.cu" for name in ("preprocess", "tiles", "anomaly_map", "boxes", "masks", "knn", "bandwidth")
)
BUILD = FOLDER.parents[1] / "build"
FATBIN = BUILD / "kernels.fatbin"
TOOLKIT = Path("/usr/local/cuda/bin/nvcc")
ARCHITECTURES = (75, 80, 86, 87, 89, 90, 100, 110, 120)
# Turing to Blackwell, with Orin (87) and Thor (110). No fast-math: the bounds of the sources hold for IEEE arithmetic.
FLAGS = ("-O3", "-std=c++17", "--Werror", "all-warnings", "-Xptxas", "-v,-Werror,-warn-spills")
COMPILE_LIMIT_S = 900
_USE = re.compile(
    r"Compiling entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
    r"(\d+) bytes spill loads.*?Used (\d+) registers",
    re.DOTALL,
)


class ResourceUse(msgspec.Struct, frozen=True):
    """State what the assembler says that one kernel needs on one architecture."""

    kernel: str
    architecture: int
    """80 is compute capability 8.0."""
    registers: int
    """Of each thread."""
    stack_bytes: int
    spill_bytes: int
    """Stored and loaded because registers ran out; 0 in a good build."""


def build(fatbin: Path = FATBIN, nvcc: Path | None = None) -> Path:
    """Compile all kernels into `fatbin` unless it is up to date, and give its path; complete or not at all.

    Raises FileNotFoundError without nvcc, RuntimeError with the compiler's first error.
    """
    nvcc = nvcc or compiler()
    known = architectures(nvcc)
    command = [str(nvcc), "-fatbin", *FLAGS, f"-I{FOLDER}", *_targets(known)]
    stamp = fatbin.with_name(f"{fatbin.name}.stamp")
    digest = sources_digest([*command, _run([str(nvcc), "--version"])])
    if fatbin.exists() and stamp.exists() and stamp.read_text("utf-8") == digest:
        return fatbin
    fatbin.parent.mkdir(parents=True, exist_ok=True)
    unfinished = fatbin.with_name(f"{fatbin.name}.{os.getpid()}")
    whole = unfinished.with_name(f"{unfinished.name}.cu")
    try:
        whole.write_text("".join(f'#include "{source.name}"\n' for source in SOURCES), "utf-8")
        told = _run([*command, "-o", str(unfinished), str(whole)])
        use_path(fatbin).write_bytes(msgspec.json.encode(_resource_use(told)))
        unfinished.replace(fatbin)
    finally:
        unfinished.unlink(missing_ok=True)
        whole.unlink(missing_ok=True)
    stamp.write_text(digest, "utf-8")
    return fatbin


def image(fatbin: Path = FATBIN) -> bytes:
    """Give the built binary for `Driver.module`; FileNotFoundError with the command when it is missing."""
    if not fatbin.exists():
        raise FileNotFoundError(f"CUDA kernels are not built: {fatbin} is missing; run `python -m kernels.cuda.build`")
    return fatbin.read_bytes()


def use_path(fatbin: Path) -> Path:
    """Give the path of the list of `ResourceUse` beside a binary."""
    return fatbin.with_name(f"{fatbin.name}.json")


def compiler() -> Path:
    """Give nvcc: on the path, else in the toolkit's usual folder; FileNotFoundError when there is none."""
    found = shutil.which("nvcc") or shutil.which(TOOLKIT)
    if not found:
        raise FileNotFoundError(
            f"no CUDA compiler: nvcc is neither on the path nor at {TOOLKIT}; install the CUDA toolkit 12 or 13, or "
            f"copy {FATBIN.name} from a machine that has it"
        )
    return Path(found)


def architectures(nvcc: Path) -> tuple[int, ...]:
    """Give those of `ARCHITECTURES` that this nvcc can compile for; RuntimeError when there are none."""
    listed = {int(number) for number in re.findall(r"^sm_(\d+)$", _run([str(nvcc), "--list-gpu-code"]), re.MULTILINE)}
    known = tuple(number for number in ARCHITECTURES if number in listed)
    if not known:
        raise RuntimeError(
            f"{nvcc} compiles for none of {ARCHITECTURES}, it lists {sorted(listed)}; install CUDA 12 or 13"
        )
    return known


def sources_digest(command: Iterable[str]) -> str:
    """Give the digest of a command and of every CUDA source and header."""
    digest = hashlib.blake2b(json.dumps(list(command)).encode(), digest_size=16)
    for path in sorted(
        [*FOLDER.glob("*.cu"), *FOLDER.glob("*.cuh"), *FOLDER.glob("host/*.h"), *FOLDER.glob("host/*.cpp")]
    ):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _targets(known: tuple[int, ...]) -> list[str]:
    return [
        *(f"-gencode=arch=compute_{number},code=sm_{number}" for number in known),
        f"-gencode=arch=compute_{known[-1]},code=compute_{known[-1]}",
    ]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMPILE_LIMIT_S)
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines() or ["no message"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise RuntimeError(f"{command[0]} fails with status {done.returncode}: {first.strip()}")
    return done.stdout + done.stderr


def _resource_use(told: str) -> list[ResourceUse]:
    return [
        ResourceUse(found[0], int(found[1]), int(found[5]), int(found[2]), int(found[3]) + int(found[4]))
        for found in _USE.findall(told)
    ]


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build()}\n")
    except (FileNotFoundError, RuntimeError) as fault:
        sys.exit(str(fault))
