"""Draw the icons: our own SVG files, in the colour that a screen asks for."""

from pathlib import Path
from typing import Final

from PySide6.QtCore import QByteArray, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtQuick import QQuickImageProvider
from PySide6.QtSvg import QSvgRenderer

FOLDER: Final = Path(__file__).parent / "icons"
NAMES: Final = frozenset(path.stem for path in FOLDER.glob("*.svg"))


class Icons(QQuickImageProvider):
    """Answer `image://icon/NAME/COLOUR` (`#` left out), at the size that is asked for."""

    def __init__(self) -> None:
        super().__init__(QQuickImageProvider.ImageType.Image)

    def requestImage(self, name: str, size: QSize, requested: QSize) -> QImage:  # noqa: N802  Qt's name
        """Give the drawing, square, transparent round it; an unknown name gives an empty one."""
        icon, _, colour = name.partition("/")
        side = max(requested.width(), requested.height(), 1)
        image = QImage(side, side, QImage.Format.Format_ARGB32_Premultiplied)
        image.fill(Qt.GlobalColor.transparent)
        if icon in NAMES:
            drawing = (FOLDER / f"{icon}.svg").read_text("utf-8").replace("currentColor", f"#{colour[-6:]}")
            painter = QPainter(image)
            QSvgRenderer(QByteArray(drawing.encode())).render(painter, QRectF(0, 0, side, side))
            painter.end()
        return image
