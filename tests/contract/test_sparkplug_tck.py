"""An edge node keeps the rules of Sparkplug 3.0.0, each under the id that Eclipse's test kit gives it (`tck-id-...`).

The conversation is tapped once per version of MQTT; what each id wants is in `sparkplug_checks.py`.
"""

import pytest

from appliance.outputs.sparkplug.payload import DataType, Metric, Payload, encode
from appliance.schema.clocks import S
from appliance.schema.health import Condition
from tests.contract.mqtt_tap import CONNECT, SUBSCRIBE, Tap
from tests.contract.sparkplug_checks import ALWAYS, MQTT_3, MQTT_5, OCCASIONS, REBIRTH
from tests.contract.sparkplug_rig import NAMES, node_at
from tests.contract.sparkplug_talk import Talk

STATE = "spBv1.0/STATE/scada"
NCMD = "spBv1.0/factory/NCMD/cell-4"
DCMD = "spBv1.0/factory/DCMD/cell-4/inspection"


def command(name, value, kind=DataType.BOOLEAN):
    return encode(Payload((Metric(kind, value, name, None, 1000),), 1000))


def state(online, timestamp):
    return b'{"online":%s,"timestamp":%d}' % (b"true" if online else b"false", timestamp)


class Leader:
    """Lead an edge node through everything the checks want to see, and note where in the conversation."""

    def __init__(self, tap, node):
        self.tap, self.node, self.marks = tap, node, {}

    def mark(self, name):
        self.marks[name] = len(self.tap.packets)

    def count(self, kind):
        return sum(packet.kind == kind for packet in self.tap.packets)

    def births(self):
        return sum("/DBIRTH/" in packet.topic for packet in self.tap.packets)

    def quietly(self, name, topic, payload, *, retained=False):
        """Inject what must change nothing; garbage that is counted right after shows that it was looked at."""
        ignored = self.node.edge.ignored
        self.mark(name)
        self.tap.inject(topic, payload, retained=retained)
        self.tap.inject(NCMD, b"\xff")
        self.node.run_until(lambda: self.node.edge.ignored >= ignored + 1, name)
        self.node.serve(0.05)
        self.mark(f"{name}_done")

    def all_told(self, what):
        self.node.run_until(lambda: self.node.outbox.counts.pending == 0, what)

    def wait_for_the_host(self):
        self.node.run_until(lambda: self.count(SUBSCRIBE) == 1, "first subscription")
        self.mark("connected")
        self.node.line()
        self.node.health()
        self.node.parts(3)
        self.node.alarm()
        self.quietly("other_online", "spBv1.0/STATE/other", state(online=True, timestamp=5000))
        self.quietly("offline_first", STATE, state(online=False, timestamp=900))
        self.quietly("stale_online", STATE, state(online=True, timestamp=800))
        self.mark("online")
        self.tap.inject(STATE, state(online=True, timestamp=1000), retained=True)
        self.all_told("history")
        self.mark("born")

    def work(self):
        for number in range(280):  # the sequence number passes 255
            if number % 7 == 0:
                self.node.parts(1)
            self.node.line(late=number)
        self.all_told("live")
        self.node.health(Condition.DEGRADED)
        self.node.alarm()
        self.all_told("alarm")

    def command(self):
        births = self.births()
        self.mark("rebirth")
        self.tap.inject(NCMD, command(REBIRTH, value=True))
        self.node.run_until(lambda: self.births() > births, "rebirth")
        self.mark("reborn")
        self.quietly("retained", NCMD, command(REBIRTH, value=True), retained=True)
        self.quietly("written", NCMD, command("Line/Ready", value=True))
        self.quietly("device_written", DCMD, command("Result/Good", value=True))
        self.node.serve(0.6)  # the count of ignored commands is told

    def silence_the_line(self):
        self.mark("line_silent")
        self.node.clock.ahead_ns += 4 * S
        self.node.run_until(lambda: not self.node.edge.device_born, "device death")
        self.node.serve(0.05)
        self.mark("line_back")
        self.node.line()
        self.node.run_until(lambda: self.node.edge.device_born, "device birth")
        self.node.serve(0.6)

    def lose_the_host(self):
        self.quietly("stale_offline", STATE, state(online=False, timestamp=950))
        sessions = self.count(CONNECT)
        self.mark("offline")
        self.tap.inject(STATE, state(online=False, timestamp=1000))
        self.node.run_until(lambda: self.count(CONNECT) > sessions, "second session")
        self.mark("back")
        self.node.parts(30)
        self.node.run_until(lambda: self.tap.packets[-1].kind == SUBSCRIBE, "second subscription")
        self.tap.inject(STATE, state(online=True, timestamp=2000), retained=True)
        self.all_told("second history")
        self.node.parts(1)
        self.all_told("second live")

    def lose_the_broker(self):
        sessions = self.count(CONNECT)
        self.tap.cut()
        self.node.run_until(
            lambda: self.count(CONNECT) > sessions and self.tap.packets[-1].kind == SUBSCRIBE, "third session"
        )
        self.tap.inject(STATE, state(online=True, timestamp=2000), retained=True)
        self.node.run_until(lambda: self.node.edge.device_born, "third birth")
        self.node.serve(0.02)
        self.node.parts(1)
        self.all_told("third live")


def converse(folder, version):
    """Give what an edge node said in a long conversation."""
    tap = Tap()
    tap.refuse_level_5 = version == 4
    try:
        with node_at(tap.port, folder) as node:
            leader = Leader(tap, node)
            leader.wait_for_the_host()
            leader.work()
            leader.command()
            leader.silence_the_line()
            leader.lose_the_host()
            leader.lose_the_broker()
    finally:
        tap.close()
    names = NAMES
    return Talk(tap.packets, names.group, names.node, names.device, names.host, leader.marks, version)


@pytest.fixture(scope="module")
def talks(tmp_path_factory):
    return {version: converse(tmp_path_factory.mktemp(f"level-{version}"), version) for version in (5, 4)}


def results(check, talk):
    return list(check(talk))


@pytest.mark.parametrize("name", [*ALWAYS, *OCCASIONS, *MQTT_5])
def test_tck_id(talks, name):
    """The rule of this id holds at every occasion, and there was one; MQTT 5."""
    found = results({**ALWAYS, **OCCASIONS, **MQTT_5}[name], talks[5])

    assert (True, True) == (len(found) > 0, all(found))


@pytest.mark.parametrize("name", [*ALWAYS, *OCCASIONS, *MQTT_3])
def test_tck_id_with_mqtt_3(talks, name):
    """The rule of this id holds at every occasion, and there was one; MQTT 3.1.1."""
    found = results({**ALWAYS, **OCCASIONS, **MQTT_3}[name], talks[4])

    assert (True, True) == (len(found) > 0, all(found))


@pytest.mark.parametrize("version", [5, 4])
def test_what_was_stored_comes_as_history_in_order_and_once(talks, version):
    """A host that was away learns every part afterwards, in order, marked as history, and none twice."""
    talk = talks[version]
    told = [
        (metric.value, metric.historical, one.session)
        for one in talk.of("DDATA")
        for metric in one.payload.metrics
        if metric.alias == 12
    ]

    assert [*range(1, 3 + 40 + 30 + 2 + 1)] == [number for number, _, _ in told]
    assert [3, 30] == [sum(h for _, h, session in told if session == number) for number in (0, 1)]


@pytest.mark.parametrize("version", [5, 4])
def test_writes_change_nothing(talks, version):
    """No command but a rebirth request has an effect: nothing on this wire can act on the line."""
    talk = talks[version]
    quiet = ["retained", "written", "device_written"]

    said = [one.kind for name in quiet for one in talk.between(name, f"{name}_done")]
    assert [] == [kind for kind in said if kind != "NDATA"]  # which counts them
