"""Take a person's decision on the part that waits at the line: parallel mode's manual entry. No Qt."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from appliance import __version__
from appliance.governance.rights import Right
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Reply, SubmitLabel
from appliance.schema.label import GOOD, Label, LabelLevel
from appliance.schema.part import PartId
from appliance.schema.policy import Mode
from hmi.labelling.taps import Showing, bind, guarded, meant, show
from hmi.screens.run import manual, wording
from hmi.screens.run.manual import Fate, ManualEntries
from hmi.screens.run.parts import named, readable
from hmi.state import SeenPart

BAD: Final = frozenset({Fate.REFUSED, Fate.UNANSWERED, Fate.LATE})


class ManualEntry:
    """Hold which part is asked about, since when its picture stands, and what was answered; one thread."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk
        self._showing = Showing()
        self._subject: PartId | None = None
        self._decisions: ManualEntries = {}
        self.palette = ""
        """What the tap on DEFECT was bound to, while its classes are shown."""

    def waiting(self) -> tuple[SeenPart, ...]:
        """Give the parts that a person must decide now, the oldest first."""
        self._decisions = manual.followed(self._decisions, self._desk.state)
        return manual.asked(self._desk.state, self._decisions)

    @property
    def asks(self) -> bool:
        """Whether a part is asked about now."""
        return self._subject is not None

    def turn_to(self, part: PartId | None) -> bool:
        """Ask about a part, or about none; False when this took away the part whose classes of defects were shown."""
        if part != self._subject:
            self._subject = part
            self._showing = show(self._showing, "", self._desk.now())
        if self.palette and not meant(self._showing, self.palette):
            self.palette = ""
            return False
        return True

    def appeared(self, part: str) -> None:
        """Note that the picture of a part stands on the screen: from now on a tap can mean it."""
        if self._subject is not None and part == str(self._subject) != self._showing.subject:
            self._showing = show(self._showing, part, self._desk.now())

    def hide(self) -> None:
        """Note that no picture stands on the screen."""
        self._showing = show(self._showing, "", self._desk.now())

    def open(self, bound: str) -> None:
        """Show the classes of defects for the part that was shown at press."""
        if meant(self._showing, bound):
            self.palette = bound

    def answer(self, bound: str, kind: str) -> bool:
        """Decide the part that was shown at press; False: nothing was meant."""
        part = self._subject
        if part is None or meant(self._showing, bound) != str(part):
            return False
        label = Label(
            self._desk.new_id(),
            part,
            LabelLevel.CONFIRM,
            self._desk.session.who,
            kind,
            (self._desk.now() - self._showing.since) / S,
            prediction_shown=False,
            at=self._desk.utc(),
            terminal=self._desk.terminal,
            software=f"firstshift {__version__}",
        )
        self._decisions, decision = manual.decide(self._decisions, label)
        self.palette = ""
        sent = decision.label
        self._desk.ask("record", SubmitLabel(sent), partial(self._answered, sent.label_id))
        return True

    def fields(self, now: HostNs, *, held: bool) -> dict[str, Any]:
        """Give what the screen shows of it; held: the person looks at another part."""
        words, waiting = self._desk.words, self.waiting()
        may = self._desk.session.may(Right.DECIDE)
        return {
            "on": self._desk.state.mode is Mode.PARALLEL,
            "bound": bind(self._showing, now),
            "guard": guarded(self._showing, now),
            "ready": may and bool(self._showing.subject),
            "reason": self._why_not(may=may, held=held, waiting=len(waiting)),
            "palette": self.palette,
            "waiting": words.tr("{n} parts wait").format(n=words.number(len(waiting))) if len(waiting) > 1 else "",
            "left": self._left(now, waiting),
        }

    def last(self) -> manual.ManualEntry | None:
        """Give the newest decision."""
        return next(iter(list(self._decisions.values())[::-1]), None)

    def last_fields(self, model: str) -> dict[str, Any]:
        """Give the newest decision, what became of it, and what the model said of that part once people may know."""
        last = self.last()
        if last is None:
            return {"shown": False, "part": "", "said": "", "fate": "", "bad": False, "why": "", "model": ""}
        words, kind = self._desk.words, last.label.kind
        return {
            "shown": True,
            "part": named(last.part, words),
            "said": words.tr("GOOD PART") if kind == GOOD else f"{words.tr('DEFECT')}: {readable(kind)}",
            "fate": words.tr(wording.FATE_SAYS[last.fate]),
            "bad": last.fate in BAD,
            "why": last.why if last.fate is Fate.REFUSED else "",
            "model": model,
        }

    def _answered(self, label_id: str, reply: Reply) -> None:
        self._decisions = manual.answered(self._decisions, label_id, reply)

    def _left(self, now: HostNs, waiting: Sequence[SeenPart]) -> str:
        """Say how long the part asked about can still be decided."""
        asked = next((one for one in waiting if one.part == self._subject), None)
        words = self._desk.words
        left = manual.left_s(asked, now) if asked is not None else 0.0
        return str(words.tr("{n} s left").format(n=words.number(left))) if asked is not None else ""

    def _why_not(self, *, may: bool, held: bool, waiting: int) -> str:
        words = self._desk.words
        if not may:
            return str(words.tr("Sign in to decide"))
        if held and waiting:
            return str(words.tr("Go back to live first"))
        if self._showing.subject:
            return ""
        return str(words.tr("The picture is coming") if waiting else words.tr("No part waits"))
