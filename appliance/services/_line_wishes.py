"""Answer what people and other services ask of the line: jobs, and the release of what is latched."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.registers import ErrorCode
from appliance.ports.node import Output, Send
from appliance.schema.clocks import HostNs
from appliance.schema.command import (
    AbortJob,
    Accepted,
    BeginTests,
    Command,
    EndTests,
    HaltLine,
    PrepareRecipe,
    PurgeDone,
    RefusedReply,
    Reply,
    ResetFault,
    StartJob,
    StopJob,
    TryOutput,
)
from appliance.services._line_jobs import Jobs
from appliance.services._line_mcu import McuSide
from appliance.services._line_plc import audit
from appliance.services._line_recipes import Recipes
from appliance.services._line_tests import Tests
from firmware_bridge import messages as mcu

OUT_OF_STEP = "parts and gate no longer agree; take every part off the belt, then say that it is purged"

ACTIONS: dict[type, str] = {
    StartJob: "job_started",
    StopJob: "job_stopped",
    AbortJob: "job_aborted",
    HaltLine: "line_halted",
    PurgeDone: "belt_purged",
    PrepareRecipe: "recipe_wanted",
    ResetFault: "fault_reset",
    BeginTests: "output_tests_begun",
    TryOutput: "output_tried",
    EndTests: "output_tests_ended",
}


class Granted(Struct, frozen=True):
    """Give the answer to a wish and what follows from it."""

    reply: Reply
    outputs: Sequence[Output] = ()
    aborts: bool = False
    """Nothing that is on the belt may be accepted any more."""


class Wishes:
    """Hold what wishes are about; each one granted is audited."""

    def __init__(self, jobs: Jobs, link: McuSide, handshake: Handshake, recipes: Recipes) -> None:
        """Take what wishes change."""
        self._jobs, self._link, self._handshake, self._recipes = jobs, link, handshake, recipes
        self.tests = Tests(jobs, link, handshake)

    def answer(self, wish: Command, now: HostNs, *, belt_empty: bool) -> Granted:
        """Grant or refuse a wish."""
        tests = isinstance(wish, BeginTests | TryOutput | EndTests)
        before = self._link.test if tests else self._said()
        granted = self._answer(wish, now, belt_empty=belt_empty)
        if isinstance(granted.reply, RefusedReply):
            return granted
        actor = wish.operator if isinstance(wish, ResetFault) else getattr(wish, "actor", "")
        note = audit(actor, ACTIONS[type(wish)], before, self._link.test if tests else self._said())
        return Granted(granted.reply, [note, *granted.outputs], granted.aborts)

    def _answer(self, wish: Command, now: HostNs, *, belt_empty: bool) -> Granted:
        match wish:
            case StartJob() if self._link.sync_lost:
                return Granted(RefusedReply(OUT_OF_STEP))
            case StartJob() | StopJob() | AbortJob() | HaltLine():
                reply = self._jobs.obey(wish, self._recipes.names, belt_empty=belt_empty)
                aborts = isinstance(wish, AbortJob | HaltLine) and isinstance(reply, Accepted)
                return Granted(reply, aborts=aborts)
            case PurgeDone():
                return self._purge()
            case ResetFault():
                return self._reset(now)
            case BeginTests() | TryOutput() | EndTests():
                return Granted(*self.tests.answer(wish, now, belt_empty=belt_empty))
            case PrepareRecipe() if self.tests.held_by:
                return Granted(RefusedReply(f"{self.tests.held_by} tries outputs by hand; wait for the end"))
            case PrepareRecipe():
                return Granted(*self._recipes.prepare(wish.number, wish.actor, belt_empty=belt_empty))
        return Granted(RefusedReply(f"line does not take {type(wish).__name__}"))

    def _purge(self) -> Granted:
        if not self._link.sync_lost:
            return Granted(RefusedReply("parts and gate agree; there is nothing to purge"))
        return Granted(Accepted(), [Send("mcu", mcu.ReleaseFault())])

    def _reset(self, now: HostNs) -> Granted:
        """Release what is latched; what a purge alone may release stays."""
        if self._link.sync_lost:
            return Granted(RefusedReply(OUT_OF_STEP))
        handshake = self._handshake
        latched, halted = handshake.error is not ErrorCode.NONE, self._jobs.reset()
        if latched:
            handshake.reset(now)
        if self._link.state is mcu.State.FAULT:
            return Granted(Accepted(), [Send("mcu", mcu.ReleaseFault())])
        if latched or halted:
            return Granted(Accepted())
        return Granted(RefusedReply(f"nothing is latched, the microcontroller is {self._link.state.name.lower()}"))

    def _said(self) -> str:
        return f"{self._jobs.mode} {self._jobs.job}".rstrip()
