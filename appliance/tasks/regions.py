"""Turn the marked cells of a small map into regions of the frame: box, outline and area, exact for scaled cells."""

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.task import Window
from appliance.schema.finding import Box

# The strongest are listed, which bounds the time that a broken model costs (10 ms); rules count no further either.
MOST_REGIONS = 32
# An outline with more corners is simplified: it is for display and travels with each result.
MOST_CORNERS = 128


class Spot(Struct, frozen=True):
    """Hold one connected region of a map."""

    strength: float
    """Largest value in it."""
    top: int
    left: int
    cells: NDArray[np.bool_]
    """(rows, cols) of its bounding box, True where the region is."""


class Region(Struct, frozen=True):
    """Place a region in the frame."""

    box: Box
    area_px: float
    """Of its cells, as far as they lie in what is shown; holes do not count."""
    polygon: tuple[tuple[float, float], ...]
    """Outer outline along the edges of the cells, (x, y) in frame pixels, not closed."""


class Regions:
    """Find the regions of maps of one shape that show one window; holds the scratch memory of the search."""

    def __init__(self, window: Window, shape: tuple[int, int], shown: Window | None = None) -> None:
        """Take the window that the map shows and the map's (rows, cols).

        shown: the part of the window that is really seen, where the rest shows its mirror image; None: all of it.
        """
        self._origin = (window.x_px, window.y_px)
        self._cell = (window.width_px / shape[1], window.height_px / shape[0])
        self._labels = np.zeros(shape, np.int32)
        whole = shown or window
        self._low = (max(whole.x_px, window.x_px), max(whole.y_px, window.y_px))
        self._high = (
            min(whole.x_px + whole.width_px, window.x_px + window.width_px),
            min(whole.y_px + whole.height_px, window.y_px + window.height_px),
        )

    def find(self, marked: NDArray[np.uint8], values: NDArray[np.float32], fewest: int = 1) -> list[Spot]:
        """Give the 8-connected regions of marked cells, strongest first, `MOST_REGIONS` at most.

        marked: (rows, cols) uint8, not 0 where a cell belongs to a region; values: (rows, cols) float32. Regions of
        less than `fewest` cells are left out.
        """
        if not marked.any():
            return []
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(marked, self._labels, connectivity=8)
        inside = labels > 0
        strengths = np.full(count, -np.inf, np.float32)
        np.maximum.at(strengths, labels[inside], values[inside])
        ordered = np.argsort(-strengths, kind="stable")
        large = ordered[(boxes[ordered, cv2.CC_STAT_AREA] >= fewest) & (ordered > 0)][:MOST_REGIONS]
        return [_spot(labels, int(label), boxes[label], float(strengths[label])) for label in large]

    def place(self, spot: Spot) -> Region:
        """Give box, area and outline of a spot in frame pixels."""
        rows, cols = spot.cells.shape
        x, y = (self._edges(axis, first, count) for axis, first, count in ((0, spot.left, cols), (1, spot.top, rows)))
        return Region(
            box=Box(float(x[0]), float(y[0]), float(x[-1] - x[0]), float(y[-1] - y[0])),
            area_px=float(np.diff(y) @ spot.cells @ np.diff(x)),
            polygon=tuple((float(x[col]), float(y[row])) for col, row in _outline(spot.cells)),
        )

    def beside(self) -> NDArray[np.bool_] | None:
        """Mark the cells, (rows, cols), whose centre is not shown; None where every cell's is."""
        rows, cols = self._labels.shape
        x, y = ((np.arange(n) + 0.5) * self._cell[a] + self._origin[a] for a, n in ((0, cols), (1, rows)))
        inside = ((y > self._low[1]) & (y < self._high[1]))[:, None] & ((x > self._low[0]) & (x < self._high[0]))
        return None if inside.all() else ~inside

    def centre(self, row: int, col: int) -> tuple[float, float]:
        """Give the (x, y) of a cell's centre in frame pixels."""
        return self._origin[0] + (col + 0.5) * self._cell[0], self._origin[1] + (row + 0.5) * self._cell[1]

    def _edges(self, axis: int, first: int, count: int) -> NDArray[np.float64]:
        """Give the (count + 1) edges of cells along an axis, 0 for x, in frame pixels, as far as they are shown."""
        edges = self._origin[axis] + (first + np.arange(count + 1)) * self._cell[axis]
        return edges.clip(self._low[axis], self._high[axis])


def split(spot: Spot, values: NDArray[np.float32], level: float) -> list[Spot]:
    """Give the connected pieces of a spot whose values reach `level`, each with its own strength; values: whole map."""
    rows, cols = spot.cells.shape
    own = values[spot.top : spot.top + rows, spot.left : spot.left + cols]
    marked = (spot.cells & (own >= level)).view(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    pieces = [_spot(labels, label, boxes[label], float(own[labels == label].max())) for label in range(1, count)]
    return [Spot(piece.strength, spot.top + piece.top, spot.left + piece.left, piece.cells) for piece in pieces]


def _spot(labels: NDArray[np.int32], label: int, box: NDArray[np.int32], strength: float) -> Spot:
    left, top, width, height = (int(value) for value in box[:4])
    return Spot(strength, top, left, labels[top : top + height, left : left + width] == label)


def _outline(cells: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Give the corners (col, row) of the outer edge of one region, in cells of its bounding box.

    Each cell is shown as 2 x 2 pixels, so a contour through pixel centres is one through cell corners: pixels 2c and
    2c + 1 lie beside the edges c and c + 1.
    """
    doubled = cells.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = _corners((max(contours, key=len).reshape(-1, 2) + 1) >> 1)
    tolerance = 0.5
    while len(corners) > MOST_CORNERS:
        tolerance *= 2
        corners = cv2.approxPolyDP(corners.reshape(-1, 1, 2), tolerance, closed=True).reshape(-1, 2)
    return [(int(col), int(row)) for col, row in corners]


def _corners(path: NDArray[np.int32]) -> NDArray[np.int32]:
    """Drop the points of a closed path that repeat the one before or lie on a straight run."""
    path = path[(path != np.roll(path, 1, axis=0)).any(axis=1)]
    before, after = path - np.roll(path, 1, axis=0), np.roll(path, -1, axis=0) - path
    turning = (before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]) | ((before * after).sum(axis=1) < 0)
    corners: NDArray[np.int32] = path[turning]
    return corners
