"""Write a file whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path

from appliance.schema.errors import ConfigError


def write_whole(place: Path, content: bytes) -> None:
    """Write a file that a command was asked for; its folder is made, an earlier file stays until the new one is there.

    ConfigError in one line when it cannot be written.
    """
    unfinished = place.with_name(f".{place.name}.part")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(content)
        unfinished.replace(place)
    except OSError as cause:
        with suppress(OSError):  # where its folder cannot be, it cannot be either
            unfinished.unlink()
        raise ConfigError(f"{place}: cannot be written ({cause.strerror}); name another folder") from cause


def write_durable(place: Path, content: bytes) -> None:
    """Put content on the disk whole, or leave what was there; durable when it returns. OSError where it cannot be."""
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_name(f".{place.name}.part")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(place)
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_private(place: Path, content: bytes) -> None:
    """Write a secret that its owner alone may read; ConfigError when the file is there already or cannot be written."""
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except FileExistsError as cause:
        raise ConfigError(f"{place}: is there already and is not written over; name another file") from cause
    except OSError as cause:
        raise ConfigError(f"{place}: cannot be written ({cause.strerror}); name another folder") from cause
