"""Draws keep their probabilities, need no memory, and have floors."""

from collections import Counter

import pytest

from appliance.decision.calibration import clopper_pearson
from appliance.labelling import draws as rules
from appliance.labelling.draws import (
    AUDIT_SHARE,
    FLOOR,
    HIDDEN_SHARE,
    KNOWN_SHARE,
    NEWCOMER_ANSWERS,
    NEWCOMER_KNOWN_SHARE,
    WINDOW_NS,
    audit_draws,
    calls_known_answer,
    hides_prediction,
    known_answers_due,
)
from appliance.schema.label import UNSURE, Label, Purpose
from tests.line.test_inversion import Workshop
from tests.unit.labelling_rig import UTC, label, part

SEED = 8
OLD_HAND = 400
HIGH = 0.9999


def within(hits: int, count: int, share: float) -> bool:
    low, high = clopper_pearson(hits, count, HIGH)
    return low < share < high


def test_one_in_ten_predictions_is_hidden() -> None:
    """By part and person, the same whenever it is asked, another draw for another person or seed."""
    hidden = [hides_prediction(SEED, part(number), "op-1") for number in range(5000)]
    again = [hides_prediction(SEED, part(number), "op-1") for number in range(5000)]
    other = [hides_prediction(SEED, part(number), "op-2") for number in range(5000)]
    reseeded = [hides_prediction(SEED + 1, part(number), "op-1") for number in range(5000)]

    assert within(sum(hidden), 5000, HIDDEN_SHARE)
    assert hidden == again
    assert within(sum(a and b for a, b in zip(hidden, other, strict=True)), 5000, HIDDEN_SHARE**2)
    assert within(sum(a and b for a, b in zip(hidden, reseeded, strict=True)), 5000, HIDDEN_SHARE**2)


def test_known_answers_are_called_for_at_their_share() -> None:
    """One in three of a newcomer's answers, three in a hundred later; what could not be shown is owed."""
    called = [calls_known_answer(SEED, f"op-{who}", number) for who in range(50) for number in range(NEWCOMER_ANSWERS)]
    later = [calls_known_answer(SEED, "op-1", NEWCOMER_ANSWERS + number) for number in range(5000)]
    due = known_answers_due(SEED, "op-1", 200, 0)

    assert within(sum(called), len(called), NEWCOMER_KNOWN_SHARE)
    assert within(sum(later), 5000, KNOWN_SHARE)
    assert [due, due - 3, 0] == [known_answers_due(SEED, "op-1", 200, given) for given in (0, 3, due + 5)]


def test_every_answer_of_a_newcomer_is_audited() -> None:
    """With certainty, so that its weight is full."""
    found = audit_draws([label(f"l{n}", "good", of=n) for n in range(NEWCOMER_ANSWERS)], SEED)

    assert {(True, 1.0, 1.0)} == {(draw.drawn, draw.probability, draw.weight) for draw in found}


def old_hand(*kinds: str) -> list[Label]:
    """Labels of a person who is no newcomer any more, then of these classes, in a window of its own each time."""
    first = [label(f"l{n:05d}", "good", of=n) for n in range(NEWCOMER_ANSWERS)]
    return first + [label(f"m{n:05d}", kind, of=NEWCOMER_ANSWERS + n, at=WINDOW_NS) for n, kind in enumerate(kinds)]


def test_the_first_labels_of_each_class_in_a_window_are_audited() -> None:
    """Then one in twenty; a class that comes up late has its own floor, and slips into it weigh little."""
    found = audit_draws(old_hand(*["good"] * OLD_HAND, *["dent"] * 4), SEED)[NEWCOMER_ANSWERS:]
    good, dent = found[:OLD_HAND], found[OLD_HAND:]

    assert [1.0] * FLOOR + [AUDIT_SHARE] * (OLD_HAND - FLOOR) == [draw.probability for draw in good]
    assert [1.0] * FLOOR + [AUDIT_SHARE] == [draw.probability for draw in dent]
    assert [1.0] * FLOOR == [draw.weight for draw in good[:FLOOR]]
    assert {1.0} == {draw.weight for draw in good[FLOOR:]}
    assert [AUDIT_SHARE] * FLOOR + [1.0] == pytest.approx([draw.weight for draw in dent])
    assert all(draw.drawn for draw in found if draw.probability == 1)
    assert within(sum(draw.drawn for draw in good[FLOOR:]), OLD_HAND - FLOOR, AUDIT_SHARE)


def test_a_new_window_has_new_floors() -> None:
    """However many labels were audited in the last one."""
    labels = [*old_hand(*["good"] * 20), label("z", "good", of=9999, at=2 * WINDOW_NS)]

    assert 1.0 == audit_draws(labels, SEED)[-1].probability


def test_one_in_twenty_is_drawn() -> None:
    """Beyond the floors, over many people."""
    found = [
        draw
        for who in range(10)
        for draw in audit_draws([label(f"{who}-{n}", "good", f"op-{who}", of=n) for n in range(600)], SEED)
        if draw.probability < 1
    ]

    assert within(sum(draw.drawn for draw in found), len(found), AUDIT_SHARE)


def test_only_what_an_operator_said_in_review_is_audited() -> None:
    """No audit of audits, of experts, of known answers, nor of what was handed on as unsure."""
    labels = [
        *(label(f"p{purpose}", "good", purpose=purpose) for purpose in Purpose if purpose is not Purpose.REVIEW),
        label("e", "good", level=2),
        label("u", UNSURE),
    ]

    assert [] == audit_draws(labels, SEED)


def test_draws_do_not_hang_on_the_labels_of_others() -> None:
    """What another person answers changes no draw of one's own."""
    own = [label(f"l{n}", "good", of=n) for n in range(300)]
    others = [label(f"x{n}", "dent", "op-2", of=1000 + n) for n in range(300)]
    mixed = [one for pair in zip(own, others, strict=True) for one in pair]

    assert audit_draws(own, SEED) == [draw for draw in audit_draws(mixed, SEED) if draw.person == "op-1"]


def test_windows_hold_thirty_days() -> None:
    """They are counted from 1970, the same for all."""

    assert 30 * 24 * 3600 * 10**9 == WINDOW_NS
    assert UTC // WINDOW_NS == (UTC + 1) // WINDOW_NS


TURNED = {
    "no floor": ("if is_new or held[stratum] < FLOOR", "if is_new or held[stratum] < 0"),
    "no newcomers": ("is_new = answers[label.person] < NEWCOMER_ANSWERS", "is_new = False"),
    "everything is drawn": ('_chance(seed, "audit", label.label_id) < probability', "probability > 0"),
    "slips weigh in full": ("least / probability, drawn", "1.0, drawn"),
}


@pytest.mark.parametrize("name", TURNED, ids=str)
def test_each_rule_matters(name: str) -> None:
    """A rule turned round changes the draws of an old hand."""
    workshop = Workshop()
    labels = old_hand(*["good"] * 50, *["dent"] * 4)
    try:
        turned = workshop.turn(rules.__name__, TURNED[name])
        own, other = (_told(module.audit_draws(labels, SEED)) for module in (rules, turned))

        assert own != other
    finally:
        workshop.clean()


def _told(found: list) -> Counter:
    return Counter((draw.label_id, draw.probability, draw.weight, draw.drawn) for draw in found)
