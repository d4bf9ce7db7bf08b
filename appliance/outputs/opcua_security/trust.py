"""Decide whether a client's certificate is to be believed, from the folders of trust.

`trusted` holds certificates of clients, or of authorities whose clients are all trusted; `issuers` authorities that
only complete a chain; `issuers/crl` what they have revoked. An authority without its list of revocations is not
believed. All files are read at each decision, so that a change counts at once.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from appliance.outputs.opcua_security.certificates import stated_uris, thumbprint

KEY_BITS = range(2048, 4097)
"""What every policy that the server offers allows."""
CHAIN = 4
"""Authorities above a client at most."""
_WEAK = (hashes.MD5, hashes.SHA1)
_MALFORMED = (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError)


class Believed(Struct, frozen=True):
    """Hold what the folders of trust hold."""

    trusted: tuple[x509.Certificate, ...]
    issuers: tuple[x509.Certificate, ...] = ()
    revocations: tuple[x509.CertificateRevocationList, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Names of files that hold neither; nothing follows from them."""


class _Dated(Protocol):
    @property
    def not_valid_before_utc(self) -> datetime: ...

    @property
    def not_valid_after_utc(self) -> datetime: ...


def believed(trusted: Path, issuers: Path, revocations: Path) -> Believed:
    """Read the folders."""
    bad: list[str] = []
    return Believed(
        tuple(_certificates(trusted, bad)),
        tuple(_certificates(issuers, bad)),
        tuple(_revocations(revocations, bad)),
        tuple(bad),
    )


def refusal(certificate: x509.Certificate, application_uri: str, known: Believed, now: datetime) -> str:
    """Name the OPC UA status code that a client's certificate is refused with; empty when it is to be believed.

    Trust comes first: a stranger learns nothing else.
    """
    return (
        _chain_fault(certificate, known, now)
        or _strength_fault(certificate)
        or ("" if _is_in_time(certificate, now) else "BadCertificateTimeInvalid")
        or _use_fault(certificate)
        or ("" if application_uri in stated_uris(certificate) else "BadCertificateUriInvalid")
    )


def _chain_fault(certificate: x509.Certificate, known: Believed, now: datetime) -> str:
    trusted = {thumbprint(one) for one in known.trusted}
    is_trusted = thumbprint(certificate) in trusted
    above = certificate
    for height in range(CHAIN + 1):
        if above.issuer == above.subject:
            break
        issuer = _issuer(above, (*known.trusted, *known.issuers))
        if issuer is None or height == CHAIN:
            return "BadCertificateChainIncomplete" if is_trusted else "BadCertificateUntrusted"
        is_trusted = is_trusted or thumbprint(issuer) in trusted
        fault = _issuer_fault(above, issuer, "" if above is certificate else "Issuer", known.revocations, now)
        if fault:
            return f"BadCertificate{fault}" if is_trusted else "BadCertificateUntrusted"
        above = issuer
    return "" if is_trusted else "BadCertificateUntrusted"


def _issuer(certificate: x509.Certificate, authorities: Sequence[x509.Certificate]) -> x509.Certificate | None:
    return next((one for one in authorities if _is_authority(one) and _signed_by(certificate, one)), None)


def _issuer_fault(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    whose: str,
    revocations: Sequence[x509.CertificateRevocationList],
    now: datetime,
) -> str:
    """Name what is wrong with a certificate as its issuer sees it, without the code's beginning.

    whose: `Issuer` where the certificate is an authority's itself.
    """
    if not _is_in_time(issuer, now):
        return "IssuerTimeInvalid"
    public = issuer.public_key()
    lists = [
        one
        for one in revocations
        if one.issuer == issuer.subject
        and isinstance(public, rsa.RSAPublicKey)
        and one.is_signature_valid(public)
        and one.last_update_utc <= now
        and one.next_update_utc is not None
        and now <= one.next_update_utc
    ]
    if not lists:
        return f"{whose}RevocationUnknown"
    if any(one.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None for one in lists):
        return f"{whose}Revoked"
    return ""


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, TypeError, ValueError):
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except _MALFORMED:
        return False


def _strength_fault(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size not in KEY_BITS:
        return "BadCertificatePolicyCheckFailed"
    weak = isinstance(certificate.signature_hash_algorithm, _WEAK)
    return "BadCertificatePolicyCheckFailed" if weak else ""


def _use_fault(certificate: x509.Certificate) -> str:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except _MALFORMED:
        return "BadCertificateUseNotAllowed"
    signs = usage.digital_signature and usage.content_commitment
    encrypts = usage.key_encipherment and usage.data_encipherment
    is_client = ExtendedKeyUsageOID.CLIENT_AUTH in purposes
    return "" if signs and encrypts and is_client else "BadCertificateUseNotAllowed"


def _is_in_time(certificate: _Dated, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _certificates(folder: Path, bad: list[str]) -> Iterator[x509.Certificate]:
    for path in _files(folder):
        content = _content(path)
        try:
            if content.startswith(b"-----BEGIN"):
                yield from x509.load_pem_x509_certificates(content)
            else:
                yield x509.load_der_x509_certificate(content)
        except ValueError:
            bad.append(path.name)


def _revocations(folder: Path, bad: list[str]) -> Iterator[x509.CertificateRevocationList]:
    for path in _files(folder):
        content = _content(path)
        try:
            is_text = content.startswith(b"-----BEGIN")
            yield x509.load_pem_x509_crl(content) if is_text else x509.load_der_x509_crl(content)
        except ValueError:
            bad.append(path.name)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _content(path: Path) -> bytes:
    """Give a file's bytes, none of one that cannot be read or went away meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
