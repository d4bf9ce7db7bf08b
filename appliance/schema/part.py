"""Name a part from the moment the part sensor saw it."""

from msgspec import Struct

from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks


class PartId(Struct, frozen=True, order=True):
    """Name one part for ever: the microcontroller's boot nonce and its part number in that boot."""

    boot: int
    """Random 32-bit nonce of the microcontroller's boot; two boots never share parts."""
    number: int
    """1, 2, 3 ... within the boot."""

    def __str__(self) -> str:
        return f"{self.boot:08x}-{self.number:06d}"


class PartEntered(Struct, frozen=True, tag=True):
    """State that a part passed the part sensor. Topic `part.entered`, written by `line`."""

    part: PartId
    at: HostNs
    """Sensor edge, carried from MCU ticks to host time."""
    at_uncertainty_ns: int
    """Half width of the interval in which `at` lies, ns."""
    at_tick: McuTicks
    at_counts: EncoderCounts
    decide_by: HostNs
    """A verdict that reaches `line` after this instant is late and its part is rejected."""
    cameras: tuple[str, ...]
    """Views that an ACCEPT of this part needs."""
    replayed: bool = False
    """True when the part was read from the MCU's event memory after a gap; nothing can be decided for it any more."""
    close_counts: EncoderCounts = EncoderCounts(0)
    """Encoder count at which the decision closes; with `BeltPosition` it moves `decide_by` back on a slow or stopped
    belt, never forward. 0: unknown."""
    job: str = ""
    """Id of the client's job that covers the part; empty: none was started by a client, or none covers it."""


class BeltPosition(Struct, frozen=True, tag=True):
    """State where the belt was. Topic `belt`, written by `line` with each answer of the microcontroller's clock."""

    at: HostNs
    at_uncertainty_ns: int
    at_counts: EncoderCounts
    fastest: float
    """Largest speed that the belt is configured for, counts per s. 0: it was seen faster, and no deadline moves."""
    boot: int = 0
    """Boot nonce of the microcontroller whose encoder this is; it says nothing about parts of another boot."""


class PartExposed(Struct, frozen=True, tag=True):
    """State that the microcontroller fired a camera line for a part. Topic `part.exposed`, written by `line`."""

    part: PartId
    camera: str
    trigger_index: int
    """Edges sent to this camera since the MCU's boot, from 0."""
    at: HostNs
    at_uncertainty_ns: int
    at_tick: McuTicks
    at_counts: EncoderCounts
