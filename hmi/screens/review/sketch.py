"""Draw what a person marks over a picture: boxes, outlines, masks, and the corners that a finger can take."""

from typing import Any, Final

import numpy as np
from PySide6.QtCore import Property, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QPolygonF
from PySide6.QtQml import qmlRegisterType
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem

from appliance.datasets.runs import mask_of_runs
from hmi.labelling.drawing import Drawing, Mark, Open, Tool, handles

COVER: Final = 110
"""Alpha of a painted mask: what lies under it stays visible."""


def register() -> None:
    """Make `import Firstshift.Review` known to QML; doing it again changes nothing."""
    qmlRegisterType(SketchLayer, "Firstshift.Review", 1, 0, "SketchLayer")  # type: ignore[call-overload]


class SketchLayer(QQuickPaintedItem):
    """Show a drawing; item = frame x `factor` + (`shiftX`, `shiftY`). `handle` is a corner's size, px.

    Lines have a dark and a bright half, so that they show on any ground.
    """

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._held: dict[str, Any] = {
            "drawing": None,
            "factor": 1.0,
            "shiftX": 0.0,
            "shiftY": 0.0,
            "width": 2.0,
            "handle": 0.0,
            "colour": QColor("white"),
            "halo": QColor("black"),
        }
        self._masks: dict[tuple[int, ...], QImage] = {}
        self.setAntialiasing(True)
        self.changed.connect(self.update)

    def paint(self, painter: QPainter) -> None:
        """Draw every mark, then what is under the finger."""
        drawing = self._held["drawing"]
        if not isinstance(drawing, Drawing):
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for mark in drawing.marks:
            if mark.runs:
                self._paint_mask(painter, mark, drawing.size)
            else:
                self._paint_lines(painter, [QPointF(*self._to_item(x, y)) for x, y in handles(mark)], closed=True)
                self._paint_handles(painter, handles(mark))
        self._masks = {mark.runs: self._masks[mark.runs] for mark in drawing.marks if mark.runs}
        if drawing.open is not None:
            self._paint_open(painter, drawing.open)

    def _to_item(self, x: float, y: float) -> tuple[float, float]:
        held = self._held
        return x * held["factor"] + held["shiftX"], y * held["factor"] + held["shiftY"]

    def _paint_mask(self, painter: QPainter, mark: Mark, size: tuple[int, int]) -> None:
        if mark.runs not in self._masks:
            cells = np.ascontiguousarray(mask_of_runs(mark.runs, size).astype(np.uint8) * COVER)
            image = QImage(cells.tobytes(), size[1], size[0], size[1], QImage.Format.Format_Alpha8)
            hue = QImage(image.size(), QImage.Format.Format_ARGB32_Premultiplied)
            hue.fill(self._held["colour"])
            brush = QPainter(hue)
            brush.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
            brush.drawImage(0, 0, image)
            brush.end()
            self._masks[mark.runs] = hue
        left, top = self._to_item(0, 0)
        factor = self._held["factor"]
        painter.drawImage(QRectF(left, top, size[1] * factor, size[0] * factor), self._masks[mark.runs])

    def _paint_open(self, painter: QPainter, going: Open) -> None:
        points = [QPointF(*self._to_item(x, y)) for x, y in going.points]
        if going.tool in (Tool.BRUSH, Tool.ERASER):
            colour = QColor(self._held["halo" if going.tool is Tool.ERASER else "colour"])
            colour.setAlpha(COVER)
            width = max(1.0, 2 * going.radius_px * self._held["factor"])
            painter.setPen(
                QPen(colour, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
            )
            painter.drawPolyline(QPolygonF(points))
            return
        if going.tool is Tool.BOX:
            (x1, y1), (x2, y2) = (self._to_item(*point) for point in going.points)
            points = [QPointF(x1, y1), QPointF(x2, y1), QPointF(x2, y2), QPointF(x1, y2)]
        self._paint_lines(painter, points, closed=going.tool is Tool.BOX)
        if going.tool is Tool.POLYGON:
            self._paint_handles(painter, going.points)

    def _paint_lines(self, painter: QPainter, points: list[QPointF], *, closed: bool) -> None:
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for colour, width in ((self._held["halo"], 2.2), (self._held["colour"], 1.0)):
            painter.setPen(QPen(colour, self._held["width"] * width))
            painter.drawPolygon(QPolygonF(points)) if closed else painter.drawPolyline(QPolygonF(points))

    def _paint_handles(self, painter: QPainter, corners: tuple[tuple[float, float], ...]) -> None:
        """Show where a finger takes hold: a ring of the size of its reach, drawn thin, and the corner itself."""
        reach = self._held["handle"] / 2
        if reach <= 0:
            return
        for x, y in corners:
            middle = QPointF(*self._to_item(x, y))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for colour, width in ((self._held["halo"], 2.0), (self._held["colour"], 1.0)):
                painter.setPen(QPen(colour, width))
                painter.drawEllipse(middle, reach, reach)
            painter.setBrush(QColor(self._held["colour"]))
            painter.drawEllipse(middle, self._held["width"] * 1.5, self._held["width"] * 1.5)

    def _held_as(kind: Any, name: str, changed: Signal = changed) -> Property:  # noqa: N805  makes a property, is none
        def read(layer: "SketchLayer") -> Any:
            return layer._held[name]  # noqa: SLF001

        def write(layer: "SketchLayer", value: Any) -> None:
            layer._held[name] = value  # noqa: SLF001
            layer.changed.emit()

        return Property(kind, read, write, notify=changed)

    drawing = _held_as("QVariant", "drawing")
    factor = _held_as(float, "factor")
    shiftX = _held_as(float, "shiftX")  # noqa: N815  QML's way
    shiftY = _held_as(float, "shiftY")  # noqa: N815
    lineWidth = _held_as(float, "width")  # noqa: N815
    handle = _held_as(float, "handle")
    colour = _held_as(QColor, "colour")
    halo = _held_as(QColor, "halo")
    del _held_as
