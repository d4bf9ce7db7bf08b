"""Shifts cut time without gap or overlap, by the clock on the wall; causes are ordered and their shares add up."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.decision.calibration import clopper_pearson
from appliance.monitoring.pareto import REST, pareto
from appliance.monitoring.shares import share
from appliance.monitoring.shifts import shift_after, shift_at, shift_before, starts
from appliance.schema.clocks import S, UtcNs

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600 * S


def utc(text: str) -> UtcNs:
    return UtcNs(round(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()) * S)


@given(
    st.integers(0, 4_000_000_000), st.sampled_from([(), ("05:30", "17:30"), ("00:00",), ("22:00", "06:00", "14:00")])
)
def test_every_instant_lies_in_one_shift(second: int, stated: tuple[str, ...]) -> None:
    """Its shift holds it, ends where the next begins, and begins where the one before ends."""
    begins, at = starts(stated), UtcNs(second * S)
    shift = shift_at(at, begins, BERLIN)

    assert shift.begin <= at < shift.end
    assert shift == shift_at(shift.begin, begins, BERLIN)
    assert shift.end == shift_after(shift, begins, BERLIN).begin
    assert shift.begin == shift_before(shift, begins, BERLIN).end


def test_the_night_belongs_to_the_day_it_began() -> None:
    """At two in the morning it is the third shift of the day before."""
    shift = shift_at(utc("2026-11-22T02:00"), starts(()), BERLIN)

    assert ("2026-11-21", 3, 8 * HOUR) == (shift.day, shift.number, shift.end - shift.begin)


@pytest.mark.parametrize(("day", "hours"), [("2026-10-25T03:30", 9), ("2026-03-29T03:30", 7)])
def test_the_clock_is_changed_at_night(day: str, hours: int) -> None:
    """The night in which the clock is changed is an hour longer or shorter, as for those who work it."""
    shift = shift_at(utc(day), starts(()), BERLIN)

    assert (3, hours * HOUR) == (shift.number, shift.end - shift.begin)


@pytest.mark.parametrize("stated", [("25:00",), ("six",), ("06:00", "06:00")])
def test_starts_that_are_none_are_refused(stated: tuple[str, ...]) -> None:
    """A start that is no time of the day, or stands twice, is named."""
    with pytest.raises(ValueError, match="shifts: "):
        starts(stated)


@settings(max_examples=40)
@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 10**6), max_size=20), st.integers(1, 10))
def test_a_pareto_loses_nothing(counts: dict[str, int], longest: int) -> None:
    """Counts add up to all, shares to one, causes fall, and the rest stands at the end with its number of causes."""
    slices = pareto(counts, longest)
    named = [one for one in slices if one.name != REST]

    assert sum(counts.values()) == sum(one.count for one in slices)
    assert sorted((one.count for one in named), reverse=True) == [one.count for one in named]
    assert not slices or pytest.approx(1) == slices[-1].cumulative
    assert len([count for count in counts.values() if count]) == len(named) + sum(one.merged for one in slices)
    assert all(one.merged != 1 for one in slices)


def test_a_slice_has_its_exact_interval() -> None:
    """37 of 50 with Clopper and Pearson's ends; nothing counted is an empty chart."""
    first = pareto({"scratch": 37, "dent": 13})[0]

    assert ("scratch", 37, 50) == (first.name, first.share.k, first.share.n)
    assert pytest.approx(clopper_pearson(37, 50), abs=1e-9) == (first.share.low, first.share.high)
    assert () == pareto({}) == pareto({"dent": 0})


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(0, 200))
def test_fast_intervals_are_the_exact_ones(hits: int, misses: int) -> None:
    """The interval by the beta function is Clopper and Pearson's to 1e-9."""
    found = share(hits, hits + misses)

    assert pytest.approx(clopper_pearson(hits, hits + misses), abs=1e-9) == (found.low, found.high)


def test_large_counts_have_intervals_too() -> None:
    """48,000 of 50,000 has the interval that the normal law gives there to 1e-4, and its ends mirror."""
    found, other = share(48_000, 50_000), share(2_000, 50_000)
    reach = 1.959964 * (0.96 * 0.04 / 50_000) ** 0.5

    assert pytest.approx((0.96 - reach, 0.96 + reach), abs=1e-4) == (found.low, found.high)
    assert pytest.approx((1 - other.high, 1 - other.low), abs=1e-12) == (found.low, found.high)
