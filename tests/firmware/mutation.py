"""Run the mutants of the fail-safe lines: `python -m tests.firmware.mutation [--every N]` names those that live.

Each mutant is first played in the storm, which takes half a second; one that lives goes before the core's own tests.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from appliance.build_c import compiler
from appliance.decision.calibration import clopper_pearson
from firmware_bridge.build import CORE, core_sources
from tests.firmware import storm
from tests.firmware.mutants import Mutant, mutants

FLAGS = (
    *("-std=gnu11", "-O1", "-fPIC", "-fvisibility=hidden", "-w"),
    f"-I{storm.HERE}",
)
STORM_PARTS, STORM_LIMIT_S, TESTS_LIMIT_S = 10_000, 20, 120
TESTS = (
    "tests/faults/test_firmware_boundaries.py",
    *(
        f"tests/unit/test_firmware_{name}.py"
        for name in ("core", "sessions", "latched", "sync", "watch", "configuration")
    ),
)


class Fate(NamedTuple):
    """What became of a mutant: `stillborn` did not compile or is the same program, `storm` and `tests` killed it."""

    mutant: Mutant
    by: str


class Workshop:
    """Objects of the core and the storm, so that a mutant costs one file and a link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = {source: self._compile(source, CORE) for source in (*core_sources(), *storm.SOURCES)}

    def build(self, mutant: Mutant) -> Path | None:
        """Return the storm round the mutant; None when it does not compile or is no other program."""
        broken = self.folder / mutant.file
        lines = (CORE / mutant.file).read_text("utf-8").splitlines()
        lines[mutant.line - 1] = mutant.new
        broken.write_text("\n".join(lines) + "\n", "utf-8")
        sound = self.objects[CORE / mutant.file]
        try:
            mine = self._compile(broken, CORE)
        except subprocess.CalledProcessError:
            return None
        if mine.read_bytes() == sound.read_bytes():
            return None
        library = self.folder / "mutant.so"
        library.unlink(missing_ok=True)
        others = [built for source, built in self.objects.items() if source != CORE / mutant.file]
        self._run(*compiler(), "-shared", *map(str, others), str(mine), "-o", str(library))
        return library

    def _compile(self, source: Path, include: Path) -> Path:
        built = self.folder / f"{source.parent.name}_{source.stem}.o"
        self._run(*compiler(), *FLAGS, f"-I{include}", "-c", str(source), "-o", str(built))
        return built

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


def survives_storm(library: Path, days: Sequence[storm.Day]) -> bool:
    """Play the mutant; True when nothing was noticed."""

    def sound() -> bool:
        told = storm.play_all(storm.load(library), days)
        return not told.breaches and not told.counts["overkill"]

    return apart(sound, STORM_LIMIT_S)


def survives_tests(library: Path, tests: Sequence[str] = TESTS) -> bool:
    """Run the core's own tests against it, which the storm's library holds too; True when all passed.

    In a new interpreter: here the tests' modules may have been imported, and hold the sound core.
    """
    command = [sys.executable, "-c", _AGAINST, str(library), "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=storm.HERE.parents[1], capture_output=True, check=False, timeout=TESTS_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


_AGAINST = """
import sys
from pathlib import Path
import pytest
from firmware_bridge import build
build.build_core = lambda *_, **__: Path(sys.argv[1])
sys.exit(pytest.main(sys.argv[2:]))
"""


def apart(sound: Callable[[], bool], limit_s: int) -> bool:
    """Ask in a process of its own, which may crash or never end; True for a yes in time."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(limit_s)
            code = 0 if sound() else 1
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def fates(chosen: Sequence[Mutant], tests: Sequence[str] = TESTS) -> list[Fate]:
    """Give what became of each mutant."""
    out = []
    days = list(storm.days(7, STORM_PARTS))
    with tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(Path(folder))
        for mutant in chosen:
            library = workshop.build(mutant)
            if library is None:
                out.append(Fate(mutant, "stillborn"))
            elif not survives_storm(library, days):
                out.append(Fate(mutant, "storm"))
            elif not survives_tests(library, tests):
                out.append(Fate(mutant, "tests"))
            else:
                out.append(Fate(mutant, "nobody"))
    return out


def main() -> int:
    """Print the survivors and the share that was killed with its exact interval; 1 when one lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take only every n-th mutant")
    parser.add_argument("--start", type=int, default=0, help="begin with this one")
    given = parser.parse_args()
    began = time.monotonic()
    told = fates(mutants()[given.start :: given.every])
    lived = [fate.mutant for fate in told if fate.by == "nobody"]
    count = sum(fate.by != "stillborn" for fate in told)
    killed = {by: sum(fate.by == by for fate in told) for by in ("storm", "tests")}
    low, high = clopper_pearson(count - len(lived), count)
    sys.stdout.write("".join(f"lives: {mutant}\n" for mutant in lived))
    sys.stdout.write(
        f"{count - len(lived)} of {count} killed ({low:.3f} to {high:.3f}), {killed}, "
        f"{len(told) - count} no other program, {time.monotonic() - began:.0f} s\n"
    )
    return bool(lived)


if __name__ == "__main__":
    sys.exit(main())
