"""Simplify an outline drawn by a finger; pure."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.schema.finding import Box

Point = tuple[float, float]


def bounds(points: Sequence[Point]) -> Box:
    """Give the box around points in frame pixels."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def simplified(points: Sequence[Point], tolerance_px: float) -> tuple[Point, ...]:
    """Give the fewest of a closed stroke's points found that lie within `tolerance_px` of every point left out.

    Douglas and Peucker (1973), on the two halves between the first point and the one farthest from it, so that a
    closed stroke has two fixed ends.
    """
    kept = [point for number, point in enumerate(points) if number == 0 or point != points[number - 1]]
    if len(kept) > 1 and kept[-1] == kept[0]:
        kept.pop()
    if len(kept) < 4:
        return tuple(kept)
    line = np.array(kept, np.float64)
    far = int(np.argmax(np.hypot(*(line - line[0]).T)))
    first = _halve(line[: far + 1], tolerance_px)
    second = _halve(np.concatenate([line[far:], line[:1]]), tolerance_px)
    chosen = [*first[:-1], *(far + index for index in second[:-1])]
    return tuple(kept[index] for index in chosen)


def distances(points: NDArray[np.float64], begin: NDArray[np.float64], end: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give each point's distance from the segment, (points,) float64, px; `points` is (points, 2)."""
    along = end - begin
    length2 = float(along @ along)
    share = np.clip((points - begin) @ along / length2, 0.0, 1.0) if length2 else np.zeros(len(points))
    off: NDArray[np.float64] = np.linalg.norm(points - begin - share[:, None] * along, axis=1)
    return off


def _halve(line: NDArray[np.float64], tolerance_px: float) -> list[int]:
    """Give the indices kept of an open line, both ends among them; without recursion, a finger draws long lines."""
    kept, open_ = {0, len(line) - 1}, [(0, len(line) - 1)]
    while open_:
        begin, end = open_.pop()
        if end - begin < 2:
            continue
        off = distances(line[begin + 1 : end], line[begin], line[end])
        worst = int(np.argmax(off))
        if off[worst] > tolerance_px:
            middle = begin + 1 + worst
            kept.add(middle)
            open_ += [(begin, middle), (middle, end)]
    return sorted(kept)
