"""A row on its way, or answered and not noted, is not sent again; nothing the broker said is forgotten."""

import pytest

from appliance.outputs.mqtt_flight import Flight
from appliance.outputs.outbox import Counts, Entry, Outbox
from appliance.schema.errors import StoreError


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put_all([([Entry(f"k{number}", "result", "t", {}, (), 1 << 62) for number in range(4)], None)])
    yield outbox
    outbox.close()


def sent(outbox):
    flight = Flight(outbox)
    for place, row in enumerate(outbox.pending(3)):
        flight.add(100 + place, row, place * 10)
    return flight


def test_rows_are_left_out_until_the_outbox_has_the_answer(outbox):
    """On a full disk an acknowledged row is still pending in the file; sent again it would come twice."""
    flight = sent(outbox)
    flight.answer(100, is_failure=False)
    flight.answer(101, is_failure=True)
    before = sorted(flight.rows())
    flight.note()

    assert ([1, 2, 3], [3], 1) == (before, flight.rows(), len(flight))
    assert Counts(4, 1, 3) == outbox.counts


def test_a_refusal_is_no_acknowledgement(outbox):
    """What the broker refused stays in the outbox, with the number of its tries."""
    flight = sent(outbox)
    flight.answer(101, is_failure=True)
    flight.note()

    assert [(1, 0), (2, 1), (3, 0), (4, 0)] == [(row.id, row.tries) for row in outbox.pending(9)]


def test_what_cannot_be_noted_waits(tmp_path):
    """A full disk delays the note; the next attempt makes it."""
    outbox = Outbox(tmp_path / "outbox.db")
    outbox.put(Entry("k", "result", "t", {}, (), 1 << 62))
    flight = sent(outbox)
    flight.answer(100, is_failure=False)
    outbox.close()
    with pytest.raises(StoreError, match="cannot note an acknowledgement"):
        flight.note()

    assert (False, [1]) == (flight.is_noted, flight.rows())


def test_a_lost_connection_forgets_what_was_on_its_way_alone(outbox):
    """It is sent again with the next connection; what the broker said before stays said."""
    flight = sent(outbox)
    flight.answer(100, is_failure=False)
    silence = flight.silence(35)
    flight.clear()

    assert (25, [1], 0) == (silence, flight.rows(), flight.silence(99))
    assert flight.answer(101, is_failure=False) is None
