"""Protect the judge's deadlines: they move back with a slow or stopped belt, and never forward."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.schema.part import BeltPosition
from appliance.schema.verdict import Disposition, Verdict
from tests.unit.judge_rig import (
    BEGIN,
    MARGIN,
    WINDOW,
    Rig,
    entered,
    exposed,
    frame,
    only,
)

FASTEST = 1000.0


def moving() -> tuple[Rig, HostNs]:
    """Give a judge with a part on a belt whose deadline is known in counts, and the last instant of it."""
    rig = Rig()
    part = entered(0, close_counts=EncoderCounts(int(WINDOW / S * FASTEST)))
    rig.tell(part, BEGIN)
    return rig, part.decide_by


def belt(at: int, counts: int, boot: int = 1) -> BeltPosition:
    return BeltPosition(HostNs(at), 0, EncoderCounts(counts), FASTEST, boot)


def test_a_belt_that_stands_expires_nothing() -> None:
    """The frame comes a second after the first deadline; the belt has not moved, so the part is judged in time."""
    rig, due = moving()
    rig.tell(belt(due - 10 * MS, 0), due - 10 * MS)
    early = only(rig.wake(due), Verdict)
    rig.tell(belt(due + S, 0), due + S)
    rig.tell(exposed(0), due + S)
    rig.tell(replace(frame(0), arrived=HostNs(due + S)), due + S)
    (verdict,) = rig.verdicts

    assert [] == early
    assert Disposition.ACCEPT is verdict.disposition
    assert verdict.decide_by > due + S


def test_a_belt_at_full_speed_moves_no_deadline() -> None:
    """With the belt where its fastest speed takes it, the part is decided when it always was."""
    rig, due = moving()
    rig.tell(belt(BEGIN + 100 * MS, 100), BEGIN + 100 * MS)

    assert [(Disposition.NO_VERDICT, due)] == [
        (one.disposition, one.decide_by) for one in only(rig.wake(due - MARGIN), Verdict)
    ]


def test_an_older_position_changes_nothing() -> None:
    """Messages overtake each other; the newest position of this boot counts."""
    rig, due = moving()
    rig.tell(belt(due, 0), due)
    last = rig.node._belt
    rig.tell(belt(due - 50 * MS, 200), due)

    assert last is rig.node._belt


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 600)), max_size=6))
def test_no_position_decides_earlier(positions: list[tuple[int, int]]) -> None:
    """Whatever the belt is said to do, a part has until its own deadline at the least."""
    rig, due = moving()
    for at, counts in positions:
        rig.tell(belt(BEGIN + at * MS, counts), BEGIN)

    assert [] == only(rig.wake(due - MARGIN - 1), Verdict)
