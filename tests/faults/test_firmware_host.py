"""A host that is stopped, killed or slow, as a process of its own beside the firmware process."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.schema.clocks import MS
from firmware_bridge.messages import GateCause, GateEvent, Lane, PartEvent, State, Stats
from tests.contract.board_rigs import GATE, ProcessRig, greeted_link, kinds, talk

HOST = """
import random, select, sys, time
from pathlib import Path
from firmware_bridge.board import PtyBoard
from firmware_bridge.link import Link
from firmware_bridge.messages import Arm, Decision, PartEvent, State, Stats
from tests.contract.board_rigs import STATION
line = PtyBoard(Path(sys.argv[1]))
link = Link(lambda: random.getrandbits(31) + 1, time.monotonic_ns())
while True:
    now = time.monotonic_ns()
    line.write(link.outgoing(now))
    select.select([line], [], [], 0.01)
    for message in link.feed(line.read(), time.monotonic_ns()):
        now = time.monotonic_ns()
        if isinstance(message, Stats):
            print("armed" if message.state == State.ARMED else "safe", flush=True)
        if isinstance(message, Stats) and message.state != State.ARMED and link.idle:
            link.send(STATION, now)
            link.send(Arm(), now)
        if isinstance(message, PartEvent):
            link.send(Decision(message.part, 1, message.part), now)
            print("decided", message.part, flush=True)
"""


class Line:
    """The firmware process, and a host that accepts every part."""

    def __init__(self, folder: Path) -> None:
        self.rig = ProcessRig(folder)
        self.rig.board.close()
        root = Path(__file__).resolve().parents[2]
        self.host = subprocess.Popen(
            [sys.executable, "-c", HOST, folder / "mcu"], stdout=subprocess.PIPE, text=True, cwd=root
        )
        self.said: list[str] = []
        self.until(lambda: self.heard("armed"))

    def heard(self, word: str) -> bool:
        while select.select([self.host.stdout], [], [], 0)[0]:
            line = self.host.stdout.readline()
            if not line:
                break
            self.said.append(line)
        return any(word in line for line in self.said)

    def until(self, done: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 15
        while not done():
            assert time.monotonic() < give_up, self.said[-5:]
            select.select([], [], [], 0.01)

    def passed(self, counts: int) -> Callable[[], bool]:
        """Say whether the belt has come to `counts`."""
        return lambda: (time.monotonic_ns() - self.rig.epoch) // 100_000 > counts

    def close(self) -> None:
        self.host.kill()
        self.host.wait()
        self.host.stdout.close()
        self.rig.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.close()


def test_a_stopped_host_holds_no_gate_open(line: Line) -> None:
    """SIGSTOP after the accept: the part is rejected; SIGCONT: the host finds itself disarmed, and arms again."""
    at = line.rig.place_part(300)
    line.until(lambda: line.heard("decided 1"))
    line.host.send_signal(signal.SIGSTOP)
    line.until(line.passed(at + GATE + 500))
    while_stopped = line.rig.gate()
    line.said.clear()
    line.host.send_signal(signal.SIGCONT)
    line.until(lambda: line.heard("safe"))
    line.said.clear()
    line.until(lambda: line.heard("armed"))
    again = line.rig.place_part(600)
    line.until(line.passed(again + GATE + 500))

    assert [] == while_stopped
    assert [(again + GATE - 100, Lane.ACCEPT), (again + GATE + 100, Lane.REJECT)] == line.rig.gate()


def test_a_killed_host_leaves_a_closed_gate(line: Line) -> None:
    """Kill -9 after the accept: the part is rejected, and the next host hears why."""
    at = line.rig.place_part(300)
    line.until(lambda: line.heard("decided 1"))
    line.host.kill()
    line.host.wait()
    line.until(line.passed(at + GATE + 500))
    line.until(line.rig.board.reopen)
    link, hello = greeted_link(line.rig)
    got = talk(line.rig, link, lambda got: bool(kinds(got, GateEvent)) and bool(kinds(got, Stats)))

    assert State.CONFIGURED == hello.state
    assert [1] == [m.part for m in kinds(got, PartEvent)]
    assert [(Lane.REJECT, GateCause.HOST_LOST)] == [(m.lane, m.cause) for m in kinds(got, GateEvent)]
    assert 0 == kinds(got, Stats)[-1].run_permit
    assert [] == line.rig.gate()


def test_a_cable_that_is_pulled_and_plugged_again(line: Line) -> None:
    """The name of the line goes and comes back on another pty; parts meanwhile are rejected and numbered anew."""
    line.host.kill()
    line.host.wait()
    line.rig.reset()
    at = line.rig.place_part(400)
    link, hello = greeted_link(line.rig, 900)
    until = line.rig.now() + 700 * MS
    got = talk(line.rig, link, lambda _: line.rig.now() > until)

    assert State.UNCONFIGURED == hello.state
    assert [(1, at)] == [(m.part, m.counts) for m in kinds(got, PartEvent)]
    assert [(Lane.REJECT, GateCause.NOT_ARMED)] == [(m.lane, m.cause) for m in kinds(got, GateEvent)]
    assert [] == [move for move in line.rig.gate() if move[1] == Lane.ACCEPT]
