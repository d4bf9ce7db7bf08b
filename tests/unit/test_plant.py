"""Hold the file of the simulated plant to its header, and its readers to whole scenes and events."""

import ctypes
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
from appliance.sim.plant import GateEvent, Plant
from appliance.sim.plant_layout import LANE_ACCEPT, MONO8, RGB8
from tests.unit.plant_rig import SIZE, move_gate

ROOT = Path(__file__).parents[2]
STRUCTS = {
    "plant_belt": layout.BeltLayout,
    "plant_part": layout.PartLayout,
    "plant_scene": layout.SceneLayout,
    "plant_camera": layout.CameraLayout,
    "plant_gate_event": layout.GateEventLayout,
    "plant_wires": layout.WiresLayout,
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
    "PLANT_EXTRAS": layout.EXTRAS,
    "PLANT_TAKEN": layout.TAKEN,
    "PLANT_SENSOR_WORKS": layout.SENSOR_WORKS,
    "PLANT_SENSOR_LOW": layout.SENSOR_LOW,
    "PLANT_SENSOR_HIGH": layout.SENSOR_HIGH,
    "PLANT_LANE_REJECT": layout.LANE_REJECT,
    "PLANT_LANE_ACCEPT": layout.LANE_ACCEPT,
}


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
                move_gate(plant, written, LANE_ACCEPT)
                written += 1
            news = plant.gate_events(since)
            seen += [event.counts for event in news.events]
            lost += news.lost
            since = news.next_index

        assert written == len(seen) + lost
        assert sorted(set(seen)) == seen


def test_gate_events_carry_all_they_were_written_with(plant: Plant):
    """Time, place, lane and part of a move come back as written."""
    move_gate(plant, 42, LANE_ACCEPT)

    assert [GateEvent(HostNs(420), 42, LANE_ACCEPT, 1)] == plant.gate_events(0).events


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
