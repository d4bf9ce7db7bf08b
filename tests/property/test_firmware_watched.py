"""With a sensor at the gate nothing that the table does not know, or has elsewhere, comes into the accept lane."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from appliance.schema.clocks import MS, EncoderCounts
from firmware_bridge.build import CORE, build_core
from firmware_bridge.configuration import configuration
from firmware_bridge.messages import Fault, FaultEvent, GateCause, GateEvent, Lane, ReleaseFault, State, Stats
from tests.property.test_firmware_gate import BUILD, GATE, LEAD, Part, World, parts
from tests.property.test_firmware_gate import Fault as Trouble

GATE_SENSOR, WINDOW = 4800, 60
STATION = configuration(
    gate_counts=GATE,
    lead_counts=LEAD,
    camera_counts=(1000, 1500),
    min_gap_counts=200,
    gate_hold_counts=200,
    gate_sensor_counts=GATE_SENSOR,
    gate_window_counts=WINDOW,
    encoder_max_hz=40_000,
    encoder_back_counts=100,
    shortest_part_counts=20,
    host_lost_rejects=3,
)


class Oddity(NamedTuple):
    """Something that the table cannot know: at this time, this, so much."""

    at_ms: int
    kind: str
    amount: int


oddities = st.builds(
    Oddity, st.integers(100, 1000), st.sampled_from(["extra", "take", "slip", "spoil", "stick"]), st.integers(0, 600)
)
troubles = st.builds(
    Trouble,
    st.integers(0, 3000),
    st.sampled_from(["freeze_host", "restart_host", "reset_mcu", "stop_belt", "drop_up", "damage_up"]),
    st.integers(1, 600),
)
plans = st.tuples(
    st.lists(parts, min_size=1, max_size=10), st.lists(oddities, max_size=3), st.lists(troubles, max_size=2)
)
Plan = tuple[list[Part], list[Oddity], list[Trouble]]


class WatchedWorld(World):
    """The world of the gate's property, with a sensor at the gate and things that happen to the belt."""

    def __init__(self, library: Path, plan: Plan) -> None:
        super().__init__(library, (plan[0], plan[2]), STATION, GATE_SENSOR)
        self.oddities = sorted(plan[1])
        self.extras: list[int] = []
        """Where on the belt, counted from the part sensor, a part lies that nobody saw enter."""
        self.taken: set[int] = set()
        self.faults: set[Fault] = set()
        self.slip = 0

    def tick(self) -> None:
        while self.oddities and self.oddities[0].at_ms * MS <= self.now:
            self.disturb(self.oddities.pop(0))
        if self.slip:
            step = 2 if self.slip > 0 else -2
            self.board.slipped += step
            self.slip -= step
        super().tick()
        self.faults |= {m.fault for m in self.seen if isinstance(m, FaultEvent)}
        if self.stats is not None and self.stats.state == State.FAULT and self.link.idle:
            self.link.send(ReleaseFault(), self.link._heard)  # the person at the line always says yes

    def disturb(self, odd: Oddity) -> None:
        """Let one thing happen."""
        here = self.board.counts
        if odd.kind == "extra":
            near = self.spans[odd.amount % len(self.spans)][0] + GATE_SENSOR + odd.amount // 2 - 150
            at = EncoderCounts(max(here + 1, near))
            place = at - GATE_SENSOR
            if not any(enter < place + 22 and place < leave + 2 for enter, leave in self.spans):  # touching is one part
                self.board.place_at_gate(at, EncoderCounts(at + 20))
                self.extras.append(place)
        if odd.kind == "take":
            edges = sorted(e for e in self.board._edges if e[1:] == (1, 1) and e[0] > here)
            if edges:
                enter = edges[odd.amount % len(edges)][0]
                ends = sorted(e for e in self.board._edges if e[1:] == (-1, 1) and e[0] > enter)
                self.board._edges = sorted(
                    e for e in self.board._edges if e not in (edges[odd.amount % len(edges)], ends[0])
                )
                self.taken.add(enter - GATE_SENSOR)
        if odd.kind == "slip":
            self.slip = (odd.amount % 20) * 2 - 20
        if odd.kind == "spoil":
            self.board.encoder_errors += 1
        if odd.kind == "stick":
            self.board.gate_sensor_stuck = None if odd.amount % 3 == 0 else odd.amount % 3 == 1


def check(library: Path, plan: Plan) -> WatchedWorld:
    """Run the plan; what comes to the gate really, and was not accepted in time, meets the reject lane."""
    world = WatchedWorld(library, plan)
    world.run()

    for extra in world.extras:
        assert world.lane_at(extra + GATE) == Lane.REJECT, f"a part nobody saw passed at {extra + GATE}"
    for (boot, number), enter in world.numbered.items():
        if enter in world.taken or world.lane_at(enter + GATE) == Lane.REJECT:
            continue
        wishes = world.sent[boot, number]
        in_time = any(accept for counts, accept in wishes if counts < enter + GATE - LEAD + WINDOW)

        assert in_time, f"part {number} of boot {boot} passed the gate without an accept in time: {wishes}"
    return world


@pytest.fixture(scope="module")
def core() -> Path:
    return build_core(BUILD)


@settings(
    max_examples=100,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(plan=plans)
def test_nothing_unknown_comes_into_the_accept_lane(core: Path, plan: Plan) -> None:
    """Parts laid on or taken off the belt by hand, a slipping belt, a bad encoder: no pass without an accept."""
    check(core, plan)


def test_a_quiet_day_passes_and_an_extra_part_ends_it(core: Path) -> None:
    """The rule is not kept by rejecting everything, nor by never looking."""
    day = [Part(400, 50, "accept", 20)] * 20
    quiet = check(core, (day, [], []))
    ended = check(core, (day, [Oddity(1200, "extra", 20)], []))

    assert [GateCause.ACCEPTED] * 20 == [m.cause for m in quiet.seen if isinstance(m, GateEvent)]
    assert ({Fault.SYNC_LOST}, set()) == (ended.faults, quiet.faults)
    assert [m.state for m in ended.seen if isinstance(m, Stats)][-1] == State.ARMED


MUTATIONS = {
    "extra": ("watch.c", "if (c->state == STATE_ARMED) fault_latch(c, FAULT_SYNC_LOST, 0);", ""),
    "default": ("parts.c", "uint8_t lane = LANE_REJECT; /* RULE default-reject */", "uint8_t lane = LANE_ACCEPT;"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_property_dies_when_a_rule_is_broken(tmp_path: Path, name: str) -> None:
    """A guard that no test misses is no guard."""
    file, old, new = MUTATIONS[name]
    broken = tmp_path / "core"
    shutil.copytree(CORE, broken)
    source = (broken / file).read_text(encoding="utf-8")
    assert source.count(old) == 1
    (broken / file).write_text(source.replace(old, new), encoding="utf-8")
    library = build_core(tmp_path, core=broken)

    @settings(max_examples=2000, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(plan=plans)
    def held(plan: Plan) -> None:
        check(library, plan)

    with pytest.raises((AssertionError, ExceptionGroup)):
        held()
