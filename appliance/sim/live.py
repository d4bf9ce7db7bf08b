"""Show a running station on one terminal screen."""

from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from appliance.schema.actuation import Lane
from appliance.schema.clocks import HostNs, S
from appliance.schema.health import Condition
from appliance.sim.collector import Collector, Inspected

ROWS = 12
"""Newest parts shown; with health and counts they fit 24 lines."""

REFRESH_HZ = 8
MARK = {Lane.ACCEPT: "✓ accept", Lane.REJECT: "✗ reject"}
STYLE = {Condition.OK: "", Condition.STARTING: "dim", Condition.DEGRADED: "yellow", Condition.FAILED: "bold red"}


class Live:
    """Own the screen while the station runs; without a terminal it shows nothing."""

    def __init__(self, wanted: bool, parts: int) -> None:  # noqa: FBT001  the demo's --hmi switch
        self._parts = parts
        self._drawn = 0
        self._live = (
            RichLive(console=Console(stderr=True), refresh_per_second=REFRESH_HZ, transient=True) if wanted else None
        )

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
        self._live.update(Group(self._head(collector, begin, now), _parts(collector), _health(collector)))

    def _head(self, collector: Collector, begin: HostNs, now: HostNs) -> Panel:
        done = [item.actuation for item in collector.parts.values() if item.actuation is not None]
        accepted = sum(item.lane is Lane.ACCEPT for item in done)
        acked = sum(item.acknowledged is not None for item in collector.parts.values())
        text = f"{len(done)} of {self._parts} parts   {accepted} accepted   {len(done) - accepted} rejected   "
        text += f"{acked} taken by the PLC   {(now - begin) / S:.0f} s   {len(collector.alarms)} alarms"
        return Panel(Text(text), title="firstshift", title_align="left")


def _parts(collector: Collector) -> Table:
    table = Table(
        "part", "verdict", "reason", "score", "ms", "lane", "cause", expand=True, box=None, header_style="dim"
    )
    for item in list(collector.parts.values())[-ROWS:]:
        table.add_row(*_row(item), style="" if item.actuation and item.actuation.lane is Lane.ACCEPT else "bold")
    return table


def _row(item: Inspected) -> tuple[str, ...]:
    verdict, result, actuation = item.verdict, item.result, item.actuation
    latency = item.latency_ms
    return (
        f"{item.part.number:6d}",
        verdict.disposition.value if verdict else "-",
        verdict.reasons[0].value if verdict and verdict.reasons else "",
        f"{result.views[0].score:.2f}" if result and result.views else "",
        f"{latency:.1f}" if latency is not None else "",
        MARK[actuation.lane] if actuation else "on the belt",
        actuation.cause.value if actuation else "",
    )


def _health(collector: Collector) -> Table:
    table = Table(box=None, show_header=False, expand=True)
    for health in sorted(collector.health.values(), key=lambda item: item.unit):
        causes = "; ".join(f"{item.name} {item.cause}" for item in health.components if item.cause)
        table.add_row(health.unit, health.condition.value, causes[:80], style=STYLE[health.condition])
    return table
