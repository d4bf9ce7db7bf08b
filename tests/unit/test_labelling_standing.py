"""What the labels of a part amount to, rule by rule."""

import pytest

from appliance.labelling import standing as rules
from appliance.labelling.standing import TRAINABLE, State, standing
from appliance.schema.label import UNSURE, Label, Purpose
from tests.line.test_inversion import Workshop
from tests.unit.labelling_rig import label

DISPUTE = [label("a", "scratch"), label("b", "good", "op-2", purpose=Purpose.AUDIT)]
SETTLED = [*DISPUTE, label("c", "good", "qe-1", purpose=Purpose.DISAGREEMENT, level=2)]
KNOWN = label("k", "dent", "op-3", purpose=Purpose.KNOWN_ANSWER)
CORRECTED = [label("a", "scratch"), label("b", "good", "qe-1", purpose=Purpose.CORRECTION, level=2, previous="a")]
OWN = [
    label("a", "scratch"),
    label("b", "scratch", "op-2", purpose=Purpose.AUDIT),
    label("c", "good", purpose=Purpose.CORRECTION, previous="a"),
]

CASES = {
    "nobody": ([], State.NONE, "", ""),
    "one person": ([label("a", "scratch")], State.SINGLE, "scratch", "a"),
    "the same twice by one": ([label("a", "scratch"), label("b", "scratch")], State.SINGLE, "scratch", "b"),
    "two people": ([label("a", "dent"), label("b", "dent", "op-2")], State.AGREED, "dent", "b"),
    "the higher level stands": ([label("a", "dent", level=2), label("b", "dent", "op-2")], State.AGREED, "dent", "a"),
    "contradiction": (DISPUTE, State.CONFLICT, "", ""),
    "settled": (SETTLED, State.SETTLED, "good", "c"),
    "contradicted since": ([*SETTLED, label("d", "dent", "qe-2", level=3)], State.CONFLICT, "", ""),
    "confirmed since": ([*SETTLED, label("d", "good", "op-4")], State.SETTLED, "good", "c"),
    "a correction of another": (CORRECTED, State.SETTLED, "good", "b"),
    "a correction of one's own": (OWN, State.CONFLICT, "", ""),
    "replaced by himself": ([label("a", "scratch"), label("b", "good")], State.SINGLE, "good", "b"),
    "could not say": ([label("a", UNSURE)], State.UNSURE, "", ""),
    "the last could not say": ([label("a", "dent"), label("b", UNSURE, "op-2")], State.UNSURE, "", ""),
    "said after unsure": ([label("a", UNSURE), label("b", "dent", "op-2")], State.SINGLE, "dent", "b"),
    "unsure beside conflict": ([*DISPUTE, label("c", UNSURE, "op-3")], State.CONFLICT, "", ""),
    "a known answer is no truth": ([label("a", "scratch"), KNOWN], State.SINGLE, "scratch", "a"),
    "a known answer alone": ([KNOWN], State.NONE, "", ""),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_labels_amount_to(case: str) -> None:
    """State, class and label that stands, in the order in which labels were kept."""
    labels, state, kind, label_id = CASES[case]
    found = standing(labels)

    assert (state, kind, label_id) == (found.state, found.kind, found.label_id)
    assert bool(kind) == (found.state in TRAINABLE)


def test_nothing_is_known_of_a_seeded_part() -> None:
    """Labels of a defect that somebody put there never count."""

    assert State.NONE is standing(SETTLED, seeded=True).state


def test_the_order_kept_counts_and_not_the_clock() -> None:
    """A terminal whose clock is slow settles as well as any other."""
    late = [*DISPUTE, label("c", "dent", "qe-1", purpose=Purpose.DISAGREEMENT, level=2, at=-5)]

    assert (State.SETTLED, "dent") == (standing(late).state, standing(late).kind)


TURNED = {
    "a conflict trains": ("if len(kinds) > 1:", "if len(kinds) > 2:", DISPUTE),
    "known answers count": ("label.purpose is not Purpose.KNOWN_ANSWER", "label.purpose is not None", [KNOWN]),
    "unsure is ignored": ("if counted[-1].kind == UNSURE:", "if not definite:", CASES["the last could not say"][0]),
    "nothing settles": ("if label.purpose is Purpose.DISAGREEMENT:", "if not label:", SETTLED),
    "one's own correction settles": ("next(earlier, label.person) != label.person", "label.previous", OWN),
    "a correction never settles": ("if label.purpose is Purpose.CORRECTION and", "if not label and", CORRECTED),
}


@pytest.mark.parametrize("name", TURNED, ids=str)
def test_each_rule_matters(name: str) -> None:
    """A rule turned round changes what some labels amount to."""
    old, new, labels = TURNED[name]
    workshop = Workshop()
    try:
        turned = workshop.turn(rules.__name__, (old, new))

        assert standing(labels).state.value != _state(turned, labels)
    finally:
        workshop.clean()


def _state(module: object, labels: list[Label]) -> str:
    return module.standing(labels).state.value
