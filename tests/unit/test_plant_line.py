"""Hold the line of the simulated plant to the rule that no camera ever sees a wrong part."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sim.parts.truth import PartTruth
from appliance.sim.plant import Plant
from appliance.sim.plant_layout import LANE_ACCEPT, LANE_REJECT, MONO8, RGB8
from appliance.sim.plant_line import LOOK_AHEAD, PART_COUNTS, PITCH_COUNTS, GateLanes, Line, Station
from tests.unit.plant_rig import SIZE, ManualClock, move_gate


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with Plant.create(tmp_path / "plant", {0: (*SIZE, MONO8), 1: (*SIZE, RGB8)}) as made:
        yield made


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
                move_gate(plant, enter + station.gate_counts - 150, LANE_ACCEPT)
                move_gate(plant, enter + station.gate_counts + 150, LANE_REJECT)
        while not line.is_done():
            line.tend()
            clock.advance_ms(20)

        assert [(n, "reject" if n % 3 else "accept") for n in range(1, LOOK_AHEAD + 1)] == list(line.outcome())


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
