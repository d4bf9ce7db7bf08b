"""Play random PLCs that make the parts: each Trigger makes one part that is named, or it is told as missed."""

import sys
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from appliance.outputs.plc import handshake as handshake_module
from appliance.outputs.plc import plc_trigger as trigger_module
from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.registers import ControlBit, StatusBit
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Cause, Lane
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from tests.property.test_handshake import mutated
from tests.unit.handshake_bench import Bench, actuation

TOLD = st.lists(
    st.tuples(
        st.sampled_from(["trigger", "trigger", "release", "makes", "makes", "makes other", "waits", "gate", "restart"]),
        st.integers(1, 150),
    ),
    max_size=60,
)


class TriggerLedger:
    """Play a PLC that asks for parts, and keep beside it what must become of each."""

    def __init__(self, make: type[Handshake]) -> None:
        self.bench = Bench(plc_triggers=True, make=make).join()
        self.rose = self.missed = self.made = self.number = 0
        self.wish: int | None = None
        self.on_belt: dict[int, int] = {}
        """Part, and the request that made it."""

    def trigger(self) -> None:
        if self.bench.block.bits & ControlBit.TRIGGER:
            return
        ready = bool(self.bench.status.bits & StatusBit.TRIGGER_READY)
        self.rose += 1
        bits = ControlBit.ENABLE | ControlBit.TRIGGER
        self.bench.write(bits, request_sequence=self.rose, plc_part=9000 + self.rose)
        self.wish = self.bench.handshake.trigger_wish()
        assert ready == (self.wish is not None)

    def makes(self, *, other: bool) -> None:
        self.number += 1
        waited = self.wish is not None and not other
        request = self.wish if waited and self.wish else 4_000_000_000
        ready = self.bench.handshake.part_entered(PartId(5, self.number), self.bench.now, request)
        assert waited or not ready
        if ready:
            self.made += 1
            self.on_belt[self.number] = self.rose
        self.wish = None if waited else self.wish

    def gate(self) -> None:
        for part, request in self.on_belt.items():
            fact = actuation(part, Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT)
            self.bench.handshake.post(fact, Detail(), self.bench.now)
            status = self.bench.status
            if status.part_number == part:
                assert (9000 + request, request) == (status.plc_part, status.part_request)
            held = self.bench.block.bits & ControlBit.TRIGGER | ControlBit.ENABLE
            self.bench.write(held | ControlBit.RESULT_ACK, ack_sequence=status.result_sequence)
            self.bench.write(held)
        self.on_belt.clear()

    def settle(self) -> None:
        held = bool(self.bench.block.bits & ControlBit.TRIGGER)
        shown = self.bench.status.bits & (StatusBit.TRIGGER_ACK | StatusBit.TRIGGER_READY)
        assert not (shown & StatusBit.TRIGGER_ACK and not held)
        assert not (shown & StatusBit.TRIGGER_READY and held)
        self.missed += len(self.bench.handshake.missed())


def play(make: type[Handshake], told: list[tuple[str, int]]) -> None:
    ledger = TriggerLedger(make)
    acts: dict[str, Callable[[int], object]] = {
        "trigger": lambda _: ledger.trigger(),
        "release": lambda _: ledger.bench.write(ControlBit.ENABLE),
        "makes": lambda _: ledger.makes(other=False),
        "makes other": lambda _: ledger.makes(other=True),
        "gate": lambda _: ledger.gate(),
        "restart": lambda _: ledger.bench.join(),
        "waits": lambda ms: ledger.bench.after(2 * ms),
    }
    for act, ms in told:
        acts[act](ms)
        ledger.settle()
    ledger.bench.after(300)
    ledger.settle()
    assert ledger.rose == ledger.made + ledger.missed


def explore(make: type[Handshake], examples: int) -> None:
    limits = settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink)
    )
    limits(given(told=TOLD)(lambda told: play(make, told)))()


def test_a_part_the_plc_asked_for_is_made_once_and_named_or_missed() -> None:
    """Each Trigger makes one part, whose result names it, or is told as missed; no other part is ever inspected."""
    explore(Handshake, 300)


MUTANTS = {
    "any request": ("or request != self._request", ""),
    "twice": ("        self.due = None\n        self.ack", "        self.ack"),
    "ready or not": ("if not (self.enabled and ready):", "if not self.enabled:"),
    "sticky ack": ("self._held = self.ack = self.refused = False", "self._held = self.refused = False"),
    "given up in silence": ("return self.cancel() if self.due", "return None if self.due"),
    "held is idle": ("(self.due is None and not self._held)", "self.due is None"),
    "kept over sessions": ("asked = self.cancel()\n        self.fall()\n        return asked", "return None"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_property_dies_when_a_rule_is_broken(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rule of the Trigger is really held up."""
    turned = mutated(trigger_module, *MUTANTS[name], {})
    monkeypatch.setitem(sys.modules, turned.__name__, turned)
    moved = {"from appliance.outputs.plc.plc_trigger import": f"from {turned.__name__} import"}
    mutant = mutated(handshake_module, "", "", moved)

    with pytest.raises(AssertionError):
        explore(mutant.Handshake, 400)
