"""Keep the birth and death number over restarts: a host tells by it which death belongs to which birth."""

import os
from pathlib import Path

from appliance.outputs.sparkplug.edge import SEQUENCE
from appliance.schema.errors import StoreError

FILE = "sparkplug.bdseq"
"""File name in the station's state folder."""


class BirthNumber:
    """Own the file; one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = _read(path)

    def next(self) -> int:
        """Give the number of the next CONNECT, 0 at first, on disk before it is used; StoreError when it cannot be.

        After a StoreError the next call goes on counting: only a restart would use a number again.
        """
        self._last = (self._last + 1) % SEQUENCE
        new = self._path.with_suffix(".new")
        try:
            with new.open("w") as file:
                file.write(f"{self._last}\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written: {error}; free disk space") from error
        return self._last

    @property
    def last(self) -> int:
        """Number given last."""
        return self._last


def _read(path: Path) -> int:
    """Give the last number; one before 0 where there is none or the file says nothing usable."""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return SEQUENCE - 1
    return int(text) % SEQUENCE if text.isdecimal() else SEQUENCE - 1
