"""Rationalise the alarms of the services that talk to the plant; none of them touches the line."""

from appliance.monitoring.alarm_row import ABSENT, AlarmRow, Priority, Source
from appliance.schema.person import Role

_L = Priority.LOW
_MESSAGE, _COMPONENT, _ABSENCE = Source.MESSAGE, Source.COMPONENT, Source.ABSENCE
_MAINTENANCE = Role.MAINTENANCE
_CALL = "Call maintenance."
_READ = "Tell the shift lead: the plant misses results."
_WAITING = "the plant sees no results; they wait here"


def _publish(kind: str, title: str, consequence: str, cause: str, follows: tuple[str, ...] = ()) -> AlarmRow:
    return AlarmRow(
        "publish", kind, _COMPONENT, _L, title, consequence, cause, _CALL, 120, _MAINTENANCE, follows=follows
    )


PLANT = (
    AlarmRow("publish", ABSENT, _ABSENCE, _L, "Plant messages stopped", _WAITING,
             "the service stopped or hangs", _CALL, 60, _MAINTENANCE),
    AlarmRow("publish", "results_lost", _MESSAGE, _L, "Results not told to the plant", "the plant's count is wrong",
             "the service was down too long", _READ, 240, _MAINTENANCE, follows=(f"publish.{ABSENT}",)),
    AlarmRow("publish", "results_dropped", _MESSAGE, _L, "Results not told to the plant", "the plant's count is wrong",
             "the broker was away too long", _READ, 240, _MAINTENANCE, follows=("publish.mqtt", "publish.sparkplug")),
    _publish("mqtt", "Connection to the broker disturbed", _WAITING, "network, broker or certificate"),
    _publish("mqtt outbox", "Messages wait for the broker", _WAITING, "the broker was away", ("publish.mqtt",)),
    _publish("sparkplug outbox", "Messages wait for the host", _WAITING, "the host was away", ("publish.sparkplug",)),
    _publish("sparkplug", "Connection to the host disturbed", _WAITING, "network, broker or host application"),
    _publish("logix", "Connection to the controller disturbed", "the controller misses results",
             "network or controller"),
    AlarmRow("opcua", ABSENT, _ABSENCE, _L, "OPC UA server does not answer", "its clients see nothing",
             "the service stopped or hangs", _CALL, 60, _MAINTENANCE),
    AlarmRow("opcua", "results_lost", _MESSAGE, _L, "Results not told to the plant", "the plant's count is wrong",
             "the service was down too long", _READ, 240, _MAINTENANCE, follows=(f"opcua.{ABSENT}",)),
    AlarmRow("opcua", "results_dropped", _MESSAGE, _L, "Results not told to the plant", "the plant's count is wrong",
             "a client is too slow", _READ, 240, _MAINTENANCE, point="server"),
    AlarmRow("opcua", "server", _COMPONENT, _L, "OPC UA clients too slow", "a client missed results",
             "a client that publishes too rarely", _CALL, 240, _MAINTENANCE),
    AlarmRow("opcua", "certificate", _COMPONENT, _L, "OPC UA certificate ends", "clients will refuse to connect",
             "the certificate is old", _CALL, 480, _MAINTENANCE),
    AlarmRow("opcua", "opcua_certificate_expiring", _MESSAGE, _L, "OPC UA certificate ends",
             "clients will refuse to connect", "the certificate is old", _CALL, 480, _MAINTENANCE, point="certificate"),
    AlarmRow("opcua", "clients", _COMPONENT, _L, "Unreadable client certificate", "that client cannot connect",
             "a file that is no certificate", _CALL, 480, _MAINTENANCE),
    AlarmRow("opcua", "users", _COMPONENT, _L, "OPC UA sign-in disturbed", "users cannot sign in",
             "wrong passwords, or a damaged file", _CALL, 240, _MAINTENANCE),
    AlarmRow("sync", ABSENT, _ABSENCE, _L, "Upstream exchange does not answer", "labels and models wait",
             "the service stopped or hangs", _CALL, 480, _MAINTENANCE),
)  # fmt: skip
