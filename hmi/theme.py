"""Give sizes in millimetres and colours by role; a screen names no pixel and no colour of its own."""

from collections.abc import Mapping
from typing import Final

from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtGui import QColor, QScreen

from appliance.schema.errors import ConfigError

INCH_MM: Final = 25.4
PX_PER_MM: Final = (2.0, 40.0)
"""A panel outside this range lies about its size: 50 to 1000 dpi."""

LIGHT: Final[Mapping[str, str]] = {
    "ground": "#C9CDD0",
    "panel": "#BCC1C5",
    "card": "#DADDDF",
    "key": "#EEF1F3",
    "keyPressed": "#AEB5BB",
    "text": "#171C20",
    "muted": "#3D454B",
    "line": "#626A70",
    "chosen": "#0B4C8C",
    "onChosen": "#FFFFFF",
    "alarm": "#B3201B",
    "onAlarm": "#FFFFFF",
    "warning": "#FFB000",
    "onWarning": "#171C20",
    "notice": "#DDE7F5",
    "onNotice": "#0A3868",
    "unknown": "#E4E0EC",
    "unknownHatch": "#B9B0CC",
    "onUnknown": "#241A3A",
    "none": "#343B41",
    "onNone": "#FFFFFF",
    "pass": "#EEF1F3",
    "onPass": "#171C20",
    "off": "#CBCFD2",
    "onOff": "#4A5258",
    "pictureGround": "#5A6268",
    "onPicture": "#FFFFFF",
    "heat": "#FF5A00",
    "mark": "#FFB000",
    "onMark": "#171C20",
    "veil": "#A0171C20",
}
"""Grey ground, colour for the abnormal alone (after ISA-101); every pair in `PAIRS` reads by WCAG 2.1 AA."""

DARK: Final[Mapping[str, str]] = {
    **LIGHT,
    "ground": "#22282D",
    "panel": "#1A1F23",
    "card": "#2D343A",
    "key": "#3B444B",
    "keyPressed": "#56616A",
    "text": "#E9EDF0",
    "muted": "#B9C1C7",
    "line": "#87919A",
    "chosen": "#8CC2FF",
    "onChosen": "#0A1A2B",
    "notice": "#17324F",
    "onNotice": "#D6E7FB",
    "unknown": "#3A3350",
    "unknownHatch": "#524873",
    "onUnknown": "#F3EFFF",
    "none": "#D5DADE",
    "onNone": "#171C20",
    "pass": "#3B444B",
    "onPass": "#E9EDF0",
    "off": "#2A3137",
    "onOff": "#99A2A9",
    "pictureGround": "#14181B",
    "veil": "#C0000000",
}

GREEN: Final[Mapping[str, str]] = {"pass": "#1B6E37", "onPass": "#FFFFFF"}
"""Plants that expect a green pass set it for the site."""

PAIRS: Final = (
    *((text, ground) for text in ("text", "muted") for ground in ("ground", "panel", "card", "key")),
    ("text", "keyPressed"),
    ("onChosen", "chosen"),
    ("onAlarm", "alarm"),
    ("onWarning", "warning"),
    ("onNotice", "notice"),
    ("onUnknown", "unknown"),
    ("onUnknown", "unknownHatch"),
    ("onNone", "none"),
    ("onPass", "pass"),
    ("onOff", "off"),
    ("onPicture", "pictureGround"),
    ("onMark", "mark"),
)
"""(text, ground) that screens put together; 4.5 : 1 at least."""

EDGES: Final = (
    *(("line", ground) for ground in ("ground", "card", "key")),
    *(("chosen", ground) for ground in ("ground", "card", "key")),
)
"""(border or mark, ground): 3 : 1 at least."""

SIZES_MM: Final[Mapping[str, float]] = {
    "small": 3.4,
    "body": 4.2,
    "strong": 5.2,
    "title": 7.0,
    "huge": 12.0,
    "gap": 4.0,
    "target": 16.0,
    "primary": 25.0,
    "radius": 1.2,
    "edge": 0.3,
}
"""Text heights are em sizes: capitals of 4.2 mm text are 3 mm high, 17' of arc at 600 mm (ISO 9241-303 asks 16')."""


class Theme(QObject):
    """Hold the sizes and colours of one screen; QML reads them as `Theme.body`, `Theme.alarm`."""

    changed = Signal()

    def __init__(
        self, mm: float, *, dark: bool = False, green_pass: bool = False, parent: QObject | None = None
    ) -> None:
        """Take `mm`, the pixels of one millimetre."""
        super().__init__(parent)
        self.px_per_mm, self._dark, self._green = mm, dark, green_pass
        self.colours = colours(dark=dark, green_pass=green_pass)

    def use(self, *, mm: float | None = None, dark: bool | None = None, green_pass: bool | None = None) -> None:
        """Change what is given; every screen follows at once."""
        self.px_per_mm = self.px_per_mm if mm is None else mm
        self._dark = self._dark if dark is None else dark
        self._green = self._green if green_pass is None else green_pass
        self.colours = colours(dark=self._dark, green_pass=self._green)
        self.changed.emit()

    def _get_mm(self) -> float:
        return self.px_per_mm

    def _get_dark(self) -> bool:
        return self._dark

    def _colour(role: str, changed: Signal = changed) -> Property:  # type: ignore[misc]  # noqa: N805
        return Property(QColor, lambda theme: QColor(theme.colours[role]), notify=changed)

    def _size(name: str, changed: Signal = changed) -> Property:  # type: ignore[misc]  # noqa: N805
        return Property(float, lambda theme: float(round(SIZES_MM[name] * theme.px_per_mm)), notify=changed)

    mm = Property(float, _get_mm, notify=changed)
    dark = Property(bool, _get_dark, notify=changed)
    for _name in LIGHT:
        locals()[_name] = _colour(_name)
    for _name in SIZES_MM:
        locals()[_name] = _size(_name)
    del _name, _colour, _size


def colours(*, dark: bool, green_pass: bool) -> Mapping[str, str]:
    """Give the colour of every role, `#RRGGBB` or `#AARRGGBB`."""
    return {**(DARK if dark else LIGHT), **(GREEN if green_pass else {})}


def px_per_mm(screen: QScreen, diagonal_inch: float | None) -> float:
    """Give the pixels of one millimetre, from the panel's own size, or its diagonal where it lies about that."""
    size = screen.size()
    if diagonal_inch is not None:
        diagonal_px = (size.width() ** 2 + size.height() ** 2) ** 0.5
        found = float(diagonal_px / (diagonal_inch * INCH_MM))
    else:
        found = float(screen.physicalDotsPerInch() / INCH_MM)
    if not PX_PER_MM[0] <= found <= PX_PER_MM[1]:
        raise ConfigError(
            f"screen {screen.name()}: {found:.2f} px/mm is outside {PX_PER_MM[0]} to {PX_PER_MM[1]}; "
            "give the panel's diagonal with --diagonal INCH"
        )
    return found


def contrast(one: str, other: str) -> float:
    """Give the contrast ratio of two colours, 1 to 21 (WCAG 2.1, relative luminance)."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    ink = QColor(colour)
    parts = (ink.redF(), ink.greenF(), ink.blueF())
    red, green, blue = (part / 12.92 if part <= 0.03928 else float(((part + 0.055) / 1.055) ** 2.4) for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
