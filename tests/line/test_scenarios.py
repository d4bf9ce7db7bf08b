"""Play every scenario of this folder: whatever happens, no part passes without an ACCEPT of its own in time."""

from pathlib import Path

import pytest

from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.scenario import read, unmet
from firmware_bridge.build import build_core

SCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))
BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_scenario(script: Path) -> None:
    """What the script expects shows, and every promise to the parts holds."""
    scenario = read(script)
    world = LineWorld(
        build_core(BUILD),
        scenario.parts,
        scenario.rate_hz,
        scenario.seed,
        Trouble(bus=scenario.bus),
        gate_sensor_mm=scenario.gate_sensor_mm,
    )
    world.play(scenario.actions)

    assert [] == unmet(scenario.expectations, world.shown)
    assert [] == world.breaches()
    assert scenario.parts == len(set(world.actuations) - {0})
    assert world.accepted > 0


def test_the_folder_has_scenarios() -> None:
    """An empty folder would pass in silence."""

    assert len(SCRIPTS) >= 14
