"""Keep the PLC's handshake: what it is told of each part, and what it took over."""

from collections.abc import Sequence

from appliance.outputs.handshake import Handshake
from appliance.outputs.modbus import StatusBlock
from appliance.outputs.result_queue import Detail
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Actuation
from appliance.schema.clocks import MS, HostNs
from appliance.schema.part import PartId
from appliance.schema.topics import PLC_ACKNOWLEDGED
from appliance.services._line_gate import OnBelt


class PlcSide:
    """Join the handshake with the parts; the handshake itself decides what the PLC may see."""

    def __init__(self, handshake: Handshake, recipe: tuple[int, int], since: HostNs, *, required: bool) -> None:
        """Take number and hash of the active recipe. required: False on a test bench, where the PLC is a guest."""
        self.handshake = handshake
        self.since = since
        """Instant at which this process began."""
        self._recipe = recipe
        self._required = required
        self._session = handshake.session
        self._words: tuple[int, ...] = ()

    def entered(self, part: PartId, now: HostNs) -> bool:
        """Tell of a new part; False when its result could not be taken."""
        return self.handshake.part_entered(part, now) or not self._required

    def post(self, actuation: Actuation, part: OnBelt | None, now: HostNs) -> None:
        """Queue a result for the PLC; a test bench without one would only fill the queue.

        What the gate did before this process began stays out: the PLC had it, or rejected the part when the session
        ended, and a queue of old results has no place for new ones.
        """
        if actuation.at >= self.since and (self._required or self.handshake.alive):
            self.handshake.post(actuation, _detail(part), now)
        else:
            self.handshake.forget(actuation.part, now)

    def renewed(self, now: HostNs, *, ready: bool) -> bool:
        """Let the handshake move on; say whether a PLC that is needed restarted: it never saw the parts on the belt."""
        self.handshake.machine(now, ready=ready)
        renewed = self.handshake.session != self._session
        self._session = self.handshake.session
        return renewed and self._required

    def outputs(self, now: HostNs) -> Sequence[Output]:
        """Send the handshake's block when it changed, publish what the PLC took over."""
        if self.handshake.job_change is not None:  # this station has one recipe; the answer names it
            self.handshake.recipe(*self._recipe, now)
        outputs: list[Output] = [Publish(PLC_ACKNOWLEDGED, item) for item in self.handshake.acknowledged()]
        words = self.handshake.status()
        if words != self._words:
            self._words = words
            outputs.append(Send("plc", StatusBlock(words)))
        return outputs


def _detail(part: OnBelt | None) -> Detail:
    """Give what the PLC may log of a part: sensor to decision."""
    if part is None or part.decided is None:
        return Detail()
    return Detail(latency_ms=(part.decided - part.entered.at) / MS)
