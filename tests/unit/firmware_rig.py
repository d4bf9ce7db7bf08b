"""The real core of the firmware with a link, a perfect wire and a belt, for its tests."""

from __future__ import annotations

import itertools
from pathlib import Path

from appliance.schema.clocks import MS, EncoderCounts, HostNs
from firmware_bridge import messages
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.configuration import configuration
from firmware_bridge.link import Link
from firmware_bridge.messages import (
    Arm,
    PartEvent,
)  # fmt: skip

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
STATION = configuration(
    gate_counts=5000, lead_counts=300, camera_counts=(1000, -1), min_gap_counts=200, gate_hold_counts=200
)
CLOSE_MS = 470
GATE_MS = 500


class Rig:
    """One core, one link, a perfect wire, a belt of 10 counts per ms."""

    def __init__(self, boot: int = 5) -> None:
        self.board = CoreBoard(build_core(BUILD), boot, HostNs(0))
        self.board.set_belt(10_000)
        self.sessions = itertools.count(1)
        self.link = Link(lambda: next(self.sessions), HostNs(0))
        self.now = 0
        self.got: list[object] = []
        self.cut = False

    def run(self, ms: int) -> Rig:
        for _ in range(ms):
            self.now += MS
            self.board.run_until(HostNs(self.now))
            data = self.board.read()
            if not self.cut:
                self.got += self.link.feed(data, HostNs(self.now))
                self.board.write(self.link.outgoing(HostNs(self.now)))
        return self

    def send(self, *wishes: messages.Message) -> Rig:
        for wish in wishes:
            assert self.link.send(wish, HostNs(self.now))
        return self.run(3)

    def arm(self) -> Rig:
        return self.run(30).send(STATION, Arm())

    def part(self, in_counts: int = 100) -> int:
        """Schedule a part `in_counts` ahead and run until it is seen; return its number."""
        at = self.board.counts + in_counts
        self.board.place_part(EncoderCounts(at), EncoderCounts(at + 30))
        self.run(in_counts // 10 + 1)
        return self.all(PartEvent)[-1].part

    def all(self, kind: type) -> list:
        return [m for m in self.got if isinstance(m, kind)]

    def last(self, kind: type):
        return self.all(kind)[-1]
