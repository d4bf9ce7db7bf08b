"""Keep the session with the microcontroller: who it is, what its clock says, and how it comes to be armed."""

from collections.abc import Iterable, Sequence

from appliance.config import Camera
from appliance.config_mcu import Mcu
from appliance.ports.node import Output, Send
from appliance.schema.clocks import HostNs
from appliance.schema.health import Component, Condition, Health
from appliance.schema.line import Wires
from appliance.services._line_gate import geometry
from appliance.services._line_health import mcu_health, wires
from firmware_bridge import messages as mcu
from firmware_bridge.clocksync import ClockSync

PartFact = mcu.PartEvent | mcu.ExposedEvent | mcu.GateEvent


class McuSide:
    """Know one microcontroller; its gate makes the last call, here it is only brought up and dated."""

    def __init__(self, settings: Mcu, cameras: dict[str, Camera], *, plc_triggers: bool) -> None:
        """Take the geometry, and what makes a part."""
        self.configure = geometry(settings, cameras, plc_triggers=plc_triggers)
        self.clock = ClockSync()
        self.boot: int | None = None
        self.state = mcu.State.BOOT
        self.fault = mcu.Fault.NONE
        self.heard = HostNs(0)
        """Last message of it."""
        self.tested_by = self.test = ""
        """Who tries outputs by hand (empty: nobody), and what was tried last."""
        self.wires: Wires | None = None
        """Its inputs and outputs as it told last."""
        self.other_recipe = False
        """A unit whose word opens the gate runs another recipe than the line."""
        self._ready_units: dict[str, bool] = {}
        self._by_recipe: frozenset[str] = frozenset()
        self._recipe_hash = 0
        self._undated: list[PartFact] = []
        self._foreign = False
        """Another configuration holds."""

    @property
    def armed(self) -> bool:
        """Whether it obeys decisions."""
        return self.state is mcu.State.ARMED

    @property
    def sync_lost(self) -> bool:
        """Whether parts and gate no longer agree."""
        return self.state is mcu.State.FAULT and self.fault is mcu.Fault.SYNC_LOST

    def hello(self, hello: mcu.HelloAck) -> bool:
        """Begin a session; True when the microcontroller restarted, and with it its parts, clock and encoder."""
        anew = self.boot is not None and hello.boot != self.boot
        if anew:
            self._undated.clear()
            self.clock = ClockSync()
        self.boot = hello.boot
        self.state, self.fault = mcu.State(hello.state), mcu.Fault(hello.fault)
        return anew

    def unit(self, health: Health) -> None:
        """Learn how a unit does."""
        if health.unit in self._ready_units:
            other = health.unit in self._by_recipe and health.recipe_hash != self._recipe_hash
            self.other_recipe = other if health.unit in self._by_recipe else self.other_recipe
            self._ready_units[health.unit] = not other and health.condition in {Condition.OK, Condition.DEGRADED}

    def need(self, units: Iterable[str], by_recipe: Iterable[str], recipe_hash: int) -> None:
        """Wait for units before the gate is armed; those of `by_recipe` count only with the recipe of that hash."""
        self._ready_units = dict.fromkeys(units, False)
        self._by_recipe, self._recipe_hash = frozenset(by_recipe), recipe_hash

    @property
    def ready(self) -> bool:
        """Whether all units that are needed are ready."""
        return all(self._ready_units.values())

    def bring_up(self, config_crc: int) -> Sequence[Output]:
        """Move one step towards armed; called on each report until it is there."""
        self._foreign = config_crc not in {0, self.configure.crc}
        if self.boot is None or self.state in {mcu.State.ARMED, mcu.State.BOOT}:
            return ()
        if config_crc == 0:
            return [Send("mcu", self.configure)]
        if self.state is mcu.State.FAULT:
            return ()
        if config_crc != self.configure.crc:  # it holds until reset, and a reset waits for an empty belt
            return [Send("mcu", mcu.Restart())]
        if self.ready and not self.tested_by:
            return [Send("mcu", mcu.Arm())]
        return ()

    def told(self, stats: mcu.Stats) -> Sequence[Output]:
        """Keep what it tells of its wires, and move one step towards armed."""
        self.wires = wires(stats, self.boot or 0, self.clock, self.heard)
        return self.bring_up(stats.config_crc)

    def changed(self, change: mcu.StateChanged) -> None:
        """Learn its state, and that it refused a test."""
        self.state = mcu.State(change.state)
        if self.tested_by and change.reason == mcu.StateReason.NOT_ALLOWED_NOW:
            left = self.wires.way_left if self.wires is not None else -1
            self.test += f": refused, {left} counts until the belt has run empty; end the tests and let it run empty"

    def holds(self, event: PartFact) -> bool:
        """Hold an event that cannot be dated, since no clock answer came yet; False when it can be."""
        if self.clock.synchronised:
            return False
        self._undated.append(event)
        return True

    def datable(self) -> list[PartFact]:
        """Give the events that were held, in their order; they are held again by `holds` while there is no clock."""
        waiting, self._undated = self._undated, []
        return waiting

    def health(self, now: HostNs) -> Component:
        """Word its health."""
        waiting = [unit for unit, ready in self._ready_units.items() if not ready]
        if self._foreign:
            waiting = ["an empty belt, to be reset for the changed [mcu]"]
        if self.tested_by:
            waiting = [f"the end of the output tests of {self.tested_by}"]
        return mcu_health(self.boot, self.state, self.fault, now - self.heard, waiting)
