"""Let a person try outputs by hand; while that lasts the line is disarmed and no part is inspected.

Nothing here sends a decision, so no test can accept a part: one that enters meanwhile is covered by no job, and the
microcontroller, disarmed, holds its gate in the reject lane.
"""

from collections.abc import Sequence

from appliance.outputs.plc.handshake import Handshake
from appliance.ports.node import Output, Send
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Accepted, BeginTests, EndTests, RefusedReply, Reply, TriedOutput, TryOutput
from appliance.services._line_jobs import Jobs
from appliance.services._line_mcu import McuSide
from appliance.services._line_plc import audit
from firmware_bridge import messages as mcu

TestWish = BeginTests | TryOutput | EndTests

LASTS = 300 * S
"""Tests end so long after the last wish: one that was forgotten works again, and there is time to walk to the gate."""

ACTOR = "service:line"

MOST_MS = 500
"""Longest test, as in the firmware."""

TARGET = {
    TriedOutput.GATE_ACCEPT: mcu.TestTarget.GATE_ACCEPT,
    TriedOutput.CAMERA0: mcu.TestTarget.CAMERA0,
    TriedOutput.CAMERA1: mcu.TestTarget.CAMERA1,
    TriedOutput.RUN_PERMIT: mcu.TestTarget.RUN_PERMIT,
}


class Tests:
    """Know who tests, and hold the line still meanwhile."""

    __test__ = False  # no test case, whatever its name

    def __init__(self, jobs: Jobs, link: McuSide, handshake: Handshake) -> None:
        """Take what is held still."""
        self._jobs, self._link, self._handshake = jobs, link, handshake
        self._until = HostNs(0)

    @property
    def held_by(self) -> str:
        """Who tests; empty: nobody."""
        return self._link.tested_by

    def answer(self, wish: TestWish, now: HostNs, *, belt_empty: bool) -> tuple[Reply, Sequence[Output]]:
        """Grant or refuse a wish."""
        refusal = self._refusal(wish, belt_empty=belt_empty)
        if refusal:
            return RefusedReply(refusal), ()
        self._until = HostNs(now + LASTS)
        match wish:
            case BeginTests():
                self._link.tested_by, self._link.test = wish.actor, f"outputs held for tests: {wish.why}"
                self._jobs.held = True
                return Accepted(), [Send("mcu", mcu.Disarm())]
            case TryOutput():
                self._link.test = f"{wish.output.value} for {wish.duration_ms} ms"
                return Accepted(), [Send("mcu", mcu.TestOutput(TARGET[wish.output], wish.duration_ms))]
        self._end()
        return Accepted(), ()

    def step(self, now: HostNs) -> Sequence[Output]:
        """End what was forgotten."""
        if not self.held_by or now < self._until:
            return ()
        before = self.held_by
        self._end()
        return [audit(ACTOR, "output_tests_ended", before, f"no wish for {LASTS // S} s")]

    def _end(self) -> None:
        """Let the line work again; the microcontroller is armed at its next report."""
        self._link.tested_by, self._link.test = "", "tests ended"
        self._jobs.held = False

    def _refusal(self, wish: TestWish, *, belt_empty: bool) -> str:
        """Say what speaks against a wish; empty when nothing does."""
        if isinstance(wish, EndTests):
            return "" if self.held_by else "no output is being tested; there is nothing to end"
        if not wish.actor:
            return "nobody is named who tests; sign in"
        if not belt_empty:
            return "a part is between sensor and gate; let the belt run empty"
        if isinstance(wish, BeginTests):
            return self._cannot_begin(wish)
        if self.held_by != wish.actor:
            return f"tests are held by {self.held_by or 'nobody'}; begin them first"
        if not 1 <= wish.duration_ms <= MOST_MS:
            return f"{wish.output.value}: {wish.duration_ms} ms, limit is 1 to {MOST_MS} ms; choose within"
        if self._link.state is not mcu.State.CONFIGURED:
            return f"the microcontroller is {self._link.state.name.lower()}, not disarmed; try again in a moment"
        return ""

    def _cannot_begin(self, wish: BeginTests) -> str:
        if not wish.why.strip():
            return "no reason is given; say why the line is held"
        if self.held_by:
            return f"{self.held_by} tests already; wait, or have the tests ended"
        if self._jobs.ordered:
            return f"job {self._jobs.job} may inspect a part; stop it first"
        if self._handshake.ready:
            return "the PLC may send a part at any time; take Enable back first"
        if self._link.boot is None:
            return "the microcontroller does not answer; check cable, power and mcu.link"
        if self._link.state is mcu.State.FAULT:
            return f"fault {self._link.fault.name.lower()} is latched; reset it first"
        return ""
