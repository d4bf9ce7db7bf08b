"""Show what stands, what was put away and the journal; acknowledge, shelve, take out of service."""

import sqlite3
from typing import Any

from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.governance.rights import Right
from appliance.monitoring.alarm_list import put_away
from appliance.monitoring.alarm_states import AlarmPoint, point_of, refusal
from appliance.monitoring.alarm_table import ROWS, UNKNOWN
from appliance.schema.clocks import S, UtcNs
from appliance.schema.command import NoteAlarm
from appliance.schema.errors import StoreError
from appliance.schema.health import AlarmDeed, AlarmStep
from appliance.storage.alarm_queries import Raised, alarms_between, steps_since
from hmi.screens.alarms import wording
from hmi.screens.alarms.rows import Rows

SAYS = (
    *(row.title for row in ROWS),
    *(row.remedy for row in ROWS),
    *UNKNOWN.values(),
    *(word for word, _, _ in wording.PRIORITIES.values()),
    *wording.STATES.values(),
    *wording.DEEDS.values(),
    *wording.ROLES.values(),
)
"""Source texts that are translated by what an alarm is."""

DAYS = 7
JOURNAL = 300
"""Alarms of the journal, the newest of the last days."""
AGAIN_S = 5

_RIGHTS = {
    AlarmDeed.ACKNOWLEDGED: Right.ACKNOWLEDGE,
    AlarmDeed.SHELVED: Right.SHELVE,
    AlarmDeed.UNSHELVED: Right.SHELVE,
    AlarmDeed.OUT_OF_SERVICE: Right.OUT_OF_SERVICE,
    AlarmDeed.IN_SERVICE: Right.OUT_OF_SERVICE,
}


class AlarmsView(QObject):
    """Give the alarms screen its rows, the chosen alarm and its keys."""

    changed = Signal()

    def __init__(self, desk: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._rows = Rows(self)
        self._tab = "active"
        self._chosen = ""
        self._told = ""
        self._journal: tuple[list[Raised], list[AlarmStep]] = ([], [])
        self._asked_at = UtcNs(0)
        self._shown: dict[str, Any] = {}
        self._show()

    def enter(self) -> None:
        """Ask for the journal anew, and choose what is on top."""
        self._tab, self._told, self._asked_at = "active", "", UtcNs(0)
        self._chosen = ""
        self.refresh()

    def leave(self) -> None:
        """Nothing is held."""

    def refresh(self) -> None:
        """Follow the alarms, the clock and the language."""
        now = self._desk.utc()
        if self._tab == "journal" and now - self._asked_at >= AGAIN_S * S:
            self._asked_at = now
            since = UtcNs(now - DAYS * 24 * 3600 * S)
            self._desk.query(lambda connection: _read(connection, since), self._take)
        self._show()

    @Slot(str)
    def choose(self, key: str) -> None:
        """Show the details of an alarm."""
        self._chosen, self._told = key, ""
        self._show()

    @Slot(str)
    def open_tab(self, name: str) -> None:
        """Show another list."""
        self._tab, self._chosen, self._told, self._asked_at = name, "", "", UtcNs(0)
        self.refresh()

    @Slot(str, str)
    def do(self, deed: str, key: str) -> None:
        """Do something about the alarm that was shown when the finger came down."""
        self._step(AlarmDeed(deed), key, UtcNs(0))

    @Slot(int, str)
    def shelve(self, minutes: int, key: str) -> None:
        """Put an alarm away for a time."""
        self._step(AlarmDeed.SHELVED, key, UtcNs(self._desk.utc() + minutes * 60 * S))

    def _step(self, deed: AlarmDeed, key: str, until: UtcNs) -> None:
        session = self._desk.session
        unit, _, kind = key.partition(" ")
        if not kind or not session.demand(_RIGHTS[deed]):
            return
        step = AlarmStep(self._desk.new_id(), unit, kind, deed, session.who, self._desk.utc(), until)
        self._told = refusal(step)
        if not self._told:
            try:
                self._desk.put(NoteAlarm(step))
            except StoreError as error:
                self._told = str(error)
        self._show()

    def _take(self, found: tuple[list[Raised], list[AlarmStep]] | StoreError) -> None:
        if isinstance(found, StoreError):
            self._told = str(found)
        else:
            self._journal = found
        self._show()

    def _show(self) -> None:
        watch, words, now = self._desk.alarms, self._desk.words, self._desk.utc()
        away = put_away(watch.board)
        points: tuple[AlarmPoint, ...] = {"active": watch.standing, "away": away}.get(self._tab, ())
        keys = [f"{point.unit} {point.kind}" for point in points]
        if self._chosen not in keys:
            self._chosen = keys[0] if keys else ""
        cause = watch.first_cause
        if self._tab == "journal":
            self._rows.show(wording.journal(*self._journal, words))
        else:
            self._rows.show([wording.entry(point, cause, self._chosen, now, words) for point in points])
        self._publish(self._all(away, cause, now))

    def _all(self, away: tuple[AlarmPoint, ...], cause: AlarmPoint | None, now: UtcNs) -> dict[str, Any]:
        watch, words, session = self._desk.alarms, self._desk.words, self._desk.session
        unit, _, kind = self._chosen.partition(" ")
        point = point_of(watch.board, (unit, kind))
        held_back = words.tr("{n} of low priority are held back: too many alarms at once")
        return {
            "tab": self._tab,
            "active": words.number(len(watch.calling)),
            "away": words.number(len(away)),
            "chosen": self._chosen,
            "details": wording.details(point, watch.board, cause, words) if kind else None,
            "held_back": held_back.format(n=words.number(watch.held_back)) if watch.held_back else "",
            "load": wording.load(watch.board.calls, now, words),
            "told": self._told,
            "may_acknowledge": session.may(Right.ACKNOWLEDGE),
            "may_shelve": session.may(Right.SHELVE),
            "may_take_out": session.may(Right.OUT_OF_SERVICE),
        }

    def _publish(self, shown: dict[str, Any]) -> None:
        if shown != self._shown:
            self._shown = shown
            self.changed.emit()

    def _get_shown(self) -> dict[str, Any]:
        return self._shown

    def _get_rows(self) -> QObject:
        return self._rows

    shown = Property("QVariantMap", _get_shown, notify=changed)  # type: ignore[arg-type]  # Qt takes the name of its own type too
    rows = Property(QObject, _get_rows, constant=True)


def _read(connection: sqlite3.Connection, since: UtcNs) -> tuple[list[Raised], list[AlarmStep]]:
    return alarms_between(connection, since, limit=JOURNAL), steps_since(connection, since)
