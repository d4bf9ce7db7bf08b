"""Turn each rule of the review desk round, one at a time, and see the test that protects it fail."""

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.schema.policy import Mode
from tests.line.test_inversion import Workshop
from tests.unit import review_rig
from tests.unit import test_review_desk as desk
from tests.unit import test_review_seeds as seeds

DESK, RECORD = "appliance.services._review_desk", "appliance.services.record"

Test = Callable[..., None]


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.clean()


@pytest.mark.parametrize(
    ("old", "new", "test"),
    [
        ("if seeder else (LABEL, said)", "if False else (LABEL, said)", seeds.test_a_seeded_part_never_gets_a_label),
        ("if label.person == seeder:", "if False:", seeds.test_who_put_a_defect_there_does_not_review_it),
        (
            "return person in self._quality or",
            "return person not in self._quality or",
            desk.test_only_a_quality_engineer_decides_an_unknown_part,
        ),
        (
            "        if self._mode is Mode.PARALLEL:\n            deed =",
            "        if self._mode is not Mode.PARALLEL:\n            deed =",
            desk.test_in_parallel_mode_every_part_that_enters_is_a_persons,
        ),
        (
            "wish, self._armed = self._armed, None",
            "wish = self._armed",
            seeds.test_the_next_part_that_enters_is_the_seeded_one,
        ),
        ("SeedPart(*wish) if wish is not None else None", "None", seeds.test_an_announced_seed_survives_a_restart),
        (
            "HELD.get(message.disposition)",
            "None",
            desk.test_a_part_whose_verdict_was_lost_is_opened_by_its_actuation,
        ),
        (
            "Occasion.PARALLEL if self._mode is Mode.PARALLEL else HELD",
            "HELD",
            desk.test_a_part_whose_entry_was_lost_is_still_a_persons_in_parallel_mode,
        ),
        (
            "if actuation.lane is Lane.REJECT else None",
            "if actuation.lane is Lane.ACCEPT else None",
            desk.test_an_accept_that_the_gate_did_not_follow_is_asked_again,
        ),
        (
            "if not last.accept or last.decided > actuation.at:",
            "if not last.accept:",
            desk.test_an_accept_that_the_gate_did_not_follow_is_asked_again,
        ),
        (
            "if not last.accept or last.decided > actuation.at:",
            "if last.decided > actuation.at:",
            desk.test_an_accept_that_the_gate_did_not_follow_is_asked_again,
        ),
        ("if lane == Lane.ACCEPT:", "if False:", seeds.test_a_known_part_can_be_seeded_into_review),
        ("if item is not None and item.people:", "if False:", seeds.test_a_known_part_can_be_seeded_into_review),
        (
            "if was_full or not self._was_full:",
            "if not self._was_full:",
            desk.test_a_full_queue_quarantines_with_one_alarm,
        ),
        (
            "for part, occasion in ask(review_queries.overlooked):",
            "for part, occasion in ():",
            desk.test_a_part_whose_step_was_lost_is_opened_at_the_next_start,
        ),
        (
            "ask(lambda held: review_queries.items(held, WAITS))",
            "()",
            desk.test_after_a_restart_the_queue_is_the_same,
        ),
    ],
)
def test_a_desk_without_a_rule_is_found_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, test: Test
) -> None:
    """Each rule of the desk has a test that dies with it."""
    monkeypatch.setattr(review_rig, "ReviewDesk", workshop.turn(DESK, (old, new)).ReviewDesk)
    with pytest.raises((AssertionError, ValueError, KeyError)):
        _run(test, tmp_path)


def _run(test: Test, state: Path) -> None:
    if "mode" in inspect.signature(test).parameters:
        test(state, Mode.PARALLEL)
    else:
        test(state)


@pytest.mark.parametrize(
    ("old", "new", "test"),
    [
        (
            "self._plan.decided(message.part, Disposition.REVIEW, now)",
            "self._plan.decided(message.part, message.disposition, now)",
            desk.test_the_images_of_parallel_mode_tell_nothing_of_the_sealed_verdict,
        ),
        (
            "self._do(self._desk.expire(now, self._clock.utc()), now)",
            "()",
            desk.test_what_nobody_decides_in_time_is_quarantined_with_an_alarm,
        ),
        (
            '            return RefusedReply(f"record: the decision was not kept: {error}", again=True), outputs\n',
            "            pass\n",
            desk.test_a_decision_that_finds_the_disk_full_is_no_decision,
        ),
        ("        self._desk.keep(deed)\n", "", desk.test_answers_for_parts_that_are_not_open_are_refused_in_one_line),
    ],
)
def test_a_record_service_without_a_rule_is_found_out(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str, test: Test
) -> None:
    """What the service adds to the desk: nothing acts that is not kept, and nothing tells what is sealed."""
    monkeypatch.setattr(review_rig, "RecordNode", workshop.turn(RECORD, (old, new)).RecordNode)
    with pytest.raises((AssertionError, ValueError, UnboundLocalError, StopIteration)):
        test(tmp_path)
