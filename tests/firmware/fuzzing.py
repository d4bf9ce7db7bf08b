"""Build the core's fuzzer with the address and undefined-behaviour sanitizers and run it from a seed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.build_c import CompileError, compile_program
from firmware_bridge.build import CORE, core_sources

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "tests"
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(core: Path = CORE, out: Path = BUILD) -> Path:
    """Return the program; skip the test where no compiler has the sanitizers."""
    cc = next((found for name in ("gcc", "clang") if (found := shutil.which(name))), None)
    if cc is None:
        pytest.skip("neither gcc nor clang is here, and the ziglang package has no address sanitizer")
    try:
        return compile_program(
            [HERE / "fuzz.c", *core_sources(core)], out / "fs-fuzz", includes=[core], cc=[cc, *SANITIZERS]
        )
    except CompileError as error:
        if "sanitize" in str(error) or "asan" in str(error):
            pytest.skip(f"the compiler has no sanitizers: {error}")
        raise


def run(program: Path, seed: int, size: int) -> subprocess.CompletedProcess[str]:
    """Run it over `size` bytes drawn from the seed."""
    return subprocess.run([program, str(seed), str(size)], capture_output=True, text=True, timeout=600, check=False)


def counts(said: str) -> dict[str, int]:
    """Return what it says it did."""
    words = said.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
