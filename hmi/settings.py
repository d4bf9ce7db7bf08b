"""Keep how this screen looks: a small file beside the station's other state, written by the touchscreen alone."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

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
    """Read them; defaults where there are none, or a power cut left half a file."""
    try:
        return msgspec.json.decode((state / FILE).read_bytes(), type=Settings)
    except (OSError, msgspec.DecodeError):
        return Settings()


def keep(state: Path, settings: Settings) -> bool:
    """Write them whole or not at all; False where the disk takes nothing, since looks are no reason to stop."""
    path = state / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".tmp")
        half.write_bytes(msgspec.json.encode(settings))
        os.replace(half, path)  # noqa: PTH105  atomic on POSIX
    except OSError:
        return False
    return True
