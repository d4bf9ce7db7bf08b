"""Wishes over MQTT: what may be asked, who is told, and that none of it opens the gate."""

import json
import random
import time
import typing
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.mqtt_desk import OPEN_LIMIT, Desk, Received, Repeat, Response
from appliance.outputs.mqtt_wishes import LIMIT, Answer, Wish, read_wish
from appliance.outputs.outbox import Again
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import (
    AbortJob,
    Command,
    HaltLine,
    PrepareRecipe,
    RefusedReply,
    ResetFault,
    SeedPart,
    StartJob,
    StopJob,
)
from appliance.schema.errors import Refused
from appliance.schema.part import PartId
from appliance.services.line import LineNode
from appliance.sim.broker import mosquitto_path
from appliance.sim.line_world import LineWorld
from appliance.sim.plant_network import Authority, PlantBroker
from appliance.sim.scenario import Action
from firmware_bridge.build import build_core
from tests.contract.mqtt_rig import PREFIX, Mes, Station, running, settings

needs_mosquitto = pytest.mark.skipif(not mosquitto_path(), reason="mosquitto is not installed")
HARMLESS = {StartJob, StopJob, AbortJob, HaltLine, ResetFault, PrepareRecipe, SeedPart}
"""What MQTT may ask of other units; none says anything about a part's quality or the belt's emptiness."""

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
NAMES = ["start", "stop", "abort", "halt", "reset", "prepare_recipe", "seed", "replay"]


def received(name="stop", payload=b"{}", **fields):
    given = {"at": 0, "correlation": b"c-1", "response_topic": f"{PREFIX}/answer/mes-1", **fields}
    return Received(f"{PREFIX}/cmd/{name}/mes-1", payload, **given)


def answer_of(response):
    assert isinstance(response, Response), response
    return json.loads(response.payload)


@pytest.mark.parametrize(
    ("name", "payload", "unit", "command"),
    [
        ("start", b"", "line", StartJob(False, "mqtt:mes-1")),
        (
            "start",
            b'{"single":true,"measurement":"m","part":"p","recipe":"r","product":"q"}',
            "line",
            StartJob(True, "mqtt:mes-1", "m", "p", "r", "q"),
        ),
        ("stop", b"{}", "line", StopJob("mqtt:mes-1")),
        ("abort", b"{}", "line", AbortJob("mqtt:mes-1")),
        ("halt", b"{}", "line", HaltLine("mqtt:mes-1")),
        ("reset", b"{}", "line", ResetFault("mqtt:mes-1")),
        ("prepare_recipe", b'{"number":7}', "line", PrepareRecipe(7, "mqtt:mes-1")),
        ("seed", b'{"kind":"scratch"}', "record", SeedPart("scratch", "mqtt:mes-1")),
        (
            "seed",
            b'{"kind":"scratch","part":"a0b1c2d3-000007"}',
            "record",
            SeedPart("scratch", "mqtt:mes-1", PartId(0xA0B1C2D3, 7)),
        ),
    ],
)
def test_each_wish_asks_its_owner_in_the_senders_name(name, payload, unit, command):
    """The owner decides and writes the audit entry; it learns who asked, as the broker let the sender call itself."""
    wish = Desk(PREFIX).take(received(name, payload), 0)

    assert Wish(1, unit, command) == wish


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        ("accept", b"{}", "no command here"),
        ("eject", b"{}", "no command here"),
        ("decide_part", b'{"accept":true}', "no command here"),
        ("stop", b"not json", "send a JSON object with no fields"),
        ("stop", b"\xff\xfe", "JSON object"),
        ("stop", b"[]", "JSON object"),
        ("stop", b'{"accept":true}', "unknown field"),
        ("start", b'{"single":"yes"}', "Expected `bool`"),
        ("start", b'{"part":"' + b"x" * 81 + b'"}', "length"),
        ("start", b"{" + b" " * LIMIT + b"}", "exceed 4096"),
        ("start", b"[" * 3000, "JSON"),
        ("prepare_recipe", b"{}", "missing required field `number`"),
        ("prepare_recipe", b'{"number":0}', ">= 1"),
        ("seed", b'{"kind":"scratch","part":"7"}', "matching regex"),
        ("replay", b'{"first":1,"count":1001}', "<= 1000"),
        ("replay", b'{"first":1,"topic":"cmd"}', "matching regex"),
    ],
)
def test_what_is_no_wish_of_ours_is_refused_with_the_reason(name, payload, words):
    """Unknown names, bad JSON, wrong types, unknown fields and sizes all get an answer, and nobody else hears of it."""
    answer = answer_of(Desk(PREFIX).take(received(name, payload), 0))

    assert (False, name, "firstshift.answer.1") == (answer["granted"], answer["command"], answer["schema"])
    assert words in answer["text"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"retained": True}, "retained"),
        ({"correlation": b""}, "no correlation data"),
        ({"correlation": b"x" * 65}, "exceed 64"),
    ],
)
def test_a_wish_that_could_come_twice_is_refused(fields, words):
    """A retained wish comes at every connection; one without correlation data cannot be told from its repetition."""
    assert words in answer_of(Desk(PREFIX).take(received(**fields), 0))["text"]


def test_a_repetition_is_answered_and_not_carried_out():
    """QoS 1 delivers at least once; the line is asked at most once."""
    desk = Desk(PREFIX)
    first = desk.take(received(), 0)
    at_work = desk.take(received(), 0)
    answered = desk.answered(Answer(first.ticket, True, "job-1"))
    again = desk.take(received("start", b'{"single":true}'), 0)
    other = desk.take(received(correlation=b"c-2"), 0)

    assert (None, answered, Wish) == (at_work, again, type(other))
    assert ("job-1", b"c-1", f"{PREFIX}/answer/mes-1") == (
        answer_of(answered)["text"],
        answered.correlation,
        answered.topic,
    )


def test_an_expired_wish_is_dropped():
    """Who gave a wish a life of 2 s does not want it later."""
    desk = Desk(PREFIX)

    assert desk.take(received(expiry_s=2), 2 * S) is None
    assert (Wish, 1) == (type(desk.take(received(expiry_s=2), 2 * S - 1)), desk.ignored)


@pytest.mark.parametrize(
    "topic",
    [
        f"{PREFIX}/result",
        f"{PREFIX}/cmd/stop",
        "insp/v1/other/line/cell/answer/x",
        f"{PREFIX}/answer/",
        f"{PREFIX}/answer/#",
    ],
)
def test_answers_go_below_the_stations_own_answer_topic_only(topic):
    """A wish must not make the station speak as somebody else, least of all as its own results."""
    desk = Desk(PREFIX)

    assert desk.take(received(response_topic=topic), 0) is None
    assert 1 == desk.ignored


def test_who_names_no_response_topic_gets_the_answer_at_its_own_name():
    """On `cmd/<name>/<identity>` the place of the answer is known; on `cmd/<name>` nobody waits for one."""
    desk = Desk(PREFIX)
    named = desk.take(received("nonsense", response_topic=""), 0)
    unnamed = desk.take(Received(f"{PREFIX}/cmd/stop", b"{}", 0, correlation=b"c-2"), 0)

    assert f"{PREFIX}/answer/mes-1" == named.topic
    assert StopJob("mqtt:unnamed") == unnamed.command


def test_open_wishes_are_bounded():
    """A flood of wishes waits outside, not in the line's queue."""
    desk = Desk(PREFIX)
    taken = [desk.take(received(correlation=f"c-{number}".encode()), 0) for number in range(OPEN_LIMIT + 1)]

    assert [Wish] * OPEN_LIMIT == [type(item) for item in taken[:-1]]
    assert "wait for their answers" in answer_of(taken[-1])["text"]


def test_a_replay_names_what_is_gone():
    """Waiting for what the station no longer has would be for ever."""
    desk = Desk(PREFIX)
    repeat = desk.take(received("replay", b'{"first":5,"count":10}'), 0)
    answer = answer_of(desk.repeated(repeat.ticket, Again(8, ((6, 7),))))

    assert isinstance(repeat, Repeat)
    assert (5, 10, "result") == (repeat.wish.first, repeat.wish.count, repeat.wish.topic)
    assert (True, 8, [[6, 7]]) == (answer["granted"], answer["waiting"], answer["gone"])


words_of_commands = st.sampled_from(
    sorted({name for kind in typing.get_args(Command) for name in (kind.__name__, *kind.__struct_fields__)})
)
names = st.sampled_from(NAMES) | st.text(max_size=12) | words_of_commands
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 1 << 65) | st.text(max_size=6) | st.just("a0b1c2d3-000007"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6) | words_of_commands, inner, max_size=4)
    ),
    max_leaves=6,
)
payloads = st.binary(max_size=60) | st.dictionaries(words_of_commands | st.text(max_size=6), values, max_size=4).map(
    lambda told: json.dumps(told).encode()
)


@given(names, payloads)
def test_nothing_over_mqtt_can_make_an_accept(name, payload):
    """No handshake, no eject, no verdict of a person, no end of a purge, no bundle: whatever comes asks for none."""
    try:
        asked = read_wish(name, payload, "mqtt:mes-1")
    except Refused:
        return
    command = asked[1] if isinstance(asked, tuple) else None

    assert command is None or type(command) in HARMLESS
    assert "accept" not in (command.__struct_fields__ if command is not None else ())
    assert command is None or "mqtt:mes-1" in msgspec.structs.astuple(command)


def test_the_list_of_harmless_wishes_is_the_whole_list():
    """A new kind of command is not to be reachable by accident: what is not listed here has no name on MQTT."""
    beyond = {kind.__name__ for kind in typing.get_args(Command)} - {kind.__name__ for kind in HARMLESS}

    assert {"DecidePart", "PurgeDone", "ActivateBundle", "QuarantinePart", "ReinspectPart"} <= beyond


@pytest.mark.parametrize("controlled", [True, False])
def test_whatever_comes_over_mqtt_no_part_is_accepted_without_a_verdict(controlled):
    """The line with its firmware, the judge silent, every wish there is, over and over: no part meets an open gate."""
    chance = random.Random(5)
    world = LineWorld(build_core(BUILD), 60, 20.0, 5, line=partial(LineNode, controlled=controlled))
    desk, replies = Desk(PREFIX), []

    def wish():
        name = chance.choice([name for name in (*NAMES, "accept", "eject") if name != "prepare_recipe"])  # it has one
        payload = b'{"kind":"scratch"}' if name == "seed" else b"{}"
        taken = desk.take(received(name, payload, correlation=str(world.world.now).encode()), 0)
        if isinstance(taken, Wish) and taken.unit in world.world.units:
            world.world.ask(taken.unit, taken.command, replies.append)
        if isinstance(taken, Wish):
            desk.answered(Answer(taken.ticket, True, ""))

    for at in range(0, 5000, 40):
        world.world.at(HostNs(world.world.now + at * MS), wish)
    world.play([Action(0, "freeze", "judge", 3600 * S)])

    assert (0, 60) == (world.accepted, len(world.actuations))
    assert len(replies) > 30


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("plant"))


@pytest.fixture
def broker(plant, tmp_path):
    with running(PlantBroker(tmp_path / "broker", plant)) as broker:
        yield broker


@needs_mosquitto
def test_a_wish_is_carried_out_and_answered_over_the_broker(plant, broker, tmp_path):
    """Response topic, correlation data and the owner's own words, under the sender's name."""
    with (
        Station(tmp_path, settings(broker.port, plant)) as station,
        Mes(broker.port, plant, "cell-control") as control,
    ):
        station.until(lambda: control.states)
        control.command("start", {"single": True}, correlation=b"one")
        station.until(lambda: control.answers)
        station.reply = RefusedReply("no job runs")
        control.command("stop", {}, correlation=b"two")
        control.command("stop", {"now": True}, correlation=b"three")
        station.until(lambda: len(control.answers) == 3)
        asked = [(item.unit, item.command) for item in station.asked]
        told = {correlation: (answer["granted"], answer["text"]) for answer, correlation in control.answers}

    assert [("line", StartJob(True, "mqtt:cell-control")), ("line", StopJob("mqtt:cell-control"))] == asked
    assert ((True, "job-1"), (False, "no job runs"), False) == (told[b"one"], told[b"two"], told[b"three"][0])


@needs_mosquitto
def test_the_access_list_keeps_other_wishes_and_names_out(plant, broker, tmp_path):
    """Who may read results may not start the line, and nobody may use another's name."""
    with (
        Station(tmp_path, settings(broker.port, plant)) as station,
        Mes(broker.port, plant) as mes,
        Mes(broker.port, plant, "cell-control") as control,
    ):
        station.until(lambda: mes.states and control.states)
        mes.command("start", {})
        mes.command("start", {}, sender="cell-control")
        control.command("start", {}, sender="mes-1")
        control.command("prepare_recipe", {"number": 1})
        control.command("stop", {})
        station.until(lambda: control.answers)

    assert [StopJob("mqtt:cell-control")] == [item.command for item in station.asked]


@needs_mosquitto
def test_a_retained_wish_does_not_fire_at_a_reconnect(plant, broker, tmp_path):
    """It is refused when it comes, and the broker is told not to send it again."""
    with Mes(broker.port, plant, "cell-control") as control:
        with Station(tmp_path, settings(broker.port, plant)) as station:
            station.until(lambda: control.states)
            control.command("start", {}, retain=True)
            station.until(lambda: control.answers)
        with Station(tmp_path, settings(broker.port, plant)) as again:
            again.until(lambda: again.state.connected)
            control.command("stop", {})
            again.until(lambda: len(control.answers) == 2)
            asked = [item.command for item in (*station.asked, *again.asked)]

    assert [StopJob("mqtt:cell-control")] == asked
    assert "retained" in control.answers[0][0]["text"]


@needs_mosquitto
def test_without_the_setting_no_wish_is_heard(plant, broker, tmp_path):
    """A station listens only where its configuration says so."""
    with (
        Station(tmp_path, settings(broker.port, plant, commands=False)) as station,
        Mes(broker.port, plant, "cell-control") as control,
    ):
        station.until(lambda: control.states)
        control.command("stop", {}).wait_for_publish(5)
        until = time.monotonic() + 0.3
        station.until(lambda: time.monotonic() > until)

    assert ([], []) == (station.asked, control.answers)


def test_an_answer_that_comes_late_is_no_other_wishs_answer():
    """The owner may answer after the wish was given up; then nobody is told anything wrong."""
    desk = Desk(PREFIX)
    wish = desk.take(received(), 0)
    first = desk.answered(Answer(wish.ticket, False, "line: no answer in time"))

    assert (False, None) == (answer_of(first)["granted"], desk.answered(Answer(wish.ticket, True, "job-1")))
