"""What people answered against what proved true, and who errs systematically."""

import random

import pytest

from appliance.labelling import systematic as rules
from appliance.labelling.draws import NEWCOMER_ANSWERS, WINDOW_NS, audit_draws
from appliance.labelling.error_matrix import Check, Source, checks, error_matrix
from appliance.labelling.systematic import LEVEL, RATES, TOLERATED, flags
from appliance.learning.rates import rate
from appliance.schema.clocks import UtcNs
from appliance.schema.label import UNSURE, Label, Purpose
from bench.label_people import COMMON, Operator, history
from tests.line.test_inversion import Workshop
from tests.unit.labelling_rig import label

SEED = 8
CLASSES = ("good", "scratch", "dent")
AUDIT, SETTLE, KNOWN, CORRECT = (
    Purpose.AUDIT, Purpose.DISAGREEMENT, Purpose.KNOWN_ANSWER, Purpose.CORRECTION,
)  # fmt: skip
FIRST = label("a", "good")
REFUTED = [FIRST, label("b", "scratch", "op-2", purpose=AUDIT)]
SETTLED = [*REFUTED, label("c", "scratch", "qe-1", purpose=SETTLE, level=2)]


def told(*labels: Label) -> list[tuple[str, str, str, str, bool]]:
    return [(one.person, one.said, one.truth, one.source.value, one.settled) for one in checks(labels, SEED)]


def test_an_audited_label_is_checked_once_somebody_else_has_said() -> None:
    """Confirmed: right; in conflict: for its author, until it is settled; then whatever was settled."""

    assert [] == told(FIRST)
    assert [("op-1", "good", "good", "audit", True), ("op-2", "good", "good", "other", True)] == told(
        FIRST, label("b", "good", "op-2", purpose=AUDIT)
    )
    assert [("op-1", "good", "good", "audit", False)] == told(*REFUTED)
    assert [("op-1", "good", "scratch", "audit", True), ("op-2", "scratch", "scratch", "other", True)] == told(*SETTLED)


def test_an_auditor_who_could_not_say_holds_the_check_up() -> None:
    """What comes of it counts."""
    unsure = label("b", UNSURE, "op-2", purpose=AUDIT)
    settled = label("c", "good", "qe-1", purpose=SETTLE, level=2)

    assert [("op-1", "good", "good", "audit", False)] == told(FIRST, unsure)
    assert ("op-1", "good", "good", "audit", True) in told(FIRST, unsure, settled)


def test_what_a_person_took_back_in_time_is_no_error() -> None:
    """Before anybody else spoke."""
    taken_back = label("b", "scratch", purpose=CORRECT, previous="a")
    audit = label("c", "scratch", "op-2", purpose=AUDIT)

    assert [("op-2", "scratch", "scratch", "other", True)] == told(FIRST, taken_back, audit)


def test_a_known_answer_is_checked_against_the_class_that_stood() -> None:
    """And against what stands by now, should that have changed."""
    known = label("k", "dent", "op-3", purpose=KNOWN, old="scratch")

    assert [("op-3", "dent", "scratch", "known_answer", True)] == told(known)
    assert ("op-3", "dent", "scratch", "known_answer", True) in told(*SETTLED, known)
    assert [] == told(label("k", UNSURE, "op-3", purpose=KNOWN, old="scratch"))


def test_seeded_parts_check_their_reviewer() -> None:
    """Their class is known, and whoever reviews them cannot tell."""
    found = checks([], SEED, [(label("s", "good", "op-4"), "dent")])

    assert [("op-4", "good", "dent", Source.SEEDED, 1.0)] == [
        (one.person, one.said, one.truth, one.source, one.weight) for one in found
    ]


def test_who_settles_is_not_checked_by_what_he_has_seen() -> None:
    """Labels given with those of others in view agree too easily."""

    assert "qe-1" not in {one.person for one in checks([*SETTLED, label("d", "scratch", "op-5")], SEED)}


def test_what_came_up_by_chance_tests_nobody() -> None:
    """A label that was not drawn is refuted by a correction: it stands in the matrix, with no weight."""
    many = [label(f"l{n}", "good", of=100 + n) for n in range(NEWCOMER_ANSWERS + 40)]
    undrawn = next(draw for draw in audit_draws(many, SEED) if not draw.drawn)
    corrected = label("z", "dent", "qe-1", of=undrawn.part.number, purpose=CORRECT, level=2, previous=undrawn.label_id)
    found = [one for one in checks([*many, corrected], SEED) if one.person == "op-1"]

    assert [(Source.OTHER, 0.0, True, "dent")] == [(one.source, one.weight, one.is_wrong, one.truth) for one in found]
    assert [] == flags(found * 50, CLASSES)


def test_the_matrix_counts_each_class_of_each_person() -> None:
    """Shares are of the person's settled answers on parts of that class, with exact intervals."""
    cells = error_matrix(checks([*SETTLED, label("d", "good", of=2), label("e", "good", "op-2", of=2)], SEED))
    rows = {(one.person, one.truth, one.said): one.share for one in cells}

    assert rate(1, 1) == rows["op-1", "scratch", "good"]
    assert rate(1, 1) == rows["op-1", "good", "good"]
    assert {"op-1", "op-2"} == {one.person for one in cells}


def check(said: str, truth: str, number: int, weight: float = 1.0) -> Check:
    return Check(f"l{number}", "op-1", said, truth, Source.AUDIT, weight, UtcNs(number))


def stream(outcomes: str, weight: float = 1.0) -> list[Check]:
    """Give checks on scratch: x wrong, . right."""
    return [
        check("good" if one == "x" else "scratch", "scratch", number, weight) for number, one in enumerate(outcomes)
    ]


def test_who_errs_again_and_again_is_named_with_the_remedy() -> None:
    """The class, what it is taken for, the count, the interval, what to do."""
    flag = flags(stream("x.xxxx"), CLASSES)[0]

    assert ("op-1", "scratch", "good") == (flag.person, flag.kind, flag.mistaken_for)
    assert flag.text.startswith(f"op-1 takes scratch for good: {flag.wrong.k} of {flag.wrong.n} wrong (")
    assert flag.text.endswith(f"{TOLERATED:.0%} is tolerated; train op-1 on scratch")


def test_a_slip_now_and_then_flags_nobody() -> None:
    """One in twenty, for a thousand checks."""

    assert [] == flags(stream(("x" + "." * 19) * 50), CLASSES)


def test_a_good_record_shelters_nobody_who_turns_careless() -> None:
    """After 300 right answers the wrong ones show within ten checks."""
    flag = flags(stream("." * 300 + "x" * 10), CLASSES)[0]

    assert flag.answers <= 310


def test_after_a_flag_the_wager_is_laid_anew() -> None:
    """Who goes on erring is flagged again, who does not is not."""

    assert 1 < len(flags(stream("x" * 20), CLASSES))
    assert 1 == len(flags(stream("xxxx" + "." * 200), CLASSES))


def test_labels_that_were_drawn_for_their_rarity_weigh_little() -> None:
    """The floor of a rare class catches slips into it far more often than the right answers beside them."""

    assert [] == flags(stream("x" * 12, weight=0.05), CLASSES)
    assert [] != flags(stream("x" * 12), CLASSES)


def test_no_stake_is_expected_to_grow_under_the_tolerated_rate() -> None:
    """What Ville's inequality needs: each factor has mean 1 at the tolerated rate, and is never negative."""
    for supposed in RATES:
        for weight in (1.0, 0.05):
            wrong, right = (rules._factor(one, supposed) for one in stream("x.", weight))

            assert 1 == pytest.approx(TOLERATED * wrong + (1 - TOLERATED) * right)
            assert right > 0


def test_a_person_at_the_limit_is_flagged_no_more_often_than_stated() -> None:
    """At exactly the tolerated rate on all classes, over 400 checks: the level bounds the share of people flagged."""
    draw, hits = random.Random(5), 0
    for _ in range(400):
        found = [
            check("dent" if draw.random() < TOLERATED else kind, kind, number)
            for number in range(400)
            for kind in (("good", "scratch")[number % 2],)
        ]
        hits += bool(flags(found, CLASSES))

    assert rate(hits, 400).low < LEVEL


def test_rare_answers_do_not_frame_an_honest_person() -> None:
    """Four slips in a hundred on a common class all fall on one rare class, whose every label is audited."""
    for seed in range(20):
        found = [one for one in flags(checks(_rare(seed), seed), ("good", "crack")) if one.person == "op-1"]

        assert [] == found


def _rare(seed: int) -> list[Label]:
    """Let an old hand take 4 % of good parts for crack, in many windows; the auditor is right."""
    draw, labels = random.Random(seed), []
    for number in range(1500):
        at = (number // 80) * WINDOW_NS
        kind = "crack" if draw.random() < 0.04 and number >= NEWCOMER_ANSWERS else "good"
        labels.append(label(f"l{number:05d}", kind, of=number, at=at + number))
    for draw_ in [one for one in audit_draws(labels, seed) if one.drawn]:
        number = draw_.part.number
        labels.append(label(f"b{number}", "good", "op-2", of=number, purpose=AUDIT, at=draw_.at + 1 - UTC_OF))
        if draw_.kind != "good":
            labels.append(label(f"c{number}", "good", "qe-1", of=number, purpose=SETTLE, level=2))
    return labels


UTC_OF = label("x", "good").at


def test_framing_happens_without_the_weights() -> None:
    """Why they are there: with full weights honest people of that kind are flagged."""
    framed = 0
    for seed in range(10):
        found = [Check(c.label_id, c.person, c.said, c.truth, c.source, 1.0, c.at) for c in checks(_rare(seed), seed)]
        framed += any(one.person == "op-1" for one in flags(found, ("good", "crack")))

    assert framed > 0


@pytest.mark.parametrize("seeds", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_a_careless_newcomer_is_flagged_within_sixty_answers(seeds: int) -> None:
    """Random answers on one of five classes, which is 15 % of what comes; fallible auditors; 97 in 100."""
    hits = sum(_is_flagged(Operator("op-1", {}, random_on="scratch"), 60, seed) for seed in range(seeds))

    assert hits >= 0.97 * seeds - 1


@pytest.mark.parametrize("seeds", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_an_honest_person_is_not_flagged_in_a_thousand_answers(seeds: int) -> None:
    """Two slips in a hundred, five on the hardest class; the share flagged is below the level."""
    hits = sum(_is_flagged(Operator("op-1", {"crack": 0.05}), 1000, seed) for seed in range(seeds))

    assert hits <= LEVEL * seeds


def _is_flagged(operator: Operator, answers: int, seed: int) -> bool:
    found = checks(history(operator, COMMON, answers, seed), seed)
    return any(one.person == operator.name for one in flags(found, COMMON.classes))


TURNED = {
    "never": ("if wager.worth >= limit:", "if wager.worth < 0:"),
    "without weight": ("check.weight * (check.is_wrong", "1 * (check.is_wrong"),
    "the past shelters": ("part = 1 / (number * (number + 1))", "part = float(number == 1)"),
    "flagged once": ("del wagers[check.person, check.truth]", "limit = 1e99"),
}


@pytest.mark.parametrize("name", TURNED, ids=str)
def test_each_rule_matters(name: str) -> None:
    """A rule turned round flags other people."""
    workshop = Workshop()
    streams = [stream("xxxxxx"), stream("x" * 12, 0.05), stream("." * 300 + "x" * 10), stream("x" * 20)]
    try:
        turned = workshop.turn(rules.__name__, TURNED[name])

        assert [len(flags(one, CLASSES)) for one in streams] != [len(turned.flags(one, CLASSES)) for one in streams]
    finally:
        workshop.clean()
