"""The publish service tells each part once, with all that is known of it."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.outputs.channels import Channel, OutboxGrew
from appliance.outputs.mqtt_state import MqttState
from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import PartReport
from appliance.ports.node import Send
from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import MS, S
from appliance.schema.command import Accepted, Drain, RefusedReply, ResetFault
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.line import LineState
from appliance.schema.part import PartId
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.topics import SEALED, SEED
from appliance.schema.verdict import Disposition
from appliance.services.publish import GRACE, MQTT, PublishNode
from tests.unit.publish_rig import IDENTITY, UTC, ManualClock, facts_of, node_of, payloads, tell


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


def test_a_result_says_what_happened_to_the_part(node, clock, outbox):
    """The plant reads the physical truth and why, with times in UTC and ids that never change."""
    outputs = tell(node, clock, facts_of(7))
    (row,) = outbox.pending(10)
    message = msgspec.json.decode(row.payload)

    assert [Send(MQTT, OutboxGrew())] == outputs
    assert ("insp/v1/site/line/cell-4/result", UTC + 4 * S + 604_800 * S) == (row.topic, row.expires)
    assert (("schema", "firstshift.result.1"), ("recipe_sha256", "ab" * 32)) == row.properties
    assert {
        "schema": "firstshift.result.1",
        "result_id": "site/line/cell-4/a0b1c2d3-000007",
        "station": "site/line/cell-4",
        "part": "a0b1c2d3-000007",
        "disposition": "reject",
        "lane": "reject",
        "cause": "decided_reject",
        "verdict": "reject",
        "reasons": ["above_reject_limit"],
        "bundle": "sha256:ab",
        "precision": "bf16",
        "job": "job-1",
        "recipe": "caps",
        "recipe_sha256": "ab" * 32,
        "latency_ms": 20.0,
        "entered": "2025-11-13T02:13:21.000000+00:00",
        "decided": "2025-11-13T02:13:21.030000+00:00",
        "actuated": "2025-11-13T02:13:23.000000+00:00",
        "replayed": False,
        "stream": outbox.stream,
        "sequence": 1,
    } == message


def test_what_people_decide_and_do_is_told_once_without_their_names(node, clock, outbox):
    """The plant learns the decision and where the part was put; who it was stays in the record."""
    part = PartId(0xA0B1C2D3, 7)
    manual = ManualVerdict("0192-7", part, False, "scratch", "op-1", Occasion.REVIEW, 4.5, False, 3 * S, UTC + 3 * S)
    hand = HandActuation(part, Lane.REJECT, Cause.OPERATOR, "0192-7", "op-1", 3 * S + 500 * MS)
    outputs = tell(node, clock, [("manual", manual)]) + tell(node, clock, [("hand", hand)])
    tell(node, clock, [("manual", manual)], epoch=6)
    told = payloads(outbox)

    assert [Send(MQTT, OutboxGrew())] * 2 == outputs
    assert ["insp/v1/site/line/cell-4/manual", "insp/v1/site/line/cell-4/hand"] == [
        row.topic for row in outbox.pending(10)
    ]
    assert [
        ("firstshift.manual.1", "a0b1c2d3-000007", False, "scratch", "review", "2025-11-13T02:13:23.000000+00:00"),
        ("firstshift.hand.1", "a0b1c2d3-000007", "reject", "2025-11-13T02:13:23.500000+00:00"),
    ] == [
        tuple(told[0][key] for key in ("schema", "part", "accept", "kind", "occasion", "decided")),
        tuple(told[1][key] for key in ("schema", "part", "lane", "moved")),
    ]
    assert "op-1" not in str(told)


def test_nothing_that_is_hidden_is_heard_here():
    """Sealed verdicts and seeded parts never reach the plant's network."""
    everything = Channel("all", live=(PartReport, LineState, Health, Alarm))

    assert not {SEALED, SEED} & set(PublishNode(IDENTITY, (everything,), ManualClock()).topics)


def test_only_an_actuation_makes_a_result(node, clock, outbox):
    """Verdicts are intentions; the plant is told what the gate did."""
    tell(node, clock, facts_of(7)[:4])
    node.wake(clock.now() + 10 * S)

    assert [] == payloads(outbox)


def test_a_part_without_a_verdict_is_told_at_once(node, clock, outbox):
    """The gate's own default is a result like any other."""
    silent = Actuation(PartId(1, 1), Lane.REJECT, Cause.HOST_LOST, Disposition.NO_VERDICT, 0, 3 * S, 1, 1)
    tell(node, clock, [("actuation", silent)])
    (message,) = payloads(outbox)

    assert ("no_verdict", "host_lost", None, [], None) == (
        message["disposition"],
        message["cause"],
        message["verdict"],
        message["reasons"],
        message["latency_ms"],
    )


def test_a_verdict_on_its_way_is_waited_for_but_not_for_long(node, clock, outbox):
    """The two halves come over two sockets; a lost half delays the truth by the grace only, and order is kept."""
    tell(node, clock, facts_of(1)[4:])
    tell(node, clock, facts_of(2), epoch=6)
    before = payloads(outbox)
    due = node.wake_at
    clock.host += GRACE
    node.wake(clock.now())

    assert ([], clock.now()) == (before, due)
    assert ["a0b1c2d3-000001", "a0b1c2d3-000002"] == [message["part"] for message in payloads(outbox)]
    assert [None, "reject"] == [message["verdict"] for message in payloads(outbox)]


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=25))
@settings(max_examples=15)
def test_each_part_is_told_exactly_once_through_restarts_and_replays(tmp_path_factory, turns):
    """Whatever is told again after a crash, the plant sees one result per actuation."""
    clock = ManualClock()
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(folder / "outbox.db")
    node = node_of(outbox, clock)
    for number, is_crash in turns:
        tell(node, clock, facts_of(number))
        for row in outbox.pending(1):
            outbox.done(row.id)
        if is_crash:
            outbox.close()
            outbox = Outbox(folder / "outbox.db")
            node = node_of(outbox, clock)
    counts = outbox.counts
    outbox.close()

    assert len({number for number, _ in turns}) == counts.put == counts.acked + counts.pending


def test_the_place_of_an_actuation_is_held_only_with_its_row(node, clock):
    """After a crash the loop asks for every actuation that is not in the outbox."""
    tell(node, clock, facts_of(1)[4:])
    waiting = node.positions()
    clock.host += GRACE
    node.wake(clock.now())

    assert ({}, {"actuation": (5, 0)}) == (waiting, node.positions())


def test_alarms_are_told_once(node, clock, outbox):
    """An alarm replayed after a restart is the same alarm."""
    alarm = ("alarm.judge", Alarm("judge", "pairing_mismatch", "text", "p", 3 * S))
    tell(node, clock, [alarm])
    tell(node, clock, [alarm])
    (row,) = outbox.pending(10)

    assert "insp/v1/site/line/cell-4/alarm" == row.topic
    assert "pairing_mismatch" == msgspec.json.decode(row.payload)["kind"]


def test_a_full_disk_delays_results_and_loses_none(node, clock, outbox):
    """The service says that it cannot, tries again each second, and catches up."""
    pages = outbox._database.execute("PRAGMA page_count").fetchone()[0]
    outbox._database.execute(f"PRAGMA max_page_count={pages}")
    numbers = range(1, 60)
    for number in numbers:
        tell(node, clock, facts_of(number), epoch=number)
    clock.host += S
    (failed,) = [output.message for output in node.wake(clock.now()) if hasattr(output, "topic")]
    outbox._database.execute("PRAGMA max_page_count=100000")
    clock.host = max(clock.host + 2 * S, node.wake_at)
    (well,) = [output.message for output in node.wake(clock.now()) if hasattr(output, "topic")]

    assert (Condition.FAILED, Condition.OK) == (failed.components[0].condition, well.components[0].condition)
    assert [*numbers] == [int(message["part"][9:]) for message in payloads(outbox)]


@pytest.mark.parametrize(
    ("state", "condition", "words"),
    [
        (MqttState(), Condition.STARTING, "not connected yet"),
        (MqttState(fault="broker b:1 cannot be reached"), Condition.DEGRADED, "cannot be reached"),
        (
            MqttState(True, "5", denied=("insp/x: Not authorized",)),
            Condition.DEGRADED,
            "refuses insp/x: Not authorized",
        ),
        (MqttState(True, "5", unheard="commands are not heard"), Condition.DEGRADED, "not heard"),
        (MqttState(True, "5", unnoted="disk full"), Condition.DEGRADED, "disk full"),
        (
            MqttState(True, "5", certificate=Component("mqtt", Condition.DEGRADED, "x.pem expires", "renew it")),
            Condition.DEGRADED,
            "x.pem expires",
        ),
        (
            MqttState(fault="broker gone", certificate=Component("mqtt", Condition.FAILED, "x.pem expired", "renew")),
            Condition.DEGRADED,
            "broker gone; x.pem expired",
        ),
        (MqttState(True, "3.1.1"), Condition.OK, "no message expiry"),
        (MqttState(True, "5"), Condition.OK, "connected, MQTT 5"),
    ],
)
def test_the_state_of_the_broker_is_told_with_its_cause(node, clock, state, condition, words):
    """A technician reads what is wrong and what to do."""
    told = node.receive(f"device:{MQTT}", state, clock.now())
    clock.host += S
    health = next(output.message for output in (*node.wake(clock.now()), *told) if isinstance(output.message, Health))
    component = health.components[1]

    assert condition == component.condition
    assert words in component.cause
    assert component.remedy or condition is Condition.OK


def test_without_a_broker_nothing_is_kept(clock):
    """A station without [mqtt] fills no disk and is healthy."""
    node = PublishNode(IDENTITY, (), clock)
    started = [output.message for output in node.start(clock.now())]
    outputs = tell(node, clock, facts_of(1))

    assert ([Health], []) == ([type(message) for message in started], outputs)
    assert (Condition.OK, {}) == (started[0].condition, node.positions())


def test_lost_actuations_are_an_alarm(node, clock, outbox):
    """A result the plant will never get is said aloud."""
    (output,) = node.lost("actuation", 2, clock.now())
    clock.host += S
    health = next(item.message for item in node.wake(clock.now()) if isinstance(item.message, Health))

    assert ("results_lost", ()) == (output.message.kind, tuple(node.lost("verdict", 2, clock.now())))
    assert ["results_lost"] == [message["kind"] for message in payloads(outbox)]
    assert Condition.DEGRADED == health.components[0].condition


def test_drain_puts_what_waits(node, clock, outbox):
    """A stop in order leaves no result behind."""
    tell(node, clock, facts_of(1)[4:])
    reply, _ = node.command(Drain(), clock.now())
    refusal, _ = node.command(ResetFault("op-1"), clock.now())

    assert (Accepted, RefusedReply, 1) == (type(reply), type(refusal), len(payloads(outbox)))
