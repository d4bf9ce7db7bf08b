"""Draw a scenario's run as a timing diagram (SVG); pure. Edges stand where the run has them, none is drawn by hand."""

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct
from msgspec.structs import replace

from appliance.outputs.plc.scenarios import Arrow, Scenario
from appliance.outputs.plc.signals import Signal, edge_of, signal

LABELS = 172
NARROWEST, RIGHT = 900.0, 84.0
"""Smallest width, and what stands right of the last step, px."""
ROW, HIGH = 31, 17
"""Height of a row, and of a wave in it, px."""
ANSWER = 16
"""Answers of the appliance stand this far right of what they answer; in truth one turn of its loop, about 1 ms."""
LEGEND_LINE = 19
INK, FAINT, ARROW = "#1c2430", "#d5dae1", "#c2570c"
PLC_INK, OUR_INK, GOOD, BAD = "#1b5aa6", "#12664a", "#1d8f4e", "#b3261e"
BREAK_MS = 400
"""A longer pause is drawn as a break."""

_STYLE = (
    "text{font-family:'Segoe UI','Helvetica Neue',Arial,sans-serif;font-size:12px;fill:" + INK + "}"
    ".title{font-size:17px;font-weight:600}.says{font-size:12.5px;fill:#48525f}"
    ".group{font-size:10.5px;font-weight:600;letter-spacing:.8px;fill:#6b7684}"
    ".value{font-size:10.5px;text-anchor:middle}.time{font-size:10px;fill:#6b7684;text-anchor:middle}"
    ".event{font-size:11px}.number{font-size:10.5px;font-weight:700;fill:#fff;text-anchor:middle}"
)

_TIP = (
    '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="7" refY="3.5" orient="auto">'
    f'<path d="M0,0 L8,3.5 L0,7 z" fill="{ARROW}"/></marker></defs>'
)


class Column(Struct, frozen=True):
    """Place one step."""

    step: int
    x: float
    at_ms: int
    gap_ms: int


def diagram(scenario: Scenario) -> str:
    """Give the SVG. ValueError when an arrow names an edge that the run does not have."""
    steps = scenario.steps()
    rows = [signal(name, steps) for name in scenario.signals]
    columns = _columns(scenario, rows, [step.happening is not None for step in steps], [step.at_ms for step in steps])
    events = [(column.x, steps[column.step].says) for column in columns if steps[column.step].happening is not None]
    width = max(columns[-1].x + RIGHT, NARROWEST)
    top = 74 + (62 if events else 0)
    places, bottom = _places(rows, top)
    half = -(-len(scenario.arrows) // 2)
    height = bottom + 42 + LEGEND_LINE * half + 14
    size = f'width="{width:.0f}" height="{height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(scenario.title)}">',
        f"<style>{_STYLE}</style>",
        _TIP,
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text x="16" y="28" class="title">{escape(scenario.title)}</text>',
        f'<text x="16" y="49" class="says">{escape(scenario.text)}</text>',
        *_guides(columns, top, bottom),
        *_groups(rows, places, width),
        *_events(events, top),
    ]
    for row in rows:
        parts += _row(row, columns, places[row.name], width - 24)
    parts += _arrows(scenario, rows, columns, places, top, [step.says for step in steps])
    parts += _legend(scenario.arrows, bottom + 46, width, half)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _columns(scenario: Scenario, rows: Sequence[Signal], told: Sequence[bool], at_ms: Sequence[int]) -> list[Column]:
    """Place each step that shows something; long pauses are drawn short."""
    columns: list[Column] = []
    x, last = float(LABELS + 26), at_ms[scenario.begins]
    for step in range(scenario.begins, len(at_ms)):
        if not told[step] and all(row.values[step] == row.values[step - 1] for row in rows):
            continue
        gap = at_ms[step] - last
        if columns:
            x += min(112.0, 42 + 17 * math.log2(1 + gap / 15))
        columns.append(Column(step, x, at_ms[step], gap))
        last = at_ms[step]
    first = columns[0].x
    stretch = min(1.7, max(1.0, (NARROWEST - RIGHT - first) / (x - first)))
    return [replace(column, x=first + stretch * (column.x - first)) for column in columns]


def _places(rows: Sequence[Signal], top: float) -> tuple[dict[str, float], float]:
    """Give each row's base line, the PLC's rows first under their heading, and where the rows end."""
    places, y = {}, top
    for ours in (False, True):
        y += 24
        for row in rows:
            if row.ours is ours:
                y += ROW
                places[row.name] = y - (ROW - HIGH) / 2
    return places, y


def _guides(columns: Sequence[Column], top: float, bottom: float) -> list[str]:
    parts = []
    for before, column in zip([columns[0], *columns], columns, strict=False):
        parts.append(
            f'<line x1="{column.x:.1f}" y1="{top}" x2="{column.x:.1f}" y2="{bottom + 6:.1f}" stroke="{FAINT}" '
            'stroke-width="1" stroke-dasharray="2 4"/>'
        )
        parts.append(f'<text x="{column.x:.1f}" y="{bottom + 21:.1f}" class="time">{column.at_ms}</text>')
        if column.gap_ms > BREAK_MS:
            x = (before.x + column.x) / 2 + ANSWER / 2
            low = bottom + 6
            path = f"M{x:.1f},{top} L{x - 5:.1f},{low:.1f} M{x + 7:.1f},{top} L{x + 2:.1f},{low:.1f}"
            parts.append(f'<path d="{path}" stroke="#aab2bd" stroke-width="1" fill="none"/>')
    parts.append(f'<text x="{LABELS - 10}" y="{bottom + 21:.1f}" class="time" style="text-anchor:end">ms</text>')
    return parts


def _groups(rows: Sequence[Signal], places: dict[str, float], width: float) -> list[str]:
    parts = []
    for ours, title in ((False, "PLC TO APPLIANCE"), (True, "APPLIANCE TO PLC")):
        mine = [places[row.name] for row in rows if row.ours is ours]
        if mine:
            y = min(mine) - HIGH - (ROW - HIGH) / 2
            parts.append(f'<line x1="12" y1="{y - 2:.1f}" x2="{width - 12:.0f}" y2="{y - 2:.1f}" stroke="{FAINT}"/>')
            parts.append(f'<text x="16" y="{y - 8:.1f}" class="group">{title}</text>')
    return parts


def _events(events: Sequence[tuple[float, str]], top: float) -> list[str]:
    parts = []
    for x, says in events:
        parts.append(f'<path d="M{x - 4.5:.1f},{top - 8} L{x + 4.5:.1f},{top - 8} L{x:.1f},{top} z" fill="{INK}"/>')
        parts.append(
            f'<text x="{x + 2:.1f}" y="{top - 13}" class="event" transform="rotate(-24 {x + 2:.1f} {top - 13})">'
            f"{escape(says)}</text>"
        )
    return parts


def _row(row: Signal, columns: Sequence[Column], y: float, end: float) -> list[str]:
    ink = {"Pass": GOOD, "Reject": BAD, "Error": BAD}.get(row.name, OUR_INK if row.ours else PLC_INK)
    parts = [f'<text x="{LABELS - 6}" y="{y - 4:.1f}" style="text-anchor:end">{escape(row.name)}</text>']
    runs = _runs(row, columns, end)
    return parts + (_wave(runs, y, ink) if row.bit else _bus(row, runs, y, ink))


def _runs(row: Signal, columns: Sequence[Column], end: float) -> list[tuple[float, float, int]]:
    """Give the stretches of equal value: from, to, value."""
    shift = ANSWER if row.ours else 0
    runs = [[float(LABELS + 4), end, row.values[columns[0].step - 1]]]
    for column in columns:
        value = row.values[column.step]
        if value != runs[-1][2]:
            runs[-1][1] = column.x + shift
            runs.append([column.x + shift, end, value])
    return [(begin, stop, int(value)) for begin, stop, value in runs]


def _wave(runs: Sequence[tuple[float, float, int]], y: float, ink: str) -> list[str]:
    parts, path = [], ""
    for begin, stop, value in runs:
        level = y - HIGH if value else y
        path += f"{'L' if path else 'M'}{begin + (1.5 if path else 0):.1f},{level:.1f} L{stop - 1.5:.1f},{level:.1f} "
        if value:
            parts.append(
                f'<rect x="{begin:.1f}" y="{y - HIGH:.1f}" width="{stop - begin:.1f}" height="{HIGH}" fill="{ink}" '
                'fill-opacity="0.13"/>'
            )
    return [*parts, f'<path d="{path}" fill="none" stroke="{ink}" stroke-width="1.8" stroke-linejoin="round"/>']


def _bus(row: Signal, runs: Sequence[tuple[float, float, int]], y: float, ink: str) -> list[str]:
    parts, middle = [], y - HIGH / 2
    for begin, stop, value in runs:
        low, high = y, y - HIGH
        if value == 0:
            parts.append(f'<path d="M{begin:.1f},{middle} L{stop:.1f},{middle}" stroke="{ink}" stroke-width="1.2"/>')
            continue
        parts.append(
            f'<path d="M{begin:.1f},{middle} L{begin + 4:.1f},{high} L{stop - 4:.1f},{high} L{stop:.1f},{middle} '
            f'L{stop - 4:.1f},{low} L{begin + 4:.1f},{low} z" fill="{ink}" fill-opacity="0.08" stroke="{ink}"/>'
        )
        text = next((one for one in row.spelled(value) if 6.2 * len(one) < stop - begin - 4), "")
        parts.append(f'<text x="{(begin + stop) / 2:.1f}" y="{middle + 4:.1f}" class="value">{escape(text)}</text>')
    return parts


def _arrows(
    scenario: Scenario,
    rows: Sequence[Signal],
    columns: Sequence[Column],
    places: dict[str, float],
    top: float,
    says: Sequence[str],
) -> list[str]:
    at = {column.step: column.x for column in columns}
    named = {row.name: row for row in rows}

    def end(text: str, nth: int) -> tuple[float, float]:
        if text.startswith("@"):
            found = [step for step in at if says[step] == text[1:]]
            if len(found) < nth:
                raise ValueError(f"{scenario.name}: the station does not tell {text[1:]!r}; follow the scenario")
            return at[found[nth - 1]], top
        row, step = edge_of(scenario.name, text, nth, named, sorted(at))
        return at[step] + (ANSWER if row.ours else 0), places[row.name] - HIGH / 2

    lines: list[str] = []
    circles: list[str] = []
    taken: list[tuple[float, float]] = []
    for number, arrow in enumerate(scenario.arrows, 1):
        (x1, y1), (x2, y2) = end(arrow.cause, arrow.nth[0]), end(arrow.effect, arrow.nth[1])
        if x2 < x1:
            raise ValueError(f"{scenario.name}: {arrow.effect!r} comes before its cause {arrow.cause!r}")
        bend = max(22.0, (x2 - x1) / 2)
        pull = (x1 + bend, y1), (x2 - (bend if x2 - x1 > 40 else -26), y2)
        if x2 - x1 <= 40:
            pull = (x1 + 30, y1 + (y2 - y1) * 0.15), (x2 + 26, y2 - (y2 - y1) * 0.2)
        curve = (
            f"M{x1:.1f},{y1:.1f} C{pull[0][0]:.1f},{pull[0][1]:.1f} {pull[1][0]:.1f},{pull[1][1]:.1f} {x2:.1f},{y2:.1f}"
        )
        lines.append(f'<path d="{curve}" fill="none" stroke="{ARROW}" stroke-width="1.5" marker-end="url(#tip)"/>')
        lines.append(f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="2.4" fill="{ARROW}"/>')
        x, y = _free(((x1, y1), *pull, (x2, y2)), taken)
        taken.append((x, y))
        circles.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8.5" fill="{ARROW}" stroke="#fff" stroke-width="1.5"/>')
        circles.append(f'<text x="{x:.1f}" y="{y + 3.8:.1f}" class="number">{number}</text>')
    return lines + circles


def _free(curve: Sequence[tuple[float, float]], taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Give a place on a curve for its number that hides no other number."""
    places = [_bezier(curve, t) for t in (0.5, 0.4, 0.6, 0.3, 0.7, 0.22, 0.78)]
    return max(places, key=lambda place: min([21.0, *(math.dist(place, other) for other in taken)]))


def _bezier(curve: Sequence[tuple[float, float]], t: float) -> tuple[float, float]:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    return (
        sum(weight * point[0] for weight, point in zip(weights, curve, strict=True)),
        sum(weight * point[1] for weight, point in zip(weights, curve, strict=True)),
    )


def _legend(arrows: Sequence[Arrow], y: float, width: float, half: int) -> list[str]:
    parts = []
    for place, arrow in enumerate(arrows):
        x = 24 + (place // half) * (width - 40) / 2
        line = y + (place % half) * LEGEND_LINE
        parts.append(f'<circle cx="{x:.1f}" cy="{line - 4:.1f}" r="8" fill="{ARROW}"/>')
        parts.append(f'<text x="{x:.1f}" y="{line - 0.4:.1f}" class="number">{place + 1}</text>')
        parts.append(f'<text x="{x + 14:.1f}" y="{line:.1f}">{escape(arrow.says)}</text>')
    return parts
