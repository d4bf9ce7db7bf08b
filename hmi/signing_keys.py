"""Find the private key that a person signs with: on a stick, or on the station under PIN and station secret. No Qt.

The station's own copy is PKCS 8, encrypted under what scrypt makes of the PIN and 32 random bytes beside it. A copy of
the key file alone opens to nobody. Who has the station's whole disk has both, and tries every PIN of 4 digits in hours:
then the public key is to be taken out of `approval.people`. A key on a stick, closed by its own passphrase, is not on
that disk at all.
"""

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from appliance.governance.approval import key_pem, public_text, read_key
from appliance.governance.credentials import key_password
from appliance.governance.rights import ID
from appliance.schema.errors import ConfigError
from appliance.storage.whole_file import write_private

MEDIA = (Path("/media"), Path("/run/media"))
"""Where sticks are mounted, one or two folders down."""

FOLDER = "keys"
SECRET = "station.secret"  # noqa: S105  a file's name
SECRET_BYTES = 32


class KeyFile(Struct, frozen=True):
    """Name a person's private key."""

    path: Path
    stick: bool
    """It is the person's own file, not the station's copy."""


class KeyRing:
    """Keep the station's copies in one folder, and look for sticks."""

    def __init__(self, folder: Path, media: Sequence[Path] = MEDIA) -> None:
        """Take the touchscreen's own folder in the station's state."""
        self._folder, self._media = folder / FOLDER, tuple(media)

    def find(self, person: str) -> KeyFile | None:
        """Give the key of a person, a stick's before the station's; None: there is none. A slow stick blocks."""
        name = _file_name(person)
        for root in self._media:
            for pattern in (f"*/{name}", f"*/*/{name}"):
                for path in sorted(root.glob(pattern)):
                    return KeyFile(path, stick=True)
        own = self._folder / name
        return KeyFile(own, stick=False) if own.is_file() else None

    def make(self, person: str, pin: str) -> str:
        """Make a person's key on the station; gives the public half for `approval.people`. Takes 0.3 s.

        ConfigError when the person has one there, since what it signed would lose its name.
        """
        key = Ed25519PrivateKey.generate()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._folder / _file_name(person), key_pem(key, key_password(pin, self._secret(), person)))
        return public_text(key)

    def open(self, file: KeyFile, person: str, pin: str) -> Ed25519PrivateKey:
        """Read a key; ConfigError when neither PIN nor no passphrase opens it. Takes 0.3 s."""
        try:
            content = file.path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{file.path}: cannot be read ({error.strerror}); put the stick in again") from error
        if file.stick:
            return read_key(content, file.path.name, pin.encode() if b"ENCRYPTED" in content else None)
        return read_key(content, file.path.name, key_password(pin, self._secret(), person))

    def close_anew(self, person: str, old: str, new: str) -> None:
        """Let another PIN open a person's key on the station; nothing is done where there is none. Takes 0.6 s."""
        place = self._folder / _file_name(person)
        if not place.is_file():
            return
        key = self.open(KeyFile(place, stick=False), person, old)
        unfinished = place.with_name(f".{place.name}.part")
        unfinished.unlink(missing_ok=True)
        write_private(unfinished, key_pem(key, key_password(new, self._secret(), person)))
        unfinished.replace(place)

    def forget(self, person: str) -> None:
        """Remove a person's key from the station, as when the PIN that opened it is lost."""
        (self._folder / _file_name(person)).unlink(missing_ok=True)

    def public_file(self, person: str) -> Path:
        """Name the file that holds a person's public half, as the station file wants it."""
        return (self._folder / _file_name(person)).with_suffix(".public.txt")

    def _secret(self) -> bytes:
        """Give the station's secret; made at the first use."""
        path = self._folder / SECRET
        if not path.is_file():
            write_private(path, secrets.token_bytes(SECRET_BYTES))
        content = path.read_bytes()
        if len(content) != SECRET_BYTES:
            raise ConfigError(
                f"{path}: has {len(content)} bytes, {SECRET_BYTES} are needed; restore it, or remove it with all keys"
            )
        os.chmod(path, 0o600)  # noqa: PTH101  a restored backup may have widened it
        return content


def _file_name(person: str) -> str:
    """Name a person's file; ConfigError for an operator id that is no name of a file."""
    if not re.fullmatch(ID, person):
        raise ConfigError(f"operator id {person!r}: cannot name a key file; use letters, digits, dots and hyphens")
    return f"firstshift-{person}.pem"
