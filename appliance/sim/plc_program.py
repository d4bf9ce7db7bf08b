"""Do what the program of a careful PLC does with the register blocks; pure, one call of `scan` a cycle.

It is written from `appliance/outputs/plc/REGISTERS.md` alone and shares nothing with the handshake but the register
table, so that the two can be played against each other. Faults can be set at any time; they are what real programs get
wrong.

A PLC engineer can copy it rung by rung. One read of the whole status block, then from top to bottom, then one write of
the whole control block:

    1  HEARD    Heartbeat changed within 500 ms             -> Heard
    2  RESET    Error stood for the reset time              -> ErrorReset for one cycle
    3  JOIN     Session is not the one we hold              -> hold it, forget ResultSeq, ResultAck off
    4  TAKE     ResultValid, ResultSeq not the last taken   -> judge the part, store it, start the answer's delay
    5  ANSWER   taken, delay over                           -> AckSequence = ResultSeq, ResultAck on
    6  RELEASE  not ResultValid                             -> ResultAck off
    7  FEED     PlcTriggers, TriggerReady, not TriggerAck   -> RequestSeq and PlcPart one up, Trigger on
                TriggerAck or MissedTrigger                 -> Trigger off
    8  ENABLE   operator's switch on, Heard                 -> Enable
    9  BEAT     50 ms since the last change                 -> toggle Heartbeat

After a power cut the first block written is all zeros: the appliance tells a restart by SessionEcho = 0.
"""

from enum import StrEnum

from msgspec import Struct

from appliance.outputs.plc.registers import (
    Control,
    ControlBit,
    Status,
    StatusBit,
    StatusBit2,
    pack_control,
    unpack_status,
)
from appliance.schema.clocks import MS, HostNs

TOGGLE_NS = 50 * MS
"""Half of what the appliance is promised."""

STALE_NS = 500 * MS


class Ack(StrEnum):
    """Name what the program does with a result it has read."""

    PROPER = "on"
    NEVER = "off"
    WRONG = "wrong"
    """Acknowledge a number that was not offered."""
    OLD = "old"
    """Acknowledge the number before the one that is offered."""
    HELD = "held"
    """Never take ResultAck back."""
    GLITCH = "glitch"
    """Raise ResultAck again in every second cycle while no result is shown, still naming the last one."""


_MISNAMED = {Ack.WRONG: 1000, Ack.OLD: -1}
"""What these faults add to the number that is acknowledged."""


class Judged(Struct, frozen=True):
    """Record how the PLC took one result."""

    session: int
    sequence: int
    part: str
    good: bool
    late: bool
    latency_ms: int
    score: int
    """1/1000."""
    disposition: int
    cause: int
    at: HostNs


class PlcProgram:
    """Be one PLC; give it each status block that was read and write what it answers."""

    def __init__(self, ack_delay_ms: float = 0.0, reset_after_ms: float = 0.0) -> None:
        """Acknowledge after a delay; reset a latched error after a while as an operator would, 0 = never."""
        self.ack = Ack.PROPER
        self.enable = True
        self.pulse = ControlBit(0)
        """Command bits held while set: ErrorReset, ClearQueue, Trigger, JobChange."""
        self.echo: int | None = None
        """Session that is echoed instead of the one held."""
        self.feed_ns: int | None = None
        """Shortest time between two parts where the PLC makes them; None: it makes none."""
        self.recipe_number = self.request_sequence = self.plc_part = 0
        self.gaps = self.repeats = self.sessions = self.stale = 0
        self._ack_delay = int(ack_delay_ms * MS)
        self._reset_after = int(reset_after_ms * MS)
        self._reset_at: HostNs | None = None
        self._reset_bit = 0
        self._silent_until = HostNs(0)
        self._fresh = True
        self._session = self._sequence = 0
        self._ack_bit = self._ack_sequence = 0
        self._ack_at = HostNs(0)
        self._owed = False
        self._trigger_bit = 0
        self._feed_at = HostNs(0)
        self._boot = self._number = 0
        self._heard_bit: int | None = None
        self._heard_until: HostNs | None = None
        self._beat_due = HostNs(0)
        self._beat = 0
        self._judged: list[Judged] = []

    def restart(self) -> None:
        """Lose all memory, as after a power cut; the next control block is all zeros."""
        self._fresh = True
        self._forget(session=0)

    def silence(self, until: HostNs) -> None:
        """Stop the heartbeat, and everything else that is written, until an instant."""
        self._silent_until = until

    @property
    def busy(self) -> bool:
        """Whether a result was judged and the appliance has not taken it away yet."""
        return self._owed

    def judged(self) -> list[Judged]:
        """Take the results judged since the last call."""
        taken, self._judged = self._judged, []
        return taken

    def scan(self, words: tuple[int, ...] | list[int], now: HostNs) -> tuple[int, ...] | None:
        """Take a status block, all of it out of one read, and give the control block; None while silent."""
        if now < self._silent_until:
            return None
        if self._fresh:
            self._fresh = False
            return pack_control(Control())
        status = unpack_status(words)
        self._listen(status, now)
        self._reset(status, now)
        if status.session != self._session:
            self._forget(status.session)
            self.sessions += 1
        elif status.bits & StatusBit.RESULT_VALID.value:
            self._take(status, now)
            self._answer(status, now)
        else:
            self._release()
        self._feed(status, now)
        return self._control(now)

    def _listen(self, status: Status, now: HostNs) -> None:
        """Rung 1: hear the appliance."""
        bit = status.bits & StatusBit.HEARTBEAT.value
        if self._heard_bit is not None and bit != self._heard_bit:
            self._heard_until = HostNs(now + STALE_NS)
        self._heard_bit = bit

    def _reset(self, status: Status, now: HostNs) -> None:
        """Rung 2: give one pulse of ErrorReset each time an error has stood for long enough."""
        self._reset_bit = 0
        if not self._reset_after or not status.bits & StatusBit.ERROR.value:
            self._reset_at = None
        elif self._reset_at is None:
            self._reset_at = HostNs(now + self._reset_after)
        elif now >= self._reset_at:
            self._reset_bit = ControlBit.ERROR_RESET
            self._reset_at = None

    def _forget(self, session: int) -> None:
        """Rung 3: join a session."""
        self._session = session
        self._sequence = 0
        self._ack_bit = self._ack_sequence = 0
        self._ack_at = HostNs(0)
        self._owed = False

    def _take(self, status: Status, now: HostNs) -> None:
        """Rung 4: judge a result once."""
        if status.result_sequence == self._sequence:
            return
        if status.result_sequence != self._sequence + 1:
            self.gaps += 1
        self._sequence = status.result_sequence
        self._owed = True
        self._ack_at = HostNs(now + self._ack_delay)
        self._judged.append(self._judge(status, now))

    def _answer(self, status: Status, now: HostNs) -> None:
        """Rung 5: acknowledge what was taken; ResultAck that stands for another number goes down first."""
        if self._ack_bit:
            another = self.ack is Ack.PROPER and self._ack_sequence != status.result_sequence
            if another or self.ack is Ack.GLITCH:
                self._ack_bit = 0
        elif self.ack is not Ack.NEVER and now >= self._ack_at:
            self._ack_bit = ControlBit.RESULT_ACK
            self._ack_sequence = status.result_sequence + _MISNAMED.get(self.ack, 0)

    def _release(self) -> None:
        """Rung 6: take ResultAck back."""
        self._owed = False
        if self.ack is not Ack.HELD:
            self._ack_bit = ControlBit.RESULT_ACK if self.ack is Ack.GLITCH and not self._ack_bit else 0

    def _feed(self, status: Status, now: HostNs) -> None:
        """Rung 7: make a part, in four phases."""
        if self._trigger_bit:
            if status.bits & (StatusBit.TRIGGER_ACK | StatusBit.MISSED_TRIGGER) or self.feed_ns is None:
                self._trigger_bit = 0
            return
        idle = status.bits & (StatusBit.TRIGGER_READY | StatusBit.TRIGGER_ACK) == StatusBit.TRIGGER_READY
        if self.feed_ns is not None and idle and status.bits2 & StatusBit2.PLC_TRIGGERS and now >= self._feed_at:
            self._feed_at = HostNs(now + self.feed_ns)
            self.request_sequence = self.request_sequence % 0xFFFF + 1
            self.plc_part += 1
            self._trigger_bit = ControlBit.TRIGGER

    def _hears(self, now: HostNs) -> bool:
        return self._heard_until is not None and now < self._heard_until

    def _judge(self, status: Status, now: HostNs) -> Judged:
        bits = StatusBit(status.bits)
        heard = self._hears(now)
        last = self._number if status.part_boot == self._boot else 0
        expected = status.part_boot == status.entered_boot and last < status.part_number <= status.entered_number
        self.stale += not heard
        self.repeats += not expected
        if expected:
            self._boot, self._number = status.part_boot, status.part_number
        shown = bits & (StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.REJECT)
        return Judged(
            session=status.session,
            sequence=status.result_sequence,
            part=f"{status.part_boot:08x}-{status.part_number:06d}",
            good=shown == StatusBit.RESULT_VALID | StatusBit.PASS and expected and heard,
            late=bool(bits & StatusBit.LATE),
            latency_ms=status.latency_ms,
            score=status.score,
            disposition=status.disposition,
            cause=status.cause,
            at=now,
        )

    def _control(self, now: HostNs) -> tuple[int, ...]:
        """Rungs 8 and 9: enable, beat, and write."""
        if now >= self._beat_due:
            self._beat ^= ControlBit.HEARTBEAT
            self._beat_due = HostNs(now + TOGGLE_NS)
        enable = ControlBit.ENABLE if self.enable and self._hears(now) else 0
        return pack_control(
            Control(
                bits=enable | self._ack_bit | self._reset_bit | self._trigger_bit | self.pulse | self._beat,
                session_echo=self._session if self.echo is None else self.echo,
                ack_sequence=self._ack_sequence & 0xFFFF_FFFF,
                request_sequence=self.request_sequence,
                plc_part=self.plc_part,
                recipe_number=self.recipe_number,
            )
        )
