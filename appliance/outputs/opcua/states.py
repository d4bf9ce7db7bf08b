"""Say in which states of OPC 40100-1 and of PackML a line is, and by which transitions it came there; pure.

OPC 40100-1 numbers its states 1 to 8, and its transitions by `from`, `to` and `cause`, where cause 0 is the system
itself.
"""

from enum import IntEnum
from itertools import pairwise

from msgspec import Struct

from appliance.schema.line import JobMode, LineState


class Vision(IntEnum):
    """Number the states of VisionStateMachineType."""

    PREOPERATIONAL = 1
    HALTED = 2
    ERROR = 3
    OPERATIONAL = 4


class Automatic(IntEnum):
    """Number the states of VisionAutomaticModeStateMachineType, which lives inside Operational."""

    INITIALIZED = 5
    READY = 6
    SINGLE_EXECUTION = 7
    CONTINUOUS_EXECUTION = 8


State = Vision | Automatic

NAMES: dict[State, str] = {
    Vision.PREOPERATIONAL: "Preoperational",
    Vision.HALTED: "Halted",
    Vision.ERROR: "Error",
    Vision.OPERATIONAL: "Operational",
    Automatic.INITIALIZED: "Initialized",
    Automatic.READY: "Ready",
    Automatic.SINGLE_EXECUTION: "SingleExecution",
    Automatic.CONTINUOUS_EXECUTION: "ContinuousExecution",
}
"""Browse names in the companion specification."""

EXECUTION = (Automatic.SINGLE_EXECUTION, Automatic.CONTINUOUS_EXECUTION)


class Cause(IntEnum):
    """Say which method of a client led to a transition."""

    ITSELF = 0
    METHOD = 1
    """StartSingleJob, StartContinuous, Stop, Reset, Halt or PrepareRecipe."""
    ABORT = 2


class Machine(Struct, frozen=True):
    """State both state machines."""

    vision: Vision = Vision.PREOPERATIONAL
    automatic: Automatic | None = None
    """None outside Operational."""


class Transition(Struct, frozen=True):
    """Name one step of one of the two machines."""

    number: int
    name: str
    """Browse name in the companion specification."""
    before: State
    after: State


class SystemState(IntEnum):
    """Number the SEMI E10 states of SystemStateDataType that a line can be in."""

    PRODUCTION = 1
    STANDBY = 2
    ENGINEERING = 3
    SCHEDULED_DOWN = 4
    UNSCHEDULED_DOWN = 5


class PackMl(IntEnum):
    """Number the states of PackML (ISA-TR88.00.02, OPC 30050) that a line can be in."""

    UNDEFINED = 0
    STOPPED = 2
    IDLE = 4
    SUSPENDED = 5
    EXECUTE = 6
    ABORTED = 9
    HELD = 11
    RESETTING = 15
    COMPLETING = 16


class PackMlMode(IntEnum):
    """Number the modes of PackML that a line can be in."""

    INVALID = 0
    PRODUCTION = 1


def machine(line: LineState | None) -> Machine:
    """Give both machines' states; None: nothing was heard of the line, or not for too long."""
    if line is None or line.handshake == "offline":
        return Machine()
    if line.mode is JobMode.HALTED:
        return Machine(Vision.HALTED)
    if is_faulty(line):
        return Machine(Vision.ERROR)
    if line.handshake == "changeover" or not (line.recipe_number or line.recipe_hash):
        return Machine(Vision.OPERATIONAL, Automatic.INITIALIZED)
    running = {JobMode.SINGLE: Automatic.SINGLE_EXECUTION, JobMode.CONTINUOUS: Automatic.CONTINUOUS_EXECUTION}
    return Machine(Vision.OPERATIONAL, running.get(line.mode, Automatic.READY))


def is_faulty(line: LineState) -> bool:
    """Tell whether something is latched that a person or the PLC must release."""
    return bool(line.error) or line.sync_lost or line.handshake == "error"


def transitions(before: Machine, after: Machine, cause: Cause = Cause.ITSELF) -> tuple[Transition, ...]:
    """Give the steps the specification allows from one to the other, in order; `cause` explains the last of them."""
    steps: list[Transition] = []
    if before.vision is not after.vision:
        way = [before.vision, after.vision]
        if after.vision is not Vision.PREOPERATIONAL and _goes_over_preoperational(before.vision, after.vision, cause):
            way.insert(1, Vision.PREOPERATIONAL)
        for one, next_one in pairwise(way):
            steps.append(_step(one, next_one, cause))
            cause = Cause.ITSELF
    if after.automatic is not None:
        steps += _automatic(before.automatic or Automatic.INITIALIZED, after.automatic, cause)
    return tuple(steps)


def system_state(line: LineState | None) -> SystemState:
    """Give the SEMI E10 state: production only while a part that enters would be inspected."""
    now = machine(line)
    if line is None or now.vision in {Vision.ERROR, Vision.PREOPERATIONAL}:
        return SystemState.UNSCHEDULED_DOWN
    if now.vision is Vision.HALTED:
        return SystemState.SCHEDULED_DOWN
    if now.automatic is Automatic.INITIALIZED:
        return SystemState.ENGINEERING
    if now.automatic is Automatic.READY:
        return SystemState.STANDBY
    return SystemState.PRODUCTION if line.ready or line.busy else SystemState.UNSCHEDULED_DOWN


def packml(line: LineState | None) -> PackMl:
    """Give the PackML state. Suspended: the PLC keeps the line waiting; Held: the appliance itself does."""
    now = machine(line)
    if line is None or now.vision is Vision.PREOPERATIONAL:
        return PackMl.UNDEFINED
    if now.vision is Vision.HALTED:
        return PackMl.STOPPED
    if now.vision is Vision.ERROR:
        return PackMl.ABORTED
    if now.automatic is Automatic.INITIALIZED:
        return PackMl.RESETTING
    if now.automatic is Automatic.READY:
        return PackMl.COMPLETING if line.busy else PackMl.IDLE
    if line.ready or line.busy:
        return PackMl.EXECUTE
    return PackMl.HELD if line.plc_alive else PackMl.SUSPENDED


def packml_mode(line: LineState | None) -> PackMlMode:
    """Give the PackML mode: this machine knows production alone, and none while nothing is heard of the line."""
    return PackMlMode.INVALID if line is None else PackMlMode.PRODUCTION


def _goes_over_preoperational(before: Vision, after: Vision, cause: Cause) -> bool:
    """Halted is left by Reset alone, and Reset leads to Preoperational from Error too."""
    return before is Vision.HALTED or (
        before is Vision.ERROR and after is Vision.OPERATIONAL and cause is not Cause.ITSELF
    )


def _automatic(before: Automatic, after: Automatic, cause: Cause) -> list[Transition]:
    """Every way between two of these states leads over Ready."""
    if before is after:
        return []
    if Automatic.READY in {before, after}:
        return [_step(before, after, cause)]
    return [_step(before, Automatic.READY, Cause.ITSELF), _step(Automatic.READY, after, cause)]


def _step(before: State, after: State, cause: Cause) -> Transition:
    if cause is not Cause.ITSELF and (before, after) not in _BY_METHOD:
        cause = Cause.ITSELF
    cause = Cause.METHOD if cause is Cause.ABORT and before not in EXECUTION else cause
    suffix = "Auto"
    if cause is not Cause.ITSELF:
        suffix = ("Abort" if cause is Cause.ABORT else "Stop") if before in EXECUTION else ""
        suffix = "Recipe" if before is Automatic.INITIALIZED else suffix
    name = f"{NAMES[before]}To{NAMES[after]}{suffix}"
    return Transition(100 * before + 10 * after + cause, name, before, after)


_BY_METHOD: frozenset[tuple[State, State]] = frozenset({
    (Vision.PREOPERATIONAL, Vision.HALTED),
    (Vision.PREOPERATIONAL, Vision.OPERATIONAL),
    (Vision.HALTED, Vision.PREOPERATIONAL),
    (Vision.ERROR, Vision.HALTED),
    (Vision.ERROR, Vision.PREOPERATIONAL),
    (Vision.OPERATIONAL, Vision.HALTED),
    (Vision.OPERATIONAL, Vision.PREOPERATIONAL),
    (Automatic.INITIALIZED, Automatic.READY),
    (Automatic.READY, Automatic.SINGLE_EXECUTION),
    (Automatic.READY, Automatic.CONTINUOUS_EXECUTION),
    (Automatic.SINGLE_EXECUTION, Automatic.READY),
    (Automatic.CONTINUOUS_EXECUTION, Automatic.READY),
})  # fmt: skip
"""Transitions that the specification lets a method cause."""
