"""Join certificates, trust, users and limits to what the OPC UA server needs."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from asyncua import ua

from appliance.config_plant import Opcua
from appliance.outputs.opcua_security.certificates import WARN_DAYS, Own, days_left, der, own, stated_uris
from appliance.outputs.opcua_security.doorkeeper import Doorkeeper
from appliance.outputs.opcua_security.folders import Folders, make_folders, note_found
from appliance.outputs.opcua_security.processor import CALLER
from appliance.outputs.opcua_security.roles import Caller, Role, suffices
from appliance.outputs.opcua_security.ruleset import PlantRuleset
from appliance.outputs.opcua_security.server import POLICIES, PlantServer
from appliance.outputs.opcua_security.trust import believed
from appliance.outputs.opcua_security.users import Users
from appliance.ports.clock import Clock
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.health import Component, Condition


class Security:
    """Shut one server to all but known clients and people."""

    def __init__(self, folders: Folders, owned: Own, settings: Opcua, application_uri: str, clock: Clock) -> None:
        self._folders = folders
        self._own = owned
        self._settings = settings
        self._application_uri = application_uri
        self._users = Users(folders.root, clock.now)
        self._door = Doorkeeper(folders, self._users, clock.utc)
        self._server: PlantServer | None = None
        self._utc = clock.utc
        self._noted = 0
        """When the trusted folder was last looked through, ns."""

    def make_server(self) -> PlantServer:
        """Make the server, with its limits; call `apply` once it is initialised. In the server's thread."""
        settings = self._settings
        self._server = PlantServer(self._door, settings.sessions, settings.subscriptions, settings.queue)
        return self._server

    async def apply(self, server: PlantServer) -> None:
        """Set certificate, policies and sign-in of an initialised server that does not listen yet."""
        await server.set_application_uri(self._application_uri)
        server.product_uri = "urn:firstshift"
        server.iserver.certificate = self._own.certificate
        server.iserver.private_key = self._own.key
        server.application_type = ua.ApplicationType.Server
        server.set_security_policy(list(POLICIES), permission_ruleset=PlantRuleset())
        server.set_identity_tokens([ua.UserNameIdentityToken])

    def caller(self) -> Caller:
        """Give who makes the current service call; BadUserAccessDenied (ua.UaStatusCodeError) outside of one."""
        found = CALLER.get()
        if found is None:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadUserAccessDenied)
        return found

    def require(self, needed: Role) -> Caller:
        """Give the caller of a method; BadUserAccessDenied (ua.UaStatusCodeError) when the role does not suffice."""
        found = self.caller()
        if not suffices(found.role, needed):
            self._door.note_denied(found.user, needed.value)
            raise ua.UaStatusCodeError(ua.StatusCodes.BadUserAccessDenied)
        return found

    def audits(self) -> list[AuditRequest]:
        """Take what must be audited since the last call: refused clients, passwords and methods. In the node's thread.

        Certificates that were put among the trusted by hand are noted as changes.
        """
        stamp = self._folders.trusted.stat().st_mtime_ns
        if stamp != self._noted:
            with suppress(ConfigError):  # a full disk: noted once there is room
                note_found(self._folders, self._utc())
                self._noted = stamp
        return self._door.audits()

    def warning(self, now: UtcNs) -> str:
        """Give the text of an alarm about the server's certificate; empty while there is none to give. Any thread."""
        days = days_left(self._own.certificate, _date(now))
        if days >= WARN_DAYS:
            return ""
        return (
            f"OPC UA certificate: {days} days left, {WARN_DAYS} is the limit; `firstshift opcua renew`, then let the "
            "clients trust the new one"
        )

    def health(self, now: UtcNs) -> tuple[Component, ...]:
        """Say how certificate, clients and users are. Any thread."""
        return self._certificate(now), self._clients(), self._people()

    def sessions(self) -> int:
        """Clients' sessions there are. Any thread."""
        return self._server.sessions if self._server is not None else 0

    def subscriptions(self) -> int:
        """Clients' subscriptions there are. Any thread."""
        return self._server.subscriptions if self._server is not None else 0

    @property
    def own_certificate(self) -> bytes:
        """The server's certificate, DER."""
        return der(self._own.certificate)

    def _certificate(self, now: UtcNs) -> Component:
        days = days_left(self._own.certificate, _date(now))
        remedy = "`firstshift opcua renew`, restart the service, then let the clients trust the new certificate"
        if days < 0:
            return Component("certificate", Condition.FAILED, f"expired {-days} days ago", remedy)
        if self._application_uri not in stated_uris(self._own.certificate):
            cause = f"was made for another station than {self._application_uri}"
            return Component("certificate", Condition.FAILED, cause, remedy)
        if days < WARN_DAYS:
            return Component("certificate", Condition.DEGRADED, f"{days} days left, limit {WARN_DAYS}", remedy)
        return Component("certificate", Condition.OK, f"{days} days left")

    def _clients(self) -> Component:
        folders = self._folders
        known = believed(folders.trusted, folders.issuers, folders.revocations)
        waiting = sum(1 for _ in folders.rejected.glob("*.der"))
        cause = f"{len(known.trusted)} certificates trusted, {waiting} refused wait"
        if known.unreadable:
            unread = ", ".join(known.unreadable[:3])
            return Component("clients", Condition.DEGRADED, f"{cause}; no certificate: {unread}", "remove these files")
        if not known.trusted:
            return Component("clients", Condition.OK, cause, "`firstshift opcua trust` lets a client in")
        return Component("clients", Condition.OK, cause)

    def _people(self) -> Component:
        try:
            count = self._users.count
        except ConfigError as error:
            return Component("users", Condition.FAILED, str(error), "restore the file; nobody can sign in")
        locked = self._users.locked()
        if locked:
            cause = f"locked after wrong passwords: {', '.join(locked)}"
            return Component("users", Condition.DEGRADED, cause, "ask them; the lock ends by itself")
        remedy = "" if count else "`firstshift opcua user add` lets a person in"
        return Component("users", Condition.OK, f"{count} may sign in", remedy)


def prepare(folder: Path, application_uri: str, host: str, settings: Opcua, clock: Clock) -> Security:
    """Make the folders and, at the first start, the server's certificate (a second of work); blocking, any thread.

    host: the name or address that clients reach this computer by. ConfigError when a file is damaged.
    """
    folders = make_folders(folder)
    owned = own(folders.own, application_uri, host, _date(clock.utc()))
    return Security(folders, owned, settings, application_uri, clock)


def _date(now: UtcNs) -> datetime:
    return datetime.fromtimestamp(now / S, UTC)
