"""Build the firmware for this computer: the host board as a program, the core as a shared library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from appliance.build_c import compile_program, compile_shared

FIRMWARE = Path(__file__).resolve().parent / "firmware"
CORE = FIRMWARE / "core"
HOST_BOARD = FIRMWARE / "boards" / "host"
PLANT = Path(__file__).resolve().parent.parent / "appliance" / "sim"


def build_host(out_dir: Path) -> Path:
    """Return the program `fs-mcu` in `out_dir`, built unless it is up to date. Blocks. Raises CompileError."""
    sources = [*core_sources(), *sorted(HOST_BOARD.glob("*.c"))]
    return compile_program(sources, out_dir / "fs-mcu", includes=[CORE, PLANT], defines=["_GNU_SOURCE"])


def build_core(out_dir: Path, defines: Sequence[str] = (), core: Path = CORE) -> Path:
    """Return the shared library of the core in `out_dir`, built unless it is up to date. Blocks. Raises CompileError.

    core: folder of the sources, another one for tests that change a rule
    """
    return compile_shared(core_sources(core), out_dir / "libfscore.so", includes=[core], defines=defines)


def core_sources(core: Path = CORE) -> list[Path]:
    """Return the core's C files."""
    return sorted(core.glob("*.c"))
