"""Protect what `line` states about a part that an earlier process of it handled."""

import pytest
from msgspec.structs import replace

from appliance.config import Camera
from appliance.config_mcu import Mcu
from appliance.schema.actuation import Cause
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartEntered, PartId
from appliance.schema.verdict import Disposition
from appliance.services._authority import BY_HAND
from appliance.services._line_gate import GATE_CAUSE, OnBelt, account, geometry
from firmware_bridge.messages import ConfigureAck, GateCause, GateEvent, Lane, TriggerSource
from tests.unit.firmware_rig import Rig


def event(cause: GateCause, verdict_seq: int) -> GateEvent:
    lane = Lane.ACCEPT if cause is GateCause.ACCEPTED else Lane.REJECT
    return GateEvent(event=1, part=1, tick=1, counts=1, lane=lane, cause=cause, verdict_seq=verdict_seq)


def test_every_cause_of_the_microcontroller_has_a_name() -> None:
    """A cause that nobody can read is no cause."""
    assert set(GateCause) == set(GATE_CAUSE)


def part(**changes: object) -> OnBelt:
    entered = PartEntered(PartId(1, 1), HostNs(0), 0, McuTicks(0), EncoderCounts(0), HostNs(1), ("top",))
    return OnBelt(entered, inspect=True, **changes)


@pytest.mark.parametrize("disposition", list(Disposition))
@pytest.mark.parametrize("cause", [GateCause.DECIDED_REJECT, GateCause.HOST_LOST])
def test_a_known_word_is_stated_as_it_is(disposition: Disposition, cause: GateCause) -> None:
    """What this process decided on is never read from the microcontroller's memory."""
    assert disposition is account(part(said=disposition, sequence=3), event(cause, 3), replayed=True)[1]


@pytest.mark.parametrize(
    ("cause", "sequence", "replayed", "held"),
    [
        (GateCause.ACCEPTED, 7, True, (Cause.ACCEPTED, Disposition.ACCEPT)),
        (GateCause.ACCEPTED, 0, True, (Cause.ACCEPTED, Disposition.NO_VERDICT)),
        (GateCause.ACCEPTED, 7, False, (Cause.ACCEPTED, Disposition.NO_VERDICT)),
        (GateCause.HOST_LOST, 7, True, (Cause.HOST_LOST, Disposition.NO_VERDICT)),
        (GateCause.NO_DECISION, 0, True, (Cause.NO_VERDICT, Disposition.NO_VERDICT)),
        (GateCause.ACCEPTED, BY_HAND | 1, True, (Cause.OPERATOR, Disposition.ACCEPT)),
        (GateCause.DECIDED_REJECT, BY_HAND | 1, True, (Cause.OPERATOR, Disposition.REJECT)),
        (GateCause.DECIDED_REJECT, 7, True, (Cause.DECIDED_REJECT, Disposition.NO_VERDICT)),
        (GateCause.HOST_LOST, BY_HAND | 1, True, (Cause.HOST_LOST, Disposition.NO_VERDICT)),
        (GateCause.ACCEPTED, BY_HAND | 1, False, (Cause.OPERATOR, Disposition.NO_VERDICT)),
    ],
)
def test_the_microcontroller_vouches_only_for_accepts_it_was_given(
    cause: GateCause, sequence: int, replayed: bool, held: tuple[Cause, Disposition]
) -> None:
    """An ACCEPT is stated for a part of an earlier process only when the gate opened on a decision it can name."""
    assert held == account(None, event(cause, sequence), replayed=replayed)


def test_the_gate_tells_which_word_it_acted_on() -> None:
    """A person's reject that came too late for the gate leaves the ACCEPT it acted on; one in time is the reason."""
    objected = part(said=Disposition.REJECT, sequence=BY_HAND | 1, accept_sent=True)

    assert (Cause.ACCEPTED, Disposition.ACCEPT) == account(objected, event(GateCause.ACCEPTED, 7), replayed=False)
    assert (Cause.OPERATOR, Disposition.REJECT) == account(
        objected, event(GateCause.DECIDED_REJECT, BY_HAND | 1), replayed=False
    )


def test_an_accept_lane_without_an_accept_given_stays_unexplained() -> None:
    """A gate that opened for a part that was not accepted is told as it is, and never as an ACCEPT."""
    held = part(said=Disposition.REVIEW, sequence=7)

    assert (Cause.ACCEPTED, Disposition.REVIEW) == account(held, event(GateCause.ACCEPTED, 7), replayed=False)


def test_the_station_tells_the_microcontroller_all_it_watches() -> None:
    """What the configuration promises is in the message, in counts; without a gate sensor none is claimed."""
    mcu = Mcu(
        link="m", counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200, gate_sensor_mm=470, shortest_part_mm=8
    )
    cameras = {"top": Camera(producer="p", serial="1", width_px=16, height_px=16, mcu_line=1, strobe_us=250)}
    told = geometry(mcu, cameras, plc_triggers=True)
    plain = geometry(replace(mcu, gate_sensor_mm=0.0), cameras)

    assert (4700, 100, 8000, 200, 80) == (
        told.gate_sensor_counts, told.gate_window_counts, told.encoder_max_hz, told.encoder_back_counts,
        told.shortest_part_counts,
    )  # fmt: skip
    assert ((0, 250), 10, TriggerSource.PLC) == (told.strobe_us, told.host_lost_rejects, told.trigger_source)
    assert (-1, 0, TriggerSource.SENSOR) == (
        plain.gate_sensor_counts, plain.gate_window_counts, plain.trigger_source
    )  # fmt: skip


@pytest.mark.parametrize("gate_sensor_mm", [0.0, 470.0])
def test_the_core_takes_what_the_station_tells(gate_sensor_mm: float) -> None:
    """The configuration's own limits are at least as narrow as the core's."""
    mcu = Mcu(link="m", counts_per_mm=10, gate_mm=500, lead_mm=50, belt_mm_s=200, gate_sensor_mm=gate_sensor_mm)
    cameras = {"top": Camera(producer="p", serial="1", width_px=16, height_px=16, strobe_us=5000)}
    rig = Rig().run(30).send(geometry(mcu, cameras))

    assert ["ACCEPTED"] == [answer.reason.name for answer in rig.all(ConfigureAck)]
