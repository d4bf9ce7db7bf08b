"""Stop the belt with parts on it: nothing expires while it stands, and nothing late is accepted after."""

from pathlib import Path

import pytest

from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS, S
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.person_twin import Habits
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
STOP, SPAN = 2 * S, 30 * S
NEAR_MS = 100
"""Way at full speed before the closing count on which a stop leaves no time to ask where the belt is, look at the
frames that waited, and keep guard and margin."""


def stopped(freeze_ns: int, at_ns: int = STOP - 300 * MS, **given: object) -> LineWorld:
    """Freeze the judge shortly before the belt stops for half a minute."""
    world = LineWorld(build_core(BUILD), 60, 10.0, 5, **given)
    world.play(
        [
            Action(at_ns, "freeze", "judge", freeze_ns),
            Action(STOP, "stop", "belt"),
            Action(STOP + SPAN, "start", "belt"),
        ]
    )
    return world


def on_the_way(world: LineWorld) -> list[int]:
    """Give the parts that the stop met behind the camera and well before the closing count."""
    closes = int((world.settings.gate_mm - world.settings.lead_mm) * world.settings.counts_per_mm)
    camera = int(world.cameras["top"].distance_mm * world.settings.counts_per_mm)
    speed = world.settings.belt_mm_s * world.settings.counts_per_mm
    place = int(speed * STOP / S)
    near = int(speed * NEAR_MS / 1000)
    return [part for part, enters in enumerate(world.enters, 1) if camera <= place - enters < closes - near]


@pytest.mark.parametrize("freeze_ms", [100, 400, 2000, 29_000])
def test_a_stopped_belt_expires_nothing(freeze_ms: int) -> None:
    """Verdicts of a judge that was frozen arrive during the stop, and are acted on when the belt goes again."""
    world = stopped(freeze_ms * MS)
    parts = on_the_way(world)
    told = [world.actuations[part][0] for part in parts]

    assert [] == world.breaches()
    assert len(parts) >= 2
    assert [world.defective[part - 1] for part in parts] == [one.lane is Lane.REJECT for one in told]
    assert {Cause.ACCEPTED, Cause.DECIDED_REJECT} >= {one.cause for one in told}


def test_a_judge_frozen_beyond_the_stop_is_late() -> None:
    """What was not decided when the belt went on is rejected: only the standing belt waits."""
    world = stopped(SPAN + 1 * S)
    told = [world.actuations[part][0] for part in on_the_way(world)]

    assert [] == world.breaches()
    assert [(Lane.REJECT, Disposition.NO_VERDICT)] * len(told) == [(one.lane, one.disposition) for one in told]


def test_a_person_may_take_the_time_of_the_stop() -> None:
    """In parallel mode a decision during the stop drives the gate when the belt goes on."""
    slow = Habits(absent=0.0, wrong=0.0, doubled=0.0, second_thought=0.0, behind=0.0, quickest_ms=500, slowest_ms=9000)
    world = stopped(100 * MS, mode=Mode.PARALLEL, habits=slow)
    told = [world.actuations[part][0] for part in on_the_way(world)]

    assert [] == world.breaches()
    assert {Cause.OPERATOR} == {one.cause for one in told}
    assert any(one.lane is Lane.ACCEPT for one in told)


@pytest.mark.parametrize("seed", range(4))
def test_a_belt_that_stops_and_goes_breaks_nothing(seed: int) -> None:
    """With a bad bus, a bad wire and a belt that stutters, each part in the accept lane was accepted in time."""
    trouble = Trouble(bus=BusFaults(0.02, 0.03, 25 * MS), wire=0.01)
    world = LineWorld(build_core(BUILD), 120, 20.0, seed, trouble)
    stutter = [Action(S + step * 170 * MS, "stop" if step % 2 else "start", "belt") for step in range(1, 25)]
    freezes = [
        Action(S + step * 900 * MS, "freeze", unit, 200 * MS) for step in range(1, 6) for unit in ("judge", "line")
    ]
    world.play([*stutter, *freezes, Action(6 * S, "start", "belt")])

    assert [] == world.breaches()
    assert world.accepted > 20
