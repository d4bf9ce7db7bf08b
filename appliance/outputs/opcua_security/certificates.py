"""Make and read the server's own certificate; OPC 10000-6 clause 6.2.2 says what it must hold."""

import hashlib
import ipaddress
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from appliance.outputs.opcua_security.changes import give_to_owner, write_secret
from appliance.schema.errors import ConfigError

OWN = "own.pem"
"""Key and certificate in one file, so that a power loss never leaves a pair that does not match."""
PUBLIC = "certificate.der"
"""The certificate alone, for those who set a client up."""

KEY_BITS = 3072
"""Fit beyond 2030 (NIST SP 800-57 part 1, table 2); every policy in use takes up to 4096."""
LIFETIME = timedelta(days=5 * 365)
WARN_DAYS = 30


class Own(Struct, frozen=True):
    """Hold the server's certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


def application_uri(site: str, line: str, station: str) -> str:
    """Name a station's server, as its certificate states it."""
    return f"urn:firstshift:{site}:{line}:{station}"


def thumbprint(certificate: x509.Certificate | bytes) -> str:
    """Give SHA-256 (hex) of a certificate or its DER bytes."""
    return hashlib.sha256(certificate if isinstance(certificate, bytes) else der(certificate)).hexdigest()


def sha1_thumbprint(certificate: x509.Certificate) -> str:
    """Give SHA-1 (hex), which clients show on their screens; for people to compare, never for a decision."""
    return hashlib.sha1(der(certificate), usedforsecurity=False).hexdigest()


def der(certificate: x509.Certificate) -> bytes:
    """Give a certificate's DER bytes."""
    return certificate.public_bytes(serialization.Encoding.DER)


def own(folder: Path, uri: str, host: str, now: datetime) -> Own:
    """Read the server's certificate, made first where there is none; ConfigError for a damaged file."""
    if not (folder / OWN).exists():
        return make_own(folder, uri, host, now)
    found = read_own(folder)
    _show(folder, found)
    return found


def make_own(folder: Path, uri: str, host: str, now: datetime) -> Own:
    """Make a new key and certificate in place of those there are."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    made = Own(_self_signed(key, uri, host, now), key)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_secret(folder / OWN, secret + made.certificate.public_bytes(serialization.Encoding.PEM))
    _show(folder, made)
    return made


def read_own(folder: Path) -> Own:
    """Read the server's certificate; ConfigError when there is none or it is damaged."""
    place = folder / OWN
    try:
        content = place.read_bytes()
    except OSError as cause:
        raise ConfigError(f"{place}: cannot be read ({cause.strerror}); run it as the services' user") from cause
    try:
        key = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError as cause:
        raise ConfigError(f"{place}: cannot be read ({cause}); `firstshift opcua renew` makes another") from cause
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigError(
            f"{place}: key and certificate do not belong together; `firstshift opcua renew` makes another"
        )
    return Own(certificate, key)


def days_left(certificate: x509.Certificate, now: datetime) -> int:
    """Give whole days until a certificate expires, negative once it has."""
    return (certificate.not_valid_after_utc - now).days


def stated_uris(certificate: x509.Certificate) -> list[str]:
    """Give the application URIs that a certificate states; none of one that breaks the rules of X.509."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _show(folder: Path, found: Own) -> None:
    content = der(found.certificate)
    place = folder / PUBLIC
    if not place.exists() or place.read_bytes() != content:
        place.write_bytes(content)
        give_to_owner(place)


def _self_signed(key: rsa.RSAPrivateKey, uri: str, host: str, now: datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, uri[-64:]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "firstshift"),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_cert_sign=True,  # asked of self-signed certificates
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    places = [x509.UniformResourceIdentifier(uri), _place(host)]
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(places), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _place(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
