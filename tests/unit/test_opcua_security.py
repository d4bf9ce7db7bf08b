"""Who comes into the OPC UA server: certificates, trust, users, roles, and the log of what people changed."""

import io
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
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.cli import main
from appliance.outputs.opcua_security import users as users_module
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
from appliance.outputs.opcua_security.roles import Role, suffices
from appliance.outputs.opcua_security.trust import Believed, believed, refusal
from appliance.outputs.opcua_security.users import Users, read_users, remove_user, set_user
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.errors import ConfigError, Refused
from appliance.services._opcua_audit import AGAIN, DATABASE, FIRST, AuditCarrier
from appliance.storage import record_store
from appliance.storage.record_store import RecordStore
from tests.unit.test_report import STATION

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


class _Clock:
    def __init__(self) -> None:
        self.now = HostNs(0)

    def __call__(self) -> HostNs:
        return self.now


COST = users_module.COST


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash quickly; the cost is checked by `test_hashes_are_dear`."""
    monkeypatch.setattr(users_module, "COST", 2)


@pytest.fixture
def someone(folders: Folders) -> tuple[Users, _Clock]:
    clock = _Clock()
    set_user(folders.root, "anna", Role.OPERATOR, "correct horse", "person-1", AT)
    return Users(folders.root, clock), clock


def test_hashes_are_dear() -> None:
    """A stolen file must cost 16 MB and tens of milliseconds for each guess."""
    assert (1 << 14, 8, 1) == (COST, users_module.BLOCK, users_module.LANES)


def test_the_file_of_users_holds_no_password(folders: Folders) -> None:
    """Only salted hashes are kept, for the services' user alone, and equal passwords look different."""
    set_user(folders.root, "anna", Role.OBSERVER, "correct horse", "person-1", AT)
    set_user(folders.root, "bert", Role.OBSERVER, "correct horse", "person-1", AT)
    kept = read_users(folders.root)
    place = folders.root / users_module.FILE

    assert b"correct horse" not in place.read_bytes() + (folders.root / LOG).read_bytes()
    assert kept["anna"].digest != kept["bert"].digest
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_the_right_password_signs_in(someone: tuple[Users, _Clock]) -> None:
    """The right password and no other lets a person in, with the role that was given."""
    users, _ = someone

    assert users.check("anna", "correct horse") == ""
    assert users.check("anna", "correct hors") == "wrong password"
    assert users.check("anna", "") == "wrong password"
    assert users.check("nobody", "correct horse") == "no such user"
    assert users.check("", "") == "no such user"
    assert (Role.OPERATOR, None) == (users.role("anna"), users.role("nobody"))


def test_five_wrong_passwords_lock_a_name(someone: tuple[Users, _Clock]) -> None:
    """After five failures not even the right password counts for 60 s, then twice as long for each further one."""
    users, clock = someone
    for _ in range(5):
        users.check("anna", "wrong")

    assert users.check("anna", "correct horse").startswith("locked")
    assert ["anna"] == users.locked()
    clock.now = HostNs(60 * S - 1)
    assert users.check("anna", "correct horse").startswith("locked")
    clock.now = HostNs(60 * S)
    assert users.check("anna", "wrong").endswith("locked for 120 s")
    clock.now = HostNs(179 * S)
    assert users.check("anna", "correct horse").startswith("locked")
    clock.now = HostNs(180 * S)
    assert users.check("anna", "correct horse") == ""
    assert [] == users.locked()
    assert users.check("anna", "wrong") == "wrong password"


def test_a_lock_ends(someone: tuple[Users, _Clock]) -> None:
    """However many wrong passwords: after an hour the right one counts."""
    users, clock = someone
    for _ in range(40):
        users.check("anna", "wrong")
        clock.now = HostNs(clock.now + 3601 * S)

    assert users.check("anna", "correct horse") == ""


def test_names_that_are_not_there_fill_no_memory(someone: tuple[Users, _Clock]) -> None:
    """Tries at names nobody has are not kept."""
    users, _ = someone
    for number in range(50):
        users.check(f"nobody-{number}", "x")

    assert {} == users._tries


def test_changes_of_users_count_at_once(folders: Folders, someone: tuple[Users, _Clock]) -> None:
    """Another role and removal need no restart, and both are written down with who did it."""
    users, _ = someone
    set_user(folders.root, "anna", Role.ENGINEER, "another horse", "person-2", AT)

    assert users.role("anna") is Role.ENGINEER
    assert users.check("anna", "correct horse") == "wrong password"
    remove_user(folders.root, "anna", "person-3", AT)
    assert users.role("anna") is None
    assert users.check("anna", "another horse") == "no such user"
    assert [("person-1", "no user"), ("person-2", "operator"), ("person-3", "engineer")] == [
        (one.actor, one.before) for one in changes(folders.root)
    ]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 41, "a\n"])
def test_names_are_plain(folders: Folders, name: str) -> None:
    """A name that could confuse a file, a log or a command is refused."""
    with pytest.raises(Refused, match="is no name"):
        set_user(folders.root, name, Role.OBSERVER, "correct horse", "person-1", AT)


@pytest.mark.parametrize("password", ["", "short", "x" * 129])
def test_passwords_are_long_enough(folders: Folders, password: str) -> None:
    """A password too short to resist guessing, or longer than is hashed, is refused and not repeated."""
    with pytest.raises(Refused, match="10 to 128") as refused:
        set_user(folders.root, "anna", Role.OBSERVER, password, "person-1", AT)

    assert not password or password not in str(refused.value)
    assert {} == read_users(folders.root)


def test_a_damaged_file_lets_nobody_in(folders: Folders, someone: tuple[Users, _Clock]) -> None:
    """What cannot be read is an error, never an empty or an old list."""
    users, _ = someone
    (folders.root / users_module.FILE).write_bytes(b"{}{")

    with pytest.raises(ConfigError, match="restore it"):
        users.check("anna", "correct horse")


@given(st.sampled_from(Role), st.sampled_from(Role))
@settings(max_examples=9)
def test_roles_are_ordered(held_role: Role, needed: Role) -> None:
    """Observer < operator < engineer: each may do what those before it may, and no more."""
    order = ["observer", "operator", "engineer"]

    assert suffices(held_role, needed) == (order.index(held_role.value) >= order.index(needed.value))


def test_the_carrier_knows_the_records_name() -> None:
    """The service reads the database that `record` writes, though it does not import it."""
    assert DATABASE == record_store.DATABASE


def test_changes_reach_the_audit_chain_once(tmp_path: Path, folders: Folders) -> None:
    """What was changed while no service ran is published until the chain holds it, and no longer."""
    carrier = AuditCarrier(tmp_path)
    note(folders.root, "person-1", "user_set", "user a", "", "observer", AT)
    (wanted,) = changes(folders.root)

    assert () == tuple(carrier.due(HostNs(0)))
    assert () == tuple(carrier.due(FIRST))  # no database yet
    store = RecordStore(tmp_path, 0)
    assert [wanted] == list(carrier.due(HostNs(2 * FIRST)))
    assert [] == list(carrier.due(HostNs(2 * FIRST + S)))
    assert [wanted] == list(carrier.due(HostNs(2 * FIRST + AGAIN)))
    store.audit(wanted.actor, wanted.action, wanted.subject, wanted.before, wanted.after, AT)
    assert [] == list(carrier.due(HostNs(2 * FIRST + 3 * AGAIN)))
    note(folders.root, "person-1", "user_set", "user b", "", "observer", AT)
    assert [changes(folders.root)[1]] == list(carrier.due(HostNs(2 * FIRST + 3 * AGAIN + S)))
    store.close()


def test_a_log_that_cannot_be_read_is_audited(tmp_path: Path, folders: Folders) -> None:
    """A damaged log stops no service: the audit chain is told of it, once."""
    (folders.root / LOG).mkdir()
    store = RecordStore(tmp_path, 0)
    carrier = AuditCarrier(tmp_path)
    carrier.due(HostNs(0))
    (told,) = carrier.due(FIRST)

    assert ("service:opcua", "opcua_log_unreadable") == (told.actor, told.action)
    store.audit(told.actor, told.action, told.subject, told.before, told.after, AT)
    assert [] == list(carrier.due(HostNs(FIRST + AGAIN)))
    store.close()


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    (tmp_path / "station.toml").write_text(STATION.format(state=tmp_path), "utf-8")
    (tmp_path / "recipe.toml").write_text('name = "demo"\nnumber = 1\nviews = ["top"]\nbundle = "day-one"\n', "utf-8")

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = main(["opcua", *arguments, "--state", str(tmp_path)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def test_commands_set_users(tmp_path: Path, said: Said) -> None:
    """A person is added with a password from the input, listed and removed; nothing tells the password."""
    add = ("user", "add", "anna", "--role", "operator", "--person", "person-1")
    code, out, err = said(*add, typed="correct horse\n")

    assert (0, "") == (code, err)
    assert "correct horse" not in out
    assert Users(tmp_path / "opcua", _Clock()).check("anna", "correct horse") == ""
    assert (0, "operator  anna\n", "") == said("user", "list")
    assert said("user", "remove", "anna", "--person", "person-2")[0] == 0
    assert (0, "", "") == said("user", "list")
    code, out, err = said(*add, typed="short\n")
    assert (2, "") == (code, out)
    assert "5 characters; 10 to 128 are allowed" in err
    assert "short" not in err
    assert (2, "") == said("user", "remove", "anna", "--person", "person-2")[:2]


def test_commands_renew_and_list(tmp_path: Path, said: Said) -> None:
    """Renewal is written down with the certificate before it, and the list shows all folders."""
    assert said("renew", "--person", "person-1")[0] == 0
    first = read_own(tmp_path / "opcua" / "own").certificate
    assert said("renew", "--person", "person-1")[0] == 0
    second = read_own(tmp_path / "opcua" / "own").certificate
    keep_rejected(make_folders(tmp_path / "opcua"), certificate())
    _, out, _ = said("list")
    written = changes(tmp_path / "opcua")

    assert ["none that can be read", thumbprint(first)] == [one.before.split(" (")[0] for one in written]
    assert first.public_key() != second.public_key()
    assert f"own       {thumbprint(second)} (urn:firstshift:" in out
    assert len([line for line in out.splitlines() if line.startswith("rejected")]) == 1


def test_commands_refuse_in_one_line(said: Said) -> None:
    """A thumbprint that names nothing is refused with one line and exit code 2."""
    code, out, err = said("trust", "0123456789ab", "--person", "person-1")

    assert (2, "") == (code, out)
    assert err.count("\n") == 1
    assert "names 0 rejected certificates" in err
