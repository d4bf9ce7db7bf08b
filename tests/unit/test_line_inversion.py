"""Turn the rules of jobs, recipes and lost step round, one at a time, and see a part pass that must not."""

from collections.abc import Callable, Iterator

import pytest

from appliance.schema.clocks import HostNs
from appliance.schema.command import AbortJob, PrepareRecipe, StartJob
from appliance.schema.health import Condition
from appliance.schema.topics import STATUS
from appliance.services.line import LineNode
from firmware_bridge import messages as mcu
from tests.line.test_inversion import LINE, Change, Workshop
from tests.unit.line_rig import Rig, health_of
from tests.unit.test_line_recipes import changed, shelf, tries, warm
from tests.unit.test_line_requests import asked, joined, out_of_step

JOBS, RECIPES = "appliance.services._line_jobs", "appliance.services._line_recipes"
PLC, LINK = "appliance.services._line_plc", "appliance.services._line_mcu"


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.clean()


def last(rig: Rig) -> int:
    """Give the last word that the gate was told of part 1."""
    return [one.accept for one in rig.all(mcu.Decision) if one.part == 1][-1]


def without_a_job(line: type[LineNode]) -> int:
    return tries(Rig(controlled=True, line=line).connect(), 1)


def second_of_a_single_job(line: type[LineNode]) -> int:
    rig = Rig(controlled=True, line=line).connect()
    rig.ask(StartJob(single=True, actor="anna"))
    rig.enter(5)
    return tries(rig, 6)


def aborted(line: type[LineNode]) -> int:
    rig = Rig(controlled=True, line=line).connect()
    rig.ask(StartJob(single=False, actor="anna"))
    rig.verdict(rig.enter(1))
    rig.ask(AbortJob("anna"))
    return last(rig)


def taken_back_out_of_step(line: type[LineNode]) -> int:
    rig = Rig(line=line).connect()
    rig.verdict(rig.enter(1))
    out_of_step(rig)
    return last(rig)


def enters_out_of_step(line: type[LineNode]) -> int:
    return tries(out_of_step(Rig(line=line).connect()), 1)


def enters_while_changing(line: type[LineNode]) -> int:
    rig = Rig(line=line).connect()
    rig.ask(PrepareRecipe(8, "anna"))
    return tries(rig, 1)


def judge_of_another_recipe(line: type[LineNode]) -> int:
    rig = Rig(line=line).connect()
    rig.ask(PrepareRecipe(8, "anna"))
    shelf(rig, changed())
    warm(rig, 1)
    return tries(rig, 1)


def judge_by_itself(line: type[LineNode]) -> int:
    rig = Rig(line=line).connect()
    rig.tell(health_of("judge", Condition.OK, 1), topic=STATUS + "judge")
    return tries(rig, 1)


def nobody_asked_for_it(line: type[LineNode]) -> int:
    rig = Rig(plc_triggers=True, line=line).connect()
    rig.plc(0, session_echo=0)
    rig.plc(1)
    asked(rig)
    rig.verdict(rig.enter(1, request=3))
    rig.do(rig.node.wake(HostNs(rig.now)))
    return last(rig)


RULES: dict[str, tuple[Callable[[type[LineNode]], int], str, Change]] = {
    "a job covers": (without_a_job, LINE, ("job is not None and ", "")),
    "one part is one": (second_of_a_single_job, JOBS, (" and self._single is None)", ")")),
    "abort takes back": (aborted, LINE, ("self._take_back(Cause.NO_JOB) if granted.aborts else []", "[]")),
    "out of step, back": (taken_back_out_of_step, LINE, ("self._take_back(Cause.FAULT) if", "[] if")),
    "out of step, in": (enters_out_of_step, LINE, (" and not sync_lost", "")),
    "out of step by name": (enters_out_of_step, LINK, ("self.fault is mcu.Fault.SYNC_LOST", "False")),
    "changing, in": (enters_while_changing, LINE, (" and not changing and", " and")),
    "asked is changing": (enters_while_changing, RECIPES, ("self._asked is not None or ", "")),
    "warm by its recipe": (
        judge_of_another_recipe,
        LINK,
        ("health.unit in self._by_recipe and health.recipe_hash != self._recipe_hash", "False"),
    ),
    "one recipe for both": (
        judge_by_itself,
        LINE,
        ("self._recipes.changing or self._link.other_recipe, self", "self._recipes.changing, self"),
    ),
    "asked for": (nobody_asked_for_it, PLC, ("not required and not handshake.plc_triggers", "not required")),
}


@pytest.mark.parametrize("name", RULES)
def test_each_rule_holds_a_part_back(name: str, workshop: Workshop) -> None:
    """As it is the part is rejected; with the rule turned round it is accepted."""
    play, where, change = RULES[name]
    if where == LINE:
        turned = workshop.turn(LINE, change)
    else:
        turned = workshop.turn(LINE, instead={where: workshop.turn(where, change).__name__})

    assert (0, 1) == (play(LineNode), play(turned.LineNode))


def test_a_covered_part_passes() -> None:
    """The plays above are no days of rejects only."""
    rig = joined(plc_triggers=False)

    assert 1 == tries(rig, 1)
