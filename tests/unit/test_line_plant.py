"""Protect how `line` deals with PLC, microcontroller and people: nothing passes while one of them is not ready."""

import pytest

from appliance.outputs.plc.modbus import ControlWritten, StatusBlock
from appliance.outputs.plc.registers import Control, ControlBit, StatusBit, pack_control, unpack_status
from appliance.ports.node import Send
from appliance.schema.actuation import Actuation, Cause, Lane, PlcAcknowledged
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Accepted, Drain, RefusedReply, ResetFault
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartId
from appliance.schema.topics import STATUS, VERDICT
from appliance.schema.verdict import Disposition
from appliance.services._line_health import LINK_SILENCE
from firmware_bridge import messages as mcu
from firmware_bridge.events import EventsLost
from tests.unit.line_rig import BEGIN, BOOT, SESSION, Rig, health_of, part_event


@pytest.fixture
def rig() -> Rig:
    return Rig().connect()


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


def test_a_plc_that_restarts_takes_back_what_was_accepted_before() -> None:
    """It never saw these parts enter and reads Reject for them, so the gate must not open for them either."""
    rig = ready(Rig(plc_required=True).connect())
    rig.verdict(rig.enter())
    rig.tell(ControlWritten(pack_control(Control())), topic="device:plc")
    told = rig.gate(cause=mcu.GateCause.DECIDED_REJECT)

    assert [(1, 1, 41), (1, 0, 41)] == [(one.part, one.accept, one.verdict_seq) for one in rig.all(mcu.Decision)]
    assert (Lane.REJECT, Cause.PLC_NOT_READY) == (told.lane, told.cause)


def test_a_plc_that_is_not_required_and_restarts_holds_nothing_back() -> None:
    """On a test bench the PLC is a guest: its restart takes back nothing."""
    rig = ready(Rig().connect())
    rig.verdict(rig.enter())
    rig.tell(ControlWritten(pack_control(Control())), topic="device:plc")

    assert [1] == [one.accept for one in rig.all(mcu.Decision)]


def test_a_part_whose_gate_event_is_lost_is_named_and_given_up(rig: Rig) -> None:
    """Parts meet the gate in order: one that a later part overtook has no fact to come, and none is made up."""
    rig.enter(1)
    rig.enter(2)
    rig.enter(3)
    rig.gate(3)

    assert [3] == [one.part.number for one in rig.all(Actuation)]
    assert ["parts 1 to 2" in one.text for one in rig.all(Alarm) if one.kind == "actuation_lost"] == [True]
    assert not unpack_status(rig.node._handshake.status()).bits & StatusBit.BUSY


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
    rig.tell(stats(mcu.State.UNCONFIGURED, 0))

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
    rig.tell(stats(state, rig.node._configure.crc ^ 1))

    assert [] == rig.all(mcu.Arm) + rig.all(mcu.Configure) + rig.all(mcu.Restart)


def test_a_fault_over_a_reset_is_configured_and_no_more() -> None:
    """Without the way to the gate the microcontroller cannot tell when the belt has run empty."""
    rig = Rig().connect(state=mcu.State.FAULT)
    rig.tell(stats(mcu.State.FAULT, 0))

    assert [1, 0, 0] == [len(rig.all(kind)) for kind in (mcu.Configure, mcu.Arm, mcu.Restart)]


def test_another_configuration_is_ended_by_a_restart() -> None:
    """A station whose geometry changed resets the microcontroller, which takes a configuration once in each boot."""
    rig = Rig().connect(state=mcu.State.CONFIGURED)
    rig.tell(stats(mcu.State.CONFIGURED, rig.node._configure.crc ^ 1))

    assert [0, 0, 1] == [len(rig.all(kind)) for kind in (mcu.Configure, mcu.Arm, mcu.Restart)]


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
