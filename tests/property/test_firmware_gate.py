"""No loss, delay or reset puts a part into the accept lane without a valid decision in time."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.schema.clocks import MS, HostNs
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import CORE, build_core
from firmware_bridge.configuration import configuration
from firmware_bridge.events import EventsLost
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Configure,
    Decision,
    GateCause,
    GateEvent,
    HelloAck,
    Lane,
    PartEvent,
    State,
    Stats,
)  # fmt: skip

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
GATE, LEAD = 5000, 300
STATION = configuration(
    gate_counts=GATE, lead_counts=LEAD, camera_counts=(1000, 1500), min_gap_counts=200, gate_hold_counts=200
)
COUNTS_PER_S = 10_000
STEP = 2 * MS
FIRST_ENTER = 3000
HABITS = ("accept", "accept", "accept", "reject", "none", "late", "accept_reject", "reject_accept", "next_part")
PIPE_FAULTS = tuple(f"{what}_{way}" for what in ("drop", "damage", "twice", "replay", "hold") for way in ("up", "down"))
FAULTS = (*PIPE_FAULTS, "freeze_host", "restart_host", "reset_mcu", "stop_belt")


class Part(NamedTuple):
    gap: int
    length: int
    habit: str
    delay_ms: int


class Fault(NamedTuple):
    at_ms: int
    kind: str
    amount: int


parts = st.builds(Part, st.integers(110, 900), st.integers(20, 100), st.sampled_from(HABITS), st.integers(0, 300))
faults = st.builds(Fault, st.integers(0, 3000), st.sampled_from(FAULTS), st.integers(1, 700))
plans = st.tuples(st.lists(parts, min_size=1, max_size=30), st.lists(faults, max_size=8))
Plan = tuple[list[Part], list[Fault]]


class Pipe:
    """Bytes in order, but lost, damaged, doubled, held or played again on demand."""

    def __init__(self) -> None:
        self.waiting = b""
        self.history: list[bytes] = []
        self.held_until = self.drop = self.damage = self.twice = 0

    def put(self, data: bytes) -> None:
        lost = min(self.drop, len(data))
        self.drop -= lost
        data = data[lost:]
        if data:
            self.history = [*self.history[-50:], data]
        if data and self.damage:
            at = self.damage % len(data)
            data = data[:at] + bytes([data[at] ^ (self.damage % 255 + 1)]) + data[at + 1 :]
            self.damage = 0
        if data and self.twice:
            data, self.twice = data * 2, 0
        self.waiting += data

    def harm(self, what: str, amount: int, now: int) -> None:
        """Let one fault of this wire happen."""
        if what == "replay":
            self.waiting = b"".join(self.history[-1 - amount % 50 :]) + self.waiting
        elif what == "hold":
            self.held_until = now + amount * MS
        else:
            setattr(self, what, amount)

    def get(self, now: int) -> bytes:
        if now < self.held_until:
            return b""
        data, self.waiting = self.waiting, b""
        return data


class World:
    """One MCU core, one host, two bad pipes and the belt as it really ran."""

    def __init__(self, library: Path, plan: Plan, station: Configure = STATION, gate_sensor: int | None = None) -> None:
        self.station = station
        self.plan_parts, self.plan_faults = plan[0], sorted(plan[1])
        self.now = 0
        self.boot = 1
        self.board = CoreBoard(library, self.boot, HostNs(0), gate_sensor=gate_sensor)
        self.up, self.down = Pipe(), Pipe()
        self.sessions = iter(range(1000, 100_000))
        self.frozen_until = self.stopped_until = 0
        self.sent: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        self.numbered: dict[tuple[int, int], int] = {}
        self.spans: list[tuple[int, int]] = []
        self.next_number = 1
        self.next_span = 0
        enter = FIRST_ENTER
        for part in self.plan_parts:
            self.spans.append((enter, enter + part.length))
            self.board.place_part(*self.spans[-1])
            enter += part.gap
        self.restart_host()
        self.board.set_belt(COUNTS_PER_S)

    def restart_host(self) -> None:
        self.link = Link(lambda: next(self.sessions), HostNs(self.now))
        self.seen: list[object] = []
        self.agenda: list[tuple[int, Decision]] = []
        self.stats: Stats | None = None
        self.up.waiting = b""

    def run(self) -> None:
        end = FIRST_ENTER + sum(p.gap for p in self.plan_parts) + GATE + 2000
        while self.board.counts < end or self.plan_faults:
            self.tick()
        for pipe in (self.up, self.down):
            pipe.drop = pipe.damage = pipe.twice = pipe.held_until = 0
        for _ in range(1000):  # the pipes are whole again: 2 s to settle every account
            self.tick()

    def tick(self) -> None:
        self.now += STEP
        while self.plan_faults and self.plan_faults[0].at_ms * MS <= self.now:
            self.harm(self.plan_faults.pop(0))
        if self.stopped_until and self.now >= self.stopped_until:
            self.stopped_until = 0
            self.board.set_belt(COUNTS_PER_S)
        before = self.board.counts
        self.board.run_until(HostNs(self.now))
        self.number_parts(before)
        self.down.put(self.board.read())
        if self.now >= self.frozen_until:
            self.host()
        self.board.write(self.up.get(self.now))

    def number_parts(self, _: int) -> None:
        while self.next_span < len(self.spans) and self.spans[self.next_span][0] <= self.board.counts:
            self.numbered[self.boot, self.next_number] = self.spans[self.next_span][0]
            self.next_number += 1
            self.next_span += 1

    def host(self) -> None:
        link, now = self.link, HostNs(self.now)
        for message in link.feed(self.down.get(self.now), now):
            self.seen.append(message)
            if isinstance(message, HelloAck):
                self.agenda.clear()
            if isinstance(message, Stats):
                self.stats = message
                if message.state != State.ARMED and link.idle:
                    link.send(self.station, now)
                    link.send(Arm(), now)
            if isinstance(message, PartEvent):
                self.plan_decision(message)
        due = [d for at, d in self.agenda if at <= self.now]
        self.agenda = [(at, d) for at, d in self.agenda if at > self.now]
        for decision in due:
            if link.send(decision, now) and link.hello is not None:
                self.sent[link.hello.boot, decision.part].append((self.board.counts, decision.accept))
        self.up.put(link.outgoing(now))

    def plan_decision(self, event: PartEvent) -> None:
        habit = self.plan_parts[event.part % len(self.plan_parts)]
        at, part = self.now + habit.delay_ms * MS, event.part
        wishes = {
            "accept": [(at, part, 1)],
            "reject": [(at, part, 0)],
            "none": [],
            "late": [(self.now + 471 * MS, part, 1)],
            "accept_reject": [(at, part, 1), (at + 10 * MS, part, 0)],
            "reject_accept": [(at, part, 0), (at + 10 * MS, part, 1)],
            "next_part": [(at, part + 1, 0), (at, part + 40, 1)],
        }[habit.habit]
        self.agenda += [(when, Decision(number, accept, number)) for when, number, accept in wishes]

    def harm(self, fault: Fault) -> None:
        """Let one fault happen now."""
        if fault.kind in PIPE_FAULTS:
            what, way = fault.kind.split("_")
            (self.up if way == "up" else self.down).harm(what, fault.amount, self.now)
        if fault.kind == "freeze_host":
            self.frozen_until = self.now + fault.amount * MS
        if fault.kind == "restart_host":
            self.restart_host()
        if fault.kind == "reset_mcu":
            self.reset_mcu()
        if fault.kind == "stop_belt":
            self.stopped_until = self.now + fault.amount * MS
            self.board.set_belt(0)

    def reset_mcu(self) -> None:
        """Restart the MCU with the belt as it is."""
        self.boot += 1
        self.next_number = 1
        if any(enter <= self.board.counts < leave for enter, leave in self.spans):
            # Its leading edge went unseen; the sensor is high at the first look.
            self.numbered[self.boot, 1] = self.board.counts
            self.next_number = 2
        self.board.reset(self.boot)

    def lane_at(self, counts: int) -> Lane:
        """Return the gate's real position when the belt came to `counts`."""
        lane = Lane.REJECT
        for move in self.board.gate_moves:
            if move.counts <= counts:
                lane = move.lane
        return lane


def check(library: Path, plan: Plan) -> World:
    """Run the plan and hold the outcome against what the host really sent."""
    world = World(library, plan)
    world.run()

    for (boot, number), enter in world.numbered.items():
        wishes = world.sent[boot, number]
        in_time = any(accept for counts, accept in wishes if counts < enter + GATE - LEAD)
        if world.lane_at(enter + GATE) == Lane.ACCEPT:
            assert in_time, f"part {number} of boot {boot} passed the gate without an accept in time: {wishes}"
            answers = [accept for counts, accept in wishes if counts >= enter]
            assert answers[:1] == [1], f"part {number} of boot {boot} passed after a reject: {wishes}"

    gate = [m for m in world.seen if isinstance(m, GateEvent)]
    entered = [m.part for m in world.seen if isinstance(m, PartEvent)]
    this_boot = {n: enter for (boot, n), enter in world.numbered.items() if boot == world.boot}
    numbers = [m.part for m in gate][-len(this_boot) :] if this_boot else []
    assert world.link.connected
    assert [] == [m for m in world.seen if isinstance(m, EventsLost)]
    assert sorted(this_boot) == sorted(numbers)
    assert sorted(this_boot) == sorted(entered[-len(this_boot) :] if this_boot else [])
    assert world.stats is not None
    assert world.stats.parts == world.stats.accepts + world.stats.rejects == len(this_boot)
    for event in gate[-len(this_boot) :] if this_boot else []:
        assert (event.lane == Lane.ACCEPT) == (event.cause == GateCause.ACCEPTED)
        if event.counts == this_boot[event.part] + GATE:
            assert event.lane == world.lane_at(event.counts)
    return world


@pytest.fixture(scope="module")
def core() -> Path:
    return build_core(BUILD)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(plan=plans)
def test_only_an_accept_in_time_opens_the_gate(core: Path, plan: Plan) -> None:
    """The absence of a valid, in-time accept is a reject, and every part meets the gate exactly once."""
    check(core, plan)


def test_a_quiet_day_accepts_good_parts(core: Path) -> None:
    """The rule is not kept by rejecting everything: without faults each accept in time opens the gate."""
    world = check(core, ([Part(400, 50, "accept", 20)] * 30, []))

    expected = [GateCause.ACCEPTED] * 30
    assert expected == [m.cause for m in world.seen if isinstance(m, GateEvent)]


MUTATIONS = {
    "parts.c": [
        ("uint8_t lane = LANE_REJECT; /* RULE default-reject */", "uint8_t lane = LANE_ACCEPT;"),
        ("if (p->closed) return DECISION_OUTCOME_LATE;", "p->closed = 0;"),
        ("if (p->decision == DECISION_NONE) return GATE_CAUSE_NO_DECISION;", "if (!p->decision) return 1;"),
        ("p->decision == DECISION_REJECT || !host_alive(c)", "!host_alive(c)"),
    ],
}


@pytest.mark.parametrize(("name", "old", "new"), [(f, *m) for f, all_m in MUTATIONS.items() for m in all_m])
def test_the_property_dies_when_a_rule_is_broken(tmp_path: Path, name: str, old: str, new: str) -> None:
    """A guard that no test misses is no guard: each broken rule must be found."""
    broken = tmp_path / "core"
    shutil.copytree(CORE, broken)
    source = (broken / name).read_text(encoding="utf-8")
    assert source.count(old) == 1
    (broken / name).write_text(source.replace(old, new), encoding="utf-8")
    library = build_core(tmp_path, core=broken)

    @settings(max_examples=60, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(plan=plans)
    def held(plan: Plan) -> None:
        check(library, plan)

    with pytest.raises((AssertionError, ExceptionGroup)):
        held()
