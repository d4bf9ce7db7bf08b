"""Speak the language of the person at the screen: catalogues, numbers, dates, direction of writing."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final

from PySide6.QtCore import Property, QLocale, QObject, QTranslator, Signal, Slot

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "de": "Deutsch", "es": "Español", "zh": "中文", "ar": "العربية"}
"""Each by its own name, since who looks for his language reads no other."""
PSEUDO: Final = "xx"
"""Made from English: accents and 40 % more letters show what a translation would clip."""
LOCALES: Final[Mapping[str, str]] = {
    "en": "en_GB",
    "de": "de_DE",
    "es": "es_ES",
    "zh": "zh_CN",
    "ar": "ar_AE",
    "xx": "en_GB",
}
CATALOGUE: Final = "words.json"
_ACCENTS: Final = str.maketrans("aceinouyACEINOUY", "áçéíñöüýÁÇÉÍÑÖÜÝ")

Catalogue = Mapping[str, Mapping[str, str]]
"""English source text -> language -> text."""


def load(folders: Iterable[Path]) -> dict[str, Mapping[str, str]]:
    """Read the catalogues of the folders; what an earlier folder says stands."""
    found: dict[str, Mapping[str, str]] = {}
    for folder in folders:
        path = folder / CATALOGUE
        if path.exists():
            found = {**json.loads(path.read_text("utf-8")), **found}
    return found


def pseudo(text: str) -> str:
    """Make a text 40 % longer and accented; placeholders stay as they are."""
    pieces, depth, previous = [], 0, ""
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        pieces.append(letter if depth or previous == "%" else letter.translate(_ACCENTS))
        previous = letter
    words = max(1, round(len(text) * 0.4 / 3))
    return "".join(pieces) + " ~~" * words if len(text) > 3 else "".join(pieces) + "~"


class Words(QTranslator):
    """Translate for QML (`qsTr`) and for Python (`tr`); a text without a translation stays English."""

    changed = Signal()

    def __init__(
        self, catalogue: Catalogue, language: str = "en", zone: tzinfo | None = None, parent: QObject | None = None
    ) -> None:
        """Take the catalogue; `zone` is the station's, the computer's own by default."""
        super().__init__(parent)
        self.catalogue, self._language, self._zone = catalogue, "", zone
        self._locale = QLocale()
        self.use(language)

    def use(self, language: str) -> None:
        """Speak another language from now on; an unknown one is English."""
        self._language = language if language in LOCALES else "en"
        self._locale = QLocale(LOCALES[self._language])
        self._locale.setNumberOptions(QLocale.NumberOption.DefaultNumberOptions)
        self.changed.emit()

    def tr(self, text: str) -> str:  # type: ignore[override]  # Qt's own takes a context that catalogues do not have
        """Give the text in the language of the screen."""
        if self._language == PSEUDO:
            return pseudo(text)
        return self.catalogue.get(text, {}).get(self._language) or text

    def translate(self, context: str, source: str, disambiguation: str | None = None, n: int = -1) -> str:
        """Answer `qsTr`."""
        return self.tr(source)

    def isEmpty(self) -> bool:  # noqa: N802  Qt's name
        """Say that there is something to translate, or Qt does not ask."""
        return False

    def number(self, value: float, decimals: int = 0) -> str:
        """Give a number as the language writes it."""
        return self._whole(self._locale.toString(float(value), "f", decimals))

    def percent(self, share: float, decimals: int = 1) -> str:
        """Give a share, 0 to 1, in percent."""
        return self._whole(f"{self._locale.toString(share * 100, 'f', decimals)}\u00a0%")

    def clock(self, utc_ns: int) -> str:
        """Give hour and minute at the station."""
        return self._whole(self._at(utc_ns).strftime("%H:%M"))

    def day(self, utc_ns: int) -> str:
        """Give the date at the station."""
        return self._whole(self._at(utc_ns).strftime("%Y-%m-%d"))

    def moment(self, utc_ns: int) -> str:
        """Give date, hour and minute at the station."""
        return self._whole(self._at(utc_ns).strftime("%Y-%m-%d %H:%M"))

    def span(self, seconds: float) -> str:
        """Give a length of time in its largest unit that reads well: 40 s, 3 min, 5 h, 4 d."""
        for limit, size, text in ((120, 1, "{n} s"), (7200, 60, "{n} min"), (172_800, 3600, "{n} h")):
            if seconds < limit:
                return self.tr(text).format(n=self.number(seconds // size))
        return self.tr("{n} d").format(n=self.number(seconds // 86_400))

    def _whole(self, figure: str) -> str:
        """Keep a figure in one piece, left to right, within a sentence that runs the other way."""
        return f"\u2066{figure}\u2069" if self._language == "ar" else figure

    def _at(self, utc_ns: int) -> datetime:
        return datetime.fromtimestamp(utc_ns / 1e9, UTC).astimezone(self._zone)

    def _get_language(self) -> str:
        return self._language

    def _get_rtl(self) -> bool:
        return self._language == "ar"

    language = Property(str, _get_language, notify=changed)  # type: ignore[assignment]  # Qt's own is a file's
    rtl = Property(bool, _get_rtl, notify=changed)

    @Slot(float, int, result=str)
    def figure(self, value: float, decimals: int) -> str:
        """Give a number to QML."""
        return self.number(value, decimals)
