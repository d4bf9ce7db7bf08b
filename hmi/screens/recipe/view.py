"""Show what is in force and why, and let people approve, put in force and take back, with reason and PIN."""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.schema.clocks import HostNs, S
from appliance.schema.command import (
    Accepted,
    ActivateBundle,
    Command,
    PrepareRecipe,
    RefusedReply,
    Reply,
    RollbackBundle,
    StageBundle,
)
from appliance.schema.errors import StoreError
from appliance.schema.health import Component
from hmi.desk import FOLDER, Desk
from hmi.screens.recipe import listing
from hmi.screens.recipe.deeds import Deed, Done, do
from hmi.screens.recipe.listing import KINDS
from hmi.screens.recipe.standing import Reader, Standing
from hmi.screens.told import Told
from hmi.session import Answer
from hmi.signing_keys import KeyRing

READ_NS: Final = 3 * S
"""Time between two looks at the files while they show."""

TABS: Final = {"force": "In force", "versions": "Versions", "model": "Model", "recipes": "Recipes"}
REASONS: Final = (
    "As agreed at the shift meeting",
    "Better figures on the same parts",
    "Too many good parts are rejected",
    "Defective parts get through",
    "Fault after the last change",
    "Change of product",
)


class RecipeView(QObject):
    """Hold what the recipe screen shows: a tab's list, the lines of what is chosen, its keys, and a deed on its way."""

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._keys = KeyRing(desk.loaded.state / FOLDER)
        self._reader = Reader()
        self._told = Told()
        self._found: Standing | None = None
        self._has_key = False
        self._fault = ""
        self._read_at = HostNs(0)
        self._tab = "force"
        self._chosen = dict.fromkeys(TABS, "")
        self._deed: Deed | None = None
        self._panel, self._said, self._why, self._pin = "", "", "", ""
        self._good, self._busy = True, False
        self._show()

    cleared = Signal()
    """The pads are to be emptied."""

    changed = Signal()
    tabsChanged = Signal()  # noqa: N815  QML's way
    rowsChanged = Signal()  # noqa: N815  QML's way
    linesChanged = Signal()  # noqa: N815  QML's way
    deedsChanged = Signal()  # noqa: N815  QML's way
    meansChanged = Signal()  # noqa: N815  QML's way
    reasonsChanged = Signal()  # noqa: N815  QML's way

    def _get_shown(self) -> dict[str, Any]:
        return self._told.texts

    def _get_tabs(self) -> list[Any]:
        return self._told.lists.get("tabs", [])

    def _get_rows(self) -> list[Any]:
        return self._told.lists.get("rows", [])

    def _get_lines(self) -> list[Any]:
        return self._told.lists.get("lines", [])

    def _get_deeds(self) -> list[Any]:
        return self._told.lists.get("deeds", [])

    def _get_means(self) -> list[Any]:
        return self._told.lists.get("means", [])

    def _get_reasons(self) -> list[Any]:
        return self._told.lists.get("reasons", [])

    shown = Property("QVariantMap", _get_shown, notify=changed)  # type: ignore[arg-type]
    tabs = Property("QVariantList", _get_tabs, notify=tabsChanged)  # type: ignore[arg-type]
    rows = Property("QVariantList", _get_rows, notify=rowsChanged)  # type: ignore[arg-type]
    lines = Property("QVariantList", _get_lines, notify=linesChanged)  # type: ignore[arg-type]
    deeds = Property("QVariantList", _get_deeds, notify=deedsChanged)  # type: ignore[arg-type]
    means = Property("QVariantList", _get_means, notify=meansChanged)  # type: ignore[arg-type]
    reasons = Property("QVariantList", _get_reasons, notify=reasonsChanged)  # type: ignore[arg-type]

    def enter(self) -> None:
        """Read the files anew."""
        self._read_at, self._said = HostNs(0), ""
        self.refresh()

    def leave(self) -> None:
        """Forget what was about to be done."""
        self.back()

    def refresh(self) -> None:
        """Follow files, services and language."""
        now = self._desk.now()
        if now >= self._read_at:
            self._read_at = HostNs(now + READ_NS)
            self._desk.query(self._question(), self._took)
        self._show()

    @Slot(str)
    def openTab(self, name: str) -> None:  # noqa: N802  QML's way
        """Show another list."""
        self._tab, self._said = name, ""
        self._show()

    @Slot(str)
    def choose(self, name: str) -> None:
        """Show the lines of a row."""
        self._chosen[self._tab], self._said = name, ""
        self._show()

    @Slot(str)
    def begin(self, kind: str) -> None:
        """Begin a deed: first its reason, then the PIN."""
        if self._desk.session.demand(KINDS[kind].right):
            self._deed = Deed(kind, self._subject(kind))
            self._open("reason")

    @Slot(str)
    def reason(self, text: str) -> None:
        """Take the reason; empty: it is to be typed."""
        if self._deed is not None:
            self._deed = Deed(self._deed.kind, self._deed.subject, text.strip())
            self._open("confirm" if text.strip() else "words")

    @Slot(str)
    def give(self, pin: str) -> None:
        """Take the PIN of who does it."""
        self.cleared.emit()
        if self._deed is not None and not self._busy:
            self._busy, self._pin = True, pin
            self._desk.session.confirm(pin, self._confirmed)
        self._show()

    @Slot()
    def back(self) -> None:
        """Change nothing."""
        self._deed, self._pin = None, ""
        self._open("")

    def _question(self) -> Callable[[sqlite3.Connection | None], tuple[Standing | str, bool]]:
        """Give what a worker thread is to read; it holds nothing of Qt's, whose objects belong to the GUI's thread."""
        bundle, who = listing.active(self._judge()), self._desk.session.who
        return partial(_read, self._reader, self._keys, self._desk.loaded.path, bundle, who)

    def _took(self, read: tuple[Standing | str, bool] | StoreError) -> None:
        if isinstance(read, StoreError):  # the record is not there; the files are
            self._desk.session.run(partial(self._question(), None), self._took)
            return
        found, self._has_key = read
        self._found, self._fault = (None, found) if isinstance(found, str) else (found, "")
        self._show()

    def _judge(self) -> tuple[Component, ...]:
        """Give what `judge` says of itself; nothing while it is silent."""
        judge = self._desk.state.services.get("judge")
        return () if judge is None or judge.absent or judge.health is None else judge.health.components

    def _confirmed(self, answer: Answer) -> None:
        pin, self._pin = self._pin, ""
        deed, person = self._deed, self._desk.session.person
        if not answer.right or deed is None or person is None:
            self._busy, self._why = False, answer.why
            if person is None:
                self.back()
            self._show()
            return
        if not self._desk.session.demand(KINDS[deed.kind].right):
            self._finish(deed, Done(good=False, said="not allowed"))
            return
        unit = KINDS[deed.kind].unit
        if unit:
            self._desk.ask(unit, _wish(deed, person.person), partial(self._answered, deed))
            return
        work = partial(do, deed, self._desk.loaded.path, person, pin, self._keys, self._desk.utc())
        self._desk.session.run(work, partial(self._finish, deed))

    def _answered(self, deed: Deed, reply: Reply) -> None:
        if isinstance(reply, Accepted):
            self._finish(deed, Done(good=True, said=reply.detail or "accepted", after=deed.subject))
        elif isinstance(reply, RefusedReply):
            self._finish(deed, Done(good=False, said=reply.reason, after=deed.subject))

    def _finish(self, deed: Deed, done: Done) -> None:
        """Say what came of it, and put the person's reason into the audit chain."""
        outcome = "done" if done.good else "refused"
        after = f"{done.after or deed.subject}: {deed.why}" if done.good else f"{done.said} ({deed.why})"
        self._desk.note(f"{deed.kind}_{outcome}", f"{KINDS[deed.kind].unit or 'recipe'}", done.before, after)
        self._busy, self._deed = False, None
        self._good, self._said = done.good, done.said
        self._read_at = HostNs(0)
        self._open("")

    def _subject(self, kind: str) -> str:
        """Name what a deed is about: the chosen row, or nothing for what needs no name."""
        if kind in ("roll_back", "roll_back_bundle", "make_key"):
            return ""
        chosen = self._chosen[self._tab]
        others = self._found.others if kind == "change_over" and self._found is not None else ()
        return next((str(one.recipe.number) for one in others if one.file == chosen and one.recipe is not None), chosen)

    def _open(self, panel: str) -> None:
        self._panel, self._why = panel, ""
        self.cleared.emit()
        self._show()

    def _show(self) -> None:
        tr = self._desk.words.tr
        sight = self._sight()
        rows = listing.rows(sight, self._desk.words) if sight is not None else []
        if sight is not None and rows and not any(row["chosen"] for row in rows):
            self._chosen[self._tab] = rows[0]["name"]
            sight = self._sight()
            rows = listing.rows(sight, self._desk.words) if sight is not None else []
        deed = self._deed
        wait = self._desk.session.wait_s(self._desk.session.who) if deed is not None else 0.0
        values = {
            "tab": self._tab,
            "tabs": [{"name": name, "text": tr(text)} for name, text in TABS.items()],
            "rows": rows,
            "title": next((row["text"] for row in rows if row["chosen"]), ""),
            "lines": listing.lines(sight, self._desk.words) if sight is not None else [],
            "deeds": listing.keys(sight, self._desk.words) if sight is not None and not self._busy else [],
            "fault": self._fault,
            "said": self._said,
            "good": self._good,
            "panel": self._panel,
            "deed": self._deed_title(),
            "means": self._deed_lines(sight),
            "reasons": [tr(text) for text in REASONS],
            "why": tr(self._why) if self._why else "",
            "wait": f"{int(wait) // 60}:{int(wait) % 60:02}" if wait > 0 else "",
            "busy": self._busy,
        }
        lists = {
            "tabs": self.tabsChanged,
            "rows": self.rowsChanged,
            "lines": self.linesChanged,
            "deeds": self.deedsChanged,
            "means": self.meansChanged,
            "reasons": self.reasonsChanged,
        }
        self._told.take(values, self.changed, lists)

    def _deed_title(self) -> str:
        if self._deed is None:
            return ""
        title = self._desk.words.tr(KINDS[self._deed.kind].text)
        chosen = self._told.texts.get("title", "")
        return f"{title}: {chosen}" if self._deed.subject and chosen else title

    def _deed_lines(self, sight: listing.Sight | None) -> list[str]:
        """Say what the PIN will stand for: the reason, what a signature means, and what lies before the person."""
        deed, tr = self._deed, self._desk.words.tr
        if deed is None or sight is None:
            return []
        meaning = listing.meaning(sight) if deed.kind == "approve" else ""
        before = [line["text"] for line in listing.lines(sight, self._desk.words)] if deed.subject else []
        signs = [f"{tr('Your signature says')}: {meaning}"] if meaning else []
        return [f"{tr('Reason')}: {deed.why}", *signs, *before]

    def _sight(self) -> listing.Sight | None:
        if self._found is None:
            return None
        line, person = self._desk.state.line, self._desk.session.person
        return listing.Sight(
            self._found,
            self._tab,
            self._chosen[self._tab],
            person,
            self._has_key and person is not None,
            self._judge(),
            line.recipe_sha256 if line is not None else "",
        )


def _read(
    reader: Reader, keys: KeyRing, station: Path, bundle: str, who: str, connection: sqlite3.Connection | None
) -> tuple[Standing | str, bool]:
    """Read files and sticks: how things stand, and whether a person's key is there."""
    return reader.read(connection, station, bundle), bool(who) and keys.find(who) is not None


def _wish(deed: Deed, actor: str) -> Command:
    """Give the wish that a unit is asked for."""
    match deed.kind:
        case "change_over":
            return PrepareRecipe(int(deed.subject), actor)
        case "stage":
            return StageBundle(deed.subject, actor)
        case "activate_bundle":
            return ActivateBundle(deed.subject, actor)
    return RollbackBundle(actor)
