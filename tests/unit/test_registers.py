"""Rules of the register blocks that the PLC reads and writes."""

import pytest

from appliance.outputs.plc import generate, registers
from appliance.outputs.plc.registers import (
    CONTROL,
    STATUS,
    Control,
    Status,
    StatusBit,
    Type,
    pack_control,
    pack_status,
    unpack_control,
    unpack_status,
)


def test_register_page_is_up_to_date() -> None:
    """The page PLC engineers get is the table the code uses."""
    assert generate.page() == generate.PAGE.read_text("utf-8")


@pytest.mark.parametrize(("table", "kind"), [(STATUS, Status), (CONTROL, Control)])
def test_table_and_struct_name_the_same_values(table: tuple[registers.Register, ...], kind: type) -> None:
    """One table lays the block out: same names, same order, no hole, short enough for one read."""
    places = [register.address for register in table]
    widths = [register.type.words for register in table]

    assert tuple(kind.__struct_fields__) == tuple(register.field for register in table)
    assert [places[0] + sum(widths[:i]) for i in range(len(table))] == places
    assert registers.count(table) <= 125


def test_wide_values_are_big_endian() -> None:
    """Word order is ABCD: the lower address holds the more significant word."""
    place = next(register.address for register in STATUS if register.field == "recipe_hash")

    assert (0xDEAD, 0xBEEF) == pack_status(Status(recipe_hash=0xDEAD_BEEF))[place : place + 2]
    assert Type.U32.words == 2


def test_blocks_come_back_as_written() -> None:
    """Packing loses nothing."""
    status = Status(*range(1, len(Status.__struct_fields__) + 1))
    control = Control(*range(70_000, 70_000 + len(Control.__struct_fields__)))

    assert status == unpack_status(pack_status(status))
    assert control.session_echo == unpack_control(pack_control(control)).session_echo
    with pytest.raises(ValueError, match="words, 10 are needed"):
        unpack_control((0,) * 11)


def test_all_zero_is_never_good() -> None:
    """Rule 1: a PLC that reads zeros, as after a power cut, sees neither Online nor a result."""
    assert StatusBit(0) == StatusBit(Status().bits) & (StatusBit.ONLINE | StatusBit.RESULT_VALID | StatusBit.PASS)
