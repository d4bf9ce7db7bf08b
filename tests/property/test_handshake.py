"""Play random PLCs, lost heartbeats and restarts against the handshake, and break the rules to show that they hold."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from appliance.outputs.plc import handshake as handshake_module
from appliance.outputs.plc import result_queue as queue_module
from appliance.outputs.plc import status_view as view_module
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS, HostNs
from appliance.schema.verdict import Disposition
from appliance.sim.plc_program import Ack, PlcProgram
from tests.property.handshake_machine import PlcMachine, actuation


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
    "ready in error": ("handshake", "            and self.error is ErrorCode.NONE\n", ""),
    "ready while out of step": ("handshake", "ErrorCode.SYNC_LOST if self._station.sync_lost else ", ""),
    "ready during a change": ("handshake", "            and not self._changing\n", ""),
    "change begins at once": ("handshake", "self._job.begin(idle=not pending)", "self._job.begin(idle=True)"),
    "echo of another part": ("result_queue", "part_number=part.number", "part_number=part.number + 1"),
    "ready at a loose end": ("handshake", "            and self._station.ready\n", ""),
    "ready when full": ("handshake", "and not self._queue.full\n", "\n"),
    "both bits": (
        "status_view",
        "(result is not None and not result.good, StatusBit.REJECT)",
        "(True, StatusBit.REJECT)",
    ),
    "late flips another's bit": (
        "status_view",
        "(result is not None and result.good, StatusBit.PASS)",
        "(result is not None and result.good and not shown.overload, StatusBit.PASS)",
    ),
    "late sticks": ("status_view", "result is not None and result.cause in LATE_CAUSES", "shown.overload"),
    "kept apart by nobody": ("status_view", "shown.result.apart, StatusBit2", "False, StatusBit2"),
    "overflow unseen": ("handshake", "self._latch(ErrorCode.QUEUE_OVERFLOW)", "pass"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_property_dies_when_a_rule_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule is really held up: taking it out of a copy of the source makes the property fail."""
    where, old, new = MUTANTS[name]
    moved: dict[str, str] = {}
    for module in (queue_module, view_module):
        change = (old, new) if where == module.__name__.rpartition(".")[2] else ("", "")
        turned = mutated(module, *change, moved)
        monkeypatch.setitem(sys.modules, turned.__name__, turned)
        moved[f"from {module.__name__} import"] = f"from {turned.__name__} import"
    mutant = mutated(handshake_module, *((old, new) if where == "handshake" else ("", "")), moved)

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
