"""Remember which layers are drawn over pictures: a small file of the touchscreen's own. No Qt."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct

FILE = "hmi/run.json"


class Layers(Struct, frozen=True, forbid_unknown_fields=True):
    """Say what is drawn over a picture."""

    heat: bool = True
    marks: bool = True
    text: bool = True


def recall(state: Path) -> Layers:
    """Give what was chosen last; all of it where nothing was, or the file is damaged."""
    try:
        return msgspec.json.decode((state / FILE).read_bytes(), type=Layers)
    except (OSError, msgspec.DecodeError):
        return Layers()


def remember(state: Path, layers: Layers) -> bool:
    """Write it whole or not at all; False where the disk takes nothing, which costs no more than the choice."""
    path = state / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half = path.with_suffix(".tmp")
        half.write_bytes(msgspec.json.encode(layers))
        os.replace(half, path)  # noqa: PTH105  atomic on POSIX
    except OSError:
        return False
    return True
