"""Keep how this screen looks: a small file beside the station's other state, written by the touchscreen alone."""

from pathlib import Path

from msgspec import Struct

from hmi.keepsakes import keep, recall

FILE = "hmi/screen.json"


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """Hold what stays over a restart; a person's language comes with the person."""

    dark: bool = False
    green_pass: bool = False
    """Whether a pass is green rather than neutral, as some plants expect."""
    diagonal_inch: float | None = None
    """Of a panel that lies about its size; None: the panel is believed."""
    language: str = "en"
    """While nobody is signed in."""


def read(state: Path) -> Settings:
    """Read them; defaults where there are none."""
    return recall(state / FILE, Settings())


def write(state: Path, settings: Settings) -> None:
    """Write them; a disk that takes nothing is no reason to stop."""
    keep(state / FILE, settings)
