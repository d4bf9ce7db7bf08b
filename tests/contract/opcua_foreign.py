"""Be a client whose every step can be bent, for the guard's tests."""

import asyncio
from collections.abc import Awaitable
from contextlib import asynccontextmanager
from typing import Any

from asyncua import Client as UaClient
from asyncua import ua
from asyncua.crypto import security_policies

from appliance.config_plant import Opcua
from tests.contract.opcua_rig import (
    CLIENT_URI,
    PASSWORDS,
    Client,
    GuardedStation,
)

SPACE = "urn:probe"
LIMITS = Opcua(host="127.0.0.1", name="127.0.0.1", sessions=3, subscriptions=4, queue=20)


class Foreign(UaClient):
    """Be a client whose every step can be bent."""

    def __init__(self, url: str, uri: str = CLIENT_URI) -> None:
        super().__init__(url, timeout=8)
        self.application_uri = uri
        self.session_timeout = 5_000

    async def join(self, user: str = "otto") -> None:
        await self.create_session()
        await self.activate_session(user, PASSWORDS.get(user, ""))


@asynccontextmanager
async def channel(station: GuardedStation, client: Client | None = None) -> Any:
    """Open a channel, unsecured unless a client's certificate is given; no session yet."""
    made = Foreign(station.url)
    if client is not None:
        await made.set_security(
            security_policies.SecurityPolicyBasic256Sha256,
            str(client.folder / "client.pem"),
            str(client.folder / "key.pem"),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
    await made.connect_socket()
    try:
        await made.send_hello()
        await made.open_secure_channel()
        yield made
    finally:
        made.disconnect_socket()
        await asyncio.sleep(0)


@asynccontextmanager
async def signed_in(station: GuardedStation, client: Client, user: str = "otto") -> Any:
    async with channel(station, client) as made:
        await made.join(user)
        try:
            yield made
        finally:
            await made.uaclient.close_session(True)


def refused(work: Awaitable[Any]) -> str:
    """Give the name of the status that a piece of work is refused with."""

    async def tried() -> str:
        try:
            await work
        except ua.UaStatusCodeError as error:
            return ua.StatusCode(error.code).name
        return "Good"

    return asyncio.run(tried())
