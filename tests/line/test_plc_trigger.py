"""Let a PLC make the parts of a line: program, handshake, line, serial line and firmware core as they are."""

import random
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from appliance.outputs.plc.handshake import Handshake
from appliance.outputs.plc.modbus import ControlWritten, StatusBlock
from appliance.outputs.plc.registers import STATUS_COUNT, StatusBit, unpack_status
from appliance.ports.node import Publish, Send
from appliance.schema.actuation import Actuation, Cause, Lane
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import Command, Reply
from appliance.schema.health import Alarm
from appliance.schema.part import PartEntered
from appliance.schema.topics import STATUS, VERDICT
from appliance.schema.verdict import Disposition, Reason, Verdict
from appliance.services.line import LineNode
from appliance.sim.plc_program import PlcProgram
from appliance.sim.twins import WireTwin
from firmware_bridge import messages as mcu
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.device import McuDevice
from tests.unit.line_rig import CAMERAS, MODEL, SETTINGS, health_of

BUILD = Path(__file__).resolve().parents[2] / "build" / "tests"
FEED = 150 * MS
SPEED = 10_000
"""Counts per s: 1 m/s."""


class Cell:
    """Hold an indexing cell: the belt runs, the PLC asks, the model accepts every third part not."""

    def __init__(self, damage: float = 0.0, *, plc_triggers: bool = True, gate_sensor_mm: float = 0.0) -> None:
        now = HostNs(S)
        generator = random.Random(5)
        settings = replace(SETTINGS, gate_sensor_mm=gate_sensor_mm)
        sensor = round(gate_sensor_mm * settings.counts_per_mm) or None
        self.board = CoreBoard(build_core(BUILD), boot=77, now=now, tick_offset=999, gate_sensor=sensor)
        wire = WireTwin(self.board, generator, damage)
        self.device = McuDevice(lambda: wire, lambda: generator.getrandbits(32), now)
        self.node = LineNode(
            settings,
            CAMERAS,
            ("top",),
            Handshake(4242, now, plc_triggers=plc_triggers),
            plc_required=True,
            authority=MODEL,
        )
        self.program = PlcProgram()
        self.told: list[Struct] = []
        self.named: dict[int, tuple[int, bool]] = {}
        """PLC's part: the microcontroller's, and whether it was good."""
        self._wire, self._now = wire, now
        self._words = (0,) * STATUS_COUNT
        self._carry(self.node.start(now))
        self.board.set_belt(SPEED)

    def run(self, span: int) -> None:
        """Turn the loop each ms, the PLC's program every 5 ms."""
        end = self._now + span
        while self._now < end:
            self._now = HostNs(self._now + MS)
            self.board.run_until(self._now)
            self._wire.listen()
            for message in self.device.read(self._now):
                self._carry(self.node.receive("device:mcu", message, self._now))
            if self._now % (100 * MS) == 0:
                for unit in ("acquire@top", "judge"):
                    self._carry(self.node.receive(STATUS + unit, health_of(unit, recipe_hash=0), self._now))
            if self._now % (5 * MS) == 0:
                self._scan()
            wake = self.node.wake_at
            if wake is not None and wake <= self._now:
                self._carry(self.node.wake(self._now))

    def _scan(self) -> None:
        words = self.program.scan(self._words, self._now)
        status = unpack_status(self._words)
        if status.bits & StatusBit.RESULT_VALID and status.plc_part not in self.named:
            self.named[status.plc_part] = (status.part_number, bool(status.bits & StatusBit.PASS))
        if words is not None:
            self._carry(self.node.receive("device:plc", ControlWritten(words), self._now))

    def _carry(self, outputs: object) -> None:
        for one in outputs:  # type: ignore[attr-defined]
            if isinstance(one, Publish):
                self.told.append(one.message)
                if isinstance(one.message, PartEntered):
                    self._judge(one.message)
            elif isinstance(one, Send) and one.device == "mcu":
                self.device.write(one.message, self._now)
            elif isinstance(one.message, StatusBlock):
                self._words = one.message.words

    def _judge(self, entered: PartEntered) -> None:
        said = Disposition.REJECT if entered.part.number % 3 == 0 else Disposition.ACCEPT
        verdict = Verdict(
            entered.part, said, (Reason.WITHIN_LIMITS,), self._now, entered.decide_by, entered.part.number
        )
        self._carry(self.node.receive(VERDICT, verdict, self._now))

    def ask(self, wish: Command) -> Reply:
        """Send a wish to the line."""
        reply, outputs = self.node.command(wish, self._now)
        self._carry(outputs)
        return reply

    def all(self, kind: type) -> list:
        return [one for one in self.told if isinstance(one, kind)]


def test_each_trigger_is_one_part_that_comes_back_by_its_name() -> None:
    """Twenty parts asked for are twenty made, imaged, gated and named in order; the model's word decides each."""
    cell = Cell()
    cell.run(2 * S)
    cell.program.feed_ns = FEED
    cell.run(20 * FEED)
    cell.program.feed_ns = None
    cell.run(2 * S)
    made = cell.all(PartEntered)
    gates = {one.part.number: one for one in cell.all(Actuation)}

    assert cell.program.plc_part == len(made) == len(gates) == len(cell.named) >= 15
    assert [(number, number % 3 != 0) for number in range(1, len(made) + 1)] == list(cell.named.values())
    assert list(range(1, len(made) + 1)) == list(cell.named)
    assert all((one.lane is Lane.ACCEPT) == (number % 3 != 0) for number, one in gates.items())
    assert {Cause.ACCEPTED, Cause.DECIDED_REJECT} == {one.cause for one in gates.values()}
    assert [] == cell.all(Alarm)


def test_on_a_bad_line_a_part_is_named_or_missed() -> None:
    """Frames are lost: no part is made twice, each good one was asked for, and what was not made is told."""
    cell = Cell(damage=0.05)
    cell.run(2 * S)
    cell.program.feed_ns = FEED
    cell.run(40 * FEED)
    cell.program.feed_ns = None
    cell.run(2 * S)
    numbers = [one.part.number for one in cell.all(PartEntered)]
    missed = unpack_status(cell._words).missed_triggers
    good = [part for part, (_, good) in cell.named.items() if good]

    assert sorted(set(numbers)) == numbers
    assert len(good) > 5
    assert set(good) <= set(range(1, cell.program.plc_part + 1))
    assert missed <= cell.program.plc_part <= len(cell.named) + missed + 1


def test_without_a_trigger_no_part_is_made() -> None:
    """The part sensor sees things go by, and none of them is a part."""
    cell = Cell()
    for place in range(8_000, 40_000, 2_000):
        cell.board.place_part(place, place + 600)
    cell.run(4 * S)

    assert [] == cell.all(PartEntered)
    assert mcu.State.ARMED is cell.node._link.state
