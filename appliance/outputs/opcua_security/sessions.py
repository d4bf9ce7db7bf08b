"""Make asyncua's sessions unguessable, few, and unable to touch each other's subscriptions."""

import contextvars
import hmac
import inspect
import math
import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import uacrypto
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import MethodService
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession

FASTEST_MS, SLOWEST_MS = 50.0, 10_000.0
"""Bounds of the publishing interval, ms; asyncua would take 0 and never end such a subscription."""
ITEMS = 500
"""Monitored items of a subscription at most."""

_OAEP: dict[str, Callable[[Any, bytes], bytes]] = {
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep": uacrypto.decrypt_rsa_oaep,
    "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256": uacrypto.decrypt_rsa_oaep_sha256,
}
"""Ways a password may be encrypted; PKCS #1 v1.5 and plain text are refused."""


class GuardedMethodService(MethodService):  # type: ignore[misc]  # asyncua is untyped
    """Run methods so that a status they raise reaches the caller, and so that they know who calls."""

    async def _run_method(self, func: Any, parent: Any, *args: Any) -> Any:
        try:
            return await super()._run_method(_in_context(func), parent, *args)
        except ua.UaStatusCodeError as error:
            return ua.StatusCode(error.code)


class GuardedSession(InternalSession):  # type: ignore[misc]  # asyncua is untyped
    """Be one client's session."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.client_certificate = b""
        """Certificate of the channel it was made on, DER."""

    async def close_session(self, delete_subs: bool = True) -> None:  # noqa: FBT001, FBT002  asyncua calls it so
        """End it with its subscriptions: nobody could take over those that a client would leave behind."""
        await super().close_session(True)

    async def create_subscription(self, params: Any, callback: Any, request_callback: Any = None) -> Any:
        """Make a subscription within the limits."""
        wanted = params.RequestedPublishingInterval
        params.RequestedPublishingInterval = (
            min(max(wanted, FASTEST_MS), SLOWEST_MS) if math.isfinite(wanted) else SLOWEST_MS
        )
        return await super().create_subscription(params, callback, request_callback)

    async def create_monitored_items(self, params: Any) -> Any:
        """Add items to an own subscription, within the limit."""
        held = len(self._own(params.SubscriptionId).monitored_item_srv._monitored_items)  # noqa: SLF001
        if held + len(params.ItemsToCreate or ()) > ITEMS:
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(self, params: Any) -> Any:
        """Change items of an own subscription; asyncua would take any length of a queue."""
        self._own(params.SubscriptionId)
        limit = self.iserver.max_monitored_item_queue_size
        for item in params.ItemsToModify or ():
            asked = item.RequestedParameters.QueueSize
            item.RequestedParameters.QueueSize = min(asked, limit) if asked else limit
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(self, params: Any) -> Any:
        """Drop items of an own subscription."""
        self._own(params.SubscriptionId)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(self, params: Any) -> Any:
        """Switch items of an own subscription."""
        self._own(params.SubscriptionId)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(self, params: Any) -> Any:
        """Switch own subscriptions."""
        for number in params.SubscriptionIds or ():
            self._own(number)
        return await super().set_publishing_mode(params)

    def modify_subscription(self, params: Any) -> Any:
        """Give an own subscription's settings, which stay as they are."""
        self._own(params.SubscriptionId)
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: Sequence[int]) -> Any:
        """End own subscriptions."""
        for number in ids or ():
            self._own(number)
        return await super().delete_subscriptions(ids)

    def republish(self, params: Any) -> Any:
        """Repeat a message of an own subscription."""
        self._own(params.SubscriptionId)
        message = super().republish(params)
        if not message.NotificationData:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return message

    def publish(self, acks: Any = None) -> Any:
        """Take acknowledgements of own subscriptions; those of others count for nothing."""
        mine = [ack for ack in acks or () if self._is_own(ack.SubscriptionId)]
        return super().publish(mine)

    async def transfer_subscriptions(self, params: Any, callback: Any) -> Any:
        """Take over subscriptions of the same person at the same client."""
        for number in params.SubscriptionIds or ():
            if not self._may_take(number):
                raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        return await super().transfer_subscriptions(params, callback)

    def _is_own(self, number: int) -> bool:
        found = self.subscription_service.subscriptions.get(number)
        return found is not None and (found.session_id == self.session_id or not self.external)

    def _own(self, number: int) -> Any:
        if not self._is_own(number):
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        return self.subscription_service.subscriptions[number]

    def _may_take(self, number: int) -> bool:
        found = self.subscription_service.subscriptions.get(number)
        owner = next((one for one in self.iserver.external() if found and one.session_id == found.session_id), None)
        if owner is None:
            return found is None  # answered with BadSubscriptionIdInvalid
        same_client = hmac.compare_digest(owner.client_certificate, self.client_certificate)
        return same_client and bool(owner.user.name == self.user.name)


class GuardedInternalServer(InternalServer):  # type: ignore[misc]  # asyncua is untyped
    """Hold the sessions, no more than may be."""

    def __init__(self, user_manager: Any, sessions: int) -> None:
        super().__init__(user_manager)
        self._limit = sessions
        self.method_service = GuardedMethodService(self.aspace)

    def external(self) -> list[GuardedSession]:
        """Give the clients' sessions."""
        return list(self._external_sessions.values())

    def create_session(
        self,
        name: str,
        user: User | None = None,
        external: bool = False,  # noqa: FBT001, FBT002  asyncua calls it so
    ) -> GuardedSession:
        """Make a session whose token nobody can guess."""
        nobody = user or User(role=UserRole.Anonymous)
        made = GuardedSession(self, self.aspace, self.subscription_service, name, user=nobody)
        if external:
            made.external = True
            made.auth_token = ua.NodeId(secrets.token_bytes(32), 0, ua.NodeIdType.ByteString)
            self.register_external_session(made)
        return made

    async def make_room(self, attached: Sequence[Any]) -> None:
        """End the session that has been without a connection longest where there are as many as may be.

        BadTooManySessions when all are connected.
        """
        held = self.external()
        if len(held) < self._limit:
            return
        alone = [one for one in held if one not in attached]
        if not alone:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        await min(alone, key=lambda one: one._last_activity).close_session()  # noqa: SLF001

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Refuse: this is no discovery server."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def decrypt_user_token(self, isession: Any, token: Any) -> tuple[str, str]:
        """Give name and password; refused unless encrypted for this server and this session's last nonce."""
        decrypt = _OAEP.get(token.EncryptionAlgorithm or "")
        if decrypt is None or isession.nonce is None:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        block = self.private_key.key_size // 8
        secret = bytes(token.Password or b"")
        if not secret or len(secret) % block or len(secret) > 4 * block:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        parts = (secret[start : start + block] for start in range(0, len(secret), block))
        plain = b"".join(decrypt(self.private_key, part) for part in parts)
        length, nonce = int.from_bytes(plain[:4], "little"), bytes(isession.nonce)
        content = plain[4 : 4 + length]
        if len(content) != length or not hmac.compare_digest(content[-len(nonce) :], nonce):
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        return str(token.UserName or ""), content[: -len(nonce)].decode()


def _in_context(func: Any) -> Any:
    """Let a method that runs in another thread know who calls."""
    return func if inspect.iscoroutinefunction(func) else partial(contextvars.copy_context().run, func)
