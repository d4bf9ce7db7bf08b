"""Remember which layers are drawn over pictures: a small file of the touchscreen's own. No Qt."""

from pathlib import Path

from msgspec import Struct

from hmi import keepsakes

FILE = "hmi/run.json"


class Layers(Struct, frozen=True, forbid_unknown_fields=True):
    """Say what is drawn over a picture."""

    heat: bool = True
    marks: bool = True
    text: bool = True


def recall(state: Path) -> Layers:
    """Give what was chosen last; all of it where nothing was."""
    return keepsakes.recall(state / FILE, Layers())


def remember(state: Path, layers: Layers) -> None:
    """Keep a choice; a disk that takes nothing costs no more than that."""
    keepsakes.keep(state / FILE, layers)
