"""Let an admin enrol, change and disable people; each change needs the admin's PIN and goes through the outbox."""

import secrets
from functools import partial
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.governance.credentials import SALT_BYTES, badge_digest, pin_fault, secret_of
from appliance.governance.rights import Right, highest_level
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import ChangePerson
from appliance.schema.errors import ApplianceError, StoreError
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role, Secret
from hmi.desk import Desk
from hmi.screens.people.roster import Roster, blank, draft_fault, read, same, with_role
from hmi.screens.sign_in.view import ROLES
from hmi.screens.told import Told
from hmi.session import Answer
from hmi.words import LANGUAGES

READ_NS = 2 * S
"""Time between two looks at the list while it shows."""

LEVELS = {
    LabelLevel.CONFIRM: "1: good, defect or unsure",
    LabelLevel.CLASSIFY: "2: class and region",
    LabelLevel.EXPERT: "3: outline, severity, cause",
}
TITLES = {
    "name": "Name on the screen",
    "person": "Operator id, as records name the person",
    "role": "Role",
    "level": "Highest level of labelling",
    "language": "Language of the screen",
    "badge": "Hold the new badge to the reader",
    "pin": "New PIN",
    "confirm": "Confirm with your own PIN",
}
PIN_STEPS = {"new": "New PIN, 4 to 8 digits", "again": "The new PIN again"}
EASY = "This PIN is too easily guessed: no row, no repetition, no year"


class PeopleView(QObject):
    """Hold what the people screen shows: the list, the draft of one person, and the panel over it."""

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._told = Told()
        self._roster = Roster({}, {})
        self._read_at = HostNs(0)
        self._draft: Person | None = None
        self._new = False
        self._panel, self._why, self._typed, self._sent = "", "", "", ""
        self._busy = False
        self._show()

    cleared = Signal()
    """The pads are to be emptied."""

    changed = Signal()
    peopleChanged = Signal()  # noqa: N815  QML's way
    fieldsChanged = Signal()  # noqa: N815  QML's way
    optionsChanged = Signal()  # noqa: N815  QML's way
    linesChanged = Signal()  # noqa: N815  QML's way

    def _get_shown(self) -> dict[str, Any]:
        return self._told.texts

    def _get_people(self) -> list[Any]:
        return self._told.lists.get("people", [])

    def _get_fields(self) -> list[Any]:
        return self._told.lists.get("fields", [])

    def _get_options(self) -> list[Any]:
        return self._told.lists.get("options", [])

    def _get_lines(self) -> list[Any]:
        return self._told.lists.get("lines", [])

    shown = Property("QVariantMap", _get_shown, notify=changed)  # type: ignore[arg-type]
    people = Property("QVariantList", _get_people, notify=peopleChanged)  # type: ignore[arg-type]
    fields = Property("QVariantList", _get_fields, notify=fieldsChanged)  # type: ignore[arg-type]
    options = Property("QVariantList", _get_options, notify=optionsChanged)  # type: ignore[arg-type]
    lines = Property("QVariantList", _get_lines, notify=linesChanged)  # type: ignore[arg-type]

    def enter(self) -> None:
        """Read the list anew."""
        self._read_at = HostNs(0)
        self.refresh()

    def leave(self) -> None:
        """Forget what was being changed."""
        self.discard()

    def refresh(self) -> None:
        """Follow the record, the outbox and the language."""
        now = self._desk.now()
        if now >= self._read_at and self._desk.session.may(Right.CHANGE_PEOPLE):
            self._read_at = HostNs(now + READ_NS)
            self._desk.query(read, self._took)
        self._show()

    def scanned(self, text: str) -> None:
        """Take a badge where one is asked for."""
        if self._panel == "badge" and self._draft is not None:
            self._alter(badge_sha256=badge_digest(text))

    @Slot(str)
    def choose(self, person: str) -> None:
        """Take a person up for a change."""
        self._draft, self._new = self._roster.people.get(person), False
        self._open("")

    @Slot()
    def enrol(self) -> None:
        """Begin with a new person."""
        self._draft, self._new = blank(self._desk.session.who, str(self._desk.words.language)), True
        self._open("person")

    @Slot(str)
    def edit(self, field: str) -> None:
        """Open the panel in which a field is changed."""
        if self._draft is not None:
            self._typed = ""
            self._open(field)

    @Slot(str)
    def give(self, text: str) -> None:
        """Take what a panel was given."""
        self.cleared.emit()
        if self._draft is None:
            return
        if self._panel == "pin":
            self._give_pin(text)
        elif self._panel == "confirm":
            self._busy = True
            self._desk.session.confirm(text, self._confirmed)
        else:
            self._give_field(text)
        self._show()

    @Slot()
    def stand(self) -> None:
        """Disable the person, or let the person in again."""
        if self._draft is not None:
            self._alter(active=not self._draft.active)

    @Slot()
    def save(self) -> None:
        """Ask for the admin's PIN, unless the draft cannot be kept."""
        if self._draft is None or not self._desk.session.demand(Right.CHANGE_PEOPLE):
            return
        self._draft = replace(self._draft, by=self._desk.session.who)
        self._why = draft_fault(self._roster.people, self._draft, new=self._new)
        self._panel = "" if self._why else "confirm"
        self._show()

    @Slot()
    def back(self) -> None:
        """Leave the panel; the draft stays."""
        self._typed = ""
        self._open("")

    @Slot()
    def discard(self) -> None:
        """Forget the draft."""
        self._draft, self._typed = None, ""
        self._open("")

    def _give_field(self, text: str) -> None:
        """Take a field that is typed or chosen; a new person's name is asked for after the id."""
        match self._panel:
            case "person":
                self._alter(person=text.strip())
                if self._new and self._draft is not None and not self._draft.name:
                    self._open("name")
            case "name":
                self._alter(name=text.strip())
            case "role" if self._draft is not None:
                self._draft = with_role(self._draft, Role(text), highest_level(Role(text)))
                self._open("")
            case "level":
                self._alter(level=LabelLevel(int(text)))
            case "language":
                self._alter(language=text)
            case "badge":
                self._alter(badge_sha256="")

    def _give_pin(self, text: str) -> None:
        """Take a new PIN twice; it is typed by whose it is."""
        draft = self._draft
        if draft is None:
            return
        if not self._typed:
            fault = pin_fault(text, draft.person)
            self._why, self._typed = (EASY, "") if fault else ("", text)
        elif text != self._typed:
            self._why, self._typed = "The two PINs differ: type the new one twice", ""
        else:
            self._typed, self._busy = "", True
            self._desk.session.run(partial(secret_of, text, secrets.token_bytes(SALT_BYTES)), self._made)

    def _made(self, secret: Secret) -> None:
        self._busy = False
        if self._draft is not None:
            self._alter(secret=secret)

    def _confirmed(self, answer: Answer) -> None:
        self._busy = False
        if not answer.right or self._draft is None:
            self._why = answer.why
            self._show()
            return
        wish = replace(self._draft, event_id=self._desk.new_id(), at=self._desk.utc())
        try:
            self._sent = self._desk.put(ChangePerson(wish))
        except ApplianceError as error:
            self._why = str(error)
            self._show()
            return
        self._new = False
        self._open("")

    def _took(self, found: Roster | StoreError) -> None:
        if isinstance(found, StoreError):
            self._why = str(found)
        else:
            self._roster = found
        self._show()

    def _alter(self, **fields: Any) -> None:
        if self._draft is not None:
            self._draft = replace(self._draft, **fields)
        self._open("")

    def _open(self, panel: str) -> None:
        self._panel, self._why = panel, ""
        self.cleared.emit()
        self._show()

    def _show(self) -> None:
        draft = self._draft_fields()
        values = {"people": self._rows(), **draft, **self._panel_fields(draft["fields"])}
        lists = {
            "people": self.peopleChanged,
            "fields": self.fieldsChanged,
            "options": self.optionsChanged,
            "lines": self.linesChanged,
        }
        self._told.take(values, self.changed, lists)

    def _rows(self) -> list[dict[str, Any]]:
        words, chosen = self._desk.words, self._draft.person if self._draft is not None else ""
        rows = []
        for one in sorted(self._roster.people.values(), key=lambda one: (not one.active, one.name.casefold())):
            seen = self._roster.seen.get(one.person)
            last = words.moment(seen) if seen is not None else words.tr("never signed in")
            rows.append(
                {
                    "person": one.person,
                    "name": one.name,
                    "detail": f"{one.person} · {words.tr(ROLES[one.role])} · {int(one.level)}",
                    "last": last if one.active else words.tr("disabled"),
                    "icon": "person" if one.active and one.secret else "lock" if one.active else "slash-circle",
                    "chosen": one.person == chosen,
                }
            )
        return rows

    def _draft_fields(self) -> dict[str, Any]:
        tr, draft = self._desk.words.tr, self._draft
        if draft is None:
            return {"open": False, "title": "", "fields": [], "standing": "", "active": True, "changed": False}
        own = draft.person == self._desk.session.who and not self._new
        values = {
            "person": draft.person or "-",
            "name": draft.name or "-",
            "role": tr(ROLES[draft.role]),
            "level": tr(LEVELS[draft.level]),
            "language": LANGUAGES.get(draft.language, draft.language),
            "badge": tr("registered") if draft.badge_sha256 else tr("none"),
            "pin": tr("set") if draft.secret is not None else tr("none"),
        }
        captions = {"person": "Operator id", "name": "Name", "role": "Role", "level": "Level", "language": "Language"}
        captions |= {"badge": "Badge", "pin": "PIN"}
        before = self._roster.people.get(draft.person)
        return {
            "open": True,
            "title": tr("New person") if self._new else draft.name,
            "fields": [
                {
                    "name": name,
                    "caption": tr(captions[name]),
                    "value": value,
                    "able": self._able(name, own=own),
                }
                for name, value in values.items()
            ],
            "standing": self._standing(),
            "active": draft.active,
            "changed": self._new or not same(before, draft),
        }

    def _able(self, field: str, *, own: bool) -> bool:
        """Say whether a field may be changed: the id for ever names one person, and nobody changes himself here."""
        return not own and (field != "person" or self._new)

    def _standing(self) -> str:
        """Say what becomes of the last change that was sent."""
        tr = self._desk.words.tr
        for entry in (*self._desk.pending(), *self._desk.refused()):
            if entry.id == self._sent:
                refused = entry.state == "refused"
                return f"{tr('Refused')}: {entry.reason}" if refused else tr("Sent: waits for the station to record it")
        return tr("Recorded") if self._sent else ""

    def _panel_fields(self, fields: list[dict[str, Any]]) -> dict[str, Any]:
        tr, draft = self._desk.words.tr, self._draft
        options: list[dict[str, Any]] = []
        lines: list[str] = []
        if draft is not None and self._panel == "role":
            options = [{"name": role.value, "text": tr(ROLES[role]), "chosen": role is draft.role} for role in Role]
        elif draft is not None and self._panel == "level":
            highest = highest_level(draft.role)
            options = [
                {"name": str(int(level)), "text": tr(LEVELS[level]), "chosen": level is draft.level}
                for level in LabelLevel
                if level <= highest
            ]
        elif draft is not None and self._panel == "language":
            options = [{"name": k, "text": text, "chosen": k == draft.language} for k, text in LANGUAGES.items()]
        elif draft is not None and self._panel == "confirm":
            lines = [f"{field['caption']}: {field['value']}" for field in fields]
            lines.append(f"{tr('Standing')}: {tr('active') if draft.active else tr('disabled')}")
        elif draft is not None and self._panel == "pin":
            lines = [tr("{name} types the PIN; nobody else looks").format(name=draft.name)]
        step = PIN_STEPS["again" if self._typed else "new"] if self._panel == "pin" else "Your PIN"
        return {
            "panel": self._panel,
            "panelTitle": tr(TITLES[self._panel]) if self._panel else "",
            "options": options,
            "lines": lines,
            "step": tr(step),
            "wait": _minutes(self._desk.session.wait_s(self._desk.session.who)) if self._panel == "confirm" else "",
            "said": tr(self._why) if self._why else "",
            "busy": self._busy,
        }


def _minutes(seconds: float) -> str:
    whole = int(-(-seconds // 1))
    return f"{whole // 60}:{whole % 60:02}" if whole > 0 else ""
