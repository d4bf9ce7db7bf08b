"""Hold windows for tests: offscreen, touched by a finger, read back as pixels; Qt's warnings are errors."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

SIZES: Final = {"1280x800": (1280, 800, 12.1), "1920x1080": (1920, 1080, 15.6)}
"""px, px, inch: the smallest and the usual panel."""
LANGUAGES: Final = ("en", "de", "es", "zh", "ar")

_SCREENS = Path(__file__).resolve().parents[2] / "build" / "hmi_screens.json"
_SCREENS.parent.mkdir(exist_ok=True)
_SCREENS.write_text(
    json.dumps(
        {
            "screens": [
                {"name": "HMI", "x": 0, "y": 0, "width": 1920, "height": 1080, "logicalDpi": 96, "logicalBaseDpi": 96}
                | {"dpr": 1}
            ]
        }
    )
)
os.environ["QT_QPA_PLATFORM"] = f"offscreen:configfile={_SCREENS}"
os.environ["QT_QUICK_BACKEND"] = "software"

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QPoint, QPointF, QtMsgType, QUrl, qInstallMessageHandler  # noqa: E402
from PySide6.QtGui import QGuiApplication, QImage, QPointingDevice  # noqa: E402
from PySide6.QtQml import QQmlComponent, QQmlEngine  # noqa: E402
from PySide6.QtQuick import QQuickItem, QQuickWindow  # noqa: E402
from PySide6.QtTest import QTest  # noqa: E402

from hmi import app  # noqa: E402
from hmi.icons import Icons  # noqa: E402
from hmi.settings import Settings  # noqa: E402
from hmi.theme import INCH_MM, Theme  # noqa: E402

KIT = Path(app.__file__).parent / "kit"
_finger: list[QPointingDevice] = []


def finger() -> QPointingDevice:
    """Give the one touch device of this process."""
    if not _finger:
        _finger.append(QTest.createTouchDevice())
    return _finger[0]


def px_per_mm(size: str) -> float:
    """Give the pixels of one millimetre on a panel of `SIZES`."""
    width, height, inch = SIZES[size]
    return float((width**2 + height**2) ** 0.5 / (inch * INCH_MM))


class Touched:
    """Hold one window and touch it as a person does."""

    def __init__(self, window: QQuickWindow, root: QQuickItem) -> None:
        self.window, self.root = window, root
        self.words: Any = None
        self._sequence: Any = None

    def settle(self, turns: int = 6) -> None:
        """Let Qt do what it has queued: bindings, layouts, a frame."""
        for _ in range(turns):
            QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
            QGuiApplication.processEvents()

    def items(self, under: QQuickItem | None = None) -> Iterator[QQuickItem]:
        """Yield every item that shows, parents first."""
        item = under if under is not None else self.window.contentItem()
        if item.isVisible() and item.opacity() > 0:
            yield item
            for child in item.childItems():
                yield from self.items(child)

    def find(self, name: str) -> QQuickItem:
        """Give the item of an object name, accessible name (`name`) or text that shows; keys before texts."""
        found = [
            item for item in self.items() if name in (item.objectName(), item.property("name"), item.property("text"))
        ]
        found.sort(key=lambda item: not item.property("isTarget"))
        if not found:
            names = sorted({str(item.property("name")) for item in self.items() if item.property("isTarget")})
            raise LookupError(f"no item {name!r} shows; keys are {names}")
        return found[0]

    def centre(self, item: QQuickItem) -> QPoint:
        """Give the middle of an item, window px."""
        return item.mapToScene(QPointF(item.width() / 2, item.height() / 2)).toPoint()

    def press(self, at: QQuickItem | QPoint | str) -> None:
        """Put the finger down."""
        self._point = self._place(at)
        QTest.touchEvent(self.window, finger()).press(0, self._point, self.window).commit()
        self.settle(2)

    def move(self, at: QQuickItem | QPoint | str) -> None:
        """Move the finger that is down."""
        self._point = self._place(at)
        QTest.touchEvent(self.window, finger()).move(0, self._point, self.window).commit()
        self.settle(1)

    def release(self, at: QQuickItem | QPoint | str | None = None) -> None:
        """Lift the finger, where it is or elsewhere."""
        self._point = self._point if at is None else self._place(at)
        QTest.touchEvent(self.window, finger()).release(0, self._point, self.window).commit()
        self.settle(2)

    def touch(self, at: QQuickItem | QPoint | str) -> None:
        """Tap."""
        self.press(at)
        self.release()

    def type(self, text: str) -> None:
        """Type a line and Enter, as a scanner does."""
        for letter in text:
            QTest.keyClick(self.window, letter)
        QTest.keyClick(self.window, "\r")
        self.settle(2)

    def grab(self) -> NDArray[np.uint8]:
        """Give the window's pixels: (rows, columns, 3) uint8, RGB."""
        image = self.window.grabWindow().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
        return rows[:, : image.width() * 3].reshape(image.height(), image.width(), 3).copy()

    def texts(self) -> list[str]:
        """Give every text that shows."""
        return [
            str(item.property("text"))
            for item in self.items()
            if item.metaObject().indexOfProperty("contentWidth") >= 0 and item.property("text")
        ]

    def _place(self, at: QQuickItem | QPoint | str) -> QPoint:
        if isinstance(at, str):
            at = self.find(at)
        return at if isinstance(at, QPoint) else self.centre(at)


class Stage(Touched):
    """Hold the whole touchscreen over a desk."""

    def __init__(self, panel: "app.Panel") -> None:
        super().__init__(panel.window, panel.window.contentItem())
        self.panel, self.desk, self.shell = panel, panel.desk, panel.shell

    @property
    def view(self) -> QObject:
        """The view of the screen that is shown."""
        return self.panel.shell.view

    @property
    def item(self) -> QQuickItem:
        """The root item of the screen that is shown."""
        return self.panel.shell.item

    def tick(self, count: int = 1) -> None:
        """Let the screen take steps as its timer would; the clock stands unless the test moves it."""
        for _ in range(count):
            self.panel.tick()
            self.settle(2)


class Rig:
    """Open windows; `close` closes them and fails on what Qt complained of. Use as a context."""

    def __init__(self) -> None:
        app.application()
        self.warnings: list[str] = []
        self._panels: list[app.Panel] = []
        self._loose: list[Any] = []
        self._hook = sys.excepthook
        sys.excepthook = lambda kind, fault, _trace: self.warnings.append(f"{kind.__name__}: {fault}")
        qInstallMessageHandler(self._heard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(quiet=kind is not None)

    def open(self, name: str, desk: Any, language: str = "en", size: str = "1280x800", theme: str = "light") -> Stage:
        """Show a screen of the touchscreen over a desk, whoever is signed in."""
        width, height, _ = SIZES[size]
        desk.words.use(language)
        shades = Theme(px_per_mm(size), dark=theme == "dark")
        panel = app.Panel(desk, shades, Settings(dark=theme == "dark", language=language), name)
        self._panels.append(panel)
        panel.window.resize(width, height)
        panel.window.show()
        panel.words.use(language)
        stage = Stage(panel)
        stage.settle()
        stage.tick()
        return stage

    def component(
        self,
        qml: str,
        size: str = "1280x800",
        language: str = "en",
        theme: str = "light",
        kit: Path = KIT,
        **properties: Any,
    ) -> Touched:
        """Show a piece of QML alone in a window of a panel's size; `import` lines of the kit are put before it."""
        width, height, _ = SIZES[size]
        engine = QQmlEngine()
        words, shades = app.words_of(language), Theme(px_per_mm(size), dark=theme == "dark")
        engine.setProperty("theme", shades)
        engine.setProperty("words", words)
        for held in (shades, words):
            QQmlEngine.setObjectOwnership(held, QQmlEngine.ObjectOwnership.CppOwnership)
        engine.addImageProvider("icon", Icons())
        component = QQmlComponent(engine)
        head = "import QtQuick\nimport QtQuick.Layouts\nimport Firstshift\nimport '.'\n"
        component.setData((head + qml).encode(), QUrl.fromLocalFile(str(kit / "Piece.qml")))
        item = component.createWithInitialProperties(properties)
        if not isinstance(item, QQuickItem):
            raise TypeError(component.errorString())
        window = QQuickWindow()
        window.resize(width, height)
        window.setColor(shades.property("ground"))
        item.setParentItem(window.contentItem())
        item.setSize(window.size().toSizeF())
        window.show()
        self._loose.append((window, item, component, engine, shades, words))
        application = QGuiApplication.instance()
        application.installTranslator(words)
        words.changed.connect(engine.retranslate)
        touched = Touched(window, item)
        touched.words = words
        touched.settle()
        engine.retranslate()
        return touched

    def close(self, *, quiet: bool = False) -> None:
        """Close every window; AssertionError where Qt or a slot complained."""
        for panel in self._panels:
            panel.close()
        self._panels.clear()
        for window, item, *rest in self._loose:
            QGuiApplication.instance().removeTranslator(rest[3])
            rest[3].changed.disconnect(rest[1].retranslate)
            window.close()
            item.setParentItem(None)
            item.deleteLater()
            window.deleteLater()
            rest[1].deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        self._loose.clear()
        qInstallMessageHandler(None)
        sys.excepthook = self._hook
        if not quiet:
            assert not self.warnings, self.warnings

    def _heard(self, kind: QtMsgType, _context: object, text: str) -> None:
        if kind != QtMsgType.QtDebugMsg and "propagateSizeHints" not in text:
            self.warnings.append(text)
