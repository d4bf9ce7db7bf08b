"""Join the PLC's program, a wire and the watch: one cycle reads the block, solves the rungs and writes the answer."""

from collections.abc import Callable

from appliance.outputs.plc.registers import (
    CONTROL_ADDRESS,
    STATUS_ADDRESS,
    STATUS_COUNT,
    Control,
    ControlBit,
    Status,
    StatusBit,
    pack_control,
    unpack_control,
    unpack_status,
)
from appliance.schema.clocks import MS
from appliance.schema.errors import LinkError
from appliance.sim.plc_program import Ack, PlcProgram
from appliance.sim.plc_rules import Score
from appliance.sim.plc_watch import Watch
from appliance.sim.plc_wire import Wire, exception_of, read_request, words_of, write_request

CYCLE_S = 0.005
ANSWER_S = 1.0
"""How long an answer of the appliance is waited for; it needs a few ms."""

PULSE_S = 0.06

FEED_NS = 100 * MS
"""How often the player makes a part where the PLC triggers."""


class Player:
    """Be the PLC, cycle by cycle, for as long as a question takes; one thread, blocks while it plays."""

    def __init__(self, wire: Wire, score: Score, *, stale_ms: int, ack_timeout_ms: int, patience_s: float) -> None:
        """Take the appliance's two limits, and how long a part is waited for."""
        self.wire, self.score = wire, score
        self.program = PlcProgram()
        self.watch = Watch(score, stale_ms)
        self.stale_s, self.ack_s, self.patience_s = stale_ms / 1000, ack_timeout_ms / 1000, patience_s
        self.status = Status()
        self.control = Control()
        self._words: tuple[int, ...] = ()
        self._written: tuple[int, ...] | None = None

    def read(self) -> Status:
        """Read the block and let the watch see it; LinkError when it is no such block."""
        answer = self.wire.ask(read_request(STATUS_ADDRESS, STATUS_COUNT))
        self._words = words_of(answer)
        if len(self._words) != STATUS_COUNT:
            text = f"plc: reading {STATUS_COUNT} registers gives exception {exception_of(answer)}"
            raise LinkError(f"{text}; this is no appliance of this version")
        self.status = unpack_status(self._words)
        self.watch.see(self.status, self.wire.now())
        return self.status

    def cycle(self) -> Status:
        """Read, solve, write if something changed, and wait for the next cycle."""
        status = self.read()
        words = self.program.scan(self._words, self.wire.now())
        if words is not None and words != self._written:
            self.write(words)
        self.wire.wait(CYCLE_S)
        return status

    def write(self, words: tuple[int, ...]) -> None:
        """Write the whole control block; exception 6 is tried again in the next cycle."""
        if exception_of(self.wire.ask(write_request(CONTROL_ADDRESS, words))):
            self._written = None
            return
        self._written = words
        self.control = unpack_control(words)
        self.watch.wrote(self.control, self.wire.now())

    def until(self, holds: Callable[[Status], bool], seconds: float = ANSWER_S) -> bool:
        """Play until a block holds; False when none did in time."""
        end = self.wire.now() + int(seconds * 1e9)
        while self.wire.now() < end:
            if holds(self.cycle()):
                return True
        return False

    def through(self, seconds: float, holds: Callable[[Status], bool]) -> bool:
        """Play for a while; False as soon as a block does not hold."""
        return not self.until(lambda status: not holds(status), seconds)

    def pulse(self, bit: ControlBit) -> None:
        """Hold a command bit for a moment."""
        self.program.pulse = bit
        self.until(lambda _: False, PULSE_S)
        self.program.pulse = ControlBit(0)
        self.cycle()

    def offered(self, status: Status) -> bool:
        """Tell whether a block offers a result that nobody has acknowledged yet."""
        shown = bool(status.bits & StatusBit.RESULT_VALID.value) and status.result_sequence > 0
        return shown and not self.control.bits & ControlBit.RESULT_ACK.value

    def await_result(self) -> bool:
        """Leave results alone and wait until one is offered; False when no part came in time."""
        if self.control.bits & ControlBit.RESULT_ACK.value:  # let the one that is being acknowledged go first
            self.until(lambda status: not status.bits & StatusBit.RESULT_VALID.value)
        self.program.ack = Ack.NEVER
        return self.until(self.offered, self.patience_s)

    def settle(self) -> None:
        """Go back to normal: answer results, and reset an error that the last question left."""
        self.program.ack, self.program.enable, self.program.echo = Ack.PROPER, True, None
        self.program.feed_ns = FEED_NS
        self.cycle()
        if self.status.bits & StatusBit.ERROR.value:
            self.pulse(ControlBit.ERROR_RESET)

    def stop_feed(self) -> None:
        """Make no more parts where the PLC makes them, and take a Trigger back that stands."""
        self.program.feed_ns = None
        self.until(lambda status: not status.bits & StatusBit.TRIGGER_ACK.value)

    def leave(self) -> None:
        """Take Enable back, so that nothing is fed to a PLC that is gone."""
        self.write(pack_control(Control(session_echo=self.status.session)))
