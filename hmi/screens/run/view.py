"""Hold what the run screen shows, and take what a person does there."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace
from PySide6.QtCore import Property, QObject, Signal, Slot
from PySide6.QtGui import QImage

from appliance.governance.evidence import ParallelReport
from appliance.governance.rights import Right
from appliance.schema import command
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from appliance.storage.parallel import Told, read_report, told
from hmi.bundle_facts import BundleFacts, find_facts
from hmi.screens.run import figures, layers, marks, parts, wording
from hmi.screens.run.entry import ManualEntry
from hmi.screens.run.remembered import recall, remember
from hmi.screens.run.shown import Answer, answer_of, newest
from hmi.screens.run.stagehand import Stagehand
from hmi.state import SeenPart

STRIP_NS: Final = 1 * S
"""The strip moves once a second at most: what moves faster nobody can touch."""

REPORT_NS: Final = 60 * S
"""Time between two looks at what parallel mode has shown: it reads every part compared."""

TOLD_NS: Final = 1 * S
"""Time between two questions for what the model said of parts that a person has decided."""

MESSAGE_NS: Final = 10 * S
"""A refusal stays so long."""

layers.register()


def _told(name: str, changed: Signal, kind: Any = "QVariantMap") -> Property:
    """Make a property that reads what the view has said last."""
    return Property(kind, lambda view: view._said[name], notify=changed)  # noqa: SLF001


class RunView(QObject):
    """Follow the line at every tick; what the model says of a part comes through `shown.answer_of` alone."""

    wanted = Signal(str)
    pictureChanged = Signal()  # noqa: N815  QML's way, as below
    overlayChanged = Signal()  # noqa: N815
    verdictChanged = Signal()  # noqa: N815
    stripChanged = Signal()  # noqa: N815
    figuresChanged = Signal()  # noqa: N815
    manualChanged = Signal()  # noqa: N815
    lineChanged = Signal()  # noqa: N815

    def __init__(self, desk: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._entry = ManualEntry(desk)
        self._stage = Stagehand()
        self._camera = desk.loaded.recipe.views[0]
        self._layers = recall(desk.loaded.state)
        self._held: SeenPart | None = None
        self._focus: SeenPart | None = None
        self._answer: Answer | None = None
        self._told: dict[PartId, Told] = {}
        self._facts = BundleFacts()
        self._wanted_bundle = ("", "")
        self._report: ParallelReport | None = None
        self._message = ("", HostNs(0))
        self._due = dict.fromkeys(("strip", "report", "told"), HostNs(0))
        self._cells = QImage()
        self._drawn: object = None
        self._said: dict[str, Any] = {"marks": [], "heat": {"shown": False}}
        self.refresh()

    def enter(self) -> None:
        """Begin live."""
        self._held, self._due["report"] = None, HostNs(0)

    def leave(self) -> None:
        """Forget what was under way; nothing that was sent is lost."""
        self._entry.turn_to(None)
        self._entry.hide()

    def refresh(self) -> None:
        """Follow the station."""
        desk, now = self._desk, self._desk.now()
        self._look()
        self._ask(now)
        self._say_picture()
        self._say_overlay()
        policy = desk.loaded.recipe.policy
        verdict = parts.verdict_fields(
            self._focus, self._answer, self._camera, desk.state.mode, self._facts, policy, desk.words
        )
        self._say("verdict", verdict, self.verdictChanged)
        self._say_strip(now)
        cause = desk.alarms.first_cause
        self._say("figures", figures.shift_fields(desk.state, desk.words), self.figuresChanged)
        notices = list(figures.notices(desk.state, cause.text if cause else "", desk.words))
        self._say("notices", notices, self.figuresChanged)
        self._say_manual(now)
        self._say("line", self._line_fields(now), self.lineChanged)

    @Slot(int, str)
    def stands(self, place: int, source: str) -> None:
        """Note that one of the two pictures stands; the one in front is what a tap can mean."""
        if self._stage.stands(place, source):
            self._appear()
            self._say_picture()
            self._say_manual(self._desk.now())

    @Slot(int, str)
    def lacks(self, place: int, source: str) -> None:
        """Note that a picture is not to be had: nobody can mean a part that is not seen."""
        if self._stage.lacks(place, source):
            self._entry.hide()
            self._say_picture()
            self._say_manual(self._desk.now())

    @Slot(str, str)
    def answer(self, bound: str, kind: str) -> None:
        """Decide the part that was shown at press; anything else was not meant."""
        if bound and self._demand(Right.DECIDE) and self._entry.answer(bound, kind):
            self._due["strip"] = HostNs(0)
            self.refresh()

    @Slot(str)
    def openPalette(self, bound: str) -> None:  # noqa: N802  QML's way
        """Show the classes of defects for the part that was shown at press."""
        if bound and self._demand(Right.DECIDE):
            self._entry.open(bound)
            self._say_manual(self._desk.now())

    @Slot()
    def closePalette(self) -> None:  # noqa: N802
        """Go back to the two answers."""
        self._entry.palette = ""
        self._say_manual(self._desk.now())

    @Slot(str)
    def freeze(self, part: str) -> None:
        """Hold a part of the strip on the screen; the part held already goes back to live."""
        found = next((one for one in self._desk.state.parts if str(one.part) == part), None)
        again = self._held is not None and str(self._held.part) == part
        self._hold(None if again else found)

    @Slot()
    def live(self) -> None:
        """Go back to the part that is at the line now."""
        self._hold(None)

    @Slot(str)
    def look(self, camera: str) -> None:
        """Show another camera's picture."""
        if camera in self._desk.loaded.recipe.views:
            self._camera = camera
            self._entry.hide()
            self._hold(self._held)

    @Slot(str, bool)
    def draw(self, layer: str, on: bool) -> None:  # noqa: FBT001  called by QML
        """Switch a layer over the picture; remembered."""
        self._layers = replace(self._layers, **{layer: on})
        remember(self._desk.loaded.state, self._layers)
        self._say_picture()

    @Slot()
    def start(self) -> None:
        """Let every part be inspected."""
        self._wish(Right.RUN_JOB, command.StartJob(single=False, actor=self._desk.session.who))

    @Slot()
    def stop(self) -> None:
        """Let no further part be inspected."""
        self._wish(Right.RUN_JOB, command.StopJob(self._desk.session.who))

    @Slot(str)
    def purged(self, why: str) -> None:
        """Say that every part was taken off the belt."""
        self._wish(Right.RUN_JOB, command.PurgeDone(self._desk.session.who), why)

    @Slot(str)
    def reset(self, why: str) -> None:
        """Release a latched fault."""
        self._wish(Right.RESET_FAULT, command.ResetFault(self._desk.session.who), why)

    def _hold(self, seen: SeenPart | None) -> None:
        self._held, self._due["strip"] = seen, HostNs(0)
        self.refresh()

    def _look(self) -> None:
        """Choose the part on the screen: the one held, the one to be decided, else the newest."""
        state, waiting = self._desk.state, self._entry.waiting()
        asked = next((one for one in waiting if self._camera in one.frames), None) if self._held is None else None
        if self._held is not None:
            self._held = state.part(self._held.part) or self._held
        self._focus = focus = self._held or asked or newest(state)
        self._answer = answer_of(focus, state.mode, self._told.get(focus.part)) if focus is not None else None
        if not self._entry.turn_to(asked.part if asked is not None else None):
            self._tell(self._desk.words.tr("The part has passed the gate: it is a reject."))
        self._stage.aim(self._source(asked))
        self._appear()

    def _source(self, asked: SeenPart | None) -> str:
        """Name the picture wanted: a part's own where something is drawn over it or asked about it, else the newest."""
        focus, camera = self._focus, self._camera
        drawn = self._layers.heat or self._layers.marks or self._layers.text
        if focus is None or (self._held is None and asked is None and not (drawn and camera in focus.frames)):
            return f"live:{camera}"
        return f"part:{focus.part}/{camera}"

    def _appear(self) -> None:
        """Tell the entry which part's picture stands on the screen."""
        kind, _, rest = self._stage.standing.partition(":")
        if kind == "part":
            self._entry.appeared(rest.partition("/")[0])

    def _ask(self, now: HostNs) -> None:
        """Read what changes slowly: the bundle, what parallel mode has shown, what was said of decided parts."""
        loaded, state = self._desk.loaded, self._desk.state
        wanted_bundle = (loaded.recipe.bundle, self._answer.bundle if self._answer is not None else "")
        if wanted_bundle[1] not in {"", self._facts.bundle} or self._facts.bundle == "":
            self._read_bundle(wanted_bundle)
        if state.mode is not Mode.PARALLEL:
            return
        if now >= self._due["report"]:
            self._due["report"] = HostNs(now + REPORT_NS)
            read = partial(read_report, recipe=loaded.recipe, wanted=loaded.config.parallel, since=UtcNs(0))
            self._desk.query(read, self._take_report)
        wanted = [one.part for one in state.parts[: parts.STRIP] if one.manual is not None]
        wanted = [part for part in wanted if part not in self._told]
        if wanted and now >= self._due["told"]:
            self._due["told"] = HostNs(now + TOLD_NS)
            self._desk.query(partial(_open_seals, wanted=wanted), self._take_told)

    def _read_bundle(self, wanted: tuple[str, str]) -> None:
        """Read the bundle that judged, once for each that is named; its folder is the recipe's, or one beside it."""
        if wanted != self._wanted_bundle:
            self._wanted_bundle = wanted
            folder = self._desk.loaded.state / "bundles" / wanted[0]
            self._desk.query(partial(_facts, folder=folder, wanted=wanted[1]), self._take_facts)

    def _say_picture(self) -> None:
        state, words, focus, camera = self._desk.state, self._desk.words, self._focus, self._camera
        held = self._held is not None
        asked = not held and self._entry.asks
        stale = not held and not asked and state.frame_stale(camera)
        age = state.frame_ages_s.get(camera)
        views = self._desk.loaded.recipe.views
        old = words.tr("No picture yet") if age is None else words.tr("Old picture: {age}").format(age=words.span(age))
        picture = {
            "sources": list(self._stage.sources),
            "front": self._stage.front,
            "own": focus is not None and self._stage.standing == f"part:{focus.part}/{camera}",
            "camera": camera,
            "cameras": [{"name": name, "text": name} for name in views] if len(views) > 1 else [],
            "held": words.tr("Held: {part}").format(part=parts.named(focus.part, words)) if held and focus else "",
            "stale": stale,
            "age": old if stale else "",
            "heat": self._layers.heat,
            "marks": self._layers.marks,
            "text": self._layers.text,
        }
        self._say("picture", picture, self.pictureChanged)

    def _say_overlay(self) -> None:
        view = self._answer.view(self._camera) if self._answer is not None else None
        drawn = ((view, self._facts.features), self._desk.words.language)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        heat, cells = marks.cells_of(view)
        self._cells = layers.coverage(cells) if cells is not None else QImage()
        box = heat.window if heat is not None else None
        place = {"x": box.x_px, "y": box.y_px, "width": box.width_px, "height": box.height_px} if box else {}
        self._said["heat"] = {"shown": box is not None, **place}
        self._said["marks"] = marks.marks_of(view, self._facts.features, self._desk.words.number)
        self.overlayChanged.emit()

    def _say_strip(self, now: HostNs) -> None:
        """Tell what is news of the parts at once; let them move on once in a while."""
        held = self._held.part if self._held is not None else None
        entries = parts.strip_fields(self._desk.state, self._told, self._camera, held, self._desk.words)
        before = self._said.get("strip", [])
        if [one["part"] for one in entries] != [one["part"] for one in before]:
            if now < self._due["strip"]:
                known = {one["part"]: one for one in entries}
                entries = [known.get(one["part"], one) for one in before]
            else:
                self._due["strip"] = HostNs(now + STRIP_NS)
        self._say("strip", entries, self.stripChanged)

    def _say_manual(self, now: HostNs) -> None:
        desk, last = self._desk, self._entry.last()
        seen = desk.state.part(last.part) if last is not None else None
        answer = answer_of(seen, desk.state.mode, self._told.get(seen.part)) if seen is not None else None
        said = {
            **self._entry.fields(now, held=self._held is not None),
            "classes": [{"kind": kind, "text": parts.readable(kind)} for kind in self._facts.defects],
            "last": self._entry.last_fields(answer.disposition.value if answer is not None else ""),
            "progress": figures.progress_fields(self._report, desk.loaded.config.parallel, desk.words),
        }
        self._say("manual", said, self.manualChanged)

    def _line_fields(self, now: HostNs) -> dict[str, Any]:
        words, session = self._desk.words, self._desk.session
        return {
            **figures.line_fields(self._desk.state, words),
            "mayRun": session.may(Right.RUN_JOB),
            "mayReset": session.may(Right.RESET_FAULT),
            "whyPurged": [{"name": why, "text": words.tr(why)} for why in wording.PURGED_SAYS],
            "whyReset": [{"name": why, "text": words.tr(why)} for why in wording.RESET_SAYS],
            "message": self._message[0] if now < self._message[1] else "",
        }

    def _wish(self, right: Right, wish: command.Command, why: str = "") -> None:
        """Ask the line for something now, for who has the right; the reason goes into the audit chain."""
        if not self._demand(right):
            return
        if why:
            self._desk.note("reason_given", type(wish).__name__, "", why)
        self._desk.ask("line", wish, self._heard)

    def _demand(self, right: Right) -> bool:
        if self._desk.session.demand(right):
            return True
        self._tell(self._desk.words.tr("You may not do this; ask somebody who may."))
        return False

    def _heard(self, reply: command.Reply) -> None:
        match reply:
            case command.Accepted():
                self._tell(self._desk.words.tr("Done"))
            case command.RefusedReply(reason=why):
                self._tell(self._desk.words.tr("Refused: {why}").format(why=why))

    def _tell(self, text: str) -> None:
        self._message = (text, HostNs(self._desk.now() + MESSAGE_NS))

    def _take_facts(self, found: object) -> None:
        if isinstance(found, BundleFacts):
            self._facts = found

    def _take_report(self, found: object) -> None:
        if isinstance(found, ParallelReport):
            self._report = found

    def _take_told(self, found: object) -> None:
        if isinstance(found, dict):
            held = {one.part for one in self._desk.state.parts}
            self._told = {part: one for part, one in {**self._told, **found}.items() if part in held}
            self._due["strip"] = HostNs(0)

    def _say(self, name: str, value: Any, changed: Any) -> None:
        """Keep what QML reads; says so only where it is news."""
        if self._said.get(name) != value:
            self._said[name] = value
            changed.emit()

    picture = _told("picture", pictureChanged)
    heat = _told("heat", overlayChanged)
    cells = Property(QImage, lambda view: view._cells, notify=overlayChanged)  # noqa: SLF001
    marks = _told("marks", overlayChanged, "QVariantList")
    verdict = _told("verdict", verdictChanged)
    strip = _told("strip", stripChanged, "QVariantList")
    figures = _told("figures", figuresChanged)
    notices = _told("notices", figuresChanged, "QVariantList")
    manual = _told("manual", manualChanged)
    line = _told("line", lineChanged)


def _facts(_connection: sqlite3.Connection, folder: Path, wanted: str) -> BundleFacts:
    return find_facts(folder, wanted)


def _open_seals(connection: sqlite3.Connection, wanted: Sequence[PartId]) -> dict[PartId, Told]:
    found = {part: told(connection, part) for part in wanted}
    return {part: one for part, one in found.items() if one is not None}
