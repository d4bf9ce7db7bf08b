"""Look at every status block a PLC reads and say which promise it breaks; pure."""

from appliance.outputs.plc.registers import (
    CAUSE_CODES,
    DISPOSITION_CODES,
    Control,
    ControlBit,
    Status,
    StatusBit,
    StatusBit2,
)
from appliance.schema.actuation import Cause
from appliance.schema.clocks import MS, HostNs
from appliance.schema.verdict import Disposition
from appliance.sim.plc_rules import RESULTS_HELD, Rule, Score

RESULT_WORDS = (
    "result_sequence",
    "part_boot",
    "part_number",
    "plc_part",
    "part_request",
    "disposition",
    "cause",
    "score",
    "defect_bits",
    "latency_ms",
)
"""Words that belong to the offered result; 0 without ResultValid."""

BEAT_LIMIT_NS = 150 * MS
"""Longest time between two toggles as a poller sees them: 100 ms are promised, 50 ms are the network's and its own."""

BLIND_NS = 50 * MS
"""Longest time between two reads over which a toggle can be dated well enough to be judged."""

_ALLOWED = {CAUSE_CODES[cause] for cause in (Cause.ACCEPTED, Cause.OPERATOR)}
_LATE = {CAUSE_CODES[cause] for cause in (Cause.LATE, Cause.NO_VERDICT, Cause.HOST_LOST)}
_APART = {DISPOSITION_CODES[disposition] for disposition in (Disposition.REVIEW, Disposition.UNKNOWN)}
_SHOWN = StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.REJECT
_BARRING = StatusBit.ERROR | StatusBit.CHANGEOVER


class Watch:
    """Follow one appliance; give it each block that was read and each one that was written, in order."""

    def __init__(self, score: Score, stale_ms: int) -> None:
        """Take the score to keep, and after which silence the appliance may take its outputs back."""
        self.results = 0
        """Results seen so far, each once."""
        self.named: dict[tuple[int, int], tuple[int, int]] = {}
        """PartRequestSeq and PlcPartEcho of each part whose result was seen."""
        self._score = score
        self._stale = stale_ms * MS
        self._last: Status | None = None
        self._read_at = self._beat_at = self._written_at = HostNs(0)
        self._blind = False
        self._slowest = 0
        self._control = Control()
        self._acked = -1
        """ResultSeq that was acknowledged last, -1 when none was."""
        self._released = True
        """Whether ResultAck went back to 0 since."""
        self._next: int | None = None
        """ResultSeq that must come next; None when results were cleared or the session was joined half-way."""
        self._spent = 0
        """Overflowed as it stood when the last result was seen."""
        self._gaps = 0
        """Numbers, at most, that results without a place used up and that were not missed yet."""
        self._part: tuple[int, int] | None = None
        self._orphans = (0, 0)

    def wrote(self, control: Control, now: HostNs) -> None:
        """Learn what the PLC wrote."""
        if (control.bits ^ self._control.bits) & ControlBit.HEARTBEAT.value:
            self._written_at = now
        if control.bits & ControlBit.CLEAR_QUEUE.value:
            self._next = None
        self._released = self._released or not control.bits & ControlBit.RESULT_ACK.value
        self._control = control

    def see(self, status: Status, now: HostNs) -> None:
        """Judge one block."""
        last = self._last
        if last is not None and status.session != last.session:
            self._begin(status)
        self._heartbeat(status, now)
        self._always(status)
        valid = bool(status.bits & StatusBit.RESULT_VALID.value)
        if valid:
            self._offered(status)
        else:
            self._empty(status)
        if last is not None and last.session == status.session and _whole(last) and (_whole(status) or not valid):
            self._kept(last, status, now)
        self._last, self._read_at = status, now

    def _begin(self, status: Status) -> None:
        """Follow a new session: its results count from 1, and what is on the belt belongs to nobody."""
        self._next, self._spent, self._gaps = 1, status.overflowed, 0
        self._acked, self._released = -1, True
        self._orphans = (status.entered_boot, status.entered_number)

    def _heartbeat(self, status: Status, now: HostNs) -> None:
        """Time the toggles; a toggle over whose time the PLC itself did not read is not judged."""
        if self._last is None:
            self._beat_at = now
            return
        self._blind = self._blind or now - self._read_at > BLIND_NS
        gap = now - self._beat_at
        toggled = bool((status.bits ^ self._last.bits) & StatusBit.HEARTBEAT.value)
        if not toggled and gap <= BEAT_LIMIT_NS:
            return
        if not self._blind:
            self._slowest = max(self._slowest, gap)
            self._score.note(Rule.BEAT, held=gap <= BEAT_LIMIT_NS, seen=f"longest {self._slowest // MS} ms")
        self._beat_at, self._blind = now, False

    def _always(self, status: Status) -> None:
        live = bool(status.bits & StatusBit.ONLINE.value) and status.session > 0
        self._score.note(Rule.ONLINE, held=live, seen=f"bits {status.bits:#06x}, session {status.session}")
        bars = status.bits & _BARRING.value or status.bits2 & StatusBit2.SYNC_LOST.value
        if bars or status.queue_depth >= RESULTS_HELD:
            ready = bool(status.bits & StatusBit.TRIGGER_READY.value)
            seen = f"bits {status.bits:#06x}, {status.bits2:#06x}, QueueDepth {status.queue_depth}"
            self._score.note(Rule.BARRED, held=not ready, seen=seen)
        if status.queue_depth > RESULTS_HELD:
            self._score.note(Rule.FULL, held=False, seen=f"QueueDepth {status.queue_depth}")

    def _empty(self, status: Status) -> None:
        shown = [name for name in RESULT_WORDS if getattr(status, name)]
        bits = StatusBit(status.bits) & (_SHOWN | StatusBit.LATE)
        self._score.note(
            Rule.EMPTY, held=not shown and not bits, seen=f"words {', '.join(shown) or 'none'}, bits {int(bits):#06x}"
        )

    def _offered(self, status: Status) -> None:
        bits, score = StatusBit(status.bits), self._score
        passes, rejects = StatusBit.PASS in bits, StatusBit.REJECT in bits
        seen = f"ResultSeq {status.result_sequence}: Pass {passes:d}, Reject {rejects:d}"
        score.note(Rule.ONE_BIT, held=passes != rejects, seen=seen)
        if not _whole(status):
            seen = f"ResultSeq {status.result_sequence}, part {status.part_number}, Cause {status.cause}"
            score.note(Rule.COMPLETE, held=False, seen=f"ResultValid with {seen}")
            return
        if self._last is None or _result(status) != _result(self._last):
            self._judge(status)

    def _judge(self, status: Status) -> None:
        """Judge a result that was not in the block before."""
        bits, score = StatusBit(status.bits), self._score
        passes, late = StatusBit.PASS in bits, StatusBit.LATE in bits
        number = status.result_sequence
        again = self._next is not None and number == self._next - 1 and number != self._acked
        if again:  # back after a silence or a cut; its number was judged before
            return
        self.results += 1
        self.named[status.part_boot, status.part_number] = (status.part_request, status.plc_part)
        swapped = number & 0xFFFF == 0
        score.note(Rule.WORD_ORDER, held=not swapped, seen=f"ResultSeq {number:#010x}")
        self._count(status)
        self._place(status)
        code, cause = status.disposition, status.cause
        accepted = code == DISPOSITION_CODES[Disposition.ACCEPT] and cause in _ALLOWED and not late
        if passes:
            seen = f"Pass with Disposition {code}, Cause {cause}, Late {late:d}"
            score.note(Rule.GOOD, held=accepted, seen=seen)
        apart = bool(status.bits2 & StatusBit2.QUARANTINE.value)
        if apart or code in _APART:
            seen = f"Quarantine {apart:d}, Pass {passes:d} with Disposition {code}"
            score.note(Rule.QUARANTINE, held=apart == (code in _APART and not passes), seen=seen)
        if late or cause in _LATE:
            score.note(Rule.LATE, held=late == (cause in _LATE), seen=f"Late {late:d} with Cause {cause}")
        part = (status.part_boot, status.part_number)
        if part[0] == self._orphans[0] and part[1] <= self._orphans[1]:
            score.note(Rule.ORPHAN, held=not passes, seen=f"part {part[1]} of before the restart: Pass {passes:d}")

    def _count(self, status: Status) -> None:
        number, first = status.result_sequence, self._next
        self._gaps += (status.overflowed - self._spent) & 0xFFFF
        if first is not None:
            held = first <= number <= first + self._gaps
            seen = f"ResultSeq {number} where {first} was due, {self._gaps} overflowed"
            self._score.note(Rule.SEQUENCE, held=held, seen=seen)
            self._gaps = max(0, self._gaps - max(0, number - first))
        self._next, self._spent = number + 1, status.overflowed
        if not self._released:
            seen = f"ResultSeq {number} while ResultAck for {self._acked} is still 1"
            self._score.note(Rule.ACK_HELD, held=False, seen=seen)

    def _place(self, status: Status) -> None:
        part = (status.part_boot, status.part_number)
        entered = status.part_boot == status.entered_boot and status.part_number <= status.entered_number
        rising = self._part is None or part[0] != self._part[0] or part[1] > self._part[1]
        alone = status.queue_depth == 1 and not self._gaps and not status.bits & StatusBit.BUSY.value
        newest = not alone or part == (status.entered_boot, status.entered_number)
        seen = f"part {part[1]} after {self._part[1] if self._part else 0}, newest {status.entered_number}"
        self._score.note(Rule.PART, held=entered and rising and newest, seen=seen)
        self._part = part

    def _kept(self, last: Status, status: Status, now: HostNs) -> None:
        """Judge what became of a result that the block before showed."""
        if status.bits & StatusBit.RESULT_VALID.value and status.result_sequence == last.result_sequence:
            changed = [name for name in RESULT_WORDS if getattr(status, name) != getattr(last, name)]
            turned = (status.bits ^ last.bits) & (_SHOWN | StatusBit.LATE).value
            seen = f"ResultSeq {status.result_sequence}: {', '.join(changed) or 'nothing'} changed"
            self._score.note(Rule.COMPLETE, held=not changed and not turned, seen=seen)
            return
        bits, number = ControlBit(self._control.bits), last.result_sequence
        named = ControlBit.RESULT_ACK in bits and self._control.ack_sequence == number
        silent = now - self._written_at >= self._stale * 3 // 4
        if named:
            self._acked, self._released = number, False
            if status.bits & StatusBit.RESULT_VALID.value:
                seen = f"ResultSeq {status.result_sequence} while ResultAck for {number} is still 1"
                self._score.note(Rule.ACK_HELD, held=False, seen=seen)
        elif ControlBit.CLEAR_QUEUE not in bits and not silent and self._control.session_echo == status.session:
            seen = f"ResultSeq {number} went without its acknowledgement"
            self._score.note(Rule.HELD, held=False, seen=seen)
            return
        self._score.note(Rule.HELD, held=True)


def _whole(status: Status) -> bool:
    """Tell whether a block offers a result with all of its words."""
    words = status.result_sequence and status.part_number and status.cause
    return bool(words and status.bits & StatusBit.RESULT_VALID.value)


def _result(status: Status) -> tuple[int, ...]:
    bits = status.bits & (_SHOWN | StatusBit.LATE).value
    return (bits, status.session, *(getattr(status, name) for name in RESULT_WORDS))
