"""A handshake on a manual clock and a PLC that behaves, for the tests of both."""

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.registers import (
    Control,
    ControlBit,
    Status,
    StatusBit,
    pack_control,
    unpack_status,
)
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

SESSION = 77


def actuation(
    number: int,
    lane: Lane = Lane.ACCEPT,
    cause: Cause = Cause.ACCEPTED,
    disposition: Disposition = Disposition.ACCEPT,
) -> Actuation:
    return Actuation(PartId(5, number), lane, cause, disposition, number, HostNs(0), McuTicks(0), EncoderCounts(0))


def late(number: int) -> Actuation:
    return actuation(number, Lane.REJECT, Cause.LATE, Disposition.ACCEPT)


class Bench:
    """Drive a handshake on a manual clock, as a PLC that behaves."""

    def __init__(self, *, plc_triggers: bool = False, make: type[Handshake] = Handshake) -> None:
        self.now = HostNs(1_000_000)
        self.handshake = make(
            SESSION, self.now, ack_timeout_ms=2000, recipe=3, recipe_hash=0xDEAD_BEEF, plc_triggers=plc_triggers
        )
        self.handshake.machine(self.now, ready=True)
        self.block = Control()

    def write(self, bits: int | None = None, **words: int) -> None:
        """Write the control block with a toggled heartbeat."""
        beat = ~self.block.bits & ControlBit.HEARTBEAT
        kept = (self.block.bits if bits is None else bits) & ~ControlBit.HEARTBEAT
        values = {"session_echo": self.block.session_echo, "ack_sequence": self.block.ack_sequence} | words
        self.block = Control(bits=kept | beat, **values)
        self.handshake.control(pack_control(self.block), self.now)

    def join(self) -> "Bench":
        self.write(0, session_echo=0, ack_sequence=0)
        self.write(ControlBit.ENABLE, session_echo=self.handshake.session)
        return self

    def after(self, ms: float, *, beating: bool = True) -> None:
        """Let time pass in 10 ms ticks, the PLC's heartbeat going on or not."""
        end = self.now + int(ms * MS)
        while self.now < end:
            self.now = HostNs(min(end, self.now + 10 * MS))
            self.handshake.tick(self.now)
            if beating:
                self.write()

    def post(self, posted: Actuation) -> int | None:
        self.handshake.part_entered(posted.part, self.now)
        self.handshake.part_exposed(posted.part, self.now)
        return self.handshake.post(posted, Detail(0.5, 1, 40.0), self.now)

    def ack(self) -> None:
        self.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=self.status.result_sequence)
        self.write(ControlBit.ENABLE)

    @property
    def status(self) -> Status:
        return unpack_status(self.handshake.status())

    @property
    def shown(self) -> StatusBit:
        """Status bits but for Online and the heartbeat."""
        return StatusBit(self.status.bits) & ~(StatusBit.ONLINE | StatusBit.HEARTBEAT)
