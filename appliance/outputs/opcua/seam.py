"""Say what the server needs of security, whichever stands behind it."""

from collections.abc import Sequence
from typing import Any, Protocol

from appliance.outputs.opcua_security.roles import Caller, Role
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import UtcNs
from appliance.schema.health import Component


class Security(Protocol):
    """Decide who may connect and call; `opcua_security.security.Security` is the one that a station uses."""

    def make_server(self) -> Any:
        """Give the asyncua Server; called where its event loop runs."""

    async def apply(self, server: Any) -> None:
        """Set certificate, policies, users and limits; called after `init` and before `start`."""

    def require(self, role: Role) -> Caller:
        """Give who calls the method that runs; BadUserAccessDenied (UaStatusCodeError) without the role."""

    def health(self, now_utc: UtcNs) -> tuple[Component, ...]:
        """State certificate, clients and users; any thread."""

    def warning(self, now_utc: UtcNs) -> str:
        """Say what someone must act on, such as a certificate near its end; empty when there is nothing."""

    def audits(self) -> Sequence[AuditRequest]:
        """Take what must be audited since the last call; any thread."""

    def sessions(self) -> int:
        """Count the sessions that are open."""

    def subscriptions(self) -> int:
        """Count the subscriptions over all sessions."""
