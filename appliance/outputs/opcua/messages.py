"""Name what passes between the service's node and the server's thread."""

from msgspec import Struct

from appliance.outputs.opcua.states import Machine, Transition
from appliance.outputs.part_report import PartReport
from appliance.schema.clocks import UtcNs
from appliance.schema.command import AbortJob, HaltLine, PrepareRecipe, ResetFault, StartJob, StopJob
from appliance.schema.line import LineState
from appliance.schema.part import PartId

Wished = StartJob | StopJob | AbortJob | HaltLine | ResetFault | PrepareRecipe
"""What a client's method can ask of `line`."""


class Snapshot(Struct, frozen=True, tag=True):
    """Show this in every variable from now on; only the newest counts."""

    machine: Machine = Machine()
    line: LineState | None = None
    """None: nothing was heard of the line, or not for too long."""
    refusal: str = ""
    """Why the last method call was refused; empty after one that was granted."""


class StateChanged(Struct, frozen=True, tag=True):
    """Tell a step of a state machine; Error and ErrorResolved go with those that lead into and out of Error."""

    step: Transition
    at: UtcNs
    text: str = ""
    """Why, for a step into Error."""


class JobStarted(Struct, frozen=True, tag=True):
    """Tell that a job runs."""

    job: str
    at: UtcNs


class JobEnded(Struct, frozen=True, tag=True):
    """Tell that the line is ready for another job."""

    job: str
    at: UtcNs


class AcquisitionDone(Struct, frozen=True, tag=True):
    """Tell that every image of a part was taken."""

    part: PartId
    job: str
    at: UtcNs


class RecipePrepared(Struct, frozen=True, tag=True):
    """Tell that another recipe is in force."""

    recipe: str
    sha256: str
    at: UtcNs


class ResultReady(Struct, frozen=True, tag=True):
    """Tell what became of one part, and keep it for GetResultById."""

    report: PartReport
    at: UtcNs
    job: str = ""
    measurement: str = ""
    product: str = ""
    part_name: str = ""
    """The client's own name of the part."""
    telling: bool = True
    """False: only keep it, since it happened before this server stood."""


class ConditionChanged(Struct, frozen=True, tag=True):
    """Tell that a condition came or went."""

    name: str
    """One of `conditions.KINDS`."""
    is_active: bool
    text: str
    at: UtcNs
    code: int = 0


class Noted(Struct, frozen=True, tag=True):
    """Tell an alarm of a service: someone must act."""

    unit: str
    kind: str
    text: str
    at: UtcNs


class Answered(Struct, frozen=True, tag=True):
    """Answer a client's method call."""

    ticket: int
    granted: bool
    detail: str
    """What `line` said: a job's id, or why not."""


class Wish(Struct, frozen=True, tag=True):
    """Carry a client's method call to the node."""

    ticket: int
    command: Wished


class Served(Struct, frozen=True, tag=True):
    """State once a second that the server's thread lives, and what it counts."""

    beat: int
    events: int = 0
    """Events told since it began."""
    overflowed: int = 0
    """Notifications that found a subscriber's queue full: the oldest went, and the subscriber was told."""
    dropped: int = 0
    """Messages of the node that the server's thread did not take in time."""


Event = StateChanged | JobStarted | JobEnded | AcquisitionDone | RecipePrepared | ResultReady | ConditionChanged | Noted
