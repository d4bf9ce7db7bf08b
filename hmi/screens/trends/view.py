"""Show one control chart at a time, by the hour or by the shift."""

from functools import partial
from typing import Any

from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.monitoring.shifts import shift_at, starts
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import StoreError
from appliance.schema.policy import Mode
from hmi.screens.statistics.view import zone_of
from hmi.screens.trends import wording
from hmi.screens.trends.series import SPANS, Baseline, Series, read, trend

SAYS = (*wording.FIGURES.values(), *wording.RULES.values())
"""Source texts that are translated by what is charted."""

AGAIN_S = 30


class TrendsView(QObject):
    """Give the trends screen its chart."""

    changed = Signal()

    def __init__(self, desk: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._figure, self._span = "rejected", "hour"
        self._series: Series | None = None
        self._baselines: dict[str, Baseline] = {}
        self._fault = ""
        self._asked = ""
        self._asked_at = UtcNs(0)
        self._drawn: tuple[Any, ...] = ()
        self._shown: dict[str, Any] = {}
        self._show()

    def enter(self) -> None:
        """Read anew."""
        self._asked = ""
        self.refresh()

    def leave(self) -> None:
        """Nothing is held."""

    def refresh(self) -> None:
        """Read again now and then, and follow the language."""
        now = self._desk.utc()
        if self._asked != self._span or now - self._asked_at >= AGAIN_S * S:
            self._asked, self._asked_at = self._span, now
            anchor = shift_at(now, starts(self._desk.loaded.config.station.shifts), zone_of(self._desk)).begin
            known = self._baselines.get(self._span)
            self._desk.query(partial(read, name=self._span, anchor=anchor, now=now, known=known), self._take)
        self._show()

    @Slot(str)
    def choose(self, figure: str) -> None:
        """Show another figure."""
        self._figure = figure
        self._show()

    @Slot(str)
    def by(self, span: str) -> None:
        """Go by the hour or by the shift."""
        self._span, self._series = span, None
        self.refresh()

    def _take(self, found: Series | StoreError) -> None:
        if isinstance(found, StoreError):
            self._series, self._fault = None, str(found)
        elif found.length_ns == SPANS[self._span].length_ns:
            self._series, self._fault = found, ""
            self._baselines[self._span] = found.baseline
        self._show()

    def _show(self) -> None:
        words, series = self._desk.words, self._series
        is_parallel = self._desk.state.mode is not Mode.PRIMARY
        drawn = (self._figure, self._span, words.language, is_parallel, self._fault, series)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        shown: dict[str, Any] = {
            "figure": self._figure,
            "span": self._span,
            "is_parallel": is_parallel,
            "fault": self._fault,
            "ready": series is not None,
        }
        if series is not None:
            found = trend(series, self._figure)
            shown["chart"] = wording.chart_of(found, self._figure, words)
            shown["said"] = "\n".join(wording.said(found, self._figure, words))
            shown["legend"] = wording.legend(found, words)
        self._shown = shown
        self.changed.emit()

    def _get_shown(self) -> dict[str, Any]:
        return self._shown

    shown = Property("QVariantMap", _get_shown, notify=changed)  # type: ignore[arg-type]  # Qt takes its own type's name
