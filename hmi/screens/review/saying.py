"""Put what the labelling session holds into the words and values of the review screen. No Qt."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from msgspec.structs import replace

from appliance.labelling.queue import Task
from appliance.labelling.systematic import Flag
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.label import GOOD, UNSURE, Label, LabelLevel, Purpose, Shown
from appliance.schema.review import Occasion
from hmi.labelling.draft import CAUSES, SEVERITIES, Draft, canned, missing
from hmi.labelling.easel import Easel
from hmi.labelling.lineup import Load, Tab
from hmi.labelling.session import UNDO_S, Sent
from hmi.labelling.twins import Twin
from hmi.outbox import Entry
from hmi.screens.review.facts import PartFacts, Progress
from hmi.screens.review.twin_search import Twins

TABS: Final[Mapping[Tab, tuple[str, str]]] = {
    Tab.REVIEW: ("To review", "diamond"),
    Tab.UNKNOWN: ("Unknown", "question"),
    Tab.AUDIT: ("Second look", "check-list"),
    Tab.DISAGREEMENT: ("Disagreement", "people"),
}
"""Caption and icon of each queue."""

OCCASIONS: Final[Mapping[Occasion, str]] = {
    Occasion.PARALLEL: "Decide this part",
    Occasion.REVIEW: "Decide this part",
    Occasion.SAMPLE: "Decide this part",
    Occasion.UNKNOWN: "Unlike everything known",
    Occasion.QUARANTINE: "Decide this part",
    Occasion.REINSPECTION: "Look at this part again",
}

PURPOSES: Final[Mapping[Purpose, str]] = {
    Purpose.AUDIT: "Second look at a label",
    Purpose.DISAGREEMENT: "Settle a disagreement",
    Purpose.CORRECTION: "Correct a label",
}
"""What label-only work is called; a known answer is called what a review is."""

EMPTY: Final[Mapping[Tab, str]] = {
    Tab.REVIEW: "No part waits for a decision. Parts that the model is not sure of come here by themselves.",
    Tab.UNKNOWN: "No part is unlike everything known.",
    Tab.AUDIT: "No label waits for a second look.",
    Tab.DISAGREEMENT: "No labels contradict each other.",
}

LACKS: Final[Mapping[str, str]] = {
    "kind": "Choose what it is",
    "reason": "Say why",
    "region": "Mark where it is",
    "severity": "Choose how severe it is",
    "cause": "Say what made it",
}

SEVERITY: Final[Mapping[str, str]] = {"minor": "Minor", "major": "Major", "critical": "Critical"}

NEW: Final = "+"
"""Key that lets quality name a class; no class itself."""

YOUNG_S: Final = 60.0

LONGEST: Final = 9
"""Letters of a class that fit on a key beside each other."""

INTERRUPTED: Final = "A part waits for a decision: finish this one, or skip it"

COMMENTS: Final = tuple(
    dict.fromkeys(
        text
        for purpose, kind in ((Purpose.CORRECTION, ""), (Purpose.REVIEW, GOOD), (Purpose.REVIEW, "x"))
        for text in canned(purpose, kind)
    )
)

SAYS: Final = (
    *(text for text, _ in TABS.values()),
    *dict.fromkeys(OCCASIONS.values()),
    *PURPOSES.values(),
    *EMPTY.values(),
    *LACKS.values(),
    *SEVERITY.values(),
    *COMMENTS,
    *CAUSES,
    INTERRUPTED,
)
"""Source texts that stand in tables."""


class Speaker(Protocol):
    """What the screen's language does."""

    def tr(self, text: str) -> str:
        """Translate."""
        ...

    def number(self, value: float, decimals: int = 0) -> str:
        """Write a number."""
        ...

    def span(self, seconds: float) -> str:
        """Write a length of time."""
        ...


def blank() -> dict[str, Any]:
    """Give what the screen says before anything is known."""
    return {
        "tabs": [],
        "tab": "",
        "state": "loading",
        "message": "",
        "progress": "",
        "part": {},
        "source": "",
        "views": [],
        "marks": [],
        "heat": {"shown": False},
        "overlay": True,
        "palette": [],
        "answer": {},
        "details": {},
        "choices": {},
        "bound": "",
        "guard": True,
        "undo": {"enabled": False, "text": "", "left": ""},
        "twins": {},
        "notices": [],
    }


def kind_text(kind: str, words: Speaker) -> str:
    """Give a class as people read it: classes are the plant's own words, and few stand in the catalogue."""
    if kind == GOOD:
        return words.tr("Good part")
    if kind == UNSURE:
        return words.tr("Unsure")
    plain = kind.replace("_", " ").strip()
    return words.tr(plain[:1].upper() + plain[1:])


def _breakable(text: str) -> str:
    """Let a long word of the plant's own break where it must, since a key is as narrow as a finger."""
    return " ".join("\u200b".join(textwrap.wrap(word, LONGEST)) for word in text.split())


def tabs(loads: Mapping[Tab, Load], current: Tab, now: UtcNs, words: Speaker) -> list[dict[str, Any]]:
    """Give the keys of the queues, each with its count and the age of its oldest."""
    return [
        {
            "name": tab.value,
            "text": words.tr(TABS[tab][0]),
            "icon": TABS[tab][1],
            "count": load.count,
            "caption": _age(load, now, words),
            "enabled": load.count > 0 or tab is current,
        }
        for tab, load in loads.items()
    ]


def _age(load: Load, now: UtcNs, words: Speaker) -> str:
    """Say how long the oldest waits; nothing under a minute, so that a known answer, which has no age, looks fresh."""
    seconds = 0.0 if load.oldest is None else (now - load.oldest) / S
    return words.span(seconds) if seconds >= YOUNG_S else ""


def heading(task: Task, level: LabelLevel, words: Speaker) -> str:
    """Say in one line what is asked of the person; a known answer is asked in the words of a review."""
    asked = words.tr(PURPOSES.get(task.purpose) or OCCASIONS[task.occasion])
    return asked if level is LabelLevel.CONFIRM else f"{asked} · " + words.tr("level {n}").format(n=int(level))


def part(found: PartFacts, draft: Draft | None, words: Speaker) -> dict[str, Any]:
    """Give what is said of the part itself."""
    task = found.task
    return {
        "name": str(task.part),
        "heading": heading(task, draft.level if draft is not None else task.level, words),
        "model": model_says(task, found.shown, words),
        "others": others_said(found.labels, words),
        "pictured": bool(found.images),
        "overlaid": bool(found.views),
    }


def model_says(task: Task, shown: Shown | None, words: Speaker) -> dict[str, str]:
    """Give what is told of the model's answer; where it is hidden, that it is."""
    if shown is None:
        hidden = (
            "Look for yourself: the model's answer is hidden" if task.prediction_hidden else "The model said nothing"
        )
        return {"icon": "eye-off" if task.prediction_hidden else "eye", "text": words.tr(hidden)}
    if not shown.kind:
        return {"icon": "eye", "text": words.tr("The model is not sure and marks nothing")}
    sure = "" if shown.confidence is None else " " + words.number(shown.confidence, 2)
    return {"icon": "eye", "text": words.tr("The model sees: {kind}").format(kind=kind_text(shown.kind, words) + sure)}


def others_said(labels: Sequence[Label], words: Speaker) -> str:
    """Give what others said of a part whose labels contradict each other, one line each."""
    line = words.tr("{person}, level {n}: {kind}")
    said = [
        line.format(person=label.person, n=int(label.level), kind=kind_text(label.kind, words))
        + (f" ({words.tr(label.reason)})" if label.reason else "")
        for label in labels
    ]
    return "\n".join(said)


def palette(draft: Draft, own: LabelLevel, words: Speaker) -> list[dict[str, Any]]:
    """Give the keys of the classes; a deep answer has the good part among them, and who may can name a new class."""
    kinds = (GOOD, *draft.classes) if draft.deep else draft.classes
    keys = [
        {
            "kind": kind,
            "text": _breakable(kind_text(kind, words)),
            "chosen": draft.deep and kind == draft.kind,
        }
        for kind in kinds
    ]
    if draft.deep and own >= LabelLevel.CLASSIFY:
        keys.append({"kind": NEW, "text": words.tr("New class"), "chosen": False})
    return keys


def answer_keys(draft: Draft, own: LabelLevel, words: Speaker) -> dict[str, Any]:
    """Give what the large keys say and whether they can be used."""
    known = draft.shown.kind if draft.shown is not None and draft.shown.kind in draft.classes else ""
    lack = missing(draft)
    return {
        "defect": kind_text(known, words) if known else words.tr("which one?"),
        "asks": draft.asks_kind,
        "deep": draft.deep,
        "lack": words.tr(LACKS[lack]) if draft.deep and lack else "",
        "saves": draft.deep and not lack,
        "deepens": _deepens(draft, own, words),
    }


def _deepens(draft: Draft, own: LabelLevel, words: Speaker) -> str:
    """Name the key that leads to a higher level; empty: the person has none above."""
    if own <= draft.level:
        return ""
    return words.tr("level {n}").format(n=int(own)) if draft.deep else words.tr("Mark it")


def details(draft: Draft, words: Speaker) -> dict[str, Any]:
    """Give comment, severity and cause as chosen."""
    return {
        "level": int(draft.level),
        "reason": words.tr(draft.reason),
        "severity": draft.severity,
        "cause": words.tr(draft.cause),
    }


def choices(draft: Draft, words: Speaker) -> dict[str, Any]:
    """Give the comments, severities and causes that one touch chooses."""
    return {
        "comments": [{"value": text, "text": words.tr(text)} for text in canned(draft.task.purpose, draft.kind)],
        "severities": [{"value": name, "text": words.tr(SEVERITY[name])} for name in SEVERITIES],
        "causes": [{"value": text, "text": words.tr(text)} for text in CAUSES],
    }


def tools(easel: Easel | None) -> dict[str, Any]:
    """Give what the drawing keys show."""
    if easel is None:
        return {"tool": "", "undo": False, "redo": False, "close": False, "marks": 0, "radius": 0.0}
    going = easel.drawing.open
    return {
        "tool": easel.tool.value if easel.tool is not None else "",
        "undo": bool(easel.drawing.past) or going is not None,
        "redo": bool(easel.drawing.future),
        "close": going is not None and len(going.points) >= 3,
        "marks": len(easel.drawing.marks),
        "radius": easel.radius_px,
    }


def progress(done: Progress, unsent: int, words: Speaker) -> str:
    """Say how far the person is this shift, and what is not delivered yet."""
    text = words.tr("{n} answers this shift").format(n=words.number(done.answers))
    if done.answers:
        text += " · " + words.tr("{seconds} s each").format(seconds=words.number(done.median_s, 1))
    if unsent:
        text += " · " + words.tr("{n} not delivered yet").format(n=words.number(unsent))
    return text


def notices(
    message: tuple[str, HostNs], now: HostNs, flags: Sequence[Flag], refused: Sequence[Entry], words: Speaker
) -> list[dict[str, str]]:
    """Give what the person should read: what was refused, whom to train, what just happened."""
    told = [
        {"kind": "warning", "name": entry.id, "text": words.tr("Not taken: {reason}").format(reason=entry.reason)}
        for entry in refused
    ]
    newest = {(flag.person, flag.kind): flag for flag in flags}
    told += [
        {
            "kind": "notice",
            "name": "",
            "text": words.tr("Train {person} on {kind}: {k} of {n} wrong, mostly taken for {other}").format(
                person=flag.person,
                kind=kind_text(flag.kind, words),
                k=flag.wrong.k,
                n=flag.wrong.n,
                other=kind_text(flag.mistaken_for, words),
            ),
        }
        for flag in newest.values()
    ]
    if message[0] and now < message[1]:
        told.insert(0, {"kind": "notice", "name": "", "text": message[0]})
    return told


def undo_key(last: Sent | None, now: HostNs, words: Speaker) -> dict[str, Any]:
    """Give what the undo key would take back, and for how long it still can."""
    if last is None:
        return {"enabled": False, "text": "", "left": ""}
    left = max(1, round(UNDO_S - (now - last.at) / S))
    text = words.tr("{kind}, {n} s").format(kind=kind_text(last.label.kind, words), n=left)
    return {"enabled": True, "text": text, "left": f" {left}"}


def changed(draft: Draft, **changes: Any) -> Draft:
    """Give a draft with some of its fields changed."""
    return replace(draft, **changes)


def twins(found: Twins | None, words: Speaker) -> dict[str, Any]:
    """Give the two pictures beside the part, or why there is none."""
    if found is None:
        return {"searching": False, "good": {}, "defect": {}}
    return {
        "searching": found.left > 0,
        "good": _twin(found.good, found, words),
        "defect": _twin(found.defect, found, words),
    }


def _twin(twin: Twin | None, found: Twins, words: Speaker) -> dict[str, Any]:
    if twin is None:
        return {}
    box = found.question.box if twin.candidate.kind == GOOD else twin.candidate.box
    place = {} if box is None else {"x": box.x_px, "y": box.y_px, "width": box.width_px, "height": box.height_px}
    return {
        "source": f"image:{twin.candidate.path}",
        "text": kind_text(twin.candidate.kind, words),
        "part": twin.candidate.part,
        "box": place,
    }
