"""Anchoring, times and the standing of the audit are counted as stated."""

import numpy as np
import pytest

from appliance.labelling.anchoring import Answer, anchoring
from appliance.labelling.audits import audit, independent, kappas
from appliance.labelling.draws import NEWCOMER_ANSWERS, WINDOW_NS, audit_draws
from appliance.labelling.times import level_times
from appliance.learning.rates import rate
from appliance.schema.label import UNSURE, Label, Purpose
from tests.unit.labelling_rig import label, part

SEED = 8
AUDIT = Purpose.AUDIT


def answers(agreeing: int, count: int, *, shown: bool) -> list[Answer]:
    return [Answer("good", "good" if place < agreeing else "dent", shown) for place in range(count)]


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((5, 56), (0, 29), -0.0381, 0.1926)],
)
def test_the_interval_is_newcombes(one: tuple[int, int], other: tuple[int, int], low: float, high: float) -> None:
    """Rows of his table II, method 10."""
    found = anchoring([*answers(*one, shown=True), *answers(*other, shown=False)])

    assert (low, high) == pytest.approx((found.low, found.high), abs=5e-5)
    assert one[0] / one[1] - other[0] / other[1] == found.difference


def test_what_was_never_hidden_tells_nothing() -> None:
    """No difference without both."""
    found = anchoring(answers(5, 9, shown=True))

    assert (rate(5, 9), rate(0, 0), None, -1.0, 1.0) == (
        found.shown, found.hidden, found.difference, found.low, found.high,
    )  # fmt: skip


def test_times_are_compared_with_what_the_protocol_expects() -> None:
    """Quartiles as numpy's; labels without a time are left out."""
    seconds = [3.0, 6.0, 7.5, 8.0, 12.0, 0.0]
    found = {one.level: one for one in level_times(label(f"l{s}", "good", seconds=s) for s in seconds)}
    known = [value for value in seconds if value]

    assert tuple(np.quantile(known, [0.25, 0.5, 0.75])) == (found[1].lower_s, found[1].median_s, found[1].upper_s)
    assert (rate(1, 5), rate(1, 5), (5.0, 10.0)) == (found[1].faster, found[1].slower, found[1].expected_s)
    assert (0, None, (30.0, 60.0), (120.0, 300.0)) == (
        found[2].n, found[2].median_s, found[2].expected_s, found[3].expected_s,
    )  # fmt: skip


def test_the_audit_is_counted_by_person_and_class() -> None:
    """Drawn, done, confirmed; unsure confirms nothing."""
    labels = [label("a", "dent"), label("b", "dent", of=2), label("c", "good", of=3), label("d", "good", "op-2", of=4)]
    done = [
        label("e", "dent", "op-3", purpose=AUDIT),
        label("f", UNSURE, "op-3", of=2, purpose=AUDIT),
        label("g", "good", "op-3", of=3, purpose=AUDIT),
    ]
    found = audit([*labels, *done], SEED)
    rows = {(one.person, one.kind): one for one in found.strata}

    assert (4, 4, 3, rate(2, 3)) == (found.labels, found.drawn, found.done, found.agreed)
    assert (2, 2, 2, rate(1, 2)) == (
        rows["op-1", "dent"].labels, rows["op-1", "dent"].drawn, rows["op-1", "dent"].done, rows["op-1", "dent"].agreed,
    )  # fmt: skip
    assert 0 == rows["op-2", "good"].done


def test_rare_draws_count_for_those_not_drawn() -> None:
    """Expected agreement weighs each audited label by 1 / probability (Horvitz and Thompson, as a ratio)."""
    labels: list[Label] = [label(f"l{n:05d}", "good", of=n) for n in range(NEWCOMER_ANSWERS)]
    labels += [label(f"m{n:05d}", "good", of=1000 + n, at=WINDOW_NS) for n in range(600)]
    drawn = [draw for draw in audit_draws(labels, SEED) if draw.drawn]
    wrong = {draw.label_id for draw in drawn if draw.probability < 1}
    audits = [
        label(f"x{place}", "dent" if one.label_id in wrong else "good", "op-2", of=one.part.number, purpose=AUDIT)
        for place, one in enumerate(drawn)
    ]
    found = audit([*labels, *audits], SEED)
    sure, rare = len(drawn) - len(wrong), len(wrong) / 0.05

    assert sure / (sure + rare) == pytest.approx(found.expected)
    assert found.agreed.value is not None
    assert found.agreed.value > found.expected
    assert found.interval is not None
    assert found.interval.low <= found.expected <= found.interval.high


def test_only_independent_first_answers_measure_agreement() -> None:
    """Who settles a dispute has seen it, who corrects himself may have heard; unsure is a gap."""
    labels = [
        label("a", "dent"),
        label("b", "good", "op-2", purpose=AUDIT),
        label("c", "dent", "qe-1", purpose=Purpose.DISAGREEMENT, level=2),
        label("d", "good", purpose=Purpose.CORRECTION, previous="a"),
        label("e", "good"),
        label("f", UNSURE, of=2),
        label("g", "good", "op-2", of=2, purpose=AUDIT),
        label("h", "good", "op-2", of=3, purpose=Purpose.KNOWN_ANSWER),
    ]
    found = independent(labels)

    assert (("op-1", "op-2"), (part(1), part(2))) == (found.people, found.parts)
    assert (("dent", "good"), (None, "good")) == found.table
    assert [(("op-1", "op-2"), 1, 0.0)] == [(one.people, one.parts, one.kappa) for one in kappas(found)]
