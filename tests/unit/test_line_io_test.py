"""Protect the line while outputs are tried by hand: no test can accept a part, and none begins while it works."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import (
    Accepted,
    BeginTests,
    EndTests,
    PrepareRecipe,
    RefusedReply,
    StartJob,
    TriedOutput,
    TryOutput,
)
from appliance.services._line_tests import LASTS, MOST_MS, TARGET
from appliance.services.line import LineNode
from appliance.sim.line_world import HEAD_START, LineWorld
from firmware_bridge import messages as mcu
from firmware_bridge.build import build_core
from tests.line.test_inversion import LINE, Change, Workshop
from tests.unit.line_rig import Rig
from tests.unit.test_line_recipes import tries

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
JOBS, LINK, TESTS, WISHES = (
    "appliance.services._line_jobs",
    "appliance.services._line_mcu",
    "appliance.services._line_tests",
    "appliance.services._line_wishes",
)
BEGIN, END = BeginTests("m-emil", "lamp is dark"), EndTests("m-emil")
GATE = TryOutput(TriedOutput.GATE_ACCEPT, 300, "m-emil")
LAMP = TryOutput(TriedOutput.CAMERA0, 1, "m-emil")


def stats(rig: Rig, state: mcu.State, **changes: int) -> mcu.Stats:
    """Give a report of the microcontroller."""
    zeros = dict.fromkeys(mcu.Stats.__struct_fields__, 0)
    said = {"state": state, "config_crc": rig.node._configure.crc, "tick": rig.now // 1000, "host_alive": 1}
    return mcu.Stats(**{**zeros, **said, **changes})


def disarmed(rig: Rig) -> Rig:
    """Let the microcontroller say that it obeyed."""
    rig.tell(mcu.StateChanged(mcu.State.CONFIGURED, mcu.StateReason.HOST_REQUEST))
    return rig


def holding(rig: Rig | None = None) -> Rig:
    """Begin tests."""
    rig = rig or Rig().connect()
    assert Accepted() == rig.ask(BEGIN)
    return disarmed(rig)


def test_tests_disarm_the_line_and_end() -> None:
    """While outputs are held nothing is armed or ready; afterwards the next report arms it again."""
    rig = holding()
    rig.tell(stats(rig, mcu.State.CONFIGURED))
    held = rig.state()
    assert ([], "m-emil", False) == (rig.all(mcu.Arm), held.tested_by, held.ready)
    assert "output tests of m-emil" in held.cause
    rig.ask(END)
    for unit in rig.node._link._ready_units:
        rig.node._link._ready_units[unit] = True
    rig.tell(stats(rig, mcu.State.CONFIGURED))

    assert ([mcu.Disarm()], 1, "") == (rig.all(mcu.Disarm), len(rig.all(mcu.Arm)), rig.state().tested_by)


@pytest.mark.parametrize("output", TriedOutput)
def test_an_output_is_driven_by_its_own_message(output: TriedOutput) -> None:
    """The output that is named is driven, for the time that is named, and nothing else is sent."""
    rig = holding()
    before = len(rig.sent)
    rig.ask(TryOutput(output, 250, "m-emil"))

    assert [mcu.TestOutput(TARGET[output], 250)] == [
        one for one in rig.sent[before:] if isinstance(one, mcu.TestOutput)
    ]
    assert [] == rig.all(mcu.Decision)


def refused(rig: Rig, wish: BeginTests | TryOutput | EndTests) -> str:
    """Give why a wish is refused; nothing may be sent to the microcontroller."""
    before = [one for one in rig.sent if isinstance(one, mcu.TestOutput | mcu.Disarm)]
    reply = rig.ask(wish)
    assert isinstance(reply, RefusedReply)
    assert before == [one for one in rig.sent if isinstance(one, mcu.TestOutput | mcu.Disarm)]
    return reply.reason


def with_a_job() -> Rig:
    rig = Rig(controlled=True).connect()
    rig.ask(StartJob(single=False, actor="anna"))
    return rig


def with_a_part() -> Rig:
    rig = Rig().connect()
    rig.enter(1)
    return rig


def with_a_plc() -> Rig:
    rig = Rig(plc_required=True).connect()
    rig.plc(0, session_echo=0)
    rig.plc(1)
    return rig


@pytest.mark.parametrize(
    ("rig", "wish", "why"),
    [
        (with_a_job, BEGIN, "stop it first"),
        (with_a_part, BEGIN, "between sensor and gate"),
        (with_a_plc, BEGIN, "take Enable back"),
        (lambda: Rig().connect(), BeginTests("", "x"), "sign in"),
        (lambda: Rig().connect(), BeginTests("m-emil", " "), "no reason"),
        (Rig, BEGIN, "does not answer"),
        (lambda: Rig().connect(state=mcu.State.FAULT), BEGIN, "reset it first"),
        (lambda: Rig().connect(), GATE, "begin them first"),
        (lambda: Rig().connect(), END, "nothing to end"),
        (holding, BeginTests("o-ben", "me too"), "m-emil tests already"),
        (holding, TryOutput(TriedOutput.CAMERA0, 1, "o-ben"), "held by m-emil"),
        (holding, TryOutput(TriedOutput.CAMERA0, 0, "m-emil"), f"limit is 1 to {MOST_MS} ms"),
        (holding, TryOutput(TriedOutput.CAMERA0, MOST_MS + 1, "m-emil"), f"limit is 1 to {MOST_MS} ms"),
    ],
)
def test_what_must_not_be_tested_is_refused(rig: Callable[[], Rig], wish: BeginTests | TryOutput, why: str) -> None:
    """A line that works, a part on the belt, a nameless wish or one out of range moves nothing."""
    assert why in refused(rig(), wish)


def test_a_part_on_the_belt_ends_trying() -> None:
    """A part that came meanwhile is rejected, and no output moves until the belt is empty."""
    rig = holding()
    assert 0 == tries(rig, 1)

    assert "between sensor and gate" in refused(rig, GATE)


def test_an_armed_microcontroller_is_left_alone() -> None:
    """Until it has said that it is disarmed no output is tried."""
    rig = Rig().connect()
    rig.ask(BEGIN)

    assert "try again in a moment" in refused(rig, LAMP)


def test_nothing_starts_while_outputs_are_held() -> None:
    """No job and no other recipe begins under a technician's hands."""
    rig = holding(Rig(controlled=True).connect())
    replies = [rig.ask(StartJob(single=True, actor="anna")), rig.ask(PrepareRecipe(8, "anna"))]

    assert [True, True] == ["by hand" in reply.reason for reply in replies]


def test_forgotten_tests_end_by_themselves() -> None:
    """Five minutes after the last wish the line works again, and the audit chain says why."""
    rig = holding()
    rig.now += LASTS - 1
    rig.do(rig.node.wake(HostNs(rig.now)))
    held = rig.state().tested_by
    rig.now += 1
    rig.do(rig.node.wake(HostNs(rig.now)))
    ended = [one for one in rig.all(AuditRequest) if one.action == "output_tests_ended"]

    assert ("m-emil", "") == (held, rig.state().tested_by)
    assert [("service:line", "m-emil")] == [(one.actor, one.before) for one in ended]


def test_each_deed_is_audited_with_person_and_reason() -> None:
    """Who held the line and why, what was tried, and when it was given back stand in the chain."""
    rig = holding()
    rig.ask(LAMP)
    rig.ask(END)
    told = [(one.actor, one.action, one.after) for one in rig.all(AuditRequest)]
    plain = Rig(controlled=True).connect()
    plain.ask(BEGIN)
    plain.ask(END)
    plain.ask(StartJob(single=False, actor="anna"))

    assert ["output_tests_begun", "output_tried", "output_tests_ended"] == [action for _, action, _ in told]
    assert {"m-emil"} == {actor for actor, _, _ in told}
    assert "lamp is dark" in told[0][2]
    assert "camera0 for 1 ms" in told[1][2]
    assert "idle" == plain.all(AuditRequest)[-1].before


def test_the_microcontrollers_refusal_is_shown() -> None:
    """What the firmware would not do is no success: the state says so, and how far the belt has to run."""
    rig = holding()
    rig.tell(stats(rig, mcu.State.CONFIGURED, purge_counts=1200))
    rig.ask(GATE)
    rig.tell(mcu.StateChanged(mcu.State.CONFIGURED, mcu.StateReason.NOT_ALLOWED_NOW))
    rig.tell(stats(rig, mcu.State.CONFIGURED, purge_counts=1200))

    assert "gate_accept for 300 ms: refused, 1200 counts" in rig.state().test


def test_wires_are_told_often_only_while_they_are_tried() -> None:
    """Ten reports of the microcontroller are news during tests; otherwise they wait for the next statement."""
    told = []
    for rig in (Rig().connect(), holding()):
        rig.published.clear()
        for number in range(10):
            rig.tell(stats(rig, rig.node._link.state, parts=number), rig.now + 90 * MS)
        told.append(len([one for one in rig.published if type(one).__name__ == "LineState"]))

    assert (0, 10) == (told[0], told[1])


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.clean()


def part_under_test(line: type[LineNode]) -> int:
    return tries(holding(Rig(line=line).connect()), 1)


def armed_under_test(line: type[LineNode]) -> int:
    rig = holding(Rig(line=line).connect())
    for unit in rig.node._link._ready_units:
        rig.node._link._ready_units[unit] = True
    rig.tell(stats(rig, mcu.State.CONFIGURED))
    return len(rig.all(mcu.Arm))


def driven(rig: Rig, wish: TryOutput = GATE) -> int:
    rig.ask(wish)
    return len(rig.all(mcu.TestOutput))


def gate_under_a_part(line: type[LineNode]) -> int:
    rig = holding(Rig(line=line).connect())
    rig.enter(1)
    return driven(rig)


def gate_of_a_working_line(line: type[LineNode]) -> int:
    return driven(disarmed(Rig(line=line).connect()))


def held_under_a_job(line: type[LineNode]) -> int:
    rig = Rig(controlled=True, line=line).connect()
    rig.ask(StartJob(single=False, actor="anna"))
    rig.ask(BEGIN)
    return len(rig.all(mcu.Disarm))


RULES: dict[str, tuple[Callable[[type[LineNode]], int], str, Change]] = {
    "held covers nothing": (part_under_test, JOBS, ("return running and not self.held", "return running")),
    "held is not armed": (armed_under_test, LINK, ("self.ready and not self.tested_by", "self.ready")),
    "empty belt": (gate_under_a_part, TESTS, ("if not belt_empty:", "if False:")),
    "begun first": (gate_of_a_working_line, TESTS, ("if self.held_by != wish.actor:", "if False:")),
    "no job": (held_under_a_job, TESTS, ("if self._jobs.ordered:", "if False:")),
}


@pytest.mark.parametrize("name", RULES)
def test_each_rule_is_needed(name: str, workshop: Workshop) -> None:
    """As it is nothing moves; with the rule turned round an output moves or a part is accepted."""
    play, where, change = RULES[name]
    turned = workshop.turn(where, change).__name__
    if where == TESTS:
        where, turned = WISHES, workshop.turn(WISHES, instead={TESTS: turned}).__name__
    line = workshop.turn(LINE, instead={where: turned}).LineNode

    assert (0, True) == (play(LineNode), play(line) > 0)


def played(*wishes: tuple[int, BeginTests | TryOutput | EndTests]) -> LineWorld:
    """Let 40 parts come to a line with the real firmware; (ns after the belt starts, wish)."""
    world = LineWorld(build_core(BUILD), 40, 20.0, 5)
    start = world.world.now + HEAD_START
    world.plc.silence(HostNs(start - 300 * MS))  # its Enable is not there yet: nobody may send a part
    for at, wish in wishes:
        world.world.at(HostNs(start + at), lambda wish=wish: world.world.ask("line", wish, world.replies.append))
    world.play()
    return world


def test_a_line_that_was_tested_works_again() -> None:
    """The lamp was fired by hand before the belt started; every promise holds, and good parts are accepted."""
    plain, tested = played(), played((-400 * MS, BEGIN), (-200 * MS, LAMP), (-100 * MS, END))

    assert [Accepted()] * 3 == tested.replies
    assert ([], True) == (tested.breaches(), tested.accepted > 0)
    assert 1 == tested.camera._frame_id - plain.camera._frame_id


def test_no_part_is_accepted_while_outputs_are_tried() -> None:
    """Gate tests rain on a running belt, at any moment of any part: the real firmware's gate meets each one shut."""
    drawn = random.Random(3)
    rain = [(round(drawn.uniform(-0.3, 2.5) * S), GATE) for _ in range(120)]
    world = played((-400 * MS, BEGIN), *rain)

    assert Accepted() in world.replies[1:]
    assert ([], 0) == (world.breaches(), world.accepted)
