"""Take a part from the belt by hand: parts and gate no longer agree, and only an empty belt mends that."""

from appliance.outputs.plc.registers import ControlBit, ErrorCode, StatusBit2, unpack_status
from appliance.schema.actuation import Actuation, Lane
from appliance.schema.clocks import S
from appliance.schema.command import Accepted, PurgeDone, RefusedReply, ResetFault
from appliance.schema.line import LineState
from firmware_bridge import messages as mcu
from tests.line.test_plc_trigger import Cell

PITCH, PART = 2_000, 600
FIRST = 30_000
"""Encoder count at which the first part enters: the line is armed by then."""


def line(*, taken: int | None = 6) -> Cell:
    """Give a line with a sensor at the gate; one part is taken by hand, or stays."""
    cell = Cell(plc_triggers=False, gate_sensor_mm=390.0)
    for number in range(1, 15):
        place = FIRST + number * PITCH
        cell.board.place_part(place, place + PART, taken=number == taken)
    for number in range(15, 22):
        place = FIRST + 20_000 + number * PITCH
        cell.board.place_part(place, place + PART)
    return cell


def lanes(cell: Cell) -> dict[int, Lane]:
    return {one.part.number: one.lane for one in cell.all(Actuation)}


def good(first: int, last: int) -> set[int]:
    """Give the parts that the model accepts."""
    return {number for number in range(first, last + 1) if number % 3}


def accepted(cell: Cell) -> set[int]:
    return {number for number, lane in lanes(cell).items() if lane is Lane.ACCEPT}


def test_in_step_every_good_part_passes() -> None:
    """The day below is one of rejects because of the part that was taken."""
    cell = line(taken=None)
    cell.run(11 * S)

    assert good(1, 21) == accepted(cell)


def test_after_a_lost_part_nothing_passes_until_it_is_purged() -> None:
    """Whoever comes after the gap rejects, whatever the model says; a reset is refused, a purge waits for the belt."""
    cell = line()
    cell.run(int(6.6 * S))
    lost = cell.all(LineState)[-1]
    status = unpack_status(cell._words)
    refused, granted = cell.ask(ResetFault("anna")), cell.ask(PurgeDone("anna"))
    cell.run(int(4.4 * S))
    found = cell.all(LineState)[-1]

    assert (True, False, ErrorCode.SYNC_LOST) == (lost.sync_lost, lost.ready, lost.error)
    assert (ErrorCode.SYNC_LOST, StatusBit2.SYNC_LOST) == (status.error_code, status.bits2 & StatusBit2.SYNC_LOST)
    assert (True, Accepted()) == (isinstance(refused, RefusedReply), granted)
    assert good(1, 5) | good(15, 21) == accepted(cell)
    assert (False, True) == (found.sync_lost, found.ready)
    assert list(range(1, 22)) == sorted(lanes(cell))


def test_the_plc_purges_by_its_bit() -> None:
    """The same by the control bit; without either, the good parts after the gap reject to the end."""
    by_bit, never = line(), line()
    for cell in (by_bit, never):
        cell.run(int(6.6 * S))
    by_bit.program.pulse = ControlBit.PURGED
    for cell in (by_bit, never):
        cell.run(int(4.4 * S))

    assert good(1, 5) | good(15, 21) == accepted(by_bit)
    assert good(1, 5) == accepted(never)
    assert mcu.State.FAULT is never.node._link.state
