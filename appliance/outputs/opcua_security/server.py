"""Make asyncua's server one that serves known clients alone."""

import asyncio
import logging
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.crypto import security_policies

from appliance.outputs.opcua_security.doorkeeper import Doorkeeper
from appliance.outputs.opcua_security.processor import BUFFER, GuardedBinaryServer
from appliance.outputs.opcua_security.sessions import GuardedInternalServer

POLICIES = (
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
)

PENDING_S = 10.0
"""A connection without a session is closed after this time; a small PLC takes seconds for its RSA."""
SESSION_MS = 60_000.0
"""A session without a word ends after this time, so that a client that died does not hold its place."""
UNACKED = 100
"""Messages of a subscription kept until the client has acknowledged them."""
CHUNKS = 16
WAITING_MESSAGES = 500
"""Messages of a signed-in client that wait at most, then it is cut off; some ask for all types without a pause."""
SWEEP_S = 1.0

# Each refused client makes asyncua log a traceback; what matters is audited, and strangers must not fill the journal.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)
logging.getLogger("asyncuagds").setLevel(logging.CRITICAL)


class PlantServer(Server):  # type: ignore[misc]  # asyncua is untyped
    """Serve known clients alone, and end the sessions of those who are known no more."""

    def __init__(self, door: Doorkeeper, sessions: int, subscriptions: int, queue: int) -> None:
        """Limits: sessions, subscriptions over all of them, events queued for one monitored item."""
        super().__init__(iserver=GuardedInternalServer(door, sessions))
        self._door = door
        self._sweeper: asyncio.Task[None] | None = None
        self.limits = TransportLimits(BUFFER, BUFFER, CHUNKS, CHUNKS * BUFFER)
        inner = self.iserver
        inner.allow_remote_admin = False
        inner.max_connections = 2 * sessions + 8  # a client asks for the endpoints on a connection of its own
        inner.max_pending_activation_seconds = PENDING_S
        inner.max_session_timeout_ms = SESSION_MS
        inner.max_subscriptions = subscriptions
        inner.max_monitored_item_queue_size = queue
        inner.max_unacked_messages_per_subscription = UNACKED
        inner.max_pending_messages_per_connection = WAITING_MESSAGES
        inner.max_lifetime_count = 1200
        inner.max_keep_alive_count = 400

    @property
    def sessions(self) -> int:
        """Clients' sessions there are."""
        return len(self.iserver.external())

    @property
    def subscriptions(self) -> int:
        """Clients' subscriptions there are."""
        return len(self.iserver.subscription_service.subscriptions)

    @property
    def connections(self) -> int:
        """Connections there are."""
        return len(self.bserver.clients) if self.bserver is not None else 0

    async def start(self) -> None:
        """Listen; OSError when the address cannot be had."""
        await self._setup_server_nodes()
        await self.iserver.start()
        try:
            host, port = self._get_bind_socket_info()
            self.bserver = GuardedBinaryServer(self.iserver, host, port, self.limits, self._door)
            self.bserver.set_policies(self._policies)
            await self.bserver.start()
        except OSError:
            await self.iserver.stop()
            raise
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """End every session and stop listening."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for session in self.iserver.external():
            await session.close_session()
        await super().stop()

    def _set_endpoints(self, policy: Any, mode: Any, level: int) -> None:
        """Offer an endpoint; the password is encrypted within the channel too, so that no log of it holds it."""
        super()._set_endpoints(policy, mode, level)
        for token in self.iserver.endpoints[-1].UserIdentityTokens:
            token.SecurityPolicyUri = policy.URI

    async def _sweep(self) -> None:
        """End the sessions of people and clients that are trusted no more, and connections that serve nobody."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.bserver.hang_up_idle(self.iserver.max_pending_activation_seconds)
            for session in self.iserver.external():
                user = session.user.name if session.is_activated() else None
                if not self._door.is_known(user, session.client_certificate):
                    self.bserver.hang_up(session)
                    await session.close_session()


def policy_uris() -> list[str]:
    """Give the URIs of the policies offered."""
    return [security_policies.SECURITY_POLICY_TYPE_MAP[policy][0].URI for policy in POLICIES]
