"""Put the line's whole condition into one message, at every change and once a second."""

from collections.abc import Sequence

from msgspec.structs import replace

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.registers import ControlBit, StatusBit
from appliance.ports.node import Output, Publish
from appliance.schema.actuation import Lane
from appliance.schema.clocks import HostNs, S
from appliance.schema.health import Component, Condition
from appliance.schema.line import JobMode, LineState
from appliance.schema.topics import LINE_STATE
from appliance.services._line_jobs import Jobs
from appliance.services._line_mcu import McuSide
from appliance.services._line_plc import PlcSide
from appliance.services._line_recipes import Recipes

PERIOD = 1 * S


class Tally:
    """Count parts by the lane they met the gate in."""

    def __init__(self) -> None:
        self.parts = self.accepted = 0

    def add(self, lane: Lane) -> None:
        """Count a part."""
        self.parts += 1
        self.accepted += lane is Lane.ACCEPT


class StateTeller:
    """Remember what was told last."""

    def __init__(self) -> None:
        self._told: LineState | None = None

    def outputs(self, state: LineState) -> Sequence[Output]:
        """Publish a state that is news, or that was told a second ago."""
        told = self._told
        if told is not None and state.at < told.at + PERIOD and _calm(state) == _calm(told):
            return ()
        self._told = state
        return [Publish(LINE_STATE, state)]


def _calm(state: LineState) -> LineState:
    """Leave out what changes all the time: the instant, the heartbeats, and wires that nobody tries."""
    words = (state.words[0] & ~StatusBit.HEARTBEAT.value, *state.words[1:]) if state.words else ()
    control = (state.control[0] & ~ControlBit.HEARTBEAT.value, 0, *state.control[2:]) if state.control else ()
    wires = state.wires if state.tested_by else None
    return replace(state, at=HostNs(0), words=words, control=control, wires=wires)


def line_state(
    now: HostNs,
    jobs: Jobs,
    handshake: Handshake,
    recipes: Recipes,
    link: McuSide,
    plc: PlcSide,
    tally: Tally,
    *,
    plc_required: bool,
    busy: bool,
) -> LineState:
    """Join what the line consists of."""
    cause, remedy = _obstacle(jobs, handshake, link.health(now), plc_required=plc_required)
    if recipes.changing or link.other_recipe:
        cause, remedy = _CHANGING if recipes.changing else _OTHER_RECIPE
    return LineState(
        at=now,
        mode=jobs.mode,
        handshake=handshake.state.name.lower(),
        ready=not cause,
        busy=busy,
        job=jobs.job,
        error=handshake.error.value,
        cause=cause,
        remedy=remedy,
        session=handshake.session,
        plc_alive=handshake.alive,
        sync_lost=link.sync_lost,
        recipe=recipes.in_force.name,
        recipe_sha256=recipes.in_force.sha256,
        recipe_number=recipes.in_force.number,
        recipe_hash=recipes.in_force.hash32,
        parts=tally.parts,
        accepted=tally.accepted,
        rejected=tally.parts - tally.accepted,
        late=handshake.late,
        words=plc.words,
        control=plc.written,
        wires=link.wires,
        tested_by=link.tested_by,
        test=link.test,
    )


def _obstacle(jobs: Jobs, handshake: Handshake, mcu: Component, *, plc_required: bool) -> tuple[str, str]:
    """Say why no part would be inspected, most pressing first, and what to do; two empty strings when it would."""
    if mcu.condition is not Condition.OK:
        return f"microcontroller: {mcu.cause}", mcu.remedy
    if jobs.mode is JobMode.HALTED:
        return "the line was halted", "reset it"
    if not jobs.covers:
        return ("the single job has its part", "wait for it") if jobs.mode is JobMode.SINGLE else _NO_JOB
    if plc_required and not handshake.ready:
        problem = handshake.problem
        return problem if problem[0] else ("the PLC's queue or changeover holds parts back", "see State and QueueDepth")
    return "", ""


_CHANGING = ("a recipe change runs", "wait for its end")
_OTHER_RECIPE = ("the judge runs another recipe than the line", "restart the judge")
_NO_JOB = ("no job runs", "start a job from the client that controls the line")
