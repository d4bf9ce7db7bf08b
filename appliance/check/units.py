"""Hear what the running services say of themselves."""

import time
from collections.abc import Mapping
from pathlib import Path

import zmq
from msgspec import Struct

from appliance.bus.channel import Subscriber
from appliance.config import Loaded
from appliance.schema.health import Component, Condition, Health
from appliance.schema.topics import SHADOW, STATUS
from appliance.services._wiring import units

LISTEN_S = 1.2
"""A service reports once a second; a fifth more for a busy computer."""

BATCH = 256


class Reports(Struct, frozen=True):
    """Give the services' components, and which services were heard."""

    components: tuple[Component, ...]
    alive: frozenset[str]


def service_reports(loaded: Loaded, listen_s: float = LISTEN_S) -> Reports:
    """Listen until every running service has spoken, at most `listen_s`; blocking."""
    expected = units(loaded)
    present = tuple(unit for unit in expected if socket_file(loaded.runtime, unit).exists())
    heard = listen(loaded.runtime, present, listen_s)
    components = [part for unit in expected for part in describe(unit, present=unit in present, health=heard.get(unit))]
    return Reports(tuple(components), frozenset(heard))


def listen(runtime: Path, present: tuple[str, ...], listen_s: float) -> Mapping[str, Health]:
    """Give the last report of each service that spoke in time."""
    heard: dict[str, Health] = {}
    with zmq.Context() as context:
        subscriber = Subscriber(context, runtime, present, (STATUS,))
        try:
            until = time.monotonic() + listen_s
            while len(heard) < len(present) and (left := until - time.monotonic()) > 0:
                subscriber.socket.poll(max(1, int(left * 1000)))
                for _, message in subscriber.drain(BATCH):
                    if isinstance(message, Health):
                        heard[message.unit] = message
        finally:
            subscriber.close()
    return heard


def describe(unit: str, *, present: bool, health: Health | None) -> list[Component]:
    """Give a service's own row, then the rows of what it looks after."""
    if health is not None:
        rows = [
            Component(f"{unit} / {part.name}", part.condition, part.cause, part.remedy) for part in health.components
        ]
        process = f", process {health.pid}" if health.pid else ""
        return [Component(unit, health.condition, f"running{process}"), *rows]
    if present:
        return [
            Component(
                unit,
                Condition.FAILED,
                "silent: it started, but does not report; it hangs or was killed",
                f"journalctl -u firstshift-{unit} says why; systemctl restart firstshift-{unit}",
            )
        ]
    absent = Condition.DEGRADED if unit == SHADOW else Condition.FAILED  # nothing on the line waits for a shadow
    return [Component(unit, absent, "not running", f"systemctl start firstshift-{unit}")]


def socket_file(runtime: Path, unit: str) -> Path:
    """Name the file of the socket that a unit publishes on."""
    return runtime / f"{unit}.pub"
