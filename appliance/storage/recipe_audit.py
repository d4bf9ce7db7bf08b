"""Carry what was put in force while no service ran into the audit chain, once."""

import sqlite3
from datetime import UTC, datetime

from appliance.config import Loaded
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import S
from appliance.schema.errors import ConfigError
from appliance.storage.recipe_versions import Activation, history, shelf_of


def unaudited(loaded: Loaded, connection: sqlite3.Connection) -> list[AuditRequest]:
    """Give the activations of the station's recipe that the chain does not hold yet, oldest first.

    A log that cannot be read is itself what there is to audit: it must keep no service from starting.
    """
    try:
        done = history(shelf_of(loaded.recipe_path, loaded.recipe))
    except ConfigError as error:
        return [AuditRequest("service:record", "recipe_log_unreadable", f"recipe {loaded.recipe.name}", "", str(error))]
    held = {
        AuditRequest(*row)
        for row in connection.execute(
            "SELECT actor, action, subject, before, after FROM audit WHERE action GLOB 'recipe_*'"
        )
    }
    return [request for request in map(_request, done) if request not in held]


def _request(done: Activation) -> AuditRequest:
    at = datetime.fromtimestamp(done.at / S, UTC).isoformat()
    signed = f", approved by {done.person}" if done.person else ""
    why = f": {done.why}" if done.why else ""
    after = f"version {done.version}, digest {done.digest}, at {at}{signed}{why}"
    return AuditRequest(done.actor, f"recipe_{done.action}", f"recipe {done.recipe}", f"version {done.before}", after)
