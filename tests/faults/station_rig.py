"""Run a whole simulated station from its command line, as a user would, and read what it left behind."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from appliance.storage import database, queries
from appliance.storage.queries import Inspection
from appliance.storage.record_store import DATABASE

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.prefix) / "bin" / "firstshift"
SIZE = ("--width", "640", "--height", "512")
"""A quarter of the usual picture: the model sees the same number of pixels, the fit is quicker."""

PATIENCE_S = 120.0
"""Longest time that one run may take on a machine that others use too."""


class Said(Struct, frozen=True):
    """Give one line of stderr and when it was said, CLOCK_MONOTONIC, ns."""

    at: int
    line: str


class Run(Struct, frozen=True):
    """Hold a finished run of a station."""

    code: int
    stdout: str
    said: list[Said]
    state: Path

    @property
    def errors(self) -> str:
        """What was said on stderr."""
        return "\n".join(item.line for item in self.said)

    @property
    def summary(self) -> dict:
        """The JSON summary."""
        return json.loads(self.stdout)

    @property
    def rows(self) -> list[Inspection]:
        """Every part that was recorded, in the order in which they were heard of."""
        with closing(database.open_reader(self.state / DATABASE)) as connection:
            return queries.newest(connection, 1_000_000)[::-1]

    @property
    def truth(self) -> list[dict]:
        """What the plant knows of each part."""
        return lines(self.state / "truth.jsonl")

    @property
    def lanes(self) -> dict[int, str]:
        """Lane that each part of the plant physically went to."""
        return {item["number"]: item["lane"] for item in lines(self.state / "physical.jsonl")}

    @property
    def recoveries_ms(self) -> dict[str, float | None]:
        """Time from each trouble to the next part that entered after it and was accepted; None: there was none."""
        entered = [row.entered_ns for row in self.rows if row.lane == "accept" and row.entered_ns is not None]
        troubles = [item for item in self.said if item.line.startswith("scenario: ") and "`bus`" not in item.line]
        return {
            f"{item.line.removeprefix('scenario: ')} @{index}": min(
                ((at - item.at) / 1e6 for at in entered if at > item.at), default=None
            )
            for index, item in enumerate(troubles)
        }


def lines(path: Path) -> list[dict]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def firstshift(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [str(PROGRAM), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def run_demo(
    state: Path, *arguments: str | Path, once_running: Callable[[], None] | None = None, ended_by: int | None = None
) -> Run:
    """Run a station to its end, noting when it says what.

    When the belt has started, `once_running` is called and the signal `ended_by` is sent.
    """
    command = [str(PROGRAM), "demo", "--no-hmi", "--state", str(state), "--json", "-", *SIZE, *map(str, arguments)]
    said: list[Said] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        running = threading.Event()
        reader = threading.Thread(target=_listen, args=(process, said, running))
        reader.start()
        alarm = threading.Timer(PATIENCE_S, process.send_signal, [signal.SIGINT])
        alarm.start()
        if once_running is not None and running.wait(PATIENCE_S) and process.poll() is None:
            once_running()
        if ended_by is not None and running.wait(PATIENCE_S):
            process.send_signal(ended_by)
        stdout = process.stdout.read() if process.stdout else ""
        code = process.wait()
        alarm.cancel()
        alarm.join()
        reader.join()
    return Run(code, stdout, said, state)


def fit(folder: Path) -> Path:
    """Fit the day-one bundle by the shortest of runs; gives the state folder it left."""
    run = run_demo(folder, "--parts", "1")
    if not (folder / "bundles" / "day-one").is_dir():
        raise RuntimeError(f"no bundle in {folder}: {run.errors}")
    return folder


def fresh(fitted: Path, folder: Path) -> Path:
    """Make a state folder that holds the fitted bundle and nothing else."""
    shutil.copytree(fitted / "bundles", folder / "bundles")
    return folder


def _listen(process: "subprocess.Popen[str]", said: list[Said], running: threading.Event) -> None:
    for line in process.stderr or ():
        said.append(Said(time.monotonic_ns(), line.rstrip("\n")))
        if line.startswith("running "):
            running.set()
    running.set()
