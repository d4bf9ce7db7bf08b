"""Serve OPC UA (OPC 40100-1 Machine Vision) in a process of its own."""

from appliance.config import Loaded
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.node import Node
from appliance.schema.errors import ConfigError


def build(loaded: Loaded, _clock: Clock) -> tuple[Node, dict[str, Device]]:
    """Put the service together."""
    raise ConfigError(f"{loaded.path}: opcua.host: the server is not there yet; empty it")
