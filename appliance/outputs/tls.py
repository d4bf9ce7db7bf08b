"""Set up TLS towards a broker, and say in a technician's words why it failed."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from msgspec.structs import replace

from appliance.config_plant import Mqtt
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.health import Component, Condition

WARNED = timedelta(days=30)
"""A certificate that ends sooner is told of: time enough to have a new one signed."""

_VERIFY = {
    9: ("the broker's certificate is not valid yet", "check this computer's clock, then the broker's certificate"),
    10: ("the broker's certificate has expired", "renew the broker's certificate; or correct this computer's clock"),
    18: ("the broker's certificate is self-signed", "name that certificate, or the authority that should, as mqtt.ca"),
    19: ("the broker's certificate comes from a foreign authority", "correct mqtt.ca, or the broker's certificate"),
    20: ("the broker's certificate comes from a foreign authority", "correct mqtt.ca, or the broker's certificate"),
    21: ("the broker's certificate comes from a foreign authority", "correct mqtt.ca, or the broker's certificate"),
    62: ("the broker's certificate is for another host name", "set mqtt.host to a name that the certificate carries"),
    64: ("the broker's certificate is for another address", "set mqtt.host to a name that the certificate carries"),
}
"""X509_V_ERR codes of OpenSSL's x509_vfy.h."""

_SAID = {
    "session taken over": ("another client has this station's name", "give each station a name of its own"),
    "certificate expired": ("the broker says this station's certificate has expired", "renew mqtt.certificate"),
    "certificate revoked": ("the broker says this station's certificate was revoked", "renew mqtt.certificate"),
    "unknown ca": ("the broker does not know who signed this station's certificate", "have the broker's CA sign it"),
    "certificate required": ("the broker wants a certificate of this station", "set mqtt.certificate and mqtt.key"),
    "certificate unknown": ("the broker does not take this station's certificate", "have the broker's CA sign it"),
    "bad certificate": ("the broker does not take this station's certificate", "have the broker's CA sign it"),
    "protocol version": ("the broker speaks no TLS of 1.2 or newer", "let it speak TLS 1.2 or 1.3"),
    "wrong version number": ("the broker speaks no TLS on this port", "correct mqtt.port, 8883 is usual with TLS"),
    "record layer failure": ("the broker speaks no TLS on this port", "correct mqtt.port, 8883 is usual with TLS"),
    "handshake failure": ("the broker and this station share no cipher or certificate type", "see the broker's log"),
}
"""Reason codes of MQTT 5, TLS alerts (RFC 8446 section 6) and OpenSSL's reasons, as they are printed."""


def with_paths(mqtt: Mqtt, folder: Path) -> Mqtt:
    """Give `[mqtt]` with its files found from the station file's folder."""
    files = {key: getattr(mqtt, key) for key in ("ca", "certificate", "key")}
    return replace(mqtt, **{key: str(folder / file) for key, file in files.items() if file})


class TidySocket(ssl.SSLSocket):
    """Close itself when the peer goes before the handshake is over: paho, and Python's ssl, would leave it open."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read; raises as SSLSocket does, which looks for early bytes with this."""
        try:
            return super().recv(buflen, flags)
        except ConnectionError:
            if self.version() is None:
                self.close()
            raise

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002  as in the standard library
        """Agree on keys; raises as SSLSocket does."""
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def client_context(mqtt: Mqtt) -> ssl.SSLContext | None:
    """Make the TLS settings of `[mqtt]` anew from its files; None where it names no authority.

    At least TLS 1.2; the broker's certificate and host name are always checked. ConfigError names the file.
    """
    if not mqtt.ca:
        return None
    try:
        context = ssl.create_default_context(cafile=mqtt.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"mqtt.ca: {mqtt.ca}: {_text(error)}; give a PEM file that the service may read") from error
    context.sslsocket_class = TidySocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if mqtt.certificate:
        try:
            context.load_cert_chain(mqtt.certificate, mqtt.key, password="")  # never asks at the terminal
        except (OSError, ssl.SSLError) as error:
            files = f"{mqtt.certificate} with {mqtt.key}"
            remedy = "give the certificate and its own unencrypted key as PEM files that the service may read"
            raise ConfigError(f"mqtt.certificate: {files}: {_text(error)}; {remedy}") from error
    return context


def certificate_component(mqtt: Mqtt, name: str, now: UtcNs) -> Component | None:
    """Tell when this station's certificate ends, where that is soon or past; None: nothing to tell."""
    if not mqtt.certificate:
        return None
    try:
        certificate = x509.load_pem_x509_certificate(Path(mqtt.certificate).read_bytes())
    except (OSError, ValueError):
        return None  # `client_context` says what is wrong with the file
    end, today = certificate.not_valid_after_utc, datetime.fromtimestamp(now / S, UTC)
    remedy = "have a new one signed and put it in its place; it is read at the next connection"
    if end <= today:
        return Component(name, Condition.FAILED, f"{mqtt.certificate} expired on {end:%Y-%m-%d}", remedy)
    if end - today < WARNED:
        return Component(name, Condition.DEGRADED, f"{mqtt.certificate} expires on {end:%Y-%m-%d}", remedy)
    return None


def why(error: BaseException | str) -> tuple[str, str]:
    """Give cause and remedy of a failed connection: an error, or what the MQTT library wrote into its log."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in _VERIFY:
        return _VERIFY[error.verify_code]
    text = error if isinstance(error, str) else _text(error)
    plain = text.lower().replace("_", " ")
    for said, answer in _SAID.items():
        if said in plain:
            return answer
    return text, "check [mqtt] host and port, and that the broker runs"


def _text(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
