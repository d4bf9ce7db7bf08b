"""Draw a run as SVG: latencies against their deadline, the course of the run, and scores against their limits.

Grey is normal and colour is not: amber for good parts held back, red for defective parts passed, each with a shape of
its own. Every figure scales with the page and needs no script.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from markupsafe import Markup, escape
from msgspec import Struct

from appliance.sim.report_outcomes import ESCAPE, OVERKILL, Outcome, Shown

WIDTH = 1040.0
LEFT, RIGHT = 46.0, WIDTH - 14.0
INK, GREY, FAINT, RED, AMBER = "#23272b", "#8a9096", "#c9cdd1", "#b3261e", "#a35f00"
PLAIN_DOTS = 2000
"""Over this many parts the marks of normal ones carry no text of their own, to keep the file small."""


class Scale(Struct, frozen=True):
    """Carry positive values to a logarithmic axis."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        """Give the place of a value, held inside the axis."""
        inside = min(max(value, self.low), self.high)
        return self.begin + (self.end - self.begin) * math.log(inside / self.low) / math.log(self.high / self.low)

    def ticks(self) -> Iterator[float]:
        """Give 1, 2, 5, 10, 20, 50 ... within the axis, and finer steps where the axis is short."""
        steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9) if self.high / self.low < 8 else (1, 2, 5)
        for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1):
            yield from (step * 10**power for step in steps if self.low <= step * 10**power <= self.high)


class Event(Struct, frozen=True):
    """Mark something that happened while part `number` was the newest on the belt."""

    number: int
    kind: str
    """`alarm` or `restart`."""
    text: str


def latency_histogram(latencies_ms: Sequence[float], deadline_ms: float | None) -> Markup:
    """Draw how long the verdicts took, with the earliest deadline of any part."""
    if not latencies_ms:
        return Markup()
    bins, top, base = 60, 40.0, 190.0
    highest = max(*latencies_ms, deadline_ms or 0.0)
    scale = Scale(max(min(latencies_ms), 0.1) * 0.8, highest * 1.25, LEFT, RIGHT)
    step = (RIGHT - LEFT) / bins
    counts: dict[int, int] = defaultdict(int)
    for value in latencies_ms:
        counts[min(bins - 1, int((scale(value) - LEFT) / step))] += 1
    body = list(_across(scale, base, "trigger to verdict, ms (logarithmic)"))
    unit = (base - top) / max(counts.values())
    for place, count in counts.items():
        x, height = LEFT + place * step, count * unit
        late = deadline_ms is not None and x >= scale(deadline_ms)
        body.append(
            f'<rect x="{x + 0.5:.1f}" y="{base - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}"'
            f' fill="{RED if late else GREY}"><title>{count} parts</title></rect>'
        )
    if deadline_ms is not None:
        body.append(_limit(scale(deadline_ms), top, base, f"deadline {deadline_ms:.0f} ms", "end"))
    body.append(_word(LEFT, 14, f"n = {len(latencies_ms)} parts with a verdict, tallest bar {max(counts.values())}"))
    return _figure(232, "Histogram of the time from camera trigger to verdict", body)


def timeline(parts: Sequence[Shown], deadline_ms: float | None, events: Sequence[Event]) -> Markup:
    """Draw every part in the order of the belt: its latency upwards, its outcome as a shape, troubles below."""
    if not parts:
        return Markup()
    top, base, lane = 62.0, 250.0, 40.0
    known = [part.latency_ms for part in parts if part.latency_ms is not None]
    highest = max([*known, deadline_ms or 0.0, 2.0])
    up = Scale(max(min(known, default=1.0), 0.1) * 0.8, highest * 1.2, base, top)
    last = max(part.number for part in parts)
    width = (RIGHT - LEFT - 12) / max(1, last - 1)

    def across(number: int) -> float:
        return LEFT + 6 + (number - 1) * width

    body = [_line(LEFT, base, RIGHT, base, GREY), _word(LEFT, 14, "trigger to verdict, ms (logarithmic)")]
    for tick in _thin(up):
        body += [_line(LEFT, up(tick), RIGHT, up(tick), FAINT), _word(LEFT - 6, up(tick) + 4, f"{tick:g}", "end")]
    if deadline_ms is not None:
        body += [
            f'<path d="M{LEFT} {up(deadline_ms):.1f}H{RIGHT}" stroke="{INK}" stroke-dasharray="6 4"/>',
            _word(RIGHT, up(deadline_ms) - 5, f"deadline {deadline_ms:.0f} ms", "end"),
        ]
    for number in _numbers(last):
        body.append(_word(across(number), base + 18, str(number), "middle"))
    body += [_word(RIGHT, base + 34, "part number", "end"), _word(LEFT - 6, lane + 4, "none", "end")]
    size = max(2.0, min(4.5, width * 0.4))
    for part in sorted(parts, key=lambda item: item.outcome in {ESCAPE, OVERKILL}):
        y = lane if part.latency_ms is None else up(part.latency_ms)
        body.append(mark(part.outcome, across(part.number), y, size, "" if len(parts) > PLAIN_DOTS else part.words))
    for event in events:
        x = across(min(max(event.number, 1), last))
        body.append(_event_mark(event, x, base + 30))
    return _figure(292, "Latency and outcome of every part in the order of the belt", body)


def score_distribution(parts: Sequence[Shown], accept_below: float | None, reject_above: float | None) -> Markup:
    """Draw one brick per part: good ones upwards, defective ones downwards, between the bundle's limits."""
    scored = [(part, part.score) for part in parts if part.score is not None and 0 < part.score < math.inf]
    if not scored:
        return Markup()
    bins, top = 80, 44.0
    values = [score for _, score in scored] + [limit for limit in (accept_below, reject_above) if limit]
    scale = Scale(min(values) * 0.95, max(values) * 1.08, LEFT, RIGHT)
    step = (RIGHT - LEFT) / bins
    stacks: dict[tuple[bool, int], list[Shown]] = defaultdict(list)
    for part, score in scored:
        stacks[part.defective, min(bins - 1, int((scale(score) - LEFT) / step))].append(part)
    tall = {
        way: max((len(stack) for key, stack in stacks.items() if key[0] is way), default=1) for way in (False, True)
    }
    unit = min(11.0, 160 / tall[False], 110 / tall[True])
    middle = top + max(60.0, tall[False] * unit)
    bottom = middle + max(44.0, tall[True] * unit + 8)
    body = list(_across(scale, bottom, "image score (logarithmic); higher is more suspicious"))
    body += [_line(LEFT, middle, RIGHT, middle, INK), _word(0, middle - 8, "good"), _word(0, middle + 18, "defect")]
    for (defective, place), stack in stacks.items():
        ordered = sorted(stack, key=lambda item: item.outcome in {ESCAPE, OVERKILL})
        for level, part in enumerate(ordered):
            y = middle + 1 + level * unit if defective else middle - 1 - (level + 1) * unit
            body.append(_brick(part, LEFT + place * step, y, step, unit))
    for limit, words, anchor in ((accept_below, "accept up to", "end"), (reject_above, "reject over", "start")):
        if limit is not None:
            body.append(_limit(scale(limit), top - 16, bottom, f"{words} {limit:.3g}", anchor))
    defective_count = sum(part.defective for part, _ in scored)
    body.append(
        _word(LEFT, 12, f"n = {len(scored) - defective_count} good and {defective_count} defective parts with a score")
    )
    return _figure(bottom + 40, "Image scores of good and defective parts with the limits of the bundle", body)


def mark(outcome: Outcome, x: float, y: float, size: float, words: str = "") -> str:
    """Draw an outcome's shape: dot, square, amber diamond or red triangle."""
    title = f"<title>{escape(words)}</title>" if words else ""
    s = size * 1.7
    match outcome:
        case "accepted":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size * 0.75:.1f}" fill="{GREY}">{title}</circle>'
        case "caught":
            side = size * 1.7
            return (
                f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}" height="{side:.1f}"'
                f' fill="{INK}">{title}</rect>'
            )
        case "overkill":
            path, colour = f"M{x:.1f} {y - s:.1f}l{s:.1f} {s:.1f}l{-s:.1f} {s:.1f}l{-s:.1f} {-s:.1f}z", AMBER
        case _:
            path, colour = f"M{x:.1f} {y - s:.1f}l{s:.1f} {1.8 * s:.1f}h{-2 * s:.1f}z", RED
    return f'<path d="{path}" fill="{colour}" stroke="#fff" stroke-width="0.8">{title}</path>'


def _brick(part: Shown, x: float, y: float, width: float, height: float) -> str:
    if part.outcome in {ESCAPE, OVERKILL}:
        return mark(part.outcome, x + width / 2, y + height / 2, max(2.6, height * 0.3), part.words)
    colour = {ESCAPE: RED, OVERKILL: AMBER}.get(part.outcome, INK if part.defective else GREY)
    gap = 1.0 if height > 3 else 0.0
    box = f'x="{x + 0.5:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height - gap:.2f}"'
    return f'<rect {box} fill="{colour}"><title>{escape(part.words)}</title></rect>'


def _event_mark(event: Event, x: float, y: float) -> str:
    shape = (
        f"M{x:.1f} {y - 7:.1f}l6 11h-12z" if event.kind == "alarm" else f"M{x - 5:.1f} {y - 5:.1f}l10 10m0-10l-10 10"
    )
    paint = f'fill="{AMBER}"' if event.kind == "alarm" else f'stroke="{RED}" stroke-width="2.5" fill="none"'
    return f'<path d="{shape}" {paint}><title>{escape(event.text)}</title></path>'


def _across(scale: Scale, base: float, title: str) -> Iterator[str]:
    yield _line(LEFT, base, RIGHT, base, GREY)
    for tick in _thin(scale):
        x = scale(tick)
        yield _line(x, base, x, base + 5, GREY)
        yield _word(x, base + 18, f"{tick:g}", "middle")
    yield _word(RIGHT, base + 34, title, "end")


def _thin(scale: Scale) -> Iterator[float]:
    """Leave out ticks whose labels would touch."""
    room = 26.0 if scale.begin < scale.end else 16.0
    taken = None
    for tick in scale.ticks():
        if taken is None or abs(scale(tick) - taken) >= room:
            taken = scale(tick)
            yield tick


def _numbers(last: int) -> Iterator[int]:
    step = next(step * 10**power for power in range(9) for step in (1, 2, 5) if last / (step * 10**power) <= 12)
    yield from [1, *range(step, last + 1, step)] if step > 1 else range(1, last + 1)


def _limit(x: float, top: float, base: float, words: str, anchor: str) -> str:
    shift = -6 if anchor == "end" else 6
    return f'<path d="M{x:.1f} {top:.1f}V{base:.1f}" stroke="{INK}" stroke-dasharray="6 4"/>' + _word(
        x + shift, top + 10, words, anchor
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}"/>'


def _word(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _figure(height: float, title: str, body: Sequence[str]) -> Markup:
    inside = "".join(body)
    return Markup(  # noqa: S704  every text went through `escape`
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">{inside}</svg>'
    )
