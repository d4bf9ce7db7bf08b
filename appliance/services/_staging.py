"""Make a bundle ready beside the running one, in a thread of low priority that the judge's loop never waits for.

A native library may crash on a bundle instead of raising, and a crash takes its process along. So the bundle is first
loaded, proven and warmed in a process of its own, and only then in the judge's.
"""

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct

from appliance.ports.inspector import Inspector
from appliance.schema.clocks import HostNs
from appliance.schema.errors import RuntimeFault

BACKGROUND = 10
"""Added nice value of the staging thread. Not the lowest: it holds the interpreter's lock now and then, and must not be
kept from giving it back by whoever else wants the core."""

ORDINARY = 0
"""The same where the runtime makes worker threads: they inherit it, and would judge parts with it ever after."""

SWITCH_INTERVAL_S = 0.0005
"""How long the staging thread keeps the interpreter's lock from the judge, a tenth of the usual (decisions/0008)."""

PROOF_LIMIT_S = 3600.0
"""Longest time of the proof; a GPU engine may take many minutes to build on a small machine."""


class Stage(Struct, frozen=True):
    """Ask the stager for the bundle at a path; one at a time."""

    path: str


class Retire(Struct, frozen=True):
    """Hand over a bundle that nobody will use again; to give it back takes 20 ms, which the loop does not have."""

    inspector: Inspector


class StagingStep(Struct, frozen=True):
    """State what the stager does now."""

    path: str
    step: str


class Staged(Struct, frozen=True):
    """Give a bundle that is loaded, proven and warm; it belongs to the caller from now on."""

    path: str
    inspector: Inspector


class StagingFailed(Struct, frozen=True):
    """State why a bundle cannot be used."""

    path: str
    reason: str


Answer = StagingStep | Staged | StagingFailed
Load = Callable[[str], Inspector]


class BundleStager:
    """Stage bundles as the judge asks; a Device: called from the loop's thread, never blocks but in `close`."""

    def __init__(self, load: Load, proof: Callable[[str], Sequence[str]] | None = None, nice: int = BACKGROUND) -> None:
        """Take the way to load and warm a bundle, and the command line of a process that does the same and ends."""
        self._load = load
        self._proof = proof
        self._worker = ThreadPoolExecutor(1, "bundle-stager", _step_back, (nice,))
        self._retired: list[Inspector] = []
        self._answers: deque[Answer] = deque()
        self._child: subprocess.Popen[str] | None = None
        self._closing = False
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Descriptor that is readable when an answer waits."""
        return self._ready

    @property
    def wake_at(self) -> HostNs | None:
        """Nothing is done by the clock."""
        return None

    def read(self, now: HostNs) -> Sequence[Answer]:
        """Take the answers."""
        if self._ready >= 0:
            try:
                os.eventfd_read(self._ready)
            except BlockingIOError:
                return ()
        return [self._answers.popleft() for _ in range(len(self._answers))]

    def write(self, message: Struct, now: HostNs) -> None:
        """Begin with one bundle, or take one that is given up."""
        if isinstance(message, Retire):
            self._retired.append(message.inspector)
        if isinstance(message, Stage):
            path = message.path
            self._worker.submit(self._stage, path).add_done_callback(lambda job: self._finish(path, job))

    def close(self) -> None:
        """End the proof and the thread; a bundle that is being loaded is waited for."""
        if self._ready < 0:
            return
        self._closing = True
        if self._child is not None:
            self._child.kill()
        self._worker.shutdown(wait=True, cancel_futures=True)
        os.close(self._ready)
        self._ready = -1

    def _stage(self, path: str) -> Inspector:
        self._retired.clear()  # here and now: no part that entered with one of them is still on the belt
        if self._proof is not None:
            self._say(StagingStep(path, "proving it in a process of its own"))
            self._prove(path, self._proof(path))
        self._say(StagingStep(path, "loading and warming"))
        return self._load(path)

    def _prove(self, path: str, command: Sequence[str]) -> None:
        """Run the proof to its end; RuntimeFault with its last line when it fails."""
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as child:
            self._child = child
            if self._closing:
                child.kill()
            try:
                _, said = child.communicate(timeout=PROOF_LIMIT_S)
            except subprocess.TimeoutExpired as error:
                child.kill()
                raise RuntimeFault(
                    f"bundle {path}: not ready after {PROOF_LIMIT_S:g} s; stage it when the machine is idle"
                ) from error
            finally:
                self._child = None
        if child.returncode:
            raise RuntimeFault(_last_words(path, child.returncode, said))

    def _finish(self, path: str, job: "Future[Inspector]") -> None:
        """Answer in any case: what went wrong here is the bundle's fate and never the judge's."""
        if job.cancelled():
            return
        error = job.exception()
        if error is None:
            self._say(Staged(path, job.result()))
        else:
            self._say(StagingFailed(path, str(error) or type(error).__name__))

    def _say(self, answer: Answer) -> None:
        self._answers.append(answer)
        os.eventfd_write(self._ready, 1)


def _last_words(path: str, code: int, said: str) -> str:
    if code < 0:
        return f"bundle {path}: its proof died of {signal.Signals(-code).name}; build the bundle again"
    lines = said.strip().splitlines()
    return lines[-1] if lines else f"bundle {path}: its proof ended with {code} and no word; build the bundle again"


def _step_back(nice: int) -> None:
    """Let everything that has a deadline run first; on Linux a nice value belongs to a thread."""
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + nice)
