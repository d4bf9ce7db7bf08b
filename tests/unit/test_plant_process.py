"""Run the simulated plant as a process and by its commands."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError
from appliance.sim.plant import Plant
from appliance.sim.plant_layout import MONO8, RGB8
from appliance.sim.plant_line import Line, Station
from appliance.sim.plant_process import obey
from tests.unit.plant_rig import SIZE, ManualClock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Plant.create(tmp_path / "plant", {0: (*SIZE, MONO8), 1: (*SIZE, RGB8)}) as made:
        yield made


def test_commands_reach_the_plant(plant: Plant):
    """Each fault command does one thing to one camera."""
    clock = ManualClock()
    line = Line(plant, Station(parts=1, rate_hz=1.0), iter(()), clock, io.StringIO(), np.random.default_rng(1))
    for command in (
        *("drop top 1", "incomplete 0 2", "double side 3", "delay 1 4 50ms", "unplug 0", "belt start", "speed 0.5"),
    ):
        obey(command, plant, line, clock())
    top, side = plant.layout.cameras

    for command in ("take 2", "extra", "slip 30", "glitch", "stick gate high", "stick part low", "stick part free"):
        obey(command, plant, line, clock())
    wires = plant.layout.wires

    assert (2, 1, 30, 1, 0, 2) == (
        line.to_take, wires.extras_scheduled, wires.encoder_offset, wires.encoder_errors, wires.part_sensor,
        wires.gate_sensor,
    )  # fmt: skip
    assert (1, 2, 1) == (top.drop_total, top.incomplete_total, top.unplugged)
    assert (3, 4, 50_000_000) == (side.double_total, side.delay_total, side.delay_ns)
    assert (False, 0.5) == (line.held, line.speed_factor)
    del top, side, wires


@pytest.mark.parametrize(
    "command",
    [
        "drop",
        "drop left 1",
        "drop 2 1",
        "drop 0 -1",
        "delay 0 1 50",
        "speed 0",
        "speed nan",
        "belt",
        "gate on",
        "take",
        "slip -3",
        "stick gate",
    ],
)
def test_nonsense_commands_are_refused(plant: Plant, command: str):
    """A mistyped command changes nothing and names what is wrong."""
    before = bytes(plant._pages)
    line = Line(plant, Station(parts=1, rate_hz=1.0), iter(()), ManualClock(), io.StringIO(), np.random.default_rng(1))
    with pytest.raises(ConfigError):
        obey(command, plant, line, HostNs(0))

    assert before == bytes(plant._pages)


def test_the_process_runs_to_its_end(tmp_path: Path):
    """From `ready` over `start` to `done`: every part has a truth and a lane, and the exit code says all passed."""
    files = {name: tmp_path / name for name in ("plant", "truth.jsonl", "physical.jsonl")}
    command = [sys.executable, "-m", "appliance.sim.plant_process", "--parts", "15", "--rate", "40", "--seed", "5"]
    command += ["--width", "160", "--height", "128", "--mono"]
    command += ["--plant", str(files["plant"]), "--truth", str(files["truth.jsonl"])]
    done = subprocess.run(
        command, cwd=ROOT, input="start\nunplug 0\nnonsense\n", capture_output=True, text=True, timeout=60, check=False
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    lanes = [json.loads(line) for line in files["physical.jsonl"].read_text().splitlines()]
    truths = [json.loads(line) for line in files["truth.jsonl"].read_text().splitlines()]

    assert (0, "") == (done.returncode, done.stderr)
    assert ["ready", "obeyed", "refused", "done"] == [message["event"] for message in said]
    assert [{"number": n, "lane": "reject"} for n in range(1, 16)] == lanes
    assert list(range(1, 16)) == [truth["number"] for truth in truths]
    assert {"number", "truth", "source", "enter_counts", "seed"} == set(truths[0])


def test_wrong_usage_is_one_line_and_exit_code_2(tmp_path: Path):
    """What a person gave wrong is said in one line on stderr."""
    command = [sys.executable, "-m", "appliance.sim.plant_process", "--parts", "0", "--rate", "1"]
    command += ["--plant", str(tmp_path / "plant"), "--truth", str(tmp_path / "truth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
