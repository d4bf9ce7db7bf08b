"""Who gets which work: decisions first, nobody his own label, and nothing that tells a test from a review."""

import pytest
from msgspec.structs import replace

from appliance.decision.review_queue import Item
from appliance.labelling import queue as rules
from appliance.labelling.draws import NEWCOMER_ANSWERS, hides_prediction, known_answers_due
from appliance.labelling.queue import Task, Work, tasks
from appliance.schema.clocks import UtcNs
from appliance.schema.label import UNSURE, Label, LabelLevel, Purpose
from appliance.schema.review import Change, Occasion
from tests.line.test_inversion import Workshop
from tests.unit.labelling_rig import UTC, label, part

SEED = 7
CONFIRM, CLASSIFY, EXPERT = LabelLevel
SETTLED = Purpose.DISAGREEMENT


def item(number: int, occasion: Occasion = Occasion.REVIEW, **more: object) -> Item:
    return Item(part(number), occasion, occasion, Change.OPENED, UtcNs(UTC + number), 1, **more)


def work(*labels: Label, waiting: tuple[Item, ...] = ()) -> Work:
    return Work(waiting, labels, kept=frozenset(one.part for one in labels))


def asked(person: str, level: LabelLevel, given: Work) -> list[tuple[int, Purpose, int]]:
    return [(task.part.number, task.purpose, int(task.level)) for task in tasks(person, level, given, SEED)]


def disputed(of: int = 1) -> tuple[Label, ...]:
    return label(f"a{of}", "dent", of=of), label(f"b{of}", "good", "op-2", of=of, purpose=Purpose.AUDIT)


def known(of: int, kind: str = "dent") -> tuple[Label, ...]:
    return *disputed(of), label(f"c{of}", kind, "qe-1", of=of, purpose=SETTLED, level=2)


def test_parts_that_wait_come_alone() -> None:
    """Nobody labels for training while a part waits for the same person's decision."""
    given = work(*disputed(), waiting=(item(8), item(9)))

    assert [(8, Purpose.REVIEW, 1), (9, Purpose.REVIEW, 1)] == asked("qe-1", CLASSIFY, given)
    assert [(1, SETTLED, 2)] == asked("qe-1", CLASSIFY, work(*disputed()))


def test_an_unknown_part_waits_for_quality_alone() -> None:
    """It holds no operator back, who may meanwhile label."""
    given = work(label("a", "dent", "op-1"), waiting=(item(9, Occasion.UNKNOWN),))

    assert [(9, Purpose.REVIEW, 2)] == asked("qe-1", CLASSIFY, given)
    assert [(1, Purpose.AUDIT, 1)] == asked("op-2", CONFIRM, given)


def test_who_decided_a_part_is_not_asked_again_on_reinspection() -> None:
    """Another person must look."""
    again = item(9, Occasion.REINSPECTION, people=("op-1",), asked_by="qe-1")

    assert [] == tasks("op-1", CONFIRM, work(waiting=(again,)), SEED)
    assert [(9, Purpose.REVIEW, 1)] == asked("op-2", CONFIRM, work(waiting=(again,)))


def test_a_random_sample_looks_like_a_review_and_hides_the_model() -> None:
    """Of a sample, and in parallel mode, the model's answer is never shown first; of a review one in ten is hidden."""
    waiting = tuple(item(number) for number in range(1, 200))
    found = tasks("op-1", CONFIRM, work(waiting=waiting), SEED)
    sample, parallel = (
        tasks("op-1", CONFIRM, work(waiting=(item(3, occasion),)), SEED)[0]
        for occasion in (Occasion.SAMPLE, Occasion.PARALLEL)
    )

    assert [hides_prediction(SEED, one.part, "op-1") for one in found] == [one.prediction_hidden for one in found]
    assert (Occasion.REVIEW, True) == (sample.occasion, sample.prediction_hidden)
    assert (Occasion.PARALLEL, True) == (parallel.occasion, parallel.prediction_hidden)


def test_nobody_audits_his_own_label() -> None:
    """And one who audits sees nothing of the label."""
    given = work(label("a", "dent", "op-1"))

    assert [] == tasks("op-1", CONFIRM, given, SEED)
    assert [True] == [task.blind for task in tasks("op-2", CONFIRM, given, SEED)]


def test_an_audit_is_done_once() -> None:
    """Whatever the second person said; what contradicts goes up a level."""
    confirmed = work(label("a", "dent"), label("b", "dent", "op-2", purpose=Purpose.AUDIT))

    assert [] == tasks("op-3", CONFIRM, confirmed, SEED)
    assert [] == tasks("op-3", CONFIRM, work(*disputed()), SEED)


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        (disputed(), 2),
        ((*disputed(), label("c", UNSURE, "qe-2", purpose=SETTLED, level=2)), 3),
        ((label("a", UNSURE),), 2),
        ((label("a", "dent", level=2), label("b", "good", "qe-2", level=3)), 3),
        ((label("a", UNSURE, "qe-3", level=3),), None),
        ((label("a", "dent"), label("b", "dent", "op-2")), None),
    ],
)
def test_a_dispute_goes_up_a_level(labels: tuple[Label, ...], level: int | None) -> None:
    """Above every label that contradicts; experts are settled by another expert; above an expert nobody is asked."""
    rows = [asked("x", each, work(*labels)) for each in LabelLevel]

    assert [[(1, SETTLED, level)] if level and each >= level else [] for each in LabelLevel] == rows


def test_nobody_settles_a_dispute_he_is_part_of() -> None:
    """Not even one whose level is above."""
    labels = label("a", "dent", "qe-1"), label("b", "good", "op-2", purpose=Purpose.AUDIT)

    assert [] == tasks("qe-1", EXPERT, work(*labels), SEED)
    assert [False] == [task.blind for task in tasks("qe-2", CLASSIFY, work(*labels), SEED)]


def test_no_part_without_a_picture_is_asked_about() -> None:
    """Nor a seeded one: whoever labels it again would learn what it is."""
    given = work(*disputed())

    assert [] == tasks("qe-1", CLASSIFY, replace(given, kept=frozenset()), SEED)
    assert [] == tasks("qe-1", CLASSIFY, replace(given, seeded=frozenset({part(1)})), SEED)
    seeded = replace(work(label("a", "dent", "op-1")), seeded=frozenset({part(1)}))
    assert [] == tasks("op-2", CONFIRM, seeded, SEED)


def answered(many: int, person: str = "new") -> list[Label]:
    """Let a person answer parts of which no picture is left."""
    return [label(f"n{number}", "good", person, of=10_000 + number) for number in range(many)]


def shelf(classes: tuple[str, ...] = ("dent", "scratch"), each: int = 30) -> list[Label]:
    numbers = enumerate((kind for kind in classes for _ in range(each)), 100)
    return [one for number, kind in numbers for one in known(number, kind)]


def known_tasks(many: int, given: tuple[Label, ...] = ()) -> list[Task]:
    held = shelf()
    mine = answered(many)
    kept = frozenset(one.part for one in held)
    return [
        task
        for task in tasks("new", CONFIRM, Work((), (*held, *mine, *given), kept=kept), SEED)
        if task.purpose is Purpose.KNOWN_ANSWER
    ]


def test_known_answers_come_as_often_as_the_draw_says() -> None:
    """Of settled parts that the person has never labelled, looking like a review, the classes in turn."""
    found = known_tasks(NEWCOMER_ANSWERS)
    kinds = [one.part.number < 130 for one in found]

    assert known_answers_due(SEED, "new", NEWCOMER_ANSWERS, 0) == len(found) > 5
    assert {(Occasion.REVIEW, CONFIRM, True)} == {(one.occasion, one.level, one.blind) for one in found}
    assert abs(sum(kinds) - (len(kinds) - sum(kinds))) <= 1
    first = found[0].part.number
    done = label("k", "dent", "new", of=first, purpose=Purpose.KNOWN_ANSWER, old="dent")
    after = known_tasks(NEWCOMER_ANSWERS, (done,))
    assert first not in {one.part.number for one in after}
    assert len(found) - 1 == len(after)


def test_a_class_got_wrong_comes_again() -> None:
    """Two more turns for each wrong known answer; a right one costs its turn."""
    wrong = label("k", "good", "new", purpose=Purpose.KNOWN_ANSWER, old="dent")
    right = label("r", "scratch", "new", of=2, purpose=Purpose.KNOWN_ANSWER, old="scratch")

    assert {"dent": -1, "scratch": 1} == rules.known_turns([wrong, right, label("n", "good", of=3)])
    kinds = [one.part.number < 130 for one in known_tasks(NEWCOMER_ANSWERS, (wrong, right))]
    assert [True, True] == kinds[:2]
    assert 1 <= 2 * sum(kinds) - len(kinds) <= 3


def test_only_settled_truth_measures_people() -> None:
    """Two operators who agree are no known answer, a quality engineer among them is."""
    mine = answered(NEWCOMER_ANSWERS)
    for level, expected in ((1, 0), (2, 1)):
        pair = (label("a", "dent", of=1), label("b", "dent", "qe-1", of=1, level=level))
        given = Work((), (*pair, *mine), kept=frozenset({part(1)}))

        assert expected == sum(one.purpose is Purpose.KNOWN_ANSWER for one in tasks("new", CONFIRM, given, SEED))


def test_the_order_of_known_answers_is_each_persons_own() -> None:
    """Colleagues cannot tell each other what comes next."""
    held = shelf()
    orders = []
    for person in ("new", "other"):
        given = Work((), (*held, *answered(NEWCOMER_ANSWERS, person)), kept=frozenset(one.part for one in held))
        found = tasks(person, CONFIRM, given, SEED)
        orders.append([one.part for one in found if one.purpose is Purpose.KNOWN_ANSWER][:5])

    assert orders[0] != orders[1]


TURNED = {
    "labelling while parts wait": ("    if waiting:\n        return waiting\n", ""),
    "own labels audited": ("if all(one.person != person for one in labels[part])", "if part"),
    "settled by a party": ("and all(label.person != person for label in found.counted)", ""),
    "at the same level": ("LabelLevel(min(found.level + 1, LabelLevel.EXPERT))", "LabelLevel(found.level)"),
    "samples show the model": ("item.occasion in BLINDED or ", ""),
    "any agreement measures": ("found.level >= LabelLevel.CLASSIFY", "found.level"),
    "asked again": ("if not (item.asked_by and person in item.people)", "if item"),
}


@pytest.mark.parametrize("name", TURNED, ids=str)
def test_each_rule_matters(name: str) -> None:
    """A rule turned round gives somebody other work."""
    workshop = Workshop()
    again = item(9, Occasion.REINSPECTION, people=("op-1",), asked_by="qe-1")
    pair = (label("a", "dent", of=1), label("b", "dent", "op-2", of=1))
    works = [
        work(*disputed(), waiting=(item(8),)),
        work(*disputed(), label("z", "dent", "qe-1")),
        work(label("y", "dent", "qe-1", of=3), *disputed()),
        work(label("y", "dent", "qe-1", of=3), label("z", "good", "op-2", of=3, purpose=Purpose.AUDIT)),
        work(waiting=(item(3, Occasion.SAMPLE),)),
        work(waiting=(again,)),
        Work((), (*pair, *answered(NEWCOMER_ANSWERS)), kept=frozenset({part(1)})),
    ]
    people = [("op-1", CONFIRM), ("qe-1", CLASSIFY), ("new", CONFIRM)]
    try:
        turned = workshop.turn(rules.__name__, TURNED[name])
        rows = [[_rows(module.tasks(*who, one, SEED)) for one in works for who in people] for module in (rules, turned)]

        assert rows[0] != rows[1]
    finally:
        workshop.clean()


def _rows(found: list) -> list[tuple]:
    return [(str(one.part), one.purpose, one.level, one.blind, one.prediction_hidden) for one in found]


def test_the_same_work_is_given_whenever_it_is_asked() -> None:
    """Nothing is remembered between two askings."""
    held = [*shelf(each=5), *answered(40)]
    given = Work((), tuple(held), kept=frozenset(one.part for one in held))

    assert tasks("new", CONFIRM, given, SEED) == tasks("new", CONFIRM, given, SEED)
