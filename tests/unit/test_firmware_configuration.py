"""What the MCU lets itself be told: configuration, arming and output tests, on the real core with a virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from appliance.schema.clocks import HostNs
from appliance.schema.errors import LinkError
from firmware_bridge import framing, messages
from firmware_bridge.configuration import configuration
from firmware_bridge.framing import Frame
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Configure,
    ConfigureAck,
    Disarm,
    Fault,
    HelloAck,
    Lane,
    State,
    StateChanged,
    StateReason,
    Stats,
)  # fmt: skip
from tests.unit.firmware_rig import STATION, Rig

GATE_TEST = messages.TestTarget.GATE_ACCEPT


@pytest.fixture
def rig() -> Rig:
    return Rig().arm()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"crc": 1}, "CRC"),
        ({"tick_hz": 1000}, "TICK_RATE"),
        ({"gate_counts": 0}, "GATE"),
        ({"lead_counts": 5000}, "LEAD"),
        ({"gate_hold_counts": 602}, "HOLD"),
        ({"min_gap_counts": 199}, "MIN_GAP"),
        ({"min_gap_counts": 4701}, "MIN_GAP"),
        ({"camera_counts": (5000, -1)}, "CAMERA"),
        ({"heartbeat_timeout_ms": 401}, "HEARTBEAT"),
        ({"gate_sensor_counts": 5001, "gate_window_counts": 50}, "GATE_SENSOR"),
        ({"gate_sensor_counts": 5000, "gate_window_counts": 0}, "GATE_SENSOR"),
        ({"gate_sensor_counts": 5000, "gate_window_counts": 101}, "GATE_SENSOR"),
        ({"gate_sensor_counts": 50, "gate_window_counts": 50}, "GATE_SENSOR"),
        ({"gate_sensor_counts": -2, "gate_window_counts": 50}, "GATE_SENSOR"),
        ({"gate_window_counts": -50}, "GATE_SENSOR"),
        ({"encoder_back_counts": -2}, "ENCODER"),
        ({"shortest_part_counts": 201}, "ENCODER"),
        ({"strobe_us": (100, 5001)}, "STROBE"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_reason(change: dict, reason: str) -> None:
    """Geometry that could open the gate for the neighbour never becomes active."""
    fields = {f: getattr(STATION, f) for f in Configure.__struct_fields__ if f not in ("crc", "tick_hz")}
    tick_hz = change.pop("tick_hz", None)
    crc = change.pop("crc", None)
    wish = configuration(**{**fields, **change})
    if tick_hz:
        wish = replace(wish, tick_hz=tick_hz)
        wish = replace(wish, crc=messages_crc(wish))
    if crc:
        wish = replace(wish, crc=crc)
    rig = Rig().run(30).send(wish)

    assert (0, reason) == (rig.last(ConfigureAck).accepted, rig.last(ConfigureAck).reason.name)
    assert State.UNCONFIGURED == rig.run(110).last(Stats).state


def messages_crc(wish: Configure) -> int:
    return framing.zlib.crc32(messages.PACK[Configure](wish)[:-4])


OTHER = configuration(
    gate_counts=6000, lead_counts=300, camera_counts=(1000, -1), min_gap_counts=200, gate_hold_counts=200
)


@pytest.mark.parametrize("armed", [True, False])
def test_a_configuration_holds_until_reset(armed: bool) -> None:
    """Armed or not, another geometry is refused and changes nothing; the same one again is accepted and disarms not."""
    rig = Rig().run(30).send(STATION)
    if armed:
        rig.send(Arm())
    state = State.ARMED if armed else State.CONFIGURED
    rig.send(OTHER, STATION).run(110)

    assert ["IMMUTABLE", "ACCEPTED"] == [a.reason.name for a in rig.all(ConfigureAck)][-2:]
    assert (STATION.crc, state) == (rig.last(Stats).config_crc, rig.last(Stats).state)


def test_a_restart_frees_the_configuration(rig: Rig) -> None:
    """Refused while armed; disarmed with an empty belt it is another boot, unconfigured, and takes the other one."""
    rig.send(messages.Restart())
    refused = rig.last(StateChanged)
    rig.send(Disarm(), messages.Restart()).run(700)
    hello = rig.last(HelloAck)
    rig.send(OTHER).run(110)

    assert (State.ARMED, StateReason.NOT_ALLOWED_NOW) == (refused.state, refused.reason)
    assert (0, State.UNCONFIGURED) == (hello.config_crc, hello.state)
    assert rig.all(HelloAck)[0].boot != hello.boot
    assert (OTHER.crc, messages.ResetReason.HOST_REQUEST) == (rig.last(Stats).config_crc, rig.last(Stats).reset)


def test_no_restart_with_a_part_in_the_table(rig: Rig) -> None:
    """A part between sensor and gate keeps its gate event; the restart works when it is past."""
    rig.part()
    rig.send(Disarm(), messages.Restart())
    refused = rig.last(StateChanged)
    rig.run(600).send(messages.Restart()).run(700)

    assert (State.CONFIGURED, StateReason.NOT_ALLOWED_NOW) == (refused.state, refused.reason)
    assert [1] == [gate.part for gate in rig.all(messages.GateEvent)]
    assert 2 == len({hello.boot for hello in rig.all(HelloAck)})


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda rig: rig.run(30), StateReason.NOT_CONFIGURED),
        (lambda rig: rig.run(30).send(STATION), StateReason.SCHEMA_MISMATCH),
    ],
)
def test_arming_is_refused_with_its_reason(prepare: Callable[[Rig], Rig], reason: StateReason) -> None:
    """Neither an unconfigured MCU nor one of another schema is armed."""
    rig = prepare(Rig())
    rig.send(Arm(0 if reason == StateReason.SCHEMA_MISMATCH else messages.SCHEMA_HASH))

    assert reason == rig.last(StateChanged).reason
    assert State.ARMED != rig.last(StateChanged).state


def test_the_host_refuses_to_arm_another_schema() -> None:
    """A HelloAck with another schema hash makes Arm a clear error."""
    link = Link(lambda: 9, HostNs(0))
    link.outgoing(HostNs(0))
    ack = HelloAck(9, 5, 1, messages.SCHEMA_HASH ^ 1, State.UNCONFIGURED, Fault.NONE, 1, 1, 0)
    link.feed(framing.encode(Frame(1, 33, 2, 0, 0, 9, messages.PACK[HelloAck](ack))), HostNs(0))

    with pytest.raises(LinkError, match=r"schema .* differs .* flash the firmware"):
        link.send(Arm(), HostNs(0))


def test_an_output_is_tested_only_disarmed_and_for_half_a_second(rig: Rig) -> None:
    """A test never drives the gate while armed, longer than 500 ms or with a part on its way."""
    rig.run(600)
    rig.send(messages.TestOutput(GATE_TEST, 100))
    armed = rig.board.outputs.lane
    rig.send(Disarm(), messages.TestOutput(GATE_TEST, 501))
    long = rig.board.outputs.lane
    rig.send(messages.TestOutput(GATE_TEST, 100))
    tested = rig.board.outputs.lane
    rig.run(105)
    after = rig.board.outputs.lane
    rig.send(messages.TestOutput(GATE_TEST, 400))
    rig.part()

    expected = (Lane.REJECT, Lane.REJECT, Lane.ACCEPT, Lane.REJECT, Lane.REJECT)
    assert expected == (armed, long, tested, after, rig.board.outputs.lane)
