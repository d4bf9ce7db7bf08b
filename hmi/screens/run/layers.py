"""Draw over a picture: the heat map in one hue, and the outlines of findings."""

from typing import Any, Final

import numpy as np
from PySide6.QtCore import Property, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from PySide6.QtQml import qmlRegisterType
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem

MOST_ALPHA: Final = 0.55
"""Of the hottest cell: what lies under it stays visible."""


def register() -> None:
    """Make `import Firstshift.Run` known to QML; doing it again changes nothing."""
    qmlRegisterType(HeatLayer, "Firstshift.Run", 1, 0, "HeatLayer")  # type: ignore[call-overload]
    qmlRegisterType(MarksLayer, "Firstshift.Run", 1, 0, "MarksLayer")  # type: ignore[call-overload]


def coverage(cells: np.ndarray[Any, np.dtype[np.uint8]]) -> QImage:
    """Give the cells of a heat map, (rows, columns) uint8, as an image of coverage that owns its bytes."""
    rows, columns = cells.shape
    scaled = np.ascontiguousarray(cells.astype(np.float32) * MOST_ALPHA, np.float32).round().astype(np.uint8)
    return QImage(scaled.tobytes(), columns, rows, columns, QImage.Format.Format_Alpha8).copy()


class HeatLayer(QQuickPaintedItem):
    """Fill the item with a heat map: one hue, stronger where the view is more suspicious."""

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._cells, self._colour = QImage(), QColor()
        self.changed.connect(self.update)

    def paint(self, painter: QPainter) -> None:
        """Draw the cells, smoothly enlarged to the item."""
        if self._cells.isNull():
            return
        hue = QImage(self._cells.size(), QImage.Format.Format_ARGB32_Premultiplied)
        hue.fill(self._colour)
        mask = QPainter(hue)
        mask.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
        mask.drawImage(0, 0, self._cells)
        mask.end()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRectF(0, 0, self.width(), self.height()), hue)

    def _get_cells(self) -> QImage:
        return self._cells

    def _set_cells(self, cells: QImage) -> None:
        self._cells = cells
        self.changed.emit()

    def _get_colour(self) -> QColor:
        return self._colour

    def _set_colour(self, colour: QColor) -> None:
        self._colour = colour
        self.changed.emit()

    cells = Property(QImage, _get_cells, _set_cells, notify=changed)
    colour = Property(QColor, _get_colour, _set_colour, notify=changed)


def _held(kind: Any, name: str, changed: Signal) -> Property:
    """Make a property that lives in an item's `_held`."""

    def read(layer: "MarksLayer") -> Any:
        return layer._held[name]  # noqa: SLF001

    def write(layer: "MarksLayer", value: Any) -> None:
        layer._held[name] = value  # noqa: SLF001
        layer.changed.emit()

    return Property(kind, read, write, notify=changed)


class MarksLayer(QQuickPaintedItem):
    """Draw boxes and outlines of findings; `marks` in frame pixels, item = frame x `factor` + (`shiftX`, `shiftY`).

    Each line has a dark and a bright half, so that it shows on any ground; a defect is solid, what is no defect dashed.
    """

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._held: dict[str, Any] = {
            "marks": [],
            "factor": 1.0,
            "shiftX": 0.0,
            "shiftY": 0.0,
            "width": 2.0,
            "colour": QColor("white"),
            "halo": QColor("black"),
        }
        self.setAntialiasing(True)
        self.changed.connect(self.update)

    def paint(self, painter: QPainter) -> None:
        """Draw every mark, the strongest last."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for mark in reversed(self._held["marks"]):
            shape = self._shape(mark)
            for colour, width in ((self._held["halo"], 2.2), (self._held["colour"], 1.0)):
                pen = QPen(colour, self._held["width"] * width)
                pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
                if not mark["defect"] and width == 1.0:
                    pen.setStyle(Qt.PenStyle.DashLine)
                painter.setPen(pen)
                painter.drawPolygon(shape)

    def _shape(self, mark: dict[str, Any]) -> QPolygonF:
        points = [float(place) for place in mark["points"]]
        if len(points) < 6:
            left, top = float(mark["x"]), float(mark["y"])
            right, bottom = left + float(mark["width"]), top + float(mark["height"])
            points = [left, top, right, top, right, bottom, left, bottom]
        factor, x, y = self._held["factor"], self._held["shiftX"], self._held["shiftY"]
        return QPolygonF([
            QPointF(points[at] * factor + x, points[at + 1] * factor + y) for at in range(0, len(points) - 1, 2)
        ])  # fmt: skip

    marks = _held("QVariantList", "marks", changed)
    factor = _held(float, "factor", changed)
    shiftX = _held(float, "shiftX", changed)  # noqa: N815  QML's way
    shiftY = _held(float, "shiftY", changed)  # noqa: N815
    lineWidth = _held(float, "width", changed)  # noqa: N815
    colour = _held(QColor, "colour", changed)
    halo = _held(QColor, "halo", changed)
