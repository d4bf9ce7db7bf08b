"""Turn each rule of the label desk and the people desk round, one at a time, and see the test that protects it fail."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.services import _record_wishes
from tests.line.test_inversion import Workshop
from tests.unit import review_rig
from tests.unit import test_label_desk as desk
from tests.unit import test_label_people as people

LABELS, PEOPLE = "appliance.services._label_desk", "appliance.services._people_desk"
WISHES, REVIEW = "appliance.services._record_wishes", "appliance.services._review_desk"

Test = Callable[[Path], None]


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.clean()


def fails(test: Test, state: Path) -> None:
    with pytest.raises((AssertionError, ValueError, KeyError, IndexError)):
        test(state)


@pytest.mark.parametrize(
    ("old", "new", "test"),
    [
        ("if held is not None:\n            return _again", "if False:\n            return _again",
         desk.test_a_label_sent_again_is_accepted_and_changes_nothing),
        ("if msgspec.structs.replace(label, previous=held.previous, old=held.old) != held:", "if False:",
         desk.test_a_label_sent_again_is_accepted_and_changes_nothing),
        ("label, previous=held.previous, old=held.old)", "label)",
         desk.test_a_label_sent_again_is_accepted_and_changes_nothing),
        ("        if label.purpose is Purpose.REVIEW:\n", "        if False:\n",
         desk.test_a_label_on_a_part_that_waits_decides_it),
        ("if any(one.person == label.person for one in labels):", "if False:", desk.test_nobody_audits_himself),
        ("    if not labels:\n", "    if False:\n", desk.test_nobody_audits_himself),
        ("if stands.state not in (State.CONFLICT, State.UNSURE):", "if False:",
         desk.test_what_is_no_disagreement_is_not_settled),
        ("label.level > highest or", "label.level >= highest or", desk.test_a_disagreement_is_settled_from_above),
        ("label.level > highest or", "", desk.test_an_unsure_part_goes_up_level_by_level),
        ("LabelLevel.EXPERT and not is_party", "LabelLevel.EXPERT", desk.test_a_disagreement_is_settled_from_above),
        ("(label.level is LabelLevel.EXPERT and not is_party)", "not is_party",
         desk.test_a_disagreement_is_settled_from_above),
        ("    if not label.reason:\n", "    if False:\n",
         desk.test_anothers_label_is_corrected_from_above_and_with_a_reason),
        ("needed = highest + 1", "needed = highest",
         desk.test_anothers_label_is_corrected_from_above_and_with_a_reason),
        ("if any(one.person == label.person for one in stands.counted):\n        return", "if False:\n        return",
         desk.test_ones_own_slip_is_said_anew),
        ("if person is not None:\n        check_right", "if False:\n        check_right",
         people.test_correcting_anothers_label_is_a_right_of_its_own),
        ("(STEPS, SeededAnswer(said)) if is_seeded else", "", desk.test_a_seeded_part_looks_like_any_other),
        ("if held is None and not self._store.ask(snapshots.has_trainable):", "if False:",
         desk.test_freezing_needs_something_to_freeze_and_happens_once),
        ("return ((AUDIT + RECORD, AuditRequest(", "return () and ((AUDIT + RECORD, AuditRequest(",
         desk.test_anothers_label_is_corrected_from_above_and_with_a_reason),
    ],
)  # fmt: skip
def test_a_label_desk_without_a_rule_is_found_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, test: Test
) -> None:
    """Each rule of admission has a test that dies with it."""
    monkeypatch.setattr(_record_wishes, "LabelDesk", workshop.turn(LABELS, (old, new)).LabelDesk)
    fails(test, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "test"),
    [
        ("if not fault and not known and not", "if False and not", people.test_the_first_person_is_an_active_admin),
        ("person.role is Role.ADMIN and person.active", "person.role is Role.ADMIN",
         people.test_the_first_person_is_an_active_admin),
        ("    if may(person, right):\n", "    if True:\n", people.test_a_label_needs_its_level),
        ("(Right.DECIDE, level) if wish.label.purpose is Purpose.REVIEW else (level,)", "(Right.DECIDE,)",
         people.test_a_label_needs_its_level),
        ("if held is not None and held != told:", "if False:", people.test_a_noted_deed_is_one_entry_of_the_chain),
        ("if deed.action.startswith(OWN_ACTIONS):", "if False:", people.test_a_noted_deed_is_one_entry_of_the_chain),
        ("AlarmDeed.SHELVED and step.until <= step.at", "AlarmDeed.SHELVED and False",
         people.test_a_deed_about_an_alarm_is_kept_and_audited_once),
        ("        if fault:\n", "        if False:\n", people.test_only_an_admin_changes_people),
        ('return f"{person.role.value}, level', 'return f"{person.name}{person.role.value}, level',
         people.test_the_audit_chain_holds_no_name_and_no_secret),
        ("if not self._store.ask(people_queries.enrolled):", "if False:",
         people.test_while_nobody_is_enrolled_everybody_may),
    ],
)  # fmt: skip
def test_a_people_desk_without_a_rule_is_found_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, test: Test
) -> None:
    """Each rule about people has a test that dies with it; who is turned round lets the label desk ask itself too."""
    turned = workshop.turn(PEOPLE, (old, new))
    labels = workshop.turn(LABELS, instead={PEOPLE: turned.__name__})
    monkeypatch.setattr(_record_wishes, "PeopleDesk", turned.PeopleDesk)
    monkeypatch.setattr(_record_wishes, "LabelDesk", labels.LabelDesk)
    fails(test, tmp_path)


def test_wishes_that_nobody_checks_are_found_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every wish but those that are checked by themselves passes the list of people."""
    from appliance.services import record

    turned = workshop.turn(WISHES, ("person = self._people.check(wish)", "person = None"))
    monkeypatch.setattr(record, "Desks", turned.Desks)
    fails(people.test_a_label_needs_its_level, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "test"),
    [
        ("        if label.kind == UNSURE:\n", "        if False:\n",
         desk.test_an_unsure_answer_hands_the_part_to_a_quality_engineer),
        ("    if wish.kind == UNSURE:\n", "    if False:\n", desk.test_unsure_is_no_decision_by_itself),
        ("if item is not None and item.handed_on:", "if False:", desk.test_a_handed_on_part_cannot_be_seeded),
        ("found.active and found.role is Role.QUALITY", "found.active",
         people.test_the_role_quality_decides_unknown_parts),
        ("verdict_id=label.label_id", 'verdict_id="m-" + label.label_id',
         desk.test_a_label_on_a_part_that_waits_decides_it),
    ],
)  # fmt: skip
def test_a_review_desk_without_a_rule_of_labelling_is_found_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, test: Test
) -> None:
    """What a label does to a part that waits."""
    monkeypatch.setattr(review_rig, "ReviewDesk", workshop.turn(REVIEW, (old, new)).ReviewDesk)
    fails(test, tmp_path)
