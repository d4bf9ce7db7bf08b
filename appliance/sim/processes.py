"""Start the processes of a simulated station and start again what dies, as systemd would."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from appliance.schema.clocks import HostNs

RESTART_S = 0.3
"""RestartSec of the units."""

STOP_S = 8.0
"""TimeoutStopSec of the units."""


class Exit(Struct, frozen=True):
    """State that a process ended."""

    name: str
    code: int
    """Negative: killed by that signal."""
    at: HostNs


class Child:
    """Own one process and its log."""

    def __init__(
        self, name: str, command: list[str], log: Path, environment: Mapping[str, str], *, service: bool
    ) -> None:
        """`service`: started again when it dies."""
        self.name = name
        self.service = service
        self.restarts = 0
        self._command = command
        self._log = log
        self._environment = dict(environment)
        self._again_at: float | None = None
        self.process: subprocess.Popen[bytes] = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            stdout = log if self.service else subprocess.PIPE
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL if self.service else subprocess.PIPE,
                stdout=stdout,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )

    def tend(self, now: float) -> Exit | None:
        """Start the process again when its time has come; tell of its end, once."""
        if self._again_at is not None:
            if now >= self._again_at:
                self._again_at = None
                self.restarts += 1
                self.process = self._start()
            return None
        code = self.process.poll()
        if code is None or not self.service:
            return None
        self._again_at = now + RESTART_S
        return Exit(self.name, code, HostNs(time.monotonic_ns()))

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._again_at is None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal if the process lives."""
        if self.running:
            self.process.send_signal(number)

    def stop(self) -> int:
        """End the process in order, by force after STOP_S; gives its exit code."""
        self._again_at = None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return code


class Children:
    """Own all processes of a station."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.all: dict[str, Child] = {}
        self.exits: list[Exit] = []
        self._environment = environment

    def start(self, name: str, command: list[str], log: Path, *, service: bool) -> Child:
        """Start a process under a name."""
        child = Child(name, command, log, self._environment, service=service)
        self.all[name] = child
        return child

    def tend(self) -> list[Exit]:
        """Start again what died; tell what ended since the last call."""
        now = time.monotonic()
        ended = [end for end in (child.tend(now) for child in self.all.values()) if end is not None]
        self.exits += ended
        return ended

    def stop(self) -> None:
        """End everything, the last started first."""
        for child in reversed(self.all.values()):
            child.stop()
