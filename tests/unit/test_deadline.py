"""Protect the deadline in counts: a slow belt moves it back, and it never comes after the belt itself."""

from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.decision import deadline
from appliance.decision.deadline import latest, too_fast
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.part import BeltPosition, PartEntered, PartId

BOOT = 7
WAY = 3750
"""Counts from sensor to closing."""
GUARD = 15 * MS
BEGIN = 100 * S

stretches = st.lists(st.tuples(st.integers(1, 400), st.floats(0.0, 1.0)), min_size=1, max_size=12)
"""What the belt does: so many ms at such a share of its largest speed."""


def entered_at(at: int, counts: int, doubt: int, fastest: float) -> PartEntered:
    """Give a part as `line` states it."""
    decide_by = HostNs(at - doubt + int(WAY * S / fastest) - GUARD)
    return PartEntered(
        PartId(BOOT, 1),
        HostNs(at),
        doubt,
        McuTicks(0),
        EncoderCounts(counts),
        decide_by,
        ("top",),
        close_counts=EncoderCounts(counts + WAY),
    )


class Run:
    """Hold where a belt really was."""

    def __init__(self, history: list[tuple[int, float]], fastest: float, start: float) -> None:
        self.times = [BEGIN, *accumulate((span * MS for span, _ in history), initial=BEGIN)][1:]
        moves = (span / 1000 * share * fastest for span, share in history)
        self.places = list(accumulate(moves, initial=start))
        self.fastest = fastest

    def at(self, instant: float) -> float:
        """Give the belt's place, counts; after the history it runs as fast as it may."""
        for index in range(len(self.times) - 1):
            if instant < self.times[index + 1]:
                share = (instant - self.times[index]) / (self.times[index + 1] - self.times[index])
                return self.places[index] + share * (self.places[index + 1] - self.places[index])
        return self.places[-1] + (instant - self.times[-1]) * self.fastest / S

    def comes_to(self, place: float) -> float:
        """Give the first instant at which the belt is there."""
        for index in range(len(self.times) - 1):
            if self.places[index + 1] >= place > self.places[index]:
                share = (place - self.places[index]) / (self.places[index + 1] - self.places[index])
                return self.times[index] + share * (self.times[index + 1] - self.times[index])
        return self.times[-1] + (place - self.places[-1]) * S / self.fastest


class Case(NamedTuple):
    """Hold one belt, one part and one reading of the encoder."""

    history: list[tuple[int, float]]
    fastest: float
    start: float
    asked: float
    """When the encoder is read, in shares of the way to the closing count."""
    doubts: tuple[int, int]
    errors: tuple[float, float]


cases = st.builds(
    Case,
    stretches,
    st.sampled_from([2000.0, 10_000.0, 33_333.0, 200_000.0]),
    st.floats(0, 1),
    st.floats(0, 1.2),
    st.tuples(st.integers(0, 2 * MS), st.integers(0, 2 * MS)),
    st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
Latest = Callable[[PartEntered, BeltPosition | None], HostNs]


def check(rule: Latest, case: Case) -> None:
    """Hold a deadline against where the belt really was."""
    run = Run(case.history, case.fastest, 1000 + case.start)
    entry = int(run.places[0])
    entered = entered_at(int(BEGIN + case.errors[0] * case.doubts[0]), entry, case.doubts[0], case.fastest)
    closing = run.comes_to(entry + WAY)
    instant = BEGIN + case.asked * (closing - BEGIN)
    belt = BeltPosition(
        HostNs(int(instant + case.errors[1] * case.doubts[1])),
        case.doubts[1],
        EncoderCounts(int(run.at(instant))),
        case.fastest,
        BOOT,
    )
    quantum = S / case.fastest + 2
    """The edge itself is read to a whole count, which the guard within `decide_by` has to bear."""

    assert not too_fast(BeltPosition(entered.at, case.doubts[0], entered.at_counts, case.fastest, BOOT), belt)
    assert rule(entered, belt) <= closing - GUARD + quantum
    assert rule(entered, belt) >= entered.decide_by


@given(case=cases)
def test_it_is_never_after_the_belt_has_closed(case: Case) -> None:
    """However the belt runs within its speed, and wherever clocks err within their doubt, the guard stays whole."""
    check(latest, case)


@given(asked=st.integers(-500, 375), doubt=st.integers(0, MS))
def test_at_full_speed_it_is_the_deadline_in_time(asked: int, doubt: int) -> None:
    """A belt as fast as it may be has lost no time: nothing moves by more than the clocks' doubt."""
    entered = entered_at(BEGIN, 1000, doubt, 10_000.0)
    belt = BeltPosition(HostNs(BEGIN + asked * MS), doubt, EncoderCounts(1000 + 10 * asked), 10_000.0, BOOT)

    assert 0 <= latest(entered, belt) - entered.decide_by <= 2 * doubt


def position(at_ms: int, counts: int, **changes: object) -> BeltPosition:
    made = BeltPosition(HostNs(BEGIN + at_ms * MS), 0, EncoderCounts(1000 + counts), 10_000.0, BOOT)
    return replace(made, **changes)


def test_a_stopped_belt_moves_it_back_for_as_long_as_it_stands() -> None:
    """After 30 s of standing the rest of the way still has its time, and the guard is still there."""
    entered = entered_at(BEGIN, 1000, 0, 10_000.0)
    ends = [latest(entered, position(at, 1000)) - BEGIN - at * MS for at in (150, 1000, 30_000)]

    assert [275 * MS - GUARD - 100_001] * 3 == ends


SILENT = {
    "none": None,
    "other_boot": position(5000, 1000, boot=BOOT + 1),
    "no_boot": position(5000, 1000, boot=0),
    "doubted": position(5000, 1000, fastest=0.0),
    "too_fast": position(100, 1200),
    "too_fast_back": position(100, -1200),
    "too_fast_before": position(-100, -1200),
}


@pytest.mark.parametrize("belt", SILENT.values(), ids=SILENT)
def test_what_says_nothing_moves_nothing(belt: BeltPosition | None) -> None:
    """Without a position of this boot that agrees with the largest speed the deadline in time stands."""
    entered = entered_at(BEGIN, 1000, 0, 10_000.0)

    assert entered.decide_by == latest(entered, belt)


def test_a_part_without_a_closing_count_keeps_its_deadline() -> None:
    """Where the count is not known there is nothing to hold the belt against."""
    entered = replace(entered_at(BEGIN, 1000, 0, 10_000.0), close_counts=EncoderCounts(0))

    assert entered.decide_by == latest(entered, position(5000, 1000))


def test_a_belt_behind_the_closing_count_is_past() -> None:
    """No part waits for ever, and a position behind the count does not tell when the belt passed it."""
    entered = entered_at(BEGIN, 1000, 0, 10_000.0)

    assert [entered.decide_by] * 2 == [latest(entered, position(30_000, WAY + more)) for more in (0, 900)]
    assert latest(entered, position(30_000, WAY - 1)) < BEGIN + 30_000 * MS


def test_a_jump_of_the_belt_is_seen() -> None:
    """Two positions further apart than the speed allows contradict it, both ways; of two boots nothing is said."""
    before = position(0, 0)

    assert [False, False, True, True, False] == [
        too_fast(before, after)
        for after in (
            position(100, 1001),
            position(100, -1001),
            position(100, 1002),
            position(100, -1002),
            position(100, 5000, boot=BOOT + 1),
        )
    ]


RULES = [
    ("or belt.boot != entered.part.boot ", ""),
    (" or belt.at_counts >= entered.close_counts", ""),
    ("if abs(moved) > _reach(abs(elapsed) + doubt, belt.fastest):", "if False:"),
    ("elapsed - belt.at_uncertainty_ns + entered", "elapsed + belt.at_uncertainty_ns + entered"),
    ("- belt.at_uncertainty_ns + entered.at_uncertainty_ns", "- belt.at_uncertainty_ns + 2 * doubt"),
    ("moved + QUANTUM", "moved - QUANTUM"),
    ("max(0, lost)", "lost"),
    ("max(0, lost)", "abs(lost)"),
    ("max(0, lost)", "max(0, since)"),
]


@pytest.mark.parametrize(("old", "new"), RULES)
def test_each_rule_is_missed_when_it_is_turned_round(old: str, new: str) -> None:
    """A guard that no test misses is no guard."""
    source = Path(str(deadline.__file__)).read_text("utf-8")
    turned: dict[str, object] = {}

    assert source.count(old) == 1
    exec(compile(source.replace(old, new), "turned", "exec"), turned)  # noqa: S102  our own source, a rule changed
    rule: Latest = turned["latest"]  # type: ignore[assignment]

    @settings(max_examples=2000, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(case=cases)
    def held(case: Case) -> None:
        check(rule, case)

    def everything() -> None:
        entered = entered_at(BEGIN, 1000, 0, 10_000.0)
        assert {entered.decide_by} == {rule(entered, belt) for belt in SILENT.values()}
        held()

    with pytest.raises((AssertionError, ExceptionGroup)):
        everything()
