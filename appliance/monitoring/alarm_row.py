"""Name what the rationalisation of an alarm states, and the few answers that rows share."""

from enum import IntEnum, StrEnum

from msgspec import Struct

from appliance.schema.person import Role


class Priority(IntEnum):
    """Order alarms by what waiting costs; of all alarms about 5, 15 and 80 % (ISA-18.2 and EEMUA 191, from memory)."""

    HIGH = 1
    """A defective part may have passed, or the line stands; at once."""
    MEDIUM = 2
    """Parts are lost, or evidence is; within minutes."""
    LOW = 3
    """Nothing is lost yet, or little; within the shift."""


class Source(StrEnum):
    """Say how an alarm is heard of."""

    MESSAGE = "message"
    """An `Alarm` tells of a moment; it is over at once and stays until somebody acknowledges it."""
    COMPONENT = "component"
    """A component of a unit's `Health`: active while it is degraded or failed."""
    ABSENCE = "absence"
    """The unit says nothing."""


ABSENT = "absent"
"""Kind of the alarm that a unit says nothing; no component has this name."""


class AlarmRow(Struct, frozen=True):
    """Rationalise one alarm: why it is one, what it costs to wait, and what a person does."""

    unit: str
    """Service; of `acquire@<camera>` the part before the sign."""
    kind: str
    source: Source
    priority: Priority
    title: str
    """What is wrong, for the operator; translated on the screen."""
    consequence: str
    """What happens while nobody acts."""
    cause: str
    """What it comes from, most often."""
    remedy: str
    """What the operator does; translated on the screen."""
    minutes: int
    """Time to act in; after it the consequence has come."""
    who: Role
    """Who mends it; whoever sees it acknowledges it."""
    point: str = ""
    """Component whose alarm it is another word for; empty: it is an alarm of its own."""
    follows: tuple[str, ...] = ()
    """Alarms as `unit.kind` that explain it; those of its own unit's absence always do."""
    hidden_by: tuple[str, ...] = ()
    """Alarms under which it is suppressed by design: it can tell nothing that they do not."""
