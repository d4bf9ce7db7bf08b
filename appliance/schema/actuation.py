"""Name what the machine physically did with a part, and what the PLC said to it."""

from enum import StrEnum

from msgspec import Struct

from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition


class Lane(StrEnum):
    """Name the two lanes behind the gate; REJECT is where the spring holds it."""

    ACCEPT = "accept"
    REJECT = "reject"


class Cause(StrEnum):
    """Say why a part went where it went."""

    ACCEPTED = "accepted"
    """A valid ACCEPT was in the microcontroller's hand in time."""
    DECIDED_REJECT = "decided_reject"
    """A verdict other than ACCEPT was in hand in time; `Actuation.disposition` says which."""
    NO_VERDICT = "no_verdict"
    """Nothing was in hand when the decision window closed."""
    LATE = "late"
    """A verdict came, but after its deadline."""
    HOST_LOST = "host_lost"
    """The microcontroller heard no heartbeat of this computer."""
    OLD_SESSION = "old_session"
    """The part was on the belt when the link was restarted."""
    FAULT = "fault"
    """A fault is latched, or the microcontroller restarted while the part was on the belt."""
    NOT_ARMED = "not_armed"
    TOO_CLOSE = "too_close"
    """Nearer to the next part than the gate can tell apart."""
    GATE_LATE = "gate_late"
    """The microcontroller noticed the gate position too late to move."""
    OPERATOR = "operator"
    """A person decided: at the line in parallel mode, or by hand with a part that had been held back."""
    PLC_NOT_READY = "plc_not_ready"
    """The part came while the PLC could not take a result: it is recorded as not inspected."""
    CHANGEOVER = "changeover"
    """The part came while the recipe was being changed: it is recorded as not inspected."""
    NO_JOB = "no_job"
    """No client's job covered the part, or the job was aborted: it is recorded as not inspected."""


class Actuation(Struct, frozen=True, tag=True):
    """State what the gate did. Topic `actuation`, written by `line`; exactly one per part."""

    part: PartId
    lane: Lane
    cause: Cause
    disposition: Disposition
    """The verdict that `line` held for the part, NO_VERDICT if none."""
    verdict_sequence: int
    """`Verdict.sequence` the gate acted on; 0 if it acted on none."""
    at: HostNs
    at_tick: McuTicks
    at_counts: EncoderCounts
    replayed: bool = False
    """True when the fact was read from the MCU's event memory after a gap."""


class HandActuation(Struct, frozen=True, tag=True):
    """State where a person put a part that had been held back. Topic `hand`, written by `line`.

    The gate's own Actuation of the part stays what it is.
    """

    part: PartId
    lane: Lane
    cause: Cause
    """Always OPERATOR."""
    verdict_id: str
    """`ManualVerdict.verdict_id` that it follows."""
    person: str
    at: HostNs


class PlcAcknowledged(Struct, frozen=True, tag=True):
    """State that the PLC took a result over. Topic `plc.acknowledged`, written by `line`."""

    part: PartId
    result_sequence: int
    posted: HostNs
    acknowledged: HostNs
