"""Rules of the results that wait for the PLC: in order, once, never overwritten; one example each."""

from itertools import product

import pytest

from appliance.outputs.plc import registers
from appliance.outputs.plc.registers import (
    ControlBit,
    ErrorCode,
    StatusBit,
)
from appliance.outputs.plc.result_queue import DEPTH, Detail
from appliance.schema.actuation import Cause, Lane
from appliance.schema.verdict import Disposition
from tests.unit.handshake_bench import Bench, actuation


def test_pass_needs_lane_cause_and_disposition() -> None:
    """Rule 1: Pass is shown for one combination of all, Reject for every other, never both or none."""
    for number, (lane, cause, disposition) in enumerate(product(Lane, Cause, Disposition), 1):
        bench = Bench().join()
        bench.post(actuation(number, lane, cause, disposition))
        good = (lane, disposition) == (Lane.ACCEPT, Disposition.ACCEPT) and cause in {Cause.ACCEPTED, Cause.OPERATOR}

        expected = StatusBit.PASS if good else StatusBit.REJECT
        assert expected == bench.shown & (StatusBit.PASS | StatusBit.REJECT)


def test_result_words_carry_the_detail() -> None:
    """The payload names part, cause, score, classes, latency and recipe beside the bits."""
    bench = Bench().join()
    bench.handshake.post(actuation(4), Detail(0.1234, 0b101, 41.6), bench.now)
    status = bench.status

    assert (5, 4, 1, 1) == (status.part_boot, status.part_number, status.disposition, status.cause)
    assert (123, 0b101, 42) == (status.score, status.defect_bits, status.latency_ms)
    assert (3, 0xDEAD_BEEF) == (status.active_recipe, status.recipe_hash)
    assert (0xFFFF, 0xFFFF, 0) == (*(registers.saturated(x) for x in (float("nan"), 1e9)), registers.saturated(-1.0))


def test_results_leave_oldest_first() -> None:
    """Rule 3: results wait in order, each until its own ResultAck 0-1-0."""
    bench = Bench().join()
    for number in range(1, DEPTH + 1):
        bench.post(actuation(number))
    taken = []
    for _ in range(DEPTH):
        taken.append(bench.status.part_number)
        bench.ack()

    assert list(range(1, DEPTH + 1)) == taken
    assert taken == [event.part.number for event in bench.handshake.acknowledged()]
    assert () == bench.handshake.acknowledged()


def test_next_result_waits_for_ack_to_fall() -> None:
    """Rule 3: while ResultAck is still 1 no further result is shown, so that one edge cannot take two."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.post(actuation(2))
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=1)

    assert 0 == bench.status.result_sequence
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=2)
    assert 1 == bench.handshake.pending
    bench.write(ControlBit.ENABLE)
    assert 2 == bench.status.result_sequence


@pytest.mark.parametrize("named", [0, 2, 4711])
def test_wrong_ack_takes_nothing(named: int) -> None:
    """A ResultAck that does not name the offered result is counted and changes nothing."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=named)

    assert (1, 1) == (bench.status.result_sequence, bench.handshake.counts.wrong_acks)


def test_overflow_never_overwrites() -> None:
    """Rule 3: the ninth result finds no place; TriggerReady drops at eight, Error at nine, the eight stay."""
    bench = Bench().join()
    for number in range(1, DEPTH + 1):
        bench.post(actuation(number))
    full = bench.shown
    refused = bench.post(actuation(99))

    assert not full & (StatusBit.TRIGGER_READY | StatusBit.ERROR)
    assert refused is None
    assert (1, 1, DEPTH, ErrorCode.QUEUE_OVERFLOW) == (
        bench.status.result_sequence,
        bench.status.overflowed,
        bench.status.queue_depth,
        bench.handshake.error,
    )


def test_ack_timeout_latches_and_keeps_the_result() -> None:
    """Rule 3: without ResultAck in time Error is latched, the result stays, ErrorReset gives another turn."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.after(1990)
    before = bench.handshake.error
    bench.after(20)

    assert (ErrorCode.NONE, ErrorCode.ACK_TIMEOUT) == (before, bench.handshake.error)
    assert StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.ERROR == bench.shown
    assert ("the PLC did not acknowledge a result in time; 1 of 8 results wait") == bench.handshake.problem[0]
    bench.write(ControlBit.ENABLE | ControlBit.ERROR_RESET)
    bench.write(ControlBit.ENABLE)
    assert StatusBit.RESULT_VALID | StatusBit.PASS | StatusBit.TRIGGER_READY == bench.shown
    bench.after(2010)
    assert ErrorCode.ACK_TIMEOUT == bench.handshake.error


def test_stuck_ack_latches() -> None:
    """Rule 3: a ResultAck that never goes back to 0 is an error of its own."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=1)
    bench.after(2010)

    assert ErrorCode.ACK_STUCK == bench.handshake.error


def test_part_is_posted_once() -> None:
    """A part's second result is refused and counted; the first stands."""
    bench = Bench().join()

    assert (1, None) == (bench.post(actuation(1, Lane.REJECT, Cause.FAULT)), bench.post(actuation(1)))
    assert (1, 1) == (bench.handshake.pending, bench.handshake.counts.repeated)
    assert StatusBit.REJECT == bench.shown & (StatusBit.PASS | StatusBit.REJECT)


def test_clear_queue_drops_what_waits() -> None:
    """ClearQueue withdraws every pending result, counted."""
    bench = Bench().join()
    bench.post(actuation(1))
    bench.post(actuation(2))
    bench.write(ControlBit.ENABLE | ControlBit.CLEAR_QUEUE)

    assert (0, 2, StatusBit.TRIGGER_READY) == (bench.handshake.pending, bench.handshake.counts.cleared, bench.shown)
