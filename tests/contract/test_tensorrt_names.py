"""Hold every name and call of the TensorRT sources against the real bindings, which import without a GPU."""

import inspect
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.trt import fake_tensorrt
from tests.trt.uses import Use, of_function, signatures, uses
from tests.trt.wheels import environment

RUNTIMES = Path(__file__).resolve().parents[2] / "appliance" / "runtimes"
SESSION = {
    "runtime": "Runtime", "engine": "ICudaEngine", "context": "IExecutionContext", "self._context": "IExecutionContext",
}  # fmt: skip
BUILD = {
    "builder": "Builder", "network": "INetworkDefinition", "parser": "OnnxParser", "config": "IBuilderConfig",
    "plan": "IHostMemory", "error": "ParserError", "cache": "ITimingCache", "content": "IHostMemory",
}  # fmt: skip
SOURCES = {"tensorrt.py": {}, "tensorrt_log.py": {}, "tensorrt_session.py": SESSION, "tensorrt_build.py": BUILD}
RUN_TIME = ("tensorrt.py", "tensorrt_log.py", "tensorrt_session.py")
AHEAD_OF_TIME = {"_aim"}
"""Functions that are reached only where the library builds ahead of time, which is TensorRT-RTX."""
MODULES = {"lean-11.4.0": "tensorrt_lean_bindings", "rtx-1.7.1": "tensorrt_rtx_bindings"}
VERSIONS = ["10.3.0", "10.16.1", "11.4.0", "lean-11.4.0", "rtx-1.7.1"]


@cache
def interface(version: str) -> dict[str, dict[str, str]]:
    """Give what a version's bindings hold, read in a process of its own."""
    command = [sys.executable, "-m", "tests.trt.interface", MODULES.get(version, "tensorrt_bindings")]
    done = subprocess.run(
        command, env=environment(version), capture_output=True, text=True, check=True, timeout=60
    )  # fmt: skip
    return json.loads(done.stdout)


def used(names: tuple[str, ...]) -> list[tuple[str, Use]]:
    return [(name, use) for name in names for use in uses(RUNTIMES / name, SOURCES[name])]


def wrong(use: Use, found: dict[str, dict[str, str]]) -> str:
    """Say what a version has against a use; empty: nothing."""
    if use.member not in found.get(use.owner, {}):
        return f"no {use.owner}.{use.member}"
    if use.arguments is None:
        return ""
    known = signatures(found[use.owner][use.member])
    if not any(item.accepts(use.arguments, use.keywords) for item in known):
        return f"{use.owner}.{use.member} takes {known}, not {use.arguments} {use.keywords}"
    return ""


@pytest.mark.parametrize("version", VERSIONS)
def test_every_use_is_in_every_version(version: str) -> None:
    """One source runs with TensorRT 10.3 to 11.4 and TensorRT-RTX: each name is there and takes our arguments."""
    found = interface(version)
    names = RUN_TIME if version.startswith("lean") else tuple(SOURCES)
    ahead = version.startswith("rtx")
    faults = [
        f"{name}, {use.function}: {wrong(use, found)}"
        for name, use in used(names)
        if (ahead or use.function not in AHEAD_OF_TIME) and wrong(use, found)
    ]

    assert [] == faults


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1", "11.4.0"])
def test_variables_hold_what_their_name_says(version: str) -> None:
    """The check above knows classes by the names of variables; the bindings say the same of what each call gives."""
    found = interface(version)
    checked = 0
    for name, use in used(tuple(SOURCES)):
        if not use.target or use.function in AHEAD_OF_TIME:
            continue
        results = {item.result for item in signatures(found[use.owner][use.member])}
        if use.member == "__init__":
            results = {use.owner}
        if use.target in SOURCES[name] and results & set(found):
            checked += 1

            assert SOURCES[name][use.target] in results, use

    assert checked >= 8


def test_the_walk_finds_what_matters() -> None:
    """The check is not empty: the calls without which nothing runs are found, with their arguments."""
    found = {(use.owner, use.member, use.arguments) for _, use in used(tuple(SOURCES))}

    assert {
        ("", "BuilderFlag", None),
        ("Builder", "__init__", 1),
        ("Builder", "build_serialized_network", 2),
        ("BuilderFlag", "TF32", None),
        ("IBuilderConfig", "progress_monitor", None),
        ("ICudaEngine", "create_execution_context", 0),
        ("IExecutionContext", "execute_async_v3", 1),
        ("IExecutionContext", "set_tensor_address", 2),
        ("IHostMemory", "nbytes", None),
        ("ILogger", "log", 2),
        ("IProgressMonitor", "phase_start", 3),
        ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED", None),
        ("OnnxParser", "parse", 1),
        ("Runtime", "deserialize_cuda_engine", 1),
    } <= found


@pytest.mark.parametrize("version", ["10.3.0", "10.16.1", "11.4.0"])
def test_fake_has_nothing_that_the_real_one_lacks(version: str) -> None:
    """Whatever call the fake engine takes, the real one takes."""
    found = interface(version)
    faults = []
    for name, kind in vars(fake_tensorrt).items():
        if not inspect.isclass(kind) or kind.__module__ != fake_tensorrt.__name__:
            continue
        for member, value in vars(kind).items():
            if member.startswith("_") or inspect.isclass(value):
                continue
            if member not in found.get(name, {}):
                faults.append(f"{name}.{member}")
            elif inspect.isfunction(value):
                fake = of_function(value)
                known = signatures(found[name][member])
                if not any(len(fake.names) <= len(item.names) and fake.required >= item.required for item in known):
                    faults.append(f"{name}.{member} {fake} {known}")

    assert [] == faults


def test_flag_is_never_a_number() -> None:
    """STRONGLY_TYPED is 1 in TensorRT 10 and 0 in 11, so only its name may be used."""
    numbers = {version: interface(version)["NetworkDefinitionCreationFlag"] for version in ("10.3.0", "11.4.0")}

    assert all("STRONGLY_TYPED" in members for members in numbers.values())
    assert "1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)" in (RUNTIMES / "tensorrt_build.py").read_text()
