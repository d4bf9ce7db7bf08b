"""A wire that can be cut, a station on one end of it and a receiver on the other."""

import itertools
import json
import select
import selectors
import socket
import ssl
import threading
import time
from contextlib import contextmanager
from functools import partial

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from appliance.config_plant import Mqtt
from appliance.outputs.channels import Channel
from appliance.outputs.mqtt import MqttOutput
from appliance.outputs.mqtt_state import MqttState
from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import Identity
from appliance.outputs.plant_messages import entries
from appliance.ports.node import Ask, Replied, Send
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.command import Accepted
from appliance.schema.health import Health
from appliance.schema.line import LineState
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from appliance.services.publish import MQTT, PublishNode
from appliance.sim.mes import Ledger

PREFIX = "insp/v1/site/line/cell-4"
LIMIT_S = 30.0


class SystemClock:
    def now(self):
        return time.monotonic_ns()

    def utc(self):
        return time.time_ns()


CLOCK = SystemClock()


@contextmanager
def running(broker):
    """Run a broker, and end it whatever happens."""
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


class Proxy:
    """Carry bytes to the broker, and stop doing so: `cut` ends all connections, `swallow` keeps them and eats all."""

    def __init__(self, target_port):
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs = {}
        self._mode = "carry"
        self._has_holes = False
        self._wake, self._hear = socket.socketpair()
        self._lives = True
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def carry(self):
        self._set("carry")

    def cut(self):
        self._set("cut")

    def swallow(self):
        self._set("swallow")

    def close(self):
        self._lives = False
        self._set("cut")
        self._thread.join()
        for end in (self._listener, self._wake, self._hear):
            end.close()

    def _set(self, mode):
        self._has_holes |= self._mode == "swallow"
        self._mode = mode
        self._wake.send(b"x")

    def _run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._hear, selectors.EVENT_READ)
            while self._lives:
                for key, _ in selector.select(1.0):
                    if key.fileobj is self._listener:
                        self._open(selector)
                    elif key.fileobj is self._hear:
                        self._hear.recv(100)
                    elif key.fileobj in self._pairs:
                        self._pass(selector, key.fileobj)
                if self._mode == "cut" or (self._mode == "carry" and self._has_holes):
                    self._has_holes = False
                    for end in list(self._pairs):
                        self._end(selector, end)
            for end in list(self._pairs):
                self._end(selector, end)

    def _open(self, selector):
        near, _ = self._listener.accept()
        if self._mode == "cut":
            near.close()
            return
        far = None
        if self._mode == "carry":
            try:
                far = socket.create_connection(("127.0.0.1", self._target), 1.0)
            except OSError:
                near.close()
                return
            self._pairs[far] = near
            selector.register(far, selectors.EVENT_READ)
        self._pairs[near] = far
        selector.register(near, selectors.EVENT_READ)

    def _pass(self, selector, end):
        try:
            data = end.recv(65_536)
            if data and self._mode == "carry" and self._pairs[end] is not None:
                self._pairs[end].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._end(selector, end)

    def _end(self, selector, end):
        for gone in (end, self._pairs.get(end)):
            if gone in self._pairs:
                del self._pairs[gone]
                selector.unregister(gone)
                gone.close()


class Mes:
    """Receive results as `appliance/sim/mes.py` says, over the broker's own port."""

    def __init__(self, port, authority, name="mes-1", *, session_s=3600, back_s=0.1):
        self.ledger = Ledger()
        self.answers, self.states, self.raw = [], [], []
        self.asked = 0
        self.silent = False
        self._name = name
        self._number = itertools.count(1)
        self._lock = threading.Lock()
        self.subscribed = threading.Event()
        client = self._client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        client.tls_set_context(context_of(authority, *authority.issue(name)))
        client.reconnect_delay_set(back_s, 2 * back_s)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self.subscribed.set()
        client.on_message = self._on_message
        session = Properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = session_s
        client.connect("localhost", port, 5, clean_start=False, properties=session)
        client.loop_start()
        assert self.subscribed.wait(LIMIT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def results(self):
        with self._lock:
            return list(self.ledger.kept)

    def ask_again(self):
        """Wish for what is missing, if anything is."""
        with self._lock:
            missing = self.ledger.missing(time.monotonic())
        if missing is not None and not self.silent:
            self.asked += 1
            self.command("replay", {"topic": "result", "first": missing.first, "count": missing.count})

    def command(self, name, payload, *, correlation=None, retain=False, response=None, expiry_s=None, sender=None):
        properties = Properties(PacketTypes.PUBLISH)
        if correlation != b"":
            properties.CorrelationData = correlation or f"{self._name}-{next(self._number)}".encode()
        if response:
            properties.ResponseTopic = response
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        topic = f"{PREFIX}/cmd/{name}/{sender or self._name}"
        return self._client.publish(topic, body, 1, retain, properties)

    def _on_connect(self, client, *_):
        topics = ("state", "result", "alarm", f"answer/{self._name}")
        client.subscribe([(f"{PREFIX}/{topic}", 1) for topic in topics])

    def _on_message(self, _client, _data, message):
        told = json.loads(message.payload)
        with self._lock:
            self.raw.append((message.topic, told, message.properties))
            if message.topic.endswith("/result"):
                self.ledger.take(told)
            elif message.topic.endswith("/state"):
                self.states.append(told)
                self.ledger.hear(told.get("stream", ""), told.get("newest", {}).get("result", 0))
            elif "/answer/" in message.topic:
                self.answers.append((told, getattr(message.properties, "CorrelationData", b"")))
                self.ledger.gone(told.get("gone", ()))


class Station:
    """Run the publish node with its broker connection, as the loop does; its facts are told by the test."""

    def __init__(self, folder, mqtt, *, clock=CLOCK, expiry_s=604_800):
        identity = Identity(PREFIX, "caps", "ab" * 32, "c0ffee", expiry_s, 42)
        self.outbox = Outbox(folder / "outbox.db", mqtt.limit)
        self.device = MqttOutput(self.outbox, mqtt, identity, clock)
        self.node = PublishNode(
            identity, (Channel(MQTT, self.outbox, partial(entries, identity), (LineState,)),), clock
        )
        self.clock = clock
        self.states, self.asked, self.health = [], [], None
        self._folder, self._mqtt, self.number = folder, mqtt, 0
        self.reply = Accepted("job-1")
        self._act(self.node.start(clock.now()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.device.close()
        self.node.finish(self.clock.now())

    @property
    def state(self):
        return self.device._state

    def crash(self):
        """End as a killed process does: no goodbye, nothing noted; gives the one that systemd starts, replays taken."""
        told = self.number
        if self.device._wire is not None:
            self.device._wire.stop(orderly=False)
        self.device._mail.close()
        self.outbox._database.close()
        again = Station(self._folder, self._mqtt, clock=self.clock)
        for number in range(again.node.positions().get("actuation", (5, 0))[1] + 1, told + 1):
            again.result(number)
        return again

    def result(self, number):
        """Let a part meet the gate."""
        self.number = number
        now = self.clock.now()
        part = PartId(0xA0B1C2D3, number)
        met = Actuation(part, Lane.REJECT, Cause.NO_VERDICT, Disposition.NO_VERDICT, 0, now, 1, 1)
        self._act(self.node.receive_envelope("actuation", 5, number, met, now))

    def tell(self, topic, message):
        self._act(self.node.receive(topic, message, self.clock.now()))

    def turn(self, wait_s=0.02):
        """Do what the loop does in one turn."""
        select.select([self.device.fileno()], [], [], wait_s)
        for message in self.device.read(self.clock.now()):
            if isinstance(message, MqttState):
                self.states.append(message)
            self._act(self.node.receive(f"device:{MQTT}", message, self.clock.now()))
        if self.clock.now() >= self.node.wake_at:
            self._act(self.node.wake(self.clock.now()))

    def until(self, condition, what=""):
        """Run until the condition holds."""
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what or 'not'} within {LIMIT_S} s; {self.state} {self.outbox.counts}"
            self.turn()

    def _act(self, outputs):
        for output in outputs:
            if isinstance(output, Send):
                self.device.write(output.message, self.clock.now())
            elif isinstance(output, Ask):
                self.asked.append(output)
                if self.reply is not None:
                    replied = Replied(output.ticket, self.reply)
                    self._act(self.node.receive(f"reply:{output.unit}", replied, self.clock.now()))
            elif isinstance(output.message, Health):
                self.health = output.message


def settings(port, authority, *, host="localhost", **fields):
    """Give `[mqtt]` of a station whose certificate the authority signed."""
    certificate, key = authority.issue("cell-4")
    given = {
        "ca": str(authority.ca),
        "certificate": str(certificate),
        "key": str(key),
        "keepalive_s": 2,
        "commands": True,
        **fields,
    }
    return Mqtt(host, port, **given)


def context_of(authority, certificate, key):
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(certificate, key)
    return context
