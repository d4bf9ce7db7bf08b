"""Tell what the line's states say, one after the other, as events and conditions of OPC 40100-1; pure."""

from collections.abc import Iterator

from msgspec import Struct

from appliance.outputs.opcua.messages import (
    ConditionChanged,
    Event,
    JobEnded,
    JobStarted,
    RecipePrepared,
    StateChanged,
)
from appliance.outputs.opcua.states import EXECUTION, Automatic, Cause, Vision, machine, transitions
from appliance.schema.clocks import UtcNs
from appliance.schema.line import LineState

LATCHED_ERROR = "LatchedError"
SYNC_LOST = "SyncLost"
NOT_READY = "NotReady"
LINE_SILENT = "LineSilent"

SILENT = "nothing was heard of the line service; every part is a reject; see `firstshift check`"


class Heard(Struct, frozen=True):
    """Hold what is known of the line at an instant."""

    line: LineState | None = None
    is_silent: bool = False
    """The line's service should have spoken by now."""

    @property
    def current(self) -> LineState | None:
        """The line's state as far as it can be believed."""
        return None if self.is_silent else self.line


def narrate(before: Heard, after: Heard, cause: Cause, at: UtcNs) -> tuple[Event, ...]:
    """Give what has happened between two states, in order; `cause` is what a client's method had asked for."""
    return (
        *_steps(before.current, after.current, cause, at),
        *_recipe(before.line, after.line, at),
        *_conditions(conditions(before), conditions(after), at),
    )


def conditions(heard: Heard) -> dict[str, tuple[str, int]]:
    """Name the conditions that hold, each with its text and error code."""
    if heard.is_silent:
        return {LINE_SILENT: (SILENT, 0)}
    line = heard.line
    if line is None:
        return {}
    told = f"{line.cause}; {line.remedy}" if line.cause and line.remedy else line.cause
    found: dict[str, tuple[str, int]] = {}
    if line.error or line.handshake == "error":
        found[LATCHED_ERROR] = (told or "an error is latched; reset it", line.error)
    if line.sync_lost:
        found[SYNC_LOST] = (told or "parts and gate no longer agree; purge the belt", line.error)
    if not found and machine(line).automatic in EXECUTION and not line.ready and line.cause:
        found[NOT_READY] = (told, 0)
    return found


def _steps(before: LineState | None, after: LineState | None, cause: Cause, at: UtcNs) -> Iterator[Event]:
    old, new = machine(before), machine(after)
    steps = transitions(old, new, cause)
    for step in steps:
        if step.before in EXECUTION and before is not None:
            yield JobEnded(before.job, at)
        text = after.cause if step.after is Vision.ERROR and after is not None else ""
        yield StateChanged(step, at, text)
        if step.after in EXECUTION and after is not None:
            yield JobStarted(after.job, at)
    if steps or before is None or after is None or before.job == after.job or new.automatic not in EXECUTION:
        return
    yield JobEnded(before.job, at)
    yield JobStarted(after.job, at)


def _recipe(before: LineState | None, after: LineState | None, at: UtcNs) -> Iterator[Event]:
    if before is None or after is None or machine(after).automatic is Automatic.INITIALIZED:
        return
    was_changing = before.handshake == "changeover"
    is_other = (before.recipe_number, before.recipe_hash) != (after.recipe_number, after.recipe_hash)
    if is_other or (was_changing and after.handshake != "changeover"):
        yield RecipePrepared(after.recipe or str(after.recipe_number), after.recipe_sha256, at)


def _conditions(
    before: dict[str, tuple[str, int]], after: dict[str, tuple[str, int]], at: UtcNs
) -> Iterator[ConditionChanged]:
    for name, (_, code) in before.items():
        if name not in after:
            yield ConditionChanged(name, is_active=False, text="over", at=at, code=code)
    for name, (text, code) in after.items():
        if before.get(name) != (text, code):
            yield ConditionChanged(name, is_active=True, text=text, at=at, code=code)
