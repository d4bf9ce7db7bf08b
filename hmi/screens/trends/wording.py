"""Put a trend into what the chart draws and says. No Qt."""

import math
from collections.abc import Sequence
from typing import Any

from appliance.monitoring.charts import FEWEST, Chart, Point, Rule
from hmi.screens.alarms.wording import Speaks
from hmi.screens.trends.series import HOUR, SHARES, Series, Trend

FIGURES = {
    "rejected": "Rejected parts",
    "reviewed": "Parts for people",
    "score": "Mean image score",
    "latency_ms": "Sensor to verdict",
}
RULES = {
    Rule.BEYOND: "Outside the limits",
    Rule.SIDE: "Nine on one side",
    Rule.TREND: "Six in one direction",
    Rule.TWO_OF_THREE: "Two of three far out",
    Rule.FOUR_OF_FIVE: "Four of five off centre",
}
TICKS = 4
FALSE_ALARMS = {True: 147, False: 64}
"""Points in control to one that breaks a rule by chance, simulated on 2026-11-22: shares of 500 parts at 3 % (60,000
points, 134 to 163 at 95 %), and single values with all five rules (200,000 points, 62 to 67)."""


def chart_of(trend: Trend, figure: str, words: Speaks) -> dict[str, Any]:
    """Give the chart: points with limits and shape, ends of the axis, ticks and times."""
    chart = trend.chart
    bottom, peak = _ends(chart, figure)
    averages = trend.average.points if trend.average is not None else ()
    return {
        "points": [_point(one, averages[i] if averages else None) for i, one in enumerate(chart.points)],
        "bottom": bottom,
        "peak": peak,
        "centre": chart.centre,
        "baseline": chart.baseline,
        "ticks": [
            {"at": at, "text": _figure(at, figure, peak - bottom, words)}
            for at in (bottom + (peak - bottom) * step / TICKS for step in range(TICKS + 1))
        ],
        "times": _times(trend.series, words),
        "name": words.tr(FIGURES[figure]),
        "empty": not any(one.value is not None for one in chart.points),
    }


def said(trend: Trend, figure: str, words: Speaks) -> list[str]:
    """Say what the limits stand on, what the newest point is, and how often chance alone breaks a rule."""
    chart, series = trend.chart, trend.series
    known = [(place, one) for place, one in enumerate(chart.points) if one.value is not None]
    lines = [words.tr(FIGURES[figure])]
    if known:
        place, newest = known[-1]
        lines[0] += " · " + words.tr("{time}: {value}, {n} parts").format(
            time=words.moment(series.begins[place]),
            value=_figure(newest.value or 0.0, figure, abs(newest.value or 1.0), words),
            n=words.number(newest.n),
        )
    base = series.baseline
    if trend.behind:
        here = words.tr("Limits from {n} points, {begin} to {end} (light ground)")
        earlier = words.tr("Limits from {n} earlier points, {begin} to {end}")
        ends = {"begin": words.moment(base.buckets[0].begin), "end": words.moment(base.end)}
        lines.append((here if chart.baseline else earlier).format(n=words.number(trend.behind), **ends))
        odds = words.number(FALSE_ALARMS[figure in SHARES])
        lines.append(words.tr("By chance alone one point in {n} or so is marked").format(n=odds))
    else:
        lines.append(
            words.tr("No limits yet: {n} points, {least} are needed").format(
                n=words.number(len(base.buckets)), least=words.number(FEWEST)
            )
        )
    if trend.average is not None:
        lines.append(words.tr("Dashed: moving average, which sees small lasting shifts"))
    return lines


def legend(trend: Trend, words: Speaks) -> list[dict[str, str]]:
    """Give the rules that points break, with their shapes; the moving average has one of its own."""
    found = [
        {"shape": rule.value, "text": f"{words.tr(text)}: {words.number(count)}"}
        for rule, text in RULES.items()
        if (count := sum(rule in one.broken for one in trend.chart.points))
    ]
    astray = sum(bool(one.broken) for one in trend.average.points) if trend.average is not None else 0
    if astray:
        found.append({"shape": "astray", "text": f"{words.tr('Average off its limits')}: {words.number(astray)}"})
    return found


def _point(point: Point, average: Point | None) -> dict[str, Any]:
    return {
        "value": point.value,
        "low": point.low if math.isfinite(point.low) else None,
        "high": point.high if math.isfinite(point.high) else None,
        "average": average.value if average is not None else None,
        "shape": point.broken[0].value if point.broken else "",
        "astray": average is not None and bool(average.broken),
    }


def _ends(chart: Chart, figure: str) -> tuple[float, float]:
    """Give the ends of the axis: all values and limits, and some room."""
    values = [one.value for one in chart.points if one.value is not None]
    limits = [end for one in chart.points for end in (one.low, one.high) if math.isfinite(end)]
    low, high = min([*values, *limits], default=0.0), max([*values, *limits], default=1.0)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 0.01
    if figure in SHARES:
        return 0.0, min(1.0, high + room)
    return low - room, high + room


def _times(series: Series, words: Speaks) -> Sequence[dict[str, Any]]:
    """Give the first, the middle and the last time of the axis."""
    count = len(series.begins)
    write = words.moment if series.length_ns == HOUR else words.day
    places = sorted({0, count // 2, count - 1}) if count > 2 else list(range(count))
    return [{"place": place, "text": write(series.begins[place])} for place in places]


def _figure(value: float, figure: str, reach: float, words: Speaks) -> str:
    if figure in SHARES:
        return words.percent(value)
    digits = max(0, min(6, 2 - math.floor(math.log10(reach)))) if reach > 0 else 2
    text = words.number(value, digits)
    return words.tr("{n} ms").format(n=text) if figure == "latency_ms" else text
