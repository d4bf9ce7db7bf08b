"""Build the firmware: the host board as a program, the core as a shared library, the Cortex-M3 board as an image."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

from appliance.build_c import CompileError, compile_program, compile_shared

FIRMWARE = Path(__file__).resolve().parent / "firmware"
CORE = FIRMWARE / "core"
HOST_BOARD = FIRMWARE / "boards" / "host"
CORTEX_M3_BOARD = FIRMWARE / "boards" / "qemu-cortex-m3"
CORTEX_M3 = ("-mcpu=cortex-m3", "-mthumb", "-ffreestanding", "-Wconversion", "-nostartfiles", "--specs=nano.specs")
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


def build_cortex_m3(out_dir: Path) -> Path:
    """Return the image `fs-mcu-m3.elf` in `out_dir`, built unless it is up to date. Blocks.

    Raises CompileError, without arm-none-eabi-gcc too: whether a board can be done without is the caller's to say.
    """
    cc, layout = shutil.which("arm-none-eabi-gcc"), CORTEX_M3_BOARD / "link.ld"
    if cc is None:
        raise CompileError("no compiler for a Cortex-M3: arm-none-eabi-gcc is absent; install gcc-arm-none-eabi")
    sources = [*core_sources(), *sorted(CORTEX_M3_BOARD.glob("*.c"))]
    return compile_program(
        sources,
        out_dir / "fs-mcu-m3.elf",
        includes=[CORE],
        defines=[f"LAYOUT={zlib.crc32(layout.read_bytes())}u"],  # a change of the layout is a change of the command
        cc=[cc, *CORTEX_M3, "-T", str(layout)],
        libraries=(),
    )


def core_sources(core: Path = CORE) -> list[Path]:
    """Return the core's C files."""
    return sorted(core.glob("*.c"))
