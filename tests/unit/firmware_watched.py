"""The core with every watch on: gate sensor, encoder, lamps, host, and memory that a reset spares."""

from __future__ import annotations

import itertools
from pathlib import Path

from appliance.schema.clocks import EncoderCounts, HostNs
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.configuration import configuration
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    Configure,
    Decision,
    Fault,
    FaultEvent,
    PartEvent,
    State,
    StateChanged,
    Stats,
    TriggerSource,
)  # fmt: skip
from tests.unit.firmware_rig import BUILD, Rig

GATE_SENSOR = 4800
WINDOW = 60


def station(**changes: object) -> Configure:
    """Give a station with every watch on; its gate's sensor stands before the gate opens."""
    usual = {
        "gate_counts": 5000,
        "lead_counts": 300,
        "camera_counts": (1000, -1),
        "min_gap_counts": 200,
        "gate_hold_counts": 200,
        "gate_sensor_counts": GATE_SENSOR,
        "gate_window_counts": WINDOW,
        "encoder_max_hz": 40_000,
        "encoder_back_counts": 100,
        "shortest_part_counts": 30,
        "strobe_us": (400, 0),
        "host_lost_rejects": 3,
    }
    return configuration(**{**usual, **changes})  # type: ignore[arg-type]


STATION = station()
PLC_STATION = station(trigger_source=TriggerSource.PLC)


class WatchedRig(Rig):
    """One core with a gate sensor, its memory that a reset spares, and any library."""

    def __init__(self, library: Path | None = None, station: Configure = STATION) -> None:
        super().__init__()
        self.board = CoreBoard(library or build_core(BUILD), 5, HostNs(0), gate_sensor=GATE_SENSOR)
        self.board.set_belt(10_000)
        self.sessions = itertools.count(1)
        self.link = Link(lambda: next(self.sessions), HostNs(0))
        self.station = station

    def arm(self) -> WatchedRig:
        self.run(30).send(self.station, Arm())
        assert State.ARMED == self.last(StateChanged).state
        return self

    def accepted(self, *, taken: bool = False) -> int:
        """Let a part enter, and accept it."""
        at = EncoderCounts(self.board.counts + 300)
        self.board.place_part(at, EncoderCounts(at + 40), taken=taken)
        self.run(31)
        part = self.last(PartEvent).part
        self.send(Decision(part, 1, part))
        return part

    def fault(self) -> tuple[Fault, int]:
        event = self.last(FaultEvent)
        return event.fault, event.detail

    @property
    def stats(self) -> Stats:
        return self.run(110).last(Stats)


def armed(library: Path | None, station: Configure = STATION) -> WatchedRig:
    rig = WatchedRig(library, station)
    rig.arm()
    return rig


def in_doubt(library: Path | None) -> WatchedRig:
    """Give a core that lost sync by an extra part, on a belt that is empty now but for 20 counts."""
    rig = armed(library)
    rig.run(600)
    at = rig.board.counts
    rig.board.place_at_gate(EncoderCounts(at + 10), EncoderCounts(at + 30))
    rig.run(4)
    assert State.FAULT == rig.last(StateChanged).state
    return rig
