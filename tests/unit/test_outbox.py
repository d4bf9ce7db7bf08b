"""The outbox loses nothing before the broker has it and tells nothing twice."""

import sqlite3

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.outputs.outbox import Again, Counts, Entry, Outbox, read_counts
from appliance.schema.errors import StoreError

FAR = 1 << 62
VERSION_0 = """
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, topic TEXT NOT NULL,
    payload BLOB, properties TEXT NOT NULL, expires_utc_ns INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'pending'
) STRICT;
CREATE INDEX outbox_pending ON outbox (tries, id) WHERE state = 'pending';
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE positions (topic TEXT PRIMARY KEY, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID
"""


def entry(number, kind="result", expires=FAR):
    return Entry(f"{kind}:{number}", kind, f"insp/{kind}", {"n": number}, (("schema", "s.1"),), expires)


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db", limit=100, kept=50)
    yield outbox
    outbox.close()


def test_a_message_stays_until_it_is_done_and_survives_a_restart(tmp_path):
    """Only an acknowledgement takes a row out."""
    path = tmp_path / "outbox.db"
    first = Outbox(path)
    first.put(entry(1), ("actuation", 5, 3))
    first.put(entry(2), ("actuation", 5, 4))
    first.done(first.pending(1)[0].id)
    first.close()
    second = Outbox(path)
    waiting = second.pending(10)
    positions, counts = second.positions(), second.counts
    second.close()

    assert [{"n": 2, "stream": first.stream, "sequence": 2}] == [msgspec.json.decode(row.payload) for row in waiting]
    assert ({"actuation": (5, 4)}, Counts(2, 1, 1), first.stream) == (positions, counts, second.stream)
    assert counts == read_counts(path)


@given(st.lists(st.integers(1, 12), max_size=40), st.data())
@settings(max_examples=15)
def test_a_key_told_any_number_of_times_is_one_message(tmp_path_factory, numbers, data):
    """Replays after a restart never make a second result, before or after its delivery; sequences have no gap."""
    outbox = Outbox(tmp_path_factory.mktemp("outbox") / "outbox.db")
    sent = []
    for number in numbers:
        outbox.put(entry(number))
        if data.draw(st.booleans()):
            for row in outbox.pending(1):
                sent.append(msgspec.json.decode(row.payload))
                outbox.done(row.id)
    sent += [msgspec.json.decode(row.payload) for row in outbox.pending(100)]
    outbox.close()

    assert sorted(set(numbers)) == sorted(message["n"] for message in sent)
    assert list(range(1, len(sent) + 1)) == sorted(message["sequence"] for message in sent)


def test_rows_in_flight_are_left_out_and_refused_ones_keep_their_place(outbox):
    """Order within a topic is the order of the facts, whatever the broker said to one of them."""
    for number in range(4):
        outbox.put(entry(number))
    outbox.refused(1)

    assert [(1, 1), (3, 0), (4, 0)] == [(row.id, row.tries) for row in outbox.pending(10, [2])]
    assert [] == outbox.pending(0)


def test_alarms_go_first_and_each_topic_can_be_asked_for(outbox):
    """An alarm must not wait behind a backlog of results, and a refused topic must not hold up another."""
    for number in range(3):
        outbox.put(entry(number))
    outbox.put(entry(3, "alarm"))

    assert [4, 1, 2] == [row.id for row in outbox.pending(3)]
    assert [2, 3] == [row.id for row in outbox.pending(5, [1], "insp/result")]
    assert ["insp/alarm", "insp/result"] == outbox.topics()


def test_a_full_outbox_drops_the_oldest_results_and_counts_them(outbox):
    """The bound is explicit: old results go, alarms and new results stay, and nothing goes uncounted."""
    outbox.put(entry(0, "alarm"))
    for number in range(150):
        outbox.put(entry(number))
    waiting = [msgspec.json.decode(row.payload)["n"] for row in outbox.pending(1000)]

    assert [0, *range(51, 150)] == waiting
    assert Counts(151, 0, 100, 51, 0) == outbox.counts


def test_alarms_are_dropped_only_when_no_result_is_left(outbox):
    """The bound holds for alarms too, and what was dropped is counted by its kind."""
    for number in range(99):
        outbox.put(entry(number, "alarm"))
    for number in range(5):
        outbox.put(entry(number))
    for number in range(99, 150):
        outbox.put(entry(number, "alarm"))
    waiting = [msgspec.json.decode(row.payload)["n"] for row in outbox.pending(1000)]

    assert [*range(50, 150)] == waiting
    assert Counts(155, 0, 100, 55, 0, 50) == outbox.counts


def test_expired_messages_are_given_up_and_counted(outbox):
    """Nobody wants last week's result; its absence still shows in the account."""
    outbox.put(entry(1, expires=10))
    outbox.put(entry(2, expires=30))

    assert 1 == outbox.expire(20)
    assert (Counts(2, 0, 1, 0, 1), [2]) == (outbox.counts, [row.id for row in outbox.pending(10)])


def test_delivered_keys_are_forgotten_after_a_while(outbox):
    """The file does not grow for ever; the keys of the last messages stay."""
    for number in range(120):
        outbox.put(entry(number))
        outbox.done(number + 1)
    rows = outbox._database.execute("SELECT count(*) FROM outbox").fetchone()[0]

    assert 50 == rows
    assert not outbox.put(entry(119))


def test_each_topic_counts_for_itself_through_restarts(tmp_path):
    """A receiver of one topic sees its gaps, and no others."""
    for _ in range(2):
        outbox = Outbox(tmp_path / "outbox.db")
        for number in range(3):
            outbox.put(entry(f"{outbox.counts.put}-{number}"))
            outbox.put(entry(f"{outbox.counts.put}-{number}", "alarm"))
        told = [(row.topic, row.sequence, msgspec.json.decode(row.payload)["sequence"]) for row in outbox.pending(99)]
        outbox.close()

    assert [
        *(("insp/alarm", number, number) for number in range(1, 7)),
        *(("insp/result", number, number) for number in range(1, 7)),
    ] == told


def test_delivered_messages_can_be_had_again_as_they_were(outbox):
    """A receiver whose broker lost them gets the same ids and numbers, before anything newer; the account holds."""
    for number in range(6):
        outbox.put(entry(number))
    first = outbox.pending(6)
    outbox.done(*range(1, 6))
    again = outbox.again("insp/result", 2, 3, 0)

    assert (Again(3, ()), first[1:4]) == (again, outbox.pending(3))
    assert Counts(6, 2, 4) == outbox.counts
    assert {"insp/result": 1} == outbox.newest(acked=True)
    outbox.done(2, 3, 4, 6)
    assert (Counts(6, 6, 0), {"insp/result": 6}) == (outbox.counts, outbox.newest(acked=True))


def test_what_is_no_longer_kept_is_named(outbox):
    """Dropped, expired and long delivered messages are gone; a number of the future is none."""
    for number in range(150):
        outbox.put(entry(number))  # drops 1 to 50
    outbox.put(entry(150, expires=10))
    outbox.expire(20)
    outbox.done(52, 53)
    again = outbox.again("insp/result", 50, 400, 0)

    assert Again(99, ((50, 51), (151, 151))) == again
    assert Again(0, ()) == outbox.again("insp/other", 1, 5, 0)


def test_an_expired_message_is_not_told_again(outbox):
    """Its life is over for those who come late, too."""
    outbox.put(entry(1, expires=10))
    outbox.done(1)

    assert Again(0, ((1, 1),)) == outbox.again("insp/result", 1, 1, 10)


def test_several_facts_are_put_together_or_not_at_all(outbox):
    """The places of the facts are those of their rows."""
    facts = [((entry(1), entry(2, "alarm")), ("actuation", 5, 7)), ((), ("manual", 2, 3))]
    broken = [((entry(3),), ("actuation", 5, 8)), ((Entry("x", "result", None, {}, (), FAR),), None)]

    assert (2, 0) == (outbox.put_all(facts), outbox.put_all(facts))
    with pytest.raises(StoreError, match="cannot put a message"):
        outbox.put_all(broken)
    assert {"actuation": (5, 7), "manual": (2, 3)} == outbox.positions()
    assert (2, {"insp/result": 1, "insp/alarm": 1}) == (outbox.counts.put, outbox.newest(acked=False))


def test_an_outbox_of_the_version_before_goes_on(tmp_path):
    """An update loses no message; what waits gets the numbers of its topic, in order, under a new stream."""
    path = tmp_path / "outbox.db"
    database = sqlite3.connect(path)
    database.executescript(VERSION_0)
    for number, topic in enumerate(("a", "b", "a", "a"), 1):
        payload = msgspec.json.encode({"n": number, "sequence": number})
        state, payload = ("acked", None) if number == 1 else ("pending", payload)
        database.execute(
            "INSERT INTO outbox (key, kind, topic, payload, properties, expires_utc_ns, state) VALUES (?,?,?,?,?,?,?)",
            (f"k{number}", "result", topic, payload, "[]", FAR, state),
        )
    database.executescript("INSERT INTO counters VALUES ('put', 4), ('acked', 1)")
    database.close()
    outbox = Outbox(path)
    outbox.put(msgspec.structs.replace(entry(5), topic="a"))
    waiting = [msgspec.json.decode(row.payload) for row in outbox.pending(9)]
    counts = outbox.counts
    outbox.close()

    assert [(2, 1), (3, 2), (4, 3), (5, 4)] == [(told["n"], told["sequence"]) for told in waiting]
    assert ({outbox.stream}, Counts(5, 1, 4)) == ({told["stream"] for told in waiting}, counts)


def test_a_full_disk_is_a_clear_error(outbox):
    """The line names the file and what to do."""
    pages = outbox._database.execute("PRAGMA page_count").fetchone()[0]
    outbox._database.execute(f"PRAGMA max_page_count={pages}")
    big = msgspec.structs.replace(entry(1), payload={"text": "x" * 100_000})
    with pytest.raises(StoreError, match=r"outbox\.db: cannot put a message: .*full.*disk space"):
        outbox.put(big)

    assert Counts() == outbox.counts


def test_every_change_is_durable_when_it_returns(outbox):
    """A row told as put survives a power cut: the file is synchronised at each commit."""
    mode = outbox._database.execute("PRAGMA synchronous").fetchone()[0]

    assert 2 == mode
