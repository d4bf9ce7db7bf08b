"""A Logix controller gets each result once, in order, and nothing that it could take for good by mistake.

The controller is cpppo in a process and an environment of its own; what it cannot play (upload of tags and types, the
timing of a real controller) is not tested here.
"""

import json
import random
import select
import socket
import subprocess
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from appliance.config_plant import Logix
from appliance.outputs.logix import LogixWriter
from appliance.outputs.logix_results import HELD
from appliance.outputs.logix_type import LAYOUT, MEMBERS, SIZE
from appliance.schema.clocks import S
from appliance.schema.health import Condition
from appliance.schema.line import JobMode, LineState
from tests.contract.sparkplug_rig import report

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "build" / "foreign" / "python" / "bin" / "python"
LIMIT_S = 20.0
TRUE_LAYOUT = [(member.name, member.kind) for member in MEMBERS]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="cpppo's environment is not under build/foreign/python")


class Controller:
    """The fake controller's process; it can be killed and started again with an empty memory."""

    def __init__(self, layout=TRUE_LAYOUT):
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.layout = layout
        self.events = []
        self.start()

    def start(self):
        command = [str(PYTHON), str(ROOT / "tests/foreign/logix_plc.py"), str(self.port), "Firstshift"]
        self._process = subprocess.Popen(
            [*command, json.dumps(self.layout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._thread = threading.Thread(target=self._listen, args=(self._process.stdout,), name="controller")
        self._thread.start()
        eventually(self._answers, "controller starts")

    def _listen(self, stream):
        for line in stream:
            if line.startswith("{"):
                self.events.append(json.loads(line))

    def _answers(self):
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wish(self, words):
        self._process.stdin.write(words + "\n")
        self._process.stdin.flush()

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._thread.join(LIMIT_S)
        self._process.stdin.close()
        self._process.stdout.close()

    @property
    def taken(self):
        return [(event["part"], event["good"]) for event in list(self.events) if event["event"] == "taken"]

    @property
    def written(self):
        return [event["values"] for event in list(self.events) if event["event"] == "written"]


class Clock:
    ahead_ns = 0

    def now(self):
        return time.monotonic_ns() + self.ahead_ns

    def utc(self):
        return time.time_ns()


class Writer:
    """The device under test, served as the publish service serves it."""

    def __init__(self, port, timeout_ms=500):
        self.clock = Clock()
        settings = Logix(f"127.0.0.1:{port}/0", "Firstshift", timeout_ms)
        self.device = LogixWriter(settings, self.clock, random.Random(1))
        self.components = []

    def part(self, number, *, good=True):
        self.device.write(report(number, self.clock.utc(), good=good), self.clock.now())

    def line(self, **fields):
        state = {"mode": JobMode.CONTINUOUS, "handshake": "ready", "ready": True, **fields}
        self.device.write(LineState(at=self.clock.now(), **state), self.clock.now())

    def run_until(self, condition, what):
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s; told: {self.components[-3:]}"
            select.select([self.device.fileno()], [], [], 0.02)
            self.components += self.device.read(self.clock.now())

    @property
    def newest(self):
        return self.components[-1]

    @property
    def is_degraded(self):
        return bool(self.components) and self.newest.condition is Condition.DEGRADED


def eventually(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.01)


@contextmanager
def controller_with(layout=TRUE_LAYOUT):
    controller = Controller(layout)
    try:
        yield controller
    finally:
        controller.kill()


@contextmanager
def writer_to(controller):
    writer = Writer(controller.port)
    try:
        yield writer
    finally:
        writer.device.close()


def test_each_result_is_taken_once_and_in_order():
    """The controller's program sees every part once, good only where it was accepted, over a heartbeat that changes."""
    with controller_with() as controller:
        with writer_to(controller) as writer:
            for number in range(1, 21):
                writer.line(parts=number)
                writer.part(number, good=number % 3 != 0)
                writer.run_until(lambda upto=number: len(controller.taken) >= upto, "taken")
            writer.run_until(lambda: writer.components != [], "a component")
        last = controller.written[-1]
        beats = [values["Heartbeat"] for values in controller.written if values["Layout"] == LAYOUT]

    assert [(number, number % 3 != 0) for number in range(1, 21)] == controller.taken
    assert beats == sorted(set(beats))
    assert (Condition.OK, f"writes to 127.0.0.1:{controller.port}/0, tag Firstshift") == (
        writer.newest.condition,
        writer.newest.cause,
    )
    assert (0, 0, 0, 0) == tuple(last[name] for name in ("Online", "Ready", "Good", "Sequence"))


def test_a_controller_that_does_not_take_results_gets_the_newest_eight():
    """What is too much goes, oldest first, and shows in a count; the result that is shown stays as it is."""
    with controller_with() as controller, writer_to(controller) as writer:
        controller.wish("hold")
        writer.line()
        writer.run_until(lambda: any(values["Online"] == 1 for values in controller.written), "online")
        writer.part(1)
        writer.run_until(lambda: any(values["PartNumber"] == 1 for values in controller.written), "first shown")
        for number in range(2, 22):
            writer.part(number)
        writer.run_until(lambda: controller.written[-1]["Lost"] == 21 - HELD, "lost are counted")
        shown = {values["Sequence"] for values in controller.written if values["Layout"] == LAYOUT}
        controller.wish("go")
        writer.run_until(lambda: len(controller.taken) == HELD, "taken")
        writer.run_until(lambda: "13 results lost" in writer.newest.cause, "component")

    assert set() == shown - {0, 1}
    assert [1, *range(15, 22)] == [part for part, _ in controller.taken]
    assert Condition.DEGRADED is writer.newest.condition


def test_a_controller_that_restarts_misses_and_doubles_nothing():
    """Results wait for it; after its return the numbers go on, although its own memory is empty."""
    with controller_with() as controller, writer_to(controller) as writer:
        writer.line()
        for number in range(1, 6):
            writer.part(number)
        writer.run_until(lambda: len(controller.taken) == 5, "taken")
        writer.run_until(lambda: writer.device._results.waiting == 0, "acknowledged")
        controller.kill()
        writer.run_until(lambda: writer.is_degraded, "loss is told")
        fault = writer.newest
        for number in range(6, 10):
            writer.part(number)
        controller.start()
        writer.run_until(lambda: len(controller.taken) == 9, "taken again")
        writer.run_until(lambda: writer.newest.condition is Condition.OK, "recovery is told")

    assert [*range(1, 10)] == [part for part, _ in controller.taken]
    assert fault.cause.startswith(f"controller 127.0.0.1:{controller.port}/0: ")
    assert "0 lost" in fault.cause


def test_an_idle_controller_that_restarts_takes_nothing():
    """Where no result is shown there is none to take, whatever the controller remembers."""
    with controller_with() as controller, writer_to(controller) as writer:
        writer.line()
        writer.part(1)
        writer.run_until(lambda: len(controller.taken) == 1, "taken")
        writer.run_until(lambda: writer.device._results.waiting == 0, "acknowledged")
        controller.kill()
        writer.run_until(lambda: writer.is_degraded, "loss is told")
        before = len(controller.events)
        controller.start()
        writer.run_until(lambda: writer.newest.condition is Condition.OK, "recovery is told")
        writes = len(controller.written)
        writer.run_until(lambda: len(controller.written) >= writes + 5, "writes")
        after = [event for event in controller.events[before:] if event["event"] == "taken"]

    assert [(1, True)] == controller.taken
    assert [] == after


def test_a_writer_that_restarts_shows_no_part_twice():
    """The controller remembers the part that it took last; a replay after our crash starts behind it."""
    with controller_with() as controller:
        with writer_to(controller) as writer:
            writer.line()
            for number in range(1, 4):
                writer.part(number)
            writer.run_until(lambda: len(controller.taken) == 3, "taken")
            writer.run_until(lambda: writer.device._results.waiting == 0, "acknowledged")
        with writer_to(controller) as again:
            again.line()
            for number in range(1, 6):
                again.part(number)
            again.run_until(lambda: len(controller.taken) == 5, "taken again")
        sequences = [event["sequence"] for event in controller.events if event["event"] == "taken"]

    assert [1, 2, 3, 4, 5] == [part for part, _ in controller.taken]
    assert [1, 2, 3, 4, 5] == sequences


def test_a_silent_line_is_offline_at_the_controller():
    """A result says what happened; whether the next part is inspected only a line that speaks can say."""
    with controller_with() as controller, writer_to(controller) as writer:
        writer.line(ready=True)
        writer.run_until(lambda: controller.written and controller.written[-1]["Online"] == 1, "online")
        ready = controller.written[-1]["Ready"]
        writer.clock.ahead_ns += 4 * S
        writer.run_until(lambda: controller.written[-1]["Online"] == 0, "offline")

    assert (1, 0) == (ready, controller.written[-1]["Ready"])


def swapped(first, second):
    layout = list(TRUE_LAYOUT)
    one, two = (next(place for place, (name, _) in enumerate(layout) if name == wanted) for wanted in (first, second))
    layout[one], layout[two] = layout[two], layout[one]
    return layout


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (swapped("Good", "Lost"), "Firstshift.Lost is 0, not 1024"),
        (swapped("Good", "Sequence"), "Firstshift.Good is 1048, not 1030"),
        (swapped("Sequence", "SequenceCheck"), "Firstshift.SequenceCheck is 0, not 1000"),
        (TRUE_LAYOUT[:-1], f"no FirstshiftResult of {SIZE} bytes (96 bytes)"),
        ([(name, "DINT") for name, _ in TRUE_LAYOUT], "Firstshift.Score is DINT, not REAL"),
        ([(name.replace("Good", "Ok"), kind) for name, kind in TRUE_LAYOUT], "cannot read Firstshift.Good"),
    ],
)
def test_another_layout_gets_no_result(layout, said):
    """A type that differs from the L5X file is named, and never holds a 1 where the program looks for Good."""
    with controller_with(layout) as controller, writer_to(controller) as writer:
        writer.line()
        writer.part(1)
        writer.run_until(lambda: writer.is_degraded, "fault is told")

    assert (Condition.DEGRADED, True) == (writer.newest.condition, said in writer.newest.cause)
    assert (
        "import FirstshiftResult.L5X" in f"{writer.newest.cause}; {writer.newest.remedy}"
        or "check" in writer.newest.remedy
    )
    assert [] == controller.taken
    assert [] == [values for values in controller.written if values.get("Good", 0) == 1]


def test_a_controller_that_is_not_there_is_named():
    """A wrong address shows as such; results are held, and closing does not hang."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        writer = Writer(taken.getsockname()[1])
        try:
            writer.part(1)
            writer.run_until(lambda: writer.is_degraded, "fault is told")
        finally:
            writer.device.close()

    assert Condition.DEGRADED is writer.newest.condition
    assert writer.newest.cause.endswith("1 results wait, 0 lost")
    assert "check logix.host and slot" == writer.newest.remedy
