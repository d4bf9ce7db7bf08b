"""Build every C part into `build/`: `python -m appliance.build_all` prints one path a line."""

import subprocess
import sys
from pathlib import Path

from appliance.build_c import CompileError
from appliance.sim.camera.build import build as build_camera
from firmware_bridge.build import build_core, build_cortex_m3, build_host
from kernels.build import build as build_kernels

FOLDER = Path(__file__).resolve().parent.parent / "build"


def build_all(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Build what is not up to date and give all products: kernels, camera producer, firmware.

    Blocks while compiling. Raises CompileError; from the kernels, which know nothing of ours, FileNotFoundError without
    a compiler and CalledProcessError when it refuses.
    """
    return (
        build_kernels(folder / "libkernels.so"),
        build_camera(folder / "sim.cti"),
        build_host(folder),
        build_core(folder),
        *optional(folder),
    )


def optional(folder: Path) -> tuple[Path, ...]:
    """Build what a machine can do without, the image for a Cortex-M3; say on stderr what is left out and why."""
    try:
        return (build_cortex_m3(folder),)
    except CompileError as error:
        sys.stderr.write(f"firstshift: left out: {error}\n")
        return ()


def main() -> int:
    """Print the products; 1 and one line on stderr when one cannot be built."""
    try:
        products = build_all()
    except (CompileError, FileNotFoundError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"firstshift: {error}\n")
        return 1
    sys.stdout.write("".join(f"{product}\n" for product in products))
    return 0


if __name__ == "__main__":
    sys.exit(main())
