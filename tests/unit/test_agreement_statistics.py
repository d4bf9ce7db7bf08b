"""Coefficients of agreement are those of independent libraries, and nothing is made of nothing."""

import random

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from appliance.decision.calibration import clopper_pearson
from appliance.learning import agreement as rules
from appliance.learning.agreement import agreement, cohen_kappa, fleiss_kappa, gate, krippendorff_alpha
from appliance.learning.rates import rate
from tests.line.test_inversion import Workshop

KINDS = ("good", "scratch", "dent", "stain")


def table(seed: int, raters: int = 4, units: int = 60, gaps: float = 0.3) -> list[tuple[str | None, ...]]:
    """Draw a table in which raters mostly agree, with gaps."""
    draw = random.Random(seed)
    kinds = KINDS[: draw.randint(2, len(KINDS))]
    rows = []
    for _ in range(units):
        truth = draw.choices(kinds, [8, *[1] * (len(kinds) - 1)])[0]
        answers = [truth if draw.random() < 0.8 else draw.choice(kinds) for _ in range(raters)]
        rows.append(tuple(None if draw.random() < gaps else kind for kind in answers))
    return rows


def matrix(rows: list[tuple[str | None, ...]]) -> np.ndarray:
    """Give (raters, units) as the library takes it."""
    codes = [[KINDS.index(kind) if kind is not None else np.nan for kind in row] for row in rows]
    return np.array(codes, float).T


@pytest.mark.parametrize("seed", range(40))
def test_alpha_is_the_librarys(seed: int) -> None:
    """Krippendorff's alpha with gaps, over random tables of two to five raters."""
    rows = table(seed, raters=2 + seed % 4, units=10 + seed * 3, gaps=0.1 * (seed % 6))
    expected = krippendorff.alpha(matrix(rows), level_of_measurement="nominal")

    assert expected == pytest.approx(krippendorff_alpha(rows), abs=1e-9)


@pytest.mark.parametrize("seed", range(40))
def test_kappa_is_the_librarys(seed: int) -> None:
    """Cohen's kappa of two raters without gaps."""
    one, other = zip(*table(seed, raters=2, gaps=0.0), strict=True)

    assert cohen_kappa_score(one, other) == pytest.approx(cohen_kappa(one, other), abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_fleiss_kappa_is_the_published_sum(seed: int) -> None:
    """Fleiss' kappa, pair by pair: his observed agreement is the mean over pairs of raters of each unit."""
    rows = table(seed, raters=3 + seed % 3, gaps=0.0)
    pairs = [[a == b for i, a in enumerate(row) for j, b in enumerate(row) if i != j] for row in rows]
    shares = [sum(row.count(kind) for row in rows) / (len(rows) * len(rows[0])) for kind in KINDS]
    chance = sum(share**2 for share in shares)
    observed = float(np.mean([np.mean(pair) for pair in pairs]))

    assert (observed - chance) / (1 - chance) == pytest.approx(fleiss_kappa(rows), abs=1e-9)


def test_fleiss_kappa_of_the_textbook_table() -> None:
    """The table that textbooks repeat: ten units, fourteen raters, kappa 0.210."""
    counts = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    rows = [tuple(kind for kind, many in zip("abcde", row, strict=True) for _ in range(many)) for row in counts]

    assert fleiss_kappa(rows) == pytest.approx(0.210, abs=5e-4)


def test_one_class_alone_tells_nothing() -> None:
    """Where everybody only ever said one class, chance explains it all: no coefficient, and the library refuses."""
    rows = [("good", "good")] * 20
    with pytest.raises(ValueError, match="more than one value"):
        krippendorff.alpha(np.zeros((2, 20)), level_of_measurement="nominal")

    assert (None, None, None) == (krippendorff_alpha(rows), cohen_kappa(["good"], ["good"]), fleiss_kappa(rows))
    found = agreement(rows)
    assert (20, 20, None, None) == (found.observed.k, found.observed.n, found.alpha.value, found.alpha.interval)


def test_one_rater_tells_nothing() -> None:
    """Units that one person has labelled are no evidence of agreement, and neither is an empty table."""
    rows = [("good", None), (None, "dent"), (None, None)]
    found = agreement(rows)

    assert (None, None, None) == (krippendorff_alpha(rows), krippendorff_alpha([]), fleiss_kappa([]))
    assert (None, 0, 0, {}) == (found.observed.value, found.observed.n, found.alpha.units, found.per_class)


def test_units_rated_unequally_often_have_no_fleiss_kappa() -> None:
    """It is not defined there, and alpha is."""
    with pytest.raises(ValueError, match="units rated 1 to 2 times"):
        fleiss_kappa([("good", "good"), ("good", None)])
    with pytest.raises(ValueError, match="1 answers of one rater, 2 of the other"):
        cohen_kappa(["good"], ["good", "good"])


def test_agreement_of_a_class_counts_its_units() -> None:
    """Of the units of which anybody says the class, those of which all do; alpha against all other classes."""
    rows = [*[("good", "good")] * 96, ("dent", "dent"), ("dent", "good"), ("good", "dent"), ("dent", "dent")]
    found = agreement(rows)

    assert (98, 100) == (found.observed.k, found.observed.n)
    assert (2, 4) == (found.per_class["dent"].k, found.per_class["dent"].n)
    assert (96, 98) == (found.per_class["good"].k, found.per_class["good"].n)
    assert clopper_pearson(2, 4) == (found.per_class["dent"].low, found.per_class["dent"].high)
    assert found.per_class_alpha["dent"].value == found.alpha.value
    interval = found.alpha.interval
    assert interval is not None
    assert interval.low < found.alpha.value < interval.high


def test_agreement_by_chance_passes_the_gate_and_has_no_alpha() -> None:
    """Why alpha stands beside it: of 99.5 % good parts two people who guess agree on 99 %."""
    draw = random.Random(3)
    rows = [tuple(draw.choices(("good", "dent"), (199, 1), k=2)) for _ in range(2000)]
    found = agreement(rows)
    assert found.alpha.interval is not None

    assert gate(found.observed).passes
    assert found.alpha.interval.low < 0.1


def test_the_gate_is_the_lower_end() -> None:
    """71 of 71 do not prove more than 95 %, 72 of 72 do (rule: 0.025 ** (1 / n) > 0.95)."""

    assert [False, True] == [gate(rate(n, n)).passes for n in (71, 72)]
    assert (1, 0) == (gate(rate(71, 71)).more, gate(rate(72, 72)).more)
    assert 72 == gate(rate(0, 0)).more


def test_the_gate_says_how_many_more() -> None:
    """So many further units that agree as before prove it; at or under the limit no number does."""
    more = gate(rate(97, 100)).more
    assert more is not None

    assert clopper_pearson(int(0.97 * (100 + more)), 100 + more)[0] > 0.95
    assert clopper_pearson(int(0.97 * (100 + more - 40)), 100 + more - 40)[0] <= 0.95
    assert [None, None] == [gate(rate(k, 100)).more for k in (95, 60)]
    assert gate(rate(9501, 10000)).more is None


def test_a_gate_at_the_value_would_pass_too_much() -> None:
    """A mutant that looks at the value instead of the lower end lets 20 of 20 pass."""
    workshop = Workshop()
    try:
        turned = workshop.turn(rules.__name__, ("if observed.low > limit:", "if (observed.value or 0) > limit:"))

        assert (False, True) == (gate(rate(20, 20)).passes, turned.gate(rate(20, 20)).passes)
    finally:
        workshop.clean()
