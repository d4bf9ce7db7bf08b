"""Follow a person's decisions at the line in parallel mode, from the tap to what the gate did. No Qt."""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Accepted, RefusedReply, Reply
from appliance.schema.label import GOOD, Label
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from hmi.state import SeenPart, StationState

KEPT = 64
"""ManualEntries remembered; older parts have left the strip."""


class Fate(StrEnum):
    """Say what became of a decision."""

    SENT = "sent"
    TAKEN = "taken"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    """`record` did not answer in time; the same decision may be sent again."""
    LATE = "late"
    """Taken, but the gate had rejected the part by then; it is asked about again in review."""


class ManualEntry(Struct, frozen=True):
    """Hold what one person said of one part."""

    label: Label
    fate: Fate = Fate.SENT
    why: str = ""
    """Of a refusal, in the service's words."""

    @property
    def part(self) -> PartId:
        """Of which part."""
        return self.label.part

    @property
    def accept(self) -> bool:
        """Whether the part may pass."""
        return self.label.kind == GOOD


ManualEntries = Mapping[PartId, ManualEntry]


def asked(state: StationState, decisions: ManualEntries) -> tuple[SeenPart, ...]:
    """Give the parts on the belt that a person must decide now, the oldest first; none in primary mode.

    A part leaves when somebody has decided it, here or elsewhere, or when the gate has acted. One whose decision was
    refused or not answered stays, so that it can be decided again.
    """
    if state.mode is not Mode.PARALLEL:
        return ()
    open_ = (one for one in reversed(state.parts) if one.entered is not None and not one.entered.replayed)
    done = {part for part, one in decisions.items() if one.fate in {Fate.SENT, Fate.TAKEN, Fate.LATE}}
    return tuple(one for one in open_ if one.manual is None and one.actuation is None and one.part not in done)


def decide(decisions: ManualEntries, label: Label) -> tuple[ManualEntries, ManualEntry]:
    """Note a decision that is sent now; one like it that was not answered keeps its label, and so counts once."""
    part, before = label.part, decisions.get(label.part)
    if before is not None and before.fate is Fate.UNANSWERED and _same(before.label, label):
        label = before.label
    decision = ManualEntry(label)
    kept = {**{key: one for key, one in decisions.items() if key != part}, part: decision}
    return dict(list(kept.items())[-KEPT:]), decision


def answered(decisions: ManualEntries, label_id: str, reply: Reply) -> ManualEntries:
    """Take the answer of `record` to a decision; of one that is forgotten nothing is kept."""
    found = next((one for one in decisions.values() if one.label.label_id == label_id), None)
    if found is None:
        return decisions
    match reply:
        case Accepted():
            told = replace(found, fate=Fate.TAKEN, why="")
        case RefusedReply(reason=why):
            again = getattr(reply, "again", False)
            told = replace(found, fate=Fate.UNANSWERED if again else Fate.REFUSED, why=why)
        case _:
            return decisions
    return {**decisions, found.part: told}


def followed(decisions: ManualEntries, state: StationState) -> ManualEntries:
    """Hold the decisions against what the gate did: an accept that came after it is late."""
    late = {
        one.part: replace(one, fate=Fate.LATE)
        for one in decisions.values()
        if one.accept and one.fate in {Fate.SENT, Fate.TAKEN} and _rejected(state.part(one.part))
    }
    return {**decisions, **late} if late else decisions


def left_s(part: SeenPart, now: HostNs) -> float:
    """Give the seconds until the decision closes, as far as is known here; a slow belt gives more."""
    return max(0.0, (part.entered.decide_by - now) / S) if part.entered is not None else 0.0


def _same(one: Label, other: Label) -> bool:
    return (one.kind, one.person) == (other.kind, other.person)


def _rejected(seen: SeenPart | None) -> bool:
    gate = seen.actuation if seen is not None else None
    return gate is not None and gate.lane is Lane.REJECT and gate.cause is not Cause.OPERATOR
