"""Control charts give the books' numbers, and cry wolf as rarely as they say."""

import inspect
import math
import random
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision.calibration import at_most
from appliance.monitoring import charts
from appliance.monitoring.binomial import outer_counts
from appliance.monitoring.charts import TAIL, Chart, Rule, individuals, moving_average, shares
from appliance.monitoring.shares import share

LOANS = [310, 288, 297, 298, 307, 303, 294, 297, 308, 306, 294, 299, 297, 299, 314, 295, 293, 306, 301, 304]
"""Montgomery, example 6.5 (costs of processing mortgage loans)."""
CANS = [
    12, 15, 8, 10, 4, 7, 16, 9, 14, 10, 5, 6, 17, 12, 22,
    8, 10, 5, 13, 11, 20, 18, 24, 15, 9, 12, 7, 13, 9, 6,
]  # fmt: skip
"""Montgomery, example 7.1 (leaking cans among 50)."""
NIST = [
    52.0, 47.0, 53.0, 49.3, 50.1, 47.0, 51.0, 50.1, 51.2, 50.5,
    49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1,
]  # fmt: skip
"""NIST/SEMATECH e-Handbook, section 6.3.2.4."""


def _breaks(chart: Chart, rule: Rule) -> list[int]:
    """Give the numbers of the points that break a rule, from 1 on."""
    return [number for number, point in enumerate(chart.points, 1) if rule in point.broken]


def test_single_values_have_the_books_limits() -> None:
    """Centre 300.5, mean range 7.79, limits 321.22 and 279.78, and no point beyond them."""
    chart = individuals(LOANS, 20)

    assert (300.5, 7.79) == (chart.centre, round(chart.sigma * 1.128, 2))
    assert (279.78, 321.22) == (round(chart.points[0].low, 2), round(chart.points[0].high, 2))
    assert [] == _breaks(chart, Rule.BEYOND)


def test_shares_signal_where_the_book_does() -> None:
    """Mean share 0.2313; samples 15 and 23 are out of control, by exact limits as by the book's."""
    chart = shares(CANS, [50] * 30, 30)

    assert 0.2313 == round(chart.centre, 4)
    assert [15, 23] == _breaks(chart, Rule.BEYOND)


def test_the_moving_average_has_the_handbooks_values() -> None:
    """The handbook's twenty averages, and its limits 47.4115 and 52.5884."""
    chart = moving_average(NIST, 50, 2.0539, weight=0.3, width=3)
    expected = [
        50.60, 49.52, 50.56, 50.18, 50.16, 49.21, 49.75, 49.85, 50.26, 50.33,
        50.11, 49.36, 49.52, 50.05, 49.38, 49.92, 50.73, 51.23, 51.94, 51.99,
    ]  # fmt: skip

    assert expected == [round(point.value or 0, 2) for point in chart.points]
    assert pytest.approx((47.4115, 52.5884), abs=2e-3) == (chart.points[-1].low, chart.points[-1].high)


@settings(max_examples=50)
@given(st.integers(1, 300), st.floats(1e-6, 1), st.floats(1e-6, 0.2))
def test_exact_limits_keep_their_tails(count: int, share: float, tail: float) -> None:
    """Less than low and more than high has the tail's probability at most, and one step nearer has more."""
    low, high = outer_counts(count, share, tail)
    slack = 1e-9

    assert 0 <= low <= high <= count
    assert low == 0 or at_most(low - 1, count, share) <= tail + slack
    assert high == count or 1 - at_most(high, count, share) <= tail + slack
    assert at_most(low, count, share) > tail - slack
    assert high == 0 or 1 - at_most(high - 1, count, share) > tail - slack


def test_rare_defects_do_not_cry_wolf() -> None:
    """At 0.5 % of 200 parts the usual limit is passed by chance 1.9 times in 100, the exact one less than 2 in 1000."""
    count, share = 200, 0.005
    usual = math.floor(count * share + 3 * math.sqrt(count * share * (1 - share)))
    exact = outer_counts(count, share, TAIL)[1]

    assert 0.018 < 1 - at_most(usual, count, share) < 0.019
    assert 1 - at_most(exact, count, share) < 0.00135


_FLAT = [0.5, -0.5] * 12


@pytest.mark.parametrize(
    ("values", "rule", "inverted", "changed"),
    [
        ([4.5], Rule.BEYOND, "> 3, zones", "< 3, zones"),
        ([0.2] * 9, Rule.SIDE, "min(run) > 0 or max(run) < 0", "False"),
        ([0.0, 0.1, 0.2, 0.3, 0.4, 0.45], Rule.TREND, "min(steps) > 0 or max(steps) < 0", "False"),
        ([2.5, 0.1, 2.5], Rule.TWO_OF_THREE, "(_last(scaled, place, 3), 2, 2.0)", "(_last(scaled, place, 3), 4, 2.0)"),
        ([1.6, 1.6, 0.1, 1.6, 1.6], Rule.FOUR_OF_FIVE, "(_last(scaled, place, 5), 4, 1.0)",
         "(_last(scaled, place, 5), 6, 1.0)"),
    ],
)  # fmt: skip
def test_each_rule_sees_its_pattern(values: list[float], rule: Rule, inverted: str, changed: str) -> None:
    """The pattern breaks its rule at its last point on either side of the centre, and a rule turned round is found."""
    source = inspect.getsource(charts)
    assert 1 == source.count(inverted)
    mutant = ModuleType("mutant")
    exec(compile(source.replace(inverted, changed), "mutant", "exec"), mutant.__dict__)  # noqa: S102  our own source

    for side in (1, -1):
        assert rule in _last_of(charts, values, side)
        assert rule.value not in {one.value for one in _last_of(mutant, values, side)}


def _last_of(module: ModuleType, values: list[float], side: int) -> tuple[Rule, ...]:
    """Give the rules broken by the last value, in sigma, after a quiet baseline."""
    sigma = 1.0 / 1.128
    return module.individuals([*_FLAT, *[side * value * sigma for value in values]], 24).points[-1].broken


def test_one_point_short_breaks_nothing() -> None:
    """Eight on a side, five in a trend (the baseline's last among them), one of three and three of five are chance."""
    for values in ([0.2] * 8, [0.1, 0.2, 0.3, 0.4], [2.5, 0.1, 0.1], [1.6, 1.6, 0.1, 0.1, 1.6]):
        assert () == _last_of(charts, values, 1), values


def test_a_gap_breaks_a_run() -> None:
    """Points on either side of an hour without parts are no run."""
    chart = individuals([*_FLAT, *[0.2] * 5, None, *[0.2] * 5], 24)

    assert [] == _breaks(chart, Rule.SIDE)
    assert None is chart.points[29].value


def test_too_few_points_have_no_limits() -> None:
    """Fewer than 20 points of baseline make no limits and no alarm; none and one look right too."""
    for values in ([], [7.0], [7.0] * 18 + [900.0]):
        chart = individuals(values, len(values))

        assert (0, len(values)) == (chart.baseline, len(chart.points))
        assert all(not point.broken and point.low == -math.inf for point in chart.points)
    assert 0 == shares([1, 0], [10, 0], 2).baseline


def test_the_baseline_alone_makes_the_limits() -> None:
    """What comes after the baseline never widens the limits that it is held against."""
    quiet, wild = individuals([*_FLAT, 0.0], 24), individuals([*_FLAT, 500.0], 24)

    assert quiet.points[0].high == wild.points[-1].high
    assert [25] == _breaks(wild, Rule.BEYOND)


def test_false_alarms_are_as_rare_as_stated() -> None:
    """Over 60,000 points in control: 2.7 in 1000 beyond the limits, 15.6 in 1000 with all rules (exact intervals).

    With the four rules of Western Electric, whose run is eight, the literature has one in 91.75 (Champ and Woodall,
    Technometrics 29, 1987) counted to the first signal; nine and the trend make it 64 points here, signals counted.
    """
    rng = random.Random(20261122)
    values: list[float | None] = [rng.gauss(0, 1) for _ in range(60_000)]
    broken = charts._broken(values, lambda place: abs(values[place] or 0) > 3, zones=True)
    beyond = share(sum(Rule.BEYOND in one for one in broken), len(broken))
    any_rule = share(sum(bool(one) for one in broken), len(broken))

    assert beyond.low < 0.0027 < beyond.high
    assert any_rule.low < 0.0156 < any_rule.high


def test_the_moving_average_is_quiet_for_500_points() -> None:
    """In control the first false alarm comes after 500 points on average (Lucas and Saccucci), here over 400 runs."""
    rng = random.Random(7)
    lengths = []
    for _ in range(400):
        average, spread, length = 0.0, charts.WIDTH * math.sqrt(charts.LAMBDA / (2 - charts.LAMBDA)), 0
        while abs(average) <= spread:
            average = charts.LAMBDA * rng.gauss(0, 1) + (1 - charts.LAMBDA) * average
            length += 1
        lengths.append(length)
    mean = sum(lengths) / len(lengths)
    error = 3.3 * 500 / math.sqrt(len(lengths))

    assert abs(mean - 500) < error


def test_a_small_shift_is_seen_by_the_average_first() -> None:
    """One sigma, lasting: the moving average signals within 20 points where single values stay inside their limits."""
    values = [*_FLAT, *[1.0 / 1.128] * 20]
    single = individuals(values, 24)
    average = moving_average(values, single.centre, single.sigma)

    assert [] == _breaks(single, Rule.BEYOND)
    assert _breaks(average, Rule.BEYOND)
