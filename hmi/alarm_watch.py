"""Keep the alarms of the station as the touchscreen hears them: what header, run and alarms screen show; no Qt.

Sources are the alarms on the bus, the health of each unit, units that say nothing, and what people did. What happened
before the touchscreen started comes from the store; the health of that time is kept nowhere, so a component that is
still bad is asked about again.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from appliance.monitoring.alarm_list import filtered, first_cause, flood, standing
from appliance.monitoring.alarm_row import ABSENT, Priority
from appliance.monitoring.alarm_states import (
    EMPTY,
    AlarmBoard,
    AlarmPoint,
    cleared,
    passed,
    raised,
    stepped,
)
from appliance.monitoring.alarm_table import NOTICES, row_of
from appliance.schema.clocks import S, UtcNs
from appliance.schema.health import Alarm, AlarmStep, Component, Condition, Health
from appliance.storage.alarm_queries import Raised
from hmi.state import StationState

STARTING_LIMIT = 30 * S
"""A component that is still starting after this time is no better than a degraded one."""
SAME = 2 * S
"""Bus and store may date one alarm so far apart."""

HEARD = 2000
"""Alarms that are remembered so that none counts twice; texts name parts, so they never end."""

_BAD = (Condition.DEGRADED, Condition.FAILED)


class AlarmWatch:
    """Fold what is heard into one board; called by one thread."""

    def __init__(self) -> None:
        self.board: AlarmBoard = EMPTY
        self.calling: tuple[AlarmPoint, ...] = ()
        """What calls for a person, all of it."""
        self.standing: tuple[AlarmPoint, ...] = ()
        """The same with the first cause on top, in a flood without those of low priority."""
        self.held_back = 0
        """How many the flood filter leaves out."""
        self.first_cause: AlarmPoint | None = None
        self.flooded = False
        self.changed = 0
        """Grows with every change of the above."""
        self._number = -1
        self._summed: AlarmBoard | None = None
        """What `standing` was made from."""
        self._heard: dict[tuple[str, str, str, str], UtcNs] = {}
        self._steps: set[str] = set()
        self._starting: dict[tuple[str, str], UtcNs] = {}
        self._health: dict[str, Health] = {}

    @property
    def active(self) -> int:
        """Alarms whose cause stands and that nobody put away."""
        return sum(point.active for point in self.calling)

    @property
    def unacknowledged(self) -> int:
        """Alarms that nobody has seen."""
        return sum(not point.seen for point in self.calling)

    @property
    def top(self) -> AlarmPoint | None:
        """The alarm to name where there is room for one."""
        return self.standing[0] if self.standing else None

    @property
    def worst(self) -> Priority | None:
        """Highest priority among those that stand."""
        return min((point.row.priority for point in self.standing), default=None)

    def refresh(self, state: StationState, now: UtcNs) -> None:
        """Take what the station says now; costs little where nothing changed."""
        for heard in state.alarms:
            if heard.number > self._number:
                self._number = heard.number
                self._raise(heard.alarm, heard.at)
        for unit, service in state.services.items():
            self._presence(unit, is_absent=service.absent, now=now)
            if service.health is not None and not service.absent:
                self._components(service.health, now)
        self.board = passed(self.board, now)
        self._sum_up(now)

    def remember(self, alarms: Iterable[Raised], steps: Iterable[AlarmStep], now: UtcNs) -> None:
        """Take what the store holds of alarms and of what people did; told twice it counts once."""
        told: list[Raised | AlarmStep] = sorted([*alarms, *steps], key=lambda one: one.at)
        for one in told:
            if isinstance(one, AlarmStep):
                self.step(one)
            else:
                self._raise(one, one.at)
        self.board = passed(self.board, now)
        self._sum_up(now)

    def step(self, step: AlarmStep) -> None:
        """Take what a person did here, before the store has told it."""
        if step.step_id not in self._steps:
            self._steps.add(step.step_id)
            point = row_of(step.unit, step.kind).point
            self.board = stepped(self.board, replace(step, kind=point) if point else step)

    def _raise(self, told: Alarm | Raised, at: UtcNs) -> None:
        if told.kind in NOTICES:
            return
        name = (told.unit, told.kind, told.text, told.part)
        last = self._heard.get(name)
        if last is not None and abs(at - last) < SAME:
            return
        self._heard[name] = max(at, last or at)
        if len(self._heard) > HEARD:
            del self._heard[next(iter(self._heard))]
        point = row_of(told.unit, told.kind).point
        key = (told.unit, point or told.kind)
        is_over = not self._is_bad(told.unit, point)
        self.board = raised(self.board, key, at, told.text, told.part, momentary=is_over)

    def _is_bad(self, unit: str, component: str) -> bool:
        """Say whether a component that an alarm speaks of is bad by the unit's own account."""
        health = self._health.get(unit)
        return health is not None and any(one.name == component and one.condition in _BAD for one in health.components)

    def _presence(self, unit: str, *, is_absent: bool, now: UtcNs) -> None:
        key = (unit, ABSENT)
        point = self.board.points.get(key)
        if is_absent and (point is None or not point.active):
            self._health.pop(unit, None)
            self.board = raised(self.board, key, now, f"{unit} says nothing; see `systemctl status`")
        elif not is_absent and point is not None:
            self.board = cleared(self.board, key, now)

    def _components(self, health: Health, now: UtcNs) -> None:
        if self._health.get(health.unit) is health and not self._starting:
            return
        self._health[health.unit] = health
        for component in health.components:
            key = (health.unit, component.name)
            if self._is_active(key, component, now):
                text = f"{component.cause}; {component.remedy}" if component.remedy else component.cause
                self.board = raised(self.board, key, now, text)
            else:
                self.board = cleared(self.board, key, now)
        self._forget_missing(health, now)

    def _is_active(self, key: tuple[str, str], component: Component, now: UtcNs) -> bool:
        if component.condition is not Condition.STARTING:
            self._starting.pop(key, None)
            return component.condition in _BAD
        return now - self._starting.setdefault(key, now) >= STARTING_LIMIT

    def _forget_missing(self, health: Health, now: UtcNs) -> None:
        """Clear components that the unit does not speak of any more."""
        named = {component.name for component in health.components} | {ABSENT}
        for unit, kind in tuple(self.board.points):
            if unit == health.unit and kind not in named:
                self.board = cleared(self.board, (unit, kind), now)

    def _sum_up(self, now: UtcNs) -> None:
        flooded = flood(self.board, now, before=self.flooded)
        if self.board is self._summed and flooded == self.flooded:
            return
        self._summed = self.board
        self.calling = standing(self.board)
        cause = first_cause(self.board)
        shown, held_back = filtered(self.calling, cause, flooded=flooded)
        new = (shown, held_back, cause, flooded)
        if new != (self.standing, self.held_back, self.first_cause, self.flooded) or not self.changed:
            self.standing, self.held_back, self.first_cause, self.flooded = new
            self.changed += 1
