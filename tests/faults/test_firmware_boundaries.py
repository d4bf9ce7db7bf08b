"""The core's limits, each met exactly and missed by one: microseconds, counts and parts."""

from __future__ import annotations

import ctypes
import struct
import zlib

import pytest
from msgspec.structs import replace

from appliance.schema.clocks import HostNs
from firmware_bridge import framing, messages
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.configuration import configuration
from firmware_bridge.framing import Decoder, Frame
from firmware_bridge.messages import (
    IDS,
    PACK,
    PROTOCOL_VERSION,
    RELIABLE,
    UNPACK,
    Ack,
    Arm,
    Configure,
    ConfigureAck,
    ConfigureReason,
    Decision,
    DecisionAck,
    DecisionOutcome,
    EncoderFault,
    ExposedEvent,
    Fault,
    FaultEvent,
    GateCause,
    GateEvent,
    Heartbeat,
    Hello,
    Lane,
    Message,
    PartEvent,
    ReleaseFault,
    ResetReason,
    State,
    StateChanged,
    StateReason,
    Stats,
)  # fmt: skip
from tests.unit.firmware_rig import BUILD

BOOT, SESSION = 5, 41
GATE, LEAD, GAP, HOLD = 5000, 300, 200, 160
PLAIN = {
    "gate_counts": GATE,
    "lead_counts": LEAD,
    "camera_counts": (-1, -1),
    "min_gap_counts": GAP,
    "gate_hold_counts": HOLD,
}


class Bare:
    """The core with nothing round it: every tick and every count is the test's own."""

    def __init__(self, config: Configure, *, armed: bool = True) -> None:
        self.board = CoreBoard(build_core(BUILD), BOOT, HostNs(0))
        self.tick, self.counts = 0, 0
        self.seq = 0
        self.got: list[Message] = []
        self.decoder = Decoder()
        self.step(counts=10_000)
        self.say(Hello(SESSION))
        self.say(config)
        self.beat()
        if armed:
            self.say(Arm())
            assert State.ARMED == self.last(StateChanged).state

    def say(self, message: Message, version: int = PROTOCOL_VERSION) -> Bare:
        flags = framing.RELIABLE if isinstance(message, RELIABLE) else 0
        self.seq += bool(flags)
        key = SESSION if isinstance(message, Hello) else SESSION ^ BOOT
        frame = Frame(version, IDS[type(message)], flags, self.seq & 0xFF, 0, key, PACK[type(message)](message))
        self.board.write(framing.encode(frame))
        self.hear()
        return self

    def beat(self) -> Bare:
        return self.say(Heartbeat(1))

    def step(self, *, us: int = 0, counts: int = 0, part: bool = False, gate: bool = False) -> Bare:
        self.tick += us
        self.counts += counts
        self.board.step(self.tick, self.counts, part_sensor=part, gate_sensor=gate)
        self.hear()
        return self

    def part(self, accept: int | None = 1) -> Bare:
        """Let a part in here, and decide it."""
        self.step(part=True).step()
        number = self.last(PartEvent).part
        return self if accept is None else self.say(Decision(number, accept, number))

    def hear(self) -> None:
        for frame in self.decoder.feed(self.board.read()):
            self.got.append(UNPACK[frame.id](frame.payload))

    def all(self, kind: type) -> list:
        return [m for m in self.got if isinstance(m, kind)]

    def last(self, kind: type):
        return self.all(kind)[-1]

    @property
    def lane(self) -> Lane:
        return Lane(self.board.outputs.lane)


def plain(**changes: object) -> Bare:
    return Bare(configuration(**{**PLAIN, **changes}))


@pytest.mark.parametrize(("late_us", "cause"), [(0, GateCause.ACCEPTED), (1, GateCause.HOST_LOST)])
def test_the_last_heartbeat_counts_to_the_microsecond(late_us: int, cause: GateCause) -> None:
    """150 ms of silence at the close is the limit and still good; 1 us more is not."""
    core = plain().part()
    core.beat().step(us=150_000 + late_us, counts=GATE - LEAD).step(counts=LEAD - HOLD // 2)
    core.step(counts=HOLD // 2)

    assert cause == core.last(GateEvent).cause


@pytest.mark.parametrize(("us", "state"), [(499_999, State.ARMED), (500_000, State.CONFIGURED)])
def test_half_a_second_of_silence_disarms(us: int, state: State) -> None:
    """At 500 ms the run permit falls, and not before."""
    core = plain().beat().step(us=us)

    assert (state == State.ARMED) == bool(core.board.outputs.run_permit)
    assert state == core.last(StateChanged).state


@pytest.mark.parametrize(("before", "outcome"), [(1, DecisionOutcome.ACCEPTED), (0, DecisionOutcome.LATE)])
def test_the_window_closes_at_its_count(before: int, outcome: DecisionOutcome) -> None:
    """One count before the close is in time; at the close it is late."""
    core = plain().part(accept=None).step(counts=GATE - LEAD - before)
    core.say(Decision(1, 1, 1))

    assert outcome == core.last(DecisionAck).outcome


def test_the_gate_is_open_for_the_hold_alone() -> None:
    """From half the hold before the part, inclusive, to half the hold behind it, exclusive."""
    core = plain().part().step(counts=GATE - HOLD // 2 - 1)
    before = core.lane
    lanes = [core.step(counts=counts).lane for counts in (1, HOLD // 2, HOLD // 2 - 1, 1)]

    assert Lane.REJECT == before
    assert [Lane.ACCEPT, Lane.ACCEPT, Lane.ACCEPT, Lane.REJECT] == lanes


@pytest.mark.parametrize(("gap", "cause"), [(GAP, GateCause.ACCEPTED), (GAP - 1, GateCause.TOO_CLOSE)])
def test_the_gap_is_kept_to_the_count(gap: int, cause: GateCause) -> None:
    """Two parts at the smallest gap pass; one count less rejects both."""
    core = plain().part().step(counts=gap).part().step(counts=GATE - gap - LEAD)
    for counts in (LEAD - HOLD // 2, HOLD // 2, HOLD // 2, gap - HOLD, HOLD // 2, HOLD):
        core.step(counts=counts)

    assert [cause, cause] == [event.cause for event in core.all(GateEvent)]


@pytest.mark.parametrize(("rest_us", "fired"), [(2000, 2), (1999, 1)])
def test_a_lamp_rests_to_the_microsecond(rest_us: int, fired: int) -> None:
    """Ten on-times from flash to flash are the limit; 1 us less costs the part its light and its pass."""
    core = plain(camera_counts=(100, -1), strobe_us=(200, 0)).part().step(counts=GAP).part()
    core.step(counts=100, us=rest_us)

    assert (200 if fired == 2 else 0) == core.board.outputs.strobe_us[0]
    assert fired == len(core.all(ExposedEvent))


@pytest.mark.parametrize(("jump", "fault"), [(181, None), (182, EncoderFault.TOO_FAST)])
def test_the_fastest_belt_is_told_from_noise(jump: int, fault: EncoderFault | None) -> None:
    """60 kHz over 1 ms and 2 ms of latching make 180 counts, and one for the edge."""
    core = plain(encoder_max_hz=60_000).step().step(us=1000, counts=jump)

    assert [fault] * bool(fault) == [event.detail for event in core.all(FaultEvent)]


@pytest.mark.parametrize("allowed", [0, 3])
def test_the_belt_runs_back_no_further_than_allowed(allowed: int) -> None:
    """0 counts back is watched as much as 3 are."""
    core = plain(encoder_back_counts=allowed).step().step(counts=-allowed)
    before = len(core.all(FaultEvent))
    core.step(counts=-1)

    assert 0 == before
    assert [(Fault.ENCODER, EncoderFault.BACKWARDS)] == [(e.fault, e.detail) for e in core.all(FaultEvent)]


def test_a_belt_is_empty_only_when_it_is() -> None:
    """With one count to go the doubt stays; at the count it ends by itself."""
    core = plain(encoder_back_counts=0).step().step(counts=-1).beat().say(ReleaseFault())
    way = GATE + HOLD // 2
    core.step(counts=way - 1)
    states = [core.last(StateChanged).state]
    left = core.step(us=100_000).last(Stats).purge_counts
    states.append(core.step(counts=1).last(StateChanged).state)

    assert 1 == left
    assert [State.FAULT, State.CONFIGURED] == states


def test_the_table_holds_what_it_says() -> None:
    """64 parts between sensor and gate are no fault; one more is."""
    core = plain(gate_counts=50_000)
    for _ in range(64):
        core.step(counts=GAP).part(accept=None)
    before = len(core.all(FaultEvent))
    core.step(counts=GAP).part(accept=None)

    assert 0 == before
    assert [(Fault.TABLE_OVERFLOW, 65)] == [(e.fault, e.detail) for e in core.all(FaultEvent)]


def test_a_configuration_of_another_release_arms_nothing() -> None:
    """A checksum that is right for other bytes is wrong for these."""
    config = configuration(**PLAIN)
    core = plain()
    core.say(replace(config, lead_counts=LEAD + 1))

    assert State.ARMED == core.last(StateChanged).state


def test_a_covered_sensor_is_no_empty_belt() -> None:
    """A part that stands under the sensor, or a sensor that is stuck, keeps the doubt however far the belt runs."""
    core = plain(encoder_back_counts=0).step().step(counts=-1).beat().say(ReleaseFault())
    core.step(part=True).step(counts=3 * GATE, part=True)
    covered = core.last(StateChanged).state
    core.step()

    assert State.FAULT == covered
    assert State.CONFIGURED == core.last(StateChanged).state


@pytest.mark.parametrize(
    ("number", "outcome"),
    [(0, DecisionOutcome.UNKNOWN), (1, DecisionOutcome.LATE), (2, DecisionOutcome.LATE), (3, DecisionOutcome.UNKNOWN)],
)
def test_a_part_that_is_gone_is_late_and_not_unknown(number: int, outcome: DecisionOutcome) -> None:
    """The last part of all is known as long as the boot lasts; the next one never was."""
    core = plain().part().step(counts=GAP).part()
    for _ in range(12):
        core.step(counts=GATE // 10)
    core.say(Decision(number, 1, 9))

    assert outcome == core.last(DecisionAck).outcome


def test_a_configuration_that_rots_in_memory_is_found() -> None:
    """One bit of the geometry turns over while armed: within a tenth of a second nothing passes any more."""
    core = plain().part()
    memory = (ctypes.c_uint8 * ctypes.sizeof(core.board._state)).from_buffer(core.board._state)
    at = bytes(memory).index(struct.pack("<ii", GATE, LEAD))
    memory[at + 4] ^= 8
    core.beat().step(us=100_000)

    assert [(Fault.CONFIGURATION, 0)] == [(e.fault, e.detail) for e in core.all(FaultEvent)]
    assert 0 == core.board.outputs.run_permit


def test_what_has_no_answer_is_acknowledged_at_once() -> None:
    """The host does not wait for its time-out, nor for the next Stats."""
    core = Bare(configuration(**PLAIN), armed=False).step(counts=2 * GATE)
    before = len(core.got)
    core.say(messages.TestOutput(messages.TestTarget.CAMERA0, 100))

    assert [Ack()] == core.got[before:]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"strobe_us": (5000, 5000)}, ConfigureReason.ACCEPTED),
        ({"strobe_us": (5001, 0)}, ConfigureReason.STROBE),
        ({"strobe_us": (0, 5001)}, ConfigureReason.STROBE),
        ({"trigger_source": 1}, ConfigureReason.ACCEPTED),
        ({"trigger_source": 2}, ConfigureReason.TRIGGER_SOURCE),
    ],
)
def test_a_station_that_cannot_be_is_refused(changes: dict[str, object], reason: ConfigureReason) -> None:
    """Each lamp has its limit, and what makes a part is known."""
    wish = replace(configuration(**PLAIN), crc=0, **changes)
    core = Bare(replace(wish, crc=zlib.crc32(PACK[Configure](wish)[:-4])), armed=False)

    assert reason == core.last(ConfigureAck).reason


def test_an_output_is_not_tested_with_a_part_on_its_way() -> None:
    """Disarmed, and yet refused aloud while the table holds a part."""
    core = Bare(configuration(**PLAIN), armed=False).step(counts=2 * GATE)
    core.say(messages.TestOutput(messages.TestTarget.RUN_PERMIT, 100))
    alone = core.board.outputs.run_permit
    core.part(accept=None).say(messages.TestOutput(messages.TestTarget.RUN_PERMIT, 100))

    assert 1 == alone
    assert (0, StateReason.NOT_ALLOWED_NOW) == (core.board.outputs.run_permit, core.last(StateChanged).reason)


def test_a_wish_to_release_lapses_with_its_host() -> None:
    """A host that was away has to look at the belt again before the doubt ends."""
    core = plain(encoder_back_counts=0).step().step(counts=-1).beat().say(ReleaseFault())
    core.step(us=160_000)
    permit = core.board.outputs.run_permit
    core.beat().step(counts=2 * GATE)
    waited = core.last(StateChanged).state
    core.say(ReleaseFault())

    assert 0 == permit
    assert State.FAULT == waited
    assert State.CONFIGURED == core.last(StateChanged).state


def test_another_version_of_the_protocol_is_stale() -> None:
    """In the middle of a session too, whatever its frames would mean."""
    core = plain().part(accept=None)
    core.say(Decision(1, 1, 1), version=PROTOCOL_VERSION + 1)
    stale = core.beat().step(us=100_000).last(Stats).stale_frames

    assert 1 == stale
    assert [] == core.all(DecisionAck)


def test_a_kept_fault_keeps_its_detail_and_its_kind() -> None:
    """Over a reset, damaged memory, and a supply that came back before the memory lost anything."""
    core = plain()
    core.board.fault(Fault.STACK, 77)
    core.board.reset(6, ResetReason.PIN)
    kept = [(core.board.retained.fault, core.board.retained.detail)]
    core.board.retained.detail ^= 1
    for reason in (ResetReason.PIN, ResetReason.POWER_ON):
        core.board.reset(7, reason)
        kept.append((core.board.retained.fault, core.board.retained.detail))

    assert [(Fault.STACK, 77), (Fault.MEMORY, 0), (Fault.MEMORY, 0)] == kept
