"""Decide who comes in, and remember who did not, for the audit chain."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from cryptography import x509

from appliance.outputs.opcua_security.certificates import stated_uris
from appliance.outputs.opcua_security.folders import Folders, Held, keep_rejected
from appliance.outputs.opcua_security.trust import believed, refusal
from appliance.outputs.opcua_security.users import Users
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import S, UtcNs
from appliance.schema.errors import ConfigError

WAITING = 256
"""Audit requests that wait for the node at most; it takes them once a second."""
ACTOR = "service:opcua"


class Doorkeeper:
    """Judge certificates and passwords. Called from the server's thread; `audits` from the node's."""

    def __init__(self, folders: Folders, users: Users, utc: Callable[[], UtcNs]) -> None:
        """`utc` tells the wall clock."""
        self.folders = folders
        self.users = users
        self._utc = utc
        self._audits: deque[AuditRequest] = deque()
        self._dropped = 0
        self._guard = threading.Lock()

    def admit(self, certificate: bytes, application_uri: str | None, peer: str) -> None:
        """Let a client's certificate (DER) pass, or raise ServiceError with the status that refuses it.

        application_uri: what the client calls itself; None: it was checked before. A refused certificate is kept.
        """
        reason = self.refusal(certificate, application_uri, peer)
        if reason:
            raise ServiceError(getattr(ua.StatusCodes, reason))

    def refusal(self, certificate: bytes, application_uri: str | None, peer: str = "") -> str:
        """Name the status code that refuses a certificate now; empty when it may pass."""
        try:
            found = x509.load_der_x509_certificate(certificate)
            uri = next(iter(stated_uris(found)), "") if application_uri is None else application_uri
            folders = self.folders
            known = believed(folders.trusted, folders.issuers, folders.revocations)
            reason = refusal(found, uri, known, datetime.fromtimestamp(self._utc() / S, UTC))
        except ValueError:  # it lies outside what X.509 allows, and nobody could trust it
            return "BadCertificateInvalid"
        if reason and peer and keep_rejected(folders, found):
            self._note("opcua_certificate_refused", Held(folders.rejected, found).subject, f"{reason}, from {peer}")
        return reason

    def is_known(self, user: str | None, certificate: bytes) -> bool:
        """Say whether a session may go on: its certificate is trusted, and its user (None before sign-in) is there."""
        try:
            gone = user is not None and self.users.role(user) is None
            return not gone and not self.refusal(certificate, None)
        except (ConfigError, OSError):  # what cannot be read lets nobody in
            return False

    def get_user(
        self, iserver: object, username: str | None = None, password: str | None = None, certificate: object = None
    ) -> User | None:
        """Give the user a password belongs to, as asyncua asks for it; None refuses."""
        name = username or ""
        reason = self.users.check(name, password or "")
        if not reason:
            return User(role=UserRole.User, name=name)
        if not reason.startswith("locked"):  # a flood of tries at a locked name says nothing new
            is_known = self.users.role(name) is not None  # else it may be a password in the wrong field
            self._note("opcua_login_refused", f"user {name}" if is_known else "unknown user", reason)
        return None

    def note_denied(self, user: str, needed: str) -> None:
        """Remember that somebody tried what their role does not allow."""
        self._note("opcua_method_refused", f"user {user}", f"role {needed} needed")

    def audits(self) -> list[AuditRequest]:
        """Take what happened since the last call."""
        with self._guard:
            taken, dropped = list(self._audits), self._dropped
            self._audits.clear()
            self._dropped = 0
        if dropped:
            taken.append(AuditRequest(ACTOR, "opcua_audit_overflow", "refusals", "", f"{dropped} more not listed"))
        return taken

    def _note(self, action: str, subject: str, after: str) -> None:
        with self._guard:
            if len(self._audits) >= WAITING:
                self._dropped += 1
            else:
                self._audits.append(AuditRequest(ACTOR, action, subject, "", after))
