"""Turn each rule of parallel mode round, and see a history in which the gate follows the model or a late word."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec import Struct

from appliance.ports.node import Output
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.policy import Mode
from appliance.schema.verdict import Disposition, SealedVerdict, Verdict
from appliance.services._authority import Authority, GateOrder, HandDecides
from appliance.services.line import LineNode
from appliance.sim.line_world import LineWorld, Trouble
from appliance.sim.scenario import Action, BusFaults
from firmware_bridge.build import build_core
from tests.line.test_inversion import AUTHORITY, LINE, Change, Workshop, kinds, workshop
from tests.property.parallel_history import faults

__all__ = ["workshop"]

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
SEEDS = 400


def found(line: type[LineNode] = LineNode, authority: Callable[[], Authority] = HandDecides) -> set[str]:
    """Give what goes wrong in some histories, without the parts."""
    return {text.partition(": ")[2] or text for seed in range(SEEDS) for text in faults(seed, line, authority)}


class Leaky(LineNode):
    """Let a word of the model through to the gate."""

    hears: type[Struct] = Verdict
    only: Disposition = Disposition.ACCEPT

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take the model's word for an order."""
        part = self._of(message.part) if isinstance(message, self.hears) else None  # type: ignore[attr-defined]
        if part is None or message.disposition is not self.only:  # type: ignore[attr-defined]
            return super().receive(topic, message, now)
        order = GateOrder(part.entered.part, self.only is Disposition.ACCEPT, 7)
        return self._tell(part, order, self.only, now, now)


class LeakySealed(Leaky):
    """Let a sealed verdict through."""

    hears = SealedVerdict


class Vetoing(Leaky):
    """Let the model's rejects through alone."""

    only = Disposition.REJECT


def test_the_rules_as_they_are_hold() -> None:
    """What is found below is found by the rule turned round."""

    assert set() == found()


@pytest.mark.parametrize("leak", [Leaky, LeakySealed])
def test_an_accept_of_the_model_that_gets_through_is_found(leak: type[LineNode]) -> None:
    """A gate that a verdict opens follows the model, and has no person's accept to show."""

    assert {"the gate followed the model", "accept ordered without a person's"} <= found(leak)


def test_a_model_that_can_only_hold_back_is_found() -> None:
    """Even a veto is following: people decide, and what they decide about is not to be chosen by the model."""

    assert {"the gate followed the model"} == found(Vetoing)


NAMED = "self._parts.get(part.number) if part.boot == self._link.boot else None"
OWN = " and manual.part == entered.part"


@pytest.mark.parametrize(
    ("changes", "line", "fault"),
    [
        ([(f"manual.accept{OWN} and now <= closes", f"manual.accept{OWN}")], [], "accept ordered too late"),
        ([(f"manual.accept{OWN}", "manual.part == entered.part")], [], "accept ordered without a person's"),
        ([(f"manual.accept{OWN}", "not manual.accept")], [], "accept ordered without a person's"),
        ([(OWN, "")], [(NAMED, "next(reversed(self._parts.values()), None)")], "accept ordered without a person's"),
        (
            [],
            [("self._belt.closes(part.entered), now)\n        said", "now, now)\n        said")],
            "accept ordered too late",
        ),
    ],
    ids=["late", "any_word", "word_turned", "newest_part_instead_of_the_named", "own_deadline"],
)
def test_a_persons_word_opens_for_its_part_in_time_alone(
    workshop: Workshop, changes: list[Change], line: list[Change], fault: str
) -> None:
    """An accept, of this very part, before the belt closes it: each of the three is needed."""
    authority = workshop.turn(AUTHORITY, *changes)
    turned = workshop.turn(LINE, *line, instead={AUTHORITY: authority.__name__})

    assert fault in found(turned.LineNode, authority.HandDecides)


def test_a_leak_shows_on_a_whole_line_too() -> None:
    """The simulated line in parallel mode tells an accept lane that no person explains."""
    hard = Trouble(bus=BusFaults(0.01, 0.02, 25 * MS), wire=0.005, slow_model=0.02)

    class Subscribed(LeakySealed):
        def __init__(self, *given: object, **named: object) -> None:
            super().__init__(*given, **named)  # type: ignore[arg-type]
            self.topics = (*self.topics, "sealed")

    def day(line: type[LineNode]) -> LineWorld:
        world = LineWorld(build_core(BUILD), 200, 20.0, 7, hard, line, mode=Mode.PARALLEL)
        world.play([Action(3 * S, "freeze", "line", 180 * MS), Action(5 * S, "kill", "record")])
        return world

    held = day(LineNode)

    assert set() == kinds(held)
    assert held.accepted > 20
    assert "accepted without a person's accept" in kinds(day(Subscribed))
