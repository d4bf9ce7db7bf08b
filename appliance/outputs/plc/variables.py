"""Give the status block as the OPC UA variables that show it; nothing can be written."""

from msgspec import Struct

from appliance.outputs.plc.registers import STATUS, STATUS_BIT2_NOTES, STATUS_BIT_NOTES, Status, Type


class Variable(Struct, frozen=True):
    """Describe one read-only OPC UA variable of the status block."""

    browse_name: str
    ua_type: str
    """`Boolean`, `UInt16` or `UInt32`."""
    field: str
    """Name in `Status`."""
    mask: int
    """Bit that a Boolean shows; 0: the whole value."""
    doc: str

    def value(self, status: Status) -> bool | int:
        """Read it out of a status block."""
        value: int = getattr(status, self.field)
        return bool(value & self.mask) if self.mask else value


def variables() -> tuple[Variable, ...]:
    """Give the status block as OPC UA variables: each value, and each bit of the two bit words by itself."""
    types = {Type.BITS: "UInt16", Type.U16: "UInt16", Type.U32: "UInt32"}
    values = [Variable(item.name, types[item.type], item.field, 0, item.doc) for item in STATUS]
    bits = [Variable(camel(bit.name), "Boolean", "bits", bit.value, note) for bit, note in STATUS_BIT_NOTES.items()]
    more = [Variable(camel(bit.name), "Boolean", "bits2", bit.value, note) for bit, note in STATUS_BIT2_NOTES.items()]
    return (*values, *bits, *more)


def camel(name: str | None) -> str:
    """Spell a constant's name as PLC programs do: RESULT_VALID becomes ResultValid."""
    return "".join(word.capitalize() for word in str(name).split("_"))
