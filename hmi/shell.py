"""Lead through the screens: rail, header, banners, who is signed in; what every screen has round it."""

import importlib
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from PySide6.QtCore import Property, QCoreApplication, QEvent, QObject, QUrl, Signal, Slot
from PySide6.QtQml import QQmlComponent, QQmlEngine, QQmlProperty
from PySide6.QtQuick import QQuickItem

from appliance.governance.rights import Right
from hmi import header
from hmi.screens import SCREENS, Screen
from hmi.settings import Settings, write
from hmi.theme import Theme
from hmi.wedge import open_pads
from hmi.words import LANGUAGES, Words

FOLDER: Final = Path(__file__).parent / "screens"
INSTALLED: Final = tuple(screen for screen in SCREENS if (FOLDER / screen.name / f"{screen.kind}.qml").exists())
OPEN_TO_ALL: Final = frozenset({"run", "sign_in"})
"""What shows while nobody is signed in."""
RIGHTS: Final = {
    "review": Right.DECIDE,
    "alarms": Right.SEE_FIGURES,
    "statistics": Right.SEE_FIGURES,
    "trends": Right.SEE_FIGURES,
    "recipe": Right.SEE_FIGURES,
    "maintenance": Right.TEST_MACHINE,
    "people": Right.CHANGE_PEOPLE,
}


class Shell(QObject):
    """Hold the screens that were opened and the texts round them; QML reads `rail`, `header`, `alarm`, `banners`."""

    changed = Signal()
    currentChanged = Signal()  # noqa: N815  QML's way

    def __init__(self, desk: Any, words: Words, theme: Theme, settings: Settings, engine: QQmlEngine) -> None:
        super().__init__()
        self._desk, self._words, self._theme, self._settings, self._engine = desk, words, theme, settings, engine
        self._root: QQuickItem | None = None
        self._host: QQuickItem | None = None
        self._open: dict[str, tuple[QObject, QQuickItem]] = {}
        self._current, self._wanted = "", ""
        self._said: dict[str, Any] = {}
        self._version, self._who = desk.session.version, desk.session.who
        self._say()

    def settle(self, root: QQuickItem, host: QQuickItem, first: str = "run") -> None:
        """Take the window's root item and the one that screens stand in, and open the first screen."""
        self._root, self._host = root, host
        self.open(first)

    @property
    def view(self) -> QObject:
        """The view of the screen that is shown."""
        return self._open[self._current][0]

    @property
    def item(self) -> QQuickItem:
        """The root item of the screen that is shown."""
        return self._open[self._current][1]

    @Slot(str)
    def go(self, name: str) -> None:
        """Open a screen for who is signed in; nobody is led through sign-in first."""
        if self._may(name):
            self.open(name)
        elif self._desk.session.person is None:
            self._wanted = name
            self.open("sign_in")

    def open(self, name: str) -> None:
        """Show a screen, whoever is signed in; the one before is left."""
        if name == self._current or self._host is None:
            return
        if self._current:
            view, item = self._open[self._current]
            view.leave()  # type: ignore[attr-defined]
            item.setVisible(False)
        if name not in self._open:
            self._open[name] = self._load(next(screen for screen in SCREENS if screen.name == name), self._host)
        self._current = name
        view, item = self._open[name]
        view.enter()  # type: ignore[attr-defined]
        view.refresh()  # type: ignore[attr-defined]
        item.setVisible(True)
        self._say()
        self.currentChanged.emit()

    def refresh(self) -> None:
        """Follow the station and the session; called at every tick, after the desk's own."""
        session = self._desk.session
        if session.version != self._version:
            self._version = session.version
            self._follow_person()
        self.view.refresh()  # type: ignore[attr-defined]
        self._say()

    def scanned(self, text: str) -> None:
        """Give what a scanner read to sign-in if it is a badge, else to the open pad, else to the screen."""
        badge = self._current != "people" and self._desk.session.by_badge(text) is not None
        if badge and self._current != "sign_in":
            self._wanted = self._current
            self.open("sign_in")
        pad = next(open_pads(self._root), None) if self._root is not None and not badge else None
        if pad is not None:
            pad.setProperty("text", text[: int(pad.property("maximum"))])
            return
        take = getattr(self.view, "badge" if self._current == "sign_in" else "scanned", None)
        if take is not None:
            take(text)

    def leave(self) -> None:
        """Leave the screen that is shown; at the end."""
        if self._current:
            self.view.leave()  # type: ignore[attr-defined]

    def forget(self) -> None:
        """Let go of every screen that was opened."""
        for _, item in self._open.values():
            item.setParentItem(None)  # type: ignore[arg-type]  # Qt takes none
            item.deleteLater()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # items first: they read their view
        for view, _ in self._open.values():
            view.deleteLater()
        self._open.clear()
        self._root = self._host = None

    @Slot(str)
    def speak(self, language: str) -> None:
        """Speak another language at once; kept for when nobody is signed in."""
        self._words.use(language)
        self._keep(language=language)
        self._say()

    @Slot(bool)
    def darken(self, dark: bool) -> None:  # noqa: FBT001  called by QML
        """Use the dark theme or the light one; kept."""
        self._theme.use(dark=dark)
        self._keep(dark=dark)

    @Slot()
    def lock(self) -> None:
        """Lock the session."""
        self._desk.session.lock()

    @Slot()
    def signOut(self) -> None:  # noqa: N802  QML's way
        """Sign out who is signed in."""
        self._desk.session.sign_out()

    def _keep(self, **changes: Any) -> None:
        self._settings = replace(self._settings, **changes)
        write(self._desk.loaded.state, self._settings)

    def _may(self, name: str) -> bool:
        if name in OPEN_TO_ALL:
            return True
        right = RIGHTS.get(name)
        return self._desk.session.person is not None and (right is None or self._desk.session.may(right))

    def _follow_person(self) -> None:
        """Speak the language of who signed in, and show what was asked for; show nothing to who may not see it."""
        person, before = self._desk.session.person, self._who
        self._who = self._desk.session.who
        if self._who != before:
            self._words.use(person.language if person is not None else self._settings.language)
        if self._who not in {"", before} and self._current == "sign_in":
            wanted, self._wanted = self._wanted, ""
            self.open(wanted if wanted and self._may(wanted) else "run")
        elif not self._may(self._current):
            self.open("sign_in" if self._desk.session.resting is not None else "run")

    def _load(self, screen: Screen, host: QQuickItem) -> tuple[QObject, QQuickItem]:
        view = self._view(screen)
        component = QQmlComponent(self._engine, QUrl.fromLocalFile(str(FOLDER / screen.name / f"{screen.kind}.qml")))
        item = component.createWithInitialProperties({"view": view})
        if not isinstance(item, QQuickItem):
            raise TypeError(f"screen {screen.name}: {component.errorString().strip()}")
        item.setParent(self)
        item.setParentItem(host)
        QQmlProperty(item, "anchors.fill", self._engine).write(host)
        return view, item

    def _view(self, screen: Screen) -> QObject:
        module = importlib.import_module(f"hmi.screens.{screen.name}.view")
        view: QObject = getattr(module, f"{screen.kind}View")(self._desk)
        view.setParent(self)
        if hasattr(view, "wanted"):
            view.wanted.connect(self.go)
        return view

    def _say(self) -> None:
        said = {
            "header": header.fields(self._desk, self._words),
            "alarm": header.alarm_field(self._desk, self._words),
            "banners": list(header.banners(self._desk, self._words)),
            "languages": [{"name": name, "text": text} for name, text in LANGUAGES.items()],
            "rail": [self._rail(screen) for screen in INSTALLED if screen.rail],
        }
        if said != self._said:
            self._said = said
            self.changed.emit()

    def _rail(self, screen: Screen) -> dict[str, Any]:
        nobody = self._desk.session.person is None
        return {
            "name": screen.name,
            "title": self._words.tr(screen.title),
            "icon": screen.icon,
            "enabled": nobody or self._may(screen.name),
        }

    def _part(name: str, kind: Any, changed: Signal = changed) -> Property:  # type: ignore[misc]  # noqa: N805
        return Property(kind, lambda shell: shell._said.get(name), notify=changed)  # noqa: SLF001

    header = _part("header", "QVariantMap")
    alarm = _part("alarm", "QVariantMap")
    banners = _part("banners", "QVariantList")
    rail = _part("rail", "QVariantList")
    languages = _part("languages", "QVariantList")
    current = Property(str, lambda shell: shell._current, notify=currentChanged)  # noqa: SLF001
    del _part
