"""Swap bundles on a line under full load: no part is lost, none is judged by two bundles, and each result is true."""

from pathlib import Path

import pytest

from appliance.schema.clocks import MS, S
from appliance.schema.command import Accepted, RefusedReply
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.scenario import Action, BusFaults
from appliance.sim.twins import SPOILT
from firmware_bridge.build import build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
PARTS = 400
RATE_HZ = 40.0
FULL_LOAD = 18 * MS
"""Mean time of a model, of 25 ms from part to part."""

SWAPS = [
    Action(1 * S, "stage", "next"),
    Action(3 * S, "activate", "next"),
    Action(4 * S, "rollback", "bundle"),
    Action(5 * S, "rollback", "bundle"),
    Action(5 * S + 500 * MS, "stage", "third"),
    Action(7 * S, "activate", "sha256:third"),
    *(Action(7 * S + step * 137 * MS, "rollback", "bundle") for step in range(1, 15)),
]


def bundles_of(world: LineWorld) -> list[str]:
    """Give the bundles that judged, each once, in the order of the parts."""
    named = [bundle for part in sorted(world.judged_by) for bundle in world.judged_by[part]]
    return [bundle for index, bundle in enumerate(named) if index == 0 or named[index - 1] != bundle]


def test_a_swap_under_full_load_costs_no_part() -> None:
    """With bundles swapped again and again every good part is accepted, and every result names who judged."""
    world = LineWorld(build_core(BUILD), PARTS, RATE_HZ, 11, Trouble(model_ns=FULL_LOAD))
    world.play(SWAPS)
    swaps = bundles_of(world)

    assert [] == world.breaches()
    assert world.defective.count(False) == world.accepted
    assert ["sha256:twin", "sha256:next", "sha256:twin", "sha256:next", "sha256:third", "sha256:next"] == swaps[:6]
    assert len(swaps) == 5 + 14
    assert [Accepted] * len(SWAPS) == [type(reply) for reply in world.replies]


@pytest.mark.parametrize("seed", range(4))
def test_a_swap_on_a_bad_day_breaks_nothing(seed: int) -> None:
    """Messages are lost, doubled and late, the judge is killed while it stages: each promise holds."""
    bus = BusFaults(0.02, 0.03, 25 * MS)
    trouble = Trouble(bus, wire=0.01, overwritten=0.01, slow_model=0.01, wild_model=0.01, model_ns=FULL_LOAD)
    world = LineWorld(build_core(BUILD), PARTS, RATE_HZ, seed, trouble)
    world.play([*SWAPS, Action(1500 * MS, "kill", "judge"), Action(6 * S, "freeze", "judge", 300 * MS)])

    assert [] == world.breaches()
    assert world.accepted > PARTS // 4


def test_a_spoilt_bundle_changes_nothing() -> None:
    """A bundle that cannot be used leaves the active one as it is, and activating it is refused."""
    world = LineWorld(build_core(BUILD), 120, RATE_HZ, 5)
    world.play(
        [Action(200 * MS, "stage", SPOILT), Action(300 * MS, "stage", "next"), Action(2 * S, "activate", SPOILT)]
    )
    under_way, cannot = (reply.reason for reply in world.replies if isinstance(reply, RefusedReply))

    assert [] == world.breaches()
    assert world.defective.count(False) == world.accepted
    assert ["sha256:twin"] == bundles_of(world)
    assert "spoilt is being staged" in under_way
    assert "golden tensor map differs" in cannot
    assert ["bundle_refused"] == [shown.value for shown in world.shown if shown.kind == "alarm"]
