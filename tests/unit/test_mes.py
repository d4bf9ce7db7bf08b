"""A receiver that follows sequence numbers keeps everything once and in order, whatever comes how often."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.sim.mes import AT_ONCE, Ledger, Missing


def message(number, stream="a"):
    return {"stream": stream, "sequence": number}


@given(st.lists(st.integers(1, 20), max_size=60), st.randoms(use_true_random=False))
def test_what_is_missing_is_asked_for_until_all_is_there(arrivals, chance):
    """Lost, doubled and swapped messages end as one complete account."""
    ledger, now = Ledger(), 0.0
    ledger.hear("a", 20)
    for number in arrivals:
        ledger.take(message(number))
    while (missing := ledger.missing(now)) is not None:
        now += 1.0
        again = list(range(missing.first, missing.first + missing.count))
        chance.shuffle(again)
        for number in again[: max(1, len(again) // 2)]:
            ledger.take(message(number))

    assert [*range(1, 21)] == [told["sequence"] for told in ledger.kept]
    assert len(arrivals) - len(set(arrivals)) <= ledger.repeated


def test_a_lost_tail_shows_in_the_stations_state():
    """No later message tells of the last ones' absence."""
    ledger = Ledger()
    ledger.take(message(1))
    before = ledger.missing(0.0)
    ledger.hear("a", 3)

    assert (None, Missing(2, 2), None) == (before, ledger.missing(1.0), ledger.missing(1.1))


def test_what_the_station_no_longer_has_is_given_up_and_named():
    """The record database has it; waiting would hold everything else up for ever."""
    ledger = Ledger()
    ledger.take(message(4))
    ledger.gone([(1, 2)])
    half = ledger.missing(0.0)
    ledger.take(message(3))

    assert (Missing(3, 1), [3, 4], [1, 2]) == (half, [told["sequence"] for told in ledger.kept], ledger.given_up)


def test_a_new_stream_counts_anew():
    """A station whose outbox was made anew begins at 1; its messages are no repetitions."""
    ledger = Ledger()
    ledger.take(message(1))
    ledger.take(message(1, "b"))
    ledger.take(message(2, "b"))

    assert ([("a", 1), ("b", 1), ("b", 2)], 0) == (
        [(told["stream"], told["sequence"]) for told in ledger.kept],
        ledger.repeated,
    )


def test_one_wish_names_no_more_than_the_station_allows():
    """A receiver that starts years late asks in pieces."""
    ledger = Ledger()
    ledger.hear("a", 50_000)

    assert Missing(1, AT_ONCE) == ledger.missing(0.0)
