"""What a person was told is kept, is kept, and is told to `record` once, in order."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.command import Accepted, DecidePart, Drain, NoteDeed, RefusedReply, SubmitLabel
from appliance.schema.errors import StoreError
from appliance.schema.ids import uuid7
from appliance.schema.label import Label, LabelLevel
from appliance.schema.part import PartId
from hmi.outbox import AGAIN, WINDOW, Outbox, Standing, id_of, new_id, thing_of

UTC = UtcNs(1_800_000_000 * S)
BEGIN = HostNs(100 * S)
BUSY = RefusedReply("record: nothing can be kept now", again=True)
NO = RefusedReply("part 7: its label stands above this level; ask a quality engineer")


def label(name, part=1):
    return SubmitLabel(Label(name, PartId(7, part), LabelLevel.CONFIRM, "o-1", "good", 3.0, False, UTC))


def note(name):
    return NoteDeed(name, AuditRequest("o-1", "signed_in", "o-1"), UTC)


@pytest.fixture
def outbox(tmp_path):
    made = Outbox(tmp_path)
    yield made
    made.close()


def sent(outbox, now=BEGIN, first=1):
    """Give what may be sent now, with its tickets."""
    found = {}
    ticket = first
    while (entry := outbox.to_send(ticket, now)) is not None:
        found[ticket] = entry.id
        ticket += 1
    return found


def test_what_was_put_is_on_the_disk(tmp_path, outbox):
    """A wish that was put is there after a crash: another process would find it."""
    outbox.put(label("a"), BEGIN, UTC)
    outbox.put(note("b"), BEGIN, UTC)
    outbox._lock.release()
    again = Outbox(tmp_path)
    found = [(entry.id, entry.command) for entry in again.pending()]
    again.close()
    outbox._lock = type("Nothing", (), {"release": lambda _self: None})()

    assert [("a", label("a")), ("b", note("b"))] == found


@pytest.mark.usefixtures("outbox")
def test_only_one_touchscreen_has_it(tmp_path):
    """Two writers of one file are refused."""
    with pytest.raises(StoreError, match="already written by process"):
        Outbox(tmp_path)


def test_it_takes_nothing_that_must_not_come_twice(outbox):
    """A decision sent again would be another decision; the outbox refuses it."""
    with pytest.raises(TypeError, match="DecidePart must not come twice"):
        outbox.put(DecidePart(PartId(7, 1), True, "good", "o-1", 2.0), BEGIN, UTC)


def test_the_same_wish_put_twice_counts_once(outbox):
    """Neither while it waits nor after it was accepted is it sent again."""
    for _ in range(2):
        outbox.put(label("a"), BEGIN, UTC)
    first = sent(outbox)
    outbox.answered(1, Accepted(), BEGIN, UTC)
    outbox.put(label("a"), BEGIN, UTC)

    assert ({1: "a"}, {}) == (first, sent(outbox, first=2))


def test_what_is_held_back_can_be_withdrawn(outbox):
    """For so long nothing is sent, and undo takes it back for good; afterwards it cannot."""
    outbox.put(label("a"), BEGIN, UTC, hold_s=10)
    outbox.put(label("b", 2), BEGIN, UTC, hold_s=10)
    early = sent(outbox, HostNs(BEGIN + 9 * S))
    withdrawn = outbox.withdraw("a", UTC)
    late = sent(outbox, HostNs(BEGIN + 10 * S))

    assert ({}, True, {1: "b"}) == (early, withdrawn, late)
    assert [False, False] == [outbox.withdraw(name, UTC) for name in ("a", "b")]


def test_what_is_held_back_goes_out_after_a_restart(tmp_path, outbox):
    """Nobody can undo any more on a screen that has started again, so the wish is sent."""
    outbox.put(label("a"), BEGIN, UTC, hold_s=10)
    outbox.close()
    again = Outbox(tmp_path)
    found, withdrawn = sent(again, HostNs(0)), again.withdraw("a", UTC)
    again.close()
    outbox.__init__(tmp_path)

    assert ({1: "a"}, False) == (found, withdrawn)


def test_what_is_held_back_can_be_released(outbox):
    """Who signs out leaves nothing behind that could be undone."""
    outbox.put(label("a"), BEGIN, UTC, hold_s=10)
    outbox.release(BEGIN)

    assert {1: "a"} == sent(outbox)


def test_wishes_about_one_thing_keep_their_order(outbox):
    """The second label of a part waits for the answer to the first; other parts do not wait."""
    for name, part in (("a", 1), ("b", 1), ("c", 2)):
        outbox.put(label(name, part), BEGIN, UTC)
    first = sent(outbox)
    outbox.answered(1, BUSY, BEGIN, UTC)
    meanwhile = sent(outbox, first=3)
    later = sent(outbox, HostNs(BEGIN + AGAIN[0]), first=4)
    outbox.answered(4, Accepted(), BEGIN, UTC)

    assert ({1: "a", 2: "c"}, {}, {4: "a"}) == (first, meanwhile, later)
    assert {5: "b"} == sent(outbox, HostNs(BEGIN + AGAIN[0]), first=5)


def test_a_bad_moment_is_tried_again_for_ever(outbox):
    """No answer, a full disk, a service that starts: the wish is sent again, ever more patiently, and never dropped."""
    outbox.put(label("a"), BEGIN, UTC)
    now, waits = BEGIN, []
    for ticket in range(1, 13):
        assert outbox.to_send(ticket, now).id == "a"
        outbox.answered(ticket, BUSY, now, UTC)
        wait = 0
        while outbox.to_send(99, HostNs(now + wait)) is None:
            wait += S
        outbox._sent.pop(99)
        waits.append(wait // S)
        now = HostNs(now + wait)

    assert sorted(waits) == waits
    assert max(waits) <= max(AGAIN) // S
    assert (Standing.WAITING, BUSY.reason) == (outbox.pending()[0].state, outbox.pending()[0].reason)


def test_a_refusal_is_kept_and_shown(tmp_path, outbox):
    """What `record` will not take is never sent again, and stays until somebody has looked."""
    outbox.put(label("a"), BEGIN, UTC)
    sent(outbox)
    outbox.answered(1, NO, BEGIN, UTC)
    again = sent(outbox, HostNs(BEGIN + 60 * S), first=2)
    outbox.close()
    outbox.__init__(tmp_path)
    shown = outbox.refused()
    outbox.dismiss("a", UTC)

    assert ({}, [("a", NO.reason)], ()) == (again, [(entry.id, entry.reason) for entry in shown], outbox.refused())
    assert {} == sent(outbox, HostNs(BEGIN + 60 * S), first=3)


def test_only_so_many_are_under_way(outbox):
    """`record` is not flooded after it was away."""
    for number in range(3 * WINDOW):
        outbox.put(label(f"{number}", number), BEGIN, UTC)

    assert len(sent(outbox)) == WINDOW


def test_a_full_disk_refuses_at_once(outbox):
    """Who puts a wish learns that it was not kept; nothing is shown as kept that is not."""
    outbox._database.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match="cannot keep a wish"):
        outbox.put(label("a"), BEGIN, UTC)

    assert () == outbox.pending()


def test_an_answer_to_somebody_else_is_not_the_outboxs(outbox):
    """Answers to direct wishes go where they belong."""
    assert not outbox.answered(77, Accepted(), BEGIN, UTC)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["accept", "busy", "refuse", "silent", "restart"])), max_size=40
    )
)
@settings(deadline=None, max_examples=30)
def test_every_wish_ends_once_and_in_order(tmp_path_factory, steps):
    """Whatever is answered, lost or restarted: each wish is accepted or refused once, and each thing's in order."""
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(folder)
    now, ticket, ended, put = BEGIN, 0, [], []
    for number, (thing, fate) in enumerate([*steps, *[(0, "accept")] * 60]):
        if number < len(steps):
            put.append((f"{number}", thing))
            outbox.put(label(f"{number}", thing), now, UTC, hold_s=float(number % 2))
        now = HostNs(now + 6 * S)
        if fate == "restart":
            outbox.close()
            outbox = Outbox(folder)
        ticket += 1
        entry = outbox.to_send(ticket, now)
        if entry is None:
            continue
        reply = {"accept": Accepted(), "refuse": NO}.get(fate, BUSY)
        outbox.answered(ticket, reply, now, UTC)
        if fate in {"accept", "refuse"}:
            ended.append((entry.id, entry.command.label.part.number))
    left = outbox.pending()
    outbox.close()

    assert ((), sorted(put)) == (left, sorted(ended))
    assert all(
        [one for one in put if one[1] == thing] == [one for one in ended if one[1] == thing] for thing in range(4)
    )


KILLED = """
    import itertools, sys, time
    from pathlib import Path
    from hmi.outbox import Outbox
    from tests.hmi.test_outbox import BEGIN, UTC, label
    outbox = Outbox(Path(sys.argv[1]))
    for number in itertools.count():
        print(outbox.put(label(f"{sys.argv[2]}-{number}", number), BEGIN, UTC), flush=True)
"""


def test_what_was_told_as_kept_survives_a_kill_of_the_touchscreen(tmp_path):
    """Five times killed while it puts wishes: every id that was given back is in the file, once."""
    told = []
    for run in range(5):
        command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            told += [process.stdout.readline().strip() for _ in range(5 + 7 * run)]
            os.kill(process.pid, signal.SIGKILL)
            told += process.stdout.read().split()
    outbox = Outbox(tmp_path)
    found = [entry.id for entry in outbox.pending()]
    outbox.close()

    assert len(found) == len(set(found))
    assert set(told) <= set(found)


def test_ids_are_uuids_of_version_seven_in_order():
    """Ids name the instant, and no two are alike."""
    first, second = new_id(UTC), new_id(UtcNs(UTC + S))

    assert ("7", True, True) == (first[14], first < second, new_id(UTC) != first)
    assert "018cc251-f400-7fff-bfff-ffffffffffff" == uuid7(UtcNs(1_704_067_200 * S), (1 << 74) - 1)


def test_ids_and_things_of_every_kind():
    """Each kind of wish has an id of its own, and belongs to one thing."""
    assert [("a", "part 00000007-000001"), ("b", "audit")] == [
        (id_of(wish), thing_of(wish)) for wish in (label("a"), note("b"))
    ]
    with pytest.raises(TypeError):
        Outbox.put(object.__new__(Outbox), Drain(), BEGIN, UTC)
