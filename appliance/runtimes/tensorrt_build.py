"""Build a TensorRT plan from an ONNX file in a process of its own.

The builder compiles and times kernels for minutes, and may crash or hang; its caller (tensorrt_stage.py) is never in
the same process. The folder between them holds `order.json` and `model.onnx`, and gets `plan` and `timing`. Standard
output carries one JSON object per line: progress, or the fault.

Only names that TensorRT 10.3, 10.16, 11.4 and TensorRT-RTX 1.7 share are used; none of these calls raises, so each
answer is looked at.
"""

import ctypes
import importlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from msgspec import Struct

from appliance.runtimes.tensorrt_log import Listener
from appliance.schema.errors import RuntimeFault

ORDER, MODEL, PLAN, TIMING = "order.json", "model.onnx", "plan", "timing"
WORKSPACE_BYTES = 1 << 30
"""Scratch memory of a tactic; on a Jetson it is the memory that the line runs in."""
SET_PARENT_DEATH_SIGNAL = 1
"""prctl(2), PR_SET_PDEATHSIG."""


class BuildOrder(Struct, frozen=True):
    """Say what to build with."""

    module: str
    """Name of the Python module: `tensorrt`, or another of the same interface."""
    version: str
    """What the caller has; another one would build a plan that the caller cannot load."""
    targets: tuple[tuple[int, int], ...]
    """Compute capabilities, for a library that builds ahead of time; the others build for the GPU that is there."""


class BuildProgress(Struct, frozen=True):
    """State how far a build is."""

    phase: str
    done: int = 0
    of: int = 0


class BuildFault(Struct, frozen=True):
    """State why a build ended."""

    fault: str


def main(place: str) -> int:
    """Build what a folder orders; 0 when `plan` is there."""
    folder = Path(place)
    # Nobody would look at the plan of a caller that is gone.
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    try:
        order = msgspec.json.decode((folder / ORDER).read_bytes(), type=BuildOrder)
        trt = importlib.import_module(order.module)
        if trt.__version__ != order.version:
            raise RuntimeFault(
                f"{order.module} {trt.__version__}: the caller has {order.version}; restart it after an update"
            )
        timing = (folder / TIMING).read_bytes() if (folder / TIMING).exists() else b""
        plan, timing = build_plan(trt, (folder / MODEL).read_bytes(), order.targets, timing, _say)
    except (RuntimeFault, ImportError, OSError) as fault:
        _say(BuildFault(str(fault)))
        return 1
    (folder / TIMING).write_bytes(timing)
    (folder / PLAN).write_bytes(plan)
    return 0


def build_plan(
    trt: ModuleType,
    content: bytes,
    targets: tuple[tuple[int, int], ...],
    timing: bytes,
    report: Callable[[BuildProgress], None],
) -> tuple[bytes, bytes]:
    """Give the plan of an ONNX file and the timing cache after it; RuntimeFault with the library's reasons."""
    listener = Listener(trt)
    try:
        builder = trt.Builder(listener.logger)
    except (TypeError, RuntimeError) as cause:
        raise listener.fault(f"no builder: {cause}", "check the GPU's driver") from cause
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    if network is None:
        raise listener.fault("no network", "reinstall it")
    parser = _parse(trt, network, content, listener)
    config = builder.create_builder_config()
    if config is None:
        raise listener.fault("no build configuration", "reinstall it")
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default, and its 10 bits are not f32
    config.progress_monitor = _monitor(trt, report)
    ahead = hasattr(trt, "ComputeCapability")
    if ahead:
        _aim(trt, config, targets, listener)
    else:
        _remember(config, timing, listener)
    plan = builder.build_serialized_network(network, config)
    if plan is None or plan.nbytes == 0:
        raise listener.fault("no plan was built", "check the model and the free device memory")
    built = bytes(plan), b"" if ahead else _remembered(config)
    del plan, config, network, parser  # the parser owns the weights that the network points to, so it goes after it
    return built


def _parse(trt: ModuleType, network: Any, content: bytes, listener: Listener) -> Any:
    """Read the model into the network; gives the parser, which must live as long as the network."""
    parser = trt.OnnxParser(network, listener.logger)
    parsed = parser.parse(content)
    if not parsed or parser.num_errors:
        errors = [_described(parser.get_error(index)) for index in range(parser.num_errors)]
        if not errors:
            raise listener.fault("model is refused", "export it again")
        raise RuntimeFault(f"{listener.name}: model is refused: {' / '.join(errors)[:600]}; export it again")
    if network.num_outputs == 0 or network.num_inputs == 0:  # so it answers to empty bytes
        raise listener.fault(
            f"model has {network.num_inputs} inputs and {network.num_outputs} outputs", "export it again"
        )
    return parser


def _described(error: Any) -> str:
    place = f"{error.node_operator()} {error.node_name()}".strip()
    return f"{place}: {' '.join(error.desc().split())}".removeprefix(": ")


def _aim(trt: ModuleType, config: Any, targets: tuple[tuple[int, int], ...], listener: Listener) -> None:
    config.num_compute_capabilities = len(targets)
    for index, (major, minor) in enumerate(targets):
        target = getattr(trt.ComputeCapability, f"SM{major}{minor}", None)
        if target is None or not config.set_compute_capability(target, index):
            known = ", ".join(name for name in trt.ComputeCapability.__members__ if name.startswith("SM"))
            raise listener.fault(
                f"does not build for compute capability {major}.{minor}, only for {known}", "use another runtime"
            )


def _remember(config: Any, timing: bytes, listener: Listener) -> None:
    """Give the builder its earlier measurements, or none when they are of another machine."""
    for content in (timing, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return
    raise listener.fault("no timing cache", "reinstall it")


def _remembered(config: Any) -> bytes:
    cache = config.get_timing_cache()
    content = None if cache is None else cache.serialize()
    return b"" if content is None else bytes(content)


def _monitor(trt: ModuleType, report: Callable[[BuildProgress], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Report outer phases step by step and inner ones by name."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._steps[phase_name] = num_steps
            report(BuildProgress(phase_name, 0, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                report(BuildProgress(phase_name, step, self._steps[phase_name]))
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()


def _say(message: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()
