"""Play a plant's network: a certificate authority, and Mosquitto configured as `systemd/mosquitto` recommends."""

import datetime as dt
import os
import shutil
import signal
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.sim.broker import MOSQUITTO, Broker, mosquitto_path

RECOMMENDED = Path(__file__).resolve().parents[2] / "systemd" / "mosquitto"
BEFORE = dt.timedelta(days=60)
"""Certificates are valid since then, so that one can have expired."""

DAYS = 90
AUTOSAVE = "autosave_interval 100"
"""As recommended."""


class Authority:
    """Sign certificates; whoever trusts the file `ca` trusts them."""

    def __init__(self, folder: Path, name: str = "plant") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = _named(f"{name} authority")
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = self._builder(self._name, self._key.public_key(), DAYS)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.ca = folder / "ca.pem"
        self._write(builder.add_extension(usage, critical=True), self.ca)

    def issue(self, name: str, days: int = DAYS, host: str = "") -> tuple[Path, Path]:
        """Give the files of a new certificate and its key; negative days: it ended so long ago. host: a server's."""
        key = ec.generate_private_key(ec.SECP256R1())
        use = ExtendedKeyUsageOID.SERVER_AUTH if host else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_named(name), key.public_key(), days)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        certificate, secret = self._folder / f"{name}{days}.pem", self._folder / f"{name}{days}.key"
        self._write(builder, certificate)
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        secret.touch(0o600)
        secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        return certificate, secret

    def _write(self, builder: x509.CertificateBuilder, path: Path) -> None:
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, days: int) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BEFORE)
            .not_valid_after(now + dt.timedelta(days=days))
        )


class PlantBroker(Broker):
    """Run Mosquitto with the recommended configuration, its paths and port alone replaced."""

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        *,
        host: str = "localhost",
        days: int = DAYS,
        keeps: bool = True,
        autosave: int = 0,
    ) -> None:
        """Take what is to be wrong with it, or otherwise than recommended.

        `host`, `days`: of its certificate. keeps: False for a broker that forgets everything when it is killed.
        autosave: changes after which it saves; 0: as recommended.
        """
        super().__init__(folder, MOSQUITTO)
        self._place = folder
        self._authority = authority
        self._files = authority.issue("broker", days, host)
        self._keeps = keeps
        self._autosave = autosave
        folder.mkdir(parents=True, exist_ok=True)
        self.access_list = folder / "firstshift.acl"
        shutil.copy(RECOMMENDED / "firstshift.acl", self.access_list)

    def allow(self, access_list: str) -> None:
        """Replace the access list while it runs."""
        self.access_list.write_text(access_list)
        os.kill(self.pid, signal.SIGHUP)

    def _mosquitto(self) -> list[str]:
        certificate, key = self._files
        text = (RECOMMENDED / "firstshift.conf").read_text()
        changes = {
            "listener 8883": f"listener {self.port} 127.0.0.1",
            "/etc/mosquitto/certs/ca.pem": str(self._authority.ca),
            "/etc/mosquitto/certs/broker.pem": str(certificate),
            "/etc/mosquitto/certs/broker.key": str(key),
            "/etc/mosquitto/firstshift.acl": str(self.access_list),
            "/var/lib/mosquitto/": f"{self._place}/",
        }
        if not self._keeps:
            changes["persistence true"] = "persistence false"
        if self._autosave:
            changes[AUTOSAVE] = f"autosave_interval {self._autosave}"
        for old, new in changes.items():
            if text.count(old) != 1:
                raise ValueError(
                    f"firstshift.conf: {old!r} occurs {text.count(old)} times, 1 is needed; follow the file"
                )
            text = text.replace(old, new)
        if os.geteuid() == 0:
            text += "user root\n"
        config = self._place / "mosquitto.conf"
        config.write_text(text)
        return [mosquitto_path(), "-c", str(config)]


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
