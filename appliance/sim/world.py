"""Run Nodes in one thread on a manual clock, over a seeded bus that loses, delays, doubles and reorders.

The Nodes are the very objects that `_loop.py` runs on real sockets; here their clock, bus and process are played.
Everything random comes from one generator, so a seed names a whole history.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from appliance.ports.device import Device
from appliance.ports.node import Ask, Node, Output, Publish, Replied, Restart
from appliance.schema.clocks import MS, HostNs
from appliance.schema.command import Command, RefusedReply, Reply
from appliance.schema.errors import ApplianceError
from appliance.sim.scenario import BusFaults

HOP = 350_000
"""Time of a message from socket to socket, ns: the median of bench/hop.py on a machine that does other things too."""

ANSWER_LIMIT = 1000 * MS
"""A wish that is not answered within this time is given up."""

RESTART = 300 * MS
"""From the death of a process to its first turn, as systemd starts it again (RestartSec) plus its imports."""

Factory = Callable[[HostNs], tuple[Node, Mapping[str, Device]]]
_Due = tuple[int, int, Callable[[], None]]
Listener = Callable[[HostNs, str, Struct], None]


class Physics(Protocol):
    """Play what is no process: belt, sensors, microcontroller."""

    def due_at(self) -> HostNs:
        """Next instant at which something physical happens."""

    def run_until(self, now: HostNs) -> None:
        """Let it happen."""


class Busy(Protocol):
    """Tell how long the last call of a unit kept its process busy."""

    busy_until: HostNs


class Unit:
    """Play one process: a node with its devices, which can be killed, frozen and started again."""

    def __init__(
        self, name: str, factory: Factory, busy: Busy | None = None, aside: random.Random | None = None
    ) -> None:
        """Take the way to start the process.

        `aside`: an onlooker, which no other unit connects to; it draws the fate of what the onlooker hears. So the
        rest of the world goes on as without it, draw for draw and step for step.
        """
        self.name = name
        self.aside = aside
        self.factory = factory
        self.busy = busy
        self.node: Node | None = None
        self.devices: Mapping[str, Device] = {}
        self.life = 0
        """Counts starts; a message sent to an earlier life is lost with it."""
        self.start_at: HostNs | None = HostNs(0)
        self.frozen_until = HostNs(0)
        self.waiting: list[tuple[str, Struct]] = []
        self._due: HostNs | None = None
        self._stale = True

    def touch(self) -> None:
        """Say that something in the unit may have changed when it wants its next turn."""
        self._stale = True

    def held_until(self, now: HostNs) -> HostNs:
        """Instant until which the process cannot take a turn."""
        busy = self.busy.busy_until if self.busy is not None else HostNs(0)
        return max(now, self.frozen_until, busy)

    @property
    def due_at(self) -> HostNs | None:
        """Next instant at which the unit wants a turn; None while it is dead for good."""
        if self._stale:
            self._due, self._stale = self._work_out_due(), False
        return self._due

    def _work_out_due(self) -> HostNs | None:
        if self.node is None:
            return self.start_at
        due = HostNs(0) if self.waiting else self.node.wake_at
        for device in self.devices.values():
            wake = HostNs(0) if device.fileno() >= 0 else device.wake_at
            if wake is not None and (due is None or wake < due):
                due = wake
        return self.held_until(due) if due is not None else None


class World:
    """Hold all units, the bus between them and the physics under them."""

    def __init__(self, seed: int, physics: Physics, faults: BusFaults) -> None:
        self.now = HostNs(1_000_000_000)
        self.random = random.Random(seed)
        self.faults = faults
        self.units: dict[str, Unit] = {}
        self.listeners: list[Listener] = []
        """Hear every message as its writer sent it, before the bus touches it."""
        self._physics = physics
        self._heap: list[_Due] = []
        self._aside: list[_Due] = []
        self._line: list[Unit] = []
        self._onlookers: list[Unit] = []
        self._order = itertools.count()

    def add(self, unit: Unit) -> None:
        """Put a unit into the world; it starts at once."""
        unit.start_at = self.now
        unit.touch()
        self.units[unit.name] = unit
        (self._line if unit.aside is None else self._onlookers).append(unit)

    def at(self, instant: HostNs, act: Callable[[], None]) -> None:
        """Do something at an instant."""
        heapq.heappush(self._heap, (instant, next(self._order), act))

    def _at(self, unit: Unit, instant: HostNs, act: Callable[[], None]) -> None:
        heapq.heappush(self._heap if unit.aside is None else self._aside, (instant, next(self._order), act))

    def kill(self, name: str) -> None:
        """End a process as SIGKILL does; it is started again after RESTART."""
        unit = self.units[name]
        for device in unit.devices.values():
            device.close()
        unit.node, unit.devices, unit.waiting = None, {}, []
        unit.life += 1
        unit.frozen_until = HostNs(0)
        unit.start_at = HostNs(self.now + RESTART)
        unit.touch()

    def freeze(self, name: str, span_ns: int) -> None:
        """Stop a process for a time as SIGSTOP does; what is sent to it waits."""
        self.units[name].frozen_until = HostNs(self.now + span_ns)
        self.units[name].touch()

    def ask(self, name: str, command: Command, answered: Callable[[Reply], None]) -> None:
        """Send a wish to a unit; a busy one answers when it is free, a dead one never."""
        unit = self.units[name]
        if unit.node is None:
            return
        free = unit.held_until(self.now)
        if unit.waiting or free > self.now:
            life = unit.life
            again = max(free, HostNs(self.now + 1))
            self.at(again, lambda: self.ask(name, command, answered) if unit.life == life else None)
            return
        reply, outputs = unit.node.command(command, self.now)
        self._act(unit, outputs)
        answered(reply)

    def run_until(self, end: HostNs) -> None:
        """Let everything happen that is due up to `end`."""
        while True:
            instant = self._next()
            self._onlook(min(instant, end))
            if instant > end:
                self.now = end
                self._physics.run_until(end)
                return
            self.now = max(self.now, instant)
            self._physics.run_until(self.now)
            self._run(self._heap, self._line)

    def _onlook(self, until: HostNs) -> None:
        """Let the onlookers have what is due to them; the physics need not stop for that."""
        while self._onlookers and (instant := _soonest(self._aside, self._onlookers)) is not None and instant <= until:
            self.now = max(self.now, instant)
            self._run(self._aside, self._onlookers)

    def _run(self, heap: list[_Due], units: Iterable[Unit]) -> None:
        while heap and heap[0][0] <= self.now:
            heapq.heappop(heap)[2]()
        for unit in units:
            due = unit.due_at
            if due is not None and due <= self.now:
                unit.touch()
                self._turn(unit)

    def _next(self) -> HostNs:
        soonest = _soonest(self._heap, self._line)
        physics = self._physics.due_at()
        return physics if soonest is None else min(physics, soonest)

    def _turn(self, unit: Unit) -> None:
        if unit.node is None:
            if unit.start_at is not None and self.now >= unit.start_at:
                self._begin(unit)
            return
        while unit.waiting and unit.held_until(self.now) <= self.now:
            topic, message = unit.waiting.pop(0)
            self._act(unit, unit.node.receive(topic, message, self.now))
        if unit.held_until(self.now) > self.now:
            return
        for name, device in unit.devices.items():
            due = device.wake_at
            if device.fileno() >= 0 or (due is not None and self.now >= due):
                for message in device.read(self.now):
                    self._act(unit, unit.node.receive(f"device:{name}", message, self.now))
        due = unit.node.wake_at
        if due is not None and self.now >= due:
            self._act(unit, unit.node.wake(self.now))

    def _begin(self, unit: Unit) -> None:
        """Start a process; one that cannot begin, as with a full disk, ends and is started again."""
        unit.start_at = None
        unit.node, unit.devices = unit.factory(self.now)
        try:
            outputs = unit.node.start(self.now)
        except ApplianceError:
            self.kill(unit.name)
        else:
            self._act(unit, outputs)

    def _act(self, unit: Unit, outputs: Sequence[Output]) -> None:
        """Carry out what a node wants; a busy process is done with it only when it is no longer busy."""
        done = unit.busy.busy_until if unit.busy is not None else self.now
        if done > self.now and outputs:
            life = unit.life
            self._at(unit, done, lambda: self._carry(unit, outputs) if unit.life == life else None)
        else:
            self._carry(unit, outputs)

    def _carry(self, unit: Unit, outputs: Iterable[Output]) -> None:
        unit.touch()
        for output in outputs:
            if isinstance(output, Publish):
                for listener in self.listeners:
                    listener(self.now, output.topic, output.message)
                if unit.aside is None:
                    self._send(output.topic, output.message)
            elif isinstance(output, Ask):
                self._wish(unit, output)
            elif isinstance(output, Restart):
                self.kill(unit.name)
                return
            else:
                unit.devices[output.device].write(output.message, self.now)

    def _wish(self, unit: Unit, wish: Ask) -> None:
        """Carry a unit's wish to another; without an answer in time the asker is told that there was none."""
        answered: list[Reply] = []

        def tell(reply: Reply) -> None:
            if not answered:
                answered.append(reply)
                arrive = self._arrival(unit, f"reply:{wish.unit}", Replied(wish.ticket, reply))
                self._at(unit, HostNs(self.now + HOP), arrive)

        self._at(unit, HostNs(self.now + HOP), lambda: self.ask(wish.unit, wish.command, tell))
        none = RefusedReply(f"{wish.unit}: no answer in time; see `firstshift check`")
        self._at(unit, HostNs(self.now + ANSWER_LIMIT), lambda: tell(none))

    def _send(self, topic: str, message: Struct) -> None:
        for unit in self.units.values():
            if unit.node is None or not topic.startswith(unit.node.topics):
                continue
            fate = unit.aside or self.random
            if self.faults.lose and fate.random() < self.faults.lose:
                continue
            copies = 2 if self.faults.double and fate.random() < self.faults.double else 1
            for _ in range(copies):
                delay = HOP + (fate.randrange(self.faults.delay_ns) if self.faults.delay_ns else 0)
                self._at(unit, HostNs(self.now + delay), self._arrival(unit, topic, message))

    def _arrival(self, unit: Unit, topic: str, message: Struct) -> Callable[[], None]:
        life = unit.life

        def arrive() -> None:
            if unit.node is None or unit.life != life:
                return
            if unit.waiting or unit.held_until(self.now) > self.now:
                unit.waiting.append((topic, message))
            else:
                self._act(unit, unit.node.receive(topic, message, self.now))
            unit.touch()

        return arrive


def _soonest(heap: list[_Due], units: Iterable[Unit]) -> HostNs | None:
    soonest: int | None = heap[0][0] if heap else None
    for unit in units:
        due = unit.due_at
        if due is not None and (soonest is None or due < soonest):
            soonest = due
    return HostNs(soonest) if soonest is not None else None
