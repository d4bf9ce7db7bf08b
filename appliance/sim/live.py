"""Show a running station on one terminal screen."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group, JustifyMethod
from rich.live import Live as RichLive
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from appliance.schema.actuation import Lane
from appliance.schema.clocks import HostNs, S
from appliance.schema.health import Condition
from appliance.sim.collector import Collector, Inspected

REFRESH_HZ = 8
MOST_ROWS = 20
"""Newest parts shown on a tall terminal."""

FRAME_LINES = 6
"""Lines that are neither a part nor a unit: the head's three, the columns' names, an empty one, the cursor's."""

COLUMNS: tuple[tuple[str, int, JustifyMethod], ...] = (
    ("part", 5, "right"),
    ("verdict", 7, "left"),
    ("reason", 18, "left"),
    ("score", 5, "right"),
    ("ms", 5, "right"),
    ("lane", 8, "left"),
    ("cause", 14, "left"),
)
"""Names and narrowest widths; with their gaps they fill 80 columns."""

MARK = {Lane.ACCEPT: "✓ accept", Lane.REJECT: "✗ reject"}
WORD = {
    Condition.OK: "ok",
    Condition.STARTING: "… starting",
    Condition.DEGRADED: "! degraded",
    Condition.FAILED: "✗ failed",
}
STYLE = {Condition.OK: "", Condition.STARTING: "dim", Condition.DEGRADED: "yellow", Condition.FAILED: "bold red"}


class Live:
    """Own the screen while the station runs; without a terminal it shows nothing."""

    def __init__(self, wanted: bool, parts: int) -> None:  # noqa: FBT001  the demo's --hmi switch
        self._parts = parts
        self._drawn = 0
        self._live = RichLive(console=Console(stderr=True), auto_refresh=False, transient=True) if wanted else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def show(self, collector: Collector, begin: HostNs, now: HostNs) -> None:
        """Draw the screen anew when it is due."""
        if self._live is None or now - self._drawn < S // REFRESH_HZ:
            return
        self._drawn = now
        rows = min(MOST_ROWS, max(1, self._live.console.size.height - FRAME_LINES - len(collector.health)))
        screen = Group(self._head(collector, begin, now), _parts(collector, rows), Text(), _health(collector))
        self._live.update(screen, refresh=True)

    def _head(self, collector: Collector, begin: HostNs, now: HostNs) -> Panel:
        done = [item.actuation for item in collector.parts.values() if item.actuation is not None]
        accepted = sum(item.lane is Lane.ACCEPT for item in done)
        acked = sum(item.acknowledged is not None for item in collector.parts.values())
        text = f"{len(done)} of {self._parts} parts  {accepted} accepted  {len(done) - accepted} rejected  "
        text += f"{acked} taken by PLC  {(now - begin) / S:.0f} s"
        alarms = f"  ▲ {len(collector.alarms)} alarms" if collector.alarms else ""
        line = Text.assemble(text, (alarms, "yellow"), no_wrap=True, overflow="ellipsis")
        return Panel(line, title="firstshift", title_align="left")


def _parts(collector: Collector, rows: int) -> Table:
    table = Table(expand=True, box=None, header_style="dim")
    for name, width, justify in COLUMNS:
        table.add_column(name, justify=justify, min_width=width, no_wrap=True, overflow="ellipsis")
    for item in list(collector.parts.values())[-rows:]:
        table.add_row(*_row(item), style="bold" if item.actuation and item.actuation.lane is Lane.REJECT else "")
    return table


def _row(item: Inspected) -> tuple[str, ...]:
    verdict, result, actuation, manual = item.verdict, item.result, item.actuation, item.manual
    latency = item.latency_ms
    said, why = "", ""
    if verdict is not None:
        said, why = _plain(verdict.disposition), _plain(verdict.reasons[0]) if verdict.reasons else ""
    elif manual is not None:
        said, why = "accept" if manual.accept else "reject", f"{manual.person}: {manual.kind}"
    return (
        str(item.part.number),
        said,
        why,
        f"{result.views[0].score:.2f}" if result and result.views else "",
        f"{latency:.1f}" if latency is not None else "",
        MARK[actuation.lane] if actuation else "on belt",
        _plain(actuation.cause) if actuation else "",
    )


def _health(collector: Collector) -> Table:
    table = Table(box=None, show_header=False, expand=True)
    table.add_column(min_width=11, no_wrap=True)
    table.add_column(min_width=10, no_wrap=True)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for health in sorted(collector.health.values(), key=lambda item: item.unit):
        worst_first = sorted(health.components, key=lambda item: item.condition is Condition.OK)
        words = "; ".join(f"{item.name}: {item.cause}" for item in worst_first if item.cause)
        table.add_row(health.unit, WORD[health.condition], words, style=STYLE[health.condition])
    return table


def _plain(name: str) -> str:
    return name.replace("_", " ")
