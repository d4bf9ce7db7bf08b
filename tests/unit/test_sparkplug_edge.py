"""The edge node tells, keeps and forgets by the rules of Sparkplug, and what it tells cannot be mistaken for good."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.channels import Heard
from appliance.outputs.outbox import Outbox
from appliance.outputs.sparkplug.bdseq import BirthNumber
from appliance.outputs.sparkplug.edge import Edge, Leave, Message, Names, Session, Subscribe
from appliance.outputs.sparkplug.metrics import (
    BY_NAME,
    DEVICE,
    NODE,
    ON_DEVICE,
    SILENCE,
    alarm_values,
    health_values,
    line_values,
    packml_state,
    result_values,
)
from appliance.outputs.sparkplug.payload import DataType, Metric, Payload, decode, encode
from appliance.outputs.sparkplug.rows import entries, read
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS, S
from appliance.schema.errors import StoreError
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.line import JobMode, LineState
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.verdict import Disposition
from tests.contract.sparkplug_rig import report

NOW = 1_763_000_000_000
HOSTLESS = Names("g", "n", "d")
NAMES = Names("g", "n", "d", "h")
STATE = "spBv1.0/STATE/h"
NCMD = "spBv1.0/g/NCMD/n"
LINE = LineState(at=0, mode=JobMode.CONTINUOUS, handshake="ready", ready=True)


def rebirth(value=True, name="Node Control/Rebirth", kind=DataType.BOOLEAN):
    return encode(Payload((Metric(kind, value, name),), NOW))


def state(online, timestamp):
    return msgspec.json.encode({"online": online, "timestamp": timestamp})


def born(names=HOSTLESS):
    edge = Edge(names)
    edge.open(3)
    acts = edge.connected(NOW)
    if names.host:
        acts = edge.heard(STATE, state(online=True, timestamp=10), NOW, retained=True)
    return edge, acts


def kinds(acts):
    return [act.topic.split("/")[2] if isinstance(act, Message) else type(act).__name__ for act in acts]


def values_of(message):
    by_alias = {definition.alias: definition.name for definition in NODE + DEVICE}
    return {metric.name or by_alias[metric.alias]: metric.value for metric in decode(message.payload).metrics}


def test_without_a_host_births_follow_the_connection():
    """A node that waits for nobody is born at once, after it has subscribed."""
    _, acts = born()

    assert ["Subscribe", "NBIRTH", "DBIRTH"] == kinds(acts)
    assert Subscribe(("spBv1.0/g/NCMD/n", "spBv1.0/g/DCMD/n/d")) == acts[0]


def test_a_host_is_waited_for_at_each_connection():
    """What a host said in an earlier session says nothing about this one, whatever the order of its messages."""
    edge, _ = born(NAMES)
    edge.lost()
    edge.open(4)
    again = edge.connected(NOW)
    online = edge.heard(STATE, state(online=True, timestamp=10), NOW, retained=True)

    assert ["Subscribe"] == kinds(again)
    assert ["NBIRTH", "DBIRTH"] == kinds(online)


@pytest.mark.parametrize(
    ("payload", "acts"),
    [
        (state(online=False, timestamp=9), []),
        (state(online=False, timestamp=10), ["NDEATH", "Leave"]),
        (state(online=False, timestamp=11), ["NDEATH", "Leave"]),
        (state(online=True, timestamp=11), []),
        (b"OFFLINE", []),
        (b'{"online":false}', []),
        (b'{"online":0,"timestamp":11}', []),
        (b'{"online":false,"timestamp":"11"}', []),
    ],
)
def test_only_a_host_that_says_offline_now_ends_the_session(payload, acts):
    """An old word, a broken one or a good one changes nothing; offline with the birth's own time is the host's will."""
    edge, _ = born(NAMES)

    assert acts == kinds(edge.heard(STATE, payload, NOW, retained=False))


def test_a_leave_keeps_the_number_of_the_birth():
    """The death belongs to the birth of the same session and has no sequence number."""
    edge, acts = born()
    death, leave = edge.leave(NOW)

    assert (decode(acts[1].payload).metrics[0].value, 3) == (3, decode(death.payload).metrics[0].value)
    assert (None, 1, Leave()) == (decode(death.payload).seq, death.qos, leave)
    assert [Leave()] == edge.leave(NOW)


@pytest.mark.parametrize(
    ("payload", "retained", "acts", "ignored"),
    [
        (rebirth(), False, ["NBIRTH", "DBIRTH"], 0),
        (rebirth(), True, [], 1),
        (rebirth(value=False), False, [], 1),
        (rebirth(value=1, kind=DataType.INT32), False, [], 1),
        (rebirth(name="Node Control/Reboot"), False, [], 1),
        (rebirth(name="Line/Ready"), False, [], 1),
        (b"\xff\xff", False, [], 1),
        (b"", False, [], 0),
    ],
)
def test_of_all_commands_only_a_rebirth_is_obeyed(payload, retained, acts, ignored):
    """A reader has nothing to write: no command reaches the line, and each is counted."""
    edge, _ = born()

    assert (acts, ignored) == (kinds(edge.heard(NCMD, payload, NOW, retained=retained)), edge.ignored)


def test_a_command_to_the_device_is_ignored():
    """The device has no outputs, whatever its metrics are called."""
    edge, _ = born()

    assert [] == edge.heard("spBv1.0/g/DCMD/n/d", rebirth(), NOW, retained=False)
    assert 1 == edge.ignored


def test_a_rebirth_before_the_host_is_online_is_no_birth():
    """A stranger's command does not take the place of the primary host's word."""
    edge = Edge(NAMES)
    edge.open(0)
    edge.connected(NOW)

    assert [] == edge.heard(NCMD, rebirth(), NOW, retained=False)


@given(st.lists(st.sampled_from(["row", "alarm", "line", "silent", "back", "rebirth"]), max_size=600))
def test_sequence_numbers_have_no_gap(deeds):
    """Whatever is told in which order: NBIRTH is 0, each further message one more, and 0 follows 255."""
    edge, acts = born()
    told = [act for act in acts if isinstance(act, Message)]
    for number, deed in enumerate(deeds):
        match deed:
            case "row":
                told += [edge.row("DDATA", {"Result/Id": str(number)}, NOW, NOW + 1, NOW)] if edge.device_born else []
            case "alarm":
                told.append(edge.row("NDATA", {"Alarm/Kind": str(number)}, NOW, NOW + 1, NOW))
            case "line":
                edge.change({"Count/Parts": number, "Health/Cause": str(number)}, NOW)
                told += edge.changes(NOW)
            case "silent" | "back":
                told += edge.device(lives=deed == "back", now_ms=NOW)
            case "rebirth":
                told += edge.heard(NCMD, rebirth(), NOW, retained=False)
    expected = 0
    faults = []
    for message in told:
        expected = 0 if "/NBIRTH/" in message.topic else expected
        if decode(message.payload).seq != expected:
            faults.append(message.topic)
        expected = (expected + 1) % 256

    assert [] == faults


def test_zero_follows_255():
    """The number has one byte; a host would take 256 for a gap."""
    edge, _ = born()
    numbers = [decode(edge.row("DDATA", {"Result/Id": "1"}, NOW, NOW, NOW).payload).seq for _ in range(600)]

    assert [number % 256 for number in range(2, 602)] == numbers


def test_only_what_changed_is_told_and_births_tell_all():
    """Report by exception: an unchanged value costs no message, and a birth leaves nothing to tell."""
    edge = Edge(HOSTLESS)
    edge.change({"Line/Ready": True, "Health/Condition": "ok"}, NOW)
    edge.open(0)
    edge.connected(NOW)
    after_birth = edge.changes(NOW)
    edge.change({"Line/Ready": True, "Line/Mode": "idle"}, NOW)
    changed = edge.changes(NOW)
    edge.change({"Line/Mode": "idle"}, NOW)

    assert [] == after_birth
    assert [{"Line/Mode": "idle"}] == [values_of(message) for message in changed]
    assert [] == edge.changes(NOW)


def test_values_of_a_dead_device_wait_for_its_birth():
    """Nothing is told of a device after its death; its next birth has the newest values."""
    edge, _ = born()
    (death,) = edge.device(lives=False, now_ms=NOW)
    edge.change({"Line/Ready": False, "Health/Cause": "line is silent"}, NOW)
    meanwhile = edge.changes(NOW)
    (birth,) = edge.device(lives=True, now_ms=NOW)

    assert (["DDEATH"], ()) == (kinds([death]), decode(death.payload).metrics)
    assert ["NDATA"] == kinds(meanwhile)
    assert (["DBIRTH"], False) == (kinds([birth]), values_of(birth)["Line/Ready"])
    assert [] == edge.changes(NOW)


def test_a_row_is_history_when_it_was_stored_before_the_birth():
    """A host files what happened while it was away and keeps its present values."""
    edge, _ = born()
    before = decode(edge.row("DDATA", {"Result/Id": "1"}, NOW - 5, NOW - 1, NOW + 9).payload)
    after = decode(edge.row("DDATA", {"Result/Id": "2"}, NOW - 5, NOW, NOW + 9).payload)

    assert [(True, NOW - 5), (False, NOW - 5)] == [
        (payload.metrics[0].historical, payload.metrics[0].timestamp_ms) for payload in (before, after)
    ]


def test_a_clock_that_is_set_back_does_not_make_history():
    """An hour set back must not hide the present from the host for an hour."""
    edge, _ = born()
    edge.row("DDATA", {"Result/Id": "1"}, NOW, NOW + 1, NOW - 3_600_000)
    later = NOW - 3_600_000 + 5
    told = decode(edge.row("DDATA", {"Result/Id": "2"}, later, later, later).payload)

    assert not told.metrics[0].historical


def test_metrics_are_named_once():
    """Aliases and names are unique over node and device; none but the two controls lacks an alias."""
    definitions = NODE + DEVICE

    assert len(definitions) == len({definition.alias for definition in definitions}) == len(BY_NAME)
    assert len(definitions) == len({definition.name.lower() for definition in definitions})
    assert set(result_values(report(1, NOW * MS))) | {"Result/Sequence"} | set(line_values(LINE)) == ON_DEVICE


@pytest.mark.parametrize("cause", list(Cause))
@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize("disposition", list(Disposition))
def test_good_means_accepted_and_nothing_else(cause, lane, disposition):
    """A screen that colours by Result/Good is never green for a part that was not accepted in time."""
    told = msgspec.structs.replace(report(1, 0), cause=cause, lane=lane, disposition=disposition)
    wanted = lane is Lane.ACCEPT and disposition is Disposition.ACCEPT and cause in {Cause.ACCEPTED, Cause.OPERATOR}

    assert wanted is result_values(told)["Result/Good"]


def test_what_is_not_known_is_null():
    """A score that nobody computed is null, not 0 and not NaN."""
    told = msgspec.structs.replace(report(1, 0), score=math.nan, latency_ms=math.nan, bundle="")

    assert [None] * 3 == [result_values(told)[f"Result/{name}"] for name in ("Score", "Latency ms", "Bundle")]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "Execute"),
        ({"ready": False}, "Suspended"),
        ({"mode": JobMode.IDLE}, "Idle"),
        ({"mode": JobMode.SINGLE}, "Execute"),
        ({"mode": JobMode.HALTED}, "Stopped"),
        ({"error": 3}, "Aborted"),
        ({"sync_lost": True}, "Aborted"),
        ({"mode": JobMode.HALTED, "error": 3}, "Aborted"),
    ],
)
def test_the_line_has_a_packml_state(fields, named):
    """Execute is shown only where the next part is inspected."""
    assert named == packml_state(msgspec.structs.replace(LINE, **fields))


def test_health_shows_the_worst_unit():
    """One word for the whole station, with the cause of its worst component; who is silent has failed."""
    good = Health("judge", Condition.OK, (Component("bundle", Condition.OK, "fine"),), 1, 10 * S)
    bad = Health("line", Condition.DEGRADED, (Component("gate", Condition.DEGRADED, "slow"),), 1, 10 * S)

    assert {"Health/Condition": "degraded", "Health/Cause": "line / gate: slow"} == health_values([good, bad], 10 * S)
    assert {"Health/Condition": "ok", "Health/Cause": ""} == health_values([good], 10 * S + SILENCE - 1)
    assert {"Health/Condition": "failed", "Health/Cause": "judge / service: silent"} == health_values(
        [good], 10 * S + SILENCE
    )
    assert {"Health/Condition": None, "Health/Cause": None} == health_values([], 0)


def test_rows_survive_the_outbox(tmp_path):
    """What was told of a part or an alarm is read back from disk value for value; other facts make no row."""
    told = report(7, NOW * MS)
    alarm = Alarm("line", "sync_lost", "purge the belt", "", 0)
    manual = ManualVerdict("0192-7", told.part, False, "scratch", "op-1", Occasion.REVIEW, 4.5, False, 0, NOW)
    box = Outbox(tmp_path / "box.db")
    for place, fact in enumerate((told, told, alarm, manual)):
        heard = Heard("t", ("t", 1, place), NOW * MS + MS, 0)
        box.put_all([(entries(fact, heard), heard.source)])
    rows = {row.topic: read(row) for row in box.pending(10)}
    box.close()

    assert ({**result_values(told), "Result/Sequence": 1}, NOW, NOW + 1) == rows["DDATA"]
    assert (alarm_values(alarm), NOW + 1, NOW + 1) == rows["NDATA"]
    assert 2 == len(rows)


def test_a_row_of_another_version_keeps_what_is_known():
    """A row that an older version stored with a metric that is gone loses that metric and nothing else."""
    edge, _ = born()
    message = edge.row("DDATA", {"Result/Id": "1", "Result/Colour": "red"}, NOW, NOW, NOW)

    assert {"Result/Id": "1"} == values_of(message)


def test_the_birth_number_counts_on_over_restarts(tmp_path):
    """The first CONNECT of all is 0, each further one is one more, 0 follows 255, and a restart changes nothing."""
    path = tmp_path / "number"
    first = [BirthNumber(path).next() for _ in range(3)]
    path.write_text("255\n")

    assert [0, 1, 2] == first
    assert 0 == BirthNumber(path).next()


@pytest.mark.parametrize("text", ["", "x", "-1", "99999999999999999999", "\xff"])
def test_a_damaged_birth_number_is_a_number_again(tmp_path, text):
    """A file that a crash or a person has spoilt does not keep the node offline."""
    path = tmp_path / "number"
    path.write_bytes(text.encode("latin-1"))

    assert BirthNumber(path).next() in range(256)


def test_a_birth_number_that_cannot_be_kept_is_told(tmp_path):
    """A full or read-only disk is named; the number goes on in memory."""
    number = BirthNumber(tmp_path / "absent" / "number")
    with pytest.raises(StoreError, match="cannot be written"):
        number.next()
    with pytest.raises(StoreError):
        number.next()

    assert 1 == number.last


def test_a_session_ends_with_its_connection():
    """After a loss nothing is told until the births of the next session."""
    edge, _ = born()
    edge.lost()
    edge.change({"Line/Ready": False}, NOW)

    assert Session.OFFLINE is edge.session
    assert ([], [], []) == (
        edge.changes(NOW),
        edge.device(lives=False, now_ms=NOW),
        edge.heard(NCMD, rebirth(), NOW, retained=False),
    )
