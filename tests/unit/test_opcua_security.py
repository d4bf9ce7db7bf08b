"""Which clients the OPC UA server believes: its own certificate, trust, and the log of what people changed."""

import re
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.outputs.opcua_security.certificates import (
    OWN,
    PUBLIC,
    days_left,
    der,
    make_own,
    own,
    read_own,
    sha1_thumbprint,
    stated_uris,
    thumbprint,
)
from appliance.outputs.opcua_security.changes import LOG, changes, note
from appliance.outputs.opcua_security.folders import (
    REJECTED_LIMIT,
    Folders,
    held,
    keep_rejected,
    make_folders,
    note_found,
    trust,
    untrust,
)
from appliance.outputs.opcua_security.trust import Believed, believed, refusal
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import ConfigError, Refused

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AT = UtcNs(int(NOW.timestamp()) * S)
URI = "urn:firstshift:site:line:station"
CLIENT_URI = "urn:client"
KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)]


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with the server's certificate, made at its first start."""
    folder = tmp_path_factory.mktemp("own")
    own(folder, URI, "station-1", NOW)
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return make_folders(tmp_path / "opcua")


def certificate(
    key: rsa.RSAPrivateKey = KEYS[0],
    name: str = "client",
    *,
    issuer: x509.Certificate | None = None,
    signer: rsa.RSAPrivateKey | None = None,
    authority: bool = False,
    days: tuple[int, int] = (-1, 30),
    purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    uses: tuple[bool, bool, bool, bool] = (True, True, True, True),
    serial: int = 7,
    digest: hashes.HashAlgorithm | None = None,
) -> x509.Certificate:
    """Make a certificate; uses: digital signature, content commitment, key and data encipherment."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(*uses, False, True, True, False, False)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(CLIENT_URI)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .sign(signer or key, digest or hashes.SHA256())
    )


def revocations(
    authority: x509.Certificate, key: rsa.RSAPrivateKey, *serials: int, days: tuple[int, int] = (-1, 7)
) -> x509.CertificateRevocationList:
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(NOW + timedelta(days=days[0]))
        .next_update(NOW + timedelta(days=days[1]))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - timedelta(days=1))
        made = made.add_revoked_certificate(revoked.build())
    return made.sign(key, hashes.SHA256())


def test_own_certificate_states_what_clients_check(own_folder: Path) -> None:
    """The server's certificate names the application and host, may serve, lasts five years, and its key is private."""
    found = read_own(own_folder)
    names = found.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    purposes = found.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    usage = found.certificate.extensions.get_extension_for_class(x509.KeyUsage).value

    assert [URI] == stated_uris(found.certificate)
    assert ["station-1"] == names.get_values_for_type(x509.DNSName)
    assert [ExtendedKeyUsageOID.SERVER_AUTH] == list(purposes)
    assert (True, True, True, True) == (
        usage.digital_signature,
        usage.content_commitment,
        usage.key_encipherment,
        usage.data_encipherment,
    )
    assert found.key.key_size == 3072
    assert days_left(found.certificate, NOW) == 5 * 365
    assert stat.S_IMODE((own_folder / OWN).stat().st_mode) == 0o600
    assert (own_folder / PUBLIC).read_bytes() == der(found.certificate)
    assert b"PRIVATE" not in (own_folder / PUBLIC).read_bytes()


def test_own_certificate_stays(own_folder: Path) -> None:
    """A restart shows the same certificate: clients need not trust it anew."""
    before = read_own(own_folder).certificate

    assert before == own(own_folder, URI, "station-1", NOW + timedelta(days=400)).certificate


def test_renewal_makes_another_key(own_folder: Path, tmp_path: Path) -> None:
    """Renewal replaces the key too, and a damaged file is said, not replaced."""
    copy = tmp_path / "own"
    shutil.copytree(own_folder, copy)
    before = read_own(copy)
    after = make_own(copy, URI, "10.0.0.7", NOW)
    names = after.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert before.key.private_numbers() != after.key.private_numbers()
    assert read_own(copy).certificate == after.certificate
    assert ["10.0.0.7"] == [str(one) for one in names.get_values_for_type(x509.IPAddress)]
    (copy / OWN).write_bytes(b"torn")
    with pytest.raises(ConfigError, match=re.escape("`firstshift opcua renew` makes another")):
        own(copy, URI, "station-1", NOW)


def test_key_and_certificate_belong_together(own_folder: Path, tmp_path: Path) -> None:
    """A certificate beside another's key is refused at the start."""
    foreign = KEYS[0].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    content = (own_folder / OWN).read_bytes()
    (tmp_path / OWN).write_bytes(foreign + content[content.index(b"-----BEGIN CERTIFICATE") :])

    with pytest.raises(ConfigError, match="do not belong together"):
        read_own(tmp_path)


def _refused(found: x509.Certificate, known: Believed, uri: str = CLIENT_URI, now: datetime = NOW) -> str:
    return refusal(found, uri, known, now)


def test_trust_is_by_the_certificate_itself() -> None:
    """Only the very certificate is trusted, not another with the same name and serial number."""
    client, double = certificate(), certificate(KEYS[1])

    assert _refused(client, Believed((client,))) == ""
    assert _refused(double, Believed((client,))) == "BadCertificateUntrusted"
    assert _refused(client, Believed(())) == "BadCertificateUntrusted"
    assert _refused(client, Believed((), (client,))) == "BadCertificateUntrusted"


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (lambda: certificate(days=(-30, -1)), "BadCertificateTimeInvalid"),
        (lambda: certificate(days=(1, 30)), "BadCertificateTimeInvalid"),
        (lambda: certificate(purpose=ExtendedKeyUsageOID.SERVER_AUTH), "BadCertificateUseNotAllowed"),
        (lambda: certificate(uses=(False, True, True, True)), "BadCertificateUseNotAllowed"),
        (lambda: certificate(uses=(True, False, True, True)), "BadCertificateUseNotAllowed"),
        (lambda: certificate(uses=(True, True, False, True)), "BadCertificateUseNotAllowed"),
        (lambda: certificate(uses=(True, True, True, False)), "BadCertificateUseNotAllowed"),
        (
            lambda: certificate(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505  that is the fault
            "BadCertificatePolicyCheckFailed",
        ),
    ],
)
def test_a_trusted_certificate_must_be_fit(made: Callable[[], x509.Certificate], code: str) -> None:
    """Trust alone is not enough: time, use and strength are checked; of a stranger nothing is told."""
    client = made()

    assert _refused(client, Believed((client,))) == code
    assert _refused(client, Believed(())) == "BadCertificateUntrusted"


def test_the_application_uri_must_be_the_certificates() -> None:
    """A client may not call itself other than its certificate does."""
    client = certificate()

    assert _refused(client, Believed((client,)), "urn:another") == "BadCertificateUriInvalid"


def test_authorities_need_their_list_of_revocations() -> None:
    """A client of a trusted authority is believed with a list of revocations that is current and does not name it."""
    root = certificate(KEYS[1], "root", authority=True)
    client = certificate(issuer=root, signer=KEYS[1])
    clean = revocations(root, KEYS[1], 99)

    assert _refused(client, Believed((root,), (), (clean,))) == ""
    assert _refused(client, Believed((client,), (root,), (clean,))) == ""
    assert _refused(client, Believed((), (root,), (clean,))) == "BadCertificateUntrusted"
    assert _refused(client, Believed((client,), (), (clean,))) == "BadCertificateChainIncomplete"
    assert _refused(client, Believed((root,))) == "BadCertificateRevocationUnknown"
    stale = revocations(root, KEYS[1], days=(-9, -1))
    assert _refused(client, Believed((root,), (), (stale,))) == "BadCertificateRevocationUnknown"
    forged = revocations(root, KEYS[2])
    assert _refused(client, Believed((root,), (), (forged,))) == "BadCertificateRevocationUnknown"
    revoked = revocations(root, KEYS[1], 7)
    assert _refused(client, Believed((root,), (), (revoked,))) == "BadCertificateRevoked"
    assert _refused(client, Believed((client,), (root,), (revoked,))) == "BadCertificateRevoked"


def test_only_authorities_sign_clients() -> None:
    """A trusted client cannot vouch for another, and a signature must be the authority's."""
    client = certificate(KEYS[1], "trusted client")
    made_by_it = certificate(issuer=client, signer=KEYS[1])
    root = certificate(KEYS[1], "root", authority=True)
    forged = certificate(issuer=root, signer=KEYS[2])
    lists = (revocations(client, KEYS[1]), revocations(root, KEYS[1]))

    assert _refused(made_by_it, Believed((client,), (), lists)) == "BadCertificateUntrusted"
    assert _refused(forged, Believed((root,), (), lists)) == "BadCertificateUntrusted"


def test_an_authority_above_may_revoke_the_one_below() -> None:
    """Each step of a chain is checked, up to its root."""
    root = certificate(KEYS[2], "root", authority=True)
    middle = certificate(KEYS[1], "middle", issuer=root, signer=KEYS[2], authority=True, serial=8)
    client = certificate(issuer=middle, signer=KEYS[1])
    of_middle = revocations(middle, KEYS[1])
    expired = certificate(KEYS[1], "middle", issuer=root, signer=KEYS[2], authority=True, days=(-9, -1))

    assert _refused(client, Believed((root,), (middle,), (of_middle, revocations(root, KEYS[2])))) == ""
    revoked = (of_middle, revocations(root, KEYS[2], 8))
    assert _refused(client, Believed((root,), (middle,), revoked)) == "BadCertificateIssuerRevoked"
    assert _refused(client, Believed((middle,), (root,), revoked)) == "BadCertificateIssuerRevoked"
    assert _refused(client, Believed((middle,), (root,), (of_middle,))) == "BadCertificateIssuerRevocationUnknown"
    both = (of_middle, revocations(root, KEYS[2]))
    assert _refused(client, Believed((expired,), (root,), both)) == "BadCertificateIssuerTimeInvalid"
    late = NOW + timedelta(days=6)
    old = certificate(KEYS[2], "root", authority=True, days=(-9, 1))
    assert _refused(client, Believed((middle,), (old,), both), now=late) == "BadCertificateIssuerTimeInvalid"


def test_folders_are_read_as_they_are(folders: Folders) -> None:
    """Both encodings are taken; what is no certificate is named and lets nobody in."""
    client, root = certificate(), certificate(KEYS[1], "root", authority=True)
    (folders.trusted / "a.der").write_bytes(der(client))
    (folders.issuers / "b.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folders.revocations / "c.crl").write_bytes(revocations(root, KEYS[1]).public_bytes(serialization.Encoding.DER))
    (folders.trusted / "d.der").write_bytes(b"no certificate")
    known = believed(folders.trusted, folders.issuers, folders.revocations)

    assert (1, 1, 1, ("d.der",)) == (
        len(known.trusted),
        len(known.issuers),
        len(known.revocations),
        known.unreadable,
    )


def test_trusting_moves_and_is_written_down(folders: Folders) -> None:
    """A refused certificate becomes trusted by either of its thumbprints, and the log says who did it."""
    client = certificate()
    keep_rejected(folders, client)
    done = trust(folders, sha1_thumbprint(client)[:10].upper(), "person-1", AT)

    assert done.certificate == client
    assert [] == list(held(folders.rejected))
    assert [thumbprint(client)] == [thumbprint(one.certificate) for one in held(folders.trusted)]
    (written,) = changes(folders.root)
    assert ("person-1", "opcua_certificate_trusted", "rejected") == (written.actor, written.action, written.before)
    assert thumbprint(client) in written.subject
    untrust(folders, thumbprint(client), "person-2", AT)
    assert [] == list(held(folders.trusted))
    assert ["opcua_certificate_trusted", "opcua_certificate_untrusted"] == [one.action for one in changes(folders.root)]


def test_what_is_trusted_by_hand_is_written_down(folders: Folders) -> None:
    """A certificate that no command put among the trusted is noted once, and again after it was untrusted."""
    client, other = certificate(), certificate(KEYS[1])
    keep_rejected(folders, other)
    trust(folders, thumbprint(other), "person-1", AT)
    for _ in range(2):
        (folders.trusted / "copied.der").write_bytes(der(client))
        note_found(folders, AT)
    untrust(folders, thumbprint(client), "person-1", AT)
    (folders.trusted / "copied.der").write_bytes(der(client))
    note_found(folders, AT)
    words = [one.action.removeprefix("opcua_certificate_") for one in changes(folders.root)]

    assert ["trusted", "found", "untrusted", "found"] == words
    assert thumbprint(client) in changes(folders.root)[1].subject


def test_what_a_stranger_says_of_itself_fools_no_terminal(folders: Folders) -> None:
    """A certificate's own words are cut, and its control signs are not passed on; one that breaks X.509 has none."""
    key = KEYS[0]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "plc\x1b[2J\ngood" + "x" * 40)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(
            x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\xa3\x01\x00"), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    keep_rejected(folders, made)
    (kept,) = held(folders.rejected)

    assert [] == stated_uris(made)
    assert kept.subject.isprintable()
    assert len(kept.subject) < 64 + 120 + 64
    assert _refused(made, Believed((made,)), "") == "BadCertificateUseNotAllowed"


def test_untrusting_finds_every_copy(folders: Folders) -> None:
    """A certificate that lies among the trusted under two names is trusted no more under either."""
    client = certificate()
    (folders.trusted / "one.der").write_bytes(der(client))
    (folders.trusted / "two.pem").write_bytes(client.public_bytes(serialization.Encoding.PEM))
    untrust(folders, thumbprint(client), "person-1", AT)

    assert [] == list(folders.trusted.iterdir())


def test_trust_needs_one_certificate_named(folders: Folders) -> None:
    """Too few digits, none or several that match, and an expired one, are refused and change nothing."""
    expired = certificate(days=(-30, -1))
    keep_rejected(folders, expired)
    for digits in ("abc", "0123456789", ""):
        with pytest.raises(Refused, match="firstshift opcua list"):
            trust(folders, digits, "person-1", AT)
    with pytest.raises(Refused, match="expired on"):
        trust(folders, thumbprint(expired), "person-1", AT)

    assert [] == list(folders.trusted.iterdir())
    assert [] == changes(folders.root)


def test_a_change_that_cannot_be_written_down_is_not_made(folders: Folders) -> None:
    """The log comes first: without it nobody is trusted."""
    client = certificate()
    keep_rejected(folders, client)
    (folders.root / LOG).mkdir()
    with pytest.raises(ConfigError, match="nothing was changed"):
        trust(folders, thumbprint(client), "person-1", AT)

    assert [] == list(folders.trusted.iterdir())


def test_refused_certificates_are_few(folders: Folders) -> None:
    """Strangers cannot fill the disk: the oldest refused certificate goes."""
    for number in range(REJECTED_LIMIT + 3):
        (folders.rejected / f"{number:064x}.der").write_bytes(b"x")
    newest = certificate()

    assert keep_rejected(folders, newest)
    assert not keep_rejected(folders, newest)
    assert len(list(folders.rejected.iterdir())) == REJECTED_LIMIT
    assert (folders.rejected / f"{thumbprint(newest)}.der").exists()


def test_a_torn_line_costs_no_other(folders: Folders) -> None:
    """A power loss while the log is written neither hides what came before nor what comes after."""
    note(folders.root, "person-1", "user_set", "user a", "", "observer", AT)
    with (folders.root / LOG).open("ab") as file:
        file.write(b'{"actor":"per')
    note(folders.root, "person-2", "user_set", "user b", "", "observer", AT)

    assert ["person-1", "service:opcua", "person-2"] == [one.actor for one in changes(folders.root)]
