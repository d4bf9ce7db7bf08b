"""Hold the simulated plant to its header, and its line to the rule that no camera ever sees a wrong part."""

import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.schema.clocks import HostNs
from appliance.schema.errors import ConfigError, StoreError
from appliance.sim import plant_layout as layout
from appliance.sim.parts.truth import PartTruth
from appliance.sim.plant import GateEvent, Plant
from appliance.sim.plant_layout import LANE_ACCEPT, LANE_REJECT, MONO8, RGB8
from appliance.sim.plant_line import LOOK_AHEAD, PART_COUNTS, PITCH_COUNTS, GateLanes, Line, Station
from appliance.sim.plant_process import obey

ROOT = Path(__file__).parents[2]
STRUCTS = {
    "plant_belt": layout.BeltLayout,
    "plant_part": layout.PartLayout,
    "plant_scene": layout.SceneLayout,
    "plant_camera": layout.CameraLayout,
    "plant_gate_event": layout.GateEventLayout,
    "plant": layout.PlantLayout,
}
CONSTANTS = {
    "PLANT_MAGIC": layout.MAGIC,
    "PLANT_VERSION": layout.VERSION,
    "PLANT_CAMERAS": layout.CAMERAS,
    "PLANT_SCENES": layout.SCENES,
    "PLANT_PARTS": layout.PARTS,
    "PLANT_GATE_LOG": layout.GATE_LOG,
    "PLANT_MONO8": layout.MONO8,
    "PLANT_RGB8": layout.RGB8,
    "PLANT_LANE_REJECT": layout.LANE_REJECT,
    "PLANT_LANE_ACCEPT": layout.LANE_ACCEPT,
}
SIZE = (8, 6)


class ManualClock:
    """Stand still until told; whoever watches sees every step of it."""

    def __init__(self, step_ms: float = 1e9) -> None:
        self.now = 1_000_000_000
        self.step_ms = step_ms
        self.watch = lambda: None

    def __call__(self) -> HostNs:
        return HostNs(self.now)

    def advance_ms(self, ms: float) -> None:
        while ms > 0:
            self.now += round(min(ms, self.step_ms) * 1e6)
            ms -= self.step_ms
            self.watch()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Plant.create(tmp_path / "plant", {0: (*SIZE, MONO8), 1: (*SIZE, RGB8)}) as made:
        yield made


def test_layout_is_the_header(tmp_path: Path):
    """Python and C see every member at the same place, or one writes over what the other reads."""
    expected = {name: str(value) for name, value in CONSTANTS.items()}
    for name, mirror in STRUCTS.items():
        expected[f"sizeof {name}"] = str(ctypes.sizeof(mirror))
        for member, *_ in mirror._fields_:
            field = getattr(mirror, member)
            expected[f"{name}.{member}"] = f"{field.offset} {field.size}"
    source = tmp_path / "layout.c"
    source.write_text(_layout_program())
    program = tmp_path / "layout"
    compiler = ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    include = ["-I", str(ROOT / "appliance" / "sim")]
    subprocess.run([*compiler, "-std=c11", *include, str(source), "-o", str(program)], check=True)
    printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    actual = dict(line.split(" = ") for line in printed.splitlines())

    assert expected == actual


def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Too little space is said at the start, with the size needed, and leaves no file behind."""

    def no_space(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", no_space)
    with pytest.raises(StoreError, match=r"plant file needs \d+ MiB in .*No space left.*free space") as caught:
        Plant.create(tmp_path / "plant", {0: (4096, 4096, RGB8)})

    assert (1, []) == (len(str(caught.value).splitlines()), list(tmp_path.iterdir()))


@pytest.mark.parametrize("content", [b"", b"short", bytes(1 << 20)])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes):
    """Only a whole plant file of this version is mapped."""
    path = tmp_path / "plant"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="start the plant"):
        Plant.open(path)


@given(st.lists(st.tuples(st.integers(0, 3_000_000_000), st.integers(0, 100_000)), min_size=1, max_size=20))
def test_belt_never_jumps(tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]):
    """Whatever the belt is told, position is continuous within a count and never falls."""
    path = tmp_path_factory.mktemp("belt") / "plant"
    with Plant.create(path, {}) as plant:
        now, travelled = 0, 0.0
        for wait_ns, speed in changes:
            travelled += plant.counts_per_s * wait_ns / 1e9
            now += wait_ns
            before = plant.counts(HostNs(now))
            plant.run_belt(speed, HostNs(now))

            assert before == plant.counts(HostNs(now))
        assert abs(travelled - plant.counts(HostNs(now))) <= len(changes)


def test_another_process_map_sees_scenes_parts_and_faults(plant: Plant):
    """What the plant writes is what camera and microcontroller find in the file."""
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    plant.write_scene(0, 3, image, 100, 200, 7)
    plant.schedule_part(7, 50, 650)
    plant.drop(0, 2)
    plant.drop(0, 1)
    plant.incomplete(1, 4)
    plant.double(0, 5)
    plant.delay(1, 6, 50_000_000)
    plant.unplug(1)
    with Plant.open(plant.path) as other:
        part = other.layout.parts[7]
        top, side = other.layout.cameras

        assert (7, 50, 650, 7) == (part.number, part.enter_counts, part.leave_counts, other.layout.parts_scheduled)
        assert (3, 5, 0) == (top.drop_total, top.double_total, top.unplugged)
        assert (4, 6, 50_000_000, 1) == (side.incomplete_total, side.delay_total, side.delay_ns, side.unplugged)
        assert [0, 7, 7, 0] == [other.read_scene(0, counts)[0] for counts in (99, 100, 199, 200)]
        assert image.tolist() == other.read_scene(0, 150)[1].tolist()
        assert 0 == top.scenes[3].seq % 2
        plant.replug(1)
        assert 0 == side.unplugged
        del part, top, side


def test_a_scene_is_never_seen_half_painted(tmp_path: Path):
    """A camera that looks while a scene is painted sees the old part, none, or the new one, each whole."""
    with Plant.create(tmp_path / "plant", {0: (1024, 512, MONO8)}) as plant, Plant.open(plant.path) as camera:
        torn: list[tuple[int, list[int]]] = []
        stop = threading.Event()

        def look() -> None:
            while not stop.is_set():
                number, pixels = camera.read_scene(0, 5)
                if number and set(np.unique(pixels).tolist()) != {number}:
                    torn.append((number, np.unique(pixels).tolist()))

        reader = threading.Thread(target=look)
        reader.start()
        images = [np.full((512, 1024), value, np.uint8) for value in range(1, 6)]
        for turn in range(400):
            plant.write_scene(0, 1 + turn % 2, images[turn % 5], 0, 10, turn % 5 + 1)
        stop.set()
        reader.join()

        assert [] == torn


def test_a_scene_of_the_wrong_shape_is_refused(plant: Plant):
    """A picture of another size or format never reaches the file."""
    with pytest.raises(ValueError, match="camera 1"):
        plant.write_scene(1, 1, np.zeros((6, 8), np.uint8), 0, 1, 1)


def test_a_replaced_file_leaves_the_old_map_alone(plant: Plant):
    """A new plant on the same path never changes what somebody still maps."""
    plant.schedule_part(1, 10, 20)
    with Plant.create(plant.path, {0: (*SIZE, MONO8)}) as fresh:
        assert (1, 0) == (plant.layout.parts_scheduled, fresh.layout.parts_scheduled)


@given(st.lists(st.integers(0, 1500), max_size=6))
def test_gate_log_is_read_once_each_or_counted_lost(tmp_path_factory: pytest.TempPathFactory, bursts: list[int]):
    """Every gate event is either given exactly once, in order, or counted as lost."""
    with Plant.create(tmp_path_factory.mktemp("gate") / "plant", {}) as plant:
        since, seen, lost, written = 0, [], 0, 0
        for burst in bursts:
            for _ in range(burst):
                _move_gate(plant, written, LANE_ACCEPT)
                written += 1
            news = plant.gate_events(since)
            seen += [event.counts for event in news.events]
            lost += news.lost
            since = news.next_index

        assert written == len(seen) + lost
        assert sorted(set(seen)) == seen


def test_gate_events_carry_all_they_were_written_with(plant: Plant):
    """Time, place, lane and part of a move come back as written."""
    _move_gate(plant, 42, LANE_ACCEPT)

    assert [GateEvent(HostNs(420), 42, LANE_ACCEPT, 1)] == plant.gate_events(0).events


def test_lane_is_reject_until_a_move_says_otherwise():
    """No event means the spring position, and a lost supply brings the gate back to it."""
    lanes = GateLanes()
    lanes._move(100, LANE_ACCEPT)
    lanes._move(200, LANE_REJECT)
    lanes._move(300, LANE_ACCEPT)
    lanes.spring_back(350)

    assert [0, 1, 1, 0, 1, 0] == [lanes.at(c) for c in (99, 100, 199, 200, 349, 350)]


@given(
    render_ms=st.lists(st.sampled_from([1, 15, 60, 250, 900]), min_size=1, max_size=12),
    rate_hz=st.sampled_from([1.0, 10.0, 45.0, 150.0]),
    cameras=st.sampled_from([(300,), (300, 700)]),
    stops=st.sets(st.integers(0, 60), max_size=6),
)
def test_no_camera_ever_sees_a_wrong_part(
    tmp_path_factory: pytest.TempPathFactory,
    render_ms: list[int],
    rate_hz: float,
    cameras: tuple[int, ...],
    stops: set[int],
):
    """However slow the pictures and whatever the belt does: at a part's place there is that part or none."""
    clock = ManualClock(step_ms=50 / rate_hz)
    station = Station(parts=40, rate_hz=rate_hz, camera_counts=cameras)
    formats = dict.fromkeys(range(len(cameras)), (*SIZE, MONO8))
    with Plant.create(tmp_path_factory.mktemp("line") / "plant", formats) as plant:
        truth_file = io.StringIO()
        line = Line(plant, station, _pictures(clock, render_ms), clock, truth_file, np.random.default_rng(1))
        while line.has_room():
            line.lay_next_part()
        line.held = False
        looked: set[tuple[int, int]] = set()
        clock.watch = lambda: _look(plant, line, clock, cameras, looked)
        for turn in range(5_000):
            line.held = turn in stops
            room = line.has_room()
            line.tend()
            if room:
                line.lay_next_part()
                ahead_of_sensor = line.enter_counts[-1] > plant.counts(clock())

                assert ahead_of_sensor
            clock.advance_ms(20 / rate_hz)
            if line.is_done():
                break
        truths = [json.loads(text) for text in truth_file.getvalue().splitlines()]

        assert line.is_done()
        assert 40 * len(cameras) == len(looked)
        assert list(range(1, 41)) == [truth["number"] for truth in truths]
        assert line.enter_counts == [truth["enter_counts"] for truth in truths]
        assert all(b - a >= 0.9 * PITCH_COUNTS for a, b in zip(line.enter_counts, line.enter_counts[1:], strict=False))
        assert [(n, "reject") for n in range(1, 41)] == list(line.outcome())


def test_slow_pictures_stop_the_belt_and_are_counted(tmp_path: Path):
    """A line that runs empty stands still and says so; the parts keep their distance."""
    clock = ManualClock()
    with Plant.create(tmp_path / "plant", {0: (*SIZE, MONO8)}) as plant:
        station = Station(parts=30, rate_hz=10.0)
        line = Line(plant, station, _pictures(clock, [150]), clock, io.StringIO(), np.random.default_rng(1))
        line.held = False
        while not line.is_done():
            line.tend()
            if line.has_room():
                line.lay_next_part()
            clock.advance_ms(5)

        assert line.report.line_stops > 0
        assert line.report.line_stopped_ms > 0
        assert 0 == line.report.moved_parts
        assert 0 == plant.layout.parts[0].number
        assert (30, PART_COUNTS) == (
            plant.layout.parts_scheduled,
            plant.layout.parts[30].leave_counts - plant.layout.parts[30].enter_counts,
        )


def test_outcome_is_where_the_gate_stood_as_the_part_met_it(tmp_path: Path):
    """The physical lane comes from the gate's own log at the part's place, whatever anybody decided."""
    clock = ManualClock()
    with Plant.create(tmp_path / "plant", {0: (*SIZE, MONO8)}) as plant:
        station = Station(parts=LOOK_AHEAD, rate_hz=10.0)
        line = Line(plant, station, _pictures(clock, [1]), clock, io.StringIO(), np.random.default_rng(1))
        while line.has_room():
            line.lay_next_part()
        line.held = False
        for number, enter in enumerate(line.enter_counts, 1):
            if number % 3 == 0:
                _move_gate(plant, enter + station.gate_counts - 150, LANE_ACCEPT)
                _move_gate(plant, enter + station.gate_counts + 150, LANE_REJECT)
        while not line.is_done():
            line.tend()
            clock.advance_ms(20)

        assert [(n, "reject" if n % 3 else "accept") for n in range(1, LOOK_AHEAD + 1)] == list(line.outcome())


def test_commands_reach_the_plant(plant: Plant):
    """Each fault command does one thing to one camera."""
    clock = ManualClock()
    line = Line(plant, Station(parts=1, rate_hz=1.0), iter(()), clock, io.StringIO(), np.random.default_rng(1))
    for command in (
        *("drop top 1", "incomplete 0 2", "double side 3", "delay 1 4 50ms", "unplug 0", "belt start", "speed 0.5"),
    ):
        obey(command, plant, line, clock())
    top, side = plant.layout.cameras

    assert (1, 2, 1) == (top.drop_total, top.incomplete_total, top.unplugged)
    assert (3, 4, 50_000_000) == (side.double_total, side.delay_total, side.delay_ns)
    assert (False, 0.5) == (line.held, line.speed_factor)
    del top, side


@pytest.mark.parametrize(
    "command",
    ["drop", "drop left 1", "drop 2 1", "drop 0 -1", "delay 0 1 50", "speed 0", "speed nan", "belt", "gate on"],
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


def _pictures(clock: ManualClock, render_ms: list[int]) -> Iterator[tuple[PartTruth, np.ndarray]]:
    number = 0
    while True:
        clock.advance_ms(render_ms[number % len(render_ms)])
        number += 1
        yield PartTruth(number, None), np.full(SIZE[::-1], number % 256, np.uint8)


def _look(plant: Plant, line: Line, clock: ManualClock, cameras: tuple[int, ...], looked: set[tuple[int, int]]) -> None:
    """Look as the camera does, once a part comes into view: at the scenes for its whole way through it."""
    here = plant.counts(clock())
    for camera, place in enumerate(cameras):
        for number, enter in enumerate(line.enter_counts, 1):
            if (camera, number) not in looked and enter + place - 300 <= here:
                looked.add((camera, number))
                for counts in (enter + place - 300, enter + place, enter + place + 299):
                    seen, pixels = plant.read_scene(camera, counts)

                    assert (number, number % 256) == (seen, int(pixels[0, 0]))


def _move_gate(plant: Plant, counts: int, lane: int) -> None:
    event = plant.layout.gate_log[plant.layout.gate_moves % layout.GATE_LOG]
    event.ns, event.counts, event.lane, event.part = counts * 10, counts, lane, 1
    plant.layout.gate_moves += 1


def _layout_program() -> str:
    lines = [f'printf("{name} = %u\\n", (unsigned){name});' for name in CONSTANTS]
    for name, mirror in STRUCTS.items():
        lines.append(f'printf("sizeof {name} = %zu\\n", sizeof(struct {name}));')
        for member, *_ in mirror._fields_:
            where = f"offsetof(struct {name}, {member}), sizeof(((struct {name} *)0)->{member})"
            lines.append(f'printf("{name}.{member} = %zu %zu\\n", {where});')
    body = "\n    ".join(lines)
    includes = '#include <stddef.h>\n#include <stdio.h>\n#include "plant.h"\n'
    return f"{includes}int main(void)\n{{\n    {body}\n    return 0;\n}}\n"
