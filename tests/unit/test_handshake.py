"""Rules of the PLC handshake, one example each; the random sequences are in tests/property/test_handshake.py."""

from itertools import pairwise

import pytest

from appliance.outputs.plc import registers
from appliance.outputs.plc.heartbeat import HEARTBEAT_NS
from appliance.outputs.plc.registers import (
    ControlBit,
    ErrorCode,
    State,
    StatusBit,
)
from appliance.outputs.plc.result_queue import Detail
from appliance.schema.actuation import Cause
from appliance.schema.clocks import MS
from appliance.schema.part import PartId
from tests.unit.handshake_bench import SESSION, Bench, actuation, late


def test_one_part_as_a_plc_sees_it() -> None:
    """The four phases of one part, word by word."""
    bench = Bench()
    trace: list[str] = []

    def note(event: str) -> None:
        bits = "|".join(sorted(str(bit.name) for bit in bench.shown))
        status = bench.status
        trace.append(
            f"{event:<12} {State(status.state).name:<10} seq={status.result_sequence} part={status.part_number} {bits}"
        )

    note("start")
    bench.write(0)
    note("heartbeat")
    bench.write(ControlBit.ENABLE, session_echo=SESSION)
    note("enable")
    bench.handshake.part_entered(PartId(5, 9), bench.now)
    note("entered")
    bench.handshake.part_exposed(PartId(5, 9), bench.now)
    note("exposed")
    bench.handshake.post(actuation(9), Detail(), bench.now)
    note("posted")
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=1)
    note("ack 1")
    bench.write(ControlBit.ENABLE)
    note("ack 0")

    assert [
        "start        OFFLINE    seq=0 part=0 ",
        "heartbeat    NOT_READY  seq=0 part=0 ",
        "enable       READY      seq=0 part=0 TRIGGER_READY",
        "entered      ACQUIRING  seq=0 part=0 BUSY|EXPOSING|TRIGGER_READY",
        "exposed      BUSY       seq=0 part=0 BUSY|TRIGGER_READY",
        "posted       RESULT     seq=1 part=9 PASS|RESULT_VALID|TRIGGER_READY",
        "ack 1        READY      seq=0 part=0 TRIGGER_READY",
        "ack 0        READY      seq=0 part=0 TRIGGER_READY",
    ] == trace


def test_stale_heartbeat_makes_outputs_safe() -> None:
    """Rule 6: 500 ms without a toggle of the PLC withdraw result and readiness; results wait and come back."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.after(490, beating=False)
    before = bench.shown
    bench.after(10, beating=False)

    assert StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.TRIGGER_READY == before
    assert StatusBit(0) == bench.shown
    assert (State.OFFLINE, 0, 1) == (bench.status.state, bench.status.part_number, bench.status.queue_depth)
    bench.write()
    assert before == bench.shown


def test_late_ack_after_silence_is_taken_once() -> None:
    """A result the PLC has read is not handed over twice because its heartbeat paused meanwhile."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.after(600, beating=False)
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=1)

    assert [1] == [event.part.number for event in bench.handshake.acknowledged()]


def test_our_heartbeat_toggles_in_time() -> None:
    """Rule 6: with a loop that comes when asked, bit 15 changes at least every 100 ms."""
    bench = Bench().join()
    changes = []
    for _ in range(20):
        bench.now = bench.handshake.wake_at
        before = bench.status.bits & StatusBit.HEARTBEAT
        bench.handshake.tick(bench.now)
        if bench.status.bits & StatusBit.HEARTBEAT != before:
            changes.append(bench.now)

    assert {HEARTBEAT_NS} == {later - earlier for earlier, later in pairwise(changes)}
    assert HEARTBEAT_NS <= 100 * MS


def test_plc_restart_renews_the_session() -> None:
    """Rule 6: a PLC that forgot its session gets a new one, an empty queue, and Reject for parts on the belt."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.handshake.part_entered(PartId(5, 2), bench.now)
    bench.join()

    assert (SESSION + 1, 0, 1) == (bench.handshake.session, bench.handshake.pending, bench.handshake.counts.cleared)
    bench.handshake.post(actuation(2), Detail(), bench.now)
    assert StatusBit.REJECT == bench.shown & (StatusBit.PASS | StatusBit.REJECT)
    assert registers.CAUSE_CODES[Cause.OLD_SESSION] == bench.status.cause


def test_our_restart_is_not_obeyed_until_echoed() -> None:
    """Rule 6: after our restart nothing is shown and no edge counts until the PLC has copied the new session."""
    bench = Bench().join()
    bench.handshake.restart(900, bench.now)
    bench.post(actuation(1))
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=1)

    assert (StatusBit(0), 1) == (bench.shown & ~StatusBit.MISSED_TRIGGER, bench.handshake.pending)
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=1, session_echo=900)
    assert 1 == bench.handshake.pending
    with pytest.raises(ValueError, match="session 0 is outside"):
        bench.handshake.restart(0, bench.now)


def test_late_results_ask_for_a_line_stop() -> None:
    """Rule 5: a late ACCEPT shows Reject and Late; three in a row raise Overload and Error until ErrorReset."""
    bench = Bench().join()
    bench.post(late(1))
    first = bench.shown
    bench.ack()
    for posted in (late(2), actuation(3), late(4), late(5)):
        bench.post(posted)
    before = bench.handshake.line_stop
    bench.post(late(6))

    assert StatusBit.RESULT_VALID | StatusBit.REJECT | StatusBit.LATE | StatusBit.TRIGGER_READY == first
    assert (False, True, ErrorCode.LATE_IN_A_ROW) == (before, bench.handshake.line_stop, bench.handshake.error)
    assert StatusBit.OVERLOAD | StatusBit.ERROR == bench.shown & (
        StatusBit.OVERLOAD | StatusBit.ERROR | StatusBit.TRIGGER_READY
    )
    bench.handshake.reset(bench.now)
    assert (False, ErrorCode.NONE) == (bench.handshake.line_stop, bench.handshake.error)


def test_trigger_of_the_plc_is_missed() -> None:
    """Rule 4: the part sensor triggers, so the PLC's Trigger is answered, echoed and counted."""
    bench = Bench().join()
    bench.write(ControlBit.ENABLE | ControlBit.TRIGGER, request_sequence=12)
    held = bench.shown
    bench.write(ControlBit.ENABLE)

    assert StatusBit.MISSED_TRIGGER | StatusBit.TRIGGER_READY == held
    assert StatusBit.TRIGGER_READY == bench.shown
    assert (12, 1) == (bench.status.request_sequence_echo, bench.status.missed_triggers)


def test_part_that_enters_while_not_ready_is_a_missed_trigger() -> None:
    """Rule 4: a part that enters while TriggerReady is down is told to the caller and counted."""
    bench = Bench()
    refused = bench.handshake.part_entered(PartId(5, 1), bench.now)
    bench.join()
    taken = bench.handshake.part_entered(PartId(5, 2), bench.now)

    assert (False, True, 1) == (refused, taken, bench.status.missed_triggers)


def test_recipe_changes_only_when_idle() -> None:
    """Rule 7: a job change waits for the last part and result; TriggerReady returns with the new recipe's hash."""
    bench = Bench().join()
    bench.handshake.part_entered(PartId(5, 1), bench.now)
    bench.write(ControlBit.ENABLE | ControlBit.JOB_CHANGE, recipe_number=8)
    waiting = (bench.handshake.job_change, bench.shown & StatusBit.TRIGGER_READY)
    bench.handshake.post(actuation(1), Detail(), bench.now)
    job = ControlBit.ENABLE | ControlBit.JOB_CHANGE
    bench.write(job | ControlBit.RESULT_ACK, ack_sequence=1)
    bench.write(job)

    assert (None, StatusBit(0)) == waiting
    assert (8, State.CHANGEOVER, StatusBit.CHANGEOVER) == (bench.handshake.job_change, bench.status.state, bench.shown)
    bench.handshake.recipe(8, 0xABCD_0123, bench.now)
    bench.write(ControlBit.ENABLE)
    assert (8, 0xABCD_0123, StatusBit.TRIGGER_READY) == (
        bench.status.active_recipe,
        bench.status.recipe_hash,
        bench.shown,
    )


def test_offline_plc_is_visible_and_results_wait() -> None:
    """Results posted while no PLC is there wait, and the condition has a cause and a remedy."""
    bench = Bench()
    bench.post(actuation(1))

    cause, remedy = bench.handshake.problem
    assert "the PLC's heartbeat is stale; 1 of 8 results wait" == cause
    assert "check the PLC, its network and its program's heartbeat" == remedy
    bench.join()
    assert (1, ("", "")) == (bench.status.result_sequence, bench.handshake.problem)
