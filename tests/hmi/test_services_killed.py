"""Whatever else dies while the touchscreen runs: it says so, goes on, recovers, and loses no label."""

import random
import signal
import sys
import time
from contextlib import closing

import pytest

from appliance import config
from appliance.config import Loaded
from appliance.schema.clocks import UtcNs
from appliance.schema.command import SubmitLabel
from appliance.schema.health import Condition
from appliance.schema.label import Label, LabelLevel
from appliance.schema.part import PartId
from appliance.schema.review import Change
from appliance.sim import station
from appliance.sim.day_one import fit_day_one, pictures_of
from appliance.sim.hmi_station import sample_station
from appliance.sim.processes import Children
from appliance.sim.station import Layout, Settings
from appliance.storage.database import open_reader
from appliance.storage.label_queries import labels_of
from appliance.storage.record_store import DATABASE
from appliance.storage.review_queries import items
from hmi.client import units_of
from hmi.desk import Desk, open_desk
from hmi.outbox import Standing
from hmi.state import Presence
from hmi.words import Words

PATIENCE_S = 60.0
"""Longest wait for a process on a machine that others use too."""

SAYS_SO_S = 3.0
"""From the last word of a service to its absence on the screen."""

TICK_S = 0.05


class Processes:
    """Run some units of a station as systemd does, but start again only what the test starts again."""

    def __init__(self, loaded: Loaded, children: Children, desk: Desk) -> None:
        self.loaded, self.children, self.desk = loaded, children, desk

    def start(self, unit):
        command = station.service_command(unit, self.loaded.path)
        self.children.start(unit, command, self.loaded.state / "logs" / f"{unit}.log", service=True)

    def kill(self, unit):
        child = self.children.all[unit]
        child.send(signal.SIGKILL)
        child.process.wait(PATIENCE_S)

    def until(self, true, within_s=PATIENCE_S):
        """Tick until something holds; gives the seconds that took."""
        begin = time.monotonic()
        while not true():
            if time.monotonic() - begin > within_s:
                raise TimeoutError(f"not within {within_s} s: {self.desk.state.services}")
            self.desk.tick()
            time.sleep(TICK_S)
        return time.monotonic() - begin

    def hears(self, unit):
        return lambda: self.desk.state.services[unit].condition in {Condition.OK, Condition.DEGRADED}

    def misses(self, unit):
        return lambda: self.desk.state.services[unit].presence is Presence.ABSENT


@pytest.fixture
def sampled():
    """Give a sample station whose `record` and `publish` are real processes, and the touchscreen's desk over them."""
    with sample_station(waiting=60) as sample:
        recipe = sample.loaded.recipe_path
        recipe.write_text(recipe.read_text("utf-8") + "review_minutes = 100000\n", "utf-8")  # they wait since long ago
        loaded = config.load(sample.loaded.path)
        children = Children({})
        with closing(open_desk(loaded, Words({}))) as desk:
            processes = Processes(loaded, children, desk)
            try:
                yield processes
            finally:
                children.stop()


def labels(loaded, count, person="o-anna"):
    """Give labels for parts that wait for an operator."""
    with closing(open_reader(loaded.state / DATABASE)) as connection:
        waiting = [item.part for item in items(connection, (Change.OPENED,)) if not item.needs_quality]
    assert len(waiting) >= count
    for part in waiting[:count]:
        yield (
            part,
            lambda name, part=part: Label(
                name, part, LabelLevel.CONFIRM, person, "good", 4.0, False, UtcNs(time.time_ns()), terminal="line-1"
            ),
        )


def held(loaded, part: PartId, name):
    """Count how often the store holds a label."""
    with closing(open_reader(loaded.state / DATABASE)) as connection:
        return sum(label.label_id == name for label in labels_of(connection, part))


def answer(processes, count, kills, seed=1):
    """Answer so many parts while `record` is killed so often at random moments; gives the parts and label ids."""
    chance = random.Random(seed)
    desk = processes.desk
    put = []
    when = sorted(chance.sample(range(count), kills))
    for number, (part, label) in enumerate(labels(processes.loaded, count)):
        name = desk.put(SubmitLabel(label(desk.new_id())))
        put.append((part, name))
        if number in when:
            for _ in range(chance.randrange(4)):
                desk.tick()
                time.sleep(chance.random() * 0.01)
            processes.kill("record")
            processes.start("record")
            for _ in range(chance.randrange(40)):
                desk.tick()
                time.sleep(TICK_S)
    processes.until(lambda: not desk.pending())
    return put


def killed_while_labels_are_put(processes, count, kills):
    processes.start("record")
    processes.until(processes.hears("record"))
    put = answer(processes, count, kills)
    refused = [(entry.id, entry.reason) for entry in processes.desk.refused()]

    assert [] == refused
    assert [1] * count == [held(processes.loaded, part, name) for part, name in put]


def test_record_dies_and_no_label_with_it(sampled):
    """Killed while labels are put, `record` holds each once; dead, it is named within 3 s, and labels wait for it."""
    processes, desk = sampled, sampled.desk
    killed_while_labels_are_put(processes, 6, 1)
    processes.kill("record")
    took = processes.until(processes.misses("record"))
    [(part, label)] = labels(processes.loaded, 1)
    name = desk.put(SubmitLabel(label(desk.new_id())))
    desk.tick()
    waiting = [(entry.id, entry.state) for entry in desk.pending()]
    processes.start("record")
    processes.until(lambda: not desk.pending())
    processes.until(processes.hears("record"))

    assert took <= SAYS_SO_S + 1
    assert [(name, Standing.WAITING)] == waiting
    assert (1, ()) == (held(processes.loaded, part, name), desk.refused())


@pytest.mark.slow
def test_twenty_of_twenty_labels_survive_twenty_kills_of_record(sampled):
    """Twenty labels, `record` killed after each: twenty are held, once."""
    killed_while_labels_are_put(sampled, 20, 20)


@pytest.fixture
def whole(tmp_path, tmp_path_factory):
    """Give a whole simulated station, plant and microcontroller included, and the touchscreen's desk over it."""
    runtime = tmp_path_factory.mktemp("run")
    layout = Layout(tmp_path, runtime)
    pictures = pictures_of(None, 640, 512, 1)
    fit_day_one(pictures, layout.bundle, lambda _text: None)
    settings = Settings(4.0, 640, 512, pictures.pixel_format, pictures.precision, None)
    station.write_config(layout, settings)
    loaded = config.load(layout.config)
    children = Children({"FIRSTSHIFT_PLANT": str(layout.plant)})
    with closing(open_desk(loaded, Words({}))) as desk:
        processes = Processes(loaded, children, desk)
        try:
            plant = children.start("plant", plant_command(layout), layout.log("plant"), service=False)
            plant.process.stdout.readline()
            children.start("mcu", station.mcu_command(layout), layout.log("mcu"), service=True)
            for unit in units_of(loaded):
                processes.start(unit)
            for unit in units_of(loaded):
                processes.until(processes.hears(unit))
            plant.process.stdin.write(b"start\n")
            plant.process.stdin.flush()
            yield processes
        finally:
            children.stop()


def plant_command(layout):
    command = [sys.executable, "-m", "appliance.sim.plant_process", "--plant", str(layout.plant)]
    command += ["--parts", "100000", "--rate", "4", "--seed", "1", "--pictures", "8"]
    command += ["--truth", str(layout.truth), "--physical", str(layout.physical), "--width", "640", "--height", "512"]
    command += ["--camera-counts", str(station.CAMERA_MM * station.COUNTS_PER_MM)]
    command += ["--gate-counts", str(station.GATE_MM * station.COUNTS_PER_MM)]
    return [*command, "--gate-sensor-counts", str(station.GATE_SENSOR_MM * station.COUNTS_PER_MM)]


@pytest.mark.slow
def test_every_service_dies_in_turn_and_the_screen_goes_on(whole):
    """Each unit of a running station is killed: named within 3 s, the others heard on, and back when it is back."""
    processes, desk = whole, whole.desk
    took, others = {}, {}
    processes.until(lambda: desk.state.parts)
    for unit in units_of(processes.loaded):
        processes.kill(unit)
        took[unit] = processes.until(processes.misses(unit))
        others[unit] = [name for name in desk.state.absent if name != unit]
        processes.start(unit)
        processes.until(processes.hears(unit))
    newest = desk.state.parts[0].part
    processes.until(lambda: desk.state.parts[0].part != newest and desk.state.frames)

    assert {unit: [] for unit in took} == others
    assert max(took.values()) <= SAYS_SO_S + 1
