"""Rules of the PLC handshake, one example each; the random sequences are in tests/property/test_handshake.py."""

from itertools import pairwise, product

import pytest

from appliance.outputs import generate, registers
from appliance.outputs.handshake import HEARTBEAT_NS, Handshake
from appliance.outputs.registers import (
    CONTROL,
    STATUS,
    Control,
    ControlBit,
    ErrorCode,
    State,
    Status,
    StatusBit,
    Type,
    pack_control,
    pack_status,
    unpack_control,
    unpack_status,
)
from appliance.outputs.result_queue import DEPTH, Detail
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

SESSION = 77


def actuation(
    number: int,
    lane: Lane = Lane.ACCEPT,
    cause: Cause = Cause.ACCEPTED,
    disposition: Disposition = Disposition.ACCEPT,
) -> Actuation:
    return Actuation(PartId(5, number), lane, cause, disposition, number, HostNs(0), McuTicks(0), EncoderCounts(0))


def late(number: int) -> Actuation:
    return actuation(number, Lane.REJECT, Cause.LATE, Disposition.ACCEPT)


class Bench:
    """Drive a handshake on a manual clock, as a PLC that behaves."""

    def __init__(self) -> None:
        self.now = HostNs(1_000_000)
        self.handshake = Handshake(SESSION, self.now, ack_timeout_ms=2000, recipe=3, recipe_hash=0xDEAD_BEEF)
        self.handshake.machine(self.now, ready=True)
        self.block = Control()

    def write(self, bits: int | None = None, **words: int) -> None:
        """Write the control block with a toggled heartbeat."""
        beat = ~self.block.bits & ControlBit.HEARTBEAT
        kept = (self.block.bits if bits is None else bits) & ~ControlBit.HEARTBEAT
        values = {"session_echo": self.block.session_echo, "ack_sequence": self.block.ack_sequence} | words
        self.block = Control(bits=kept | beat, **values)
        self.handshake.control(pack_control(self.block), self.now)

    def join(self) -> "Bench":
        self.write(0, session_echo=0, ack_sequence=0)
        self.write(ControlBit.ENABLE, session_echo=self.handshake.session)
        return self

    def after(self, ms: float, *, beating: bool = True) -> None:
        """Let time pass in 10 ms ticks, the PLC's heartbeat going on or not."""
        end = self.now + int(ms * MS)
        while self.now < end:
            self.now = HostNs(min(end, self.now + 10 * MS))
            self.handshake.tick(self.now)
            if beating:
                self.write()

    def post(self, posted: Actuation) -> int | None:
        self.handshake.part_entered(posted.part, self.now)
        self.handshake.part_exposed(posted.part, self.now)
        return self.handshake.post(posted, Detail(0.5, 1, 40.0), self.now)

    def ack(self) -> None:
        self.write(ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=self.status.result_sequence)
        self.write(ControlBit.ENABLE)

    @property
    def status(self) -> Status:
        return unpack_status(self.handshake.status())

    @property
    def shown(self) -> StatusBit:
        """Status bits but for Online and the heartbeat."""
        return StatusBit(self.status.bits) & ~(StatusBit.ONLINE | StatusBit.HEARTBEAT)


def test_register_page_is_up_to_date() -> None:
    """The page PLC engineers get is the table the code uses."""
    assert generate.page() == generate.PAGE.read_text("utf-8")


@pytest.mark.parametrize(("table", "kind"), [(STATUS, Status), (CONTROL, Control)])
def test_table_and_struct_name_the_same_values(table: tuple[registers.Register, ...], kind: type) -> None:
    """One table lays the block out: same names, same order, no hole, short enough for one read."""
    places = [register.address for register in table]
    widths = [register.type.words for register in table]

    assert tuple(kind.__struct_fields__) == tuple(register.field for register in table)
    assert [places[0] + sum(widths[:i]) for i in range(len(table))] == places
    assert registers.count(table) <= 125


def test_wide_values_are_big_endian() -> None:
    """Word order is ABCD: the lower address holds the more significant word."""
    place = next(register.address for register in STATUS if register.field == "recipe_hash")

    assert (0xDEAD, 0xBEEF) == pack_status(Status(recipe_hash=0xDEAD_BEEF))[place : place + 2]
    assert Type.U32.words == 2


def test_blocks_come_back_as_written() -> None:
    """Packing loses nothing."""
    status = Status(*range(1, len(Status.__struct_fields__) + 1))
    control = Control(*range(70_000, 70_000 + len(Control.__struct_fields__)))

    assert status == unpack_status(pack_status(status))
    assert control.session_echo == unpack_control(pack_control(control)).session_echo
    with pytest.raises(ValueError, match="words, 12 are needed"):
        unpack_control((0,) * 11)


def test_pass_needs_lane_cause_and_disposition() -> None:
    """Rule 1: Pass is shown for one combination of all, Reject for every other, never both or none."""
    for number, (lane, cause, disposition) in enumerate(product(Lane, Cause, Disposition), 1):
        bench = Bench().join()
        bench.post(actuation(number, lane, cause, disposition))
        good = (lane, cause, disposition) == (Lane.ACCEPT, Cause.ACCEPTED, Disposition.ACCEPT)

        expected = StatusBit.PASS if good else StatusBit.REJECT
        assert expected == bench.shown & (StatusBit.PASS | StatusBit.REJECT)


def test_all_zero_is_never_good() -> None:
    """Rule 1: a PLC that reads zeros, as after a power cut, sees neither Online nor a result."""
    assert StatusBit(0) == StatusBit(Status().bits) & (StatusBit.ONLINE | StatusBit.RESULT_VALID | StatusBit.PASS)


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

    assert (False, True, 1) == (refused, taken, bench.handshake.missed_triggers)


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
