"""Protect a service's way to another recipe: it restarts where that brings the line's recipe, and never for nothing."""

import pytest

from appliance.schema.clocks import HostNs
from appliance.schema.line import JobMode, LineState
from appliance.services._loop import RecipeWatch

OWN, OTHER, THIRD = 11, 22, 33


@pytest.mark.parametrize(
    ("told", "in_force", "restarts", "left"),
    [
        (OTHER, OTHER, True, True),
        (OWN, OWN, True, False),
        (OTHER, OWN, True, False),
        (OTHER, THIRD, True, False),
        (OTHER, 0, True, False),
        (0, 0, True, False),
        (OTHER, OTHER, False, False),
    ],
)
def test_a_service_restarts_only_where_that_helps(told: int, in_force: int, restarts: bool, left: bool) -> None:
    """Same recipe, one that a start would not load, one that cannot be read: each would mean a restart for ever."""
    state = LineState(HostNs(0), JobMode.CONTINUOUS, "ready", ready=True, recipe_hash=told)

    assert left is RecipeWatch(OWN, lambda: in_force, restarts).is_left(state)
