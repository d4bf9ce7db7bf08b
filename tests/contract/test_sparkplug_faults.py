"""What a bad day costs the edge node: values told twice at most, counted, and a technician who reads why."""

import json
import sqlite3
from contextlib import closing

import pytest
from msgspec.structs import replace

from appliance.config_plant import Mqtt, Sparkplug
from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import Identity, PartReport
from appliance.outputs.sparkplug import edge_node
from appliance.outputs.sparkplug.edge import Names, Session
from appliance.outputs.sparkplug.output import HOST_SILENCE, WINDOW
from appliance.schema.clocks import S
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.line import LineState
from appliance.sim.broker import mosquitto_path
from appliance.sim.plant_network import Authority, PlantBroker
from tests.contract.mqtt_rig import settings
from tests.contract.mqtt_tap import CONNECT, SUBSCRIBE, Tap
from tests.contract.sparkplug_rig import NAMES, Clock, node_at
from tests.contract.sparkplug_talk import Talk

STATE = "spBv1.0/STATE/scada"
HOSTLESS = replace(NAMES, host="")
RIGHTS = """
user cell-4
topic write spBv1.0/factory/NBIRTH/cell-4
topic write spBv1.0/factory/NDATA/cell-4
topic write spBv1.0/factory/NDEATH/cell-4
topic write spBv1.0/factory/DBIRTH/cell-4/inspection
topic write spBv1.0/factory/DDATA/cell-4/inspection
topic write spBv1.0/factory/DDEATH/cell-4/inspection
topic read spBv1.0/factory/NCMD/cell-4
topic read spBv1.0/factory/DCMD/cell-4/inspection
topic read spBv1.0/STATE/scada
"""


@pytest.fixture
def tap():
    tap = Tap()
    yield tap
    tap.close()


def told(tap, session=None):
    talk = Talk(tap.packets, "factory", "cell-4", "inspection", "scada")
    return [
        (metric.value, metric.historical)
        for one in talk.of("DDATA", session=session)
        for metric in one.payload.metrics
        if metric.alias == 12
    ]


def state(online, timestamp):
    return json.dumps({"online": online, "timestamp": timestamp}).encode()


def test_rows_without_proof_are_told_again_as_history(tap, tmp_path):
    """A broker that never showed that it read them may have lost them: they come again, and the host sees it."""
    with node_at(tap.port, tmp_path, names=HOSTLESS) as node:
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        tap.acknowledge = False
        node.line()
        node.parts(5)
        node.serve(0.7)
        held = node.outbox.counts.pending
        tap.cut()
        node.run_until(lambda: node.edge.session is Session.OFFLINE, "loss")
        tap.acknowledge = True
        node.run_until(lambda: node.outbox.counts.pending == 0, "proof")
        node.serve(0.6)
        text = node.output._component.cause

    assert 5 == held
    assert [(number, False) for number in range(1, 6)] == told(tap, session=0)
    assert [(number, True) for number in range(1, 6)] == told(tap, session=1)
    assert "5 told twice" in text


def test_no_more_than_a_window_is_under_way(tap, tmp_path):
    """What may come twice is bounded, however slow the broker is."""
    with node_at(tap.port, tmp_path, names=HOSTLESS) as node:
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        tap.acknowledge = False
        node.line()
        node.parts(3 * WINDOW)
        node.serve(0.7)
        under_way = len(told(tap))
        tap.acknowledge = True
        tap.cut()
        node.run_until(lambda: node.outbox.counts.pending == 0, "proof")

    assert WINDOW == under_way
    assert [*range(1, 3 * WINDOW + 1)] == sorted({number for number, _ in told(tap)})


def test_a_host_that_died_unnoticed_leaves_a_count(tap, tmp_path):
    """What was told while the host may have been dead already is counted: nobody can know whether it was heard."""
    with node_at(tap.port, tmp_path) as node:
        node.run_until(lambda: any(packet.kind == SUBSCRIBE for packet in tap.packets), "subscription")
        tap.inject(STATE, state(online=True, timestamp=1000))
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        node.line()
        node.parts(4)
        node.run_until(lambda: node.outbox.counts.pending == 0, "proof")
        node.clock.ahead_ns += HOST_SILENCE + S
        node.line()
        node.parts(3)
        node.run_until(lambda: node.outbox.counts.pending == 0, "proof")
        tap.inject(STATE, state(online=False, timestamp=1000))
        node.run_until(lambda: node.edge.session is Session.OFFLINE, "offline")
        doubtful = node.output._doubtful

    assert 3 == doubtful


def test_a_full_store_drops_the_oldest_and_says_so(tap, tmp_path):
    """The newest values survive a long outage, in order; what is gone is counted on the wire and for the technician."""
    with node_at(tap.port, tmp_path, names=HOSTLESS, limit=100) as node:
        node.parts(130)
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        node.line()
        node.run_until(lambda: node.outbox.counts.pending == 0, "history")
        node.serve(1.2)
        component = node.output._component
        dropped = node.outbox.counts.dropped
    numbers = [number for number, _ in told(tap)]
    talk = Talk(tap.packets, "factory", "cell-4", "inspection", "")
    counts = [metric.value for one in talk.of("NBIRTH", "NDATA") for metric in one.payload.metrics if metric.alias == 7]

    assert [*range(131 - len(numbers), 131)] == numbers
    assert (130, dropped) == (dropped + len(numbers), counts[-1])
    assert Condition.DEGRADED is component.condition
    assert f"{dropped} dropped" in component.cause


def test_a_disk_that_takes_no_note_doubles_nothing(tap, tmp_path):
    """Proof that cannot be written down is kept; the rows are not told again meanwhile."""
    with node_at(tap.port, tmp_path, names=HOSTLESS) as node:
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        node.line()
        node.parts(3)
        with closing(sqlite3.connect(tmp_path / "sparkplug.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            node.run_until(lambda: node.output._unnoted != "", "the fault shows")
            fault = node.output._component
            other.execute("ROLLBACK")
        node.run_until(lambda: node.outbox.counts.pending == 0, "noted")
        node.serve(0.6)

    assert [1, 2, 3] == [number for number, _ in told(tap)]
    assert "" == node.output._unnoted
    assert fault is not None


def test_an_intended_end_leaves_nothing_unproven(tap, tmp_path):
    """A service that is stopped waits a moment for its proof, so that a restart tells nothing twice."""
    with node_at(tap.port, tmp_path, names=HOSTLESS) as node:
        node.run_until(lambda: node.edge.session is Session.BORN, "births")
        node.line()
        node.parts(7)
    with closing(Outbox(tmp_path / "sparkplug.db")) as outbox:
        pending = outbox.counts.pending

    assert 0 == pending
    assert [*range(1, 8)] == [number for number, _ in told(tap)]


def test_a_broker_that_is_not_there_is_named(tmp_path):
    """A wrong address shows as such, with what waits; closing does not hang."""
    tap = Tap()
    tap.close()
    with node_at(tap.port, tmp_path) as node:
        node.parts(2)
        node.run_until(lambda: node.output._fault != "", "fault")
        node.serve(0.6)
        component = node.output._component

    assert Condition.DEGRADED is component.condition
    assert component.cause.startswith(f"broker 127.0.0.1:{tap.port} cannot be reached: ")
    assert component.cause.endswith("2 values wait")


@pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed")
def test_the_node_works_with_certificates_and_rights(tmp_path):
    """With the recommended broker: TLS both ways, and no more rights than these lines."""
    plant = Authority(tmp_path / "plant")
    broker = PlantBroker(tmp_path / "broker", plant)
    broker.access_list.write_text(RIGHTS)
    broker.start()
    try:
        with node_at(0, tmp_path / "node", names=HOSTLESS, mqtt=settings(broker.port, plant)) as node:
            node.parts(3)
            node.run_until(lambda: node.outbox.counts.pending == 0, "proof")
            node.serve(0.6)
            component = node.output._component
    finally:
        broker.stop()

    assert (Condition.OK, "") == (component.condition, component.remedy)


@pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed")
def test_a_foreign_authority_is_named(tmp_path):
    """A technician reads that it is the certificate, and what to do."""
    plant, foreign = Authority(tmp_path / "plant"), Authority(tmp_path / "foreign", "foreign")
    broker = PlantBroker(tmp_path / "broker", plant)
    broker.start()
    try:
        with node_at(0, tmp_path / "node", mqtt=settings(broker.port, foreign)) as node:
            node.run_until(lambda: node.output._fault != "", "fault")
            fault = node.output._fault
    finally:
        broker.stop()

    assert "the broker's certificate comes from a foreign authority; correct mqtt.ca" in fault


def test_a_refused_subscription_is_named(tap, tmp_path):
    """Without the right to hear commands no host can ask for a rebirth; Mosquitto 2.0 grants and then sends nothing."""
    tap.refuse_topics = True
    with node_at(tap.port, tmp_path, names=HOSTLESS) as node:
        node.run_until(lambda: node.output._refused != "", "refusal")
        node.serve(0.6)
        component = node.output._component

    assert "broker refuses a subscription: Not authorized" == component.cause
    assert "let this client read spBv1.0/factory/NCMD/cell-4 in the broker's access list" == component.remedy


def test_the_factory_reads_the_configuration(tap, tmp_path):
    """Names come from `[sparkplug]`; without a node id the station's name is one."""
    identity = Identity("insp/v1/site/line/cell-4", "caps", "ab" * 32, "c0ffee", 60, 1)
    with closing(Outbox(tmp_path / "sparkplug.db")) as outbox:
        mqtt = Mqtt("127.0.0.1", tap.port, 5)
        channel, device = edge_node(Sparkplug("g", device="d"), mqtt, identity, outbox, tmp_path, Clock())
        device.close()

    assert Names("g", "cell-4", "d", "") == device.edge.names
    assert ("sparkplug", outbox, {PartReport, LineState, Health, Alarm}) == (
        channel.name,
        channel.outbox,
        set(channel.live),
    )
    assert [] == [packet for packet in tap.packets if packet.kind == CONNECT]
