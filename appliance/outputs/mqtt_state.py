"""Say how the connection to the broker is doing, with what a technician can do about it."""

from msgspec import Struct

from appliance.schema.health import Component, Condition

MQTT = "mqtt"


class MqttState(Struct, frozen=True, tag=True):
    """State how the connection is doing; sent at every change."""

    connected: bool = False
    protocol: str = ""
    """`5` or `3.1.1`; empty before the first connection."""
    fault: str = ""
    """Why there is no connection."""
    remedy: str = ""
    """What to do about the fault."""
    denied: tuple[str, ...] = ()
    """What the broker refuses, `topic: reason`; empty when it takes everything."""
    expired: int = 0
    """Messages given up in this run because their expiry passed."""
    overtaken: int = 0
    """Messages that the broker refused while it took later ones of their topic; the receiver sees them late."""
    unnoted: str = ""
    """Why the outbox cannot note the broker's answers; they are kept, and their messages are not sent again."""
    unheard: str = ""
    """Why commands are configured but not heard."""
    certificate: Component | None = None
    """What is to be told of this station's certificate."""


def broker_component(state: MqttState) -> Component:
    """Give the component that the service shows for the connection."""
    if not state.connected:
        cause = state.fault or "not connected yet"
        condition = Condition.DEGRADED if state.fault else Condition.STARTING
        remedy = state.remedy or "check [mqtt] host and port, and that the broker runs"
        if state.certificate is not None and state.certificate.condition is Condition.FAILED:
            return Component(MQTT, condition, f"{cause}; {state.certificate.cause}", state.certificate.remedy)
        return Component(MQTT, condition, cause, remedy)
    if state.unnoted:
        remedy = "free disk space; the broker's answers are noted then"
        return Component(MQTT, Condition.DEGRADED, state.unnoted, remedy)
    if state.denied:
        remedy = "let this client write the topic in the broker's access list; messages are kept and tried again"
        return Component(MQTT, Condition.DEGRADED, f"broker refuses {', '.join(state.denied)}", remedy)
    if state.unheard:
        return Component(MQTT, Condition.DEGRADED, state.unheard, "correct the broker, or set mqtt.commands = false")
    if state.certificate is not None:
        return Component(MQTT, Condition.DEGRADED, state.certificate.cause, state.certificate.remedy)
    if state.protocol != "5":
        cause = "broker speaks MQTT 3.1.1: no message expiry, no user properties, refused messages are not reported"
        return Component(MQTT, Condition.OK, cause, "use a broker that speaks MQTT 5")
    return Component(MQTT, Condition.OK, "connected, MQTT 5")
