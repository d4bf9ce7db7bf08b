"""Protect the rules of `line`: the gate gets one reason to open, once, in time, for one part; each part has one account."""

import pytest
from msgspec.structs import replace

from appliance.config import Camera, Mcu
from appliance.outputs.handshake import Handshake
from appliance.outputs.modbus import ControlWritten, StatusBlock
from appliance.outputs.registers import Control, ControlBit, StatusBit, pack_control, unpack_status
from appliance.ports.node import Publish, Send
from appliance.schema.actuation import Actuation, Cause, Lane, PlcAcknowledged
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S
from appliance.schema.command import Accepted, Drain, RefusedReply, ResetFault
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.topics import STATUS, VERDICT
from appliance.schema.verdict import Disposition, Reason, Verdict
from appliance.services._line_health import LINK_SILENCE
from appliance.services.line import GATE_CAUSE, LineNode, accepts
from firmware_bridge import messages as mcu
from firmware_bridge.events import EventsLost
from firmware_bridge.messages import SCHEMA_HASH

BEGIN = 10 * S
BOOT = 0xABCD
SETTINGS = Mcu(link="none", counts_per_mm=10.0, gate_mm=400.0, lead_mm=25.0, belt_mm_s=1000.0, guard_ms=15.0)
WINDOW = 375 * MS
GUARD = 15 * MS
CAMERAS = {"top": Camera(producer="p", serial="s", width_px=16, height_px=16, distance_mm=30.0)}
SESSION = 77


class Rig:
    """Hold a LineNode and what it did."""

    def __init__(self, *, plc_required: bool = False) -> None:
        self.node = LineNode(SETTINGS, CAMERAS, ("top",), Handshake(SESSION, HostNs(BEGIN)), plc_required=plc_required)
        self.now = BEGIN
        self.published: list = []
        self.sent: list = []
        self.do(self.node.start(HostNs(BEGIN)))

    def do(self, outputs) -> list:
        told = []
        for one in outputs:
            (self.published if isinstance(one, Publish) else self.sent).append(one.message)
            told.append(one.message)
        return told

    def tell(self, message, now: int | None = None, topic: str = "device:mcu") -> list:
        self.now = self.now if now is None else now
        return self.do(self.node.receive(topic, message, HostNs(self.now)))

    def connect(self, boot: int = BOOT, state: mcu.State = mcu.State.ARMED, *, dated: bool = True) -> "Rig":
        self.tell(mcu.HelloAck(1, boot, 1, SCHEMA_HASH, state, mcu.Fault.NONE, 1, 1, self.node._configure.crc))
        if dated:
            self.tell(mcu.ClockReply(self.now, self.now // 1000, 0))
        return self

    def enter(self, number: int = 1, now: int | None = None) -> PartEntered:
        self.now = self.now if now is None else now
        self.tell(part_event(number, self.now))
        return self.all(PartEntered)[-1]

    def verdict(self, entered: PartEntered, now: int | None = None, **changes) -> list:
        made = Verdict(
            entered.part, Disposition.ACCEPT, (Reason.WITHIN_LIMITS,), HostNs(self.now), entered.decide_by, 41
        )
        return self.tell(replace(made, **changes), now, VERDICT)

    def gate(self, number: int = 1, lane: mcu.Lane = mcu.Lane.REJECT, cause=mcu.GateCause.NO_DECISION) -> Actuation:
        self.tell(mcu.GateEvent(3, number, lane, cause, 0, 4000, self.now // 1000))
        return self.all(Actuation)[-1]

    def all(self, kind: type) -> list:
        return [one for one in self.published + self.sent if isinstance(one, kind)]


def part_event(number: int, at: int) -> mcu.PartEvent:
    return mcu.PartEvent(number, number, 1000 * number, at // 1000)


def health_of(unit: str, condition: Condition = Condition.OK) -> Health:
    return Health(unit, condition, (Component("x", condition),), 1, HostNs(0))


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

    assert accepts(verdict, entered, HostNs(100))
    assert not accepts(verdict, entered, HostNs(101))
    assert not accepts(replace(verdict, part=PartId(2, 1)), entered, HostNs(100))
    assert not accepts(replace(verdict, part=PartId(1, 2)), entered, HostNs(100))
    assert not accepts(replace(verdict, disposition=Disposition.UNKNOWN), entered, HostNs(100))


def test_the_deadline_is_the_parts_own(rig: Rig) -> None:
    """What a verdict says about its deadline is not believed."""
    part = rig.enter()
    rig.verdict(part, part.decide_by + 1, decide_by=HostNs(part.decide_by + S))

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]


# ---- parts ----------------------------------------------------------------------------------------------------------


def test_the_deadline_comes_from_geometry(rig: Rig) -> None:
    """Sensor edge, less what the clocks do not know, plus the way to the decision point at full speed, less the guard."""
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


def test_a_new_session_of_the_same_boot_keeps_its_parts(rig: Rig) -> None:
    """A silent wire is no restart: the microcontroller still knows its parts and will tell of each."""
    rig.enter()
    rig.connect(BOOT)

    assert [] == rig.all(Actuation)


def test_a_reboot_forgets_the_clock(rig: Rig) -> None:
    """Ticks of a new boot are dated by a new clock only."""
    rig.connect(BOOT + 1, dated=False)

    assert [] == [one for one in rig.tell(part_event(1, BEGIN)) if isinstance(one, PartEntered)]


# ---- the PLC --------------------------------------------------------------------------------------------------------


def plc(bits: int, **changes: int) -> ControlWritten:
    return ControlWritten(pack_control(Control(bits=bits, session_echo=SESSION, **changes)))


def ready(rig: Rig) -> Rig:
    rig.tell(plc(0), topic="device:plc")
    rig.tell(plc(ControlBit.HEARTBEAT | ControlBit.ENABLE), topic="device:plc")
    return rig


def test_without_the_plc_nothing_is_accepted() -> None:
    """A part that comes while the PLC cannot take its result is recorded as not inspected."""
    rig = Rig(plc_required=True).connect()
    rig.verdict(rig.enter())
    told = rig.gate(cause=mcu.GateCause.DECIDED_REJECT)

    assert [0] == [one.accept for one in rig.all(mcu.Decision)]
    assert (Cause.PLC_NOT_READY, Disposition.ACCEPT) == (told.cause, told.disposition)


def test_with_the_plc_ready_an_accept_passes_and_is_shown() -> None:
    """The PLC reads Pass for the part that went through, and its acknowledgement is a fact."""
    rig = ready(Rig(plc_required=True).connect())
    rig.verdict(rig.enter())
    rig.gate(lane=mcu.Lane.ACCEPT, cause=mcu.GateCause.ACCEPTED)
    status = unpack_status(rig.all(StatusBlock)[-1].words)
    rig.tell(
        plc(ControlBit.HEARTBEAT | ControlBit.ENABLE | ControlBit.RESULT_ACK, ack_sequence=status.result_sequence),
        topic="device:plc",
    )

    assert [1] == [one.accept for one in rig.all(mcu.Decision)]
    assert StatusBit.PASS == status.bits & (StatusBit.PASS | StatusBit.REJECT)
    assert [(PartId(BOOT, 1), 1)] == [(one.part, one.result_sequence) for one in rig.all(PlcAcknowledged)]


def test_a_plc_that_is_not_required_holds_nothing_back() -> None:
    """A test bench without a PLC accepts good parts."""
    rig = Rig(plc_required=False).connect()
    rig.verdict(rig.enter())

    assert [1] == [one.accept for one in rig.all(mcu.Decision)]


# ---- bring-up -------------------------------------------------------------------------------------------------------


def stats(state: mcu.State, crc: int) -> mcu.Stats:
    return mcu.Stats(*[0] * 12, 1, 1, crc, state, mcu.Fault.NONE, 1, 1)


def test_it_configures_and_arms_once_all_units_are_ready() -> None:
    """An armed microcontroller can only reject until frames are taken and judged, so it is armed last."""
    rig = Rig().connect(state=mcu.State.UNCONFIGURED)
    crc = rig.node._configure.crc
    rig.tell(stats(mcu.State.UNCONFIGURED, crc ^ 1))

    assert [crc] == [one.crc for one in rig.all(mcu.Configure)]

    rig.tell(stats(mcu.State.CONFIGURED, crc))
    rig.tell(health_of("acquire@top"), topic=STATUS + "acquire@top")
    rig.tell(stats(mcu.State.CONFIGURED, crc))

    assert [] == rig.all(mcu.Arm)

    rig.tell(health_of("judge", Condition.DEGRADED), topic=STATUS + "judge")
    rig.tell(stats(mcu.State.CONFIGURED, crc))

    assert len(rig.all(mcu.Arm)) == 1


@pytest.mark.parametrize("condition", [Condition.STARTING, Condition.FAILED])
def test_a_unit_that_cannot_work_keeps_it_disarmed(condition: Condition) -> None:
    """A judge without a bundle, a camera that is starting: the microcontroller stays disarmed."""
    rig = Rig().connect(state=mcu.State.CONFIGURED)
    rig.tell(health_of("acquire@top"), topic=STATUS + "acquire@top")
    rig.tell(health_of("judge", condition), topic=STATUS + "judge")
    rig.tell(stats(mcu.State.CONFIGURED, rig.node._configure.crc))

    assert [] == rig.all(mcu.Arm)


@pytest.mark.parametrize("state", [mcu.State.ARMED, mcu.State.FAULT, mcu.State.BOOT])
def test_nothing_arms_out_of_a_fault(state: mcu.State) -> None:
    """A latched fault waits for a person; an armed microcontroller is left alone."""
    rig = Rig().connect(state=state)
    for unit in ("acquire@top", "judge"):
        rig.tell(health_of(unit), topic=STATUS + unit)
    rig.tell(stats(state, 0))

    assert [] == rig.all(mcu.Arm) + rig.all(mcu.Configure)


# ---- wishes, alarms, health -----------------------------------------------------------------------------------------


def test_a_fault_is_released_on_request_only(rig: Rig) -> None:
    """Without a fault there is nothing to reset; another wish is not line's."""
    nothing, _ = rig.node.command(ResetFault("op"), HostNs(BEGIN))
    other, _ = rig.node.command(Drain(), HostNs(BEGIN))
    rig.tell(mcu.StateChanged(mcu.State.FAULT, mcu.StateReason.FAULT))
    granted, outputs = rig.node.command(ResetFault("op"), HostNs(BEGIN))
    rig.do(outputs)

    assert isinstance(nothing, RefusedReply)
    assert isinstance(other, RefusedReply)
    assert Accepted() == granted
    assert [mcu.ReleaseFault()] == rig.all(mcu.ReleaseFault)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (mcu.ConfigureAck(0, mcu.ConfigureReason.LEAD), "mcu_configuration"),
        (EventsLost(BOOT, 5, 3), "mcu_events_lost"),
        (mcu.FaultEvent(1, mcu.Fault.TABLE_OVERFLOW, 1, 0), "mcu_fault"),
    ],
)
def test_what_a_person_must_know_is_an_alarm(rig: Rig, message: object, kind: str) -> None:
    """A refused configuration, lost events and a latched fault are told, and told once."""
    rig.tell(message)

    assert [kind] == [one.kind for one in rig.all(Alarm)]


def test_a_silent_link_shows_in_health(rig: Rig) -> None:
    """A technician reads which wire is broken."""
    rig.do(rig.node.wake(HostNs(BEGIN + LINK_SILENCE + 2 * S)))
    component = rig.all(Health)[-1].components[0]

    assert (Condition.FAILED, "link is silent; all parts reject") == (component.condition, component.cause)


def test_a_lost_message_changes_nothing(rig: Rig) -> None:
    """A lost verdict is no verdict, and no verdict is a reject."""
    rig.enter()

    assert () == rig.node.lost(VERDICT, 1, HostNs(BEGIN))
    assert rig.gate().lane is Lane.REJECT


def test_sends_go_to_known_devices(rig: Rig) -> None:
    """The node speaks to its microcontroller and its PLC, to nobody else."""
    outputs = [*rig.node.receive("device:mcu", part_event(5, BEGIN), HostNs(BEGIN))]

    assert {"plc"} >= {one.device for one in outputs if isinstance(one, Send)}
