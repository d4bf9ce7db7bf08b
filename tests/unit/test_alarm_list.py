"""A person sees the alarms in the order of what waiting costs, with the one that explains the others on top."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.monitoring.alarm_list import (
    PER_HOUR,
    filtered,
    first_cause,
    flood,
    followers,
    per_hour,
    put_away,
    standing,
)
from appliance.monitoring.alarm_row import ABSENT, Priority
from appliance.monitoring.alarm_states import EMPTY, AlarmBoard, raised, stepped
from appliance.monitoring.alarm_table import ROWS
from appliance.schema.clocks import S, UtcNs
from appliance.schema.health import AlarmDeed, AlarmStep

MINUTE = 60 * S


def board_of(*alarms: tuple[str, str]) -> AlarmBoard:
    board = EMPTY
    for minute, key in enumerate(alarms):
        board = raised(board, key, UtcNs(minute * MINUTE))
    return board


def shelved(board: AlarmBoard, key: tuple[str, str]) -> AlarmBoard:
    step = AlarmStep("s", *key, AlarmDeed.SHELVED, "o", UtcNs(50 * MINUTE), UtcNs(90 * MINUTE))
    return stepped(board, step)


def test_priority_comes_before_age() -> None:
    """High before medium before low, the oldest first among equals, what was acknowledged after what was not."""
    board = board_of(("publish", "mqtt"), ("record", "review"), ("record", "seed_accepted"), ("publish", "logix"))
    seen = stepped(board, AlarmStep("s", "publish", "mqtt", AlarmDeed.ACKNOWLEDGED, "o", UtcNs(9 * MINUTE)))

    assert ["seed_accepted", "review", "mqtt", "logix"] == [one.kind for one in standing(board)]
    assert ["seed_accepted", "review", "logix", "mqtt"] == [one.kind for one in standing(seen)]


def test_the_first_cause_explains_the_others() -> None:
    """Of a lost camera and what follows from it, the camera is named, whatever was told first."""
    board = board_of(("publish", "logix"), ("line", "mcu"), ("line", "plc"), ("acquire@top", "camera"))
    cause = first_cause(board)

    assert cause is not None
    assert ("acquire@top", "camera") == cause.key
    assert {"mcu", "plc"} == {one.kind for one in followers(board, cause)}
    assert cause.key == filtered(standing(board), cause, flooded=False)[0][0].key


def test_alarms_that_explain_nothing_have_no_first_cause() -> None:
    """Two alarms side by side are two alarms."""
    assert None is first_cause(board_of(("publish", "logix"), ("record", "disk")))
    assert None is first_cause(EMPTY)


def test_one_camera_does_not_explain_another() -> None:
    """The ring of one camera explains the lost pictures of that camera alone."""
    assert None is first_cause(board_of(("acquire@top", "ring"), ("acquire@side", "camera")))


def test_a_shelved_cause_is_not_on_top() -> None:
    """What a person put away does not come back as the first cause."""
    board = shelved(board_of(("publish", "mqtt"), ("publish", "mqtt outbox")), ("publish", "mqtt"))

    assert None is first_cause(board)
    assert ["mqtt"] == [one.kind for one in put_away(board)]


@given(st.lists(st.sampled_from([(row.unit, row.kind) for row in ROWS]), max_size=25, unique=True))
def test_the_first_cause_follows_from_nothing_that_stands(keys: list[tuple[str, str]]) -> None:
    """Whatever stands, the alarm on top explains another one and is explained by none."""
    board = board_of(*keys)
    cause = first_cause(board)
    if cause is None:
        return
    others = [point for point in board.points.values() if point.active]

    assert followers(board, cause)
    assert not any(cause.key in [one.key for one in followers(board, other)] for other in others if other != cause)


def test_a_flood_hides_low_alarms_and_says_how_many() -> None:
    """More than 10 in ten minutes: high and medium ones stay, the first cause stays, the others become a number."""
    low = [("publish", kind) for kind in ("mqtt", "mqtt outbox", "sparkplug", "logix")]
    low += [("opcua", kind) for kind in ("server", "certificate", "users", "clients", ABSENT)]
    board = board_of(*low, ("record", "review"))
    few = flood(board, UtcNs(10 * MINUTE - 1))
    board = raised(board, ("line", "mcu"), UtcNs(9 * MINUTE))
    now = UtcNs(10 * MINUTE - 1)
    shown, held_back = filtered(standing(board), first_cause(board), flooded=flood(board, now))

    assert (False, True) == (few, flood(board, now))
    assert {Priority.HIGH, Priority.MEDIUM, Priority.LOW} == {one.row.priority for one in shown}
    assert [("publish", "mqtt"), ("line", "mcu"), ("record", "review")] == [one.key for one in shown]
    assert len(standing(board)) == len(shown) + held_back


def test_a_flood_ends_later_than_it_begins() -> None:
    """It ends under 5 in ten minutes, so that it does not flicker."""
    board = board_of(*[("publish", str(number)) for number in range(6)])

    assert (False, True) == (flood(board, UtcNs(5 * MINUTE)), flood(board, UtcNs(5 * MINUTE), before=True))
    assert not flood(board, UtcNs(12 * MINUTE), before=True)


def test_alarms_are_counted_by_the_hour() -> None:
    """An alarm belongs to the hour in which it called; the last hour ends now."""
    calls = [UtcNs(minute * MINUTE) for minute in (10, 70, 80, 179)]

    assert (1, 2, 1) == per_hour(calls, UtcNs(180 * MINUTE), 3)
    assert 6 == PER_HOUR
