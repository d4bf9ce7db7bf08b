"""Try what a well-behaved client never does: each door that asyncua leaves open is shut."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.crypto import security_policies
from asyncua.ua.uaprotocol_auto import RegisteredServer

from appliance.outputs.opcua_security.folders import make_folders, untrust
from appliance.outputs.opcua_security.users import remove_user, set_user
from appliance.schema.clocks import UtcNs
from tests.contract.opcua_foreign import SPACE, Foreign, channel, refused, signed_in
from tests.contract.opcua_rig import (
    PASSWORDS,
    ROLES,
    Client,
    GuardedStation,
)

pytest_plugins = ["tests.contract.opcua_fixtures"]
pytestmark = pytest.mark.usefixtures("nothing_held")


def test_an_unsecured_channel_gives_no_session(station: GuardedStation) -> None:
    """Without a certificate a client may ask for the endpoints and nothing else, with the right password too."""

    async def work() -> None:
        async with channel(station) as made:
            assert 3 == len(await made.get_endpoints())
            await made.join("erna")

    assert refused(work()) == "BadSecurityModeInsufficient"


def test_a_message_before_any_channel_is_refused(station: GuardedStation) -> None:
    """A request sent right after the Hello, with no channel opened, opens nothing."""

    async def work() -> None:
        made = Foreign(station.url)
        await made.connect_socket()
        try:
            await made.send_hello()
            await made.create_session()
        finally:
            made.disconnect_socket()

    assert refused(work()) == "BadSecurityModeInsufficient"


def test_the_channels_own_certificate_counts(station: GuardedStation, client: Client, tmp_path: Path) -> None:
    """A stranger who states a trusted client's certificate, which is no secret, is refused."""
    stranger = Client(tmp_path / "stranger")

    async def work() -> None:
        async with channel(station, stranger) as made:
            made.security_policy.host_certificate = (client.folder / "client.der").read_bytes()
            await made.join("erna")

    assert refused(work()) == "BadCertificateInvalid"


def test_no_certificate_stated_is_refused(station: GuardedStation, tmp_path: Path) -> None:
    """A stranger who states no certificate at all is refused."""
    stranger = Client(tmp_path / "stranger")

    async def work() -> None:
        async with channel(station, stranger) as made:
            made.security_policy.host_certificate = None
            await made.join("erna")

    assert refused(work()) == "BadCertificateInvalid"


def test_nobody_signs_in_without_a_name(station: GuardedStation, client: Client) -> None:
    """Anonymous is refused even where a client does not ask which ways there are."""

    async def work() -> None:
        async with channel(station, client) as made:
            await made.create_session()
            made._add_anonymous_auth = lambda params: setattr(
                params, "UserIdentityToken", ua.AnonymousIdentityToken(PolicyId="anonymous")
            )
            await made.activate_session()

    assert refused(work()) == "BadIdentityTokenRejected"


def test_a_plain_password_is_refused(station: GuardedStation, client: Client) -> None:
    """A password must be encrypted within the encrypted channel."""

    async def work() -> None:
        async with channel(station, client) as made:
            await made.create_session()
            made._encrypt_password = lambda *_: (PASSWORDS["otto"].encode(), "")
            await made.activate_session("otto", PASSWORDS["otto"])

    assert refused(work()) == "BadIdentityTokenInvalid"


def test_a_password_token_serves_once(station: GuardedStation, client: Client) -> None:
    """An encrypted password is bound to the session's nonce: caught once, it opens no other session."""

    async def work() -> None:
        async with channel(station, client) as first, channel(station, client) as second:
            await first.create_session()
            await second.create_session()
            stolen = first._encrypt_password(PASSWORDS["otto"], security_policies.SecurityPolicyBasic256Sha256.URI)
            second._encrypt_password = lambda *_: stolen
            await second.activate_session("otto", "whatever")

    assert refused(work()) == "BadIdentityTokenInvalid"


def test_a_session_cannot_be_guessed_or_taken(station: GuardedStation, client: Client, tmp_path: Path) -> None:
    """Another client cannot go on with a session, with its token neither, and a token is 32 random bytes."""
    other = Client(tmp_path / "other")
    other.trust_by_hand(station.root)

    async def work(taker: Client, token: Callable[[Any], Any]) -> None:
        async with signed_in(station, client, "erna") as victim, channel(station, taker) as made:
            stolen = victim.uaclient.protocol.authentication_token
            assert 32 == len(stolen.Identifier)
            await made.create_session()
            made.uaclient.protocol.authentication_token = token(stolen)
            made._server_nonce = victim._server_nonce
            await made.activate_session("olga", PASSWORDS["olga"])

    assert refused(work(other, lambda stolen: stolen)) == "BadSessionIdInvalid"
    assert refused(work(client, lambda _: ua.NodeId(1001))) == "BadSessionIdInvalid"
    untrust(make_folders(station.root), other.thumbprint, "person-1", UtcNs(time.time_ns()))


def test_another_client_cannot_activate_a_session(station: GuardedStation, client: Client, tmp_path: Path) -> None:
    """A session is bound to the certificate it was made with, also over a fresh connection."""
    other = Client(tmp_path / "other")
    other.trust_by_hand(station.root)

    async def work() -> None:
        async with signed_in(station, client, "erna") as victim, channel(station, other) as made:
            made.uaclient.protocol.authentication_token = victim.uaclient.protocol.authentication_token
            made._server_nonce = victim._server_nonce
            made._policy_ids = victim._policy_ids
            await made.activate_session("olga", PASSWORDS["olga"])

    assert refused(work()) == "BadSecurityChecksFailed"
    untrust(make_folders(station.root), other.thumbprint, "person-1", UtcNs(time.time_ns()))


@pytest.mark.parametrize("user", ["olga", "erna"])
def test_nobody_writes(station: GuardedStation, client: Client, user: str) -> None:
    """No role may write a variable, not even one that says it is writable, nor add or delete nodes."""

    async def write() -> None:
        async with signed_in(station, client, user) as made:
            space = await made.get_namespace_index(SPACE)
            await made.get_node(ua.NodeId("probe.value", space)).write_value(8)

    async def add() -> None:
        async with signed_in(station, client, user) as made:
            await made.nodes.objects.add_object(2, "Mine")

    async def delete() -> None:
        async with signed_in(station, client, user) as made:
            space = await made.get_namespace_index(SPACE)
            params = ua.DeleteNodesParameters()
            params.NodesToDelete = [ua.DeleteNodesItem(ua.NodeId("probe", space), True)]
            await made.uaclient.delete_nodes(params)

    assert ["BadUserAccessDenied"] * 3 == [refused(work()) for work in (write, add, delete)]


def test_no_other_server_registers(station: GuardedStation, client: Client) -> None:
    """Strangers cannot fill the list of servers, nor offer theirs through ours."""

    async def work() -> None:
        async with channel(station) as made:
            await made.uaclient.register_server(RegisteredServer())

    assert refused(work()) == "BadSecurityModeInsufficient"

    async def known() -> None:
        async with channel(station, client) as made:
            await made.uaclient.register_server(RegisteredServer())

    assert refused(known()) == "BadSessionIdInvalid"


def test_methods_ask_for_their_role(station: GuardedStation, client: Client) -> None:
    """Each role may call what its rank allows and no more; the method learns who called."""

    async def call(user: str, method: str) -> str:
        async with signed_in(station, client, user) as made:
            space = await made.get_namespace_index(SPACE)
            probe = made.get_node(ua.NodeId("probe", space))
            try:
                return str(await probe.call_method(ua.NodeId(f"probe.{method}", space)))
            except ua.UaStatusCodeError as error:
                return ua.StatusCode(error.code).name

    told = {user: [asyncio.run(call(user, role.value)) for role in ROLES.values()] for user in ROLES}

    assert told == {
        "olga": ["opcua:olga", "BadUserAccessDenied", "BadUserAccessDenied"],
        "otto": ["opcua:otto", "opcua:otto", "BadUserAccessDenied"],
        "erna": ["opcua:erna", "opcua:erna", "opcua:erna"],
    }
    denied = [one for one in station.security.audits() if one.action == "opcua_method_refused"]
    assert ["user olga", "user olga", "user otto"] == [one.subject for one in denied]


def test_a_removed_user_and_an_untrusted_client_are_out_at_once(
    station: GuardedStation, client: Client, tmp_path: Path
) -> None:
    """Removing a person, and trusting a client no more, end open sessions within a second or so, without a restart."""
    folders, at = make_folders(station.root), UtcNs(time.time_ns())
    other = Client(tmp_path / "other")
    other.trust_by_hand(station.root)
    set_user(station.root, "gast", ROLES["olga"], "welcome for today", "person-1", at)

    async def out(who: Client, user: str, password: str, deed: Callable[[], Any]) -> str:
        async with channel(station, who) as made:
            await made.create_session()
            await made.activate_session(user, password)
            assert 1 == station.held()["sessions"]
            deed()
            nothing = {"sessions": 0, "connections": 0}
            assert nothing == await asyncio.to_thread(station.settled, nothing, 5.0)
            try:
                await made.nodes.server_state.read_value()
            except ConnectionError:
                return "out"
            return "Good"

    removed = asyncio.run(
        out(client, "gast", "welcome for today", lambda: remove_user(station.root, "gast", "person-1", at))
    )
    untrusted = asyncio.run(
        out(other, "otto", PASSWORDS["otto"], lambda: untrust(folders, other.thumbprint, "person-1", at))
    )

    assert ("out", "out") == (removed, untrusted)
