"""Read text scenarios: what happens to a station and what must follow.

A scenario is a text file, one sentence a line, `#` starts a comment:

    parts 60                                   how many parts, default 50
    rate 10                                    parts per second, default 10
    seed 7                                     default 1
    gate_sensor 370                            mm after the part sensor, default none; the demo's station always has one
    bus lose 2% double 2% delay 30ms           every message: lost, doubled, delayed by up to that much
    at 2s lose camera top                      the next exposure never arrives; `lose camera top 3`: the next three
    at 2s double camera top                    the next trigger exposes twice
    at 2s delay camera top 120ms               the next frame arrives that much later
    at 2s incomplete camera top                the next frame lacks its lower half
    at 2s unplug camera top                    until `replug camera top`
    at 3s kill judge                           SIGKILL; it is started again as systemd would
    at 3s freeze line 800ms                    SIGSTOP, then SIGCONT
    at 3s reset mcu                            power cycle of the microcontroller
    at 3s stop belt                            until `start belt`
    at 3s stop plc 2s                          the PLC is silent for that long
    at 3s pause parts 5s                       nothing comes for so long, after what lies on the belt already
    at 3s take part                            a hand takes a part before the gate; `take part 3`: three of them
    at 3s extra part                           a part comes to the gate that nobody saw enter
    at 4s purge belt                           a person says that every part was taken off the belt
    at 3s stage bundle next                    the judge makes that bundle ready beside the active one
    at 5s activate bundle next                 the staged bundle judges from the next part on
    at 7s rollback bundle                      the one before judges again
    expect actuation reject cause no_verdict within 400ms     after the last `at`, at least one
    expect no actuation accept for 300ms                      after the last `at`, none
    expect actuation accept within 5s                         the line recovers
    expect verdict no_verdict reason pairing_mismatch within 2s
    expect alarm pairing_mismatch within 2s

Whatever a scenario says, three things are always expected: one actuation per part, no part in the accept lane
without an ACCEPT for that very part in time, and no part judged on another part's frame.
"""

import re
from pathlib import Path

from msgspec import Struct

from appliance.schema.clocks import MS, S
from appliance.schema.command import ActivateBundle, Command, PurgeDone, RollbackBundle, StageBundle
from appliance.schema.errors import ConfigError

OPERATOR = "scenario"
"""Who asks for bundles."""

UNITS = {"us": 1000, "ms": MS, "s": S}
ACTIONS: dict[str, str] = {
    "lose": r"camera (?P<target>\w+)( (?P<count>\d+))?",
    "double": r"camera (?P<target>\w+)( (?P<count>\d+))?",
    "incomplete": r"camera (?P<target>\w+)( (?P<count>\d+))?",
    "delay": r"camera (?P<target>\w+) (?P<span>\S+)( (?P<count>\d+))?",
    "unplug": r"camera (?P<target>\w+)",
    "replug": r"camera (?P<target>\w+)",
    "kill": r"(?P<target>[\w@]+)",
    "freeze": r"(?P<target>[\w@]+) (?P<span>\S+)",
    "reset": r"(?P<target>mcu)",
    "stop": r"(?P<target>belt|plc)( (?P<span>\S+))?",
    "start": r"(?P<target>belt)",
    "pause": r"(?P<target>parts) (?P<span>\S+)",
    "take": r"(?P<target>part)( (?P<count>\d+))?",
    "extra": r"(?P<target>part)",
    "purge": r"(?P<target>belt)",
    "stage": r"bundle (?P<target>[\w-]+)",
    "activate": r"bundle (?P<target>[\w-]+)",
    "rollback": r"(?P<target>bundle)",
}
EXPECT = re.compile(
    r"(?P<none>no )?(?P<kind>actuation|verdict|alarm) (?P<value>\w+)( (cause|reason) (?P<why>\w+))?"
    r" (within|for) (?P<span>\S+)"
)


class BusFaults(Struct, frozen=True):
    """Say what the bus does to every message of the simulated world."""

    lose: float = 0.0
    """Probability."""
    double: float = 0.0
    """Probability."""
    delay_ns: int = 0
    """Longest delay; each message gets a random one, so messages overtake each other."""


class Action(Struct, frozen=True):
    """Name one thing that happens to the station."""

    at_ns: int
    """After the belt started."""
    verb: str
    target: str
    span_ns: int = 0
    count: int = 1


class Expectation(Struct, frozen=True):
    """Name what must, or must not, show in a span after an action."""

    line: int
    text: str
    from_ns: int
    to_ns: int
    kind: str
    value: str
    why: str
    none: bool


class Scenario(Struct, frozen=True):
    """Hold one scenario."""

    name: str
    parts: int = 50
    rate_hz: float = 10.0
    seed: int = 1
    bus: BusFaults = BusFaults()
    actions: tuple[Action, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    gate_sensor_mm: float = 0.0


class Shown(Struct, frozen=True):
    """State one fact as expectations see it."""

    at_ns: int
    """After the belt started."""
    kind: str
    """`actuation`, `verdict` or `alarm`."""
    value: str
    why: tuple[str, ...] = ()


def read(path: Path) -> Scenario:
    """Read a scenario file; ConfigError names the line that is not understood."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}; give a scenario file") from error
    return parse(text, path.stem)


def parse(text: str, name: str) -> Scenario:
    """Parse a scenario; ConfigError names the line that is not understood."""
    settings: dict[str, float] = {}
    bus = BusFaults()
    actions: list[Action] = []
    expectations: list[Expectation] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = " ".join(raw.partition("#")[0].split())
        if not line:
            continue
        verb, _, rest = line.partition(" ")
        try:
            if verb in {"parts", "rate", "seed", "gate_sensor"}:
                settings[verb] = float(rest)
            elif verb == "bus":
                bus = _bus(rest)
            elif verb == "at":
                actions.append(_action(rest))
            elif verb == "expect":
                expectations.append(_expectation(rest, number, actions[-1].at_ns if actions else 0))
            else:
                raise ValueError(f"{verb!r} is no sentence of a scenario")
        except ValueError as error:
            raise ConfigError(
                f"{name}, line {number}: {line!r} is not understood: {error}; see appliance/sim/scenario.py"
            ) from error
    return Scenario(
        name,
        int(settings.get("parts", 50)),
        settings.get("rate", 10.0),
        int(settings.get("seed", 1)),
        bus,
        tuple(sorted(actions, key=lambda action: action.at_ns)),
        tuple(expectations),
        settings.get("gate_sensor", 0.0),
    )


def wish(action: Action) -> Command:
    """Give the command to the judge that a sentence about bundles stands for, or to the line that `purge` does."""
    match action.verb:
        case "purge":
            return PurgeDone(OPERATOR)
        case "stage":
            return StageBundle(action.target, OPERATOR)
        case "activate":
            return ActivateBundle(action.target, OPERATOR)
    return RollbackBundle(OPERATOR)


def unmet(expectations: tuple[Expectation, ...], shown: list[Shown]) -> list[str]:
    """Give the expectations that the shown facts do not meet, as lines a person can read."""
    failures = []
    for expectation in expectations:
        found = any(_meets(fact, expectation) for fact in shown)
        if found == expectation.none:
            word = "happened" if expectation.none else "did not happen"
            failures.append(f"line {expectation.line}: `expect {expectation.text}` {word}")
    return failures


def _meets(fact: Shown, expectation: Expectation) -> bool:
    return (
        fact.kind == expectation.kind
        and fact.value == expectation.value
        and (not expectation.why or expectation.why in fact.why)
        and expectation.from_ns <= fact.at_ns <= expectation.to_ns
    )


def _span(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s)", text)
    if not match:
        raise ValueError(f"{text!r} is no time such as 40ms or 2s")
    return int(float(match[1]) * UNITS[match[2]])


def _bus(rest: str) -> BusFaults:
    words = rest.split()
    if len(words) % 2:
        raise ValueError("a bus sentence is made of pairs such as `lose 2%`")
    given = dict(zip(words[::2], words[1::2], strict=True))
    unknown = set(given) - {"lose", "double", "delay"}
    if unknown:
        raise ValueError(f"the bus can lose, double and delay, not {', '.join(sorted(unknown))}")
    return BusFaults(
        _share(given.get("lose", "0%")), _share(given.get("double", "0%")), _span(given.get("delay", "0ms"))
    )


def _share(text: str) -> float:
    if not text.endswith("%"):
        raise ValueError(f"{text!r} is no share such as 2%")
    return float(text[:-1]) / 100


def _action(rest: str) -> Action:
    when, _, what = rest.partition(" ")
    verb, _, arguments = what.partition(" ")
    if verb not in ACTIONS:
        raise ValueError(f"{verb!r} is no action; actions are {', '.join(ACTIONS)}")
    match = re.fullmatch(ACTIONS[verb], arguments)
    if not match:
        raise ValueError(f"{verb} does not take {arguments!r}")
    given = match.groupdict()
    return Action(
        _span(when),
        verb,
        given["target"],
        _span(given["span"]) if given.get("span") else 0,
        int(given["count"]) if given.get("count") else 1,
    )


def _expectation(rest: str, number: int, after: int) -> Expectation:
    match = EXPECT.fullmatch(rest)
    if not match:
        raise ValueError("an expectation reads `actuation reject cause no_verdict within 400ms` or `no ... for 300ms`")
    return Expectation(
        number,
        rest,
        after,
        after + _span(match["span"]),
        match["kind"],
        match["value"],
        match["why"] or "",
        bool(match["none"]),
    )
