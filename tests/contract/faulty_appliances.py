"""Appliances with one promise turned round each, and the rules that must find them out."""

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ModbusServer
from appliance.outputs.plc.registers import (
    CAUSE_CODES,
    CONTROL,
    CONTROL_COUNT,
    DISPOSITION_CODES,
    STATUS,
    Control,
    ControlBit,
    Register,
    Status,
    StatusBit,
    StatusBit2,
    Type,
    pack_control,
    pack_status,
    unpack_control,
    unpack_status,
)
from appliance.schema.actuation import Cause
from appliance.schema.clocks import MS, HostNs
from appliance.schema.verdict import Disposition
from appliance.sim.plc_rules import Rule
from appliance.sim.plc_watch import RESULT_WORDS
from tests.contract.conformance_rig import Distortion, Honest
from tests.contract.faulty_servers import Endless, Mirrored, Writable
from tests.contract.modbus_rig import HERE

Words = tuple[int, ...]
NOTHING = ControlBit(0)


class Telling(Honest):
    """Change status blocks by a function of the status."""

    def __init__(self, change: Callable[[Status], Status]) -> None:
        self._change = change

    def told(self, words: Words, now: HostNs) -> Words:
        return pack_status(self._change(unpack_status(words)))


class Hearing(Honest):
    """Change control words by a function of bits and words."""

    def __init__(self, clear: ControlBit = NOTHING, set_: ControlBit = NOTHING) -> None:
        self._clear, self._set = clear, set_

    def heard(self, words: Words, handshake: Handshake) -> Words:
        control = unpack_control(words)
        return pack_control(replace(control, bits=control.bits & ~self._clear | self._set))


class Unstaled(Honest):
    """Keep the PLC's heartbeat going when it stopped."""

    def __init__(self) -> None:
        self._words: Words = (0,) * CONTROL_COUNT
        self._due = HostNs(0)

    def heard(self, words: Words, handshake: Handshake) -> Words:
        self._words = words
        return words

    def invented(self, handshake: Handshake, now: HostNs) -> list[Words]:
        if now < self._due:
            return []
        self._due = HostNs(now + 50 * MS)
        control = unpack_control(self._words)
        self._words = pack_control(replace(control, bits=control.bits ^ ControlBit.HEARTBEAT))
        return [self._words]


class Impatient(Honest):
    """Take results back by itself: after a while, or when the queue is full."""

    def __init__(self, *, when_full: bool) -> None:
        self._when_full = when_full
        self._words: Words = (0,) * CONTROL_COUNT
        self._sequence, self._since = 0, HostNs(0)

    def heard(self, words: Words, handshake: Handshake) -> Words:
        self._words = words
        return words

    def invented(self, handshake: Handshake, now: HostNs) -> list[Words]:
        status = unpack_status(handshake.status())
        if status.result_sequence != self._sequence:
            self._sequence, self._since = status.result_sequence, now
        due = status.queue_depth == 8 if self._when_full else now >= self._since + 100 * MS
        if not due or not self._sequence:
            return []
        control = unpack_control(self._words)
        up = replace(control, bits=control.bits | ControlBit.RESULT_ACK, ack_sequence=self._sequence)
        return [pack_control(up), pack_control(replace(up, bits=up.bits & ~ControlBit.RESULT_ACK))]


class Repeating(Honest):
    """Give two results the same number each."""

    def told(self, words: Words, now: HostNs) -> Words:
        status = unpack_status(words)
        return pack_status(replace(status, result_sequence=(status.result_sequence + 1) // 2))

    def heard(self, words: Words, handshake: Handshake) -> Words:
        control, real = unpack_control(words), unpack_status(handshake.status()).result_sequence
        named = control.ack_sequence == (real + 1) // 2
        return pack_control(replace(control, ack_sequence=real if named else 0))


class Torn(Honest):
    """Show ResultValid a moment before its words, or with some words of the result before."""

    def __init__(self, *, empty: bool) -> None:
        self._empty = empty
        self._before = self._now = Status()
        self._since = HostNs(0)

    def told(self, words: Words, now: HostNs) -> Words:
        status = unpack_status(words)
        if not status.result_sequence:
            return words
        if status.result_sequence != self._now.result_sequence:
            self._before, self._now, self._since = self._now, status, now
        if now >= self._since + 10 * MS:
            return words
        old = Status() if self._empty else self._before
        fields = RESULT_WORDS if self._empty else ("part_boot", "part_number", "disposition", "cause")
        return pack_status(replace(status, **{field: getattr(old, field) for field in fields}))


class Swapped(Honest):
    """Put the less significant word first, both ways."""

    def heard(self, words: Words, handshake: Handshake) -> Words:
        return swapped(CONTROL, words)

    def told(self, words: Words, now: HostNs) -> Words:
        return swapped(STATUS, words)


class SessionBlind(Honest):
    """Obey any SessionEcho, those of old sessions alone, or see no restart."""

    def __init__(self, *, any_: bool = False, old: bool = False, zero: bool = False) -> None:
        self._any, self._old, self._zero = any_, old, zero
        self._known: set[int] = set()

    def heard(self, words: Words, handshake: Handshake) -> Words:
        control = unpack_control(words)
        echo, session = control.session_echo, handshake.session
        meant = self._any or (self._old and echo in self._known) or (self._zero and not echo)
        self._known.add(session)
        return pack_control(replace(control, session_echo=session)) if meant else words


class AnyAck(Honest):
    """Take every ResultAck for the one that is meant."""

    def heard(self, words: Words, handshake: Handshake) -> Words:
        offered = unpack_status(handshake.status()).result_sequence
        return pack_control(replace(unpack_control(words), ack_sequence=offered))


class ShortAck(Honest):
    """Do not wait until ResultAck goes back to 0."""

    def heard(self, words: Words, handshake: Handshake) -> Words:
        control = unpack_control(words)
        if control.bits & ControlBit.RESULT_ACK:
            handshake.control(words, HostNs(handshake._now))
        return pack_control(replace(control, bits=control.bits & ~ControlBit.RESULT_ACK))


class Frozen(Honest):
    """Stop our heartbeat."""

    def told(self, words: Words, now: HostNs) -> Words:
        return (words[0] & ~StatusBit.HEARTBEAT, *words[1:])


class Forgetful(Honest):
    """Clear each error after a moment."""

    def __init__(self) -> None:
        self._since: HostNs | None = None

    def invented(self, handshake: Handshake, now: HostNs) -> list[Words]:
        if not handshake.error:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now >= self._since + 100 * MS:
            handshake.reset(now)
        return []


class Deaf(Honest):
    """Hear nothing."""

    def heard(self, words: Words, handshake: Handshake) -> Words:
        return (0,) * CONTROL_COUNT


class Vague(Honest):
    """Answer a foreign function code as if the device were busy."""

    def answered(self, answer: bytes) -> bytes:
        return bytes((answer[0], 6)) if answer[0] & 0x80 and answer[1] == 1 else answer


class Loose(Honest):
    """Drop what is offered when the connection is cut."""

    def dropped(self, handshake: Handshake, now: HostNs) -> None:
        words = pack_control(Control(bits=ControlBit.ENABLE, session_echo=handshake.session))
        handshake.control(words, now)
        up = replace(unpack_control(words), bits=ControlBit.ENABLE | ControlBit.CLEAR_QUEUE)
        handshake.control(pack_control(up), now)


class Frail(Honest):
    """Fall over when somebody else connects."""

    def falls(self) -> bool:
        return True


def swapped(table: tuple[Register, ...], words: Words) -> Words:
    """Swap the words of every value of two registers."""
    changed = list(words)
    for register in table:
        if register.type is Type.U32:
            place = register.address - table[0].address
            changed[place : place + 2] = changed[place : place + 2][::-1]
    return tuple(changed)


def both_bits(status: Status) -> Status:
    valid = status.bits & StatusBit.RESULT_VALID
    return replace(status, bits=status.bits | (StatusBit.PASS | StatusBit.REJECT if valid else 0))


def wrong_part(status: Status) -> Status:
    return replace(status, part_number=status.part_number + bool(status.part_number))


def good_when_late(status: Status) -> Status:
    if not status.bits & StatusBit.LATE:
        return status
    return replace(status, bits=status.bits & ~StatusBit.REJECT | StatusBit.PASS)


def late_unsaid(status: Status) -> Status:
    return replace(status, bits=status.bits & ~StatusBit.LATE)


def good_when_orphan(status: Status) -> Status:
    if status.cause != CAUSE_CODES[Cause.OLD_SESSION]:
        return status
    accept, cause = DISPOSITION_CODES[Disposition.ACCEPT], CAUSE_CODES[Cause.ACCEPTED]
    bits = status.bits & ~StatusBit.REJECT | StatusBit.PASS
    return replace(status, bits=bits, bits2=status.bits2 & ~StatusBit2.QUARANTINE, disposition=accept, cause=cause)


def stale_pass_bit(status: Status) -> Status:
    return status if status.bits & StatusBit.RESULT_VALID else replace(status, bits=status.bits | StatusBit.PASS)


def careless(status: Status) -> Status:
    return replace(status, bits=status.bits & ~StatusBit.ERROR, error_code=0)


def kept_together(status: Status) -> Status:
    return replace(status, bits2=status.bits2 & ~StatusBit2.QUARANTINE)


def ever_ready(status: Status) -> Status:
    return replace(status, bits=status.bits | StatusBit.TRIGGER_READY)


def refusing_in_silence(status: Status) -> Status:
    return replace(status, bits2=status.bits2 & ~StatusBit2.JOB_REFUSED, job_answer=0)


def unechoed(status: Status) -> Status:
    return replace(status, plc_part=0)


def dead(status: Status) -> Status:
    return replace(status, bits=status.bits & ~StatusBit.ONLINE)


class Fault(Struct, frozen=True):
    """One appliance that breaks a promise."""

    name: str
    named: Rule
    """The rule that says so."""
    make: Callable[[], Distortion]
    others: frozenset[Rule] = frozenset()
    """Rules that may break with it, since they rest on the same promise."""
    server: Callable[[str, int], ModbusServer] = ModbusServer
    plc_triggers: bool = False

    def start(self) -> ModbusServer:
        return self.server(HERE, 0)


def breaks(rules: str) -> frozenset[Rule]:
    return frozenset(map(Rule, rules.split()))


FAULTS: tuple[Fault, ...] = (
    Fault("outputs stay up when the PLC is silent", Rule.SILENT, Unstaled),
    Fault("Pass and Reject together", Rule.ONE_BIT, lambda: Telling(both_bits), breaks("good orphan quarantine")),
    Fault(
        "a result goes without ResultAck",
        Rule.HELD,
        lambda: Impatient(when_full=False),
        breaks("full silent unanswered wrong_ack"),
    ),
    Fault(
        "the ninth result takes the first one's place",
        Rule.FULL,
        lambda: Impatient(when_full=True),
        breaks("cut held sequence silent unanswered"),
    ),
    Fault("two results have one number", Rule.SEQUENCE, Repeating),
    Fault("the part's number is the next one's", Rule.PART, lambda: Telling(wrong_part)),
    Fault("the heartbeat stands still", Rule.BEAT, Frozen),
    Fault("an old session is honoured", Rule.WRONG_SESSION, lambda: SessionBlind(old=True)),
    Fault("any session is honoured", Rule.NO_SESSION, lambda: SessionBlind(any_=True), breaks("restart wrong_session")),
    Fault("a restart of the PLC goes unseen", Rule.RESTART, lambda: SessionBlind(zero=True), breaks("no_session")),
    Fault("ResultValid comes before its words", Rule.COMPLETE, lambda: Torn(empty=True)),
    Fault(
        "words of two results are mixed", Rule.COMPLETE, lambda: Torn(empty=False), breaks("good late part quarantine")
    ),
    Fault("words come low word first", Rule.WORD_ORDER, Swapped, breaks("part sequence")),
    Fault("the status block can be written", Rule.READ_ONLY, Honest, server=Writable),
    Fault("addresses outside read as zeros", Rule.ADDRESSES, Honest, server=Endless),
    Fault("an ack of a wrong number is accepted", Rule.WRONG_ACK, AnyAck, breaks("held")),
    Fault("ResultAck need not go back", Rule.ACK_HELD, ShortAck),
    Fault("ResultAck is ignored", Rule.RELEASED, lambda: Hearing(clear=ControlBit.RESULT_ACK), breaks("part sequence")),
    Fault("a missed trigger is silent", Rule.TRIGGER, lambda: Hearing(clear=ControlBit.TRIGGER)),
    Fault("ClearQueue is ignored", Rule.CLEARED, lambda: Hearing(clear=ControlBit.CLEAR_QUEUE), breaks("sequence")),
    Fault("Enable is not needed", Rule.ENABLE, lambda: Hearing(set_=ControlBit.ENABLE)),
    Fault("JobChange is ignored", Rule.JOB, lambda: Hearing(clear=ControlBit.JOB_CHANGE), breaks("job_refused")),
    Fault("a late part shows Pass", Rule.GOOD, lambda: Telling(good_when_late)),
    Fault("Late is never shown", Rule.LATE, lambda: Telling(late_unsaid)),
    Fault("a part of before the restart shows Pass", Rule.ORPHAN, lambda: Telling(good_when_orphan)),
    Fault(
        "Pass stays after the result went",
        Rule.EMPTY,
        lambda: Telling(stale_pass_bit),
        breaks("no_session restart silent wrong_session"),
    ),
    Fault("an error clears itself", Rule.LATCHED, Forgetful),
    Fault("a foreign function code gives exception 6", Rule.CODES, Vague),
    Fault("input registers are not filled", Rule.PARTIAL, Honest, server=Mirrored),
    Fault("an intruder cuts everybody off", Rule.NOISE, Frail),
    Fault("control words are not heard", Rule.JOIN, Deaf, breaks("job job_refused latched restart trigger")),
    Fault("a cut drops the result", Rule.CUT, Loose, breaks("held sequence")),
    Fault("no error is ever raised", Rule.UNANSWERED, lambda: Telling(careless), breaks("ack_held full")),
    Fault("Quarantine is never shown", Rule.QUARANTINE, lambda: Telling(kept_together)),
    Fault(
        "TriggerReady is always 1",
        Rule.BARRED,
        lambda: Telling(ever_ready),
        breaks("enable full job latched no_session restart silent wrong_session"),
    ),
    Fault("a job is refused in silence", Rule.JOB_REFUSED, lambda: Telling(refusing_in_silence), breaks("job")),
    Fault("PlcPart is not echoed", Rule.PLC_TRIGGER, lambda: Telling(unechoed), plc_triggers=True),
    Fault("Online is 0", Rule.ONLINE, lambda: Telling(dead)),
)
