"""Our PLC as a process against stations that keep the handshake."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.outputs.plc.modbus import ControlWritten, ModbusServer
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition
from tests.contract.modbus_rig import AT_ONCE, CLOCKS, HERE, PlcProcess, Station, eventually


@pytest.fixture
def plc(tmp_path: Path) -> Iterator["PlcProcess"]:
    made = PlcProcess(tmp_path / "plc.jsonl")
    yield made
    made.stop()


def test_plc_takes_every_result_over(plc: PlcProcess) -> None:
    """A PLC in its own process gets each part once, in order, and counts as good exactly what the gate accepted."""
    station = Station(parts_hz=20, parts=40)
    try:
        plc.start(station.server.port, "--stop-after", "40")
        totals = plc.totals()
        assert eventually(lambda: len(station.acknowledged) == 40)
    finally:
        station.close()
    lines = plc.lines()

    assert [f"00000009-{number:06d}" for number in range(1, 41)] == [line["part"] for line in lines]
    assert station.good == {str(line["part"]) for line in lines if line["good"]}
    assert [str(event.part) for event in station.acknowledged] == [line["part"] for line in lines]
    assert (40, 27, 0, 0, 0) == tuple(totals[key] for key in ("results", "good", "gaps", "unexpected", "refused"))


def test_plc_faults_lose_nothing(plc: PlcProcess) -> None:
    """Wrong acks, silence and a cut connection delay results but neither lose nor double one."""
    station = Station(parts_hz=20, parts=7)
    try:
        plc.start(station.server.port)
        plc.tell("ack wrong")
        assert eventually(lambda: station.handshake.counts.wrong_acks > 0)
        plc.tell("heartbeat stop 0.7")
        assert eventually(lambda: not station.handshake.alive)
        assert eventually(lambda: station.handshake.pending == 7)
        plc.tell("ack on")
        assert eventually(lambda: len(station.acknowledged) == 7)
    finally:
        station.close()
    plc.end()

    assert 7 == plc.totals()["results"]
    assert list(range(1, 8)) == [event.part.number for event in station.acknowledged]
    assert list(range(1, 8)) == [line["sequence"] for line in plc.lines()]


def test_plc_resets_a_latched_error_when_told_to(plc: PlcProcess) -> None:
    """A PLC process with --reset-after-ms clears a latched error once and gets the station ready again."""
    late = [
        Actuation(PartId(9, number), Lane.REJECT, Cause.LATE, Disposition.NO_VERDICT, 0, *CLOCKS)
        for number in (1, 2, 3)
    ]
    station = Station(posted=late)
    before = station.handshake.line_stop
    try:
        plc.start(station.server.port, "--reset-after-ms", "100")
        assert eventually(lambda: station.handshake.ready and station.handshake.pending == 0)
    finally:
        station.close()

    assert (True, False) == (before, station.handshake.line_stop)


def test_plc_reconnects(plc: PlcProcess) -> None:
    """A PLC process comes back by itself after the appliance was restarted on the same port, with the new session."""
    station = Station()
    port = station.server.port
    plc.start(port)
    assert eventually(lambda: station.handshake.ready)
    station.close()
    again = ModbusServer(HERE, port)
    try:
        assert eventually(lambda: any(isinstance(message, ControlWritten) for message in again.read(AT_ONCE)))
    finally:
        again.close()
