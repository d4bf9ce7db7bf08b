"""Name the OPC UA services that a signed-in client may use; whoever is not named in a method's role may use no more."""

from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import PermissionRuleset, User, UserRole

SERVICES = (
    "Read",
    "Browse",
    "BrowseNext",
    "TranslateBrowsePathsToNodeIds",
    "RegisterNodes",
    "UnregisterNodes",
    "CreateSubscription",
    "ModifySubscription",
    "DeleteSubscriptions",
    "TransferSubscriptions",
    "SetPublishingMode",
    "CreateMonitoredItems",
    "ModifyMonitoredItems",
    "DeleteMonitoredItems",
    "SetMonitoringMode",
    "Publish",
    "Republish",
    "Call",
    "CloseSecureChannel",
)
"""Write, node management and history are not among them: nobody changes a variable but the station itself."""

SESSION = ("CreateSession", "ActivateSession", "CloseSession")
DISCOVERY = ("GetEndpoints", "FindServers", "CloseSecureChannel")
"""What a client may ask before it has proven who it is; RegisterServer is nobody's."""


def request_ids(names: tuple[str, ...]) -> frozenset[Any]:
    """Give the node ids under which the requests travel."""
    return frozenset(ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary")) for name in names)


class PlantRuleset(PermissionRuleset):  # type: ignore[misc]  # asyncua is untyped
    """Allow the same few services to everyone who has signed in; the library's administrator is nobody here."""

    def __init__(self) -> None:
        self._allowed = request_ids(SERVICES)

    def check_validity(self, user: User, action_type: Any, body: Any) -> bool:
        """Say whether a signed-in person may use a service."""
        return user is not None and user.role is UserRole.User and action_type in self._allowed
