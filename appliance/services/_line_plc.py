"""Keep the PLC's handshake: what it is told of each part, what it took over, and what it asks for."""

from collections.abc import Sequence

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import StatusBlock
from appliance.outputs.plc.plc_trigger import MissedTrigger
from appliance.outputs.plc.result_queue import Detail
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Actuation
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.health import Alarm
from appliance.schema.part import PartId
from appliance.schema.topics import ALARM, AUDIT, PLC_ACKNOWLEDGED
from appliance.services._line_gate import OnBelt
from firmware_bridge.messages import ReleaseFault, SoftTrigger

LINE = "line"

PLC = "plc"
"""Actor of what the PLC does, in the audit chain."""


class PlcSide:
    """Join the handshake with the parts; the handshake itself decides what the PLC may see."""

    def __init__(self, handshake: Handshake, since: HostNs, *, required: bool) -> None:
        """Take the instant at which this process began. required: False on a test bench, where the PLC is a guest."""
        self.handshake = handshake
        self.since = since
        """Instant at which this process began."""
        self._required = required
        self._session = handshake.session
        self.words: tuple[int, ...] = ()
        """The status block as it was sent last."""
        self.written: tuple[int, ...] = ()
        """The control block as it came last."""
        self._unasked = not required and not handshake.plc_triggers
        self._missed: list[MissedTrigger] = []
        self._alarm_at = HostNs(0)

    def control(self, words: tuple[int, ...], now: HostNs) -> None:
        """Take the control block as the PLC wrote it."""
        self.written = words
        self.handshake.control(words, now)

    def entered(self, part: PartId, now: HostNs, request: int) -> bool:
        """Tell of a new part, made by a request of ours (0: the sensor); False when it may not be inspected."""
        return self.handshake.part_entered(part, now, request) or self._unasked

    def post(self, actuation: Actuation, part: OnBelt | None, now: HostNs) -> None:
        """Queue a result for the PLC; a test bench without one would only fill the queue.

        What the gate did before this process began stays out: the PLC had it, or rejected the part when the session
        ended, and a queue of old results has no place for new ones.
        """
        if actuation.at >= self.since and (self._required or self.handshake.alive):
            self.handshake.post(actuation, _detail(part), now)
        else:
            self.handshake.forget(actuation.part, now)

    def renewed(self, now: HostNs, *, ready: bool, jobless: bool, sync_lost: bool, changing: bool) -> bool:
        """Let the handshake move on; say whether a PLC that is needed restarted: it never saw the parts on the belt."""
        self.handshake.machine(now, ready=ready, no_job=jobless, sync_lost=sync_lost, changing=changing)
        renewed = self.handshake.session != self._session
        self._session = self.handshake.session
        return renewed and self._required

    def outputs(self, now: HostNs) -> Sequence[Output]:
        """Send the handshake's block when it changed, publish what the PLC took over, and pass on what it asks for."""
        outputs: list[Output] = [Publish(PLC_ACKNOWLEDGED, item) for item in self.handshake.acknowledged()]
        request = self.handshake.trigger_wish()
        if request is not None:
            outputs.append(Send("mcu", SoftTrigger(request)))
        if self.handshake.purged():
            outputs += [Send("mcu", ReleaseFault()), audit(PLC, "belt_purged")]
        outputs += self._told_missed(now)
        words = self.handshake.status()
        if words != self.words:
            self.words = words
            outputs.append(Send("plc", StatusBlock(words)))
        return outputs

    def _told_missed(self, now: HostNs) -> Sequence[Output]:
        """Tell of Triggers whose parts were not inspected, the newest by name, at most once a second."""
        self._missed += self.handshake.missed()
        if not self._missed or now < self._alarm_at:
            return ()
        newest, more = self._missed[-1], len(self._missed) - 1
        self._missed.clear()
        self._alarm_at = HostNs(now + S)
        text = (
            f"trigger {newest.asked.sequence} of the PLC for part {newest.asked.part} was refused: {newest.reason}; "
            "the part was not inspected, take it for a reject"
        )
        text += f"; {more} more within the last second" if more else ""
        return [Publish(ALARM + LINE, Alarm(LINE, "trigger_missed", text, at=now))]


def audit(actor: str, action: str, before: str = "", after: str = "") -> Publish:
    """Ask for an entry of the audit chain about the line."""
    return Publish(AUDIT + LINE, AuditRequest(actor, action, LINE, before, after))


def _detail(part: OnBelt | None) -> Detail:
    """Give what the PLC may log of a part: sensor to decision."""
    if part is None or part.decided is None:
        return Detail()
    return Detail(latency_ms=(part.decided - part.entered.at) / MS)
