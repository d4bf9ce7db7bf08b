"""Keep a process out of the way: it runs on cores that nobody else wants, and never on the GPU of the judge."""

import os

from appliance.schema.errors import ConfigError

CPU_RUNTIMES = frozenset({"openvino", "onnx"})


def step_aside() -> None:
    """Give this thread, and each that it starts from now on, only the time that no other process of the machine wants.

    ConfigError where that is forbidden: a process that might take the line's time must not run.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:
        raise ConfigError(
            f"scheduling policy idle: refused ({error.strerror}); allow sched_setscheduler, or name no shadow bundle"
        ) from error


def cpu_runtime(runtime: str) -> str:
    """Give the runtime itself if it runs on the CPU, else the CPU's own: a GPU has no spare time that costs nothing."""
    return runtime if runtime in CPU_RUNTIMES else "openvino"
