"""Protect what a client's job can do: hold parts back, and never let one through that the verdict would not."""

import pytest

from appliance.schema.actuation import Cause, Lane
from appliance.schema.audit import AuditRequest
from appliance.schema.command import (
    AbortJob,
    Accepted,
    HaltLine,
    PurgeDone,
    RefusedReply,
    ResetFault,
    StartJob,
    StopJob,
)
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartEntered
from appliance.schema.verdict import Disposition
from firmware_bridge import messages as mcu
from tests.unit.line_rig import Rig, part_event

ACTOR = "opcua:anna"
START, SINGLE = StartJob(single=False, actor=ACTOR), StartJob(single=True, actor=ACTOR)
STOP, ABORT, HALT = StopJob(ACTOR), AbortJob(ACTOR), HaltLine(ACTOR)


@pytest.fixture
def rig() -> Rig:
    return Rig(controlled=True).connect()


def accepts(rig: Rig, number: int) -> list[int]:
    """Let a part enter and the model accept it; give the decisions that went out for it."""
    rig.verdict(rig.enter(number), sequence=40 + number)
    return [one.accept for one in rig.all(mcu.Decision) if one.part == number]


def passes(rig: Rig, number: int) -> Cause:
    return rig.gate(number, mcu.Lane.ACCEPT, mcu.GateCause.ACCEPTED, 40 + number).cause


# ---- where no client controls the line ------------------------------------------------------------------------------


@pytest.mark.parametrize("wish", [START, SINGLE, STOP, ABORT, HALT])
def test_a_line_that_nobody_controls_cannot_be_stopped_or_started(wish: object) -> None:
    """station.controlled = false: every part is covered, and each wish is refused with the reason."""
    rig = Rig().connect()
    reply = rig.ask(wish)

    assert isinstance(reply, RefusedReply)
    assert "station.controlled = true" in reply.reason
    assert (JobMode.CONTINUOUS, True, "") == (rig.state().mode, rig.state().ready, rig.state().job)
    assert ([1], []) == (accepts(rig, 1), rig.all(AuditRequest))


# ---- jobs -----------------------------------------------------------------------------------------------------------


def test_without_a_job_nothing_is_inspected(rig: Rig) -> None:
    """IDLE: an ACCEPT in time is a reject, and the account says why."""
    told = (accepts(rig, 1), rig.gate(1, cause=mcu.GateCause.DECIDED_REJECT, sequence=41))

    assert (JobMode.IDLE, False, "no job runs") == (rig.state().mode, rig.state().ready, rig.state().cause)
    assert ([0], Cause.NO_JOB, Disposition.ACCEPT) == (told[0], told[1].cause, told[1].disposition)


def test_a_job_covers_every_part_until_it_is_stopped(rig: Rig) -> None:
    """StopJob lets those on the belt be finished, and no further one in."""
    reply = rig.ask(START)
    first = rig.enter(1)
    rig.ask(STOP)
    rig.verdict(first, sequence=41)

    assert Accepted(rig.state().job) == reply
    assert [1] == [one.accept for one in rig.all(mcu.Decision)]
    assert (JobMode.IDLE, first.job) == (rig.state().mode, rig.state().job)
    assert [0] == accepts(rig, 2)


def test_a_single_job_covers_exactly_the_next_part(rig: Rig) -> None:
    """The mode stays until that part met the gate; one that enters meanwhile is not covered."""
    rig.ask(SINGLE)
    before = rig.state().ready
    first, second = accepts(rig, 1), accepts(rig, 2)
    during = rig.state()
    passes(rig, 1)

    assert ([1], [0], True) == (first, second, before)
    assert (JobMode.SINGLE, False, "the single job has its part") == (during.mode, during.ready, during.cause)
    assert JobMode.IDLE == rig.state().mode
    assert ["job", ""] == ["job" if one.job else "" for one in rig.all(PartEntered)]


def test_a_single_job_ends_with_its_part_however_it_ends(rig: Rig) -> None:
    """A microcontroller that restarts drops the part, and the job with it."""
    rig.ask(SINGLE)
    rig.enter(1)
    rig.connect(0xB00C)

    assert JobMode.IDLE == rig.state().mode


def test_a_single_job_waits_for_a_part_that_can_be_decided(rig: Rig) -> None:
    """One out of the microcontroller's memory is no next part; the job is still there for the one that is."""
    rig.ask(SINGLE)
    rig.now += 2_000_000_000
    rig.tell(part_event(1, rig.now - 1_500_000_000))
    rig.gate(1)
    between = rig.state().mode

    assert (JobMode.SINGLE, [1]) == (between, accepts(rig, 2))


def test_abort_bars_every_part_on_the_belt(rig: Rig) -> None:
    """A reject after an accept wins; a verdict that comes later is a reject too."""
    rig.ask(START)
    told, waits = rig.enter(1), rig.enter(2)
    rig.verdict(told, sequence=41)
    rig.ask(ABORT)
    rig.verdict(waits, sequence=42)

    assert [(1, 1), (1, 0), (2, 0)] == [(one.part, one.accept) for one in rig.all(mcu.Decision)]
    assert Cause.NO_JOB == rig.gate(1, cause=mcu.GateCause.DECIDED_REJECT, sequence=41).cause


def test_a_part_that_was_past_its_window_is_told_as_it_is(rig: Rig) -> None:
    """An abort that comes too late for the gate changes no fact: the part passed, on an ACCEPT."""
    rig.ask(START)
    accepts(rig, 1)
    rig.ask(ABORT)
    told = rig.gate(1, mcu.Lane.ACCEPT, mcu.GateCause.ACCEPTED, 41)

    assert (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT) == (told.lane, told.cause, told.disposition)


def test_halt_stays_until_reset(rig: Rig) -> None:
    """Halted, nothing starts; ResetFault takes the line back into operation, idle."""
    rig.ask(START)
    rig.enter(1)
    rig.ask(HALT)
    refused = [rig.ask(wish) for wish in (START, STOP, ABORT)]
    halted = rig.state()
    granted = rig.ask(ResetFault("anna"))

    assert ["the line is halted; reset it first"] * 3 == [one.reason for one in refused]
    assert (JobMode.HALTED, "the line was halted") == (halted.mode, halted.cause)
    assert (Accepted(), JobMode.IDLE) == (granted, rig.state().mode)
    assert [0] == accepts(rig, 2)


@pytest.mark.parametrize(
    ("first", "wish", "reason"),
    [
        (START, START, "runs; stop it first"),
        (None, STOP, "no job runs"),
        (None, ABORT, "nothing to abort"),
        (None, StartJob(single=True, actor=ACTOR, recipe="other"), "recipe 'other' is not the active one"),
        (None, PurgeDone(ACTOR), "nothing to purge"),
    ],
)
def test_a_wish_that_makes_no_sense_changes_nothing(rig: Rig, first: object, wish: object, reason: str) -> None:
    """It is refused with the reason, and not audited as done."""
    if first is not None:
        rig.ask(first)
    before, audits = rig.state(), len(rig.all(AuditRequest))
    reply = rig.ask(wish)

    assert isinstance(reply, RefusedReply)
    assert reason in reply.reason
    assert (before.mode, audits) == (rig.state().mode, len(rig.all(AuditRequest)))


@pytest.mark.parametrize("recipe", ["", "lid", "3"])
def test_a_job_may_name_the_active_recipe(rig: Rig, recipe: str) -> None:
    """By its name or its number."""
    assert isinstance(rig.ask(StartJob(single=True, actor=ACTOR, recipe=recipe)), Accepted)


def test_each_wish_is_audited_with_who_asked(rig: Rig) -> None:
    """Actor, what was done, and the mode before and after."""
    for wish in (SINGLE, STOP, START, ABORT, HALT, ResetFault("bob")):
        rig.ask(wish)
    told = [(one.actor, one.action, one.before.split()[0], one.after.split()[0]) for one in rig.all(AuditRequest)]

    assert [
        (ACTOR, "job_started", "idle", "single"),
        (ACTOR, "job_stopped", "single", "idle"),
        (ACTOR, "job_started", "idle", "continuous"),
        (ACTOR, "job_aborted", "continuous", "idle"),
        (ACTOR, "line_halted", "idle", "halted"),
        ("bob", "fault_reset", "halted", "idle"),
    ] == told


def test_no_job_has_the_id_of_another(rig: Rig) -> None:
    """Ids go on through a process and differ between processes."""
    ids = []
    for _ in range(3):
        ids.append(rig.ask(START).detail)
        rig.ask(STOP)

    assert 3 == len(set(ids))


def test_a_job_makes_no_accept() -> None:
    """Whatever the mode: without an ACCEPT in time the gate gets no reason to open."""
    rig = Rig(controlled=True).connect()
    rig.ask(START)
    part = rig.enter(1)
    rig.verdict(part, disposition=Disposition.REVIEW)
    late = rig.enter(2)
    rig.verdict(late, late.decide_by + 1)

    assert [0, 0] == [one.accept for one in rig.all(mcu.Decision)]


def test_the_state_is_told_at_each_change_and_each_second() -> None:
    """A reader that comes late knows within a second; what did not change is not told twice within it."""
    rig = Rig(controlled=True).connect()
    before = len(rig.all(LineState))
    rig.ask(START)
    rig.tell(mcu.StateChanged(mcu.State.ARMED, mcu.StateReason.STARTED))
    changed = len(rig.all(LineState))
    rig.tell(mcu.StateChanged(mcu.State.ARMED, mcu.StateReason.STARTED), rig.now + 1_000_000_000)

    assert (1, 1) == (changed - before, len(rig.all(LineState)) - changed)


def test_the_state_counts_parts_by_lane(rig: Rig) -> None:
    """Parts, accepted and rejected as the gate had them."""
    rig.ask(START)
    accepts(rig, 1)
    passes(rig, 1)
    rig.enter(2)
    rig.gate(2)
    state = rig.state()

    assert (2, 1, 1, False) == (state.parts, state.accepted, state.rejected, state.busy)
