"""Run whole lines through bad days: 100 000 parts, and not one in the accept lane that must not be there."""

import os
import random
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from msgspec import Struct

from appliance.schema.actuation import Lane
from appliance.schema.clocks import MS, S
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import build_core
from tests.line import history

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
SEEDS = 50
PARTS = 2000
RATE_HZ = 40.0


class Outcome(Struct):
    """Sum one seed's history up."""

    seed: int
    actions: int
    triggers: int
    actuations: int
    accepted: int
    breaches: list[str]


def play(core: Path, seed: int) -> Outcome:
    """Run one seed's history to its end; called in a process of the pool."""
    generator = random.Random(seed)
    trouble = history.trouble(generator)
    actions = history.actions(generator, int(PARTS / RATE_HZ * S))
    world = LineWorld(core, PARTS, RATE_HZ, seed, trouble)
    world.play(actions)
    known = set(world.actuations) - {0}
    return Outcome(seed, len(actions), len(world.enters), len(known), world.accepted, world.breaches())


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(SEEDS // 4), id="25000_parts"),
        pytest.param(range(SEEDS), id="100000_parts", marks=pytest.mark.slow),
    ],
)
def test_a_hundred_thousand_parts(seeds: range) -> None:
    """The absence of a valid, in-time ACCEPT is a reject, and each part has one account of what became of it."""
    core = build_core(BUILD)
    began = time.monotonic()
    workers = min(2, len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(play, [core] * len(seeds), seeds))
    spent = time.monotonic() - began
    triggers, accepted = sum(one.triggers for one in outcomes), sum(one.accepted for one in outcomes)
    told = f"{triggers} parts, {accepted} accepted, {sum(one.actions for one in outcomes)} troubles, {spent:.1f} s"
    print(told)  # noqa: T201  the proof's size, shown with -s

    assert [] == [(one.seed, one.breaches) for one in outcomes if one.breaches]
    assert len(seeds) * PARTS == triggers
    assert triggers == sum(one.actuations for one in outcomes)
    assert accepted > triggers // 10, told
    assert [] == [one.seed for one in outcomes if one.accepted < PARTS // 20]


def test_a_seed_names_a_history() -> None:
    """A breach that was found can be found again."""
    core = build_core(BUILD)
    actions = [Action(1 * S, "kill", "judge"), Action(2 * S, "double", "top")]

    def once() -> list[object]:
        world = LineWorld(core, 150, 40.0, 9, Trouble(bus=BusFaults(0.02, 0.02, 20 * MS), wire=0.01))
        world.play(actions)
        return [*world.actuations.values(), *world.shown]

    assert once() == once()


def test_a_reset_while_line_is_dead_costs_the_account_and_nothing_else() -> None:
    """A microcontroller that restarts while `line` is dead forgets parts no one else knew; no other promise breaks."""
    world = LineWorld(build_core(BUILD), 60, 20.0, 3)
    world.play([Action(1 * S, "kill", "line"), Action(1200 * MS, "reset", "mcu")])
    forgotten = [part for part in range(1, 61) if part not in world.actuations]

    assert forgotten
    assert {f"part {part}: no actuation" for part in forgotten} == set(world.breaches())


def test_a_healthy_line_accepts_every_good_part() -> None:
    """The rule is not kept by rejecting everything: without trouble each good part passes."""
    world = LineWorld(build_core(BUILD), 300, 20.0, 2)
    world.play()

    assert [] == world.breaches()
    assert world.defective.count(False) == world.accepted


def test_the_plc_reads_what_the_gate_did() -> None:
    """A result that the PLC reads as good is that of a part in the accept lane."""
    world = LineWorld(build_core(BUILD), 300, 20.0, 4, Trouble(bus=BusFaults(0.01, 0.01, 10 * MS), wire=0.005))
    world.play([Action(4 * S, "kill", "judge"), Action(7 * S, "stop", "plc", 600 * MS)])
    lanes = {str(item.part): item.lane for told in world.actuations.values() for item in told}

    assert [] == [taken.part for taken in world.plc.taken if taken.good and lanes[taken.part] is not Lane.ACCEPT]
    assert len(world.plc.taken) > 200
