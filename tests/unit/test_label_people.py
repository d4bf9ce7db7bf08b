"""Once people are enrolled, record asks who wishes; who they are and what they did is kept once, without secrets."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import UtcNs
from appliance.schema.command import (
    Accepted,
    ChangePerson,
    Command,
    FreezeSnapshot,
    NoteAlarm,
    NoteDeed,
    QuarantinePart,
    ReinspectPart,
    SeedPart,
    SubmitLabel,
)
from appliance.schema.health import AlarmDeed, AlarmStep
from appliance.schema.label import LabelLevel, Purpose
from appliance.schema.person import Person, Role
from appliance.schema.verdict import Disposition
from appliance.storage import alarm_queries, people_queries, queries
from tests.unit.label_rig import AT, keep, label, person
from tests.unit.review_rig import Rig, accept, count, entered, part, running, verdict, why

ADMIN = person("adm", Role.ADMIN)


def enrol(rig: Rig, *people: Person) -> None:
    """Enrol an admin and others, as a station does."""
    for one in (ADMIN, *people):
        assert isinstance(rig.ask(ChangePerson(one)), Accepted)


def wait(rig: Rig, *numbers: int, way: Disposition = Disposition.REVIEW) -> None:
    for number in numbers:
        rig.hear("part.entered", entered(number))
        rig.hear("verdict", verdict(number, way))


def everything(operator: str) -> list[Command]:
    """Wish for everything a person can wish for, each of another part."""
    return [
        accept(1, operator),
        SubmitLabel(label(2, "good", operator)),
        SubmitLabel(label(3, "good", operator, 1, Purpose.AUDIT)),
        SeedPart("dent", operator, part(4)),
        QuarantinePart(part(5), operator, "odd"),
        ReinspectPart(part(6), operator, "again"),
        NoteAlarm(step("a-1", operator)),
        FreezeSnapshot(operator, "training", "s-1"),
    ]


def step(name: str, operator: str, deed: AlarmDeed = AlarmDeed.ACKNOWLEDGED, until: int = 0) -> AlarmStep:
    return AlarmStep(name, "line", "mcu_lost", deed, operator, AT, UtcNs(until))


def test_while_nobody_is_enrolled_everybody_may(tmp_path: Path) -> None:
    """A new station, and every station before people were known, works as ever."""
    with running(tmp_path) as rig:
        wait(rig, *range(1, 7))
        replies = [rig.ask(wish) for wish in everything("anybody")[:5]]

        assert [True, True, False, True, True] == [isinstance(reply, Accepted) for reply in replies]
        assert "has no label" in why(replies[2])


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (None, "is not enrolled at this station"),
        (person("op-9", active=False), "is not active any more"),
        (replace(person("op-9"), secret=None), "has no PIN yet"),
        (person("op-9", Role.ADMIN), "the role admin may not"),
        (person("op-9", Role.AUDITOR), "the role auditor may not"),
    ],
)
def test_who_may_nothing_is_refused_everything(tmp_path: Path, one: Person | None, fault: str) -> None:
    """Unknown, gone, without a PIN, or kept apart from judging: nothing is kept of the wish."""
    with running(tmp_path) as rig:
        enrol(rig, *([one] if one else []))
        wait(rig, *range(1, 7))
        keep(rig.store, label(3, "good", "op-1"))
        steps = count(rig, "review_steps")

        assert [fault in why(rig.ask(wish)) for wish in everything("op-9")] == [True] * 8
        assert (steps, 1, 0) == tuple(count(rig, table) for table in ("review_steps", "labels", "alarm_steps"))


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.OPERATOR, [True, True, True, False, True, False, True, False]),
        (Role.LEAD, [True, True, True, True, True, True, True, False]),
        (Role.QUALITY, [True, True, True, True, True, True, True, True]),
        (Role.MAINTENANCE, [False, False, False, False, False, False, True, False]),
    ],
)
def test_each_role_may_what_its_rights_say(tmp_path: Path, role: Role, may: list[bool]) -> None:
    """Of the eight wishes; whether the part allows it is another question."""
    with running(tmp_path) as rig:
        enrol(rig, person("x-1", role))
        wait(rig, *range(1, 7))
        rig.ask(QuarantinePart(part(6), "x-1", "odd"))
        keep(rig.store, label(3, "good", "op-1"))
        replies = [rig.ask(wish) for wish in everything("x-1")]
        by_right = [isinstance(reply, Accepted) or "may not" not in why(reply) for reply in replies]

        assert may == by_right


def test_a_label_needs_its_level(tmp_path: Path) -> None:
    """Nobody labels above the level that he was given."""
    with running(tmp_path) as rig:
        enrol(rig, person("qe-9", Role.QUALITY, 2))
        wait(rig, 1)

        assert "labels up to level 2" in why(rig.ask(SubmitLabel(label(1, "good", "qe-9", 3))))
        assert isinstance(rig.ask(SubmitLabel(label(1, "good", "qe-9", 2))), Accepted)


def test_correcting_anothers_label_is_a_right_of_its_own(tmp_path: Path) -> None:
    """One's own slip is not: an operator may say anew what he said."""
    with running(tmp_path) as rig:
        enrol(rig, person("op-1"), replace(person("op-2"), level=LabelLevel.CONFIRM), person("ld-1", Role.LEAD, 2))
        wait(rig, 1)
        rig.ask(SubmitLabel(label(1, "good", "op-1")))
        other = label(1, "dent", "op-2", 1, Purpose.CORRECTION, reason="seen")

        assert "the role operator may not correct" in why(rig.ask(SubmitLabel(other)))
        own = label(1, "dent", "op-1", 1, Purpose.CORRECTION, reason="slipped")
        assert isinstance(rig.ask(SubmitLabel(own)), Accepted)
        lead = label(1, "good", "ld-1", 2, Purpose.CORRECTION, reason="dirt")
        assert isinstance(rig.ask(SubmitLabel(lead)), Accepted)


def test_the_role_quality_decides_unknown_parts(tmp_path: Path) -> None:
    """Beside those who sign recipes; an operator still does not, and nobody who has left."""
    with running(tmp_path) as rig:
        enrol(rig, person("op-1"), person("new-qe", Role.QUALITY, 3), person("old-qe", Role.QUALITY, 3))
        wait(rig, 1, 2, way=Disposition.UNKNOWN)
        rig.ask(ChangePerson(person("old-qe", Role.QUALITY, 3, active=False)))

        assert "is not listed as a quality engineer" in why(rig.ask(accept(1, "op-1")))
        assert "is not active any more" in why(rig.ask(accept(1, "old-qe")))
        assert isinstance(rig.ask(accept(1, "new-qe")), Accepted)


def test_the_first_person_is_an_active_admin(tmp_path: Path) -> None:
    """Else nobody could enrol the second; and the last admin stays."""
    with running(tmp_path) as rig:
        assert "the first person is an active admin" in why(rig.ask(ChangePerson(person("op-1"))))
        assert "the first person is an active admin" in why(rig.ask(ChangePerson(replace(ADMIN, active=False))))
        assert 0 == count(rig, "people")
        enrol(rig)
        assert "last admin" in why(rig.ask(ChangePerson(person("adm", Role.LEAD))))


def test_only_an_admin_changes_people(tmp_path: Path) -> None:
    """An operator, a stranger or one who has left does not."""
    with running(tmp_path) as rig:
        enrol(rig, person("op-1"), person("old", Role.ADMIN, active=False))
        for by in ("op-1", "stranger", "old"):
            assert isinstance(why(rig.ask(ChangePerson(person("op-2", by=by)))), str)
        assert isinstance(rig.ask(ChangePerson(person("op-2", by="adm"))), Accepted)
        assert ["adm", "old", "op-1", "op-2"] == [one.person for one in rig.store.ask(people_queries.people)]


def test_a_change_is_kept_once_and_the_newest_holds(tmp_path: Path) -> None:
    """Sent again by its id it changes nothing; another under the same id is refused; the older ones stay."""
    first, later = person("op-1"), person("op-1", Role.LEAD, 2)
    with running(tmp_path) as rig:
        enrol(rig, first)
        replies = [rig.ask(ChangePerson(one)) for one in (later, first, later)]
        held = rig.store.ask(lambda held: people_queries.person(held, "op-1"))

        assert [True] * 3 == [isinstance(reply, Accepted) for reply in replies]
        assert later == held
        assert "the id is taken" in why(rig.ask(ChangePerson(replace(later, level=LabelLevel.CONFIRM))))
        assert 3 == count(rig, "people")


def test_a_badge_names_one_active_person(tmp_path: Path) -> None:
    """The newest statement of each counts, and a digest that is none is refused."""
    badge = "ab" * 32
    with running(tmp_path) as rig:
        enrol(rig, replace(person("op-1"), badge_sha256=badge))

        assert "badge" in why(rig.ask(ChangePerson(replace(person("op-2"), badge_sha256=badge))))
        assert "no SHA-256" in why(rig.ask(ChangePerson(replace(person("op-2"), badge_sha256="123"))))
        rig.ask(ChangePerson(person("op-1")))
        assert isinstance(rig.ask(ChangePerson(replace(person("op-2"), badge_sha256=badge))), Accepted)


def test_the_audit_chain_holds_no_name_and_no_secret(tmp_path: Path) -> None:
    """Who was made what by whom, and that a PIN or a badge is new; told by fault twice, still not more."""
    someone = replace(person("op-1", by="adm"), name="Zoe Vance", badge_sha256="cd" * 32)
    with running(tmp_path) as rig:
        enrol(rig, someone)
        rig.ask(ChangePerson(replace(person("op-1", Role.LEAD, 2, "adm"), name="Zoe Vance", badge_sha256="cd" * 32)))
        keep(rig.store, replace(someone, name="Zoe Wance"))
        entries = rig.store.ask(lambda held: [*queries.audit_entries(held)])
        told = [
            (row.actor, row.action, row.subject, row.before, row.after) for row in entries if "person_" in row.action
        ]

        assert [
            ("service:people", "person_enrolled", "adm", "", "admin, level 1, active, new PIN"),
            ("adm", "person_enrolled", "op-1", "", "operator, level 1, active, new badge, new PIN"),
            ("adm", "person_changed", "op-1", "operator, level 1, active", "lead, level 2, active"),
        ] == told
        text = str(entries)
        assert not any(secret in text for secret in ("Zoe", "sss", "ddd", "cdcd", "16384"))
        assert "fact_refused" == entries[-1].action


def test_a_deed_about_an_alarm_is_kept_and_audited_once(tmp_path: Path) -> None:
    """In the order of doing; shelving needs an end that the alarm's priority allows, and more rights."""
    with running(tmp_path) as rig:
        enrol(rig, person("op-1"), person("ma-1", Role.MAINTENANCE))
        replies = [rig.ask(NoteAlarm(one)) for one in (step("a-1", "op-1"), step("a-1", "op-1"))]
        shelf = step("a-2", "ma-1", AlarmDeed.SHELVED, AT + 1)

        assert [True, True] == [isinstance(reply, Accepted) for reply in replies]
        assert "may not shelve" in why(rig.ask(NoteAlarm(step("a-3", "op-1", AlarmDeed.SHELVED, AT + 1))))
        assert "may not out_of_service" in why(rig.ask(NoteAlarm(step("a-3", "op-1", AlarmDeed.OUT_OF_SERVICE))))
        assert "name an end" in why(rig.ask(NoteAlarm(step("a-3", "ma-1", AlarmDeed.SHELVED))))
        assert "limit is" in why(rig.ask(NoteAlarm(step("a-3", "ma-1", AlarmDeed.SHELVED, AT + 24 * 3600 * 10**9))))
        high = replace(step("a-3", "ma-1", AlarmDeed.SHELVED, AT + 1), unit="record", kind="seed_accepted")
        assert "cannot be shelved" in why(rig.ask(NoteAlarm(high)))
        assert isinstance(rig.ask(NoteAlarm(shelf)), Accepted)
        assert "the id is taken" in why(rig.ask(NoteAlarm(step("a-2", "ma-1"))))
        assert [step("a-1", "op-1"), shelf] == rig.store.ask(alarm_queries.steps_since)
        actions = [row.action for row in rig.store.ask(lambda held: [*queries.audit_entries(held)])]
        assert ["alarm_acknowledged", "alarm_shelved"] == [one for one in actions if one.startswith("alarm_")]


def test_a_noted_deed_is_one_entry_of_the_chain(tmp_path: Path) -> None:
    """Sent again, also after a restart, it is no second one; what is read back as a fact nobody notes by hand."""
    note = NoteDeed("n-1", AuditRequest("op-1", "signed_in", "terminal 1", "", "by badge"), AT)
    with running(tmp_path) as rig:
        replies = [rig.ask(note), rig.ask(note)]
    with running(tmp_path) as rig:
        replies.append(rig.ask(note))
        entries = [row for row in rig.store.ask(lambda held: [*queries.audit_entries(held)]) if row.actor == "op-1"]

        assert [True] * 3 == [isinstance(reply, Accepted) for reply in replies]
        assert [("signed_in", "terminal 1", "", "by badge")] == [
            (row.action, row.subject, row.before, row.after) for row in entries
        ]
        assert {"op-1": AT} == rig.store.ask(people_queries.last_seen)
        assert "the id is taken" in why(rig.ask(replace(note, at=UtcNs(AT + 1))))
        for action in ("seed_announced", "part_seeded", "recipe_activated"):
            deed = AuditRequest("op-1", action, "next part", "", "dent")
            assert "station's own" in why(rig.ask(NoteDeed("n-2", deed, AT)))
        assert "limit is 4000" in why(rig.ask(NoteDeed("n-2", AuditRequest("a", "b", "c", "d" * 4001), AT)))
