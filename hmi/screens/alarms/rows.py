"""Hold rows so that one that stays is never made anew: a finger may lie on it."""

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, Qt

ENTRY = Qt.ItemDataRole.UserRole + 1
NOWHERE = QModelIndex()


class Rows(QAbstractListModel):
    """Give entries to QML as `entry`; each entry has a `key` that names it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._entries: list[dict[str, Any]] = []

    def rowCount(self, parent: Any = NOWHERE) -> int:  # noqa: N802  Qt's name
        """Count the rows."""
        return 0 if parent.isValid() else len(self._entries)

    def data(self, index: Any, role: int = ENTRY) -> Any:
        """Give a row's entry."""
        return self._entries[index.row()] if role == ENTRY and index.isValid() else None

    def roleNames(self) -> dict[int, Any]:  # noqa: N802  Qt's name
        """Name the one role."""
        return {int(ENTRY): b"entry"}

    def show(self, entries: Sequence[dict[str, Any]]) -> None:
        """Take new entries: rows that stay in order are changed in place, else all are made anew."""
        if [one["key"] for one in entries] != [one["key"] for one in self._entries]:
            self.beginResetModel()
            self._entries = list(entries)
            self.endResetModel()
            return
        for place, entry in enumerate(entries):
            if entry != self._entries[place]:
                self._entries[place] = entry
                index = self.index(place, 0)
                self.dataChanged.emit(index, index, [ENTRY])
