"""Hold what the review screen shows, and take what a person does there."""

from functools import partial
from typing import Any, Final

from PySide6.QtCore import Property, QObject, Signal, Slot
from PySide6.QtGui import QImage

from appliance import __version__
from appliance.governance.rights import Right, label_right
from appliance.labelling.queue import Task
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import SubmitLabel
from appliance.schema.errors import StoreError
from appliance.schema.label import LabelLevel, Purpose
from appliance.storage.places import IMAGES
from hmi.labelling import lineup
from hmi.labelling.draft import deeper, redrawn
from hmi.labelling.drawing import Drawing
from hmi.labelling.easel import Easel
from hmi.labelling.lineup import Tab
from hmi.labelling.session import LabellingSession
from hmi.labelling.taps import guarded
from hmi.screens.review import facts, saying, search, sketch
from hmi.screens.review.drawing_board import DrawingBoard
from hmi.screens.review.facts import PartFacts
from hmi.screens.review.feed import Feed
from hmi.screens.review.overlay import overlay_of
from hmi.screens.review.search import Found
from hmi.screens.review.twin_search import Twins, TwinSearch, question_of
from hmi.screens.run import layers

SAYS: Final = (*saying.SAYS, *search.SAYS)
"""Source texts that stand in tables."""

MESSAGE_NS: Final = 10 * S
"""A message of what happened stays so long."""

SOFTWARE: Final = f"firstshift {__version__}"
layers.register()
sketch.register()


class ReviewView(QObject):
    """Lead the person who is signed in through the work; the labelling session decides, this tells and listens."""

    workChanged = Signal()  # noqa: N815  QML's way, as below
    partChanged = Signal()  # noqa: N815
    overlayChanged = Signal()  # noqa: N815
    answerChanged = Signal()  # noqa: N815
    choicesChanged = Signal()  # noqa: N815
    boundChanged = Signal()  # noqa: N815
    twinsChanged = Signal()  # noqa: N815
    noticeChanged = Signal()  # noqa: N815

    def __init__(self, desk: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self.session = LabellingSession(desk, SOFTWARE)
        self.board = DrawingBoard(self)
        self.board.changed.connect(self._drawn)
        self._search = TwinSearch(desk.loaded.state / IMAGES, desk.query, self._found_twins)
        self._feed = Feed(desk, self._take_work)
        self._facts: PartFacts | None = None
        self._reading: Task | None = None
        self._camera = ""
        self._overlay = True
        self._twins: Twins | None = None
        self._message = ("", HostNs(0))
        self._heard: set[str] = set()
        self._entered = False
        self._cells = QImage()
        self._marked: object = None
        self._said: dict[str, Any] = saying.blank()

    def enter(self) -> None:
        """Begin with what waits now."""
        self._entered = True
        self._search.start()
        self._feed.hurry()
        if self._facts is not None:  # the picture appears again, and says so
            self._say("source", "", self.partChanged)

    def leave(self) -> None:
        """Let the person's time stand still; an answer that was given stays given."""
        self._entered = False
        self.session.hide()
        self._search.close()

    def refresh(self) -> None:
        """Follow the work, the person and the clock."""
        now, person = self._desk.now(), self._desk.session.person
        self.session.sign(self._desk.session.who, person.level if person is not None else LabelLevel.CONFIRM)
        self._search.deliver()
        self._hear_refusals()
        quiet = not lineup.parts_wait(self.session.lineup) and self.session.task is not None
        self._feed.turn(self._desk.session.who, self._own_level(), slowly=quiet)
        self._open()
        self._say_all(now)

    def settle(self, timeout_s: float) -> bool:
        """Wait until the twins asked for so far are found; for screenshots and tests."""
        return self._search.settle(timeout_s)

    @Slot(str)
    def appeared(self, source: str) -> None:
        """Note that a picture of the open part is on the screen, or that it says that there is none."""
        if self._entered and source and source == self._said["source"]:
            self.session.appeared()
            self._say_bound()

    @Slot(str, str)
    def answer(self, bound: str, what: str) -> None:
        """Take a touch on GOOD PART, DEFECT, UNSURE or a class."""
        if self._may_answer():
            self._put(partial(self.session.answer, bound, what))

    @Slot(str)
    def save(self, bound: str) -> None:
        """Take a touch on SAVE."""
        self.board.finish()
        if self._may_answer():
            self._put(partial(self.session.save, bound))

    @Slot(str)
    def skip(self, bound: str) -> None:
        """Put the open part behind the others."""
        if self.session.skip(bound):
            self._after_answer()

    @Slot()
    def undo(self) -> None:
        """Take the newest answer back."""
        if self.session.undo():
            self._tell(self._desk.words.tr("Taken back"))
        else:
            self._tell(self._desk.words.tr("Too late to take back: look for the part and correct it"))
        self._after_answer()

    @Slot(str)
    def chooseTab(self, name: str) -> None:  # noqa: N802  QML's way, as below
        """Turn to another queue."""
        self.session.choose(Tab(name))
        self._after_answer()

    @Slot(str)
    def chooseView(self, camera: str) -> None:  # noqa: N802
        """Look at another view of the part."""
        self._camera = camera
        self._show_drawing()
        self._look_for_twins()
        self.refresh()

    @Slot(bool)
    def showOverlay(self, on: bool) -> None:  # noqa: FBT001, N802
        """Draw over the picture what the model saw, or not."""
        self._overlay = on
        self._say_all(self._desk.now())

    @Slot()
    def deepen(self) -> None:
        """Go to the person's own level, to mark a region."""
        if self.session.draft is not None:
            self.session.change(deeper(self.session.draft, self._own_level()))
            self._say_all(self._desk.now())

    @Slot(str, str)
    def detail(self, name: str, text: str) -> None:
        """Say why (`reason`), how severe it is (`severity`) or what made it (`cause`)."""
        if name in ("reason", "severity", "cause"):
            self._change(**{name: text})

    @Slot(str)
    def newClass(self, text: str) -> None:  # noqa: N802
        """Name a class that the palette does not have; for quality."""
        kind = "_".join(text.lower().split())
        draft = self.session.draft
        if kind and draft is not None and self._own_level() >= LabelLevel.CLASSIFY:
            if kind not in draft.classes and kind not in ("good", "unsure", "defect"):
                self._feed.name(kind)
                self._change(classes=(*draft.classes, kind))
            self.answer(self._said["bound"], kind)

    @Slot(str)
    def scanned(self, text: str) -> None:
        """Look for a part by what a scanner read or a person typed."""
        self._desk.query(partial(search.find_part, text=text), partial(self._take_found, text))

    @Slot(str)
    def dismiss(self, name: str) -> None:
        """Take away a notice that was read."""
        self._desk.dismiss(name)
        self.refresh()

    def _put(self, deed: Any) -> None:
        try:
            done = deed()
        except StoreError as error:
            self._tell(str(error))
            return
        if done:
            self._after_answer()
        else:
            self._say_all(self._desk.now())

    def _after_answer(self) -> None:
        self._feed.hurry("progress")
        self._facts = self._facts if self.session.task is not None else None
        self.refresh()

    def _may_answer(self) -> bool:
        """Say whether the person may give the answer; a refusal is audited."""
        draft = self.session.draft
        if draft is None:
            return False
        right = Right.DECIDE if draft.task.purpose is Purpose.REVIEW else label_right(draft.level)
        return bool(self._desk.session.demand(right))

    def _own_level(self) -> LabelLevel:
        person = self._desk.session.person
        return person.level if person is not None else LabelLevel.CONFIRM

    def _change(self, **changes: Any) -> None:
        if self.session.draft is not None:
            self.session.change(saying.changed(self.session.draft, **changes))
            self._say_all(self._desk.now())

    def _open(self) -> None:
        """Open the next part where none is open, and read what may be shown of it."""
        task = self.session.next() if self._desk.session.who else None
        if task is None:
            self._facts, self._reading = None, None
        elif self._facts is not None and (self._facts.task != task or self.session.draft is None):
            self._facts = None
        if task is not None and self._facts is None and self._reading != task:
            self._reading = task
            self._desk.query(partial(facts.read_part, task=task), self._take_part)

    def _take_work(self, tasks: list[Task]) -> None:
        sent = [entry.command.label for entry in self._desk.pending() if isinstance(entry.command, SubmitLabel)]
        if not self.session.offer(tasks, frozenset((label.part, label.purpose) for label in sent)):
            self._tell(self._desk.words.tr("Another person has decided this part"))
        self._open()
        self._say_all(self._desk.now())

    def _take_part(self, found: PartFacts | StoreError) -> None:
        if isinstance(found, StoreError):
            self._reading = None
            self._tell(str(found))
            return
        if found.task != self.session.task:
            return
        self._facts, self._reading = found, None
        self._camera = found.images[0].camera if found.images else ""
        blank = [Drawing(image.camera, image.size) for image in found.images]
        self.session.begin(found.shown, self._feed.classes, blank)
        self._show_drawing()
        self._look_for_twins()
        self._say_all(self._desk.now())
        if not found.images:  # nothing will appear: the part itself must be looked at
            self.session.appeared()

    def _take_found(self, text: str, found: Found | StoreError) -> None:
        if isinstance(found, StoreError):
            self._tell(str(found))
            return
        offered = lineup.in_order(self.session.lineup)
        corrects = self._desk.session.may(Right.CORRECT)
        task = search.outcome(found, offered, self._desk.session.who, self._own_level(), corrects=corrects)
        if isinstance(task, str):
            self._tell(self._desk.words.tr(task).format(text=text, part=found.part))
        else:
            self.session.want(task)
        self._after_answer()

    def _found_twins(self, twins: Twins) -> None:
        self._twins = twins

    def _look_for_twins(self) -> None:
        """Ask for the twins of the view shown, at the place drawn or else at the one that the screen shows."""
        question = question_of(self._facts, self._camera, self.board.largest()) if self._facts is not None else None
        if self._twins is not None and self._twins.question != question:
            self._twins = None
        self._search.ask(question)

    def _show_drawing(self) -> None:
        draft = self.session.draft
        drawing = next((one for one in draft.drawings if one.camera == self._camera), None) if draft else None
        self.board.show(Easel(drawing) if drawing is not None else None)

    def _drawn(self) -> None:
        """Take what was drawn into the draft."""
        draft, easel = self.session.draft, self.board.easel
        if draft is not None and easel is not None and easel.drawing.camera == self._camera:
            self.session.change(redrawn(draft, easel.drawing))
            if easel.at is None:
                self._look_for_twins()
        self.board.kind = draft.kind if draft is not None else ""
        self._say_answer()

    def _hear_refusals(self) -> None:
        for entry in self._desk.refused():
            if isinstance(entry.command, SubmitLabel) and entry.id not in self._heard:
                self._heard.add(entry.id)
                self.session.refused(entry.command.label)

    def _tell(self, text: str) -> None:
        self._message = (text, HostNs(self._desk.now() + MESSAGE_NS))

    def _say_all(self, now: HostNs) -> None:
        words, utc = self._desk.words, self._desk.utc()
        task = self.session.task
        late = sum(not entry.held for entry in self._desk.pending())
        tab = lineup.tab_of(task) if task is not None else self.session.tab or Tab.REVIEW
        self._say("tabs", saying.tabs(lineup.loads(self.session.lineup), tab, utc, words), self.workChanged)
        self._say("tab", tab.value, self.workChanged)
        self._say("state", "empty" if task is None else "work" if self._facts else "loading", self.workChanged)
        self._say("message", words.tr(saying.EMPTY[tab]), self.workChanged)
        self._say("progress", saying.progress(self._feed.progress, late, words), self.workChanged)
        message = self._message
        if task is not None and task.purpose is not Purpose.REVIEW and lineup.parts_wait(self.session.lineup):
            message = (words.tr(saying.INTERRUPTED), HostNs(now + 1))
        if self._feed.fault:
            message = (self._feed.fault, HostNs(now + 1))
        notices = saying.notices(message, now, self._feed.flags, self._desk.refused(), words)
        self._say("notices", notices, self.noticeChanged)
        self._say("twins", saying.twins(self._twins, words), self.twinsChanged)
        self._say_part()
        self._say_answer()
        self._say_bound()

    def _say_part(self) -> None:
        words, found, task = self._desk.words, self._facts, self.session.task
        if found is None or task is None:
            self._say("part", {}, self.partChanged)
            self._say("source", "", self.partChanged)
            return
        self._say("part", saying.part(found, self.session.draft, words), self.partChanged)
        views = [{"name": one.camera, "text": one.camera} for one in found.images]
        self._say("views", views, self.partChanged)
        path = next((one.path for one in found.images if one.camera == self._camera), "")
        self._say("source", f"image:{path}" if path else "", self.partChanged)
        self._say_overlay(found)

    def _say_overlay(self, found: PartFacts) -> None:
        view = found.views.get(self._camera) if self._overlay else None
        if view is not self._marked:
            self._marked = view
            self._said["marks"], self._said["heat"], self._cells = overlay_of(view, self._desk.words)
            self.overlayChanged.emit()
        self._say("overlay", self._overlay, self.overlayChanged)

    def _say_answer(self) -> None:
        words, draft = self._desk.words, self.session.draft
        if draft is None:
            return
        self._say("palette", saying.palette(draft, self._own_level(), words), self.answerChanged)
        self._say("answer", saying.answer_keys(draft, self._own_level(), words), self.answerChanged)
        self._say("details", saying.details(draft, words), self.answerChanged)
        self._say("choices", saying.choices(draft, words), self.choicesChanged)
        self.board.kind = draft.kind

    def _say_bound(self) -> None:
        last, now = self.session.undoable, self._desk.now()
        self._say("bound", self.session.bound, self.boundChanged)
        self._say("guard", guarded(self.session.showing, now), self.boundChanged)
        self._say("undo", saying.undo_key(last, now, self._desk.words), self.boundChanged)

    def _say(self, name: str, value: Any, signal: Any) -> None:
        if self._said[name] != value:
            self._said[name] = value
            signal.emit()

    def _told(kind: Any, name: str, signal: Signal) -> Property:  # noqa: N805  makes a property, is none
        return Property(kind, lambda view: view._said[name], notify=signal)  # noqa: SLF001

    tabs = _told("QVariantList", "tabs", workChanged)
    tab = _told(str, "tab", workChanged)
    state = _told(str, "state", workChanged)
    message = _told(str, "message", workChanged)
    progress = _told(str, "progress", workChanged)
    part = _told("QVariantMap", "part", partChanged)
    source = _told(str, "source", partChanged)
    views = _told("QVariantList", "views", partChanged)
    marks = _told("QVariantList", "marks", overlayChanged)
    heat = _told("QVariantMap", "heat", overlayChanged)
    overlay = _told(bool, "overlay", overlayChanged)
    palette = _told("QVariantList", "palette", answerChanged)
    answerKeys = _told("QVariantMap", "answer", answerChanged)  # noqa: N815
    details = _told("QVariantMap", "details", answerChanged)
    choices = _told("QVariantMap", "choices", choicesChanged)
    bound = _told(str, "bound", boundChanged)
    guard = _told(bool, "guard", boundChanged)
    undoKey = _told("QVariantMap", "undo", boundChanged)  # noqa: N815
    twins = _told("QVariantMap", "twins", twinsChanged)
    notices = _told("QVariantList", "notices", noticeChanged)
    camera = Property(str, lambda self: self._camera, notify=partChanged)
    cells = Property(QImage, lambda self: self._cells, notify=overlayChanged)
    drawingBoard = Property(QObject, lambda self: self.board, constant=True)  # noqa: N815
    del _told
