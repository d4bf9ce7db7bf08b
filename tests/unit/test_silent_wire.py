"""Protect the wire to the microcontroller: one that says nothing is opened anew, one that speaks is left alone."""

import itertools

from appliance.schema.clocks import MS, HostNs
from firmware_bridge.board import CoreBoard
from firmware_bridge.build import build_core
from firmware_bridge.device import SILENT_WIRE, McuDevice
from tests.unit.firmware_rig import BUILD

SPAN_MS = 4 * SILENT_WIRE // MS


class DeafWire:
    """Take everything and say nothing, as a line that belongs to something else."""

    def fileno(self) -> int:
        return -1

    def read(self) -> bytes:
        return b""

    def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        pass


class CoreWire:
    """Reach the core; closing leaves it alone."""

    def __init__(self, board: CoreBoard) -> None:
        self.read, self.write = board.read, board.write

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


def test_a_wire_that_leads_nowhere_is_left_for_the_right_one() -> None:
    """After a re-plug the old name may lead elsewhere; by itself the device finds the board that came back."""
    board = CoreBoard(build_core(BUILD), 5, HostNs(0))
    opened: list[DeafWire | CoreWire] = []

    def open_wire() -> DeafWire | CoreWire:
        opened.append(CoreWire(board) if opened else DeafWire())
        return opened[-1]

    heard = _run(board, open_wire)

    assert [DeafWire, CoreWire] == [type(wire) for wire in opened]
    assert heard


def test_a_wire_that_speaks_stays_open() -> None:
    """Reports of a living board come ten times a second, so that silence means something."""
    board = CoreBoard(build_core(BUILD), 5, HostNs(0))
    opened: list[CoreWire] = []

    def open_wire() -> CoreWire:
        opened.append(CoreWire(board))
        return opened[-1]

    _run(board, open_wire)

    assert 1 == len(opened)


def _run(board: CoreBoard, open_wire: object) -> list[object]:
    sessions = itertools.count(1)
    device = McuDevice(open_wire, lambda: next(sessions), HostNs(0))  # type: ignore[arg-type]
    heard: list[object] = []
    for ms in range(SPAN_MS):
        board.run_until(HostNs(ms * MS))
        heard += device.read(HostNs(ms * MS))
    return heard
