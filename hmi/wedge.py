"""Read scanners and badge readers that type as keyboards: a line ends with Enter."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtQuick import QQuickItem

PAUSE_S: Final = 2.0
"""A longer pause begins a new line: a reader that was pulled out half way leaves nothing behind."""
LIMIT: Final = 200
_TOUCHES = frozenset({QEvent.Type.TouchBegin, QEvent.Type.MouseButtonPress, QEvent.Type.KeyPress})


class Wedge(QObject):
    """Watch a window's events; `read` gets each line, `touched` is told of every touch and key."""

    def __init__(self, read: Callable[[str], None], touched: Callable[[], None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._read, self._touched = read, touched
        self._line, self._at = "", 0.0

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802  Qt's name
        """Look at an event; every one goes on to where it was going."""
        if event.type() in _TOUCHES:
            self._touched()
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            self._key(event, time.monotonic())
        return False

    def _key(self, event: QKeyEvent, now: float) -> None:
        if now - self._at > PAUSE_S:
            self._line = ""
        self._at = now
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            line, self._line = self._line.strip(), ""
            if line:
                self._read(line)
        elif event.text().isprintable():
            self._line = (self._line + event.text())[-LIMIT:]


def open_pads(item: QQuickItem) -> Iterator[QQuickItem]:
    """Yield the pads that are shown and take what a scanner reads."""
    if item.isVisible():
        if item.property("takesScan"):
            yield item
        for child in item.childItems():
            yield from open_pads(child)
