"""Write a file whole or not at all."""

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
