"""Protect the rules of `line`: the gate gets one reason to open, in time, for one part; each has one account."""

import pytest
from msgspec.structs import replace

from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S
from appliance.schema.health import Alarm
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.verdict import Disposition, Verdict
from appliance.services._authority import accepts
from appliance.services._line_gate import GATE_CAUSE
from firmware_bridge import messages as mcu
from tests.unit.line_rig import BEGIN, BOOT, GUARD, WINDOW, Rig, part_event


@pytest.fixture
def rig() -> Rig:
    return Rig().connect()


# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_an_accept_in_time_goes_to_the_gate(rig: Rig) -> None:
    """One decision, for this part, with the verdict's number."""
    part = rig.enter()
    rig.verdict(part, part.decide_by)

    assert [mcu.Decision(part=1, accept=1, verdict_seq=41)] == rig.all(mcu.Decision)


@pytest.mark.parametrize("disposition", [one for one in Disposition if one is not Disposition.ACCEPT])
def test_only_accept_opens_the_gate(rig: Rig, disposition: Disposition) -> None:
    """REJECT, REVIEW, UNKNOWN and NO_VERDICT hold the part back."""
    rig.verdict(rig.enter(), disposition=disposition)

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]


def test_a_late_accept_is_a_reject(rig: Rig) -> None:
    """One nanosecond after the deadline is late; the part's account says so."""
    part = rig.enter()
    rig.verdict(part, part.decide_by + 1)

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]
    assert rig.gate(cause=mcu.GateCause.DECIDED_REJECT).cause is Cause.LATE


def test_the_first_verdict_counts(rig: Rig) -> None:
    """A second verdict, better or worse, changes nothing."""
    part = rig.enter()
    rig.verdict(part, disposition=Disposition.REVIEW)

    assert [] == rig.verdict(part)
    assert [0] == [one.accept for one in rig.all(mcu.Decision)]
    assert rig.gate(cause=mcu.GateCause.DECIDED_REJECT).disposition is Disposition.REVIEW


@pytest.mark.parametrize("part", [PartId(BOOT + 1, 1), PartId(BOOT, 2)])
def test_a_verdict_for_another_part_changes_nothing(rig: Rig, part: PartId) -> None:
    """Neither a part of another boot with the same number, nor one that was never seen."""
    entered = rig.enter()

    assert [] == rig.verdict(entered, part=part)
    assert [] == rig.all(mcu.Decision)


def test_the_rule_compares_the_whole_part() -> None:
    """`accepts` is safe by itself: disposition, part with its boot, and time."""
    entered = PartEntered(PartId(1, 1), HostNs(0), 0, McuTicks(0), EncoderCounts(0), HostNs(100), ("top",))
    verdict = Verdict(PartId(1, 1), Disposition.ACCEPT, (), HostNs(0), HostNs(100), 1)

    def may(verdict: Verdict, now: int) -> bool:
        return accepts(verdict, entered, HostNs(100), HostNs(now))

    assert may(verdict, 100)
    assert not may(verdict, 101)
    assert not may(replace(verdict, part=PartId(2, 1)), 100)
    assert not may(replace(verdict, part=PartId(1, 2)), 100)
    assert not may(replace(verdict, disposition=Disposition.UNKNOWN), 100)


def test_the_deadline_is_the_parts_own(rig: Rig) -> None:
    """What a verdict says about its deadline is not believed."""
    part = rig.enter()
    rig.verdict(part, part.decide_by + 1, decide_by=HostNs(part.decide_by + S))

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_the_deadline_comes_from_geometry(rig: Rig) -> None:
    """Sensor edge, less the clocks' doubt, plus the way to the decision point at full speed, less the guard."""
    part = rig.enter()

    assert (PartId(BOOT, 1), ("top",), False) == (part.part, part.cameras, part.replayed)
    assert part.decide_by == part.at - part.at_uncertainty_ns + WINDOW - GUARD


def test_a_part_told_after_its_deadline_is_replayed(rig: Rig) -> None:
    """A part out of the microcontroller's memory is accounted for and can no longer be accepted."""
    rig.now = BEGIN + S
    rig.tell(part_event(1, BEGIN))
    part = rig.all(PartEntered)[-1]
    rig.verdict(part)

    assert part.replayed
    assert [0] == [one.accept for one in rig.all(mcu.Decision)]
    assert rig.gate().replayed


def test_events_wait_for_the_first_clock_answer() -> None:
    """An event that cannot be dated has no deadline; it is told in its order once it has."""
    rig = Rig().connect(dated=False)
    waiting = [*rig.tell(part_event(1, BEGIN)), *rig.tell(mcu.ExposedEvent(2, 1, 0, 1, 300, BEGIN // 1000))]
    waiting += rig.tell(mcu.GateEvent(3, 1, mcu.Lane.REJECT, mcu.GateCause.NO_DECISION, 0, 4000, BEGIN // 1000))
    told = rig.tell(mcu.ClockReply(BEGIN, BEGIN // 1000, 0))

    assert [] == waiting
    assert [PartEntered, PartExposed, Actuation] == [
        type(one) for one in told if isinstance(one, PartEntered | PartExposed | Actuation)
    ]


def test_exposures_count_from_zero(rig: Rig) -> None:
    """Camera and microcontroller count from the same origin; a line without a camera says nothing."""
    rig.enter()
    rig.tell(mcu.ExposedEvent(2, 1, 0, 1, 1300, BEGIN // 1000))
    rig.tell(mcu.ExposedEvent(3, 1, 1, 1, 1300, BEGIN // 1000))

    assert [(PartId(BOOT, 1), "top", 0, 1300)] == [
        (one.part, one.camera, one.trigger_index, one.at_counts) for one in rig.all(PartExposed)
    ]


# ---- what the gate did ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", list(mcu.GateCause))
def test_every_cause_has_a_name(rig: Rig, cause: mcu.GateCause) -> None:
    """Whatever the microcontroller says becomes one Actuation with its cause."""
    part = rig.enter()
    accepted = cause is mcu.GateCause.ACCEPTED
    rig.verdict(part, disposition=Disposition.ACCEPT if accepted else Disposition.REJECT)
    told = rig.gate(lane=mcu.Lane.ACCEPT if accepted else mcu.Lane.REJECT, cause=cause)

    assert (part.part, GATE_CAUSE[cause]) == (told.part, told.cause)
    assert (Lane.ACCEPT if accepted else Lane.REJECT) == told.lane
    assert len(rig.all(Actuation)) == 1
    assert [] == rig.all(Alarm)


def test_an_accept_that_line_did_not_give_is_an_alarm(rig: Rig) -> None:
    """A part in the accept lane without an ACCEPT of this run is told at once."""
    rig.enter()
    rig.gate(lane=mcu.Lane.ACCEPT, cause=mcu.GateCause.ACCEPTED)

    assert ["accepted_without_verdict"] == [one.kind for one in rig.all(Alarm)]


def test_a_gate_event_of_an_unknown_part_is_accounted_for(rig: Rig) -> None:
    """A `line` that restarted tells what became of parts that only the microcontroller knew."""
    told = rig.gate(9, cause=mcu.GateCause.OLD_SESSION)

    assert (PartId(BOOT, 9), Cause.OLD_SESSION, True) == (told.part, told.cause, told.replayed)


def test_a_reboot_closes_its_parts_as_rejected_faults(rig: Rig) -> None:
    """The parts on the belt lose their table; the gate fell to reject, each has one account, no verdict helps them."""
    parts = [rig.enter(number) for number in (1, 2, 3)]
    rig.verdict(parts[0])
    rig.connect(BOOT + 1)
    before = len(rig.sent)
    late = rig.verdict(parts[1])

    assert [(part.part, Lane.REJECT, Cause.FAULT, 0) for part in parts] == [
        (one.part, one.lane, one.cause, one.verdict_sequence) for one in rig.all(Actuation)
    ]
    assert [Disposition.ACCEPT, Disposition.NO_VERDICT, Disposition.NO_VERDICT] == [
        one.disposition for one in rig.all(Actuation)
    ]
    assert ([], before) == (late, len(rig.sent))


def test_a_second_reboot_closes_no_part_twice(rig: Rig) -> None:
    """A part has one account, however often the microcontroller restarts."""
    rig.enter()
    rig.connect(BOOT + 1)
    rig.connect(BOOT + 2)

    assert len(rig.all(Actuation)) == 1


def test_what_an_old_boot_said_is_not_dated_by_the_new_clock() -> None:
    """An event that waited for the clock when the microcontroller restarted would name a part of the new boot."""
    rig = Rig().connect(dated=False)
    rig.tell(part_event(1, BEGIN))
    rig.connect(BOOT + 1)

    assert [] == rig.all(PartEntered)


def test_a_new_session_of_the_same_boot_keeps_its_parts(rig: Rig) -> None:
    """A silent wire is no restart: the microcontroller still knows its parts and will tell of each."""
    rig.enter()
    rig.connect(BOOT)

    assert [] == rig.all(Actuation)


def test_a_reboot_forgets_the_clock(rig: Rig) -> None:
    """Ticks of a new boot are dated by a new clock only."""
    rig.connect(BOOT + 1, dated=False)

    assert [] == [one for one in rig.tell(part_event(1, BEGIN)) if isinstance(one, PartEntered)]
