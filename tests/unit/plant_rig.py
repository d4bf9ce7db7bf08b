"""A clock that moves when told and the size of a small picture, for the tests of the plant."""

from appliance.schema.clocks import HostNs
from appliance.sim import plant_layout as layout
from appliance.sim.plant import Plant

SIZE = (8, 6)


class ManualClock:
    """Stand still until told; whoever watches sees every step of it."""

    def __init__(self, step_ms: float = 1e9) -> None:
        self.now = 1_000_000_000
        self.step_ms = step_ms
        self.watch = lambda: None

    def __call__(self) -> HostNs:
        return HostNs(self.now)

    def advance_ms(self, ms: float) -> None:
        while ms > 0:
            self.now += round(min(ms, self.step_ms) * 1e6)
            ms -= self.step_ms
            self.watch()


def move_gate(plant: Plant, counts: int, lane: int) -> None:
    """Log a move of the gate, as the microcontroller does."""
    event = plant.layout.gate_log[plant.layout.gate_moves % layout.GATE_LOG]
    event.ns, event.counts, event.lane, event.part = counts * 10, counts, lane, 1
    plant.layout.gate_moves += 1
