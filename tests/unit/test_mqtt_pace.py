"""A topic's messages arrive in order, whatever the broker refuses; a refused topic rests and comes back."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.outputs.backoff import Backoff
from appliance.outputs.mqtt_pace import LONGEST_PAUSE_S, Pace
from appliance.schema.clocks import S

WINDOW = 5


def drive(answers, at_once=1):
    """Send 1, 2, 3 ... to a broker that takes or refuses as told; gives what it took, in its order, and the pace.

    at_once: messages that one answer holds for.
    """
    pace, now = Pace(random.Random(1)), 0
    waiting, flying, taken = list(range(1, 31)), [], []
    answers = iter(answers)
    while waiting or flying:
        now += S // 10
        room = max(0, pace.room(WINDOW, now))
        flying += waiting[:room]
        for _ in waiting[:room]:
            pace.sent()
        waiting = waiting[room:]
        is_taken = next(answers, True)
        for number in flying[:at_once]:
            if is_taken:
                taken.append(number)
                pace.accepted()
            else:
                waiting = sorted([*waiting, number])
                pace.refused("Not authorized", now)
        flying = flying[at_once:]
    return taken, pace


@given(st.lists(st.booleans(), max_size=60))
def test_every_message_is_taken_once_and_only_counted_ones_are_overtaken(answers):
    """A broker that refuses now and then gets each message once; what it took too early is counted, no less."""
    taken, pace = drive(answers)
    early = sum(any(later < number for later in taken[place:]) for place, number in enumerate(taken))

    assert [*range(1, 31)] == sorted(taken)
    assert (early, "", 0) == (pace.overtaken, pace.denied, pace.flying)


@given(st.lists(st.booleans(), max_size=60))
def test_order_holds_where_the_broker_treats_neighbours_alike(answers):
    """An access list that forgets and remembers a topic costs time, not order."""
    taken, pace = drive(answers, at_once=WINDOW)

    assert ([*range(1, 31)], 0) == (taken, pace.overtaken)


def test_the_first_message_goes_alone():
    """Whether a topic may be written is learnt with one message, not with a window of them."""
    pace = Pace(random.Random(1))
    first = pace.room(WINDOW, 0)
    pace.sent()
    alone = pace.room(WINDOW, 0)
    pace.accepted()

    assert (1, 0, WINDOW) == (first, alone, pace.room(WINDOW, 0))


def test_a_refused_topic_waits_for_what_is_on_its_way_and_for_its_pause():
    """Nothing is sent behind a refused message before its neighbours' fate is known and the pause is over."""
    pace = Pace(random.Random(1))
    pace.sent()
    pace.accepted()
    for _ in range(3):
        pace.sent()
    pace.refused("Not authorized", 0)
    waiting = pace.room(WINDOW, 99 * S)
    pace.refused("Not authorized", 0)
    pace.refused("Not authorized", 0)

    assert (0, 0, 1) == (waiting, pace.room(WINDOW, S // 4), pace.room(WINDOW, 2 * S))
    assert "Not authorized" == pace.denied


def test_a_new_connection_begins_anew():
    """What was on its way is forgotten; it is sent again from the outbox."""
    pace = Pace(random.Random(1))
    pace.sent()
    pace.accepted()
    pace.sent()
    pace.reset()

    assert (1, 0) == (pace.room(WINDOW, 0), pace.flying)


@given(st.integers(0, 1 << 32), st.integers(1, 20))
def test_pauses_grow_to_a_bound_and_are_never_alike(seed, count):
    """Stations that lost their broker together do not return together, nor ever too seldom."""
    backoff = Backoff(1.0, LONGEST_PAUSE_S, random.Random(seed))
    pauses = [backoff.next() for _ in range(count)]
    steps = [min(LONGEST_PAUSE_S, 2.0**number) for number in range(count)]
    backoff.reset()

    assert all(step / 2 <= pause <= step for step, pause in zip(steps, pauses, strict=True))
    assert backoff.next() <= 1.0


@pytest.mark.parametrize("seeds", [(1, 2), (3, 4)])
def test_two_stations_pause_differently(seeds):
    """By chance: the same step, another pause."""
    first, second = (Backoff(1.0, 30.0, random.Random(seed)).next() for seed in seeds)

    assert first != second
