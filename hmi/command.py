"""Do what `firstshift hmi` asks: show the touchscreen, take one picture of it, or the whole gallery."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtGui import QGuiApplication, QImage

from appliance.schema.errors import ConfigError
from hmi import app, settings
from hmi.palette import indexed
from hmi.screens import SCREENS
from hmi.shell import INSTALLED
from hmi.theme import INCH_MM, Theme, px_per_mm
from hmi.words import LOCALES, Words

SIZES: Final = {(1920, 1080): 15.6, (1280, 800): 12.1}
"""px -> inch of the panels that the gallery shows."""
SMALLEST: Final = min(SIZES)
USUAL: Final = ("en", "de", "ar")
WORKING: Final = ("zh", "es")
"""Further languages of the two screens that operators work at."""
PATIENCE_S: Final = 5.0
"""For a view that looks something up by itself; it says so with a method `settle(timeout_s)`."""
LOOKS: Final = 12
"""Turns of the event loop that a screen gets to fetch what it shows."""

OpenDesk = Callable[[Words, str], AbstractContextManager[Any]]
"""(words, screen) -> a Desk on which somebody who may see that screen is signed in."""


class Options(Struct, frozen=True):
    """Hold the command line."""

    screen: str = "run"
    language: str = ""
    """Empty: as kept for this screen."""
    size: tuple[int, int] | None = None
    """Of a window, px; None: the whole panel."""
    dark: bool | None = None
    green_pass: bool | None = None
    diagonal_inch: float | None = None


def show(options: Options, open_desk: OpenDesk) -> int:
    """Show the touchscreen until it is ended; gives the exit code."""
    application = app.application()
    words = app.words_of(options.language or "en")
    with open_desk(words, options.screen) as desk:
        kept = _settled(options, settings.read(desk.loaded.state))
        settings.write(desk.loaded.state, kept)
        words.use(kept.language)
        mm = px_per_mm(application.primaryScreen(), kept.diagonal_inch)
        panel = app.Panel(desk, Theme(mm, dark=kept.dark, green_pass=kept.green_pass), kept, _known(options.screen))
        try:
            return app.run(panel, full=options.size is None, size=options.size)
        finally:
            panel.close()


def picture(options: Options, open_desk: OpenDesk, path: Path) -> None:
    """Write one picture of a screen: PNG of 128 colours."""
    app.application(display=False)
    _write(path, _taken(options, open_desk))


def shots() -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Yield (screen, language, size) of the gallery; further languages at the smaller size, where texts are tight."""
    for screen in INSTALLED:
        for size in SIZES:
            for language in USUAL + (WORKING if screen.name in {"run", "review"} and size == SMALLEST else ()):
                yield screen.name, language, size


def gallery(folder: Path, open_desk: OpenDesk) -> Iterator[Path]:
    """Write every picture that the README shows; yields each path."""
    app.application(display=False)
    folder.mkdir(parents=True, exist_ok=True)
    for screen, language, size in shots():
        path = folder / f"{screen}_{language}_{size[0]}.png"
        _write(path, _taken(Options(screen, language, size), open_desk))
        yield path


def _taken(options: Options, open_desk: OpenDesk) -> QImage:
    size = options.size or next(iter(SIZES))
    words = app.words_of(options.language or "en")
    inch = options.diagonal_inch or SIZES.get(size, 15.6)
    kept = _settled(options, settings.Settings())
    with open_desk(words, options.screen) as desk:
        mm = float(np.hypot(*size) / (inch * INCH_MM))
        panel = app.Panel(desk, Theme(mm, dark=kept.dark, green_pass=kept.green_pass), kept, _known(options.screen))
        try:
            panel.window.resize(*size)
            panel.window.show()
            words.use(options.language or "en")
            for _ in range(LOOKS):
                panel.tick()
                desk.settle()
                getattr(panel.shell.view, "settle", _nothing)(PATIENCE_S)
                QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
                QGuiApplication.processEvents()
            return panel.window.grabWindow()
        finally:
            panel.close()


def _nothing(_timeout_s: float) -> bool:
    return True


def _write(path: Path, image: QImage) -> None:
    rgb = image.convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(rgb.constBits(), np.uint8).reshape(rgb.height(), rgb.bytesPerLine())
    if not indexed(rows[:, : rgb.width() * 3].reshape(rgb.height(), rgb.width(), 3)).save(str(path), quality=0):
        raise ConfigError(f"{path}: cannot be written; name a .png in a folder that exists")


def _settled(options: Options, kept: settings.Settings) -> settings.Settings:
    """Let what the command line says stand over what was kept."""
    said = {
        "dark": options.dark,
        "green_pass": options.green_pass,
        "diagonal_inch": options.diagonal_inch,
        "language": options.language or None,
    }
    if options.language and options.language not in LOCALES:
        raise ConfigError(f"language {options.language!r}: is none of {', '.join(LOCALES)}; choose one of them")
    return replace(kept, **{key: value for key, value in said.items() if value is not None})


def _known(name: str) -> str:
    if name not in {screen.name for screen in INSTALLED}:
        raise ConfigError(f"screen {name!r}: is none of {', '.join(screen.name for screen in SCREENS)}")
    return name
