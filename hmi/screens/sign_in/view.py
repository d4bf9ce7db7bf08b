"""Let a person in by tile or badge and PIN; lock, leave, and change the own PIN."""

import secrets
from functools import partial
from typing import Any

from msgspec.structs import replace
from PySide6.QtCore import Property, QObject, Signal, Slot

from appliance.governance.credentials import SALT_BYTES, pin_fault, secret_of
from appliance.schema.command import ChangePerson
from appliance.schema.errors import ApplianceError
from appliance.schema.person import Person, Role, Secret
from hmi.desk import FOLDER, Desk
from hmi.screens.told import Told
from hmi.session import Answer
from hmi.signing_keys import KeyRing

ROLES = {
    Role.OPERATOR: "Operator",
    Role.LEAD: "Shift lead",
    Role.QUALITY: "Quality engineer",
    Role.MAINTENANCE: "Maintenance",
    Role.ADMIN: "Admin",
    Role.AUDITOR: "Auditor",
}
"""What the screen calls a role."""

LEFT = "{n} more wrong PINs, then this person waits"
STEPS = {"old": "Your present PIN", "new": "New PIN, 4 to 8 digits", "again": "The new PIN again"}


class SignInView(QObject):
    """Hold what the sign-in screen shows: `shown` has tiles, who is chosen, what is said, and the PIN's step."""

    def __init__(self, desk: Desk, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._desk = desk
        self._keys = KeyRing(desk.loaded.state / FOLDER)
        self._told = Told()
        self._chosen, self._why, self._answer = "", "", Answer(right=True)
        self._step, self._typed = "", {"old": "", "new": ""}
        self._busy = False
        self._show()

    cleared = Signal()
    """The pad is to be emptied."""

    changed = Signal()
    tilesChanged = Signal()  # noqa: N815  QML's way

    def _get_shown(self) -> dict[str, Any]:
        return self._told.texts

    def _get_tiles(self) -> list[Any]:
        return self._told.lists.get("tiles", [])

    shown = Property("QVariantMap", _get_shown, notify=changed)  # type: ignore[arg-type]
    tiles = Property("QVariantList", _get_tiles, notify=tilesChanged)  # type: ignore[arg-type]

    def enter(self) -> None:
        """Offer the PIN of whose session is locked, or of nobody."""
        resting = self._desk.session.resting
        self._chosen = resting.person if resting is not None else ""
        self._say("")
        self._desk.session.look()

    def leave(self) -> None:
        """Forget what was typed."""
        self._say("")
        self.cancel()

    def refresh(self) -> None:
        """Follow session, clock and language."""
        self._show()

    def badge(self, text: str) -> None:
        """Choose whose badge was read; the PIN is still to come."""
        found = self._desk.session.by_badge(text)
        if found is None:
            self._say("This badge is not known: tap your name, or see an admin")
            self._desk.note("badge_unknown", f"terminal {self._desk.terminal}")
        else:
            self.choose(found.person)

    @Slot(str)
    def choose(self, person: str) -> None:
        """Choose whose PIN comes next."""
        self._chosen = person
        self._say("")

    @Slot(str)
    def pin(self, text: str) -> None:
        """Take a PIN: of who is chosen, or the next one of a change."""
        self.cleared.emit()
        if self._step:
            self._give(text)
            return
        if not self._chosen:
            self._say("Tap your name or hold your badge to the reader first")
            return
        self._begin()
        self._desk.session.sign_in(self._chosen, text, self._answered)

    @Slot()
    def lock(self) -> None:
        """Lock the session until a PIN is given."""
        self._desk.session.lock()
        self.enter()

    @Slot()
    def signOut(self) -> None:  # noqa: N802  QML's way
        """Let nobody be signed in."""
        self._desk.session.sign_out()
        self.enter()

    @Slot()
    def startPin(self) -> None:  # noqa: N802  QML's way
        """Begin to change the own PIN."""
        self._step = "old"
        self._say("")

    @Slot()
    def cancel(self) -> None:
        """Leave the own PIN as it is."""
        self._step, self._typed = "", {"old": "", "new": ""}
        self._show()

    def _give(self, text: str) -> None:
        """Take the next PIN of the change: present, new, new again."""
        person = self._desk.session.person
        if person is None:
            self.cancel()
        elif self._step == "old":
            self._typed["old"] = text
            self._begin()
            self._desk.session.confirm(text, self._confirmed)
        elif self._step == "new":
            fault = pin_fault(text, person.person)
            self._typed["new"] = text
            self._step = "new" if fault else "again"
            self._say("This PIN is too easily guessed: no row, no repetition, no year" if fault else "")
        elif text != self._typed["new"]:
            self._step = "new"
            self._say("The two PINs differ: type the new one twice")
        else:
            self._begin()
            work = partial(_made, self._keys, person.person, self._typed["old"], text)
            self._desk.session.run(work, partial(self._keep, person))

    def _answered(self, answer: Answer) -> None:
        self._busy = False
        self._answer = answer
        self._say(answer.why)

    def _confirmed(self, answer: Answer) -> None:
        self._answered(answer)
        if answer.right:
            self._step = "new"
        elif self._desk.session.person is None:
            self.cancel()
        self._show()

    def _keep(self, person: Person, made: Secret | str) -> None:
        self._busy = False
        if isinstance(made, str):
            self._say(made)
            return
        now = self._desk.utc()
        wish = replace(person, event_id=self._desk.new_id(), secret=made, by=person.person, at=now)
        try:
            self._desk.put(ChangePerson(wish))
        except ApplianceError as error:
            self._say(str(error))
            return
        self.cancel()
        self._say("Your new PIN holds as soon as the station has recorded it")

    def _begin(self) -> None:
        self._busy = True
        self._say("")

    def _say(self, why: str) -> None:
        self._why = why
        if not why:
            self._answer = Answer(right=True)
        self._show()

    def _show(self) -> None:
        session, tr = self._desk.session, self._desk.words.tr
        wait, person = session.wait_s(self._chosen), session.person
        chosen = next((one for one in session.people() if one.person == self._chosen), None)
        left = self._answer.left if self._answer.why and not self._answer.wait_s else 0
        values = {
            "tiles": self._tiles(),
            "chosen": chosen.name if chosen is not None else "",
            "said": tr(self._why) if self._why else "",
            "left": tr(LEFT).format(n=left) if left else "",
            "wait": _minutes(wait),
            "busy": self._busy,
            "open": wait <= 0 and not self._busy,
            "name": person.name if person is not None else "",
            "role": tr(ROLES[person.role]) if person is not None else "",
            "resting": session.resting.name if session.resting is not None else "",
            "fault": session.fault,
            "ready": bool(self._chosen or self._step),
            "step": tr(STEPS[self._step]) if self._step else "",
        }
        lists = {"tiles": self.tilesChanged}
        self._told.take(values, self.changed, lists)

    def _tiles(self) -> list[list[dict[str, Any]]]:
        """Give the people in rows of two."""
        session, tr = self._desk.session, self._desk.words.tr
        tiles = [
            {
                "person": one.person,
                "name": one.name,
                "role": tr(ROLES[one.role]),
                "chosen": one.person == self._chosen,
                "here": one.person == session.who,
                "able": one.secret is not None,
            }
            for one in session.people()
        ]
        return [tiles[start : start + 2] for start in range(0, len(tiles), 2)]


def _made(keys: KeyRing, person: str, old: str, new: str) -> Secret | str:
    """Work out the new digest and close the person's key with it, on a worker thread; a text says what is wrong."""
    try:
        keys.close_anew(person, old, new)
    except (ApplianceError, OSError) as error:
        return str(error)
    return secret_of(new, secrets.token_bytes(SALT_BYTES))


def _minutes(seconds: float) -> str:
    """Write a time to wait as minutes and seconds; empty for none."""
    whole = int(-(-seconds // 1))
    return f"{whole // 60}:{whole % 60:02}" if whole > 0 else ""
