"""Draw stripes over saturated pixels, as video cameras do: a shape, so that no colour alone tells."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Property, QRectF, Signal
from PySide6.QtGui import QImage, QPainter
from PySide6.QtQml import qmlRegisterType
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem

STRIPE: Final = 2
"""Cells of a dark stripe, and of a bright one."""


def register() -> None:
    """Make `import Firstshift.Maintenance` known to QML; doing it again changes nothing."""
    qmlRegisterType(ZebraLayer, "Firstshift.Maintenance", 1, 0, "ZebraLayer")  # type: ignore[call-overload]


def stripes(full: NDArray[np.bool_]) -> QImage:
    """Give a map of saturated pixels, (rows, cols) bool, as black and white stripes that own their bytes."""
    rows, columns = full.shape
    slant = (np.add.outer(np.arange(rows), np.arange(columns)) // STRIPE) % 2
    pixels = np.zeros((rows, columns, 4), np.uint8)
    pixels[full] = np.where(slant[full, None] == 0, np.array([0, 0, 0, 255]), np.array([255, 255, 255, 255]))
    return QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_ARGB32).copy()


class ZebraLayer(QQuickPaintedItem):
    """Fill the item with stripes where the picture under it is saturated; the item lies over the whole frame."""

    changed = Signal()

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._cells = QImage()
        self.changed.connect(self.update)

    def paint(self, painter: QPainter) -> None:
        """Draw the cells, each a square."""
        if not self._cells.isNull():
            painter.drawImage(QRectF(0, 0, self.width(), self.height()), self._cells)

    def _get_cells(self) -> Any:
        return self._cells

    def _set_cells(self, cells: QImage) -> None:
        self._cells = cells
        self.changed.emit()

    cells = Property(QImage, _get_cells, _set_cells, notify=changed)
