"""Show frames of the rings and stored images in QML: `Picture` is the item, `prints.py` makes what it draws.

An item asks for exactly the pixels that it can show, a worker makes them, and the item draws them one to one. It is a
QQuickPaintedItem: under OpenGL it costs less than a texture of the whole frame, and it is right without OpenGL too.
"""

import sqlite3
from collections import deque
from collections.abc import Collection
from functools import partial
from typing import Any

from PySide6.QtCore import Property, QPoint, QPointF, QRect, QRectF, Signal, Slot
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from PySide6.QtQml import QQmlEngine, qmlRegisterType
from PySide6.QtQuick import QQuickItem, QQuickPaintedItem
from shiboken6 import isValid

from appliance.schema.errors import StoreError
from appliance.schema.frame import FrameName
from appliance.schema.part import PartId
from hmi.darkroom import Key, Pane, Print
from hmi.mapping import FIT, Mapping, fit, to_frame, to_item
from hmi.prints import Pictures

LIVE, PART, IMAGE = "live:", "part:", "image:"
"""Beginnings of a source: newest frame of a camera; `<part>/<camera>`; a path in the image folder."""

CONTEXT = "Pictures"
"""Context property by which items find the pictures."""

HELD_BACK = 3
"""Images drawn last that are kept alive: a render thread may still read them."""

AGAIN = 40
"""Turns of `deliver` after which a picture that was not there is looked for again; about a second."""


class Picture(QQuickPaintedItem):
    """Show one picture: `source`, `zoom` (0: all of it, 1: pixel for pixel), `panX`/`panY` (frame pixel in the middle).

    `mapScale`, `offsetX`, `offsetY` say where frame pixels lie: item = frame x mapScale + offset. `status` is empty,
    loading, shown or gone. `appeared(source)` comes once the picture of a source is on the screen.
    """

    changed = Signal()
    mapped = Signal()
    appeared = Signal(str)

    def __init__(self, parent: QQuickItem | None = None) -> None:
        super().__init__(parent)
        self._pictures: Pictures | None = None
        self._source, self._asked, self._zoom = "", "", FIT
        self._pan: tuple[float | None, float | None] = (None, None)
        self._status = ""
        self._tried: Key | None = None
        self._print: Print | None = None
        self._mapping = Mapping(1.0, 0.0, 0.0, 0.0, 0.0)
        self._images: deque[tuple[QImage, Any]] = deque(maxlen=HELD_BACK)
        self._busy = self._again = self._complete = False
        self._drawn: tuple[int, str] = (0, "")
        self._told = 0
        self._shown = self._turns = 0

    def componentComplete(self) -> None:  # noqa: N802  Qt's name
        """Find the pictures that this item's engine was given."""
        super().componentComplete()
        engine = QQmlEngine.contextForObject(self)
        found = engine.engine().rootContext().contextProperty(CONTEXT) if engine is not None else None
        self._complete = True
        if isinstance(found, Pictures):
            self.serve(found)

    def serve(self, pictures: Pictures) -> None:
        """Take the pictures to show; items in QML find them by themselves."""
        self._pictures = pictures
        pictures.join(self)
        self.destroyed.connect(partial(pictures.leave, self))
        self._complete = True
        self.want()

    @property
    def live_camera(self) -> str:
        """Camera whose newest frame is shown; empty: something else is."""
        return self._source.removeprefix(LIVE) if self._source.startswith(LIVE) else ""

    @property
    def follows_frames(self) -> bool:
        """Whether frames must be copied while they lie in their rings."""
        return self._source.startswith((LIVE, PART))

    def awaits(self, names: Collection[FrameName]) -> bool:
        """Say whether one of these frames is the picture that is missing here."""
        if self._pictures is None or self._status == "shown" or not self._source.startswith(PART):
            return False
        return self._key(self._pictures) in names

    def geometryChange(self, new: QRectF | QRect, old: QRectF | QRect) -> None:  # noqa: N802  Qt's name
        """Ask for a picture of the new size."""
        super().geometryChange(new, old)
        if new.size() != old.size():
            self._map()
            self.want()

    def want(self) -> None:
        """Ask for the picture as it should be now; while one is being made, ask once more afterwards."""
        if not self._complete or self._pictures is None or not self._source or self.width() < 1 or self.height() < 1:
            return
        if self._busy:
            self._again = True
            return
        self._asked = self._source
        key = self._tried = self._key(self._pictures)
        if key is not None:
            self._busy = True
            self._pictures.make(key, self._pane(), self._made)
        elif self._source.startswith(PART):
            self._look_up(self._pictures)

    def turn(self) -> None:
        """Tell what was painted, and look again for what was not there; called by Pictures some 40 times a second."""
        number, source = self._drawn
        if self._told != number:
            self._told = number
            if source == self._source:
                self.appeared.emit(source)
        self._turns += 1
        if self._status in {"gone", "loading"} and not self._busy and self._pictures is not None:
            key = self._key(self._pictures) if self._source.startswith(PART) else None
            if key not in {None, self._tried} or self._turns % AGAIN == 0:
                self.want()

    def paint(self, painter: QPainter) -> None:
        """Draw the picture; on the render thread while the GUI's waits."""
        made = self._print
        if made is None or not self._images:
            return
        ratio = self._ratio()
        image = self._images[-1][0]
        old, new = made.mapping, self._mapping
        if abs(old.scale / ratio - new.scale) < 1e-9 * new.scale and (old.x, old.y) == (new.x * ratio, new.y * ratio):
            painter.scale(1 / ratio, 1 / ratio)
            painter.drawImage(QPoint(made.x, made.y), image)
        else:  # the item was panned or zoomed, and the right picture is being made
            factor = new.scale / old.scale
            left, top = (made.x - old.x) * factor + new.x, (made.y - old.y) * factor + new.y
            painter.drawImage(QRectF(left, top, image.width() * factor, image.height() * factor), image)
        self._drawn = (self._shown, self._asked)

    @Slot(float, float, result=QPointF)
    def toItem(self, x: float, y: float) -> QPointF:  # noqa: N802  QML's manner
        """Carry a frame position to the item."""
        return QPointF(*to_item(self._mapping, x, y))

    @Slot(float, float, result=QPointF)
    def toFrame(self, x: float, y: float) -> QPointF:  # noqa: N802  QML's manner
        """Carry an item position to the frame."""
        return QPointF(*to_frame(self._mapping, x, y))

    def _key(self, pictures: Pictures) -> Key | None:
        if self._source.startswith(LIVE):
            return pictures.newest(self._source.removeprefix(LIVE))
        if self._source.startswith(PART):
            part, _, camera = self._source.removeprefix(PART).partition("/")
            return pictures.frame_of(part, camera)
        return self._source.removeprefix(IMAGE)

    def _look_up(self, pictures: Pictures) -> None:
        """Look in the record database for the stored image of the part."""
        part, _, camera = self._source.removeprefix(PART).partition("/")
        boot, _, number = part.partition("-")
        self._busy = True
        found = PartId(int(boot, 16), int(number))
        pictures.query(partial(_stored_image, part=found, camera=camera), self._looked_up)

    def _looked_up(self, path: str | StoreError | None) -> None:
        if not isValid(self):
            return
        if isinstance(path, str) and self._pictures is not None:
            self._pictures.make(path, self._pane(), self._made_of_stored)
        else:
            self._made_of_stored(None)

    def _made(self, made: Print | StoreError | None) -> None:
        if not isValid(self):
            return
        if (
            made is None
            and self._source.startswith(PART)
            and self._asked == self._source
            and self._pictures is not None
        ):
            self._look_up(self._pictures)
        else:
            self._made_of_stored(made)

    def _made_of_stored(self, made: Print | StoreError | None) -> None:
        """Take a picture, unless the source has changed meanwhile: then it is somebody else's."""
        if not isValid(self):
            return
        self._busy = False
        again, self._again = self._again, False
        if self._asked == self._source:
            if isinstance(made, Print):
                self._take(made)
            elif self._print is None:
                self._set_status("gone")
        if again or self._asked != self._source:
            self.want()

    def _take(self, made: Print) -> None:
        self._print = made
        rows, columns = made.image.shape[:2]
        grey = made.image.ndim == 2
        way = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
        image = QImage(made.image.data, columns, rows, made.image.strides[0], way)
        self._images.append((image, made.image))
        self._shown += 1
        self._map()
        self._set_status("shown")
        self.update()

    def _map(self) -> None:
        made = self._print
        if made is None:
            return
        ratio = self._ratio()
        pane = self._pane()
        mapping = fit(pane.width, pane.height, made.rows, made.columns, pane.zoom, pane.pan)
        self._mapping = Mapping(
            mapping.scale / ratio, mapping.x / ratio, mapping.y / ratio, mapping.pan_x, mapping.pan_y
        )
        self.mapped.emit()

    def _pane(self) -> Pane:
        ratio = self._ratio()
        x, y = self._pan
        pan = (x, y) if x is not None and y is not None else None
        return Pane(round(self.width() * ratio), round(self.height() * ratio), self._zoom, pan)

    @staticmethod
    def _ratio() -> float:
        """Give device pixels per item pixel; `window()` would hand the window's life to Python."""
        return float(QGuiApplication.primaryScreen().devicePixelRatio())

    def _set_status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self.changed.emit()

    def _get_source(self) -> str:
        return self._source

    def _set_source(self, source: str) -> None:
        """Show something else; what was shown goes at once, lest it be taken for the new one."""
        if source == self._source:
            return
        self._source, self._print = source, None
        self._pan = (None, None)
        self._set_status("loading" if source else "")
        self.changed.emit()
        self.update()
        self.want()

    def _get_zoom(self) -> float:
        return self._zoom

    def _set_zoom(self, zoom: float) -> None:
        if zoom != self._zoom:
            self._zoom = zoom
            self._moved()

    def _get_pan_x(self) -> float:
        return self._mapping.pan_x

    def _set_pan_x(self, x: float) -> None:
        self._pan = (x, self._pan[1] if self._pan[1] is not None else self._mapping.pan_y)
        self._moved()

    def _get_pan_y(self) -> float:
        return self._mapping.pan_y

    def _set_pan_y(self, y: float) -> None:
        self._pan = (self._pan[0] if self._pan[0] is not None else self._mapping.pan_x, y)
        self._moved()

    def _moved(self) -> None:
        self._map()
        self.changed.emit()
        self.update()
        self.want()

    source = Property(str, _get_source, _set_source, notify=changed)
    zoom = Property(float, _get_zoom, _set_zoom, notify=changed)
    panX = Property(float, _get_pan_x, _set_pan_x, notify=mapped)  # noqa: N815  QML's manner
    panY = Property(float, _get_pan_y, _set_pan_y, notify=mapped)  # noqa: N815  QML's manner
    status = Property(str, lambda self: self._status, notify=changed)
    mapScale = Property(float, lambda self: self._mapping.scale, notify=mapped)  # noqa: N815  QML's manner
    offsetX = Property(float, lambda self: self._mapping.x, notify=mapped)  # noqa: N815  QML's manner
    offsetY = Property(float, lambda self: self._mapping.y, notify=mapped)  # noqa: N815  QML's manner
    frameWidth = Property(int, lambda self: self._print.columns if self._print else 0, notify=mapped)  # noqa: N815  QML's manner
    frameHeight = Property(int, lambda self: self._print.rows if self._print else 0, notify=mapped)  # noqa: N815  QML's manner


def register_pictures(engine: QQmlEngine, pictures: Pictures) -> None:
    """Let QML of an engine say `import Firstshift.Pictures` and `Picture { source: ... }`."""
    qmlRegisterType(Picture, "Firstshift.Pictures", 1, 0, "Picture")  # type: ignore[call-overload]
    engine.rootContext().setContextProperty(CONTEXT, pictures)


def _stored_image(connection: sqlite3.Connection, part: PartId, camera: str) -> str | None:
    row = connection.execute(
        "SELECT i.path FROM images i JOIN parts p ON p.id = i.part WHERE p.boot = ? AND p.number = ? AND i.camera = ?"
        " AND i.path IS NOT NULL ORDER BY i.id DESC LIMIT 1",
        (part.boot, part.number, camera),
    ).fetchone()
    return str(row[0]) if row else None
