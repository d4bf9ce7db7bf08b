"""Lead one person through the work: what is shown, what a touch says of it, what is sent and may still be taken back.

No Qt, no clock, no store of its own. What it is given to work with is `Outlet`; the desk of the touchscreen is one.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from appliance.labelling.queue import Task
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.command import SubmitLabel
from appliance.schema.label import Label, LabelLevel, Purpose, Shown
from hmi.labelling import lineup as order
from hmi.labelling import taps, timing
from hmi.labelling.draft import Draft, label_of, missing, say
from hmi.labelling.drawing import Drawing
from hmi.labelling.lineup import Key, Lineup, Tab
from hmi.labelling.taps import Showing

UNDO_S = 10.0
"""Time for which an answer can be taken back; it is held at the touchscreen that long."""

MOST_SENT = 20
"""Answers kept for undo: more than a person gives within `UNDO_S`."""


class Outlet(Protocol):
    """What a session sends through and reads time from."""

    terminal: str

    def now(self) -> HostNs:
        """Give host time."""
        ...

    def utc(self) -> UtcNs:
        """Give the time of day."""
        ...

    def new_id(self) -> str:
        """Give a UUID version 7."""
        ...

    def put(self, command: SubmitLabel, hold_s: float = 0.0) -> str:
        """Keep a wish until it is answered, held back so long; its id once it is on the disk."""
        ...

    def withdraw(self, entry: str) -> bool:
        """Take a wish back; False: it is on its way already."""
        ...


class Sent(Struct, frozen=True):
    """Hold an answer that may still be taken back."""

    entry: str
    """Its id in the outbox."""
    label: Label
    draft: Draft
    at: HostNs


class LabellingSession:
    """Hold the work of the person who is signed in; one thread, never blocks but for the outbox's disk."""

    def __init__(self, outlet: Outlet, software: str) -> None:
        """software: version that stands in the labels."""
        self._outlet = outlet
        self._software = software
        self._person = ""
        self._wanted: tuple[Task, Draft | None] | None = None
        self._sent: tuple[Sent, ...] = ()
        self.level = LabelLevel.CONFIRM
        self.lineup = Lineup()
        self.tab: Tab | None = None
        self.task: Task | None = None
        self.draft: Draft | None = None
        self.showing = Showing()

    def sign(self, person: str, level: LabelLevel) -> None:
        """Take who works; another person starts with nothing of the one before."""
        if (person, level) == (self._person, self.level):
            return
        self._person, self.level = person, level
        self.lineup, self.tab, self._wanted = Lineup(), None, None
        self.drop()

    def offer(self, tasks: Sequence[Task], sent: frozenset[Key]) -> bool:
        """Take the work as it stands now; False when what is open was taken away by it, and is dropped.

        sent: answers that the outbox still holds. Label-only work that is open stays, whatever waits meanwhile.
        """
        self.lineup = order.renewed(self.lineup, tasks, sent)
        task = self.task
        if task is None or task.purpose is not Purpose.REVIEW or order.key_of(task) in self._offered():
            return True
        self.drop()
        return False

    def choose(self, tab: Tab) -> None:
        """Turn to another queue; what is open goes back unless it belongs there."""
        self.tab = tab
        if self.task is None or order.tab_of(self.task) is not tab:
            self.drop()

    def next(self) -> Task | None:
        """Open the next piece of work; None when there is none. What is open stays."""
        if self.task is None:
            self.task = self._wanted[0] if self._wanted else order.first(self.lineup, self.tab)
        return self.task

    def want(self, task: Task) -> None:
        """Open this before anything else, as when a part was found by its serial."""
        self.drop()
        self._wanted = (task, None)

    def begin(self, shown: Shown | None, classes: Sequence[str], drawings: Sequence[Drawing]) -> None:
        """Take what is known of the open part; its picture is not on the screen yet."""
        if self.task is None:
            return
        back = self._wanted[1] if self._wanted and self._wanted[0] == self.task else None
        watch = timing.pause(timing.start(self.task.level, self._outlet.now()), self._outlet.now())
        fresh = Draft(self.task, self.task.level, watch, shown, tuple(classes), tuple(drawings))
        self.draft = replace(back, watch=timing.pause(back.watch, self._outlet.now())) if back else fresh

    def appeared(self) -> None:
        """Take that the open part's picture is on the screen: its time runs, touches begin to mean it."""
        if self.task is not None and self.draft is not None and not self.showing.subject:
            now = self._outlet.now()
            self.showing = taps.show(self.showing, str(self.task.part), now)
            self.draft = replace(self.draft, watch=timing.resume(self.draft.watch, now))

    def hide(self) -> None:
        """Take that the picture is not seen for now: another screen, a locked session."""
        self.showing = taps.show(self.showing, "", self._outlet.now())
        if self.draft is not None:
            self.draft = replace(self.draft, watch=timing.pause(self.draft.watch, self._outlet.now()))

    def drop(self) -> None:
        """Put the open part back unanswered."""
        self.hide()
        self.task = self.draft = None

    @property
    def bound(self) -> str:
        """What a press means now; empty: nothing."""
        return taps.bind(self.showing, self._outlet.now())

    def change(self, draft: Draft) -> None:
        """Take the draft after a touch that is no answer: a mark, a comment, a severity."""
        self.draft = replace(draft, watch=timing.touch(draft.watch, self._outlet.now()))

    def answer(self, bound: str, what: str) -> bool:
        """Take a touch on a key; True when it was an answer, which is on the disk by then. StoreError: it is not.

        bound: what the press was bound to.
        """
        if self.draft is None or not taps.meant(self.showing, bound):
            return False
        draft, kind = say(self.draft, what)
        self.change(draft)
        return bool(kind) and self._send(kind)

    def save(self, bound: str) -> bool:
        """Take a touch on SAVE; True when the answer is on the disk."""
        if self.draft is None or not taps.meant(self.showing, bound) or missing(self.draft):
            return False
        return self._send(self.draft.kind)

    def skip(self, bound: str) -> bool:
        """Put the open part behind the others; True when it was."""
        if self.task is None or not taps.meant(self.showing, bound):
            return False
        self.lineup = order.skipped(self.lineup, self.task)
        self._wanted = None
        self.drop()
        return True

    @property
    def undoable(self) -> Sent | None:
        """The newest answer that can still be taken back, by the person who gave it."""
        last = next((sent for sent in reversed(self._sent) if sent.label.person == self._person), None)
        return last if last is not None and self._outlet.now() - last.at < UNDO_S * S else None

    def undo(self) -> bool:
        """Take the newest answer back and open its part again, as it was; False when it is on its way already."""
        last = self.undoable
        if last is None:
            return False
        self._sent = tuple(sent for sent in self._sent if sent is not last)
        if not self._outlet.withdraw(last.entry):
            return False
        self.lineup = order.returned(self.lineup, order.key_of(last.draft.task))
        self.drop()
        self._wanted = (last.draft.task, replace(last.draft, asks_kind=False))
        return True

    def refused(self, label: Label) -> None:
        """Offer a part again whose answer was refused."""
        self.lineup = order.returned(self.lineup, (label.part, label.purpose))

    def _send(self, kind: str) -> bool:
        draft, now = self.draft, self._outlet.now()
        if draft is None:
            return False
        label = label_of(
            draft, kind, self._outlet.new_id(), self._person, now, self._outlet.utc(), self._outlet.terminal,
            self._software,
        )  # fmt: skip
        entry = self._outlet.put(SubmitLabel(label), hold_s=UNDO_S)
        self._sent = (*self._sent, Sent(entry, label, draft, now))[-MOST_SENT:]
        self.lineup = order.answered(self.lineup, draft.task)
        self._wanted = None
        self.drop()
        return True

    def _offered(self) -> set[Key]:
        wanted = {order.key_of(self._wanted[0])} if self._wanted else set()
        return wanted | {order.key_of(task) for task in order.in_order(self.lineup)}
