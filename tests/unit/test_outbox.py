"""The outbox loses nothing before the broker has it and tells nothing twice."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.outputs.outbox import Counts, Entry, Outbox, read_counts
from appliance.schema.errors import StoreError

FAR = 1 << 62


def entry(number, kind="result", expires=FAR):
    return Entry(f"{kind}:{number}", kind, f"insp/{kind}", {"n": number}, (("schema", "s.1"),), expires)


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db", limit=100, keys_kept=50)
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

    assert [{"n": 2, "sequence": 2}] == [msgspec.json.decode(row.payload) for row in waiting]
    assert ({"actuation": (5, 4)}, Counts(2, 1, 1, 0, 0)) == (positions, counts)
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


def test_rows_in_flight_are_left_out_and_refused_ones_go_last(outbox):
    """One message the broker will not take must not hold up the others."""
    for number in range(4):
        outbox.put(entry(number))
    outbox.refused(1)

    assert [3, 4, 1] == [row.id for row in outbox.pending(10, [2])]
    assert [] == outbox.pending(0)


def test_a_full_outbox_drops_the_oldest_results_and_counts_them(outbox):
    """The bound is explicit: old results go, alarms and new results stay, and nothing goes uncounted."""
    outbox.put(entry(0, "alarm"))
    for number in range(150):
        outbox.put(entry(number))
    waiting = [msgspec.json.decode(row.payload)["n"] for row in outbox.pending(1000)]

    assert [0, *range(51, 150)] == waiting
    assert Counts(151, 0, 100, 51, 0) == outbox.counts


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
