"""A host of other people's programs understands the edge node, through Mosquitto, on good days and bad ones."""

import json
import os
import shutil
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.outputs.sparkplug.edge import Session
from appliance.schema.health import Condition
from appliance.sim.broker import MOSQUITTO, Broker, mosquitto_path
from tests.contract.sparkplug_rig import LIMIT_S, node_at

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT / "build" / "foreign" / "node_modules"
LATE_S = 2.0

pytestmark = [
    pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (FOREIGN / "sparkplug-payload").is_dir(), reason="npm's sparkplug-payload is not under build/foreign"
    ),
]


class Host:
    """The host application's process and what it has told so far."""

    def __init__(self, port):
        self.events = []
        self._process = subprocess.Popen(
            ["node", str(ROOT / "tests/foreign/sparkplug_host.js"), str(port), "factory", "scada"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FOREIGN": str(FOREIGN)},
        )
        self._thread = threading.Thread(target=self._listen, name="host")
        self._thread.start()

    def _listen(self):
        for line in self._process.stdout:
            self.events.append(json.loads(line))

    def wish(self, word):
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def of(self, *kinds):
        return [event for event in list(self.events) if event.get("kind") in kinds]

    @property
    def results(self):
        """(number, historical) of each DDATA that tells a part."""
        told = []
        for event in self.of("DDATA"):
            values = {metric["name"]: metric for metric in event["metrics"]}
            if "Result/Sequence" in values:
                told.append((values["Result/Sequence"]["value"], values["Result/Sequence"]["historical"]))
        return told

    def summary(self):
        self.wish("quit")
        self._process.wait(LIMIT_S)
        self._thread.join(LIMIT_S)
        return self.events[-1]

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._thread.join(LIMIT_S)
        self._process.stdin.close()
        self._process.stdout.close()


@contextmanager
def host_at(port):
    host = Host(port)
    try:
        eventually(lambda: any(event["event"] == "connected" for event in list(host.events)), "host connects")
        yield host
    finally:
        host.kill()


@contextmanager
def stage(folder):
    """Give a broker, an edge node and a host that is not online yet."""
    broker = Broker(folder / "broker", MOSQUITTO)
    broker.start()
    try:
        with node_at(broker.port, folder) as node, host_at(broker.port) as host:
            node.line()
            yield broker, node, host
    finally:
        broker.stop()


def eventually(condition, what):
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s"
        time.sleep(0.01)


def metrics_of(event):
    return {metric["name"]: metric for metric in event["metrics"]}


def test_a_host_that_comes_late_learns_everything(tmp_path):
    """No birth before the host is online; what was stored comes as history, in order, then what is new."""
    with stage(tmp_path) as (_, node, host):
        node.run_until(lambda: node.edge.session is Session.WAITING, "connection")
        node.parts(28)
        waited = node.serve(LATE_S)
        before = host.of("NBIRTH", "DBIRTH", "DDATA")
        host.wish("online")
        node.run_until(lambda: len(host.results) == 28, "history")
        for _ in range(90):
            node.parts(1)
        node.run_until(lambda: len(host.results) == 118, "live values")
        births = [event["kind"] for event in host.of("NBIRTH", "DBIRTH")]
        summary = host.summary()

    assert [] == before
    assert ["NBIRTH", "DBIRTH"] == births
    assert [(number, number <= 28) for number in range(1, 119)] == host.results
    assert (Condition.DEGRADED, "primary host scada is not online; 28 values wait") == (
        waited[-1].condition,
        waited[-1].cause,
    )
    assert {} == summary["broken"]
    assert 27 == len(summary["held"])


def test_a_host_that_goes_and_returns_misses_nothing(tmp_path):
    """On the host's goodbye the node says its own, stores, and tells all of it afterwards as history."""
    with stage(tmp_path) as (_, node, host):
        host.wish("online")
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        node.parts(10)
        node.run_until(lambda: len(host.results) == 10, "live values")
        node.run_until(lambda: node.outbox.counts.pending == 0, "proof")
        host.wish("offline")
        node.run_until(lambda: len(host.of("NDEATH")) >= 1, "node death")
        node.parts(35)
        node.run_until(lambda: node.edge.session is Session.WAITING, "second connection")
        host.wish("online")
        node.run_until(lambda: len(host.results) == 45, "history")
        node.parts(5)
        node.run_until(lambda: len(host.results) == 50, "live values again")
        births = [metrics_of(event)["bdSeq"]["value"] for event in host.of("NBIRTH")]
        deaths = {metrics_of(event)["bdSeq"]["value"] for event in host.of("NDEATH")}
        summary = host.summary()

    assert [(number, 10 < number <= 45) for number in range(1, 51)] == host.results
    assert ([0, 1], {0}) == (births, deaths)
    assert {} == summary["broken"]


def test_a_broker_that_is_killed_costs_no_part(tmp_path):
    """Rows stay until the broker has shown that it read them; at most a window of them comes twice, as history."""
    with stage(tmp_path) as (broker, node, host):
        host.wish("online")
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        for _ in range(3):
            node.parts(40)
            broker.kill()
            node.run_until(lambda: node.edge.session is Session.OFFLINE, "loss")
            node.parts(10)
            broker.start()
            node.run_until(lambda: node.edge.session is Session.BORN, "births again")
        node.run_until(lambda: node.outbox.counts.pending == 0, "all told")
        eventually(lambda: {number for number, _ in host.results} == {*range(1, 151)}, "all heard")
        told = host.results
        births = [metrics_of(event)["bdSeq"]["value"] for event in host.of("NBIRTH")]
        summary = host.summary()

    first = [number for place, (number, _) in enumerate(told) if number not in {seen for seen, _ in told[:place]}]
    doubled = [historical for place, (number, historical) in enumerate(told) if number in [n for n, _ in told[:place]]]
    assert [*range(1, 151)] == first
    assert all(doubled)
    assert len(doubled) <= 3 * 100
    assert births == sorted(births)
    assert {} == summary["broken"]


def test_a_rebirth_is_granted_and_a_write_is_not(tmp_path):
    """A host may ask for everything anew; whatever else it commands changes nothing and is counted."""
    with stage(tmp_path) as (_, node, host):
        host.wish("online")
        node.run_until(lambda: len(host.of("DBIRTH")) == 1, "births")
        node.parts(1, good=False)
        node.run_until(lambda: len(host.results) == 1, "live value")
        host.wish("write")
        node.run_until(lambda: node.edge.ignored == 2, "ignored commands")
        host.wish("rebirth")
        node.run_until(lambda: len(host.of("DBIRTH")) == 2, "rebirth")
        first, second = (metrics_of(event) for event in host.of("NBIRTH"))
        born = metrics_of(host.of("DBIRTH")[-1])
        summary = host.summary()

    assert (0, 0) == (first["bdSeq"]["value"], second["bdSeq"]["value"])
    assert (2, [False, "reject", "decided_reject", 1]) == (
        node.edge.ignored,
        [born[f"Result/{name}"]["value"] for name in ("Good", "Disposition", "Cause", "Sequence")],
    )
    assert {} == summary["broken"]


def test_a_broken_socket_is_a_death(tmp_path):
    """A station that loses its power is dead to the host by its will, with the number of its birth."""
    with stage(tmp_path) as (_, node, host):
        host.wish("online")
        node.run_until(lambda: len(host.of("DBIRTH")) == 1, "births")
        client = node.output._connection._client
        client.socket().shutdown(2)
        eventually(lambda: len(host.of("NDEATH")) == 1, "death")
        death = metrics_of(host.of("NDEATH")[0])
        summary = host.summary()

    assert 0 == death["bdSeq"]["value"]
    assert {} == summary["broken"]
