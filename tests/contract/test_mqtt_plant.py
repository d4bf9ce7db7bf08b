"""A station on a plant's network: TLS both ways, rights by name, and a technician who reads what is wrong."""

import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.check.wires import broker as check_broker
from appliance.outputs.mqtt_state import broker_component
from appliance.outputs.outbox import Entry, Outbox
from appliance.outputs.tls import client_context
from appliance.schema.health import Alarm, Condition
from appliance.schema.line import JobMode, LineState
from appliance.sim.broker import mosquitto_path
from appliance.sim.plant_network import Authority, PlantBroker
from tests.contract.mqtt_rig import CLOCK, PREFIX, Mes, Proxy, Station, running, settings

pytestmark = pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed")


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("strangers"), "foreign")


@pytest.fixture
def broker(plant, tmp_path):
    with running(PlantBroker(tmp_path / "broker", plant)) as broker:
        yield broker


def line_state(**fields):
    base = {"at": CLOCK.now(), "mode": JobMode.CONTINUOUS, "handshake": "ready", "ready": True, "recipe_hash": 0xAB}
    return LineState(**{**base, **fields})


def test_results_alarms_and_state_arrive_with_their_properties(plant, broker, tmp_path):
    """What a receiver programs against: topics, schema, recipe hash, expiry, ids, one sequence a topic."""
    with Station(tmp_path, settings(broker.port, plant)) as station, Mes(broker.port, plant) as mes:
        station.tell("line.state", line_state())
        for number in range(1, 31):
            station.result(number)
        station.tell("alarm.judge", Alarm("judge", "pairing_mismatch", "text", "p", CLOCK.now()))
        station.until(lambda: len(mes.results) == 30 and any(topic.endswith("alarm") for topic, *_ in mes.raw))
        told = mes.results
        alarm, properties = next((told, properties) for topic, told, properties in mes.raw if topic.endswith("alarm"))
        state = mes.states[-1]

    assert [*range(1, 31)] == [result["sequence"] for result in told]
    assert 30 == len({result["result_id"] for result in told})
    assert ("pairing_mismatch", 1, told[0]["stream"]) == (alarm["kind"], alarm["sequence"], alarm["stream"])
    assert [("schema", "firstshift.alarm.1"), ("recipe_sha256", "ab" * 32)] == properties.UserProperty
    assert 604_790 <= properties.MessageExpiryInterval <= 604_800
    assert (True, "continuous", True, "ab" * 32, "000000ab") == tuple(
        state[key] for key in ("online", "mode", "ready", "recipe_sha256", "recipe_hash")
    )


def test_the_state_follows_the_line_and_is_never_ready_without_it(plant, broker, tmp_path):
    """Silence of the line is no readiness; the will tells the silence of the station."""
    with (
        Proxy(broker.port) as proxy,
        Mes(broker.port, plant) as mes,
        Station(tmp_path, settings(proxy.port, plant)) as station,
    ):
        station.until(lambda: mes.states, "no first state")
        station.tell("line.state", line_state())
        station.until(lambda: mes.states[-1]["ready"], "not ready")
        station.until(lambda: not mes.states[-1]["ready"], "still ready")
        silent = mes.states[-1]
        station.tell("line.state", line_state(ready=False, cause="camera top is gone", mode=JobMode.HALTED))
        station.until(lambda: mes.states[-1]["mode"] == "halted", "not halted")
        halted = mes.states[-1]
        proxy.cut()
        deadline = time.monotonic() + 10
        while mes.states[-1]["online"] and time.monotonic() < deadline:
            time.sleep(0.01)
        gone = mes.states[-1]

    assert (None, "nothing is heard of the line") == (silent["mode"], silent["cause"])
    assert (False, "camera top is gone") == (halted["ready"], halted["cause"])
    assert (False, False, "firstshift.state.1") == (gone["online"], gone["ready"], gone["schema"])


@dataclass(frozen=True)
class Case:
    name: str
    cause: str
    remedy: str
    broker: dict
    station: dict


def case(name, cause, remedy, *, broker=None, **station):
    return pytest.param(Case(name, cause, remedy, broker or {}, station), id=name)


CASES = [
    case("foreign_broker", "certificate comes from a foreign authority", "mqtt.ca", broker={"signer": "strangers"}),
    case("expired_broker", "broker's certificate has expired", "renew", broker={"days": -1}),
    case("other_host", "is for another host name", "mqtt.host", broker={"host": "elsewhere"}),
    case("foreign_station", "does not know who signed", "CA", signer="strangers"),
    case("expired_station", "station's certificate has expired", "signed", days=-1),
    case("no_certificate", "wants a certificate of this station", "mqtt.certificate", certificate="", key=""),
    case("not_there", "mqtt.ca: /nowhere.pem: No such file", "firstshift", ca="/nowhere.pem"),
]


@pytest.mark.parametrize("given", CASES)
def test_a_broken_trust_is_named_with_its_remedy(given, plant, strangers, tmp_path):
    """Who installs the station reads which certificate is wrong and what to do; nothing is published meanwhile."""
    signers = {"plant": plant, "strangers": strangers}
    for_broker, for_station = dict(given.broker), dict(given.station)
    signer = signers[for_broker.pop("signer", "plant")]
    broker = PlantBroker(tmp_path / "broker", signer, **for_broker)
    own, days = signers[for_station.pop("signer", "plant")], for_station.pop("days", 90)
    certificate, key = own.issue("cell-4", days)
    files = {"ca": str(plant.ca), "certificate": str(certificate), "key": str(key)}
    mqtt = settings(broker.port, plant, **{**files, **for_station})
    with running(broker), Station(tmp_path, mqtt) as station:
        station.result(1)
        station.until(lambda: station.state.fault, "no fault")
        component = broker_component(station.state)
        counts = station.outbox.counts

    assert given.cause in component.cause
    assert given.remedy in component.remedy or given.name == "not_there"
    assert (Condition.DEGRADED, 0, 1) == (component.condition, counts.acked, counts.pending)


def test_the_check_names_what_is_wrong_with_the_trust(plant, strangers, broker):
    """`firstshift check` says before the first start what the service would say after it."""
    mqtt = settings(broker.port, plant)
    certificate, key = strangers.issue("cell-4")
    found = [
        check_broker(mqtt),
        check_broker(replace(mqtt, certificate=str(certificate), key=str(key))),
        check_broker(replace(mqtt, certificate="", key="")),
        check_broker(replace(mqtt, ca=str(strangers.ca))),
        check_broker(replace(mqtt, key="/nowhere.key")),
    ]
    Path(mqtt.key).chmod(0o640)
    found.append(check_broker(mqtt))

    assert [Condition.OK, *[Condition.FAILED] * 4, Condition.DEGRADED] == [item.condition for item in found]
    for item, words in zip(
        found,
        ("with TLS", "does not know who signed", "wants a certificate", "foreign authority", "nowhere.key", "mode 640"),
        strict=True,
    ):
        assert words in item.cause
        assert item.remedy or item.condition is Condition.OK


def test_the_broker_is_always_checked(plant):
    """No setting weakens TLS: version, certificate and host name."""
    context = client_context(settings(1, plant))

    assert (ssl.TLSVersion.TLSv1_2, ssl.CERT_REQUIRED, True) == (
        context.minimum_version,
        context.verify_mode,
        context.check_hostname,
    )
    assert client_context(settings(1, plant, ca="", certificate="", key="")) is None


def test_a_second_station_of_the_same_name_is_named(plant, broker, tmp_path):
    """Two clients of one name throw each other out; both say so, and neither hammers the broker."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    mqtt = settings(broker.port, plant)
    with Station(tmp_path / "first", mqtt) as first:
        first.until(lambda: first.state.connected)
        with Station(tmp_path / "second", mqtt) as second:
            second.until(lambda: second.state.connected)
            deadline = time.monotonic() + 20
            while "another client" not in first.state.remedy:
                assert time.monotonic() < deadline, first.state
                first.turn()
                second.turn()
            count = len([state for state in first.states if state.connected])

    assert count < 100


def test_plain_speech_on_a_tls_port_is_named(plant, broker, tmp_path):
    """A station without TLS settings does not get in, and one with them does not talk to a plain port."""
    with Station(tmp_path, settings(broker.port, plant, ca="", certificate="", key="")) as station:
        station.until(lambda: station.state.fault, "no fault")
        fault = station.state

    assert (False, True) == (fault.connected, bool(fault.fault))


def test_a_certificate_that_ends_soon_is_told_before(plant, broker, tmp_path):
    """A month is time enough; on the day itself it is too late."""
    certificate, key = plant.issue("cell-4", 9)
    with Station(tmp_path, settings(broker.port, plant, certificate=str(certificate), key=str(key))) as station:
        station.until(lambda: station.state.connected)
        station.until(lambda: station.state.certificate)
        component = broker_component(station.state)

    assert (Condition.DEGRADED, True) == (component.condition, "expires on" in component.cause)


def test_a_refused_topic_blocks_itself_alone_and_keeps_its_order(plant, broker, tmp_path):
    """The access list may forget a topic: its rows wait in order, those of others go on."""
    allowed = broker.access_list.read_text()
    broker.allow(allowed.replace(f"topic write {PREFIX}/result\n", ""))
    with Mes(broker.port, plant) as mes, Station(tmp_path, settings(broker.port, plant)) as station:
        for number in range(1, 41):
            station.result(number)
        station.until(lambda: station.state.denied, "not denied")
        denied = station.state.denied
        station.tell("alarm.judge", Alarm("judge", "pairing_mismatch", "text", "p", CLOCK.now()))
        station.until(lambda: any(topic.endswith("alarm") for topic, *_ in mes.raw), "no alarm")
        station.until(lambda: station.outbox.counts.acked == 1, "alarm not noted")
        during = station.outbox.counts
        broker.allow(allowed)
        station.until(lambda: len(mes.results) == 40, "not all")
        station.until(lambda: not station.outbox.counts.pending, "not all acknowledged")
        component, overtaken = broker_component(station.state), station.state.overtaken

    first_seen = list(dict.fromkeys(told["sequence"] for topic, told, _ in mes.raw if topic.endswith("/result")))
    assert ((f"{PREFIX}/result: Not authorized",), 40, 1) == (denied, during.pending, during.acked)
    assert ([*range(1, 41)], 0) == (first_seen, overtaken)
    assert (Condition.OK, "connected, MQTT 5") == (component.condition, component.cause)


def test_a_connection_that_swallows_everything_is_given_up(plant, broker, tmp_path):
    """A half-open connection acknowledges nothing; the station notices by itself and connects anew."""
    with (
        Proxy(broker.port) as proxy,
        Mes(broker.port, plant) as mes,
        Station(tmp_path, settings(proxy.port, plant)) as station,
    ):
        station.result(1)
        station.until(lambda: len(mes.results) == 1, "not the first")
        proxy.swallow()
        for number in range(2, 30):
            station.result(number)
        station.until(lambda: not station.state.connected, "not noticed")
        fault = station.state.fault
        proxy.carry()
        station.until(lambda: len(mes.results) == 29, "not the rest")

    assert "acknowledges nothing" in fault or "is gone" in fault
    assert [*range(1, 30)] == [told["sequence"] for told in mes.results]


def test_the_account_of_a_full_outbox_says_what_is_missing(plant, broker, tmp_path):
    """The bound of the configuration holds; what it cost is in the health, an alarm and the receiver's account."""
    outbox = Outbox(tmp_path / "outbox.db", 1000)
    for number in range(1, 1206, 5):  # five at once, to save time
        entries = [
            Entry(f"k{part}", "result", f"{PREFIX}/result", {}, (), 1 << 62) for part in range(number, number + 5)
        ]
        outbox.put_all([(entries, None)])
    outbox.close()
    with Mes(broker.port, plant) as mes, Station(tmp_path, settings(broker.port, plant, limit=1000)) as station:
        station.until(lambda: station.state.connected and not station.outbox.counts.pending, "not drained")
        deadline = time.monotonic() + 10

        def settled():
            mes.ask_again()
            return len(mes.results) + len(mes.ledger.given_up) >= 1205 or time.monotonic() > deadline

        station.until(settled, "not settled")
        counts = station.outbox.counts
        component = next(item for item in station.health.components if item.name == "mqtt outbox")

    assert [*range(1, 1206)] == sorted([*mes.ledger.given_up, *(told["sequence"] for told in mes.results)])
    assert counts.dropped == len(mes.ledger.given_up) >= 205
    assert (Condition.DEGRADED, True) == (component.condition, "record database" in component.remedy)
    assert json.dumps(mes.answers[0][0]["gone"]).startswith("[[1, ")
