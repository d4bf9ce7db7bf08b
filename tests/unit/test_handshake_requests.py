"""Rules of what the PLC asks for: parts, recipes, and the release after a purge; one example each."""

import pytest

from appliance.outputs.plc.plc_trigger import ANSWER_NS
from appliance.outputs.plc.registers import ControlBit, ErrorCode, JobAnswer, State, StatusBit, StatusBit2
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from tests.unit.handshake_bench import SESSION, Bench, actuation

ASKS = ControlBit.ENABLE | ControlBit.TRIGGER
WANTS = ControlBit.ENABLE | ControlBit.JOB_CHANGE


@pytest.fixture
def bench() -> Bench:
    """Give a PLC that makes the parts."""
    return Bench(plc_triggers=True).join()


def asked(bench: Bench, sequence: int = 7, part: int = 4711) -> int:
    bench.write(ASKS, request_sequence=sequence, plc_part=part)
    return bench.handshake.trigger_wish() or 0


# ---- Trigger --------------------------------------------------------------------------------------------------------


def test_a_part_is_made_in_four_phases(bench: Bench) -> None:
    """TriggerReady 1, Trigger 1, TriggerAck 1, Trigger 0, TriggerAck 0; the result names part and request."""
    seen = [bench.shown]
    request = asked(bench)
    seen.append(bench.shown)
    taken = bench.handshake.part_entered(PartId(5, 1), bench.now, request)
    bench.handshake.part_exposed(PartId(5, 1), bench.now)
    seen.append(bench.shown)
    bench.write(ControlBit.ENABLE)
    seen.append(bench.shown)
    bench.handshake.post(actuation(1), Detail(), bench.now)

    assert taken
    assert [
        StatusBit.TRIGGER_READY,
        StatusBit(0),
        StatusBit.TRIGGER_ACK | StatusBit.BUSY,
        StatusBit.TRIGGER_READY | StatusBit.BUSY,
    ] == seen
    assert (4711, 7, 1, 0) == (
        bench.status.plc_part,
        bench.status.part_request,
        bench.status.part_number,
        bench.status.missed_triggers,
    )


def test_one_trigger_is_one_wish(bench: Bench) -> None:
    """However often the block is written while Trigger is held, the microcontroller is asked once."""
    first = asked(bench)
    bench.write(ASKS)
    again = bench.handshake.trigger_wish()

    assert (True, None) == (first > 0, again)


def test_no_part_in_time_is_missed_and_told(bench: Bench) -> None:
    """200 ms without a part: MissedTrigger while Trigger is held, a count, and a record of what was not inspected."""
    request = asked(bench)
    bench.after(ANSWER_NS / MS)
    held, told = bench.shown, bench.handshake.missed()
    bench.write(ControlBit.ENABLE)

    assert StatusBit.MISSED_TRIGGER == held
    assert [(7, 4711, "the microcontroller made no part in time")] == [
        (one.asked.sequence, one.asked.part, one.reason) for one in told
    ]
    assert StatusBit.TRIGGER_READY == bench.shown
    assert not bench.handshake.part_entered(PartId(5, 1), bench.now, request)


def test_a_trigger_while_not_ready_is_missed(bench: Bench) -> None:
    """Rule 4: it is refused at once and says why; the microcontroller is not asked."""
    bench.handshake.machine(bench.now, ready=False)
    request = asked(bench)

    assert (0, StatusBit.MISSED_TRIGGER, 1) == (request, bench.shown, bench.status.missed_triggers)
    assert ["TriggerReady was 0"] == [one.reason for one in bench.handshake.missed()]


def test_a_part_nobody_asked_for_is_not_inspected(bench: Bench) -> None:
    """Where the PLC makes the parts, one that comes by itself, or for an older request, is a reject."""
    request = asked(bench)

    assert not bench.handshake.part_entered(PartId(5, 1), bench.now)
    assert not bench.handshake.part_entered(PartId(5, 2), bench.now, request - 1)
    assert bench.handshake.part_entered(PartId(5, 3), bench.now, request)
    assert not bench.handshake.part_entered(PartId(5, 4), bench.now, request)


def test_what_was_asked_for_must_still_be_welcome(bench: Bench) -> None:
    """A station that is no longer ready when the part is made does not inspect it, and TriggerAck stays 0."""
    request = asked(bench)
    bench.handshake.machine(bench.now, ready=False)

    assert not bench.handshake.part_entered(PartId(5, 1), bench.now, request)
    assert StatusBit.MISSED_TRIGGER == bench.shown & (StatusBit.MISSED_TRIGGER | StatusBit.TRIGGER_ACK)


def test_a_restart_of_the_plc_forgets_its_trigger(bench: Bench) -> None:
    """A part that was asked for in the old session is none of the new one."""
    request = asked(bench)
    bench.join()

    assert not bench.handshake.part_entered(PartId(5, 1), bench.now, request)
    assert ["the session ended before the part was made"] == [one.reason for one in bench.handshake.missed()]


def test_the_sensor_triggers_by_default() -> None:
    """Without plc.trigger = "plc" no wish goes out, and parts of the sensor are inspected as ever."""
    bench = Bench().join()
    bench.write(ASKS, request_sequence=7)

    assert None is bench.handshake.trigger_wish()
    assert ["the part sensor triggers here"] == [one.reason for one in bench.handshake.missed()]
    assert bench.handshake.part_entered(PartId(5, 1), bench.now)
    assert 0 == bench.status.bits2 & StatusBit2.PLC_TRIGGERS


# ---- JobChange ------------------------------------------------------------------------------------------------------


def test_a_refused_recipe_leaves_the_old_one() -> None:
    """Rule 7: JobRefused and JobAnswer while JobChange is held; ActiveRecipe and its hash stay."""
    bench = Bench().join()
    bench.write(WANTS, recipe_number=99)
    bench.handshake.refuse_job(bench.now)
    held = bench.status
    bench.write(ControlBit.ENABLE)

    assert (JobAnswer.REFUSED, StatusBit2.JOB_REFUSED, 3, 0xDEAD_BEEF) == (
        held.job_answer,
        held.bits2,
        held.active_recipe,
        held.recipe_hash,
    )
    assert 0 == held.bits & (StatusBit.TRIGGER_READY | StatusBit.CHANGEOVER)
    assert (0, 0) == (bench.status.job_answer, bench.status.bits2)
    assert StatusBit.TRIGGER_READY == bench.shown


def test_a_granted_recipe_is_answered_with_its_hash() -> None:
    """Rule 7: the answer carries number and hash of what is active now."""
    bench = Bench().join()
    bench.write(WANTS, recipe_number=8)
    bench.handshake.recipe(8, 0xABCD_0123, bench.now)

    assert (JobAnswer.DONE, 8, 0xABCD_0123, 0) == (
        bench.status.job_answer,
        bench.status.active_recipe,
        bench.status.recipe_hash,
        bench.status.bits2,
    )


def test_a_recipe_that_was_not_asked_for_is_no_answer() -> None:
    """A station that made another recipe active has refused this one, and names what it has."""
    bench = Bench().join()
    bench.write(WANTS, recipe_number=8)
    bench.handshake.recipe(5, 1, bench.now)

    assert (JobAnswer.REFUSED, 5) == (bench.status.job_answer, bench.status.active_recipe)


@pytest.mark.parametrize("on_belt", [False, True])
def test_a_change_has_a_time_limit(on_belt: bool) -> None:
    """Whether a part never leaves or the station never answers: after 60 s it is refused, and the line goes on."""
    bench = Bench().join()
    if on_belt:
        bench.handshake.part_entered(PartId(5, 1), bench.now)
    bench.write(WANTS, recipe_number=8)
    bench.after(59_990)
    before = bench.status.job_answer
    bench.after(20)

    assert (0, JobAnswer.NOT_IN_TIME) == (before, bench.status.job_answer)
    assert None is bench.handshake.job_change
    bench.write(ControlBit.ENABLE)
    assert StatusBit.TRIGGER_READY == bench.shown & StatusBit.TRIGGER_READY


def test_a_wish_that_is_taken_back_before_it_began_is_none() -> None:
    """While a part is on the belt the PLC may change its mind."""
    bench = Bench().join()
    bench.handshake.part_entered(PartId(5, 1), bench.now)
    bench.write(WANTS, recipe_number=8)
    bench.write(ControlBit.ENABLE)
    bench.handshake.post(actuation(1), Detail(), bench.now)
    bench.ack()

    assert None is bench.handshake.job_change


def test_a_change_that_others_make_holds_parts_back_too() -> None:
    """Changeover is shown and no part may enter, whoever asked for the recipe."""
    bench = Bench().join()
    bench.handshake.machine(bench.now, ready=True, changing=True)

    assert (StatusBit.CHANGEOVER, State.CHANGEOVER) == (bench.shown, bench.status.state)


# ---- quarantine and purge -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disposition", list(Disposition))
def test_what_a_person_has_to_see_is_kept_apart(disposition: Disposition) -> None:
    """Quarantine goes with Reject of REVIEW and UNKNOWN, and with nothing else."""
    bench = Bench().join()
    bench.post(actuation(1, Lane.REJECT, Cause.DECIDED_REJECT, disposition))
    apart = disposition in {Disposition.REVIEW, Disposition.UNKNOWN}

    assert StatusBit.REJECT == bench.shown & (StatusBit.PASS | StatusBit.REJECT)
    assert (StatusBit2.QUARANTINE if apart else 0) == bench.status.bits2


def test_a_part_that_passed_is_not_kept_apart() -> None:
    """Pass and Quarantine never stand together."""
    bench = Bench().join()
    bench.post(actuation(1))

    assert (StatusBit.PASS, 0) == (bench.shown & StatusBit.PASS, bench.status.bits2)


def test_lost_step_is_left_by_a_purge_alone() -> None:
    """SyncLost is an error of its own; ErrorReset does not clear it, Purged is passed on once and releases nothing."""
    bench = Bench().join()
    bench.handshake.machine(bench.now, ready=True, sync_lost=True)
    bench.write(ControlBit.ENABLE | ControlBit.ERROR_RESET)
    after_reset = bench.handshake.error
    bench.write(ControlBit.ENABLE | ControlBit.PURGED)

    assert (ErrorCode.SYNC_LOST, ErrorCode.SYNC_LOST) == (after_reset, bench.handshake.error)
    assert StatusBit.ERROR == bench.shown
    assert (True, False) == (bench.handshake.purged(), bench.handshake.purged())
    bench.handshake.machine(bench.now, ready=True)
    assert StatusBit.TRIGGER_READY == bench.shown


def test_purged_without_need_is_no_wish() -> None:
    """The bit means something only while step is lost, and only for the session's own PLC."""
    bench = Bench().join()
    bench.write(ControlBit.ENABLE | ControlBit.PURGED)
    bench.handshake.machine(bench.now, ready=True, sync_lost=True)
    bench.write(ControlBit.ENABLE | ControlBit.PURGED)
    held = bench.handshake.purged()
    bench.write(ControlBit.ENABLE | ControlBit.PURGED, session_echo=SESSION + 9)

    assert (False, False) == (held, bench.handshake.purged())


def test_a_station_without_a_job_says_so() -> None:
    """A PLC can tell why TriggerReady is 0 when another client controls the line."""
    bench = Bench().join()
    bench.handshake.machine(bench.now, ready=False, no_job=True)

    assert (StatusBit(0), StatusBit2.NO_JOB) == (bench.shown, bench.status.bits2)
