"""Protect a change of the recipe: nothing is inspected from the wish until the new recipe is warm."""

import pytest

from appliance.governance.approval import Primary
from appliance.outputs.plc.registers import ControlBit, JobAnswer, StatusBit
from appliance.ports.node import Restart
from appliance.schema.actuation import Cause
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs
from appliance.schema.command import Accepted, PrepareRecipe, RefusedReply
from appliance.schema.health import Alarm, Condition
from appliance.schema.recipe import Recipe
from appliance.schema.topics import STATUS
from appliance.services._recipe_change import Changed, ChangeTo, NotChanged
from firmware_bridge import messages as mcu
from tests.unit.line_rig import HAND, RECIPE, Rig, health_of

ENABLE, WANTS = ControlBit.ENABLE, ControlBit.ENABLE | ControlBit.JOB_CHANGE
SIGNED = Primary("cap", 1, "", "test")
NEW_HASH = 0x5EED_0008


@pytest.fixture
def rig() -> Rig:
    made = Rig(plc_required=True).connect()
    made.plc(0, session_echo=0)
    made.plc(ENABLE)
    return made


def changed(actor: str = "plc", primary: Primary | None = SIGNED) -> Changed:
    recipe = Recipe("cap", 8, ("top",), "cap-1")
    return Changed(8, actor, recipe, NEW_HASH, "5eed0008" * 8, primary)


def shelf(rig: Rig, message: object) -> list:
    return rig.tell(message, topic="device:recipes")


def warm(rig: Rig, recipe_hash: int = NEW_HASH) -> None:
    rig.tell(health_of("acquire@top"), topic=STATUS + "acquire@top")
    rig.tell(health_of("judge", Condition.OK, recipe_hash), topic=STATUS + "judge")
    rig.do(rig.node.wake(HostNs(rig.now)))


def tries(rig: Rig, number: int) -> int:
    """Let a part enter and an ACCEPT come for it; give what the gate was told."""
    rig.verdict(rig.enter(number), sequence=40 + number)
    return [one.accept for one in rig.all(mcu.Decision)][-1]


def test_the_active_recipe_is_shown_from_the_start(rig: Rig) -> None:
    """PLC and plant read number, hash and name before anything changed."""
    told = rig.state()

    assert (RECIPE.number, RECIPE.hash32) == (rig.status().active_recipe, rig.status().recipe_hash)
    assert (RECIPE.number, RECIPE.hash32, "lid", RECIPE.sha256) == (
        told.recipe_number,
        told.recipe_hash,
        told.recipe,
        told.recipe_sha256,
    )


def test_the_plc_changes_the_recipe(rig: Rig) -> None:
    """Wish, shelf, warm, answer: TriggerReady is 0 from the first to the last."""
    ready = []
    rig.plc(WANTS, recipe_number=8)
    ready.append(rig.status().bits & StatusBit.TRIGGER_READY)
    shelf(rig, changed())
    ready.append(rig.status().bits & StatusBit.TRIGGER_READY)
    before = (rig.status().job_answer, rig.state().handshake, rig.state().recipe_number)
    warm(rig)
    status = rig.status()
    rig.plc(ENABLE)

    assert [ChangeTo(8, "plc")] == rig.all(ChangeTo)
    assert ([0, 0], (0, "changeover", 8)) == (ready, before)
    assert (JobAnswer.DONE, 8, NEW_HASH) == (status.job_answer, status.active_recipe, status.recipe_hash)
    assert rig.status().bits & StatusBit.TRIGGER_READY
    assert [("plc", "recipe_changed")] == [(one.actor, one.action) for one in rig.all(AuditRequest)]
    assert 1 == tries(rig, 1)


def test_the_shelf_is_asked_once(rig: Rig) -> None:
    """However long it takes, and however often the loop turns."""
    rig.plc(WANTS, recipe_number=8)
    for _ in range(5):
        rig.do(rig.node.wake(HostNs(rig.now)))

    assert 1 == len(rig.all(ChangeTo))


def test_a_refused_recipe_changes_nothing(rig: Rig) -> None:
    """The reason goes to people as an alarm, the answer to the PLC; the old recipe stays."""
    rig.plc(WANTS, recipe_number=99)
    shelf(rig, NotChanged(99, "plc", "no recipe has the number 99"))
    status = rig.status()
    rig.plc(ENABLE)

    assert (JobAnswer.REFUSED, 3) == (status.job_answer, status.active_recipe)
    assert [True] == ["no recipe has the number 99" in one.text for one in rig.all(Alarm)]
    assert [("plc", "recipe_change_refused")] == [(one.actor, one.action) for one in rig.all(AuditRequest)]
    assert 1 == tries(rig, 1)


def test_the_active_recipe_is_granted_at_once(rig: Rig) -> None:
    """Nothing has to be made ready, and nothing is audited."""
    rig.plc(WANTS, recipe_number=3)
    status = rig.status()

    assert (JobAnswer.DONE, [], []) == (status.job_answer, rig.all(ChangeTo), rig.all(AuditRequest))


@pytest.mark.parametrize("recipe_hash", [0, RECIPE.hash32])
def test_a_judge_with_another_recipe_ends_no_change(rig: Rig, recipe_hash: int) -> None:
    """It may be ready as it likes: until it runs the new recipe its ACCEPTs open nothing."""
    rig.plc(WANTS, recipe_number=8)
    shelf(rig, changed())
    warm(rig, recipe_hash)
    rig.plc(ENABLE)

    assert 0 == tries(rig, 1)
    assert Cause.CHANGEOVER == rig.gate(1, cause=mcu.GateCause.DECIDED_REJECT, sequence=41).cause
    assert "changeover" == rig.state().handshake


def test_a_judge_that_changed_by_itself_opens_nothing(rig: Rig) -> None:
    """Line and judge work by one recipe: a judge that says another one is heard again once it says this one."""
    rig.tell(health_of("judge", Condition.OK, NEW_HASH), topic=STATUS + "judge")
    held = tries(rig, 1)
    told = rig.state()
    rig.tell(health_of("judge"), topic=STATUS + "judge")
    rig.do(rig.node.wake(HostNs(rig.now)))

    assert (0, False, "the judge runs another recipe than the line") == (held, told.ready, told.cause)
    assert 1 == tries(rig, 2)


@pytest.mark.parametrize("until", ["asked", "changed"])
@pytest.mark.parametrize("plc_required", [True, False])
def test_nothing_is_accepted_while_it_changes(until: str, plc_required: bool) -> None:
    """With a PLC and without: a part that enters meanwhile is a reject, even if its verdict comes after the end."""
    rig = Rig(plc_required=plc_required).connect()
    rig.plc(0, session_echo=0)
    rig.plc(ENABLE)
    rig.ask(PrepareRecipe(8, "opcua:anna"))
    if until == "changed":
        shelf(rig, changed("opcua:anna"))
    part = rig.enter(1)
    if until == "asked":
        shelf(rig, changed("opcua:anna"))
    warm(rig)
    rig.verdict(part)

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]
    assert 1 == tries(rig, 2)


def test_a_client_may_prepare_a_recipe_on_an_empty_belt(rig: Rig) -> None:
    """Refused while a part is under way or a change runs; the active one needs no change."""
    rig.enter(1)
    busy = rig.ask(PrepareRecipe(8, "opcua:anna"))
    rig.gate(1)
    same = rig.ask(PrepareRecipe(3, "opcua:anna"))
    granted = rig.ask(PrepareRecipe(8, "opcua:anna"))
    again = rig.ask(PrepareRecipe(9, "opcua:anna"))

    assert [RefusedReply, Accepted, Accepted, RefusedReply] == [type(one) for one in (busy, same, granted, again)]
    assert [ChangeTo(8, "opcua:anna")] == rig.all(ChangeTo)


def test_another_kind_of_authority_starts_the_line_anew(rig: Rig) -> None:
    """From the model to people, or back: other topics, another session; the process begins again."""
    rig.plc(WANTS, recipe_number=8)
    outputs = rig.node.receive("device:recipes", changed(primary=None), HostNs(rig.now))

    assert [Restart] == [type(one) for one in outputs if isinstance(one, Restart)]


def test_in_parallel_mode_people_go_on_deciding() -> None:
    """Recipes without an approval leave the gate to people, and wait for no judge."""
    rig = Rig(plc_required=True, authority=HAND).connect()
    rig.plc(0, session_echo=0)
    rig.plc(ENABLE)
    rig.plc(WANTS, recipe_number=8)
    outputs = rig.node.receive("device:recipes", changed(primary=None), HostNs(rig.now))
    rig.do([one for one in outputs if not isinstance(one, Restart)])
    rig.tell(health_of("acquire@top"), topic=STATUS + "acquire@top")
    rig.do(rig.node.wake(HostNs(rig.now)))

    assert [] == [one for one in outputs if isinstance(one, Restart)]
    assert JobAnswer.DONE == rig.status().job_answer
