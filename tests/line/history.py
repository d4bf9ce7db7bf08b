"""Draw random histories: what a bad day does to a line, named by one seed."""

import random

from appliance.schema.clocks import MS, S
from appliance.sim.line_world import Trouble
from appliance.sim.scenario import Action, BusFaults

EVERY_NS = 700 * MS
"""Mean time between two things that go wrong."""

APART = 3 * S
"""After its host was gone or it restarted, the microcontroller has told all its events by then."""

CAMERA = "top"
UNITS = ("acquire@top", "judge", "line", "record")


def trouble(generator: random.Random) -> Trouble:
    """Draw how bad bus, wire, ring and model are; one seed in four has quiet neighbours."""
    if generator.random() < 0.25:
        return Trouble()
    bus = BusFaults(generator.uniform(0, 0.03), generator.uniform(0, 0.05), generator.randrange(0, 30 * MS) + 1)
    wire, overwritten, model = generator.uniform(0, 0.02), generator.uniform(0, 0.01), generator.uniform(0, 0.005)
    return Trouble(bus=bus, wire=wire, overwritten=overwritten, slow_model=model, wild_model=model)


def actions(generator: random.Random, span_ns: int) -> list[Action]:
    """Draw what happens in a run of `span_ns`; what is taken away is given back within two seconds."""
    drawn: list[Action] = []
    at = 0
    while (at := at + generator.randrange(2 * EVERY_NS)) < span_ns:
        drawn += _one(generator, at)
    return [action for action in drawn if action.verb != "reset" or not _forgotten(action, drawn)]


def _forgotten(reset: Action, drawn: list[Action]) -> bool:
    """Say whether the microcontroller would lose its memory before `line` could read it: two faults at once.

    No one can account for parts that only a lost memory knew; they are rejected, and `test_world.py` shows that alone.
    """
    for other in drawn:
        deaf = other.verb == "reset" or (other.verb in {"kill", "freeze"} and other.target == "line")
        if other is not reset and deaf and other.at_ns - APART < reset.at_ns < other.at_ns + other.span_ns + APART:
            return True
    return False


def _one(generator: random.Random, at: int) -> list[Action]:
    span = generator.randrange(20 * MS, 2 * S)
    count = generator.randrange(1, 4)
    match generator.randrange(12):
        case 0 | 1 | 2:
            return [Action(at, "lose", CAMERA, 0, count)]
        case 3 | 4:
            return [Action(at, "double", CAMERA, 0, count)]
        case 5:
            return [Action(at, "delay", CAMERA, generator.randrange(5 * MS, 300 * MS), count)]
        case 6:
            return [Action(at, "incomplete", CAMERA, 0, count)]
        case 7:
            return [Action(at, "unplug", CAMERA), Action(at + span, "replug", CAMERA)]
        case 8:
            return [Action(at, "kill", generator.choice(UNITS))]
        case 9:
            return [Action(at, "freeze", generator.choice(UNITS), span)]
        case 10:
            return [Action(at, "stop", "plc", span)]
        case _:
            if generator.random() < 0.5:
                return [Action(at, "reset", "mcu")]
            return [Action(at, "stop", "belt"), Action(at + span, "start", "belt")]
