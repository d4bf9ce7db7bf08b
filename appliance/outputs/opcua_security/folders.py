"""Keep the folders of trust: what was refused waits there until a person trusts it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from msgspec import Struct

from appliance.outputs.opcua_security.certificates import der, sha1_thumbprint, stated_uris, thumbprint
from appliance.outputs.opcua_security.changes import changes, changing, give_to_owner, note, write_secret
from appliance.outputs.opcua_security.trust import believed
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError, Refused

REJECTED_LIMIT = 50
"""Refused certificates kept; then the oldest goes. Strangers fill this folder, so it must end."""
LONGEST_NAME = 120
"""Characters kept of what a certificate says of itself; strangers choose it."""
SHORTEST = 8
"""Digits of a thumbprint that name a certificate at least."""


class Folders(Struct, frozen=True):
    """Name the folders below `state/opcua`."""

    root: Path

    @property
    def own(self) -> Path:
        """The server's key and certificate."""
        return self.root / "own"

    @property
    def trusted(self) -> Path:
        """Clients, or authorities whose clients are all trusted."""
        return self.root / "trusted"

    @property
    def rejected(self) -> Path:
        """Clients that were refused; `firstshift opcua trust` takes them from here."""
        return self.root / "rejected"

    @property
    def issuers(self) -> Path:
        """Authorities that only complete a chain."""
        return self.root / "issuers"

    @property
    def revocations(self) -> Path:
        """What authorities have revoked."""
        return self.issuers / "crl"


class Held(Struct, frozen=True):
    """Describe a certificate in a folder."""

    path: Path
    certificate: x509.Certificate

    @property
    def subject(self) -> str:
        """What it says of itself, cut and without signs that could fool a terminal, and its SHA-1 thumbprint."""
        said = ", ".join(stated_uris(self.certificate)) or self.certificate.subject.rfc4514_string()
        says = "".join(sign if sign.isprintable() else "?" for sign in said[:LONGEST_NAME])
        return f"{thumbprint(self.certificate)} ({says}, SHA-1 {sha1_thumbprint(self.certificate)})"


def make_folders(root: Path) -> Folders:
    """Make what is missing, for the services' user alone."""
    folders = Folders(root)
    try:
        for folder in (root, folders.own, folders.trusted, folders.rejected, folders.issuers, folders.revocations):
            if not folder.is_dir():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                give_to_owner(folder)
    except OSError as cause:
        raise ConfigError(f"{root}: cannot be made ({cause.strerror}); run it as the services' user") from cause
    return folders


def held(folder: Path) -> Iterator[Held]:
    """Give the certificates in a folder; what is none is passed over."""
    for path in sorted(folder.glob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            content = path.read_bytes()
            is_text = content.startswith(b"-----BEGIN")
            yield Held(path, (x509.load_pem_x509_certificate if is_text else x509.load_der_x509_certificate)(content))
        except (OSError, ValueError):
            continue


def keep_rejected(folders: Folders, certificate: x509.Certificate) -> bool:
    """Keep a refused certificate under its thumbprint; gives False when it lies there already."""
    place = folders.rejected / f"{thumbprint(certificate)}.der"
    if place.exists():
        return False
    waiting = sorted(folders.rejected.glob("*.der"), key=lambda path: path.stat().st_mtime_ns)
    for oldest in waiting[: max(0, len(waiting) - REJECTED_LIMIT + 1)]:
        oldest.unlink(missing_ok=True)
    write_secret(place, der(certificate))
    return True


def trust(folders: Folders, digits: str, person: str, at: UtcNs) -> Held:
    """Move a refused certificate to the trusted ones, noted first; Refused when it is none or has expired."""
    with changing(folders.root):
        found = _named(folders.rejected, digits, "rejected")
        expires = found.certificate.not_valid_after_utc
        if expires < datetime.fromtimestamp(at / 1_000_000_000, UTC):
            raise Refused(f"certificate {found.subject}: expired on {expires:%Y-%m-%d}; have its owner renew it")
        note(folders.root, person, "certificate_trusted", found.subject, "rejected", "trusted", at)
        place = folders.trusted / f"{thumbprint(found.certificate)}.der"
        write_secret(place, der(found.certificate))
        found.path.unlink(missing_ok=True)
    return Held(place, found.certificate)


def untrust(folders: Folders, digits: str, person: str, at: UtcNs) -> Held:
    """Move a trusted certificate back to the refused ones, noted first; its sessions end within a second."""
    with changing(folders.root):
        found = _named(folders.trusted, digits, "trusted")
        note(folders.root, person, "certificate_untrusted", found.subject, "trusted", "rejected", at)
        keep_rejected(folders, found.certificate)
        for same in held(folders.trusted):  # it may lie there under two names
            if same.certificate == found.certificate:
                same.path.unlink(missing_ok=True)
    return found


def note_found(folders: Folders, at: UtcNs) -> None:
    """Write down which certificates came among the trusted without a command, once each."""
    known: set[str] = set()
    for done in changes(folders.root):
        name = done.subject.split(" ", maxsplit=1)[0]
        if done.action in {"opcua_certificate_trusted", "opcua_certificate_found"}:
            known.add(name)
        elif done.action == "opcua_certificate_untrusted":
            known.discard(name)
    for certificate in believed(folders.trusted, folders.issuers, folders.revocations).trusted:
        if thumbprint(certificate) not in known:
            subject = Held(folders.trusted, certificate).subject
            note(folders.root, "service:opcua", "certificate_found", subject, "", "trusted: put there by hand", at)
            known.add(thumbprint(certificate))


def _named(folder: Path, digits: str, where: str) -> Held:
    wanted = digits.lower().replace(":", "").removesuffix(".der")
    if len(wanted) < SHORTEST:
        raise Refused(
            f"thumbprint {digits!r}: has {len(wanted)} digits, {SHORTEST} are needed; see `firstshift opcua list`"
        )
    matching = {
        thumbprint(one.certificate): one
        for one in held(folder)
        if thumbprint(one.certificate).startswith(wanted) or sha1_thumbprint(one.certificate).startswith(wanted)
    }
    if len(matching) != 1:
        raise Refused(
            f"thumbprint {digits!r}: names {len(matching)} {where} certificates, it must name 1; see "
            "`firstshift opcua list`"
        )
    return next(iter(matching.values()))
