"""Turn each safety rule round, one at a time, and see the line break its promise."""

import importlib
import random
import shutil
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import Struct
from msgspec.structs import replace

from appliance.ports.node import Output, Send
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.frame import FrameReady
from appliance.schema.verdict import Verdict
from appliance.services.judge import JudgeNode
from appliance.services.line import LineNode
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import CORE, build_core

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
LINE, JUDGE = "appliance.services.line", "appliance.services.judge"
AUTHORITY = "appliance.services._authority"
PAIRING = "appliance.decision.pairing"
HARD_DAY = Trouble(bus=BusFaults(0.01, 0.02, 25 * MS), wire=0.005, overwritten=0.02, slow_model=0.02, wild_model=0.1)
PARTS = 300
RATE_HZ = 20.0


Change = tuple[str, str]


class Workshop:
    """Make modules with rules turned round, and take them away again."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def turn(self, name: str, *changes: Change, instead: dict[str, str] | None = None) -> types.ModuleType:
        """Load a module whose source says the new in place of the old, which must be there exactly once.

        `instead`: modules that this one shall import from, by the module it imports from now.
        """
        source = Path(str(importlib.import_module(name).__file__)).read_text("utf-8")
        imports = [(f"from {old} import", f"from {new} import") for old, new in (instead or {}).items()]
        for old, new in [*changes, *imports]:
            if source.count(old) != 1:
                raise ValueError(f"{name}: {old!r} occurs {source.count(old)} times, 1 is needed; follow the source")
            source = source.replace(old, new)
        module = types.ModuleType(f"turned_{len(self._made)}_{name.rpartition('.')[2]}")
        sys.modules[module.__name__] = module
        self._made.append(module.__name__)
        exec(compile(source, module.__name__, "exec"), module.__dict__)  # noqa: S102  our own source, a rule changed
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
    *,
    encoder: bool = True,
) -> LineWorld:
    """Run a hard quarter of a minute: what the rules are there for happens to 300 parts."""
    world = LineWorld(core or build_core(BUILD), PARTS, RATE_HZ, 7, trouble, line, judge)
    world.camera.has_encoder = encoder
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
    """The same day breaks nothing and is no day of rejects only: what breaks below breaks by the rule turned round."""
    world = play()

    assert set() == kinds(world)
    assert world.accepted > PARTS // 10


DISPOSED = "verdict.disposition is Disposition.ACCEPT"
PART = " and verdict.part == entered.part"
IN_TIME = " and now <= closes"
NAMED = "self._parts.get(part.number) if part.boot == self._link.boot else None"
NEWEST = "next(reversed(self._parts.values()), None)"


def turned_line(workshop: Workshop, *changes: Change, line: Sequence[Change] = ()) -> type[LineNode]:
    """Give a LineNode that asks an authority with rules turned round; `line`: rules of its own that are turned."""
    authority = workshop.turn(AUTHORITY, *changes)
    made = workshop.turn(LINE, *line, instead={AUTHORITY: authority.__name__}).LineNode

    class Turned(made):  # type: ignore[valid-type,misc]
        def __init__(self, *given: object, **named: object) -> None:
            primary = getattr(named.pop("authority"), "primary", None)
            super().__init__(*given, authority=authority.authority(primary), **named)

    return Turned


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([(f"return {DISPOSED}{PART}{IN_TIME}", "return True")], []),
        ([(DISPOSED + " and", "")], []),
        ([(DISPOSED, "verdict.disposition is not Disposition.ACCEPT")], []),
        ([(PART, "")], [(NAMED, NEWEST)]),
    ],
    ids=["any_verdict", "any_disposition", "disposition_turned", "newest_part_instead_of_the_named"],
)
def test_only_an_accept_of_the_part_opens_the_gate(
    workshop: Workshop, changes: list[Change], line: list[Change]
) -> None:
    """`line` hands an accept to the gate only for an ACCEPT of that very part."""
    assert "accepted without an ACCEPT" in kinds(play(line=turned_line(workshop, *changes, line=line)))


def test_one_of_two_guards_is_enough(workshop: Workshop) -> None:
    """The part is found by its name and then compared with it: a verdict that goes astray fails at the second guard."""
    assert set() == kinds(play(line=workshop.turn(LINE, (NAMED, NEWEST)).LineNode))


class Handed(Struct):
    """State one accept that `line` handed to the microcontroller."""

    early_ns: int
    """Before the part's deadline; negative when late."""
    inspect: bool
    """Whether the PLC was ready when the part came."""


def spied(kind: type[LineNode]) -> tuple[type[LineNode], list[Handed]]:
    """Give a LineNode that notes each accept it hands over."""
    handed: list[Handed] = []

    class Spied(kind):  # type: ignore[valid-type,misc]
        def _verdict(self, verdict: Verdict, now: HostNs) -> Sequence[Output]:
            part = self._parts.get(verdict.part.number)
            outputs = super()._verdict(verdict, now)
            if any(isinstance(one, Send) and one.message.accept for one in outputs):
                handed.append(Handed(self._belt.closes(part.entered) - now, part.inspect))
            return outputs

    return Spied, handed


def test_a_late_accept_is_none(workshop: Workshop) -> None:
    """An ACCEPT that reaches `line` after its part's deadline is refused there, whatever the gate would make of it."""
    slow = Trouble(bus=BusFaults(0, 0, 120 * MS), model_ns=60 * MS)
    kept, as_it_is = spied(LineNode)
    broken, turned = spied(turned_line(workshop, (PART + IN_TIME, PART)))
    play(line=kept, trouble=slow)
    play(line=broken, trouble=slow)

    assert [] == [one for one in as_it_is if one.early_ns < 0]
    assert [] != [one for one in turned if one.early_ns < 0]


def test_a_part_the_plc_was_not_ready_for_is_never_accepted(workshop: Workshop) -> None:
    """While the PLC cannot take a result its parts are rejected, whatever the model says."""
    kept, as_it_is = spied(LineNode)
    broken, turned = spied(turned_line(workshop, ("order.accept and inspect", "order.accept")))
    play(line=kept)
    play(line=broken)

    assert [] == [one for one in as_it_is if not one.inspect]
    assert [] != [one for one in turned if not one.inspect]


CORE_RULES = [
    ("uint8_t lane = LANE_REJECT; /* RULE default-reject */", "uint8_t lane = LANE_ACCEPT;"),
    ("if (p->decision == DECISION_NONE) return GATE_CAUSE_NO_DECISION;", "if (!p->decision) return 1;"),
]


@pytest.mark.parametrize(("old", "new"), CORE_RULES, ids=["default_reject", "no_decision"])
def test_the_microcontroller_rejects_by_default(tmp_path: Path, old: str, new: str) -> None:
    """The gate's own rules hold the line's promise up; without one of them parts pass that must not."""
    folder = tmp_path / "core"
    shutil.copytree(CORE, folder)
    source = (folder / "parts.c").read_text("utf-8")

    assert source.count(old) == 1
    (folder / "parts.c").write_text(source.replace(old, new), "utf-8")

    assert "accepted without an ACCEPT" in kinds(play(core=build_core(tmp_path, core=folder)))


@pytest.mark.parametrize(
    "change",
    [
        ("inspector = part.inspector\n        if not", "inspector = self._bundles.active\n        if not"),
        ("inspector = part.inspector\n        result", "inspector = self._bundles.active\n        result"),
    ],
    ids=["looked_at_by_the_newest", "named_after_the_newest"],
)
def test_a_part_keeps_its_bundle(workshop: Workshop, change: Change) -> None:
    """A part that entered before a swap is judged, and named, by the bundle that was active then."""

    def swapped(judge: type[JudgeNode]) -> LineWorld:
        world = LineWorld(build_core(BUILD), PARTS, RATE_HZ, 7, Trouble(model_ns=20 * MS), judge=judge)
        swaps = [Action(2 * S + step * 37 * MS, "rollback", "bundle") for step in range(1, 100)]
        world.play([Action(0, "stage", "next"), Action(2 * S, "activate", "next"), *swaps])
        return world

    broken = kinds(swapped(workshop.turn(JUDGE, change).JudgeNode))

    assert set() == kinds(swapped(JudgeNode))
    assert any("its result names" in kind for kind in broken)


FAILURE = "view.failure is not None or view.result is None or inspector"


def test_a_view_that_failed_is_never_accepted(workshop: Workshop) -> None:
    """A result that came too late, or from pixels that were overwritten meanwhile, decides nothing."""
    slow = Trouble(slow_model=0.3, model_ns=4 * MS)
    turned = workshop.turn(JUDGE, (FAILURE, "view.result is None or inspector"))

    assert set() == kinds(play(trouble=slow))
    assert late_accepts(play(trouble=slow)) == 0
    assert late_accepts(play(judge=turned.JudgeNode, trouble=slow)) > 0


def late_accepts(world: LineWorld) -> int:
    """Count the ACCEPTs that the judge gave within its margin of the deadline or after it."""
    return sum(verdict.decided > verdict.decide_by - 2 * MS for verdict in world.account.accepts.values())


def test_an_ambiguous_pair_is_never_judged(workshop: Workshop) -> None:
    """A pair without full proof costs its part the ACCEPT."""
    turned = workshop.turn(JUDGE, ("if pair.proof is not Proof.AGREED:", "if False:"))

    def unproven(world: LineWorld) -> int:
        return sum(shown.kind == "alarm" and shown.value.startswith("pairing_") for shown in world.shown)

    assert unproven(play()) > 0
    assert unproven(play(judge=turned.JudgeNode)) == 0


def test_a_proof_by_instant_alone_pairs_the_wrong_part(workshop: Workshop) -> None:
    """Without an encoder a camera clock that is off by a part for one frame is caught by the index alone."""
    pairing = workshop.turn(PAIRING, ("Proof.AGREED if known == offset else Proof.MISMATCH", "Proof.AGREED"))
    judge = workshop.turn(JUDGE, instead={PAIRING: pairing.__name__})

    assert set() == kinds(one_wrong_instant())
    assert any("judged on the frame of part" in kind for kind in kinds(one_wrong_instant(judge.JudgeNode)))


def test_a_proof_by_index_alone_pairs_the_wrong_part(workshop: Workshop) -> None:
    """A camera that misses a trigger shifts its index; without an encoder only the instant says whose frame it is."""
    pairing = workshop.turn(
        PAIRING,
        ("return abs(frame.exposed_at - exposed.at) <= self._tolerance + _uncertainty(frame, exposed)", "return True"),
        ("vague = matches > 1 or", "vague ="),
    )
    judge = workshop.turn(JUDGE, instead={PAIRING: pairing.__name__})

    assert any("judged on the frame of part" in kind for kind in kinds(play(judge=judge.JudgeNode, encoder=False)))


def one_wrong_instant(judge: type[JudgeNode] = JudgeNode) -> LineWorld:
    """Let one frame in seven claim the instant of the part after it."""

    class Misled(judge):  # type: ignore[valid-type,misc]
        def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
            if isinstance(message, FrameReady) and message.frame_id % 7 == 6:
                step = int(S / RATE_HZ)
                message = replace(
                    message, exposed_at=HostNs(message.exposed_at + step), arrived=HostNs(message.arrived + step)
                )
            return super().receive(topic, message, now)

    world = LineWorld(build_core(BUILD), 60, RATE_HZ, 7, Trouble(), judge=Misled)
    world.camera.has_encoder = False
    world.play()
    return world
