"""Have the station checked by a process of its own, and keep what it found. No Qt, nothing here waits.

The touchscreen's unit reaches no network and no serial line, so under systemd a unit beside it checks: a file asks for
it (firstshift_check.path), another holds the answer. Elsewhere the check is a child of the touchscreen.
"""

import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.health import Component
from hmi.keepsakes import keep

FILE, OUT, ERR, ASK = "check.json", "check.out", "check.err", "check.ask"

LONGEST = 60 * S
"""A check listens 3 s and waits for a broker 1 s; one that takes a minute hangs."""


class Found(Struct, frozen=True):
    """Give what a check found."""

    at: UtcNs
    """When it ended."""
    took_s: float
    components: tuple[Component, ...] = ()
    fault: str = ""
    """Why there is no result; empty: there is one."""


class _Said(Struct, frozen=True):
    ok: bool
    components: tuple[Component, ...]


def check_command(station: Path) -> tuple[str, ...]:
    """Give the command line that checks a station."""
    return (sys.executable, "-m", "appliance.cli", "check", "--config", str(station), "--json", "-")


def last_found(folder: Path) -> Found | None:
    """Read what the last check found, before the touchscreen started too; None: none was run."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Found)
    except (OSError, msgspec.DecodeError):
        return None


class CheckRun:
    """Own one running check; used by one thread."""

    def __init__(self, folder: Path, command: tuple[str, ...], *, by_unit: bool = False) -> None:
        """Take the folder that output goes to, and the command. by_unit: systemd runs it where it is asked to."""
        self._folder, self._command, self._by_unit = folder, command, by_unit
        self._process: subprocess.Popen[bytes] | None = None
        self._asked = False
        self._began = HostNs(0)

    @property
    def running(self) -> bool:
        """Whether one was begun and has not been read."""
        return self._process is not None or self._asked

    def begin(self, now: HostNs, utc: UtcNs) -> Found | None:
        """Start a check; gives why it cannot be started, None when it was."""
        if self.running:
            return None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if self._by_unit:
                (self._folder / OUT).unlink(missing_ok=True)
                (self._folder / ASK).write_text(f"{utc}\n", "ascii")
                self._asked, self._began = True, now
                return None
            with (self._folder / OUT).open("wb") as out, (self._folder / ERR).open("wb") as err:
                self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            return Found(utc, 0.0, fault=f"check cannot be started: {error}; free disk space or mend the installation")
        self._began = now
        return None

    def poll(self, now: HostNs, utc: UtcNs) -> Found | None:
        """Give what was found once it has ended; None while it runs."""
        if not self.running:
            return None
        code = self._ended()
        if code is None:
            if now - self._began < LONGEST:
                return None
            self.stop()
            remedy = "see journalctl -u firstshift_check" if self._by_unit else "run it at a terminal"
            return Found(utc, LONGEST / S, fault=f"check gave no answer in {LONGEST // S} s; {remedy}")
        self._process, self._asked = None, False
        found = self._read(code, utc, (now - self._began) / S)
        if not found.fault:
            keep(self._folder / FILE, found)
        return found

    def stop(self) -> None:
        """End a check that runs; one that a unit runs ends by itself."""
        self._asked = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _ended(self) -> int | None:
        """Give the exit code; None while it runs. A unit's answer appears whole, once it is there."""
        if self._process is not None:
            return self._process.poll()
        return 0 if (self._folder / OUT).exists() else None

    def _read(self, code: int, utc: UtcNs, took_s: float) -> Found:
        try:
            said = msgspec.json.decode((self._folder / OUT).read_bytes(), type=_Said)
        except (OSError, msgspec.DecodeError):
            text = (self._folder / ERR).read_text("utf-8", "replace") if not self._by_unit else "its answer is damaged"
            lines = text.strip().splitlines() or [f"exit code {code}"]
            return Found(utc, took_s, fault=f"check failed: {lines[-1]}")
        return Found(utc, took_s, said.components)
