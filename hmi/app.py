"""Start Qt, put the window up and keep it ticking."""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from PySide6.QtCore import QObject, QTimer, QUrl
from PySide6.QtGui import QFont, QFontDatabase, QGuiApplication
from PySide6.QtQml import QQmlApplicationEngine, QQmlEngine, qmlRegisterSingletonType
from PySide6.QtQuick import QQuickItem, QQuickWindow, QSGRendererInterface

from appliance.config import environment
from appliance.schema.errors import ConfigError
from hmi.icons import Icons
from hmi.pictures import register_pictures
from hmi.settings import Settings
from hmi.shell import FOLDER, Shell
from hmi.theme import Theme
from hmi.watchdog import Lifeline
from hmi.wedge import Wedge
from hmi.words import Words, load

HERE: Final = Path(__file__).parent
FAMILIES: Final = ("Firstshift Sans", "Firstshift Sans Arabic", "Firstshift Sans SC")
OFFSCREEN: Final = ("-platform", "offscreen")
ENDINGS: Final = (signal.SIGTERM, signal.SIGINT)
TICK_MS: Final = 100
PULSE_MS: Final = 25
"""A live picture of 25 frames a second waits for at most one of these."""
CATALOGUES: Final = (HERE / "kit", *sorted(path for path in FOLDER.iterdir() if path.is_dir()))


def application(*, display: bool = True) -> QGuiApplication:
    """Give the process's Qt application with the shipped fonts; ConfigError where this computer cannot draw.

    display: False draws by the processor, into memory: the same picture on every computer.
    """
    if "cv2" in sys.modules and hasattr(sys.modules["cv2"], "qt"):
        raise ConfigError("opencv-python: brings a second Qt; install opencv-python-headless in its place")
    shown = display or (environment("QT_QPA_PLATFORM") or "").startswith("offscreen")
    application = QGuiApplication.instance() or QGuiApplication(["firstshift", *(() if shown else OFFSCREEN)])
    if not display and not application.property("firstshift"):
        QQuickWindow.setGraphicsApi(QSGRendererInterface.GraphicsApi.Software)
    if not isinstance(application, QGuiApplication):
        raise ConfigError(
            "Qt: the process already runs one without a screen; start the touchscreen in a process of its own"
        )
    known = set(QFontDatabase.families())
    if not known.issuperset(FAMILIES):
        for path in sorted((HERE / "fonts").glob("*.ttf")):
            QFontDatabase.addApplicationFont(str(path))
    missing = [family for family in FAMILIES if family not in QFontDatabase.families()]
    if missing:
        raise ConfigError(f"fonts: {', '.join(missing)} missing in {HERE / 'fonts'}; install the package again")
    font = QFont()
    font.setFamilies(list(FAMILIES))
    application.setFont(font)
    if not application.property("firstshift"):
        application.setProperty("firstshift", True)
        register()
    return application


def register() -> None:
    """Make `import Firstshift` known to QML: each engine brings its own theme and words."""
    qmlRegisterSingletonType(Theme, "Firstshift", 1, 0, "Theme", lambda engine: engine.property("theme"))  # type: ignore[call-overload]
    qmlRegisterSingletonType(Words, "Firstshift", 1, 0, "Words", lambda engine: engine.property("words"))  # type: ignore[call-overload]


class Panel(QObject):
    """Hold one window over a desk: engine, shell, timer. `close` gives everything back, the desk excepted."""

    def __init__(self, desk: Any, theme: Theme, settings: Settings, first: str = "run") -> None:
        super().__init__()
        self.desk, self.theme, self.words = desk, theme, desk.words
        self.engine = QQmlApplicationEngine()
        self.engine.setProperty("theme", theme)
        self.engine.setProperty("words", self.words)
        self.engine.addImageProvider("icon", Icons())
        for held in (theme, self.words):
            QQmlEngine.setObjectOwnership(held, QQmlEngine.ObjectOwnership.CppOwnership)
        application = QGuiApplication.instance()
        assert application is not None  # noqa: S101  `application()` made it
        application.installTranslator(self.words)
        self.words.changed.connect(self.engine.retranslate)
        register_pictures(self.engine, desk.pictures)
        self.shell = Shell(desk, self.words, theme, settings, self.engine)
        self.engine.setInitialProperties({"shell": self.shell})
        self.engine.load(QUrl.fromLocalFile(str(HERE / "Main.qml")))
        if not self.engine.rootObjects():
            raise RuntimeError("Main.qml: does not load; the reason stands above")
        window = self.engine.rootObjects()[0]
        assert isinstance(window, QQuickWindow)  # noqa: S101  Main.qml says so
        self.window = window
        self._wedge = Wedge(self.shell.scanned, desk.session.touch, self)
        self.window.installEventFilter(self._wedge)
        host = self.window.property("host")
        assert isinstance(host, QQuickItem)  # noqa: S101  Main.qml says so
        self.shell.settle(window.contentItem(), host, first)

    def tick(self) -> None:
        """Take one step: what was heard, who is signed in, what is shown."""
        self.desk.tick()
        self.shell.refresh()

    def close(self) -> None:
        """Close the window and forget its objects; call once."""
        application = QGuiApplication.instance()
        self.shell.leave()
        self.words.changed.disconnect(self.engine.retranslate)
        if application is not None:
            application.removeTranslator(self.words)
        self.window.removeEventFilter(self._wedge)
        self.window.close()
        self.shell.forget()
        self.engine.deleteLater()
        QGuiApplication.sendPostedEvents(None, 0)
        QGuiApplication.processEvents()


def words_of(language: str) -> Words:
    """Give the words of every screen, in a language."""
    return Words(load(CATALOGUES), language)


def run(panel: Panel, *, full: bool, size: tuple[int, int] | None = None) -> int:
    """Show the window until SIGTERM, SIGINT or its end; gives the exit code. A fault in a slot ends the process."""
    application = QGuiApplication.instance()
    assert application is not None  # noqa: S101
    lifeline = Lifeline()
    hook = sys.excepthook
    sys.excepthook = _ends(application.exit)
    endings = {ending: signal.signal(ending, lambda *_: application.exit(0)) for ending in ENDINGS}
    timer = QTimer()
    timer.timeout.connect(panel.tick)
    timer.timeout.connect(lifeline.tick)
    timer.start(TICK_MS)
    pulse = QTimer()
    pulse.timeout.connect(panel.desk.pulse)
    pulse.start(PULSE_MS)
    if size is not None:
        panel.window.resize(*size)
    if full:
        panel.window.showFullScreen()
    else:
        panel.window.show()
    code = application.exec()
    timer.stop()
    pulse.stop()
    lifeline.close()
    sys.excepthook = hook
    for ending, before in endings.items():
        signal.signal(ending, before)
    return code


def _ends(leave: Callable[[int], None]) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """Make a broken promise of our code the end of the process: the service manager starts a fresh screen."""

    def hook(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, fault, trace)
        leave(1)

    return hook
