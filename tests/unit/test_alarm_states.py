"""An alarm goes through the states of ISA-18.2, and nothing leaves the screen that nobody has seen."""

import inspect
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.monitoring import alarm_states
from appliance.monitoring.alarm_row import ABSENT, Priority
from appliance.monitoring.alarm_states import (
    EMPTY,
    AlarmBoard,
    AlarmState,
    cleared,
    passed,
    point_of,
    raised,
    refusal,
    stepped,
)
from appliance.schema.clocks import S, UtcNs
from appliance.schema.health import AlarmDeed, AlarmStep

KEY = ("publish", "mqtt")
MINUTE = 60 * S
N, U, A, R = AlarmState.NORMAL, AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED
SHELVED, OUT = AlarmState.SHELVED, AlarmState.OUT_OF_SERVICE

STANDARD = {
    # (state, cause stands): {event: state after}
    (N, False): {"raise": U, "clear": N, "acknowledged": N, "shelved": SHELVED, "out_of_service": OUT},
    (U, True): {"raise": U, "clear": R, "acknowledged": A, "shelved": SHELVED, "out_of_service": OUT},
    (A, True): {"raise": A, "clear": N, "acknowledged": A, "shelved": SHELVED, "out_of_service": OUT},
    (R, False): {"raise": U, "clear": R, "acknowledged": N, "shelved": SHELVED, "out_of_service": OUT},
    (SHELVED, True): {"unshelved": U, "acknowledged": SHELVED, "in_service": SHELVED, "out_of_service": OUT},
    (SHELVED, False): {"unshelved": N, "acknowledged": SHELVED, "in_service": SHELVED, "out_of_service": OUT},
    (OUT, True): {"in_service": U, "acknowledged": OUT, "unshelved": OUT, "shelved": OUT},
    (OUT, False): {"in_service": N, "acknowledged": OUT, "unshelved": OUT, "shelved": OUT},
}
"""The standard's ways as they are known here; its text was not at hand."""

EVENTS = ("raise", "clear", *(deed.value for deed in AlarmDeed))


def at(minute: float) -> UtcNs:
    return UtcNs(round(minute * MINUTE))


def deed(what: str, minute: float, key: tuple[str, str] = KEY, until: float = 0) -> AlarmStep:
    return AlarmStep("s", key[0], key[1], AlarmDeed(what), "o-anna", at(minute), at(until))


def after(board: AlarmBoard, event: str, minute: float, module: ModuleType = alarm_states) -> AlarmBoard:
    if event == "raise":
        return module.raised(board, KEY, at(minute))
    if event == "clear":
        return module.cleared(board, KEY, at(minute))
    return module.stepped(board, deed(event, minute, until=minute + 60))


def state(board: AlarmBoard, key: tuple[str, str] = KEY) -> AlarmState:
    return point_of(board, key).state


def _goes_the_standards_way(events: list[str], module: ModuleType) -> bool:
    """Say whether every step is the standard's, told by its table and nothing of the fold."""
    board, now, active = EMPTY, N, False
    for minute, event in enumerate(events, 1):
        board = after(board, event, minute / 100, module)
        ways = STANDARD[(now, active)]
        active = {"raise": True, "clear": False}.get(event, active)
        now = ways.get(event, now)
        found = point_of(board, KEY)
        if (now, active) != (found.state, found.active):
            return False
    return True


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_every_way_is_the_standards(events: list[str]) -> None:
    """Whatever comes in whatever order, the state is the one that the standard's table gives."""
    assert _goes_the_standards_way(events, alarm_states)


@pytest.mark.parametrize(
    ("rule", "inverted", "events"),
    [
        ("seen=old.seen or old.by_design or _is_away(old)", "seen=True", ["raise", "clear"]),
        ("new = replace(old, seen=True)", "new = replace(old, active=False)", ["raise", "acknowledged"]),
        ("return replace(point, seen=not point.active)", "return point",
         ["raise", "acknowledged", "shelved", "unshelved"]),
        ("if old.out_of_service or step.until <= step.at:", "if step.until <= step.at:", ["out_of_service", "shelved",
         "in_service"]),
        ("        seen=False,\n", "        seen=old.seen,\n", ["raise"]),
    ],
    ids=["returned_unseen", "acknowledging_ends_nothing", "back_unseen", "out_is_stronger", "raised_unseen"],
)  # fmt: skip
def test_a_rule_turned_round_is_found(rule: str, inverted: str, events: list[str]) -> None:
    """Each way of the standard has a case that fails when the rule behind it is turned round."""
    source = inspect.getsource(alarm_states)
    assert 1 == source.count(rule)
    mutant = ModuleType("mutant")
    exec(compile(source.replace(rule, inverted), "mutant", "exec"), mutant.__dict__)  # noqa: S102  our own source

    assert _goes_the_standards_way(events, alarm_states)
    assert not _goes_the_standards_way(events, mutant)


def test_shelving_ends_by_time() -> None:
    """A shelved alarm comes back by itself, and calls again where its cause still stands."""
    board = stepped(raised(EMPTY, KEY, at(0)), deed("shelved", 1, until=30))

    assert SHELVED is state(passed(board, at(29.9)))
    assert U is state(passed(board, at(30)))
    assert N is state(passed(cleared(board, KEY, at(10)), at(30)))


def test_an_acknowledgement_counts_for_what_was_seen() -> None:
    """An acknowledgement made before the alarm was raised last acknowledges nothing."""
    board = raised(raised(EMPTY, KEY, at(0), momentary=True), KEY, at(5), momentary=True)

    assert (R, 2) == (state(stepped(board, deed("acknowledged", 4))), point_of(board, KEY).count)
    assert N is state(stepped(board, deed("acknowledged", 6)))


def test_a_moment_waits_for_a_person() -> None:
    """An alarm that tells of a moment is over at once and stays until somebody has seen it."""
    board = raised(EMPTY, ("line", "actuation_lost"), at(0), "find part 7", "0-7", momentary=True)
    point = point_of(board, ("line", "actuation_lost"))

    assert (R, False, "find part 7", "0-7") == (point.state, point.active, point.text, point.part)


def test_what_says_nothing_new_is_suppressed_and_comes_back() -> None:
    """While a camera is lost, frames that fit no part say nothing more; a component of a silent unit is not known."""
    camera = ("acquire@top", "camera")
    board = raised(EMPTY, camera, at(0))
    board = raised(board, ("judge", "pairing_mismatch"), at(1), momentary=True)
    board = raised(board, ("judge", "bundle"), at(1))
    silent = raised(board, ("judge", ABSENT), at(2))

    assert N is state(board, ("judge", "pairing_mismatch"))
    assert U is state(board, ("judge", "bundle"))
    assert AlarmState.SUPPRESSED is state(silent, ("judge", "bundle"))
    assert U is state(cleared(silent, ("judge", ABSENT), at(3)), ("judge", "bundle"))
    assert R is state(raised(silent, ("judge", "bundle_refused"), at(3), momentary=True), ("judge", "bundle_refused"))


def test_what_waits_unseen_is_never_lost_by_suppression() -> None:
    """An alarm that is over and unseen still waits after the one that suppressed it has come and gone."""
    frames = ("acquire@top", "frame_lost")
    board = raised(EMPTY, frames, at(0), momentary=True)
    board = raised(board, ("acquire@top", "ring"), at(1))
    board = cleared(board, ("acquire@top", "ring"), at(2))

    assert R is state(board, frames)


def test_a_camera_suppresses_its_own_alarms_alone() -> None:
    """The ring of one camera says nothing of the frames of another."""
    board = raised(EMPTY, ("acquire@top", "ring"), at(0))
    board = raised(board, ("acquire@side", "frame_lost"), at(1), momentary=True)

    assert R is state(board, ("acquire@side", "frame_lost"))


@pytest.mark.parametrize("kind", ["accepted_without_verdict", "mcu", ABSENT])
def test_high_priority_is_never_shelved(kind: str) -> None:
    """What tells of a defect that passed, or a line that stands, cannot be put away."""
    assert "cannot be shelved" in refusal(deed("shelved", 0, ("line", kind), until=5))


def test_shelving_has_a_longest_time() -> None:
    """A low alarm is shelved for a shift at most, and never without an end."""
    assert "" == refusal(deed("shelved", 0, until=480))
    assert "limit is 480 min" in refusal(deed("shelved", 0, until=481))
    assert "limit is 480 min" in refusal(deed("shelved", 0, until=0))
    assert "limit is 60 min" in refusal(deed("shelved", 0, ("acquire@top", "camera"), until=61))
    assert Priority.MEDIUM is point_of(EMPTY, ("acquire@top", "camera")).row.priority
