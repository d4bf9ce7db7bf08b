"""Draw bad days for a simulated line, each named by one seed: who dies, what is unplugged, what comes late."""

import random

from msgspec import Struct

from appliance.schema.clocks import MS, S
from appliance.schema.policy import Mode, Policy
from appliance.sim.line_world import Trouble
from appliance.sim.person_twin import Habits
from appliance.sim.scenario import Action, BusFaults
from appliance.sim.twins import SPOILT

EVERY_MS = (500, 1000, 2000, 4000)
"""Mean time between two things that go wrong, one of these for a whole day."""

RATES_HZ = (10.0, 20.0, 30.0, 40.0)
PARTS = (500, 2000)
CAMERA = "top"
UNITS = ("acquire@top", "judge", "line", "record")
LONGEST = 2 * S
"""What is taken away is given back within this."""

APART = 3 * S
"""After its host was gone or it restarted, the microcontroller has told all its events by then."""

PARALLEL_SHARE = 0.25
PERSON_SHARE = 0.2
"""Of days in primary mode on which a person interferes."""
CALM_SHARE = 0.15
BLIND_SHARE = 0.2
RESTART_SHARE = 0.3
"""Of days on which the microcontroller may restart."""
FORGETFUL_SHARE = 0.15
"""Of these, days on which it may do so while `line` is gone."""


class History(Struct, frozen=True):
    """Hold one bad day."""

    seed: int
    parts: int
    rate_hz: float
    trouble: Trouble
    actions: tuple[Action, ...]
    fills: tuple[tuple[int, int], ...]
    """When the disk is full, and for how long: ns after the belt started, ns."""
    policy: Policy
    mode: Mode
    habits: Habits | None
    """How a person at the line decides, who then stands in for `record`; None: nobody is there, and `record` is."""
    has_encoder: bool
    """Whether the camera latches the encoder; without it a frame is proven by index and instant alone."""


def draw(seed: int, parts: tuple[int, int] = PARTS) -> History:
    """Draw the day that this seed names; `parts`: fewest and most."""
    generator = random.Random(seed)
    count = generator.randint(*parts)
    rate = generator.choice(RATES_HZ)
    mode = Mode.PARALLEL if generator.random() < PARALLEL_SHARE else Mode.PRIMARY
    span = int(count / rate * S)
    actions = _actions(generator, span)
    if generator.random() >= RESTART_SHARE:
        actions = [action for action in actions if action.verb != "reset"]
    if generator.random() >= FORGETFUL_SHARE:
        actions = _remembered(actions)
    return History(
        seed=seed,
        parts=count,
        rate_hz=rate,
        trouble=_trouble(generator),
        actions=tuple(sorted(actions, key=lambda action: action.at_ns)),
        fills=_fills(generator, span),
        policy=Policy(sample_share=generator.choice((0.0, 0.01, 0.05))),
        mode=mode,
        habits=_habits(generator) if mode is Mode.PARALLEL or generator.random() < PERSON_SHARE else None,
        has_encoder=generator.random() >= BLIND_SHARE,
    )


def _trouble(generator: random.Random) -> Trouble:
    if generator.random() < CALM_SHARE:
        return Trouble()
    delay = generator.choice((5, 15, 30, 60, 150)) * MS
    return Trouble(
        bus=BusFaults(generator.uniform(0, 0.03), generator.uniform(0, 0.05), generator.randrange(delay) + 1),
        wire=generator.uniform(0, 0.02),
        overwritten=generator.uniform(0, 0.02),
        slow_model=generator.uniform(0, 0.01),
        wild_model=generator.uniform(0, 0.02),
        unknown=generator.uniform(0, 0.05),
        model_ns=generator.choice((4, 6, 6, 12)) * MS,
    )


def _habits(generator: random.Random) -> Habits:
    quickest = generator.choice((10, 30, 60))
    return Habits(
        absent=generator.uniform(0, 0.2),
        wrong=generator.uniform(0, 0.1),
        doubled=generator.uniform(0, 0.1),
        second_thought=generator.uniform(0, 0.2),
        behind=generator.uniform(0, 0.1),
        quickest_ms=quickest,
        slowest_ms=quickest + generator.choice((30, 100, 400)),
    )


def _fills(generator: random.Random, span_ns: int) -> tuple[tuple[int, int], ...]:
    """Fill the disk up to three times, for as long as a person takes to notice, or to the end."""
    count = generator.randrange(4)
    return tuple(sorted((generator.randrange(span_ns), generator.randrange(span_ns)) for _ in range(count)))


def _actions(generator: random.Random, span_ns: int) -> list[Action]:
    drawn: list[Action] = []
    at, every = 0, generator.choice(EVERY_MS) * MS
    while (at := at + generator.randrange(2 * every)) < span_ns:
        drawn += _one(generator, at)
    return drawn


def _remembered(actions: list[Action]) -> list[Action]:
    """Leave out what would take both memories of the parts at once, or outlast the microcontroller's own.

    `line` and the microcontroller each remember the parts on the belt; while one of them is gone the other must not go.
    """
    kept: list[Action] = []
    deaf_until = -APART
    for action in sorted(actions, key=lambda one: one.at_ns):
        if action.verb == "reset" or (action.verb in {"kill", "freeze"} and action.target == "line"):
            if action.at_ns < deaf_until + APART:
                continue
            deaf_until = action.at_ns + action.span_ns
        kept.append(action)
    return kept


def _one(generator: random.Random, at: int) -> list[Action]:
    span = generator.randrange(20 * MS, LONGEST)
    match generator.randrange(15):
        case 0 | 1 | 2 | 3 | 4 | 5:
            return [_of_a_frame(generator, at)]
        case 6:
            return [Action(at, "unplug", CAMERA), Action(at + span, "replug", CAMERA)]
        case 7 | 8:
            return [Action(at, "kill", generator.choice(UNITS))]
        case 9 | 10:
            return [Action(at, "freeze", generator.choice(UNITS), span)]
        case 11:
            return [Action(at, "stop", "plc", span)]
        case 12:
            return [Action(at, "reset", "mcu")]
        case 13:
            return [Action(at, "stop", "belt"), Action(at + span, "start", "belt")]
        case _:
            return _swap(generator, at)


def _of_a_frame(generator: random.Random, at: int) -> Action:
    verb = generator.choice(("lose", "double", "delay", "incomplete"))
    span = generator.randrange(5 * MS, 300 * MS) if verb == "delay" else 0
    return Action(at, verb, CAMERA, span, generator.randrange(1, 4))


def _swap(generator: random.Random, at: int) -> list[Action]:
    """Change the bundle, in vain one time in four, and go back one time in two."""
    if generator.random() < 0.25:
        return [Action(at, "stage", SPOILT), Action(at + S, "activate", SPOILT)]
    name = f"b{generator.randrange(1000)}"
    steps = [Action(at, "stage", name), Action(at + 950 * MS, "activate", name)]
    if generator.random() < 0.5:
        steps.append(Action(at + generator.randrange(S, 3 * S), "rollback", "bundle"))
    return steps
