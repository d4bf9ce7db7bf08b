"""Run the build of a plan in a staging process, watch it, and end it when it takes too long."""

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from appliance.runtimes.tensorrt_build import MODEL, ORDER, PLAN, TIMING, BuildOrder, BuildProgress
from appliance.schema.errors import RuntimeFault

LIMIT_S = 1800.0
"""Large models take minutes on an embedded GPU; what takes longer hangs."""
SAID_CHARACTERS = 300
PROGRAM = """
import sys
sys.path[:] = sys.argv[2:]
from appliance.runtimes.tensorrt_build import main
sys.exit(main(sys.argv[1]))
"""
"""What the staging process runs; it finds the same modules as its parent, wherever they lie."""


class Built(Struct, frozen=True):
    """Hold what a build gave."""

    plan: bytes
    timing: bytes


def build_in_stage(
    order: BuildOrder,
    content: bytes,
    timing: bytes,
    report: Callable[[BuildProgress], None],
    limit_s: float = LIMIT_S,
) -> Built:
    """Build a plan in a process of its own; blocks for minutes, and leaves nothing behind whatever happens there.

    Raises RuntimeFault when the builder refuses, crashes, or is not done after `limit_s`.
    """
    with tempfile.TemporaryDirectory(prefix="firstshift-build-") as name:
        folder = Path(name)
        (folder / ORDER).write_bytes(msgspec.json.encode(order))
        (folder / MODEL).write_bytes(content)
        (folder / TIMING).write_bytes(timing)
        with (folder / "errors").open("w+b") as errors:
            _run(order, folder, errors, report, limit_s)
        plan = (folder / PLAN).read_bytes() if (folder / PLAN).exists() else b""
        if not plan:
            raise RuntimeFault(f"{order.module} {order.version}: the builder ended without a plan; build it again")
        return Built(plan, (folder / TIMING).read_bytes())


def _run(
    order: BuildOrder, folder: Path, errors: IO[bytes], report: Callable[[BuildProgress], None], limit_s: float
) -> None:
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), *(entry or "." for entry in sys.path)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
    fault = ""
    try:
        for message in _messages(process, time.monotonic() + limit_s, order, limit_s):
            if isinstance(message, str):
                fault = message
            else:
                report(message)
        code = process.wait()
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if code == 0:
        return
    if fault:
        raise RuntimeFault(fault)
    errors.seek(0)
    said = " ".join(errors.read().decode(errors="replace").split())[-SAID_CHARACTERS:]
    ended = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    raise RuntimeFault(f"{order.module} {order.version}: the builder {ended}: {said or 'no word'}; update the driver")


class _Line(Struct, frozen=True):
    fault: str = ""
    phase: str = ""
    done: int = 0
    of: int = 0


def _messages(
    process: subprocess.Popen[bytes], due_s: float, order: BuildOrder, limit_s: float
) -> Iterator[BuildProgress | str]:
    """Give each progress, and a fault as text, until the process closes its output."""
    if process.stdout is None:
        return
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(max(due_s - time.monotonic(), 0)):
                raise RuntimeFault(
                    f"{order.module} {order.version}: the builder was not done after {limit_s:.0f} s and was ended; "
                    "close other programs on the GPU and build it again"
                )
            read = os.read(process.stdout.fileno(), 1 << 16)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                try:
                    message = msgspec.json.decode(line, type=_Line)
                except msgspec.MsgspecError:
                    continue  # the library's own words
                yield message.fault or BuildProgress(message.phase, message.done, message.of)
