"""Say who may wish for what, and keep the list of people and what they did; part of `record`.

While nobody is enrolled everybody may wish, as the command line of a new station does.
"""

from typing import TypeVar

from msgspec import Struct

from appliance.governance.rights import RIGHTS, Right, change_fault, label_right, may
from appliance.monitoring.alarm_states import refusal
from appliance.schema.audit import AuditRequest
from appliance.schema.command import (
    ChangePerson,
    DecidePart,
    FreezeSnapshot,
    NoteAlarm,
    NoteDeed,
    QuarantinePart,
    ReinspectPart,
    SeedPart,
    SubmitLabel,
)
from appliance.schema.errors import Refused
from appliance.schema.health import AlarmDeed
from appliance.schema.label import Purpose
from appliance.schema.person import Person, Role
from appliance.schema.topics import AUDIT
from appliance.services._review_desk import RECORD, STEPS, Deed, check_word
from appliance.storage import alarm_queries, people_queries
from appliance.storage.record_store import RecordStore

LONGEST_TEXT = 4000
"""Characters of what an entry of the audit chain says was before and after."""

OWN_ACTIONS = ("seed_announced", "part_seeded", "recipe_")
"""What entries of the audit chain begin with that are read back as facts; nobody else may write them."""

_ALARM_RIGHTS = {
    AlarmDeed.ACKNOWLEDGED: Right.ACKNOWLEDGE,
    AlarmDeed.SHELVED: Right.SHELVE,
    AlarmDeed.UNSHELVED: Right.SHELVE,
    AlarmDeed.OUT_OF_SERVICE: Right.OUT_OF_SERVICE,
    AlarmDeed.IN_SERVICE: Right.OUT_OF_SERVICE,
}

_Known = TypeVar("_Known", bound=Struct)

Asked = DecidePart | SubmitLabel | SeedPart | QuarantinePart | ReinspectPart | NoteAlarm | FreezeSnapshot
"""Wishes that need a right."""


class PeopleDesk:
    """Hold nothing: who the people are is asked of the store each time. One thread; blocks on the store alone."""

    def __init__(self, store: RecordStore) -> None:
        """Take the store that holds the list."""
        self._store = store

    def check(self, wish: Asked) -> Person | None:
        """Give who wishes, None while nobody is enrolled; Refused where that person may not."""
        if not self._store.ask(people_queries.enrolled):
            return None
        operator = _operator(wish)
        found = self._store.ask(lambda held: people_queries.person(held, operator))
        for right in _needed(wish):
            check_right(operator, found, right)
        return found

    def change(self, wish: ChangePerson) -> Deed:
        """Say what a change of the list leads to: the person's new statement, and an entry without name or secret."""
        person = wish.person
        _check_person(person)
        if _is_known(self._store.ask(lambda held: people_queries.event(held, person.event_id)), person):
            return Deed(detail=f"{person.person} was kept already")
        known = {one.person: one for one in self._store.ask(people_queries.people)}
        fault = change_fault(known, person)
        if not fault and not known and not (person.role is Role.ADMIN and person.active):
            fault = f"{person.person}: the first person is an active admin, is {_duty(person)}; enrol an admin first"
        if fault:
            raise Refused(fault)
        before = known.get(person.person)
        action = "person_changed" if before is not None else "person_enrolled"
        was = _duty(before) if before is not None else ""
        note = AuditRequest(person.by, action, person.person, was, _duty(person) + _renewed(before, person))
        return Deed(((STEPS, person), (AUDIT + RECORD, note)), (), f"{person.person} is {_duty(person)}")

    def note_alarm(self, wish: NoteAlarm) -> Deed:
        """Say what a deed about an alarm leads to."""
        step = wish.step
        for name, word in (("id", step.step_id), ("person", step.person), ("unit", step.unit), ("kind", step.kind)):
            check_word(name, word)
        if step.why:
            check_word("reason", step.why, LONGEST_TEXT)
        if step.deed is AlarmDeed.SHELVED and step.until <= step.at:
            raise Refused(f"alarm {step.unit} {step.kind}: shelved until {step.until}, before {step.at}; name an end")
        if fault := refusal(step):
            raise Refused(fault)
        if _is_known(self._store.ask(lambda held: alarm_queries.step(held, step.step_id)), step):
            return Deed(detail=f"{step.deed.value} was kept already")
        note = AuditRequest(step.person, f"alarm_{step.deed.value}", f"{step.unit} {step.kind}", "", step.why)
        return Deed(((STEPS, step), (AUDIT + RECORD, note)), (), f"{step.unit} {step.kind}: {step.deed.value}")

    def note_deed(self, wish: NoteDeed) -> Deed:
        """Say what a deed to note leads to: its entry of the audit chain."""
        deed = wish.deed
        for name, word in (("id", wish.note_id), ("actor", deed.actor), ("action", deed.action)):
            check_word(name, word)
        check_word("subject", deed.subject, LONGEST_TEXT)
        for name, text in (("before", deed.before), ("after", deed.after)):
            if len(text) > LONGEST_TEXT:
                raise Refused(f"{name}: {len(text)} characters, limit is {LONGEST_TEXT}; shorten it")
        if deed.action.startswith(OWN_ACTIONS):
            raise Refused(f"action {deed.action!r}: is for the station's own entries; choose another word")
        if _is_known(self._store.ask(lambda held: alarm_queries.note(held, wish.note_id)), wish):
            return Deed(detail=f"{deed.action} was noted already")
        return Deed(((STEPS, wish),), (), f"{deed.action} is noted")


def check_right(operator: str, person: Person | None, right: Right) -> None:
    """Refuse what a person may not do, and say who may; `person` is None where nobody of that id is enrolled."""
    if may(person, right):
        return
    if person is None:
        raise Refused(f"person {operator!r}: is not enrolled at this station; let an admin enrol them")
    if not person.active:
        raise Refused(f"person {operator!r}: is not active any more; let an active person do it")
    if person.secret is None:
        raise Refused(f"person {operator!r}: has no PIN yet; let an admin set one")
    if right in RIGHTS[person.role]:
        raise Refused(
            f"person {operator!r}: labels up to level {int(person.level)}; let somebody of a higher level do it"
        )
    roles = ", ".join(role.value for role in Role if right in RIGHTS[role])
    raise Refused(f"person {operator!r}: the role {person.role.value} may not {right.value}; let one of {roles} do it")


def _needed(wish: Asked) -> tuple[Right, ...]:
    match wish:
        case SubmitLabel():
            level = label_right(wish.label.level)
            return (Right.DECIDE, level) if wish.label.purpose is Purpose.REVIEW else (level,)
        case SeedPart():
            return (Right.SEED,)
        case ReinspectPart():
            return (Right.CORRECT,)
        case NoteAlarm():
            return (_ALARM_RIGHTS[wish.step.deed],)
        case FreezeSnapshot():
            return (Right.FREEZE,)
    return (Right.DECIDE,)


def _operator(wish: Asked) -> str:
    match wish:
        case SubmitLabel():
            return wish.label.person
        case NoteAlarm():
            return wish.step.person
    return wish.person


def _is_known(held: _Known | None, told: _Known) -> bool:
    """Say whether an id is taken by the same; Refused when by something else."""
    if held is not None and held != told:
        raise Refused("the id is taken by something else that was kept; send it under a new id")
    return held is not None


def _check_person(person: Person) -> None:
    words = (("id", person.event_id), ("operator id", person.person), ("name", person.name), ("by", person.by))
    for name, word in words:
        check_word(name, word)
    digest = person.badge_sha256
    if digest and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):
        raise Refused(f"{person.person}: the badge's digest is no SHA-256 of 64 hex digits; read the badge again")


def _duty(person: Person) -> str:
    """Say what a person is, without name or secret."""
    state = "active" if person.active else "inactive"
    return f"{person.role.value}, level {int(person.level)}, {state}"


def _renewed(before: Person | None, after: Person) -> str:
    old_badge, old_secret = (before.badge_sha256, before.secret) if before is not None else ("", None)
    badge = ", new badge" if after.badge_sha256 and after.badge_sha256 != old_badge else ""
    return badge + (", new PIN" if after.secret is not None and after.secret != old_secret else "")
