"""Find lines of text in the detection network's map, and put them in reading order.

Geometry is in frame pixels by edges: pixel i covers i to i + 1. Method of the boxes: Liao et al., "Real-time Scene Text
Detection with Differentiable Binarization" (2020), section 3.4: the network marks the core of a line, shrunk by a known
share, and the box is grown again by area * ratio / perimeter.
"""

import math
from collections.abc import Sequence

import cv2
import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.task import Window
from appliance.schema.finding import Box

# A core thinner than this is noise (cells of the map).
LEAST_CORE = 3.0
# From this ratio of height to width on a box is a line that runs down the page.
UPENDED = 1.5
# Steeper than this a line is read downwards, whichever way it leans.
STEEP = math.radians(80)
# A letter cut in half by the border is often not found at all, so a line must end this share of its height before it.
CLEARANCE = 0.5
# Above and below, a box is larger than its ink by 0.16 to 0.3 of its height (letters of 12 to 30 px, measured).
INSET = 0.12
# Lines belong to one row when their middles differ by less than this share of the lower one's height.
SAME_ROW = 0.5
# Pieces of a row are one line when the gap between their boxes is less than this share of the higher one's height; a
# space is within a box already, a column of a table is further away.
JOIN_GAP = 0.5
JOIN_HEIGHTS = 1.5
JOIN_ANGLE = math.radians(5)
MAP_THRESHOLD, BOX_THRESHOLD, UNCLIP = 0.3, 0.5, 1.6
"""The networks' published settings: least probability of a core's cell, least mean of a core, growth of a core."""
# A line may be drawn this much narrower than it is; letters differ more than that from one typeface to the next.
SQUEEZE = 1.1


class Line(Struct, frozen=True):
    """Bound one line of text by a rotated rectangle."""

    x_px: float
    """Middle."""
    y_px: float
    length_px: float
    """Along the reading direction."""
    height_px: float
    angle: float
    """Reading direction, radians from x towards y (down)."""
    cut: bool = False
    """Whether it runs into the border of what was looked at, so that a part of it may be missing."""

    def corners(self) -> tuple[tuple[float, float], ...]:
        """Give the corners: start of the line on its upper side, end of it there, then the lower side backwards."""
        along = (math.cos(self.angle) * self.length_px / 2, math.sin(self.angle) * self.length_px / 2)
        down = (-math.sin(self.angle) * self.height_px / 2, math.cos(self.angle) * self.height_px / 2)
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return tuple((self.x_px + a * along[0] + d * down[0], self.y_px + a * along[1] + d * down[1]) for a, d in signs)

    def box(self) -> Box:
        """Give the upright rectangle around it."""
        xs, ys = zip(*self.corners(), strict=True)
        return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))

    def turned(self) -> "Line":
        """Give the same rectangle read from the other end."""
        return msgspec.structs.replace(self, angle=math.remainder(self.angle + math.pi, 2 * math.pi))


class LineFinder:
    """Hold the scratch memory for maps of one shape."""

    def __init__(self, shape: tuple[int, int], map_threshold: float, box_threshold: float, unclip: float) -> None:
        """Take the map's (rows, cols), the least probability of a core cell and of a core, and the share to grow by."""
        self._map_threshold, self._box_threshold, self._unclip = map_threshold, box_threshold, unclip
        self._core = np.zeros(shape, np.uint8)
        self._kernel = np.ones((2, 2), np.uint8)

    def find(self, probability: NDArray[np.float32], window: Window, used: tuple[int, int]) -> list[Line]:
        """Give the lines in a (rows, cols) float32 map, whose upper left (rows, cols) `used` show `window`."""
        rows, cols = used
        cv2.compare(probability, self._map_threshold, cv2.CMP_GT, dst=self._core)
        cv2.dilate(self._core, self._kernel, dst=self._core)
        contours, _ = cv2.findContours(self._core[:rows, :cols], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        scale = (window.width_px / cols, window.height_px / rows)
        found = []
        for contour in contours:
            corners = cv2.boxPoints(cv2.minAreaRect(contour))
            sides = np.linalg.norm(np.roll(corners, -1, axis=0)[:2] - corners[:2], axis=1)
            if sides.min() >= LEAST_CORE and _mean_inside(probability[:rows, :cols], corners) >= self._box_threshold:
                found.append(self._line(corners, window, scale))
        return found

    def _line(self, corners: NDArray[np.float32], window: Window, scale: tuple[float, float]) -> Line:
        # +0.5: from the middle of a cell to its edges.
        frame = (corners + 0.5) * scale + (window.x_px, window.y_px)
        middle = frame.mean(axis=0)
        one, other = frame[1] - frame[0], frame[2] - frame[1]
        length, height, angle = _reading(one, other)
        grow = self._unclip * length * height / (length + height)  # twice the offset area * ratio / perimeter
        line = Line(float(middle[0]), float(middle[1]), length + grow, height + grow, angle)
        return msgspec.structs.replace(line, cut=_is_cut(line, window))


def narrowest(line: Line, rows: int, widths: Sequence[int]) -> int:
    """Give the least of these widths that holds a line drawn `rows` high, the largest if none does."""
    fits = [width for width in widths if rows * line.length_px <= SQUEEZE * width * line.height_px]
    return min(fits, default=max(widths))


def in_reading_order(lines: Sequence[Line]) -> list[list[int]]:
    """Give the rows from top to bottom, each the places of its lines from start to end, as the text itself lies."""
    if not lines:
        return []
    # The longest line says best how the text lies.
    angle = max(lines, key=lambda line: line.length_px).angle
    along = [line.x_px * math.cos(angle) + line.y_px * math.sin(angle) for line in lines]
    down = [line.y_px * math.cos(angle) - line.x_px * math.sin(angle) for line in lines]
    rows: list[list[int]] = []
    for place in sorted(range(len(lines)), key=down.__getitem__):
        last = rows[-1][-1] if rows else place
        height = min(lines[last].height_px, lines[place].height_px)
        if rows and down[place] - down[last] < SAME_ROW * height:
            rows[-1].append(place)
        else:
            rows.append([place])
    return [sorted(row, key=along.__getitem__) for row in rows]


def is_continued(line: Line, following: Line) -> bool:
    """Say whether two neighbours of a row are pieces of one line."""
    heights = sorted((line.height_px, following.height_px))
    apart = math.dist((line.x_px, line.y_px), (following.x_px, following.y_px))
    gap = apart - (line.length_px + following.length_px) / 2
    turn = abs(math.remainder(line.angle - following.angle, 2 * math.pi))
    return gap < JOIN_GAP * heights[1] and heights[1] < JOIN_HEIGHTS * heights[0] and turn < JOIN_ANGLE


def joined(lines: Sequence[Line]) -> Line:
    """Give the rectangle around pieces of one line, in the direction of the first."""
    angle = lines[0].angle
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    points = np.array([corner for line in lines for corner in line.corners()]) @ turn.T
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2 @ turn
    length, height = high - low
    cut = any(line.cut for line in lines)
    return Line(float(middle[0]), float(middle[1]), float(length), float(height), angle, cut)


def _is_cut(line: Line, window: Window) -> bool:
    """Say whether a line may go on beyond the border of what was looked at, or its ink reaches it."""
    length, height = line.length_px + 2 * CLEARANCE * line.height_px, line.height_px * (1 - 2 * INSET)
    needed = msgspec.structs.replace(line, length_px=length, height_px=height)
    right, bottom = window.x_px + window.width_px, window.y_px + window.height_px
    return not all(window.x_px < x < right and window.y_px < y < bottom for x, y in needed.corners())


def _mean_inside(probability: NDArray[np.float32], corners: NDArray[np.float32]) -> float:
    """Give the mean of the map inside a rotated rectangle."""
    limit = (probability.shape[1] - 1, probability.shape[0] - 1)
    low = np.clip(np.floor(corners.min(axis=0)), 0, limit).astype(np.int32)
    high = np.clip(np.ceil(corners.max(axis=0)), 0, limit).astype(np.int32)
    mask = np.zeros((high[1] - low[1] + 1, high[0] - low[0] + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - low).astype(np.int32)], 1)
    return float(cv2.mean(probability[low[1] : high[1] + 1, low[0] : high[0] + 1], mask)[0])


def _reading(one: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float, float]:
    """Give length, height and angle of the reading direction from two neighbouring sides of a rectangle."""
    along, across = (one, other) if abs(one[0]) >= abs(other[0]) else (other, one)
    if np.linalg.norm(across) >= UPENDED * np.linalg.norm(along):
        along, across = across, along
    angle = math.atan2(along[1], along[0])
    backwards = along[1] < 0 if abs(along[0]) < math.cos(STEEP) * np.linalg.norm(along) else along[0] < 0
    if backwards:
        angle = math.remainder(angle + math.pi, 2 * math.pi)
    return float(np.linalg.norm(along)), float(np.linalg.norm(across)), angle
