"""Every broker gets every result, at least once, with an id that tells duplicates; what it refuses is kept."""

import json
import select
import threading
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.config_plant import Mqtt
from appliance.outputs.channels import OutboxGrew
from appliance.outputs.mqtt import MqttOutput
from appliance.outputs.outbox import Entry, Outbox
from appliance.outputs.part_report import Identity
from appliance.sim.broker import EMBEDDED, MOSQUITTO, Broker, mosquitto_path

needs_mosquitto = pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed")
KINDS = [pytest.param(MOSQUITTO, marks=needs_mosquitto), EMBEDDED]
PREFIX = "insp/v1/site/line/cell-4"
IDENTITY = Identity(PREFIX, "caps", "ab" * 32, "c0ffee", 604_800, 42)
LIMIT_S = 20.0


class SystemClock:
    def now(self):
        return time.monotonic_ns()

    def utc(self):
        return time.time_ns()


CLOCK = SystemClock()


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


@contextmanager
def broker_of(kind, folder, access_list=""):
    broker = Broker(folder / "broker", kind, access_list)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def output_to(broker, outbox):
    output = MqttOutput(outbox, Mqtt("127.0.0.1", broker.port, 5), IDENTITY, CLOCK)
    try:
        yield output
    finally:
        output.close()


@contextmanager
def listener_to(broker, topics=(f"{PREFIX}/#",)):
    """Give the list of (topic, payload, user properties, expiry) that a subscriber of the plant gets."""
    heard, ready = [], threading.Event()
    is_5 = broker.kind == MOSQUITTO
    protocol = MQTTProtocolVersion.MQTTv5 if is_5 else MQTTProtocolVersion.MQTTv311
    client = Client(CallbackAPIVersion.VERSION2, "mes", protocol=protocol)
    client.reconnect_delay_set(0.1, 0.2)

    def on_message(_client, _data, message):
        properties = message.properties
        user = tuple(getattr(properties, "UserProperty", ()))
        heard.append(
            (message.topic, json.loads(message.payload), user, getattr(properties, "MessageExpiryInterval", 0))
        )

    client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = on_message
    if is_5:
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", broker.port, clean_start=False, properties=session)
    else:
        client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert ready.wait(LIMIT_S)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


def put(outbox, numbers):
    for number in numbers:
        expires = CLOCK.utc() + 3_600_000_000_000
        payload = {"result_id": f"site/line/cell-4/{number}"}
        outbox.put(Entry(f"result:{number}", "result", f"{PREFIX}/result", payload, (("schema", "s.1"),), expires))


def run_until(output, condition):
    """Serve the device as the loop does until the condition holds; gives the states it told."""
    states = []
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT_S} s; told: {states}"
        select.select([output.fileno()], [], [], 0.05)
        states += output.read(CLOCK.now())
    return states


def results(heard):
    return Counter(payload["result_id"] for topic, payload, _, _ in list(heard) if topic.endswith("/result"))


@pytest.mark.parametrize("kind", KINDS)
def test_all_results_arrive_and_are_acknowledged(kind, tmp_path, outbox):
    """The straight path, on a broker of MQTT 5 and on one of 3.1.1."""
    put(outbox, range(100))
    with broker_of(kind, tmp_path) as broker, listener_to(broker) as heard, output_to(broker, outbox) as output:
        states = run_until(output, lambda: outbox.counts.pending == 0 and len(results(heard)) == 100)
        result = next(item for item in heard if item[0].endswith("/result"))

    assert {f"site/line/cell-4/{number}": 1 for number in range(100)} == dict(results(heard))
    assert ("5" if kind == MOSQUITTO else "3.1.1", True) == (states[-1].protocol, states[-1].connected)
    assert ((("schema", "s.1"),), True) == (result[2], 3590 <= result[3] <= 3600) or kind == EMBEDDED


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_that_is_killed_costs_nothing(kind, tmp_path, outbox):
    """Every row is acknowledged in the end, and what a living broker took is delivered.

    An acknowledgement is no delivery: a killed broker may lose what it took a moment before, the embedded one keeps no
    sessions at all. So only results of after the kill are waited for, and those on Mosquitto only.
    """
    wanted = {f"site/line/cell-4/{number}" for number in range(200, 300)} if kind == MOSQUITTO else set()
    put(outbox, range(200))
    with broker_of(kind, tmp_path) as broker, listener_to(broker) as heard, output_to(broker, outbox) as output:
        run_until(output, lambda: outbox.counts.acked >= 60)
        broker.kill()
        put(outbox, range(200, 300))
        output.write(OutboxGrew(), CLOCK.now())
        gone = run_until(output, lambda: not output._state.connected)
        broker.start()
        back = run_until(output, lambda: outbox.counts.pending == 0)
        run_until(output, lambda: wanted <= set(results(heard)))

    assert (300, 300) == (outbox.counts.put, outbox.counts.acked)
    assert str(broker.port) in gone[-1].fault
    assert (True, "") == (back[-1].connected, back[-1].fault)
    assert set() == set(results(heard)) - {f"site/line/cell-4/{number}" for number in range(300)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_station_says_online_and_the_broker_says_offline(kind, tmp_path, outbox):
    """The plant knows whether the silence of a station means that it is gone."""
    state = f"{PREFIX}/state"
    with broker_of(kind, tmp_path) as broker, listener_to(broker) as heard:
        with output_to(broker, outbox) as output:
            run_until(output, lambda: any(topic == state for topic, *_ in list(heard)))
        run_until_offline(heard, state)
        told = [payload["online"] for topic, payload, *_ in list(heard) if topic == state]
        with listener_to_retained(broker, state) as retained:
            kept = retained[0]["online"]

    assert ([True, False], False) == (told[-2:], kept)


def run_until_offline(heard, state):
    deadline = time.monotonic() + LIMIT_S
    while not any(topic == state and not payload["online"] for topic, payload, *_ in list(heard)):
        assert time.monotonic() < deadline, "no offline message"
        time.sleep(0.01)


@contextmanager
def listener_to_retained(broker, topic):
    heard = []
    client = Client(CallbackAPIVersion.VERSION2, "late")
    client.on_connect = lambda client, *_: client.subscribe(topic, 1)
    client.on_message = lambda _client, _data, message: heard.append(json.loads(message.payload))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    deadline = time.monotonic() + LIMIT_S
    while not heard and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()


@needs_mosquitto
def test_a_denied_topic_keeps_its_rows_and_names_the_reason(tmp_path, outbox):
    """The broker's acknowledgement of a denied message looks like success everywhere but in its reason code."""
    put(outbox, range(30))
    allowed = f"topic readwrite {PREFIX}/#\n"
    with (
        broker_of(MOSQUITTO, tmp_path, f"topic write {PREFIX}/state\n") as broker,
        output_to(broker, outbox) as output,
    ):
        denied = run_until(output, lambda: output._state.denied)
        during = outbox.counts
        broker.allow(allowed)
        run_until(output, lambda: outbox.counts.pending == 0)

    assert (f"{PREFIX}/result: Not authorized",) == denied[-1].denied
    assert (30, 0) == (during.pending, during.acked)
    assert (30, ()) == (outbox.counts.acked, output._state.denied)


def test_a_broker_that_is_not_there_is_named(tmp_path, outbox):
    """A wrong address shows as such, and closing does not hang."""
    broker = Broker(tmp_path / "broker", EMBEDDED)
    with output_to(broker, outbox) as output:
        states = run_until(output, lambda: output._state.fault != "")

    assert f"broker 127.0.0.1:{broker.port} cannot be reached: Connection refused" == states[-1].fault
