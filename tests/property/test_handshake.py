"""Play random PLCs, lost heartbeats and restarts against the handshake, and break the rules to show that they hold."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from appliance.outputs import handshake as handshake_module
from appliance.outputs import result_queue as queue_module
from appliance.outputs.registers import (
    Control,
    ControlBit,
    ErrorCode,
    Status,
    StatusBit,
    pack_control,
    unpack_status,
)
from appliance.outputs.result_queue import DEPTH, Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.sim.plc_program import Ack, PlcProgram

STALE_MS = 500
SHOWN = StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.REJECT
EDGES = (
    ControlBit.ENABLE,
    ControlBit.TRIGGER,
    ControlBit.RESULT_ACK,
    ControlBit.JOB_CHANGE,
    ControlBit.ERROR_RESET,
    ControlBit.CLEAR_QUEUE,
)

lanes = st.sampled_from([Lane.ACCEPT, Lane.ACCEPT, Lane.REJECT])
causes = st.sampled_from([Cause.ACCEPTED, Cause.ACCEPTED, Cause.ACCEPTED, *Cause])
dispositions = st.sampled_from([Disposition.ACCEPT, Disposition.ACCEPT, Disposition.ACCEPT, *Disposition])


def actuation(number: int, lane: Lane, cause: Cause, disposition: Disposition) -> Actuation:
    return Actuation(PartId(5, number), lane, cause, disposition, number, HostNs(0), McuTicks(0), EncoderCounts(0))


def deserves_pass(fact: Actuation, *, orphan: bool) -> bool:
    """State the rule a second time, as a table with one row."""
    row = (str(fact.lane), str(fact.cause), str(fact.disposition), orphan)
    return row == ("accept", "accepted", "accept", False)


class PlcMachine(RuleBasedStateMachine):
    """Do anything a PLC, the station and time can do, and compare with a ledger kept beside."""

    make: Callable[..., handshake_module.Handshake] = handshake_module.Handshake

    @initialize()
    def begin(self) -> None:
        self.now = HostNs(0)
        self.handshake = type(self).make(1, self.now, ack_timeout_ms=2000, stale_ms=STALE_MS)
        self.handshake.machine(self.now, ready=True)
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
        sequence = self.handshake.post(fact, Detail(), self.now)
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

    @rule(ready=st.booleans())
    def station_changes(self, ready: bool) -> None:
        self.handshake.machine(self.now, ready=ready)

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
            self.read.add(sequence)
        else:
            assert 0 == status.bits & SHOWN
            assert (0, 0, 0) == words
        assert len(self.waiting) == status.queue_depth <= DEPTH
        if not partner or len(self.waiting) == DEPTH or self.handshake.error is not ErrorCode.NONE:
            assert 0 == status.bits & StatusBit.TRIGGER_READY
        assert bool(status.bits & StatusBit.ERROR) == bool(status.error_code)
        assert self.session == status.session

    @invariant()
    def every_result_is_accounted_for(self) -> None:
        if not hasattr(self, "handshake"):
            return
        counts = self.handshake.counts
        assert self.posted == counts.posted == self.taken + self.dropped + len(self.waiting)
        assert self.taken == counts.acknowledged
        assert self.dropped == counts.cleared + counts.overflowed
        assert self.handshake.wake_at > self.now - 1


def play(make: Callable[..., handshake_module.Handshake], examples: int, phases: tuple[Phase, ...]) -> None:
    machine = type("Machine", (PlcMachine,), {"make": staticmethod(make)})
    limits = settings(
        max_examples=examples, stateful_step_count=60, deadline=None, derandomize=True, database=None, phases=phases
    )
    run_state_machine_as_test(machine, settings=limits)


def test_no_sequence_of_events_breaks_a_rule() -> None:
    """No result is lost, doubled, overwritten or out of order; Pass is shown by its rule only, never to a stranger."""

    play(handshake_module.Handshake, 120, (Phase.generate, Phase.shrink))


MUTANTS = {
    "lane ignored": ("result_queue", "actuation.lane is Lane.ACCEPT\n        and", "True and"),
    "cause ignored": ("result_queue", "and actuation.cause in {Cause.ACCEPTED, Cause.OPERATOR}", ""),
    "disposition ignored": ("result_queue", "and actuation.disposition is Disposition.ACCEPT", ""),
    "rule inverted": ("result_queue", "return (\n        actuation.lane", "return not (\n        actuation.lane"),
    "old session passes": ("result_queue", "is_good(actuation) and not orphan", "is_good(actuation)"),
    "newest overwrites": ("result_queue", "if self.full:", "if self.full and self._held.pop() is None:"),
    "newest first": ("result_queue", "self._held.append(Result(", "self._held.appendleft(Result("),
    "any ack counts": ("result_queue", "not sequence == oldest.sequence == self._shown", "False"),
    "one edge takes two": ("result_queue", "self._released = True", "self._released = False"),
    "part posted twice": ("result_queue", "if actuation.part in self._remembered:", "if False:"),
    "queue kept over sessions": (
        "result_queue",
        "        self.clear()\n        self._sequence",
        "        self._sequence",
    ),
    "shown to a stranger": ("handshake", "self._queue.offer() if self._partner else None", "self._queue.offer()"),
    "heartbeat ignored": ("handshake", "self.alive and self._control.session_echo", "self._control.session_echo"),
    "session ignored": ("handshake", "and self._control.session_echo == self._session", ""),
    "ready in error": ("handshake", "and self._error is ErrorCode.NONE\n", "\n"),
    "ready when full": ("handshake", "and not self._queue.full\n", "\n"),
    "both bits": (
        "handshake",
        "(result is not None and not result.good, StatusBit.REJECT)",
        "(True, StatusBit.REJECT)",
    ),
    "overflow unseen": ("handshake", "self._latch(ErrorCode.QUEUE_OVERFLOW)", "pass"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_property_dies_when_a_rule_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule is really held up: taking it out of a copy of the source makes the property fail."""
    where, old, new = MUTANTS[name]
    queue = mutated(queue_module, old if where == "result_queue" else "", new, {})
    monkeypatch.setitem(sys.modules, queue.__name__, queue)
    moved = {"from appliance.outputs.result_queue import": f"from {queue.__name__} import"}
    mutant = mutated(handshake_module, old if where == "handshake" else "", new, moved)

    with pytest.raises(AssertionError):
        play(mutant.Handshake, 600, (Phase.generate,))


def mutated(module: ModuleType, old: str, new: str, moved: dict[str, str]) -> ModuleType:
    """Run a copy of a module's source in which `old` stands changed; it must stand there once."""
    source = Path(str(module.__file__)).read_text("utf-8")
    if old:
        assert 1 == source.count(old)
        source = source.replace(old, new)
    for one, other in moved.items():
        source = source.replace(one, other)
    copy = ModuleType("mutant_" + module.__name__.rpartition(".")[2])
    exec(compile(source, copy.__name__, "exec"), copy.__dict__)  # noqa: S102  (our own source)
    return copy


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(Ack), delay_ms=st.sampled_from([0, 30, 400]))
def test_plc_program_never_counts_a_part_as_good_that_is_not(seed: int, kind: Ack, delay_ms: int) -> None:
    """A PLC written from the register page counts good parts once and no others, whatever network and restarts do."""
    world = random.Random(seed)
    now = HostNs(0)
    handshake = handshake_module.Handshake(1 + seed % 1000, now)
    handshake.machine(now, ready=True)
    program = PlcProgram(delay_ms)
    program.ack = kind
    number, good, judged = 0, set(), []
    for _ in range(400):
        now = HostNs(now + world.randrange(1, 20) * MS)
        handshake.tick(now)
        if world.random() < 0.1:
            number += 1
            passes = world.random() < 0.7
            fact = actuation(
                number,
                Lane.ACCEPT if passes else Lane.REJECT,
                Cause.ACCEPTED if passes else world.choice([Cause.LATE, Cause.DECIDED_REJECT, Cause.NO_VERDICT]),
                Disposition.ACCEPT if passes else world.choice(list(Disposition)),
            )
            handshake.part_entered(fact.part, now)
            handshake.post(fact, Detail(), now)
            good |= {str(fact.part)} if passes else set()
        if world.random() < 0.005:
            program.restart()
        if world.random() < 0.005:
            program.silence(HostNs(now + 700 * MS))
        if world.random() < 0.002:
            handshake.restart(world.randrange(1, 2**32), now)
        if world.random() < 0.9:
            words = program.scan(handshake.status(), now)
            if words is not None:
                handshake.control(words, now)
        judged += program.judged()
    counted = [result.part for result in judged if result.good]

    assert set() == set(counted) - good
    assert len(counted) == len(set(counted))
    assert handshake.counts.posted == number
