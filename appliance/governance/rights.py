"""Say what each person of the station may do; whoever is unknown, inactive or without a PIN may nothing.

Duties are kept apart: the admin keeps the list of people and judges no part; the auditor reads and changes nothing;
maintenance runs the machine and judges no part; nobody gives himself a role or a level, and where two persons must sign
nobody signs twice.
"""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum

from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role

LANGUAGES = ("en", "de", "es", "zh", "ar")

ID = r"\w[\w.-]{0,63}"
"""Pattern of an operator id; it also names files."""

SERVICE = "service:"
"""How the actor begins where no person of the list is behind a change: the command line, under its account."""


class Right(StrEnum):
    """Name what a person may be allowed to do."""

    DECIDE = "decide"
    """Decide a part that waits, at the line in parallel mode or in review."""
    LABEL_1 = "label_1"
    LABEL_2 = "label_2"
    LABEL_3 = "label_3"
    CORRECT = "correct"
    """Correct another's label, or let a decided part be looked at again."""
    SEED = "seed"
    """Put a known defect on the line."""
    SEE_FIGURES = "see_figures"
    """Figures of the station that name nobody."""
    SEE_OTHERS = "see_others"
    """Figures of other people."""
    APPROVE = "approve"
    ACTIVATE = "activate"
    """Put an approved recipe version or a staged bundle in force."""
    ROLL_BACK = "roll_back"
    """Go back to what was in force before."""
    CHANGE_RECIPE = "change_recipe"
    """Change over to another of the station's recipes."""
    RUN_JOB = "run_job"
    """Start and stop inspection."""
    RESET_FAULT = "reset_fault"
    ACKNOWLEDGE = "acknowledge"
    SHELVE = "shelve"
    """Silence an alarm for some time."""
    OUT_OF_SERVICE = "out_of_service"
    """Take an alarm out of service."""
    TEST_MACHINE = "test_machine"
    """Try lamps, gate and inputs by hand, and aim cameras."""
    CHANGE_PEOPLE = "change_people"
    EXPORT = "export"
    READ_AUDIT = "read_audit"
    FREEZE = "freeze"
    """Name the labelled images that training may use."""


_OPERATOR = frozenset({Right.DECIDE, Right.LABEL_1, Right.RUN_JOB, Right.ACKNOWLEDGE, Right.SEE_FIGURES})
_LEAD = _OPERATOR | {
    Right.LABEL_2,
    Right.CORRECT,
    Right.SEED,
    Right.SEE_OTHERS,
    Right.RESET_FAULT,
    Right.SHELVE,
    Right.CHANGE_RECIPE,
    Right.ROLL_BACK,
}
_QUALITY = frozenset(
    {
        Right.DECIDE,
        Right.LABEL_1,
        Right.LABEL_2,
        Right.LABEL_3,
        Right.CORRECT,
        Right.SEED,
        Right.SEE_FIGURES,
        Right.SEE_OTHERS,
        Right.ACKNOWLEDGE,
        Right.APPROVE,
        Right.ACTIVATE,
        Right.ROLL_BACK,
        Right.CHANGE_RECIPE,
        Right.EXPORT,
        Right.READ_AUDIT,
        Right.FREEZE,
    }
)
_MAINTENANCE = frozenset(
    {
        Right.RUN_JOB,
        Right.RESET_FAULT,
        Right.ACKNOWLEDGE,
        Right.SHELVE,
        Right.OUT_OF_SERVICE,
        Right.TEST_MACHINE,
        Right.SEE_FIGURES,
    }
)
RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.OPERATOR: _OPERATOR,
    Role.LEAD: _LEAD,
    Role.QUALITY: _QUALITY,
    Role.MAINTENANCE: _MAINTENANCE,
    Role.ADMIN: frozenset({Right.CHANGE_PEOPLE, Right.SEE_FIGURES}),
    Role.AUDITOR: frozenset({Right.SEE_FIGURES, Right.SEE_OTHERS, Right.EXPORT, Right.READ_AUDIT}),
}
"""Rights of each role; a level of labelling also needs to be the person's own."""

_LABEL = {Right.LABEL_1: 1, Right.LABEL_2: 2, Right.LABEL_3: 3}


def may(person: Person | None, right: Right) -> bool:
    """Say whether a person may do something; None, an inactive person and one without a PIN may nothing."""
    if person is None or not person.active or person.secret is None:
        return False
    return right in RIGHTS[person.role] and _LABEL.get(right, 0) <= person.level


def label_right(level: LabelLevel) -> Right:
    """Give the right that a level of labelling needs."""
    return Right(f"label_{int(level)}")


def highest_level(role: Role) -> LabelLevel:
    """Give the highest level that a person of a role may be given; the lowest where the role labels nothing."""
    return LabelLevel(max((_LABEL.get(right, 1) for right in RIGHTS[role]), default=1))


def change_fault(known: Mapping[str, Person], wish: Person) -> str:
    """Give why a change of the list of people is refused; empty: it is allowed.

    known: the newest statement of each person, by operator id. wish: who is enrolled or changed, `by` whom.
    """
    return _form_fault(known, wish) or _hand_fault(known, wish) or _last_admin_fault(known, wish)


def sign_fault(person: Person | None, proposer: str, signed: Sequence[str], *, two_persons: bool) -> str:
    """Give why a person may not sign a recipe version now; empty: he may.

    signed: operator ids of those who have. Where two must sign, whoever proposed it may be one of them, never both.
    """
    if person is None or not may(person, Right.APPROVE):
        return f"{_name(person)}: may not approve, only the role {Role.QUALITY.value} does; let one of them sign"
    if person.person in signed:
        return f"{person.person}: has signed this version already, another person is needed; let one of them sign"
    if len(signed) >= (2 if two_persons else 1):
        return f"proposed by {proposer}, signed by {' and '.join(signed)} already; activate it"
    return ""


def _form_fault(known: Mapping[str, Person], wish: Person) -> str:
    """Say what is wrong with a person, whoever asks for it."""
    if not re.fullmatch(ID, wish.person):
        return f"operator id {wish.person!r}: is none; use 1 to 64 letters, digits, dots and hyphens, such as anna.k"
    if not wish.name.strip():
        return f"{wish.person}: has no name, 1 letter is needed; say what the screen shows"
    if wish.language not in LANGUAGES:
        return f"{wish.person}: language {wish.language!r} is not known; choose one of {', '.join(LANGUAGES)}"
    if wish.level > highest_level(wish.role):
        return (
            f"{wish.person}: level {int(wish.level)} is over {int(highest_level(wish.role))}, the highest of the role "
            f"{wish.role.value}; lower the level or change the role"
        )
    if wish.badge_sha256:
        for other in known.values():
            if other.badge_sha256 == wish.badge_sha256 and other.person != wish.person and other.active:
                return f"{wish.person}: the badge is that of {other.person}, a badge has 1 owner; take another badge"
    return ""


def _hand_fault(known: Mapping[str, Person], wish: Person) -> str:
    """Say why the one who asks may not; one's own PIN and language are one's own affair."""
    if wish.by.startswith(SERVICE):
        return ""
    by, before = known.get(wish.by), known.get(wish.person)
    if by is None or not by.active:
        return f"{wish.person}: {wish.by!r} is no active person of this station; let an admin do it"
    own = wish.by == wish.person
    if own and before is not None and _same_duty(before, wish):
        return ""
    if own:
        return f"{wish.person}: nobody changes his own role, level, badge or standing; let another admin do it"
    if not may(by, Right.CHANGE_PEOPLE):
        return f"{wish.person}: {wish.by} has the role {by.role.value}, admin is needed; let an admin do it"
    return ""


def _last_admin_fault(known: Mapping[str, Person], wish: Person) -> str:
    before = known.get(wish.person)
    if before is None or not may(before, Right.CHANGE_PEOPLE) or may(wish, Right.CHANGE_PEOPLE):
        return ""
    if any(may(other, Right.CHANGE_PEOPLE) for other in known.values() if other.person != wish.person):
        return ""
    return f"{wish.person}: is the last admin, 1 is needed; enrol another one first"


def _same_duty(before: Person, after: Person) -> bool:
    return (before.role, before.level, before.badge_sha256, before.active, before.name) == (
        after.role,
        after.level,
        after.badge_sha256,
        after.active,
        after.name,
    )


def _name(person: Person | None) -> str:
    return person.person if person is not None else "nobody"
