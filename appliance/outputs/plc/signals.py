"""Read single signals, as PLC programs name them, out of a run of the handshake; pure."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

from msgspec import Struct

from appliance.outputs.plc.registers import (
    CONTROL,
    STATUS,
    Control,
    ControlBit,
    ErrorCode,
    JobAnswer,
    State,
    StatusBit,
    StatusBit2,
    unpack_control,
    unpack_status,
)
from appliance.outputs.plc.stage import Step
from appliance.outputs.plc.variables import camel

_NAMES: Mapping[str, type[IntEnum]] = {"State": State, "ErrorCode": ErrorCode, "JobAnswer": JobAnswer}


class Signal(Struct, frozen=True):
    """Hold one signal over a run."""

    name: str
    ours: bool
    """Appliance to PLC."""
    bit: bool
    values: tuple[int, ...]
    """One per step."""

    def spelled(self, value: int) -> tuple[str, ...]:
        """Give ways to write a value, the longest first."""
        if self.name == "RecipeHash32":
            return f"{value:08x}", f"{value:x}"
        names = _NAMES.get(self.name)
        return (f"{value} {names(value).name.lower()}", str(value)) if names else (str(value),)


def signal(name: str, steps: Sequence[Step]) -> Signal:
    """Follow a signal by its name in the register page. KeyError when no register and no bit has that name."""
    ours, field, mask = _place(name)
    held, values = Control(), []
    for step in steps:
        if step.control is not None:
            held = unpack_control(step.control)
        value: int = getattr(unpack_status(step.status) if ours else held, field)
        values.append(int(bool(value & mask)) if mask else value)
    return Signal(name, ours, bool(mask), tuple(values))


def edge_of(scene: str, text: str, nth: int, rows: Mapping[str, Signal], steps: Sequence[int]) -> tuple[Signal, int]:
    """Find the n-th edge: `Name+`, `Name-`, `Name*` (either) or `Name=value`. ValueError when the run has none."""
    name, sign, wanted = _read(text)
    row = rows[name]
    found = [step for step in steps if _is_edge(row.values[step - 1], row.values[step], sign, wanted)]
    if len(found) < nth:
        raise ValueError(f"{scene}: the run shows {len(found)} of {text!r}, {nth} are named; follow the scenario")
    return row, found[nth - 1]


def _read(text: str) -> tuple[str, str, int]:
    name, sign, value = text.partition("=")
    return (name, sign, int(value)) if sign else (text[:-1], text[-1], 0)


def _is_edge(before: int, after: int, sign: str, wanted: int) -> bool:
    if before == after:
        return False
    return {"+": after == 1, "-": before == 1, "*": True, "=": after == wanted}[sign]


def _place(name: str) -> tuple[bool, str, int]:
    """Give side, field and mask (0: the whole value); the PLC's own bits first, since Heartbeat is on both sides."""
    for ours, field, kind in ((False, "bits", ControlBit), (True, "bits", StatusBit), (True, "bits2", StatusBit2)):
        for bit in kind:
            if camel(bit.name) == name:
                return ours, field, bit.value
    for ours, table in ((False, CONTROL), (True, STATUS)):
        for register in table:
            if register.name == name:
                return ours, register.field, 0
    raise KeyError(name)
