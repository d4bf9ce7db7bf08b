"""Protect what `line` does with the PLC's wishes for a part and for a release, and with parts and gate out of step."""

import pytest

from appliance.outputs.plc.plc_trigger import ANSWER_NS
from appliance.outputs.plc.registers import ControlBit, ErrorCode, StatusBit, StatusBit2
from appliance.schema.actuation import Cause
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import Accepted, PurgeDone, RefusedReply, ResetFault, StartJob
from appliance.schema.health import Alarm
from firmware_bridge import messages as mcu
from tests.unit.line_rig import Rig

ENABLE, TRIGGER = ControlBit.ENABLE, ControlBit.ENABLE | ControlBit.TRIGGER


def joined(*, plc_triggers: bool = True, plc_required: bool = True) -> Rig:
    rig = Rig(plc_required=plc_required, plc_triggers=plc_triggers).connect()
    rig.plc(0, session_echo=0)
    rig.plc(ENABLE)
    return rig


def asked(rig: Rig, sequence: int = 7, part: int = 4711) -> int:
    """Let the PLC ask for a part; give the request that went to the microcontroller, 0 for none."""
    before = len(rig.all(mcu.SoftTrigger))
    rig.plc(TRIGGER, request_sequence=sequence, plc_part=part)
    wishes = rig.all(mcu.SoftTrigger)[before:]
    return wishes[0].request if wishes else 0


# ---- the PLC makes the part -----------------------------------------------------------------------------------------


def test_the_plcs_part_is_inspected_and_named() -> None:
    """Trigger, SoftTrigger, part, verdict, gate: the result carries PlcPart and RequestSeq."""
    rig = joined()
    request = asked(rig)
    rig.verdict(rig.enter(1, request=request))
    rig.plc(ENABLE, request_sequence=7, plc_part=4711)
    rig.gate(1, mcu.Lane.ACCEPT, mcu.GateCause.ACCEPTED, 41)
    status = rig.status()

    assert request > 0
    assert [1] == [one.accept for one in rig.all(mcu.Decision)]
    assert (4711, 7, StatusBit.PASS) == (status.plc_part, status.part_request, status.bits & StatusBit.PASS)


def test_the_microcontroller_is_told_what_makes_a_part() -> None:
    """Its configuration says whether the sensor or SoftTrigger does."""
    sources = [joined(plc_triggers=by_plc).node._configure.trigger_source for by_plc in (False, True)]

    assert [mcu.TriggerSource.SENSOR, mcu.TriggerSource.PLC] == sources


@pytest.mark.parametrize("plc_required", [True, False])
@pytest.mark.parametrize("request_", [0, 12345])
def test_a_part_that_nobody_asked_for_is_a_reject(request_: int, plc_required: bool) -> None:
    """Where the PLC makes the parts, one by itself or for another request is never accepted, whatever is required."""
    rig = joined(plc_required=plc_required)
    asked(rig)
    rig.verdict(rig.enter(1, request=request_))

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]
    assert Cause.PLC_NOT_READY == rig.gate(1, cause=mcu.GateCause.DECIDED_REJECT, sequence=41).cause


def test_a_part_that_was_not_made_is_told() -> None:
    """Rule 4: never silent. An alarm names request, part and reason; the PLC reads MissedTrigger."""
    rig = joined()
    asked(rig)
    rig.now += ANSWER_NS
    rig.do(rig.node.wake(HostNs(rig.now)))
    told = [one.text for one in rig.all(Alarm) if one.kind == "trigger_missed"]

    assert 1 == len(told)
    assert "trigger 7 of the PLC for part 4711" in told[0]
    assert "was not inspected" in told[0]
    assert rig.status().bits & StatusBit.MISSED_TRIGGER


def test_a_part_that_comes_too_late_is_a_reject() -> None:
    """Its Trigger was told as missed; what the microcontroller makes of it afterwards is not inspected."""
    rig = joined()
    request = asked(rig)
    rig.now += ANSWER_NS
    rig.do(rig.node.wake(HostNs(rig.now)))
    rig.verdict(rig.enter(1, request=request))

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]


def test_many_missed_triggers_are_one_alarm_a_second() -> None:
    """A PLC that hammers fills no log; the count says how many there were."""
    rig = joined()
    rig.tell(mcu.StateChanged(mcu.State.CONFIGURED, mcu.StateReason.HOST_REQUEST))
    rig.do(rig.node.wake(HostNs(rig.now)))
    for sequence in range(1, 21):
        asked(rig, sequence)
        rig.plc(ENABLE)
        rig.now += 10 * MS
    for _ in range(12):
        rig.now += 100 * MS
        rig.plc(ENABLE)
        rig.do(rig.node.wake(HostNs(rig.now)))
    told = [one.text for one in rig.all(Alarm) if one.kind == "trigger_missed"]

    assert 2 == len(told)
    assert "trigger 20" in told[1]
    assert "; 18 more" in told[1]
    assert 20 == rig.status().missed_triggers


def test_with_the_sensor_as_source_nothing_is_asked_for() -> None:
    """The PLC's Trigger is answered with MissedTrigger and an alarm; parts of the sensor go on."""
    rig = joined(plc_triggers=False)
    request = asked(rig)
    rig.plc(ENABLE)
    rig.verdict(rig.enter(1))

    assert 0 == request
    assert ["trigger_missed"] == [one.kind for one in rig.all(Alarm)]
    assert [1] == [one.accept for one in rig.all(mcu.Decision)]


# ---- parts and gate out of step -------------------------------------------------------------------------------------


def stats(state: mcu.State, fault: mcu.Fault, crc: int) -> mcu.Stats:
    return mcu.Stats(*[0] * 12, 1, 1, crc, state, fault, 1, 1)


def out_of_step(rig: Rig) -> Rig:
    rig.tell(stats(mcu.State.FAULT, mcu.Fault.SYNC_LOST, rig.node._configure.crc))
    rig.do(rig.node.wake(HostNs(rig.now)))
    return rig


@pytest.mark.parametrize("plc_required", [True, False])
def test_out_of_step_nothing_is_accepted(plc_required: bool) -> None:
    """What is on the belt is taken back, what enters is barred, and everybody is told."""
    rig = joined(plc_triggers=False, plc_required=plc_required)
    rig.verdict(rig.enter(1))
    out_of_step(rig)
    rig.verdict(rig.enter(2), sequence=42)
    status, state = rig.status(), rig.state()

    assert [(1, 1), (1, 0), (2, 0)] == [(one.part, one.accept) for one in rig.all(mcu.Decision)]
    assert (ErrorCode.SYNC_LOST, StatusBit2.SYNC_LOST) == (status.error_code, status.bits2)
    assert (True, False, ErrorCode.SYNC_LOST) == (state.sync_lost, state.ready, state.error)
    assert 0 == status.bits & StatusBit.TRIGGER_READY


def test_only_a_purge_releases_it() -> None:
    """ResetFault and ErrorReset do not; PurgeDone does, audited, and the microcontroller has the last word."""
    rig = out_of_step(joined(plc_triggers=False))
    reset = rig.ask(ResetFault("anna"))
    rig.plc(ENABLE | ControlBit.ERROR_RESET)
    started = rig.ask(StartJob(single=True, actor="anna"))
    before = rig.all(mcu.ReleaseFault)
    purged = rig.ask(PurgeDone("anna"))

    assert (True, True, []) == (isinstance(reset, RefusedReply), isinstance(started, RefusedReply), before)
    assert (Accepted(), [mcu.ReleaseFault()]) == (purged, rig.all(mcu.ReleaseFault))
    assert [("anna", "belt_purged")] == [(one.actor, one.action) for one in rig.all(AuditRequest)]
    assert rig.state().sync_lost

    rig.tell(mcu.StateChanged(mcu.State.ARMED, mcu.StateReason.HOST_REQUEST))
    rig.do(rig.node.wake(HostNs(rig.now)))
    assert (False, True) == (rig.state().sync_lost, rig.state().ready)


def test_the_plc_may_say_that_it_is_purged() -> None:
    """A rising edge of Purged releases once, audited as the PLC's; held, it does nothing more."""
    rig = out_of_step(joined(plc_triggers=False))
    rig.plc(ENABLE | ControlBit.PURGED)
    rig.plc(ENABLE | ControlBit.PURGED)

    assert [mcu.ReleaseFault()] == rig.all(mcu.ReleaseFault)
    assert [("plc", "belt_purged")] == [(one.actor, one.action) for one in rig.all(AuditRequest)]


def test_purged_in_step_releases_nothing() -> None:
    """The bit is no second ErrorReset: another fault stays until a person resets it."""
    rig = joined(plc_triggers=False)
    rig.tell(stats(mcu.State.FAULT, mcu.Fault.TABLE_OVERFLOW, rig.node._configure.crc))
    rig.plc(ENABLE | ControlBit.PURGED)

    assert [] == rig.all(mcu.ReleaseFault)
    assert isinstance(rig.ask(PurgeDone("anna")), RefusedReply)
    assert Accepted() == rig.ask(ResetFault("anna"))


def test_a_second_is_the_longest_that_a_reader_waits() -> None:
    """The state is told again each second, whatever happens."""
    rig = out_of_step(joined(plc_triggers=False))
    before = len(rig.published)
    rig.do(rig.node.wake(HostNs(rig.now + S)))

    assert rig.state() in rig.published[before:]
