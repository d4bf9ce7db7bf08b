"""Read the figures of the last days by hour or by shift, and hold them against control limits. No Qt."""

import sqlite3
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from appliance.monitoring.charts import Chart, individuals, moving_average, shares
from appliance.schema.clocks import S, UtcNs
from appliance.storage.shift_queries import Bucket, buckets, first_entered, regime_began

HOUR = 3600 * S
BASELINE = 24
"""Points from which limits are made: a day by the hour, eight days by the shift."""
MOST_LOOKED_AT = 60_000
"""Parts whose scores and times are read; of more, every second, third ... stands for the others."""
REACH = 4
"""So many times as far as its points are read for a baseline: nights and Sundays have no parts."""
SHARES = frozenset({"rejected", "reviewed"})
"""Figures that are shares of parts; the others are means."""


class Span(NamedTuple):
    """Say how far back a trend goes and how finely."""

    length_ns: int
    points: int


SPANS = {"hour": Span(HOUR, 72), "shift": Span(8 * HOUR, 42)}
"""Three days by the hour, two weeks by the shift of eight hours."""


class Baseline(Struct, frozen=True):
    """Hold the first points since model and recipe are what they are; limits come from them."""

    since: UtcNs | None
    """When model or recipe was changed last; None: never."""
    end: UtcNs
    """First instant after them."""
    buckets: tuple[Bucket, ...]
    """Those with parts alone, oldest first; `BASELINE` of them, or it is not complete."""

    @property
    def complete(self) -> bool:
        """Whether further parts change nothing of it."""
        return len(self.buckets) == BASELINE


class Series(Struct, frozen=True):
    """Give the points of a span, one per hour or shift, those without parts too."""

    begins: tuple[UtcNs, ...]
    buckets: tuple[Bucket | None, ...]
    length_ns: int
    baseline: Baseline


class Trend(Struct, frozen=True):
    """Give one chart with its moving average; None: the figure has none."""

    series: Series
    chart: Chart
    """Its baseline counts the points shown that belong to it; 0: it has no limits, or they come from earlier points."""
    average: Chart | None
    behind: int
    """Points that the limits come from; 0: there are no limits."""


def read(connection: sqlite3.Connection, name: str, anchor: UtcNs, now: UtcNs, known: Baseline | None = None) -> Series:
    """Read a span that ends now; its points begin at whole lengths from `anchor` on, none before the first part.

    known: the baseline as it was read before; a complete one is not read again until model or recipe is another.
    """
    span = SPANS[name]
    first = first_entered(connection)
    since = regime_began(connection)
    if first is None:
        return Series((), (), span.length_ns, Baseline(since, now, ()))
    last = anchor + (now - anchor) // span.length_ns * span.length_ns
    begin = last - (span.points - 1) * span.length_ns
    if first > begin:
        begin += (first - begin) // span.length_ns * span.length_ns
    if known is None or known.since != since or not known.complete:
        known = _read_baseline(connection, span, max(first, since or first), anchor, now, since)
    found = buckets(connection, UtcNs(begin), now, span.length_ns, _every(connection, begin, now))
    count = (last - begin) // span.length_ns + 1
    begins = tuple(UtcNs(begin + number * span.length_ns) for number in range(count))
    return Series(begins, tuple(found.get(number) for number in range(count)), span.length_ns, known)


def trend(series: Series, figure: str) -> Trend:
    """Hold one figure against limits from the baseline; what lies before model or recipe was changed has none."""
    base = series.baseline.buckets
    inside = sum(begin < series.baseline.end for begin in series.begins)
    shown: list[Bucket | None] = list(series.buckets)
    everything = [*base, None, *shown]  # the gap keeps runs of the baseline out of those that are shown
    counts = [one.parts if one is not None else 0 for one in everything]
    skip = len(base) + 1
    if figure in SHARES:
        hits = [getattr(one, figure) if one is not None else 0 for one in everything]
        return _cut(Trend(series, shares(hits, counts, len(base)), None, 0), skip, inside)
    values = [getattr(one, figure) if one is not None else None for one in everything]
    chart = individuals(values, len(base), counts)
    average = None
    if chart.baseline:
        average = moving_average(values[skip:], chart.centre, chart.sigma, counts[skip:])
    return _cut(Trend(series, chart, average, 0), skip, inside)


def _cut(whole: Trend, skip: int, inside: int) -> Trend:
    """Leave the copy of the baseline off that stands before what is shown."""
    chart = whole.chart
    behind = len(whole.series.baseline.buckets) if chart.baseline else 0
    shown = replace(chart, points=chart.points[skip:], baseline=inside if behind else 0)
    return replace(whole, chart=shown, behind=behind)


def _read_baseline(
    connection: sqlite3.Connection, span: Span, begin: UtcNs, anchor: UtcNs, now: UtcNs, since: UtcNs | None
) -> Baseline:
    """Read the first points that have parts; a point that a change of model or recipe cuts is left out."""
    back = (begin - anchor) % span.length_ns
    begin = UtcNs(begin - back if since is None or not back else begin - back + span.length_ns)
    end = min(now, UtcNs(begin + REACH * BASELINE * span.length_ns))
    if end <= begin:
        return Baseline(since, now, ())
    found = buckets(connection, begin, end, span.length_ns, _every(connection, begin, end))
    first = [one for _, one in sorted(found.items()) if one.begin + span.length_ns <= now][:BASELINE]
    return Baseline(since, UtcNs(first[-1].begin + span.length_ns) if first else begin, tuple(first))


def _every(connection: sqlite3.Connection, begin: int, end: int) -> int:
    """Give how many parts stand for one whose score and time are read."""
    row = connection.execute("SELECT count(*) FROM entered WHERE utc_ns >= ? AND utc_ns < ?", (begin, end)).fetchone()
    return max(1, int(row[0]) // MOST_LOOKED_AT)
