"""Hold what a view tells QML, and send a signal for what changed alone: a list that is told anew forgets its place."""

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import SignalInstance


class Told:
    """Keep texts and lists apart; `take` is called at every tick."""

    def __init__(self) -> None:
        self.texts: dict[str, Any] = {}
        """Everything that is no list; one signal for all of it."""
        self.lists: dict[str, list[Any]] = {}

    def take(self, values: Mapping[str, Any], changed: SignalInstance, lists: Mapping[str, SignalInstance]) -> None:
        """Keep new values. changed: of the texts; lists: of each list, by its name."""
        texts = {name: value for name, value in values.items() if name not in lists}
        for name, signal in lists.items():
            if self.lists.get(name) != values[name]:
                self.lists[name] = values[name]
                signal.emit()
        if texts != self.texts:
            self.texts = texts
            changed.emit()
