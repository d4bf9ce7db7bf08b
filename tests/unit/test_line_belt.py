"""Protect what `line` does with the belt's position: it is stated, moves deadlines back, and is asked for in time."""

import pytest

from appliance.ports.node import Send
from appliance.schema.actuation import Cause
from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.schema.health import Alarm
from appliance.schema.part import BeltPosition, PartEntered
from appliance.services._line_belt import ASK_AGAIN, ASK_AHEAD
from firmware_bridge import messages as mcu
from tests.unit.line_rig import BEGIN, BOOT, GUARD, SETTINGS, WINDOW, Rig, part_event

FASTEST = SETTINGS.belt_mm_s * SETTINGS.counts_per_mm
CLOSING = 1000 + int(FASTEST * WINDOW / S)


@pytest.fixture
def rig() -> Rig:
    return Rig().connect()


def orders(rig: Rig) -> list[int]:
    return [one.accept for one in rig.all(mcu.Decision)]


def stats(rig: Rig, counts: int) -> mcu.Stats:
    tick = rig.now // 1000
    return mcu.Stats(tick, counts, *[0] * 10, 1, 1, rig.node._configure.crc, mcu.State.ARMED, mcu.Fault.NONE, 1, 1)


def test_each_answer_of_the_clock_states_the_belt(rig: Rig) -> None:
    """Position, instant, largest speed and boot: all that a deadline needs."""
    rig.belt(700, BEGIN + 100 * MS)
    rig.now = BEGIN + 200 * MS
    rig.tell(stats(rig, 900))

    assert [(0, BOOT), (700, BOOT), (900, BOOT)] == [(one.at_counts, one.boot) for one in rig.all(BeltPosition)]
    assert {FASTEST} == {one.fastest for one in rig.all(BeltPosition)}
    assert abs(rig.all(BeltPosition)[1].at - BEGIN - 100 * MS) <= rig.all(BeltPosition)[1].at_uncertainty_ns


def test_without_a_clock_there_is_no_position() -> None:
    """Counts that cannot be dated say nothing."""
    rig = Rig().connect(dated=False)
    rig.tell(stats(rig, 900))

    assert [] == rig.all(BeltPosition)


def test_a_part_states_its_closing_count(rig: Rig) -> None:
    """Where the microcontroller closes: sensor edge, way to the gate, less the lead."""

    assert EncoderCounts(CLOSING) == rig.enter().close_counts


@pytest.mark.parametrize(("standing", "accepted"), [(True, 1), (False, 0)])
def test_a_standing_belt_keeps_the_decision_open(rig: Rig, standing: bool, accepted: int) -> None:
    """Half a minute after its deadline in time an ACCEPT is in time where the belt stood, and late where it ran."""
    part = rig.enter()
    for step in range(1, 301):
        rig.belt(1000 if standing else 1000 + step * 1000, BEGIN + step * 100 * MS)
    rig.verdict(part)

    assert [accepted] == orders(rig)


def test_the_guard_stays_whole_on_a_slow_belt(rig: Rig) -> None:
    """The last instant is the guard before the belt can reach the closing count from where it was seen last."""
    part = rig.enter()
    rig.belt(CLOSING - 1000, BEGIN + 10 * S)
    closes = rig.node._belt.closes(part)

    assert 0 <= BEGIN + 10 * S + 100 * MS - GUARD - closes < MS
    rig.verdict(part, closes + 1)
    assert [0] == orders(rig)
    assert rig.gate(cause=mcu.GateCause.DECIDED_REJECT).cause is Cause.LATE


def test_a_part_told_late_on_a_standing_belt_is_no_replay(rig: Rig) -> None:
    """Its decision is still open: the belt did not move."""
    rig.belt(1000, BEGIN + 5 * S)
    rig.tell(part_event(1, BEGIN))

    assert not rig.all(PartEntered)[-1].replayed


def test_a_part_from_before_the_start_is_not_judged_again(rig: Rig) -> None:
    """A restarted line hears of it from the microcontroller's memory: the belt stood, but it may have its verdict."""
    rig.do(rig.node.start(HostNs(BEGIN + S)))
    rig.belt(1000, BEGIN + 5 * S)
    for number, at in ((1, BEGIN + S // 2), (2, BEGIN + 4 * S)):
        rig.tell(part_event(number, at))

    assert [True, False] == [one.replayed for one in rig.all(PartEntered)]


# ---- asking ---------------------------------------------------------------------------------------------------------


def asked(rig: Rig) -> list[int]:
    return [one.host_ns for one in rig.all(mcu.ClockRequest)]


def test_it_asks_before_an_undecided_part_would_be_late(rig: Rig) -> None:
    """An answer may show that the belt stands; it is asked for once in a while, and not for a part that is late."""
    part = rig.enter()
    ask, late = part.decide_by - ASK_AHEAD, part.decide_by + 1
    for now in (ask - 1, ask, ask + 1, ask + ASK_AGAIN - 1, ask + ASK_AGAIN, late + ASK_AGAIN, late + S):
        rig.do(rig.node.wake(HostNs(now)))

    assert [ask, ask + ASK_AGAIN, late + ASK_AGAIN] == asked(rig)
    assert rig.node._belt.ask_at is None


@pytest.mark.parametrize("what", ["decided", "gone", "not_inspected"])
def test_it_asks_for_nobody_else(what: str) -> None:
    """Parts that are decided, gone or rejected anyway wait for no answer."""
    rig = Rig(plc_required=what == "not_inspected").connect()
    part = rig.enter()
    if what == "decided":
        rig.verdict(part)
    if what == "gone":
        rig.gate()
    rig.do(rig.node.wake(HostNs(part.decide_by - 1)))

    assert [] == asked(rig)


def test_its_own_questions_do_not_crowd_the_clock(rig: Rig) -> None:
    """The clock's fit needs samples far apart: an answer to a question about the belt is no sample."""
    part = rig.enter()
    rig.do(rig.node.wake(HostNs(part.decide_by - 1)))
    before = len(rig.node._link.clock._samples)
    rig.now = part.decide_by + MS
    told = rig.tell(mcu.ClockReply(asked(rig)[0], rig.now // 1000, 1500))

    assert len(rig.node._link.clock._samples) == before
    assert [1500] == [one.at_counts for one in told if isinstance(one, BeltPosition)]


# ---- a belt that was too fast ---------------------------------------------------------------------------------------


def test_a_belt_that_was_too_fast_is_told_and_moves_nothing(rig: Rig) -> None:
    """What contradicts the configured speed is an alarm; deadlines stand as worked out in time, until all is past."""
    rig.enter()
    rig.belt(5000, BEGIN + 100 * MS)
    rig.belt(5000, BEGIN + 200 * MS)
    part = rig.all(PartEntered)[0]
    doubted = rig.node._belt.closes(part)
    rig.belt(9001, BEGIN + 10 * S)
    rig.belt(9002, BEGIN + 11 * S)

    assert ["belt_too_fast"] == [one.kind for one in rig.all(Alarm)]
    assert "50000 counts/s, 10000 are configured" in rig.all(Alarm)[0].text
    assert [FASTEST, 0.0, 0.0, FASTEST, FASTEST] == [one.fastest for one in rig.all(BeltPosition)]
    assert part.decide_by == doubted


def test_a_new_boot_counts_anew(rig: Rig) -> None:
    """An encoder that begins at 0 again did not race: its positions are another boot's."""
    rig.belt(90_000, BEGIN + 60 * S)
    rig.connect(BOOT + 1)
    rig.belt(20, BEGIN + 60 * S + 20 * MS)

    assert [] == rig.all(Alarm)
    assert BOOT + 1 == rig.all(BeltPosition)[-1].boot


def test_sends_go_to_the_microcontroller(rig: Rig) -> None:
    """The question about the belt is the microcontroller's."""
    part = rig.enter()
    outputs = rig.node.wake(HostNs(part.decide_by - 1))

    assert ["mcu"] == [one.device for one in outputs if isinstance(one, Send) and one.device != "plc"]
