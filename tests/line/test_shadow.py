"""Let a shadow bundle look on, well and badly: the line does to the nanosecond what it does without one."""

from pathlib import Path

import pytest

from appliance.schema.clocks import MS, S
from appliance.schema.verdict import Disposition
from appliance.sim.line_world import LineWorld, Onlooker, Trouble
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
PARTS = 200
RATE_HZ = 20.0
BAD_DAY = Trouble(BusFaults(0.01, 0.02, 20 * MS), wire=0.005, overwritten=0.02, slow_model=0.01, wild_model=0.01)
DAY = [
    Action(2 * S, "lose", "top"),
    Action(4 * S, "kill", "judge"),
    Action(7 * S, "freeze", "line", 150 * MS),
]
OF_THE_SHADOW = [
    Action(1 * S, "kill", "shadow"),
    Action(2500 * MS, "freeze", "shadow", 3 * S),
    Action(6 * S, "kill", "shadow"),
    Action(6400 * MS, "kill", "shadow"),
]


def play(
    onlooker: Onlooker | None, trouble: Trouble = BAD_DAY, actions: list[Action] | None = None, seed: int = 3
) -> LineWorld:
    world = LineWorld(build_core(BUILD), PARTS, RATE_HZ, seed, trouble, onlooker=onlooker)
    world.play(DAY if actions is None else actions)
    return world


def history(world: LineWorld) -> tuple[object, ...]:
    """Give everything the line did: each verdict, alarm and actuation with its instant, each move of the gate."""
    return world.shown, world.actuations, world.judged_by, world.plc.taken, world._moves, world.board.counts


@pytest.mark.parametrize(
    ("onlooker", "actions"),
    [
        (Onlooker(), []),
        (Onlooker(model_ns=900 * MS), []),
        (Onlooker(slow_model=0.2, wild_model=0.5, overwritten=0.3), OF_THE_SHADOW),
        (Onlooker(loaded=False), []),
    ],
    ids=["well", "far_too_slow", "killed_frozen_and_wrong", "cannot_be_loaded"],
)
@pytest.mark.parametrize("seed", [3, 4])
def test_nothing_on_the_line_depends_on_a_shadow(onlooker: Onlooker, actions: list[Action], seed: int) -> None:
    """The same bad day, with a shadow and without: the same verdicts, actuations and moves at the same instants."""
    alone = play(None, seed=seed)
    beside = play(onlooker, actions=[*DAY, *actions], seed=seed)

    assert history(alone) == history(beside)
    assert [] == beside.breaches()
    assert [] == alone.shadowed


def test_a_shadow_sees_every_part_of_a_quiet_day() -> None:
    """With time to spare each judged part is compared, once, on its own frame and with the verdict it had."""
    world = play(Onlooker(), Trouble(), [])
    shadowed = {world.account.numbers[one.part]: one for one in world.shadowed}
    seen = {number: int(one.views[0].findings[0].score) for number, one in shadowed.items()}

    assert list(range(1, PARTS + 1)) == sorted(shadowed)
    assert len(world.shadowed) == PARTS
    assert {number: number for number in shadowed} == seen
    assert {("sha256:shadow", "sha256:twin", True)} == {(one.bundle, one.active, one.agrees) for one in world.shadowed}
    assert {Disposition.ACCEPT, Disposition.REJECT} == {one.active_disposition for one in world.shadowed}


def test_a_shadow_that_is_behind_drops_frames() -> None:
    """One that needs four times as long as there is sees some of the parts, and never another part's frame."""
    world = play(Onlooker(model_ns=200 * MS), Trouble(), [])
    seen = [(world.account.numbers[one.part], int(one.views[0].findings[0].score)) for one in world.shadowed]

    assert PARTS // 10 < len(seen) < PARTS // 2
    assert [] == [pair for pair in seen if pair[0] != pair[1]]
