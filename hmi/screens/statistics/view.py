"""Show one shift at a time: figures, causes, classes, people, escapes, and in parallel mode the comparison."""

from datetime import UTC, datetime, tzinfo
from functools import partial
from typing import Any

from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.governance.rights import Right
from appliance.monitoring.shifts import Shift, shift_after, shift_at, shift_before, starts
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import StoreError
from appliance.schema.policy import Basis, Mode
from appliance.schema.verdict import Reason
from hmi.screens.statistics import wording
from hmi.screens.statistics.report import Report, gather

SAYS = (
    *wording.WHY.values(),
    *wording.CAPTIONS,
    *wording.PEOPLE_HEAD,
    *wording.SEED_HEAD,
    *wording.PARALLEL_HEAD,
    "Escapes",
    "Good parts held back",
)
"""Source texts that are translated by what is counted."""

AGAIN_S = 15
"""Time between two counts of the shift that still runs."""


class StatisticsView(QObject):
    """Give the statistics screen the figures of a shift."""

    changed = Signal()

    def __init__(self, desk: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._begins = starts(desk.loaded.config.station.shifts)
        self._zone = zone_of(desk)
        self._shift = self._now()
        self._tab = "shift"
        self._report: Report | None = None
        self._fault = ""
        self._asked: tuple[Any, ...] = ()
        self._asked_at = UtcNs(0)
        self._shown: dict[str, Any] = {}
        self._show()

    def enter(self) -> None:
        """Show the shift that runs."""
        self._shift, self._tab, self._asked = self._now(), "shift", ()
        self.refresh()

    def leave(self) -> None:
        """Nothing is held."""

    def refresh(self) -> None:
        """Count anew where the shift, the person or the mode is another, or the shift still runs."""
        session, state, now = self._desk.session, self._desk.state, self._desk.utc()
        wanted = (self._shift, session.who, session.may(Right.SEE_OTHERS), state.mode is not Mode.PRIMARY)
        is_due = self._shift.end > now and now - self._asked_at >= AGAIN_S * S
        if wanted != self._asked or is_due:
            if wanted[:1] != self._asked[:1] or wanted[1:] != self._asked[1:]:
                self._report = None  # nobody sees the figures of whoever was here before
            self._asked, self._asked_at = wanted, now
            is_banded = self._desk.loaded.recipe.policy.basis is Basis.CONFIDENCE
            between = Reason.BETWEEN_BANDS if is_banded else Reason.BETWEEN_LIMITS
            read = partial(
                gather, shift=wanted[0], who=wanted[1], between=between, others=wanted[2], is_parallel=wanted[3]
            )
            self._desk.query(read, self._take)
        self._show()

    @Slot(str)
    def open_tab(self, name: str) -> None:
        """Show another page of the shift."""
        self._tab = name
        self._show()

    @Slot()
    def earlier(self) -> None:
        """Go to the shift before."""
        self._shift = shift_before(self._shift, self._begins, self._zone)
        self.refresh()

    @Slot()
    def later(self) -> None:
        """Go to the shift after; none lies after the one that runs."""
        if self._shift.end <= self._desk.utc():
            self._shift = shift_after(self._shift, self._begins, self._zone)
            self.refresh()

    def _now(self) -> Shift:
        return shift_at(self._desk.utc(), self._begins, self._zone)

    def _take(self, found: Report | StoreError) -> None:
        if isinstance(found, StoreError):
            self._report, self._fault = None, str(found)
        elif found.shift == self._shift:
            self._report, self._fault = found, ""
        self._show()

    def _show(self) -> None:
        words, report, shift = self._desk.words, self._report, self._shift
        review = self._desk.state.review
        others = self._desk.session.may(Right.SEE_OTHERS)
        is_parallel = self._desk.state.mode is not Mode.PRIMARY
        told = words.tr("Shift {n} · {day} · {begin} to {end}")
        shown: dict[str, Any] = {
            "tab": self._tab,
            "title": told.format(
                n=words.number(shift.number),
                day=words.day(shift.begin),
                begin=words.clock(shift.begin),
                end=words.clock(shift.end),
            ),
            "runs": shift.end > self._desk.utc(),
            "others": others,
            "is_parallel": is_parallel,
            "fault": self._fault,
            "ready": report is not None,
        }
        if report is not None:
            looked = words.tr("Strongest finding of {n} parts that were held back").format(
                n=words.number(report.counts.looked_through)
            )
            shown |= {
                "cards": wording.cards(report, review.waiting if review is not None else None, words),
                "causes": wording.bars(report.causes, words),
                "classes": wording.bars(report.classes, words),
                "looked": looked,
                "people": wording.people(report, words),
                "escapes": wording.escapes(report, words),
                "parallel": wording.parallel(report, words),
            }
        if shown != self._shown:
            self._shown = shown
            self.changed.emit()

    def _get_shown(self) -> dict[str, Any]:
        return self._shown

    shown = Property("QVariantMap", _get_shown, notify=changed)  # type: ignore[arg-type]  # Qt takes its own type's name


def zone_of(desk: Any) -> tzinfo:
    """Give the time zone of the station's clock on the wall; the computer's where the desk names none."""
    zone: tzinfo | None = desk.zone
    return zone or datetime.now(UTC).astimezone().tzinfo or UTC
