"""Keep in one small file for which bundles a promise of an escape rate is void, so that no restart makes it whole."""

from pathlib import Path

import msgspec
from msgspec import Struct

from appliance.schema.errors import StoreError
from appliance.storage.whole_file import write_durable

FILE = "judge/promise.json"
"""Within the station's state folder, in a folder of its own: `judge` may write nowhere else but among its engines."""


class Void(Struct, frozen=True, forbid_unknown_fields=True):
    """State one promise that is void."""

    recipe: str
    version: int
    bundle: str
    cause: str


class PromiseFile:
    """Remember for one recipe version what drift has voided; the file holds other recipes' too."""

    def __init__(self, path: Path, recipe: str, version: int) -> None:
        """Read the file; one that cannot be read voids the promise for every bundle."""
        self._path, self._recipe, self._version = path, recipe, version
        self._damage = ""
        self._held: tuple[Void, ...] = ()
        try:
            self._held = msgspec.json.decode(path.read_bytes(), type=tuple[Void, ...])
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:  # DecodeError is one; bytes that are no text another
            self._damage = f"{path}: cannot be read ({error}); remove it and make a new recipe version"

    def cause(self, bundle: str) -> str:
        """Give why the promise is void for a bundle; empty: it stands."""
        if self._damage:
            return self._damage
        return next((one.cause for one in self._held if one.bundle == bundle and self._concerns(one)), "")

    def void(self, bundle: str, cause: str) -> None:
        """Hold the promise void for a bundle; StoreError when the file cannot be written."""
        if self.cause(bundle):
            return
        others = [one for one in self._held if one.recipe != self._recipe or self._concerns(one)]
        self._held = (*others, Void(self._recipe, self._version, bundle, cause))
        try:
            write_durable(self._path, msgspec.json.encode(self._held))
        except OSError as error:
            raise StoreError(
                f"{self._path}: cannot be written ({error.strerror}); make room, else a restart forgets it"
            ) from error

    def _concerns(self, one: Void) -> bool:
        """Say whether an entry is of this recipe and not outdated by this version."""
        return one.recipe == self._recipe and one.version >= self._version
