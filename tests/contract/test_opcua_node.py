"""Hold the OPC UA server against an independent implementation: node-opcua, which knows nothing of asyncua."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from appliance.cli import main
from appliance.outputs.opcua_security.certificates import der
from appliance.outputs.opcua_security.folders import make_folders
from appliance.schema.command import StartJob
from tests.contract.opcua_programs import (
    AUTOMATIC,
    MACHINE,
    PlantStation,
    SignIns,
    need_node,
    next_answer,
    node,
    start_node,
)
from tests.contract.opcua_rig import (
    Client,
    GuardedStation,
    add_people,
    certificate,
    cheap_hashes,
    furnish_probe,
    key,
)
from tests.unit.opcua_rig import OURS

POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
OF_CONDITIONS = {"ConditionClassId", "ConditionClassName", "ConditionSubClassId", "ConditionSubClassName"}
"""Optional fields of every event since OPC UA 1.05, which speak of conditions; these events are none."""
BACK_S = 15.0
"""Sessions that lost their connection end 5 s after the last word here; connections without one after 10 s."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    need_node()
    return Client(tmp_path_factory.mktemp("client") / "trusted")


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Iterator[PlantStation]:
    root = tmp_path_factory.mktemp("station") / "opcua"
    client.trust_by_hand(root)
    with cheap_hashes():
        add_people(root)
        made = PlantStation(root)
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def sign_in(station: PlantStation, client: Client) -> Iterator[SignIns]:
    made = SignIns(station.url, client)
    yield made
    made.close()


def test_only_encrypted_endpoints_are_offered(station: PlantStation, client: Client) -> None:
    """Three policies, signed and encrypted, and a name with a password that is encrypted by the same policy."""
    told = node("opcua_endpoints", station.url, client)

    assert told["endpoints"] == [
        {"policy": policy, "mode": "SignAndEncrypt", "tokens": ["UserName"], "password_policy": [policy]}
        for policy in POLICIES
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_lets_a_known_client_in(sign_in: SignIns, policy: str) -> None:
    """With certificate, name and password a client signs in and reads, by each policy."""
    told = sign_in("olga", policy=policy)

    assert told == {"signed_in": "Good", "called": [], "written": []}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"user": "olga", "password": "wrong password"}, "BadUserAccessDenied"),
        ({"user": "nobody", "password": "wrong password"}, "BadUserAccessDenied"),
        ({"user": ""}, "Cannot find ANONYMOUS user token policy"),
        ({"user": "olga", "policy": "None", "mode": "None"}, "End point must exist"),
        ({"user": "olga", "mode": "Sign"}, "Cannot find an Endpoint matching"),
        ({"user": "olga", "policy": "Basic256"}, "Cannot find an Endpoint matching"),
        ({"user": "olga", "policy": "Basic128Rsa15"}, "Cannot find an Endpoint matching"),
    ],
)
def test_everybody_else_is_refused(sign_in: SignIns, options: dict[str, Any], code: str) -> None:
    """A wrong password, no name, no or weak encryption: no session."""
    told = sign_in(**options)

    assert "signed_in" not in told
    assert code in f"{told['refused']} {told['text']}"


def test_a_stranger_is_refused_until_a_person_trusts_it(
    station: PlantStation,
    sign_in: SignIns,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unknown certificate is refused and kept; `opcua trust` lets it in at once, `opcua untrust` shuts it out."""
    stranger = Client(tmp_path / "stranger")
    _command_line(monkeypatch, station)

    assert sign_in("olga", stranger)["refused"] == "BadCertificateUntrusted"
    assert (make_folders(station.root).rejected / f"{stranger.thumbprint}.der").is_file()
    assert main(["opcua", "trust", stranger.thumbprint[:12], "--person", "person-7"]) == 0
    assert sign_in("olga", stranger)["signed_in"]
    assert main(["opcua", "untrust", stranger.thumbprint, "--person", "person-7"]) == 0
    assert sign_in("olga", stranger)["refused"] == "BadCertificateUntrusted"
    assert main(["opcua", "list"]) == 0
    assert f"rejected  {stranger.thumbprint}" in capsys.readouterr().out
    refused = [one for one in station.security.audits() if one.action == "opcua_certificate_refused"]
    assert [stranger.thumbprint] == [one.subject.split(" ", maxsplit=1)[0] for one in refused]


def test_an_authority_lets_its_clients_in_until_it_revokes_them(
    station: PlantStation, sign_in: SignIns, tmp_path: Path
) -> None:
    """A client signed by a trusted authority needs no trust of its own; its revocation counts at once."""
    folders, authority_key, own = make_folders(station.root), key(), key()
    authority = certificate(authority_key, "urn:authority", is_authority=True, common_name="plant authority")
    signed = certificate(own, issuer=authority, signer=authority_key, common_name="signed client")
    signed_client = Client(tmp_path / "signed", signed, own)
    with (signed_client.folder / "client.pem").open("ab") as chain:  # it shows who signed it, too
        chain.write(authority.public_bytes(Encoding.PEM))
    (folders.trusted / "authority.der").write_bytes(der(authority))
    crl = folders.revocations / "authority.crl"

    assert sign_in("olga", signed_client)["refused"] == "BadCertificateRevocationUnknown"
    crl.write_bytes(_revocations(authority, authority_key))
    assert sign_in("olga", signed_client)["signed_in"]
    crl.write_bytes(_revocations(authority, authority_key, signed.serial_number))
    assert sign_in("olga", signed_client)["refused"] == "BadCertificateRevoked"
    (folders.trusted / "authority.der").unlink()
    crl.unlink()


def test_the_tree_follows_the_companion_specification(station: PlantStation, client: Client) -> None:
    """Every mandatory component of VisionSystemType is found in the instance by its browse path."""
    paths = (
        "VisionStateMachine/AutomaticModeStateMachine/StartSingleJob",
        "VisionStateMachine/AutomaticModeStateMachine/StartContinuous",
        "VisionStateMachine/AutomaticModeStateMachine/Stop",
        "VisionStateMachine/AutomaticModeStateMachine/Abort",
        "VisionStateMachine/Reset",
        "VisionStateMachine/Halt",
        "ResultManagement/GetResultById",
        "RecipeManagement/PrepareRecipe",
    )
    told = node("opcua_browse", station.url, client, "olga", own_uri=OURS, paths=paths, depth=4, limit_s=60)

    assert told["is_vision_system"]
    assert told["mandatory"] > 15
    assert [] == told["missing"]
    assert [] == [path for path in paths if not told["wanted"][path]]


def test_a_job_tells_its_events_with_every_field(station: PlantStation, client: Client) -> None:
    """StartSingleJob answers with the job's id; the events follow in order, and no field arrives as Null."""
    station.wishes.clear()
    told = node("opcua_job", station.url, client, "otto", machine=AUTOMATIC, measurement="m-77", part="p-1", limit_s=40)
    kinds = [event["type"] for event in told["events"]]
    fields = {event["type"]: event["fields"] for event in told["events"]}
    (wish,) = station.wishes

    assert told["call"]["status"] == "Good"
    assert isinstance(wish, StartJob)
    assert ("opcua:otto", "m-77", "p-1", True) == (wish.actor, wish.measurement, wish.part, wish.single)
    wanted = ["JobStarted", "AcquisitionDone", "Error", "ErrorResolved", "Ready", "ResultReady"]
    assert wanted == [kind for kind in kinds if kind in wanted]
    for kind in wanted:
        null = set(told["defined"][kind]) - set(fields[kind])
        assert null <= OF_CONDITIONS, kind
    assert "m-77" in json.dumps(fields["ResultReady"]["MeasId"])
    assert "job-1" in json.dumps(fields["ResultReady"]["JobId"])
    assert fields["ResultReady"]["IsPartial"] is False


@pytest.mark.parametrize(
    ("user", "wanted"),
    [
        (
            "olga",
            {"StartContinuous": "denied", "Stop": "denied", "Abort": "denied", "Reset": "denied", "Halt": "denied"},
        ),
        ("otto", {"Stop": "granted", "Abort": "denied", "Reset": "denied", "Halt": "denied"}),
        ("erna", {"Stop": "granted", "Abort": "granted", "Reset": "granted", "Halt": "granted"}),
    ],
)
def test_a_wrong_role_is_refused(station: PlantStation, sign_in: SignIns, user: str, wanted: dict[str, str]) -> None:
    """Observers start nothing, operators abort nothing; what a role does not allow never reaches the line."""
    objects = {"Reset": MACHINE, "Halt": MACHINE}
    calls = [
        {
            "object": objects.get(name, AUTOMATIC),
            "method": f"{objects.get(name, AUTOMATIC)}.{name}",
            "arguments": [] if name == "StartContinuous" else [["Int32", 0], ["LocalizedText", {"text": "test"}]],
        }
        for name in wanted
    ]
    station.wishes.clear()
    told = sign_in(user, calls=calls)

    found = {
        name: "denied" if status == "BadUserAccessDenied" else "granted"
        for name, status in zip(wanted, told["called"], strict=True)
    }
    assert wanted == found
    assert list(wanted.values()).count("granted") == len(station.wishes)
    assert {f"opcua:{user}"} >= {getattr(wish, "actor", getattr(wish, "operator", "")) for wish in station.wishes}


def test_nobody_writes_a_variable(sign_in: SignIns) -> None:
    """The engineer may not write the state of the machine either."""
    writes = [{"node": f"{MACHINE}.CurrentState", "type": "LocalizedText", "value": {"text": "Operational"}}]
    told = sign_in("erna", writes=writes)

    assert ["BadUserAccessDenied"] == told["written"]


def test_wrong_passwords_lock_the_name(station: PlantStation, sign_in: SignIns) -> None:
    """After five wrong passwords the right one does not count either; the audit chain is told."""
    station.security.audits()
    users = station.security._users
    for _ in range(5):
        users.check("otto", "wrong password")
    refused = sign_in("otto")
    users._tries.clear()

    assert refused["refused"] == "BadUserAccessDenied"
    assert sign_in("otto")["signed_in"]


def _cut(station: PlantStation, client: Client, sign_in: SignIns, cuts: int, limit_s: int) -> None:
    before = station.held()
    told = node(
        "opcua_cuts",
        station.url,
        client,
        "otto",
        cuts=cuts,
        server_certificate=base64.b64encode(station.security.own_certificate).decode(),
        limit_s=limit_s,
    )

    assert told == {"closed": cuts // 2, "destroyed": cuts // 4, "half_open": cuts // 4, "refused": 0}
    assert before == station.settled(before, BACK_S)
    assert sign_in("olga")["signed_in"] == "Good"


def test_cut_connections_leave_nothing(station: PlantStation, client: Client, sign_in: SignIns) -> None:
    """100 cuts, half of them rude and some in the handshake: sessions, sockets and tasks are back as they were."""
    _cut(station, client, sign_in, 100, 60)


@pytest.mark.slow
def test_a_thousand_cut_connections_leave_nothing(station: PlantStation, client: Client, sign_in: SignIns) -> None:
    """1,000 cuts leave no session, no socket, no subscription and no task."""
    _cut(station, client, sign_in, 1000, 500)


def test_a_client_comes_back_after_a_restart(tmp_path: Path, client: Client) -> None:
    """A subscriber finds the restarted server by itself: certificate and port are the same, and values flow again."""
    client.trust_by_hand(tmp_path)
    with cheap_hashes():
        add_people(tmp_path)
        station = GuardedStation(tmp_path, furnish_probe)
        station.start()
        process = start_node("opcua_reconnect", station.url, client, "olga", limit_s=60)
        try:
            assert next_answer(process) == {"ready": True}
            station.stop()
            station.start()
            told = next_answer(process)
        finally:
            process.kill()
            process.communicate()
            station.stop()
            station.close()

    assert told["cuts"] >= 1
    assert told["restored"] >= 1
    assert told["values"]


def _command_line(monkeypatch: pytest.MonkeyPatch, station: PlantStation) -> None:
    """Let the command line find this station's folders, without a station file."""
    folders = make_folders(station.root)
    monkeypatch.setattr("appliance.cli_plant._opcua_folders", lambda _options: folders)


def _revocations(authority: x509.Certificate, signer: Any, *serials: int) -> bytes:
    now = authority.not_valid_before_utc
    made = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(authority.not_valid_after_utc)
    )
    for serial in serials:
        made = made.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        )
    return made.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)
