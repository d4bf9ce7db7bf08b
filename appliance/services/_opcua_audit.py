"""Carry what people changed about who may connect over OPC UA into the audit chain, also what no service saw."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from appliance.outputs.opcua_security.changes import LOG, changes
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import ConfigError, StoreError
from appliance.storage import database

DATABASE = "record.db"
"""As `storage.record_store` names it, which would bring the image libraries with it."""
FIRST = 5 * S
"""After a start `record` gets this time to open its database."""
AGAIN = 30 * S
"""A published change that the chain still lacks is published again after this time."""


class AuditCarrier:
    """Find the changes that the audit chain does not hold yet; used by the node's thread."""

    def __init__(self, state: Path) -> None:
        """`state` is the station's folder of what survives power loss."""
        self._database = state / DATABASE
        self._root = state / "opcua"
        self._look_at: HostNs | None = None
        self._held = 0
        """Size of the log up to which the chain holds it all, bytes."""
        self._published: dict[AuditRequest, HostNs] = {}

    def due(self, now: HostNs) -> Sequence[AuditRequest]:
        """Give what must be published now, oldest first; call it once a second.

        Reads the database, briefly, as long as the chain lacks a change. A log that cannot be read is itself what
        there is to audit.
        """
        if self._look_at is None:
            self._look_at = HostNs(now + FIRST)
        log = self._root / LOG
        size = log.stat().st_size if log.exists() else 0
        if now < self._look_at or size == self._held:
            return ()
        try:
            found = changes(self._root)
        except ConfigError as error:
            found = [AuditRequest("service:opcua", "opcua_log_unreadable", LOG, "", str(error))]
        try:
            missing = self._missing(found)
        except (StoreError, sqlite3.Error):  # no database, or no table yet: `record` says what is wrong with it
            self._look_at = HostNs(now + FIRST)
            return ()
        if not missing:
            self._held, self._published = size, {}
        due = [one for one in missing if now >= self._published.get(one, HostNs(-AGAIN)) + AGAIN]
        self._published |= dict.fromkeys(due, now)
        return due

    def _missing(self, found: Sequence[AuditRequest]) -> list[AuditRequest]:
        with closing(database.open_reader(self._database)) as connection:
            rows = connection.execute(
                "SELECT actor, action, subject, before, after FROM audit WHERE action GLOB 'opcua_*'"
            )
            held = {AuditRequest(*row) for row in rows}
        return [one for one in found if one not in held]
