"""Measure what a result costs on its way through the outbox and Mosquitto, and how fast a backlog goes.

    python -m bench.mqtt

Prints a table and writes bench/results/mqtt.json. Four ways of the same 1,000 results are measured in turn, five times:
without an outbox, and through it to a broker in plain text, with TLS as `systemd/mosquitto` recommends, and with TLS to
a broker that keeps nothing. CPU is the station's, all its threads, and the broker's. Latency is that of a paced line:
50 results a second, from before the outbox's commit to a receiver's callback.
"""

import json
import os
import select
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.config_plant import Mqtt
from appliance.outputs.mqtt import WINDOW, MqttOutput
from appliance.outputs.mqtt_state import MqttState
from appliance.outputs.outbox import RESULT, Entry, Outbox
from appliance.outputs.part_report import Identity
from appliance.outputs.tls import client_context
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.sim.broker import MOSQUITTO, Broker
from appliance.sim.plant_network import Authority, PlantBroker
from bench.fingerprint import fingerprint

RESULTS = 1_000
ROUNDS = 5
BACKLOG = 10_000
AWAY = 3_000
"""Results while a receiver with a session is away: the broker keeps them."""

PACED, PACE_S = 500, 0.02
PREFIX = "insp/v1/site/line/cell-4"
IDENTITY = Identity(PREFIX, "caps", "ab" * 32, "c0ffee", 604_800, 1)
PROPERTIES = (("schema", "firstshift.result.1"), ("recipe_sha256", "ab" * 32))
LIMIT_S = 120.0
TICKS = os.sysconf("SC_CLK_TCK")


class SystemClock:
    """Tell the computer's time."""

    def now(self) -> HostNs:
        """CLOCK_MONOTONIC, ns."""
        return HostNs(time.monotonic_ns())

    def utc(self) -> UtcNs:
        """Wall clock in UTC, ns."""
        return UtcNs(time.time_ns())


CLOCK = SystemClock()


def entry(number: int) -> Entry:
    """Give a result of the usual size, about 600 bytes as JSON."""
    payload = {
        "schema": "firstshift.result.1",
        "result_id": f"site/line/cell-4/a0b1c2d3-{number:06d}",
        "station": "site/line/cell-4",
        "part": f"a0b1c2d3-{number:06d}",
        "disposition": "reject",
        "lane": "reject",
        "cause": "decided_reject",
        "verdict": "reject",
        "reasons": ["above_reject_limit"],
        "bundle": "sha256:" + "ab" * 32,
        "recipe_sha256": "ab" * 32,
        "latency_ms": 20.0,
        "put_ns": time.monotonic_ns(),
    }
    expires = UtcNs(CLOCK.utc() + 604_800 * S)
    return Entry(f"result:{number}", RESULT, f"{PREFIX}/result", payload, PROPERTIES, expires)


@contextmanager
def running(broker: Broker) -> Iterator[Broker]:
    """Run a broker for a while."""
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def station(folder: Path, mqtt: Mqtt) -> Iterator[tuple[Outbox, MqttOutput]]:
    """Open an outbox with its connection."""
    outbox = Outbox(folder / "outbox.db")
    output = MqttOutput(outbox, mqtt, IDENTITY, CLOCK)
    try:
        yield outbox, output
    finally:
        output.close()
        outbox.close()


def turn(output: MqttOutput, wait_s: float = 0.05) -> bool:
    """Do what the loop does for the connection; tells whether it came about."""
    select.select([output.fileno()], [], [], wait_s)
    return any(isinstance(item, MqttState) and item.connected for item in output.read(CLOCK.now()))


def run_until(output: MqttOutput, condition: Callable[[], bool]) -> None:
    """Serve the connection until the condition holds; TimeoutError when it never does."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {LIMIT_S} s")
        turn(output)


def connect(output: MqttOutput) -> None:
    """Serve the connection until it is there."""
    deadline = time.monotonic() + LIMIT_S
    while not turn(output):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no connection within {LIMIT_S} s")


def broker_cpu_s(broker: Broker) -> float:
    """Give the CPU time a broker has used."""
    fields = Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Stopwatch:
    """Take wall and CPU time of `count` messages."""

    def __init__(self, broker: Broker, count: int) -> None:
        self._broker, self._count = broker, count
        self._began = (time.monotonic(), time.process_time(), broker_cpu_s(broker))

    def stop(self) -> dict[str, float]:
        """Give the rate and what each message cost."""
        wall, own, brokers = self._began
        seconds = time.monotonic() - wall
        return {
            "per_s": round(self._count / seconds, 1),
            "station_cpu_us": round((time.process_time() - own) / self._count * 1e6, 1),
            "broker_cpu_us": round((broker_cpu_s(self._broker) - brokers) / self._count * 1e6, 1),
        }


def through_outbox(folder: Path, broker: Broker, mqtt: Mqtt) -> dict[str, float]:
    """Put results one by one, each on disk before the next, while the connection sends them."""
    with station(folder, mqtt) as (outbox, output):
        connect(output)
        watch = Stopwatch(broker, RESULTS)
        for number in range(RESULTS):
            outbox.put(entry(number))
            turn(output, 0.0)
        run_until(output, lambda: outbox.counts.pending == 0)
        return watch.stop()


def without_outbox(_folder: Path, broker: Broker, mqtt: Mqtt) -> dict[str, float]:
    """Publish at QoS 1 with the same window and nothing on disk: what a killed process loses."""
    client = Client(CallbackAPIVersion.VERSION2, "bare", protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(WINDOW)
    context = client_context(mqtt)
    if context is not None:
        client.tls_set_context(context)
    done, connected, count = threading.Event(), threading.Event(), iter(range(1, RESULTS + 1))
    client.on_connect = lambda *_: connected.set()
    client.on_publish = lambda *_: done.set() if next(count) == RESULTS else None
    client.connect(mqtt.host, mqtt.port)
    client.loop_start()
    connected.wait(LIMIT_S)
    watch = Stopwatch(broker, RESULTS)
    for number in range(RESULTS):
        item = entry(number)
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = list(PROPERTIES)
        client.publish(item.topic, json.dumps(item.payload), 1, False, properties)
    done.wait(LIMIT_S)
    told = watch.stop()
    client.disconnect()
    client.loop_stop()
    return told


def drained(folder: Path, broker: Broker, mqtt: Mqtt, count: int) -> dict[str, float]:
    """Let a backlog go after an outage."""
    with station(folder, mqtt) as (outbox, output):
        outbox.put_all([((entry(number),), None) for number in range(count)])
        watch = Stopwatch(broker, count)
        run_until(output, lambda: outbox.counts.pending == 0)
        return watch.stop()


def paced(folder: Path, mqtt: Mqtt, receiver: Mqtt) -> dict[str, float]:
    """Put results at a line's pace and take the time until a receiver has each."""
    times: list[int] = []
    with listener(receiver, times), station(folder, mqtt) as (outbox, output):
        connect(output)
        began = time.monotonic()
        for number in range(PACED):
            while time.monotonic() < began + number * PACE_S:
                turn(output, min(0.05, max(0.0, began + number * PACE_S - time.monotonic())))
            outbox.put(entry(number))
            turn(output, 0.0)
        run_until(output, lambda: len(times) >= PACED)
    p50, p99, worst = np.percentile(times, [50, 99, 100]) / 1e6
    return {"results": PACED, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2), "max_ms": round(worst, 2)}


@contextmanager
def listener(mqtt: Mqtt, times: list[int], *, session_s: int = 0) -> Iterator[None]:
    """Receive results and note how long each was on its way."""
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "mes-1", protocol=MQTTProtocolVersion.MQTTv5)
    context = client_context(mqtt)
    if context is not None:
        client.tls_set_context(context)
    client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/result", 1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _client, _data, message: times.append(
        time.monotonic_ns() - json.loads(message.payload)["put_ns"]
    )
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = session_s
    client.connect(mqtt.host, mqtt.port, clean_start=not session_s, properties=properties)
    client.loop_start()
    ready.wait(LIMIT_S)
    try:
        yield
    finally:
        client.disconnect()
        client.loop_stop()


class Plant:
    """Make brokers, each in a folder of its own, and the settings to reach them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = Authority(folder / "authority")
        self._count = 0

    def folder(self) -> Path:
        """Give a new folder."""
        self._count += 1
        made = self._folder / str(self._count)
        made.mkdir()
        return made

    def broker(self, *, tls: bool, keeps: bool = True, autosave: int = 0) -> Broker:
        """Give a broker that does not run yet; autosave: changes after which it saves, 0: as recommended."""
        if tls:
            return PlantBroker(self.folder(), self._authority, keeps=keeps, autosave=autosave)
        return Broker(self.folder(), MOSQUITTO)

    def settings(self, broker: Broker, name: str = "cell-4") -> Mqtt:
        """Give the settings of a client."""
        if not isinstance(broker, PlantBroker):
            return Mqtt("127.0.0.1", broker.port)
        certificate, key = self._authority.issue(name)
        return Mqtt("localhost", broker.port, ca=str(self._authority.ca), certificate=str(certificate), key=str(key))


WAYS: dict[str, tuple[Callable[[Path, Broker, Mqtt], dict[str, float]], dict[str, bool]]] = {
    "no_outbox_tls": (without_outbox, {"tls": True}),
    "outbox_plain": (through_outbox, {"tls": False}),
    "outbox_tls": (through_outbox, {"tls": True}),
    "outbox_tls_forgetful_broker": (through_outbox, {"tls": True, "keeps": False}),
}


def throughput(plant: Plant) -> dict[str, Any]:
    """Measure each way in turn, over and over; gives the medians and all rates."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, (measure, kind) in WAYS.items():
            with running(plant.broker(**kind)) as broker:
                rounds[name].append(measure(plant.folder(), broker, plant.settings(broker)))
    told: dict[str, Any] = {
        name: {key: round(statistics.median(item[key] for item in items), 1) for key in items[0]}
        | {"per_s_of_each": [item["per_s"] for item in items]}
        for name, items in rounds.items()
    }
    pairs = [*zip(rounds["outbox_tls"], rounds["outbox_plain"], strict=True)]
    told["tls_to_plain"] = {
        key: round(statistics.median(tls[key] / max(plain[key], 1.0) for tls, plain in pairs), 2) for key in pairs[0][0]
    }
    return told


def latency(plant: Plant) -> dict[str, Any]:
    """Measure the way to a receiver at a line's pace, in plain text and with TLS."""
    told = {}
    for name, tls in (("plain", False), ("tls", True)):
        with running(plant.broker(tls=tls)) as broker:
            told[name] = paced(plant.folder(), plant.settings(broker), plant.settings(broker, "mes-1"))
    return told


def backlog(plant: Plant) -> dict[str, Any]:
    """Measure how fast a backlog goes, with nobody and with somebody to keep it for."""
    with running(plant.broker(tls=True)) as broker:
        told: dict[str, Any] = {"nobody_away": drained(plant.folder(), broker, plant.settings(broker), BACKLOG)}
    told["nobody_away"]["results"] = BACKLOG
    for name, autosave in (("receiver_away", 0), ("receiver_away_saved_each_time", 1)):
        with running(plant.broker(tls=True, autosave=autosave)) as broker:
            with listener(plant.settings(broker, "mes-1"), [], session_s=3600):
                pass
            told[name] = drained(plant.folder(), broker, plant.settings(broker), AWAY) | {"results": AWAY}
    return told


def main() -> None:
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name:
        plant = Plant(Path(name))
        told = {"throughput": throughput(plant), "latency_50_per_s": latency(plant), "backlog": backlog(plant)}
    for step, figures in (*told["throughput"].items(), *told["latency_50_per_s"].items(), *told["backlog"].items()):
        print(f"{step:28} " + " ".join(f"{key} {value}" for key, value in figures.items()))
    load = {"before": round(before, 2), "after": round(os.getloadavg()[0], 2)}
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "mqtt.json").write_text(json.dumps({**told, "load": load, "machine": fingerprint()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
