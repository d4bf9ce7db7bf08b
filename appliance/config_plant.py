"""Set what the station says to the plant: PLC, OPC UA, MQTT, Sparkplug B and EtherNet/IP; read by `config.py` alone."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
Port = Annotated[int, Meta(ge=1, le=65535)]


class Plc(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the Modbus TCP server that the PLC reads."""

    host: Annotated[
        str, Meta(description="Address to listen on; the machine network only, Modbus has no security.")
    ] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 502 needs a privilege.")] = 502
    allow: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses or networks (CIDR) that may connect, such as the PLC's; empty: this computer alone."
        ),
    ] = ()
    ack_timeout_ms: Annotated[
        int, Meta(ge=20, le=60_000, description="A result not acknowledged in this time raises Error, ms.")
    ] = 2000
    stale_ms: Annotated[
        int, Meta(ge=100, le=10_000, description="Heartbeat silence of the PLC after which outputs go safe, ms.")
    ] = 500
    required: Annotated[bool, Meta(description="False: the line runs without a PLC, as on a test bench.")] = True
    trigger: Annotated[
        str,
        Meta(
            pattern="^(sensor|plc)$",
            description="What makes a part: the part sensor, or the PLC's Trigger, as on an indexing table.",
        ),
    ] = "sensor"


class Opcua(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the OPC UA server (OPC 40100-1 Machine Vision)."""

    host: Annotated[str, Meta(description="Address to listen on; empty means no server.")] = ""
    port: Annotated[Port, Meta(description="TCP port of opc.tcp.")] = 4840
    name: Annotated[
        str, Meta(description="Host name in the certificate and the endpoint's address; empty: this computer's.")
    ] = ""
    sessions: Annotated[int, Meta(ge=1, le=100, description="Clients at most; further ones are refused.")] = 10
    subscriptions: Annotated[int, Meta(ge=1, le=1000, description="Subscriptions at most, over all clients.")] = 50
    queue: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Events held for one slow subscriber; then the oldest go, and it is told."),
    ] = 1000


class Mqtt(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the broker that results are published to."""

    host: Annotated[str, Meta(description="Broker; empty means none.")] = ""
    port: Annotated[Port, Meta(description="TCP port of the broker; 8883 with TLS.")] = 1883
    keepalive_s: Annotated[int, Meta(ge=2, le=600, description="MQTT keep-alive, s.")] = 10
    expiry_s: Annotated[int, Meta(ge=60, le=31_536_000, description="Message expiry of results, s.")] = 604_800
    ca: Annotated[
        str, Meta(description="PEM file of the authorities that sign the broker's certificate; empty means no TLS.")
    ] = ""
    certificate: Annotated[str, Meta(description="PEM file of this station's certificate; its CN is its identity.")] = (
        ""
    )
    key: Annotated[str, Meta(description="PEM file of that certificate's key, readable by the service alone.")] = ""
    limit: Annotated[
        int, Meta(ge=1000, le=10_000_000, description="Messages that may wait; past it the oldest results go.")
    ] = 500_000
    commands: Annotated[
        bool, Meta(description="True: wishes on cmd/<name> are heard; the broker's access list says who may send them.")
    ] = False


class Sparkplug(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the Sparkplug B 3.0 edge node; it uses the broker of `[mqtt]`."""

    group: Annotated[str, Meta(description="Group id; empty means no edge node.")] = ""
    node: Annotated[str, Meta(description="Edge node id; empty: the station's name.")] = ""
    device: Annotated[Name, Meta(description="Device id under which parts are told.")] = "inspection"
    primary_host: Annotated[
        str, Meta(description="Host application whose STATE must say online before births; empty: births at once.")
    ] = ""
    limit: Annotated[
        int, Meta(ge=100, le=10_000_000, description="Values that wait while the host is away; past it the oldest go.")
    ] = 100_000


class Logix(Struct, frozen=True, forbid_unknown_fields=True):
    """Set the Logix controller (EtherNet/IP) that each part's result is written to."""

    host: Annotated[str, Meta(description="Address of the controller, with slot as host/slot; empty means none.")] = ""
    tag: Annotated[str, Meta(description="Tag of type FirstshiftResult in the controller.")] = "Firstshift"
    timeout_ms: Annotated[
        int, Meta(ge=50, le=10_000, description="Longest wait for the controller's answer, ms; then it is tried again.")
    ] = 500


def plant_faults(plc: Plc, mqtt: Mqtt, sparkplug: Sparkplug) -> Iterator[str]:
    """Yield what contradicts itself: key, value, limit and remedy."""
    for entry in plc.allow:
        try:
            ipaddress.ip_network(entry)
        except ValueError as error:
            yield f"plc.allow: {entry!r} is no address or network ({error}); write it as 192.168.0.10 or 10.1.0.0/24"
    if plc.trigger == "plc" and not plc.required:
        yield "plc.required: false, plc.trigger is 'plc': without it no part would be made; set it true"
    if bool(mqtt.certificate) != bool(mqtt.key):
        given, other = ("certificate", "key") if mqtt.certificate else ("key", "certificate")
        yield f"mqtt.{other}: missing, mqtt.{given} is {getattr(mqtt, given)!r}; give both or neither"
    if mqtt.certificate and not mqtt.ca:
        yield f"mqtt.ca: missing, mqtt.certificate is {mqtt.certificate!r}; give the authority that signs the broker"
    if sparkplug.group and not mqtt.host:
        yield f"mqtt.host: empty, sparkplug.group is {sparkplug.group!r}; name the broker or empty the group"
    for key, value in (("group", sparkplug.group), ("node", sparkplug.node), ("primary_host", sparkplug.primary_host)):
        if any(sign in value for sign in "+#/"):
            yield f"sparkplug.{key}: {value!r} holds one of + # /, which topics do not allow; choose another name"
