"""Turn each safety rule round, one at a time, and see the line break its promise: a guard no test misses is no guard."""

import importlib
import random
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.schema.clocks import MS, S
from appliance.schema.verdict import Disposition
from appliance.services.judge import JudgeNode
from appliance.services.line import LineNode
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import CORE, build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
LINE, JUDGE = "appliance.services.line", "appliance.services.judge"
PAIRING, DISPOSITION = "appliance.decision.pairing", "appliance.decision.disposition"
WORLD = "appliance.sim.line_world"
HARD_DAY = Trouble(bus=BusFaults(0.01, 0.02, 25 * MS), wire=0.005, overwritten=0.02, slow_model=0.02)
PARTS = 300
RATE_HZ = 20.0


class Workshop:
    """Make modules with one rule turned round, and take them away again."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def turn(self, name: str, old: str, new: str, instead: dict[str, str] | None = None) -> types.ModuleType:
        """Load a module whose source says `new` in place of `old`, which must be there exactly once.

        `instead`: modules that this one imports another module in place of.
        """
        source = Path(str(importlib.import_module(name).__file__)).read_text("utf-8")
        if source.count(old) != 1:
            raise ValueError(f"{name}: {old!r} occurs {source.count(old)} times, 1 is needed; follow the source")
        source = source.replace(old, new)
        for imported, other in (instead or {}).items():
            if f"from {imported} import" not in source:
                raise ValueError(f"{name}: does not import {imported}; follow the source")
            source = source.replace(f"from {imported} import", f"from {other} import")
        module = types.ModuleType(f"turned_{len(self._made)}_{name.rpartition('.')[2]}")
        sys.modules[module.__name__] = module
        self._made.append(module.__name__)
        exec(compile(source, module.__name__, "exec"), module.__dict__)  # noqa: S102  our own source, one rule changed
        return module

    def clean(self) -> None:
        """Forget what was made."""
        for name in self._made:
            del sys.modules[name]


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.clean()


def play(
    line: type[LineNode] = LineNode,
    judge: type[JudgeNode] = JudgeNode,
    core: Path | None = None,
    trouble: Trouble = HARD_DAY,
) -> LineWorld:
    """Run a hard quarter of a minute: what the rules are there for happens to 300 parts."""
    world = LineWorld(core or build_core(BUILD), PARTS, RATE_HZ, 7, trouble, line, judge)
    actions = [Action(at * S + 300 * MS, verb, "top", 0, 1) for at in range(1, 14) for verb in _camera_troubles(at)]
    actions += [Action(3 * S, "freeze", "line", 180 * MS), Action(6 * S, "freeze", "judge", 250 * MS)]
    actions += [Action(8 * S, "stop", "plc", 900 * MS), Action(11 * S, "delay", "top", 180 * MS, 5)]
    world.play(actions)
    return world


def _camera_troubles(at: int) -> list[str]:
    return [random.Random(at).choice(["lose", "double", "incomplete"])]


def kinds(world: LineWorld) -> set[str]:
    """Give what was broken, without the parts."""
    return {text.partition(": ")[2].rstrip("0123456789 ") for text in world.breaches()}


def test_nothing_breaks_with_the_rules_as_they_are() -> None:
    """The same day breaks nothing and is no day of rejects only, so what breaks below breaks by the rule turned round."""
    world = play()

    assert set() == kinds(world)
    assert world.accepted > PARTS // 10


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        (
            "return verdict.disposition is Disposition.ACCEPT and verdict.part == entered.part and now <= entered.decide_by",
            "return True",
            "accepted without an ACCEPT",
        ),
        ("verdict.disposition is Disposition.ACCEPT and", "", "defective and accepted"),
        (
            "verdict.disposition is Disposition.ACCEPT and",
            "verdict.disposition is not Disposition.ACCEPT and",
            "accepted without an ACCEPT",
        ),
        (
            "self._parts.get(verdict.part.number) if verdict.part.boot == self._boot else None",
            "next(reversed(self._parts.values()), None)",
            "accepted without an ACCEPT",
        ),
    ],
    ids=["any_verdict", "any_disposition", "disposition_turned", "newest_part_instead_of_the_named"],
)
def test_line_opens_the_gate_only_on_an_accept_for_the_part(
    workshop: Workshop, old: str, new: str, broken: str
) -> None:
    """`line` hands an accept to the gate only for an ACCEPT of that very part."""
    instead = workshop.turn(LINE, old, new)
    if "reversed" in new:  # two guards stand here, either is enough: take both
        source = "verdict.disposition is Disposition.ACCEPT and verdict.part == entered.part and"
        first = Path(str(importlib.import_module(LINE).__file__)).read_text("utf-8")

        assert first.count(source) == 1
        exec(  # noqa: S102
            compile(first.replace(old, new).replace(source, source.split(" and ")[0] + " and"), "both", "exec"),
            instead.__dict__,
        )

    assert broken in kinds(play(line=instead.LineNode))


def test_a_late_accept_is_none(workshop: Workshop) -> None:
    """An ACCEPT that reaches `line` after its part's deadline is refused there, whatever the gate would make of it."""
    turned = workshop.turn(LINE, "and now <= entered.decide_by", "")
    slow = Trouble(bus=BusFaults(0, 0, 120 * MS), model_ns=60 * MS)

    def late_and_accepted(world: LineWorld) -> list[int]:
        return [
            part
            for part, told in world.actuations.items()
            for item in told
            if item.lane == "accept" and part in world.late
        ]

    assert [] == late_and_accepted(play(trouble=slow))
    assert [] != late_and_accepted(play(line=turned.LineNode, trouble=slow))


def test_a_part_the_plc_was_not_ready_for_is_never_accepted(workshop: Workshop) -> None:
    """While the PLC cannot take a result its parts are rejected, whatever the model says."""
    turned = workshop.turn(LINE, "accept = part.inspect and accepts(", "accept = accepts(")

    def causes(world: LineWorld) -> set[str]:
        entered = {part for part in world.actuations if _silent(world, part)}
        return {str(item.lane) for part in entered for item in world.actuations[part]}

    assert {"reject"} == causes(play(trouble=Trouble()))
    assert "accept" in causes(play(line=turned.LineNode, trouble=Trouble()))


def _silent(world: LineWorld, part: int) -> bool:
    """Say whether a part entered while the PLC was known to be silent: its heartbeat is stale after 500 ms."""
    at = world.entered[part].at - world.started if part in world.entered else 0
    return 8 * S + 620 * MS < at < 8 * S + 890 * MS


CORE_RULES = [
    ("uint8_t lane = LANE_REJECT; /* RULE default-reject */", "uint8_t lane = LANE_ACCEPT;"),
    ("if (p->decision == DECISION_NONE) return GATE_CAUSE_NO_DECISION;", "if (!p->decision) return 1;"),
    ("p->decision == DECISION_REJECT || !host_alive(c)", "!host_alive(c)"),
]


@pytest.mark.parametrize(("old", "new"), CORE_RULES, ids=["default_reject", "no_decision", "decided_reject"])
def test_the_microcontroller_rejects_by_default(tmp_path: Path, old: str, new: str) -> None:
    """The gate's own rules hold the line's promise up; without one of them parts pass that must not."""
    folder = tmp_path / "core"
    shutil.copytree(CORE, folder)
    source = (folder / "parts.c").read_text("utf-8")

    assert source.count(old) == 1
    (folder / "parts.c").write_text(source.replace(old, new), "utf-8")

    assert {"accepted without an ACCEPT", "defective and accepted"} <= kinds(play(core=build_core(tmp_path, core=folder)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return Proof.AGREED if known == offset else Proof.MISMATCH", "return Proof.AGREED"),
        ("return abs(frame.exposed_at - exposed.at) <= self._tolerance + _uncertainty(frame, exposed)", "return True"),
    ],
    ids=["index", "time"],
)
def test_pairing_needs_both_proofs(workshop: Workshop, old: str, new: str) -> None:
    """A frame belongs to a part only when instant and index agree."""
    pairing = workshop.turn(PAIRING, old, new)
    judge = workshop.turn(JUDGE, "One verdict", "One verdict", {PAIRING: pairing.__name__})

    assert kinds(play(judge=judge.JudgeNode))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (DISPOSITION, "band(score, accept_below, reject_above)", "band(-score, -accept_below, -reject_above)"),
        (DISPOSITION, "Band.ABOVE: (Disposition.REJECT,", "Band.ABOVE: (Disposition.ACCEPT,"),
        (DISPOSITION, "key=lambda view: SEVERITY.index(view[0]), reverse=True", "key=lambda view: 0"),
    ],
)
def test_limits(workshop: Workshop, name: str, old: str, new: str) -> None:
    """A score over the limit is never accepted."""
    disposition = workshop.turn(name, old, new)
    judge = workshop.turn(JUDGE, "x", "x", {DISPOSITION: disposition.__name__})
    accepted = {Disposition.ACCEPT}

    assert accepted
    assert "defective and accepted" in kinds(play(judge=judge.JudgeNode))
