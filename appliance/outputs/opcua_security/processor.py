"""Stand before asyncua's request handling: what it leaves open is shut here, request by request.

asyncua 2.1.0 opens sessions on unsecured channels and without a ruleset, checks the certificate that a client states
instead of the one its channel was opened with, takes messages of any size before sign-in, and keeps the connection
after an error. This file, `sessions.py` and `server.py` alone know its inner names.
"""

import contextvars
import time
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_session import SessionState
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary, uatcp_to_binary

from appliance.outputs.opcua_security.roles import Caller
from appliance.outputs.opcua_security.ruleset import DISCOVERY, SESSION, request_ids

if TYPE_CHECKING:
    from appliance.outputs.opcua_security.doorkeeper import Doorkeeper

CALLER: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("opcua_caller", default=None)
"""Who makes the service call that the current task handles."""

BUFFER = 1 << 16
"""Largest chunk, bytes; a connection that sends more without an end is closed."""

STRANGERS_MESSAGES = 8
"""Messages that wait at most on a connection without a session in use: each may hold a whole chunk."""

_DISCOVERY, _SESSION = request_ids(DISCOVERY), request_ids(SESSION)
_CREATE, _ACTIVATE, _CLOSE = (next(iter(request_ids((name,)))) for name in SESSION)
_TRANSFER = next(iter(request_ids(("TransferSubscriptions",))))


class GuardedProcessor(UaProcessor):  # type: ignore[misc]  # asyncua is untyped
    """Handle the requests of one connection, each after its check."""

    session: Any

    def __init__(self, server: "GuardedBinaryServer", transport: Any) -> None:
        super().__init__(server.iserver, transport, server.limits)
        self._server = server
        self._was_closed = False
        """True once the client has closed its session: what it sent meanwhile is answered so."""

    async def process(self, header: Any, body: Any) -> bool:
        """Handle a message; one that cannot be is answered with an error, and the connection is closed."""
        try:
            return bool(await super().process(header, body))
        except (ServiceError, ua.UaError) as error:
            code = getattr(error, "code", None) or ua.StatusCodes.BadSecurityChecksFailed
            told = ua.ErrorMessage(ua.StatusCode(code), "refused")
            self._transport.write(uatcp_to_binary(ua.MessageType.Error, told))
            return False

    def get_publish_request(self, subscription_id: int) -> Any:
        """Give a request to answer; none once the connection is gone, so that what waits is kept for the next one."""
        return None if self._transport.is_closing() else super().get_publish_request(subscription_id)

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        CALLER.set(None)
        if typeid in _DISCOVERY:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        certificate = self._channel_certificate()
        if typeid not in _SESSION:
            self._check_session(requesthdr, certificate)
        elif typeid == _CREATE:
            await self._check_create(body, certificate)
        elif typeid == _ACTIVATE:
            return await self._activate(typeid, requesthdr, seqhdr, body, certificate)
        going = await super()._process_message(typeid, requesthdr, seqhdr, body)
        if typeid == _CREATE:
            self.session.client_certificate = certificate
            self._was_closed = False
        elif typeid == _CLOSE:
            self.session = None
            self._was_closed = True
        elif typeid == _TRANSFER:
            self._take_over()
        return going

    def _channel_certificate(self) -> bytes:
        """Give the certificate that the channel was opened with; BadSecurityModeInsufficient on an unsecured one."""
        policy = self._connection.security_policy
        if not self._connection.is_open() or policy.Mode != ua.MessageSecurityMode.SignAndEncrypt:
            raise ServiceError(ua.StatusCodes.BadSecurityModeInsufficient)
        return bytes(policy.peer_certificate)

    async def _check_create(self, body: Any, certificate: bytes) -> None:
        params = struct_from_binary(ua.CreateSessionParameters, body.copy())
        if first_certificate(params.ClientCertificate or b"") != certificate:
            raise ServiceError(ua.StatusCodes.BadCertificateInvalid)
        self._door.admit(certificate, params.ClientDescription.ApplicationUri or "", _address(self.name))
        if self.session is not None:  # asyncua would forget it
            await self.session.close_session()
            self.session = None
        await self.iserver.make_room(self._server.attached())

    async def _activate(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any, certificate: bytes) -> Any:
        session = self.session or self.iserver.lookup_external_session(requesthdr.AuthenticationToken)
        if session is None or requesthdr.AuthenticationToken != session.auth_token:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if session.client_certificate != certificate:
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        self._door.admit(certificate, None, _address(self.name))
        before, done = self.session, False
        try:
            going = await super()._process_message(typeid, requesthdr, seqhdr, body)
            done = True
        finally:
            if not done:  # asyncua takes the session over before it has checked anything
                self.session = before
        for other in self._others():  # the end of the connection it comes from must not end it
            if other.session is session:
                other.session = None
        return going

    def _check_session(self, requesthdr: Any, certificate: bytes) -> None:
        session = self.session
        if session is None and self._was_closed:
            raise ServiceError(ua.StatusCodes.BadSessionClosed)
        if session is None or requesthdr.AuthenticationToken != session.auth_token:
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if session.state is SessionState.Closed:  # by this server, after its time: the client may begin again
            raise ServiceError(ua.StatusCodes.BadSessionIdInvalid)
        if not session.is_activated():
            raise ServiceError(ua.StatusCodes.BadSessionNotActivated)
        role = self._door.users.role(session.user.name)
        if session.client_certificate != certificate or role is None:
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        CALLER.set(Caller(session.user.name, role))

    def _take_over(self) -> None:
        """Let transferred subscriptions speak on this connection; asyncua moves only half of what is needed."""
        for subscription in self.iserver.subscription_service.subscriptions.values():
            if self.session is not None and subscription.session_id == self.session.session_id:
                subscription.pub_request_callback = self.get_publish_request

    def _others(self) -> "list[GuardedProcessor]":
        processors = (client.processor for client in self._server.clients)
        return [processor for processor in processors if processor is not None and processor is not self]

    @property
    def _door(self) -> "Doorkeeper":
        return self._server.door


class GuardedProtocol(OPCUAProtocol):  # type: ignore[misc]  # asyncua is untyped
    """Serve one connection within its limits."""

    heard_at = 0.0
    """When something arrived last, s of the monotonic clock."""
    processor: Any
    transport: Any
    _buffer: bytes

    def __init__(self, server: "GuardedBinaryServer") -> None:
        super().__init__(server.iserver, server.policies, server.clients, server.closing_tasks, server.limits)
        self._server = server

    def connection_made(self, transport: Any) -> None:
        """Begin, unless there are as many connections as may be."""
        super().connection_made(transport)
        self.heard_at = time.monotonic()
        if self.processor is not None:
            self.processor = GuardedProcessor(self._server, transport)
            self.processor.set_policies(self.policies)

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a message longer than the largest chunk, or many from a stranger, end the connection."""
        super().data_received(data)
        self.heard_at = time.monotonic()
        waiting = self.messages.qsize()
        is_flood = waiting > STRANGERS_MESSAGES and not self._is_signed_in()
        if (len(self._buffer) > BUFFER or is_flood) and self.transport is not None:
            self._buffer = b""
            self.transport.abort()

    def _is_signed_in(self) -> bool:
        session = self.processor.session if self.processor is not None else None
        return session is not None and bool(session.is_activated())

    async def _process_one_msg(self, header: Any, buf: Any) -> bool:
        done = False
        try:
            going = await super()._process_one_msg(header, buf)
            done = True
        finally:
            if not done and self.transport is not None:
                self.transport.close()
        return bool(going)


class GuardedBinaryServer(BinaryServer):  # type: ignore[misc]  # asyncua is untyped
    """Accept connections for a doorkeeper."""

    def __init__(self, iserver: Any, host: str | None, port: int | None, limits: Any, door: "Doorkeeper") -> None:
        super().__init__(iserver, host, port, limits)
        self.door = door

    @property
    def policies(self) -> list[Any]:
        """The policies offered."""
        policies: list[Any] = self._policies
        return policies

    def attached(self) -> list[Any]:
        """Give the sessions that have a connection."""
        processors = (client.processor for client in self.clients)
        return [processor.session for processor in processors if processor is not None and processor.session]

    def hang_up(self, session: Any) -> None:
        """Close the connection of a session."""
        for client in list(self.clients):
            if client.processor is not None and client.processor.session is session:
                client.transport.close()

    def hang_up_idle(self, limit_s: float) -> None:
        """Close the connections that have had no living session and no word for a time; asyncua would keep them."""
        late = time.monotonic() - limit_s
        for client in list(self.clients):
            session = client.processor.session
            is_alive = session is not None and session.state is not SessionState.Closed
            if not is_alive and client.heard_at < late:
                client.transport.close()

    def _make_protocol(self) -> GuardedProtocol:
        return GuardedProtocol(self)


def first_certificate(chain: bytes) -> bytes:
    """Give the first DER certificate of a chain; all of what is none."""
    if len(chain) < 4 or chain[0] != 0x30 or chain[1] != 0x82:  # a SEQUENCE of 256 to 65,535 bytes, as they all are
        return chain
    return chain[: 4 + int.from_bytes(chain[2:4], "big")]


def _address(peer: Any) -> str:
    """Give the address of a connection without its port, which changes with each try."""
    return str(peer[0]) if isinstance(peer, tuple) else str(peer)
