"""Do anything a PLC, the station and time can do to a handshake, and compare with a ledger kept beside."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.outputs.plc import handshake as handshake_module
from appliance.outputs.plc.registers import (
    CAUSE_CODES,
    DISPOSITION_CODES,
    Control,
    ControlBit,
    ErrorCode,
    Status,
    StatusBit,
    StatusBit2,
    pack_control,
    unpack_status,
)
from appliance.outputs.plc.result_queue import DEPTH, Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

STALE_MS = 500
SHOWN = StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.REJECT
EDGES = (
    ControlBit.ENABLE,
    ControlBit.TRIGGER,
    ControlBit.RESULT_ACK,
    ControlBit.JOB_CHANGE,
    ControlBit.ERROR_RESET,
    ControlBit.CLEAR_QUEUE,
    ControlBit.PURGED,
)

lanes = st.sampled_from([Lane.ACCEPT, Lane.ACCEPT, Lane.REJECT])
causes = st.sampled_from([Cause.ACCEPTED, Cause.ACCEPTED, Cause.ACCEPTED, *Cause])
dispositions = st.sampled_from([Disposition.ACCEPT, Disposition.ACCEPT, Disposition.ACCEPT, *Disposition])


def actuation(number: int, lane: Lane, cause: Cause, disposition: Disposition) -> Actuation:
    return Actuation(PartId(5, number), lane, cause, disposition, number, HostNs(0), McuTicks(0), EncoderCounts(0))


def deserves_pass(fact: Actuation, *, orphan: bool) -> bool:
    """State the rule a second time, as a table with two rows."""
    row = (str(fact.lane), str(fact.cause), str(fact.disposition), orphan)
    return row in {("accept", "accepted", "accept", False), ("accept", "operator", "accept", False)}


def detail_of(number: int) -> Detail:
    """Give each part words of its own."""
    return Detail(number / 1000, number, float(number))


class PlcMachine(RuleBasedStateMachine):
    """Do anything a PLC, the station and time can do, and compare with a ledger kept beside."""

    make: Callable[..., handshake_module.Handshake] = handshake_module.Handshake

    @initialize()
    def begin(self) -> None:
        self.now = HostNs(0)
        self.handshake = type(self).make(1, self.now, ack_timeout_ms=2000, stale_ms=STALE_MS)
        self.handshake.machine(self.now, ready=True)
        self.ready, self.sync_lost, self.recipe = True, False, (0, 0)
        self.changing = False
        self.block = Control()
        self.beat_at: int | None = None
        self.number = 0
        self.on_belt: dict[int, bool] = {}
        self.waiting: list[tuple[int, Actuation, bool]] = []
        self.session = 1
        self.sequence = 0
        self.read: set[int] = set()
        self.posted = self.taken = self.dropped = 0
        self.holding = False
        self.status = Status()

    def write(self, block: Control) -> None:
        """Hand a control block over and keep the ledger: which edge may have what effect."""
        old, self.block = self.block, block
        if (old.bits ^ block.bits) & ControlBit.HEARTBEAT:
            self.beat_at = self.now
        self.handshake.control(pack_control(block), self.now)
        acknowledged = self.handshake.acknowledged()
        if old.session_echo != self.session or block.session_echo != self.session:
            assert () == acknowledged
            if old.session_echo == self.session:
                self.renew(self.handshake.session)
            return
        rising, falling = block.bits & ~old.bits, old.bits & ~block.bits
        self.holding = self.holding and not falling & ControlBit.RESULT_ACK
        named = bool(self.waiting) and block.ack_sequence == self.waiting[0][0] and block.ack_sequence in self.read
        due = bool(rising & ControlBit.RESULT_ACK) and named and not self.holding
        assert due == (len(acknowledged) == 1)
        for event in acknowledged:
            sequence, fact, _ = self.waiting.pop(0)
            assert (sequence, fact.part) == (event.result_sequence, event.part)
            assert self.now == event.acknowledged >= event.posted
            self.taken += 1
            self.holding = True
        if rising & ControlBit.CLEAR_QUEUE:
            self.drop()

    def drop(self) -> None:
        self.dropped += len(self.waiting)
        self.waiting.clear()

    def renew(self, session: int) -> None:
        assert session != self.session
        self.drop()
        self.session, self.sequence, self.holding = session, 0, False
        self.read.clear()
        self.on_belt = dict.fromkeys(self.on_belt, True)

    @rule(ms=st.sampled_from([1, 10, 49, 50, 120, 499, 500, 2000]))
    def time_passes(self, ms: int) -> None:
        self.now = HostNs(self.now + ms * MS)
        self.handshake.tick(self.now)

    @rule()
    def plc_starts(self) -> None:
        self.write(Control(bits=self.block.bits & ControlBit.HEARTBEAT))
        bits = ~self.block.bits & ControlBit.HEARTBEAT | ControlBit.ENABLE
        self.write(Control(bits=bits, session_echo=self.session))

    @rule(
        bits=st.sets(st.sampled_from(EDGES)),
        beats=st.booleans(),
        names=st.sampled_from(["offered", "offered", "next", "old", "zero"]),
        echoes=st.sampled_from([True, True, True, True, True, True, True, False]),
    )
    def plc_writes_anything(self, bits: set[ControlBit], beats: bool, names: str, echoes: bool) -> None:
        offered = self.status.result_sequence
        sequence = {"offered": offered, "next": offered + 1, "old": max(0, offered - 1), "zero": 0}[names]
        value = self.block.bits & ControlBit.HEARTBEAT ^ (ControlBit.HEARTBEAT if beats else 0)
        echo = self.session if echoes else self.session ^ 0xFF
        self.write(Control(bits=value | sum(bits), session_echo=echo, ack_sequence=sequence))

    @precondition(lambda self: self.status.bits & StatusBit.RESULT_VALID)
    @rule()
    def plc_acknowledges(self) -> None:
        offered, taken = self.status.result_sequence, self.taken
        beat = ~self.block.bits & ControlBit.HEARTBEAT
        low = Control(bits=beat | ControlBit.ENABLE, session_echo=self.session, ack_sequence=offered)
        high = Control(
            bits=beat | ControlBit.ENABLE | ControlBit.RESULT_ACK, session_echo=self.session, ack_sequence=offered
        )
        self.write(low)
        self.write(high)
        assert taken + 1 == self.taken
        assert 0 == unpack_status(self.handshake.status()).bits & SHOWN
        self.write(low)

    @rule()
    def part_enters(self) -> None:
        self.number += 1
        self.on_belt[self.number] = False
        ready = self.handshake.ready
        assert ready == self.handshake.part_entered(PartId(5, self.number), self.now)

    @precondition(lambda self: self.on_belt)
    @rule(lane=lanes, cause=causes, disposition=dispositions)
    def part_is_posted(self, lane: Lane, cause: Cause, disposition: Disposition) -> None:
        number = next(iter(self.on_belt))
        fact = actuation(number, lane, cause, disposition)
        orphan = self.on_belt.pop(number)
        sequence = self.handshake.post(fact, detail_of(number), self.now)
        self.posted += 1
        self.sequence += 1
        if len(self.waiting) < DEPTH:
            assert self.sequence == sequence
            self.waiting.append((self.sequence, fact, orphan))
        else:
            assert sequence is None
            assert self.handshake.error is not ErrorCode.NONE
            self.dropped += 1

    @precondition(lambda self: self.on_belt)
    @rule(wrong=st.sampled_from(["lane", "cause", "disposition"]))
    def part_is_almost_good(self, wrong: str) -> None:
        """One of the three things that make a part good is missing."""
        self.part_is_posted(
            Lane.REJECT if wrong == "lane" else Lane.ACCEPT,
            Cause.DECIDED_REJECT if wrong == "cause" else Cause.ACCEPTED,
            Disposition.REVIEW if wrong == "disposition" else Disposition.ACCEPT,
        )

    @rule(lane=lanes)
    def plc_falls_behind(self, lane: Lane) -> None:
        for _ in range(DEPTH + 1):
            self.part_enters()
            self.part_is_posted(lane, Cause.ACCEPTED, Disposition.ACCEPT)

    @rule()
    def judge_falls_behind(self) -> None:
        """Three parts without a verdict in time, and a good one after them."""
        self.handshake.reset(self.now)
        for cause in (Cause.LATE, Cause.LATE, Cause.LATE, Cause.ACCEPTED):
            self.part_enters()
            good = cause is Cause.ACCEPTED
            self.part_is_posted(Lane.ACCEPT if good else Lane.REJECT, cause, Disposition.ACCEPT)

    @precondition(lambda self: self.number > len(self.on_belt))
    @rule()
    def part_is_posted_again(self) -> None:
        number = self.number if self.number not in self.on_belt else min(self.on_belt) - 1
        fact = actuation(number, Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT)
        assert self.handshake.post(fact, Detail(), self.now) is None

    @rule()
    def we_restart(self) -> None:
        self.handshake.restart(self.session + 1000, self.now)
        self.renew(self.session + 1000)

    @rule(ready=st.sampled_from([True, True, False]), sync_lost=st.sampled_from([False, False, False, True]))
    def station_changes(self, ready: bool, sync_lost: bool) -> None:
        self.handshake.machine(self.now, ready=ready, sync_lost=sync_lost)
        self.ready, self.sync_lost = ready, sync_lost

    @precondition(lambda self: self.handshake.job_change is not None)
    @rule(grants=st.booleans())
    def station_answers(self, grants: bool) -> None:
        if grants:
            self.recipe = (self.handshake.job_change, 0xBEEF)
            self.handshake.recipe(*self.recipe, self.now)
        else:
            self.handshake.refuse_job(self.now)
        assert self.handshake.job_change is None
        self.changing = False

    @rule()
    def fault_is_reset(self) -> None:
        self.handshake.reset(self.now)

    @invariant()
    def status_tells_the_truth(self) -> None:
        if not hasattr(self, "handshake"):
            return
        status = self.status = unpack_status(self.handshake.status())
        fresh = self.beat_at is not None and self.now < self.beat_at + STALE_MS * MS
        partner = fresh and self.block.session_echo == self.session
        offered = partner and bool(self.waiting) and not self.holding
        words = (status.result_sequence, status.part_boot, status.part_number)
        if offered:
            sequence, fact, orphan = self.waiting[0]
            verdict = StatusBit.PASS if deserves_pass(fact, orphan=orphan) else StatusBit.REJECT
            assert StatusBit.RESULT_VALID | verdict == status.bits & SHOWN
            assert (sequence, fact.part.boot, fact.part.number) == words
            assert (fact.part.number,) * 3 == (status.score, status.defect_bits, status.latency_ms)
            cause = Cause.OLD_SESSION if orphan else fact.cause
            assert (DISPOSITION_CODES[fact.disposition], CAUSE_CODES[cause]) == (status.disposition, status.cause)
            late = cause in {Cause.LATE, Cause.NO_VERDICT, Cause.HOST_LOST}
            assert late == bool(status.bits & StatusBit.LATE)
            kept = verdict is StatusBit.REJECT and fact.disposition in {Disposition.REVIEW, Disposition.UNKNOWN}
            assert kept == bool(status.bits2 & StatusBit2.QUARANTINE)
            self.read.add(sequence)
        else:
            assert 0 == status.bits & SHOWN
            assert (0, 0, 0) == words
            assert 0 == status.bits & StatusBit.LATE | status.bits2 & StatusBit2.QUARANTINE
        assert len(self.waiting) == status.queue_depth <= DEPTH
        if not partner or len(self.waiting) == DEPTH or self.handshake.error is not ErrorCode.NONE:
            assert 0 == status.bits & StatusBit.TRIGGER_READY
        if not self.ready or self.block.bits & ControlBit.JOB_CHANGE or not self.block.bits & ControlBit.ENABLE:
            assert 0 == status.bits & StatusBit.TRIGGER_READY
        if self.handshake.job_change is not None:
            assert 0 == status.bits & StatusBit.TRIGGER_READY
        assert self.sync_lost == bool(status.bits2 & StatusBit2.SYNC_LOST)
        assert self.sync_lost == (status.error_code == ErrorCode.SYNC_LOST)
        assert self.recipe == (status.active_recipe, status.recipe_hash)
        if not self.block.bits & ControlBit.JOB_CHANGE:
            assert 0 == status.job_answer | status.bits2 & StatusBit2.JOB_REFUSED
        assert bool(status.bits & StatusBit.ERROR) == bool(status.error_code)
        assert self.session == status.session

    @invariant()
    def a_change_begins_when_nothing_is_pending(self) -> None:
        if not hasattr(self, "handshake"):
            return
        begun = self.handshake.job_change is not None
        assert self.changing or not begun or not (self.on_belt or self.waiting or self.holding)
        self.changing = begun

    @invariant()
    def every_result_is_accounted_for(self) -> None:
        if not hasattr(self, "handshake"):
            return
        counts = self.handshake.counts
        assert self.posted == counts.posted == self.taken + self.dropped + len(self.waiting)
        assert self.taken == counts.acknowledged
        assert self.dropped == counts.cleared + counts.overflowed
        assert self.handshake.wake_at > self.now - 1
