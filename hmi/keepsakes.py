"""Keep a choice over a restart: a small file of the touchscreen's own, whole or not at all. No Qt."""

from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

_Kept = TypeVar("_Kept")


def recall(path: Path, otherwise: _Kept, kind: type[_Kept] | None = None) -> _Kept:
    """Give what was kept last; `otherwise` where nothing was, or a power cut left half a file.

    kind: what the file holds where the type of `otherwise` does not say it all.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind or type(otherwise))
    except (OSError, msgspec.DecodeError):
        return otherwise


def keep(path: Path, value: object) -> str:
    """Write it; gives why that was not possible, empty when it was: a full disk costs the choice and nothing else."""
    half = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(msgspec.json.encode(value))
        half.replace(path)
    except OSError as error:
        with suppress(OSError):
            half.unlink()
        return f"{path}: cannot be written: {error.strerror}; free disk space or correct its owner"
    return ""
