"""Name the wishes one process may send another, and the two answers."""

from enum import StrEnum

from msgspec import Raw, Struct

from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import UtcNs
from appliance.schema.health import AlarmStep
from appliance.schema.label import Label
from appliance.schema.part import PartId
from appliance.schema.person import Person


class Accepted(Struct, frozen=True, tag=True):
    """Answer that the wish is granted; what follows shows in topics."""

    detail: str = ""


class RefusedReply(Struct, frozen=True, tag="Refused"):
    """Answer that nothing was changed, and why."""

    reason: str
    again: bool = False
    """True: only the moment was bad; sent again unchanged it may be granted."""


class Replay(Struct, frozen=True, tag=True):
    """Ask a topic's writer for the messages it still holds, from sequence number `first`."""

    topic: str
    first: int


class Replayed(Struct, frozen=True, tag=True):
    """Answer a `Replay`: the messages still held, in order, and the writer's epoch."""

    epoch: int
    next_sequence: int
    messages: tuple[Raw, ...]
    """Whole envelopes as they were published."""


class Drain(Struct, frozen=True, tag=True):
    """Ask a service to finish what it holds and stop taking on more."""


class StageBundle(Struct, frozen=True, tag=True):
    """Ask `judge` to load, warm and prove a bundle beside the active one; `status.judge` tells how it goes."""

    path: str
    """Folder of the bundle, relative to the station's bundle folder."""
    actor: str
    """Who asks: operator id or `service:<unit>`."""


class ActivateBundle(Struct, frozen=True, tag=True):
    """Ask `judge` to use the staged bundle from the next part on; the one before stays warm."""

    bundle: str
    """Id or path of what is staged, so that nobody activates what another staged meanwhile."""
    actor: str


class RollbackBundle(Struct, frozen=True, tag=True):
    """Ask `judge` to use the bundle before the active one again, from the next part on."""

    actor: str


class ResetFault(Struct, frozen=True, tag=True):
    """Ask `line` to release a latched fault of the microcontroller or the PLC handshake."""

    operator: str


class StartJob(Struct, frozen=True, tag=True):
    """Ask `line` to inspect the next part (`single`) or every part; the answer's detail is the job's id."""

    single: bool
    actor: str
    """Operator id or `service:<unit>`."""
    measurement: str = ""
    """The client's own name of the job, echoed in its results."""
    part: str = ""
    """The client's own name of the part of a single job."""
    recipe: str = ""
    """Refused unless empty or the active recipe's name or number."""
    product: str = ""


class StopJob(Struct, frozen=True, tag=True):
    """Ask `line` to let no further part be inspected; those on the belt are finished."""

    actor: str


class AbortJob(Struct, frozen=True, tag=True):
    """Ask `line` to end the job at once; every part on the belt is a reject."""

    actor: str


class HaltLine(Struct, frozen=True, tag=True):
    """Ask `line` to abort and stay out of operation until `ResetFault`."""

    actor: str


class PurgeDone(Struct, frozen=True, tag=True):
    """Tell `line` that every part was taken off the belt, after parts and gate no longer agreed."""

    actor: str


class PrepareRecipe(Struct, frozen=True, tag=True):
    """Ask `line` for a changeover to another recipe; refused while a part is under way. `line.state` tells the end."""

    number: int
    actor: str


class TriedOutput(StrEnum):
    """Name the outputs that can be tried by hand."""

    GATE_ACCEPT = "gate_accept"
    """The gate moves to the accept lane and falls back."""
    CAMERA0 = "camera0"
    """Camera line 0 and its lamp, once."""
    CAMERA1 = "camera1"
    RUN_PERMIT = "run_permit"
    """The belt may start."""


class BeginTests(Struct, frozen=True, tag=True):
    """Ask `line` to inspect nothing and disarm, so that outputs can be tried; refused while it works or a part is on.

    Ends by itself some time after the last wish about it.
    """

    actor: str
    why: str


class TryOutput(Struct, frozen=True, tag=True):
    """Ask `line` to drive one output for a moment; refused unless tests were begun and the belt is empty."""

    output: TriedOutput
    duration_ms: int
    actor: str


class EndTests(Struct, frozen=True, tag=True):
    """Ask `line` to work again."""

    actor: str


class DecidePart(Struct, frozen=True, tag=True):
    """Ask `record` to take a person's decision on a part: at the line in parallel mode, or in review."""

    part: PartId
    accept: bool
    kind: str
    """`good` or a class of the taxonomy."""
    person: str
    """Operator id, not a name."""
    seconds: float
    """From the picture's appearance to the answer."""
    prediction_shown: bool = False


class SeedPart(Struct, frozen=True, tag=True):
    """Ask `record` to take the next part that enters as a known defect, put on the line to see whether it is found."""

    kind: str
    """Class of the defect."""
    person: str
    part: PartId | None = None
    """The part itself where it is known already; None: the next one that enters."""


class QuarantinePart(Struct, frozen=True, tag=True):
    """Ask `record` to put a part that waits for a person into quarantine; only a re-inspection lets it out."""

    part: PartId
    person: str
    why: str


class ReinspectPart(Struct, frozen=True, tag=True):
    """Ask `record` to let a person look again at a part: out of quarantine, decided already, or held by the machine."""

    part: PartId
    person: str
    why: str


class SubmitLabel(Struct, frozen=True, tag=True):
    """Ask `record` to keep a label. Sent again with the same `label_id` it is accepted and changes nothing.

    With purpose review the label also decides the part that waits, as `DecidePart` does.
    """

    label: Label
    """`previous` and `old` are filled in by `record`."""


class ChangePerson(Struct, frozen=True, tag=True):
    """Ask `record` to enrol a person or change one. Sent again with the same `event_id` it changes nothing."""

    person: Person


class NoteAlarm(Struct, frozen=True, tag=True):
    """Ask `record` to keep what a person did about an alarm. Sent again with the same id it changes nothing."""

    step: AlarmStep


class NoteDeed(Struct, frozen=True, tag=True):
    """Ask `record` for an entry of the audit chain. Sent again with the same `note_id` it changes nothing."""

    note_id: str
    """UUID version 7."""
    deed: AuditRequest
    at: UtcNs
    """When it was done; the entry's own time is when it was written."""


class FreezeSnapshot(Struct, frozen=True, tag=True):
    """Ask `record` to name the labelled images that training may use now; the answer's detail is the snapshot's id."""

    person: str
    why: str
    snapshot_id: str
    """UUID version 7; sent again it changes nothing."""


Command = (
    DecidePart
    | SubmitLabel
    | ChangePerson
    | NoteAlarm
    | NoteDeed
    | FreezeSnapshot
    | SeedPart
    | QuarantinePart
    | ReinspectPart
    | StartJob
    | StopJob
    | AbortJob
    | HaltLine
    | PurgeDone
    | PrepareRecipe
    | BeginTests
    | TryOutput
    | EndTests
    | Replay
    | Drain
    | StageBundle
    | ActivateBundle
    | RollbackBundle
    | ResetFault
)
Reply = Accepted | RefusedReply | Replayed
