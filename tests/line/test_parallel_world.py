"""Run whole lines in parallel mode: people drive the gate, and the model's word stays under its seal."""

import random
from pathlib import Path

import pytest

from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS, S
from appliance.schema.policy import Mode
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.person_twin import Habits
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import build_core
from tests.line import history

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
FLAWLESS = Habits(absent=0.0, wrong=0.0, doubled=0.0, second_thought=0.0, behind=0.0, quickest_ms=40, slowest_ms=200)


def test_a_person_who_is_quick_and_right_passes_every_good_part() -> None:
    """The rule is not kept by rejecting everything."""
    world = LineWorld(build_core(BUILD), 200, 10.0, 2, mode=Mode.PARALLEL, habits=FLAWLESS)
    world.play()

    assert [] == world.breaches()
    assert world.defective.count(False) == world.accepted
    assert {Cause.OPERATOR} == {one.cause for told in world.actuations.values() for one in told}
    assert [(one.part, one.good) for one in world.plc.taken if one.good] != []


def test_without_a_person_nothing_passes() -> None:
    """A model that finds every part good opens nothing, and the line is not stopped for it."""
    world = LineWorld(build_core(BUILD), 100, 10.0, 3, mode=Mode.PARALLEL, habits=Habits(absent=1.0))
    world.play()

    assert [] == world.breaches()
    assert world.accepted == 0
    assert {Cause.NO_VERDICT} == {one.cause for told in world.actuations.values() for one in told}
    assert len(world.judged_by) == 100


def test_words_behind_the_gate_are_hands_acts() -> None:
    """Each word about a part that is past the gate is told once, and no other is."""
    slow = Habits(absent=0.0, wrong=0.0, doubled=0.3, second_thought=0.0, behind=1.0)
    world = LineWorld(build_core(BUILD), 60, 10.0, 4, mode=Mode.PARALLEL, habits=slow)
    world.play([Action(3 * S, "kill", "judge")])
    lanes = {world.account.numbers[one.part]: one.lane for one in world.account.hands}
    expected = {part: Lane.REJECT if bad else Lane.ACCEPT for part, bad in enumerate(world.defective, 1)}

    assert [] == world.breaches()
    assert world.accepted == 0
    assert len(world.account.hands) == len(lanes)
    assert lanes.items() <= expected.items()
    assert len(lanes) > 30


@pytest.mark.parametrize("seed", range(6))
def test_a_bad_day(seed: int) -> None:
    """Kills, freezes, unplugs, resets, a lossy bus: the accept lane is explained by people's words in time alone."""
    generator = random.Random(seed)
    trouble = history.trouble(generator)
    actions = history.actions(generator, 15 * S)
    world = LineWorld(build_core(BUILD), 300, 20.0, seed, trouble, mode=Mode.PARALLEL)
    world.play(actions)

    assert [] == world.breaches()
    assert world.accepted > 15


def test_the_model_changes_nothing_at_the_gate() -> None:
    """One day with a quick and right model, and the same with one that is blind: lane for lane the same."""

    def lanes(trouble: Trouble) -> list[Lane]:
        world = LineWorld(build_core(BUILD), 150, 20.0, 5, trouble, mode=Mode.PARALLEL)
        world.play()
        return [world.physical_lane(part) for part in range(1, 151)]

    assert lanes(Trouble()) == lanes(Trouble(wild_model=1.0)) == lanes(Trouble(model_ns=200 * MS))
    assert lanes(Trouble(bus=BusFaults(delay_ns=MS))).count(Lane.ACCEPT) > 30
