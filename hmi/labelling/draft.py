"""Hold what a person has said so far about one part, and say when that is an answer; pure.

At level 1 one touch answers: GOOD PART, UNSURE, a class of the palette, or DEFECT, which takes the class on the screen;
where none is shown, DEFECT asks for one and the palette answers. Levels 2 and 3 choose, mark and then save.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from appliance.labelling.queue import Task
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.label import GOOD, UNSURE, Label, LabelLevel, Purpose, Region, Shown
from hmi.labelling import timing
from hmi.labelling.drawing import Drawing, named, regions
from hmi.labelling.timing import Watch

DEFECT = "defect"
"""Answer that takes its class from what is shown, else asks for it; no class of any taxonomy."""

SEVERITIES = ("minor", "major", "critical")


class Draft(Struct, frozen=True):
    """Hold an answer under way."""

    task: Task
    level: LabelLevel
    """At which it is given; a person of a higher level may go deeper than he is asked."""
    watch: Watch
    shown: Shown | None
    """What of the model's answer is on the screen; None: nothing."""
    classes: tuple[str, ...]
    """Defect classes that the palette offers."""
    drawings: tuple[Drawing, ...] = ()
    """One for each view, in the order of the views."""
    kind: str = ""
    """Class chosen; empty: none yet."""
    asks_kind: bool = False
    """DEFECT was said and no class was shown to take."""
    reason: str = ""
    severity: str = ""
    cause: str = ""

    @property
    def deep(self) -> bool:
        """Whether it is saved by a key of its own, after marking."""
        return self.level > LabelLevel.CONFIRM or self.task.purpose is Purpose.CORRECTION


def say(draft: Draft, what: str) -> tuple[Draft, str]:
    """Take a touch on GOOD PART, DEFECT, UNSURE or a class; give the draft after it and the answer, empty while none.

    UNSURE answers at every level: who cannot say need not mark first.
    """
    kind = _shown_class(draft) if what == DEFECT else what
    if what == UNSURE:
        return draft, UNSURE
    if not kind:
        return replace(draft, asks_kind=True), ""
    if draft.deep:
        return replace(draft, kind=kind, asks_kind=False), ""
    return replace(draft, kind=kind, asks_kind=False), kind


def missing(draft: Draft) -> str:
    """Say what a deep answer still lacks, one of the keys of `LACKS`; empty: it can be saved."""
    if not draft.kind:
        return "kind"
    if draft.task.purpose is Purpose.CORRECTION and not draft.reason.strip():
        return "reason"
    if draft.level is LabelLevel.CONFIRM or draft.kind == GOOD:
        return ""
    if not marked(draft):
        return "region"
    if draft.level is LabelLevel.EXPERT and not draft.severity:
        return "severity"
    if draft.level is LabelLevel.EXPERT and not draft.cause.strip():
        return "cause"
    return ""


LACKS = ("kind", "reason", "region", "severity", "cause")


def marked(draft: Draft) -> tuple[Region, ...]:
    """Give every region drawn, view by view, of the class chosen; a good part has none."""
    if draft.kind == GOOD:
        return ()
    return tuple(region for drawing in draft.drawings for region in regions(named(drawing, draft.kind)))


def redrawn(draft: Draft, drawing: Drawing) -> Draft:
    """Put a drawing in the place of the one of the same view."""
    kept = [old if old.camera != drawing.camera else drawing for old in draft.drawings]
    return replace(draft, drawings=tuple(kept))


def deeper(draft: Draft, level: LabelLevel) -> Draft:
    """Go to a higher level than was asked; never to a lower one."""
    if level <= draft.level:
        return draft
    return replace(draft, level=level, watch=replace(draft.watch, idle_s=timing.IDLE_S[level]))


def label_of(
    draft: Draft, kind: str, label_id: str, person: str, now: HostNs, at: UtcNs, terminal: str, software: str
) -> Label:
    """Give the label that an answer makes."""
    certain = kind not in (GOOD, UNSURE)
    return Label(
        label_id=label_id,
        part=draft.task.part,
        level=draft.level,
        person=person,
        kind=kind,
        seconds=timing.seconds(draft.watch, now),
        prediction_shown=draft.shown is not None,
        at=at,
        purpose=draft.task.purpose,
        reason=draft.reason.strip(),
        regions=marked(replace(draft, kind=kind)) if certain else (),
        severity=draft.severity if certain else "",
        cause=draft.cause.strip() if certain else "",
        shown=draft.shown,
        terminal=terminal,
        software=software,
    )


def canned(purpose: Purpose, kind: str) -> Sequence[str]:
    """Give the comments that one touch adds, most useful first; English, for the catalogue to translate."""
    if purpose is Purpose.CORRECTION:
        return (
            "Tapped the wrong key",
            "Seen better at 1:1",
            "Defect is within the limit sample",
            "Other class by the catalogue",
        )
    if kind == GOOD:
        return ("Dirt, wipes off", "Reflection", "Within the limit sample", "Mark of the fixture")
    return ("Seen on the part itself", "Hard to see in the picture", "More than one defect", "Not in the catalogue")


CAUSES = ("Tool worn", "Handling", "Material", "Fixture", "Setting of the machine", "Cause not known")
"""Causes that one touch adds at level 3; English, for the catalogue to translate."""


def _shown_class(draft: Draft) -> str:
    """Give the class that DEFECT means without asking: the one shown, else the only one there is."""
    if draft.shown is not None and draft.shown.kind in draft.classes:
        return draft.shown.kind
    return draft.classes[0] if len(draft.classes) == 1 else ""
