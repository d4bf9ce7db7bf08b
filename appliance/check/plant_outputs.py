"""Look at the outputs towards the plant that speak first: the edge node's store and the Logix controller."""

import socket
from importlib.util import find_spec
from pathlib import Path

from appliance.config import Loaded
from appliance.config_plant import Logix, Sparkplug
from appliance.outputs.outbox import read_counts
from appliance.schema.errors import StoreError
from appliance.schema.health import Component, Condition

PORT = 44818
"""EtherNet/IP's explicit messages over TCP."""

TIMEOUT_S = 1.0


def plant_outputs(loaded: Loaded) -> list[Component]:
    """Give a component for each output that is configured; connects to the controller's port, for at most 1 s."""
    config = loaded.config
    found = []
    if config.sparkplug.group:
        found.append(edge_store(config.sparkplug, loaded.state / "sparkplug.db"))
    if config.logix.host:
        found.append(controller(config.logix))
    return found


def edge_store(sparkplug: Sparkplug, path: Path) -> Component:
    """Say how much the edge node keeps for its host, and what was given up."""
    name = "sparkplug store"
    try:
        counts = read_counts(path)
    except StoreError as error:
        return Component(name, Condition.FAILED, str(error), "run the check as root or as firstshift")
    told = f"{counts.pending} of at most {sparkplug.limit} values wait, {counts.dropped} were dropped"
    if counts.dropped:
        return Component(name, Condition.DEGRADED, told, "read the missing results from the record database")
    return Component(name, Condition.OK, told)


def controller(logix: Logix) -> Component:
    """Try to reach the controller; whether the tag is right `publish` says, which writes it."""
    name = "logix controller"
    if find_spec("pycomm3") is None:
        return Component(name, Condition.FAILED, "pycomm3 is not installed", "install firstshift[logix]")
    address, _, port = logix.host.partition("/")[0].partition(":")
    place = f"{address}:{port or PORT}"
    try:
        with socket.create_connection((address, int(port or PORT)), TIMEOUT_S):
            return Component(name, Condition.OK, f"{place} answers")
    except (OSError, ValueError) as error:
        cause = f"{place}: {getattr(error, 'strerror', None) or error}; the controller takes every part for a reject"
        return Component(name, Condition.FAILED, cause, "switch the controller on, or correct logix.host")
