"""The plant's outputs share the facts; each has its own rows, its own device and its own words."""

import msgspec
import pytest

from appliance.config import Camera, Config, Loaded, Mcu, Station
from appliance.config_plant import Logix, Mqtt, Sparkplug
from appliance.outputs.channels import Channel, OutboxGrew
from appliance.outputs.mqtt_wishes import Answer, Wish
from appliance.outputs.outbox import Entry, Outbox
from appliance.outputs.part_report import PartReport
from appliance.ports.node import Ask, Publish, Replied, Send
from appliance.schema.clocks import S
from appliance.schema.command import Accepted, RefusedReply, StopJob
from appliance.schema.health import Alarm, Component, Condition
from appliance.schema.line import JobMode, LineState
from appliance.schema.recipe import Recipe
from appliance.services.publish import MQTT, PublishNode, build
from tests.unit.publish_rig import IDENTITY, ManualClock, facts_of, node_of, payloads, tell


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


@pytest.fixture
def node(outbox, clock):
    node = node_of(outbox, clock)
    node.start(clock.now())
    return node


def keep_all(_message, heard):
    return (Entry(f"{heard.topic}:{heard.source}", "result", "other", {"topic": heard.topic}, (), 1 << 62),)


def test_every_channel_keeps_each_fact_in_its_own_words_and_outbox(clock, outbox, tmp_path):
    """Outputs share the facts, not their rows: one that is far behind does not hold another up."""
    second = Outbox(tmp_path / "second.db")
    node = node_of(outbox, clock, Channel("other", second, keep_all))
    outputs = tell(node, clock, facts_of(7))
    kept = [msgspec.json.decode(row.payload) for row in second.pending(10)]
    node.finish(clock.now())

    assert [Send(MQTT, OutboxGrew()), Send("other", OutboxGrew())] == sorted(outputs, key=lambda item: item.device)
    assert ["actuation"] == [message["topic"] for message in kept]


def test_the_place_of_a_fact_is_the_least_that_every_outbox_holds(clock, tmp_path):
    """After a crash between two outboxes both get what either lacks, and none gets anything twice."""
    first, second = Outbox(tmp_path / "first.db"), Outbox(tmp_path / "second.db")
    node = node_of(first, clock, Channel("other", second, keep_all))
    tell(node, clock, facts_of(1))
    alone = node_of(first, clock)
    tell(alone, clock, facts_of(2)[:4])
    alone.receive_envelope("actuation", 5, 9, facts_of(2)[4][1], clock.now())
    again = node_of(first, clock, Channel("other", second, keep_all))
    behind = again.positions()
    tell(again, clock, facts_of(2)[:4])
    again.receive_envelope("actuation", 5, 9, facts_of(2)[4][1], clock.now())
    counts = (first.counts.put, second.counts.put)
    level = again.positions()
    again.finish(clock.now())

    assert ({"actuation": (5, 4)}, {"actuation": (5, 9)}) == (behind, level)
    assert (2, 2) == counts


def test_an_outbox_of_another_time_is_given_everything_again(clock, tmp_path):
    """A new output, or one whose facts come from another life of the writer, has no place to go on from."""
    first, second = Outbox(tmp_path / "first.db"), Outbox(tmp_path / "second.db")
    tell(node_of(first, clock), clock, facts_of(1), epoch=5)
    with_new = node_of(first, clock, Channel("other", second, keep_all)).positions()
    tell(PublishNode(IDENTITY, (Channel("other", second, keep_all),), clock), clock, facts_of(1), epoch=6)
    node = node_of(first, clock, Channel("other", second, keep_all))
    with_old = node.positions()
    node.finish(clock.now())

    assert ({}, {}) == (with_new, with_old)


def test_what_a_channel_wants_live_reaches_its_device_at_once(clock):
    """A channel without an outbox is told each part once, and of everything else only what it asked for."""
    logix = Channel("logix", live=(PartReport, LineState))
    node = PublishNode(IDENTITY, (logix,), clock)
    state = LineState(clock.now(), JobMode.CONTINUOUS, "ready", ready=True)
    outputs = [*tell(node, clock, facts_of(7)), *node.receive("line.state", state, clock.now())]
    outputs += node.receive("alarm.judge", Alarm("judge", "pairing_mismatch", "text"), clock.now())

    assert [PartReport, LineState] == [type(output.message) for output in outputs]
    assert ({"logix"}, True) == ({output.device for output in outputs}, "line.state" in node.topics)
    assert "line.state" not in PublishNode(IDENTITY, (Channel("x"),), clock).topics


def test_alarms_and_decisions_wait_for_a_disk_with_room(node, clock, outbox):
    """Not only results survive a full disk: whatever the plant must know does, in its order."""
    pages = outbox._database.execute("PRAGMA page_count").fetchone()[0]
    outbox._database.execute(f"PRAGMA max_page_count={pages}")
    alarms = [("alarm.judge", Alarm("judge", "pairing_mismatch", "x" * 500, str(number))) for number in range(60)]
    tell(node, clock, alarms)
    during = len(payloads(outbox))
    outbox._database.execute("PRAGMA max_page_count=100000")
    clock.host += 2 * S
    node.wake(clock.now())

    assert during < 60
    assert [str(number) for number in range(60)] == [message["part"] for message in payloads(outbox)]


def test_a_wish_reaches_its_owner_and_the_answer_comes_back(node, clock):
    """The service decides nothing: who owns the thing answers."""
    (asked,) = node.receive(f"device:{MQTT}", Wish(3, "line", StopJob("mqtt:mes-1")), clock.now())
    granted = node.receive("reply:line", Replied(3, Accepted("job-1")), clock.now())
    refused = node.receive("reply:line", Replied(4, RefusedReply("no job runs")), clock.now())

    assert Ask("line", StopJob("mqtt:mes-1"), 3) == asked
    assert [Send(MQTT, Answer(3, True, "job-1")), Send(MQTT, Answer(4, False, "no job runs"))] == [*granted, *refused]


def test_the_condition_of_a_device_is_shown_as_it_says(clock):
    """Each output explains itself; the service only passes it on."""
    node = PublishNode(IDENTITY, (Channel("logix"),), clock)
    component = Component("logix", Condition.DEGRADED, "controller is silent", "look at its cable")
    outputs = node.receive("device:logix", component, clock.now())

    assert [(component,)] == [item.message.components for item in outputs if isinstance(item, Publish)]


def loaded_of(tmp_path, mqtt, **tables):
    station = Station("cell-4", str(tmp_path / "state"), str(tmp_path / "run"))
    mcu = Mcu(link=str(tmp_path / "mcu"), counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200)
    camera = Camera(producer=str(tmp_path / "none.cti"), serial="1", width_px=640, height_px=480)
    config = Config(station, mcu, {"top": camera}, mqtt=mqtt, **tables)
    return Loaded(config, Recipe("r", 1, ("top",), "b"), tmp_path / "station.toml", "0" * 64)


def test_only_what_is_configured_is_made(tmp_path, clock):
    """A station without a broker makes no file; with one it obeys the bound and finds files beside its own."""
    nothing, none = build(loaded_of(tmp_path, Mqtt()), clock)
    is_empty = not (tmp_path / "state").exists()
    node, devices = build(loaded_of(tmp_path, Mqtt("broker", 1, limit=1000, ca="ca.pem")), clock)
    (outbox,) = (tmp_path / "state").glob("*.db")
    settings = (devices[MQTT]._mqtt.ca, devices[MQTT]._outbox._limit)
    devices[MQTT].close()
    node.finish(clock.now())

    assert ({}, True, {}) == (none, is_empty, nothing.positions())
    assert ("outbox.db", (str(tmp_path / "ca.pem"), 1000)) == (outbox.name, settings)


def test_sparkplug_and_logix_have_their_own_devices(tmp_path, clock):
    """Each output stands for itself; sparkplug keeps its own rows."""
    tables = {"sparkplug": Sparkplug("plant"), "logix": Logix("192.168.0.1")}
    node, devices = build(loaded_of(tmp_path, Mqtt("broker", 1), **tables), clock)
    files = sorted(path.name for path in (tmp_path / "state").glob("*.db"))
    for device in devices.values():
        device.close()
    node.finish(clock.now())

    assert ([MQTT, "sparkplug", "logix"], ["outbox.db", "sparkplug.db"]) == ([*devices], files)
