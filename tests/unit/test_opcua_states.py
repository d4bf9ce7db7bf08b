"""Protect what OPC UA clients see of the line's states: a line that does not inspect never looks as if it did."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.opcua import model
from appliance.outputs.opcua.messages import ConditionChanged, JobEnded, JobStarted, RecipePrepared, StateChanged
from appliance.outputs.opcua.narration import SILENT, Heard, conditions, narrate
from appliance.outputs.opcua.states import (
    EXECUTION,
    Automatic,
    Cause,
    Machine,
    PackMl,
    PackMlMode,
    SystemState,
    Vision,
    machine,
    packml,
    packml_mode,
    system_state,
    transitions,
)
from appliance.schema.line import JobMode, LineState
from tests.unit.opcua_rig import UTC_NOW, line_state

NODESET = model.NODESET.read_text()
RUNNING = Machine(Vision.OPERATIONAL, Automatic.CONTINUOUS_EXECUTION)
IDLE = Machine(Vision.OPERATIONAL, Automatic.READY)

lines = st.none() | st.builds(
    line_state,
    mode=st.sampled_from(JobMode),
    handshake=st.sampled_from(["offline", "not_ready", "ready", "busy", "error", "changeover"]),
    ready=st.booleans(),
    busy=st.booleans(),
    error=st.integers(0, 3),
    sync_lost=st.booleans(),
    plc_alive=st.booleans(),
    cause=st.sampled_from(["", "no PLC"]),
    job=st.sampled_from(["", "j1", "j2"]),
    recipe_number=st.integers(0, 2),
    recipe_hash=st.integers(0, 2),
)
machines = st.sampled_from(
    [Machine(vision) for vision in Vision if vision is not Vision.OPERATIONAL]
    + [Machine(Vision.OPERATIONAL, inner) for inner in Automatic]
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (RUNNING, PackMl.EXECUTE, SystemState.PRODUCTION)),
        ({"mode": JobMode.IDLE}, (IDLE, PackMl.IDLE, SystemState.STANDBY)),
        ({"mode": JobMode.IDLE, "busy": True}, (IDLE, PackMl.COMPLETING, SystemState.STANDBY)),
        ({"ready": False, "plc_alive": False}, (RUNNING, PackMl.SUSPENDED, SystemState.UNSCHEDULED_DOWN)),
        ({"ready": False}, (RUNNING, PackMl.HELD, SystemState.UNSCHEDULED_DOWN)),
        ({"mode": JobMode.HALTED}, (Machine(Vision.HALTED), PackMl.STOPPED, SystemState.SCHEDULED_DOWN)),
        ({"error": 3}, (Machine(Vision.ERROR), PackMl.ABORTED, SystemState.UNSCHEDULED_DOWN)),
        ({"sync_lost": True}, (Machine(Vision.ERROR), PackMl.ABORTED, SystemState.UNSCHEDULED_DOWN)),
        ({"handshake": "offline"}, (Machine(), PackMl.UNDEFINED, SystemState.UNSCHEDULED_DOWN)),
        (
            {"handshake": "changeover"},
            (Machine(Vision.OPERATIONAL, Automatic.INITIALIZED), PackMl.RESETTING, SystemState.ENGINEERING),
        ),
    ],
)
def test_states_of_a_line(changes: dict[str, Any], expected: tuple[Machine, PackMl, SystemState]) -> None:
    """Each state of the line is one state of each model that the plant knows."""
    line = line_state(**changes)

    assert expected == (machine(line), packml(line), system_state(line))


def test_a_silent_line_runs_nothing() -> None:
    """Nothing heard is nothing that runs."""
    expected = (Machine(), PackMl.UNDEFINED, PackMlMode.INVALID, SystemState.UNSCHEDULED_DOWN)

    assert expected == (machine(None), packml(None), packml_mode(None), system_state(None))


@given(lines)
def test_production_is_claimed_only_where_a_part_is_inspected(line: LineState | None) -> None:
    """Execute and production need a line that is heard, not faulty, in a job, and ready or busy."""
    runs = (
        line is not None
        and machine(line).automatic in EXECUTION
        and not (line.error or line.sync_lost)
        and (line.ready or line.busy)
    )

    assert (runs, runs) == (packml(line) is PackMl.EXECUTE, system_state(line) is SystemState.PRODUCTION)


@given(machines, machines, st.sampled_from(Cause))
def test_every_step_is_one_of_the_specification(before: Machine, after: Machine, cause: Cause) -> None:
    """Steps exist by name and number in the nodeset, follow each other, and end where the line is."""
    steps = transitions(before, after, cause)
    known = set(re.findall(r'BrowseName="1:(\w+To\w+)"', NODESET))
    reached: dict[type, Any] = {Vision: before.vision, Automatic: before.automatic or Automatic.INITIALIZED}
    for step in steps:
        assert step.before == reached[type(step.before)]
        reached[type(step.before)] = step.after

    assert {step.name for step in steps} <= known
    assert all(number_of(step.name) == step.number for step in steps)
    assert reached[Vision] is after.vision
    assert after.automatic is None or reached[Automatic] is after.automatic


def number_of(name: str) -> int:
    """Give a transition's number as the nodeset states it."""
    node = re.search(rf'NodeId="(ns=1;i=\d+)" BrowseName="1:{name}"', NODESET)
    assert node is not None
    place = NODESET.index(f'BrowseName="TransitionNumber" ParentNodeId="{node[1]}"')
    number = re.search(r">(\d+)</uax:UInt32>", NODESET[place:])
    assert number is not None
    return int(number[1])


def test_nodeset_is_the_published_one() -> None:
    """The specification's file is the OPC Foundation's, byte for byte, with its licence."""
    import hashlib

    digest = hashlib.sha256(Path(model.NODESET).read_bytes()).hexdigest()

    assert digest == "3e67454155a9618e0981aa8b3ee248f7a9ee216f9f915b53eb26a69533c0cc62"
    assert "OPC Foundation MIT License 1.00" in NODESET


def kinds(before: LineState | None, after: LineState | None, cause: Cause = Cause.ITSELF) -> list[str]:
    told = narrate(Heard(before), Heard(after), cause, UTC_NOW)
    return [entry.step.name if isinstance(entry, StateChanged) else type(entry).__name__ for entry in told]


def test_a_job_is_told_from_start_to_end() -> None:
    """A client's job shows as the specification's transitions, with JobStarted and Ready around it."""
    idle = line_state(mode=JobMode.IDLE)
    single = line_state(mode=JobMode.SINGLE, job="j1")

    assert kinds(idle, single, Cause.METHOD) == ["ReadyToSingleExecution", "JobStarted"]
    assert kinds(single, idle) == ["JobEnded", "SingleExecutionToReadyAuto"]
    assert kinds(single, idle, Cause.METHOD) == ["JobEnded", "SingleExecutionToReadyStop"]
    assert kinds(single, idle, Cause.ABORT) == ["JobEnded", "SingleExecutionToReadyAbort"]


def test_a_job_after_another_without_a_pause_is_told() -> None:
    """Two jobs one after the other are two jobs, also where the state between was too short to be seen."""
    first, second = line_state(job="j1"), line_state(job="j2")
    told = narrate(Heard(first), Heard(second), Cause.ITSELF, UTC_NOW)

    assert [(JobEnded, "j1"), (JobStarted, "j2")] == [(type(entry), getattr(entry, "job", "")) for entry in told]


def test_reset_leads_over_preoperational() -> None:
    """A method may do no more than the specification allows it."""
    error, ready = line_state(error=2, mode=JobMode.IDLE), line_state(mode=JobMode.IDLE)

    assert kinds(error, ready, Cause.METHOD)[:2] == ["ErrorToPreoperational", "PreoperationalToOperationalAuto"]
    assert kinds(error, ready)[0] == "ErrorToOperationalAuto"


def test_silence_is_a_condition_and_no_state_is_believed() -> None:
    """A line that is not heard is preoperational, and the reason stands beside it."""
    before, after = Heard(line_state()), Heard(line_state(), is_silent=True)
    told = narrate(before, after, Cause.ITSELF, UTC_NOW)
    condition = next(entry for entry in told if isinstance(entry, ConditionChanged))

    assert ("LineSilent", True, SILENT) == (condition.name, condition.is_active, condition.text)
    assert "OperationalToPreoperationalAuto" in [entry.step.name for entry in told if isinstance(entry, StateChanged)]


@given(lines, lines)
def test_conditions_come_and_go_in_pairs(before: LineState | None, after: LineState | None) -> None:
    """What is told of conditions leads from those that held to those that hold."""
    held = dict.fromkeys(conditions(Heard(before)), True)
    for entry in narrate(Heard(before), Heard(after), Cause.ITSELF, UTC_NOW):
        if isinstance(entry, ConditionChanged):
            held[entry.name] = entry.is_active

    assert set(conditions(Heard(after))) == {name for name, active in held.items() if active}


def test_another_recipe_is_told() -> None:
    """RecipePrepared names the recipe that is in force, once it is in force."""
    old = line_state()
    changing = msgspec.structs.replace(old, handshake="changeover")
    new = line_state(recipe="cog", recipe_sha256="cd" * 32, recipe_number=8)
    told = narrate(Heard(changing), Heard(new), Cause.ITSELF, UTC_NOW)

    assert [entry for entry in told if isinstance(entry, RecipePrepared)] == [RecipePrepared("cog", "cd" * 32, UTC_NOW)]
    assert "RecipePrepared" in kinds(old, new)
    assert "RecipePrepared" not in kinds(old, old)
    assert not any(
        isinstance(entry, RecipePrepared) for entry in narrate(Heard(old), Heard(changing), Cause.ITSELF, UTC_NOW)
    )
