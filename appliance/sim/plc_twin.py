"""Play a PLC without a wire: the simulated PLC's program, scanned in the simulated world."""

from collections.abc import Sequence

from msgspec import Struct

from appliance.outputs.plc.modbus import ControlWritten, StatusBlock
from appliance.outputs.plc.registers import STATUS_COUNT
from appliance.schema.clocks import MS, HostNs
from appliance.sim.plc_program import TOGGLE_NS, Judged, PlcProgram

REACTION = 4 * MS
"""From a changed status block to the PLC's answer: one scan of a fast PLC."""

RESET_AFTER_MS = 500.0
"""An operator who resets a latched error once he has had a look."""


class PlcTwin:
    """Be the PLC at the far end of `line`'s device `plc`; it outlives the processes of the appliance."""

    def __init__(self, now: HostNs) -> None:
        self.taken: list[Judged] = []
        """Every result taken over, as the PLC read it."""
        self._program = PlcProgram(reset_after_ms=RESET_AFTER_MS)
        self._words: tuple[int, ...] = (0,) * STATUS_COUNT
        self._written: tuple[int, ...] = ()
        self._silent_until = HostNs(0)
        self._scan_at = now

    def silence(self, until: HostNs) -> None:
        """Do nothing until an instant."""
        self._silent_until = until
        self._program.silence(until)

    def fileno(self) -> int:
        """There is no descriptor: the world asks `wake_at`."""
        return -1

    @property
    def wake_at(self) -> HostNs | None:
        """Next scan."""
        return max(self._scan_at, self._silent_until)

    def write(self, message: Struct, now: HostNs) -> None:
        """See a status block; the program answers at its next scan."""
        if isinstance(message, StatusBlock):
            self._words = message.words
            self._scan_at = min(self._scan_at, HostNs(now + REACTION))

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Run one scan and write the control block if it changed."""
        if now < max(self._scan_at, self._silent_until):
            return ()
        self._scan_at = HostNs(now + TOGGLE_NS)
        words = self._program.scan(self._words, now)
        self.taken += self._program.judged()
        if words is None or words == self._written:
            return ()
        self._written = words
        return (ControlWritten(words),)

    def close(self) -> None:
        """Go on: this end of the wire is not the appliance's."""
