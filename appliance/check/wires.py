"""Look at the wires to the world without pulling at them."""

import os
import socket
import ssl
import stat
import time
from contextlib import suppress
from pathlib import Path

from appliance.config import Loaded
from appliance.config_plant import Mqtt, Plc
from appliance.outputs.tls import certificate_component, client_context, why, with_paths
from appliance.schema.clocks import UtcNs
from appliance.schema.errors import ConfigError
from appliance.schema.health import Component, Condition

BROKER_TIMEOUT_S = 1.0
REFUSAL_S = 0.3
LISTENING = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


def wires(loaded: Loaded, *, line_lives: bool) -> list[Component]:
    """Give microcontroller, PLC port and broker; connects to the broker only."""
    config = loaded.config
    return [
        microcontroller(Path(config.mcu.link)),
        plc_port(config.plc, taken=config.plc.port in listening_ports(), line_lives=line_lives),
        broker(with_paths(config.mqtt, loaded.path.parent)),
    ]


def microcontroller(link: Path) -> Component:
    """Look whether the serial device is there; `line` alone may open it."""
    name = "microcontroller link"
    if not link.exists():
        remedy = "plug the board in; ls /dev/firstshift shows boards by serial number, mcu.link must name one"
        return Component(name, Condition.FAILED, f"{link} does not exist", remedy)
    if not stat.S_ISCHR(link.stat().st_mode):
        return Component(name, Condition.FAILED, f"{link} is no serial device", "correct mcu.link")
    if not os.access(link, os.R_OK | os.W_OK):
        remedy = "run the check as root or as the user firstshift, who must be in the group of the device"
        return Component(name, Condition.DEGRADED, f"{link} is closed to this user", remedy)
    return Component(name, Condition.OK, str(link))


def plc_port(plc: Plc, *, taken: bool, line_lives: bool) -> Component:
    """Judge the port the PLC polls; a connection would count as a PLC, so the system is asked instead."""
    name, place = "plc port", f"{plc.host}:{plc.port}"
    if taken and line_lives:
        return Component(name, Condition.OK, f"line listens on {place}")
    if taken:
        remedy = f"ss -ltnp 'sport = {plc.port}' names the program; stop it or change plc.port"
        return Component(name, Condition.FAILED, f"{place} is taken, and not by line", remedy)
    if line_lives and plc.required:
        remedy = "systemctl restart firstshift-line; ports under 1024 need the capability that its unit gives"
        return Component(name, Condition.FAILED, f"line runs but does not listen on {place}", remedy)
    return Component(name, Condition.OK, f"{place} is free for line")


def broker(mqtt: Mqtt) -> Component:
    """Try to reach the broker, as far as TLS goes, for at most 2 s; blocking. It never logs in as the station."""
    name, place = "mqtt broker", f"{mqtt.host}:{mqtt.port}"
    if not mqtt.host:
        return Component(name, Condition.OK, "none is configured")
    try:
        context = client_context(mqtt)
        with socket.create_connection((mqtt.host, mqtt.port), BROKER_TIMEOUT_S) as wire:
            if context is not None:
                _shake_hands(context, wire, mqtt.host)
    except (OSError, ConfigError) as error:
        cause, remedy = why(error)
        return Component(name, Condition.FAILED, f"{place}: {cause}; results wait in the outbox", remedy)
    if mqtt.key and (mode := stat.S_IMODE(Path(mqtt.key).stat().st_mode)) & 0o077:
        cause = f"{mqtt.key} has mode {mode:03o}, others may read the station's key"
        return Component(name, Condition.DEGRADED, cause, f"chmod 600 {mqtt.key}; its owner is the user firstshift")
    told = certificate_component(mqtt, name, UtcNs(time.time_ns()))
    return told or Component(name, Condition.OK, f"{place} answers{'' if context is None else ' with TLS'}")


def _shake_hands(context: ssl.SSLContext, wire: socket.socket, host: str) -> None:
    """Agree on keys, and wait a moment: with TLS 1.3 a broker refuses a certificate only afterwards."""
    with context.wrap_socket(wire, server_hostname=host) as secured:
        secured.settimeout(REFUSAL_S)
        with suppress(TimeoutError):
            secured.recv(1)


def listening_ports() -> set[int]:
    """Give the TCP ports that any program of this computer listens on."""
    rows = [row.split() for table in ("tcp", "tcp6") for row in _lines(Path("/proc/net") / table)[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENING}


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
