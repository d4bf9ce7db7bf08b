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
    ConfigureReason,
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


def test_configuring_while_armed_is_refused_unless_equal(rig: Rig) -> None:
    """The geometry under parts in flight stays as it was."""
    other = configuration(
        gate_counts=6000, lead_counts=300, camera_counts=(1000, -1), min_gap_counts=200, gate_hold_counts=200
    )
    rig.send(other, STATION)

    assert [ConfigureReason.ARMED, ConfigureReason.ACCEPTED] == [a.reason for a in rig.all(ConfigureAck)][-2:]


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
