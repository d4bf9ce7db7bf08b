"""What the random sample and the seeded parts say about escapes, and how surely."""

import random

import pytest

from appliance.decision.calibration import clopper_pearson
from appliance.decision.escapes import SeedCount, Stratum, estimate, seed_bound


def test_one_probability_gives_the_exact_interval() -> None:
    """The drawn parts are one random sample of all; the interval is Clopper and Pearson's."""
    found = estimate([Stratum(0.01, 50_000, 500, 500, 2)])

    assert pytest.approx(2 / 0.01 / 50_000) == found.value
    assert clopper_pearson(2, 500) == (found.low, found.high)
    assert (500, 500, 0, 2, 0, 1) == (
        found.drawn, found.inspected, found.missing, found.found, found.outside, found.probabilities,
    )  # fmt: skip


def test_parts_not_inspected_yet_are_taken_both_ways() -> None:
    """What nobody has looked at may all be good or all defective; the interval covers both."""
    found = estimate([Stratum(0.1, 1000, 100, 90, 1)])

    assert (clopper_pearson(1, 100)[0], clopper_pearson(11, 100)[1]) == (found.low, found.high)
    assert 10 == found.missing
    assert pytest.approx(1 * 100 / 90 / 0.1 / 1000) == found.value


def test_nothing_inspected_says_nothing() -> None:
    """No sample, no number: anything from none to all."""
    assert (None, 0.0, 1.0) == _ends(estimate([]))
    assert (None, 0.0, 1.0) == _ends(estimate([Stratum(0.01, 30, 0, 0, 0)]))
    assert (None, 0.0, 1.0) == _ends(estimate([Stratum(0.5, 2, 2, 0, 0)]))


def _ends(found):  # type: ignore[no-untyped-def]
    return found.value, found.low, found.high


def test_parts_outside_the_draw_are_counted_and_estimated_by_nobody() -> None:
    """An accept that was in no draw is never covered by the estimate of the others."""
    found = estimate([Stratum(0.0, 700, 0, 0, 0), Stratum(0.1, 300, 30, 30, 0)])

    assert (700, 300, clopper_pearson(0, 30)[1]) == (found.outside, found.parts, found.high)


def test_several_probabilities_share_the_error() -> None:
    """Each stratum is bounded at 1 - 5 % / strata, and weighs as many parts as it has."""
    strata = [Stratum(0.01, 9000, 90, 90, 1), Stratum(0.1, 1000, 100, 100, 3)]
    found = estimate(strata)
    ends = [clopper_pearson(1, 90, 0.975), clopper_pearson(3, 100, 0.975)]

    assert pytest.approx((1 / 0.01 + 3 / 0.1) / 10_000) == found.value
    assert pytest.approx(0.9 * ends[0][0] + 0.1 * ends[1][0]) == found.low
    assert pytest.approx(0.9 * ends[0][1] + 0.1 * ends[1][1]) == found.high


@pytest.mark.parametrize("missing", [0.0, 0.2], ids=["all_inspected", "some_missing"])
def test_the_interval_covers_the_truth_when_the_probability_changed(missing: float) -> None:
    """Defects come where few parts are drawn; a plain share is off by a factor, the estimate and interval are not."""
    generator = random.Random(5)
    days = [(0.005, 4000, 0.03), (0.05, 4000, 0.004), (0.2, 2000, 0.0)]
    truth = sum(parts * rate for _, parts, rate in days) / 10_000
    outside, total, plain, runs = 0, 0.0, 0.0, 400
    for _ in range(runs):
        strata = []
        for probability, parts, rate in days:
            drawn = sum(generator.random() < probability for _ in range(parts))
            looked = sum(generator.random() >= missing for _ in range(drawn))
            strata.append(
                Stratum(probability, parts, drawn, looked, sum(generator.random() < rate for _ in range(looked)))
            )
        found = estimate(strata)
        outside += not found.low <= truth <= found.high
        total += found.value or 0.0
        plain += found.found / found.inspected

    assert outside <= 0.05 * runs
    assert total / runs == pytest.approx(truth, rel=0.15)
    assert plain / runs < 0.4 * truth


def test_counts_that_contradict_each_other_are_refused() -> None:
    """More found than inspected is no sample."""
    for stratum in (Stratum(0.1, 10, 5, 6, 0), Stratum(0.1, 10, 5, 4, 5), Stratum(0.1, 4, 5, 4, 0)):
        with pytest.raises(ValueError, match="each is at most the next"):
            estimate([stratum])


def test_seeded_parts_bound_the_escapes_of_their_class() -> None:
    """Model and people are bounded apart, each with its count."""
    bound = seed_bound(SeedCount("scratch", judged=59, passed=0, reviewed=20, waved_through=1))

    assert (0.0, 0, 59) == (bound.model.value, bound.model.k, bound.model.n)
    assert clopper_pearson(0, 59) == (bound.model.low, bound.model.high)
    assert (0.05, 1, 20) == (bound.people.value, bound.people.k, bound.people.n)
    assert seed_bound(SeedCount("dent", 0, 0, 0, 0)).model.value is None
