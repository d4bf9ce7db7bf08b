"""Limits by risk: how many parts prove a promise, which limit that gives, and what is refused with what is needed."""

import math

import pytest

from appliance.decision.calibration import at_most, upper_bound
from appliance.decision.promise import is_expired
from appliance.decision.review_load import Shift, floor_minutes, reject_limit
from appliance.decision.risk import Promise, allowed, escape_limit, needed, provable_rate
from appliance.decision.risk_plan import HeldOut, Plan, Wish, escape_rate_of, halved, per_million, plan
from appliance.decision.risk_refusal import Impossible
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Guarantee, RiskLimits

EXPECTED = Guarantee.EXPECTED


def held(defects: list[float], good: list[float], kinds: list[tuple[str, ...]] | None = None) -> HeldOut:
    return HeldOut(tuple(defects), tuple(kinds or [("dent",)] * len(defects)), tuple(good))


def good_parts(count: int = 100) -> list[float]:
    return [n / count for n in range(count)]


@pytest.mark.parametrize(
    ("rate", "assurance", "escaped", "parts"),
    [
        (0.005, 0.95, 0, 598),
        (0.001, 0.95, 0, 2995),
        (0.003, 0.95, 0, 998),
        (0.005, 0.95, 1, 947),
        (0.01, 0.99, 0, 459),
        (0.05, 0.95, 0, 59),
        (0.5, 0.5, 0, 1),
    ],
)
def test_how_many_defects_prove_a_rate(rate: float, assurance: float, escaped: int, parts: int) -> None:
    """The exact numbers: one part fewer proves it no more."""
    promise = Promise(rate, assurance)

    assert parts == needed(promise, escaped)
    assert escaped == allowed(promise, parts)
    assert (allowed(promise, parts - 1) or -1) < escaped
    assert at_most(escaped, parts, rate) <= 1 - assurance < at_most(escaped, parts - 1, rate)


@pytest.mark.parametrize(("rate", "escaped", "parts"), [(0.005, 0, 199), (0.1, 0, 9), (0.29, 28, 99), (0.29, 0, 3)])
def test_how_many_defects_keep_a_rate_on_average(rate: float, escaped: int, parts: int) -> None:
    """Conformal risk control asks for (escapes + 1) / (parts + 1) at most, in decimal numbers."""
    promise = Promise(rate, guarantee=EXPECTED)

    assert parts == needed(promise, escaped)
    assert escaped == allowed(promise, parts)
    assert (allowed(promise, parts - 1) or -1) < escaped


def test_what_is_named_as_provable_can_be_proven() -> None:
    """The rate that so many defects prove without an escape needs just as many."""
    assert [1, 44, 140, 3000] == [needed(Promise(provable_rate(n, 0.95) + 1e-9)) for n in (1, 44, 140, 3000)]
    assert 140 == needed(Promise(provable_rate(140, 0.95, EXPECTED) + 1e-9, guarantee=EXPECTED))
    assert 1.0 == provable_rate(0, 0.95)


@pytest.mark.parametrize(
    "promise", [Promise(0.0), Promise(1.0), Promise(math.nan), Promise(0.1, 0.0), Promise(0.1, 1.0)]
)
def test_promises_that_none_can_be_are_bad_input(promise: Promise) -> None:
    """Nothing is proven of no escapes at all, nor with certainty."""
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        needed(promise)
    with pytest.raises(ConfigError, match="must lie between 0 and 1"):
        allowed(promise, 10)


def test_a_count_below_none_and_a_promise_without_end_are_refused() -> None:
    """Escapes are counted from 0; what needs more parts than any line makes is said to do so."""
    with pytest.raises(ConfigError, match="must be 0 or more"):
        needed(Promise(0.1), -1)
    with pytest.raises(ConfigError, match="over 1000000000 defective parts"):
        needed(Promise(1e-10))


def test_the_limit_lies_right_below_the_first_escape_too_many() -> None:
    """With 59 defects none may escape at 5 %; with 93 one may. The limit accepts no part that scores as the next."""
    promise = Promise(0.05)
    scores = [float(n) for n in range(10, 69)]

    assert math.nextafter(10.0, 0) == escape_limit(scores, promise)
    assert math.nextafter(1.0, 0) == escape_limit([0.0, *[1.0] * 92], promise)
    assert math.nextafter(0.0, -1) == escape_limit([0.0, 0.0, *[1.0] * 91], promise)
    assert escape_limit(scores[1:], promise) is None


def test_scores_that_are_none_never_escape() -> None:
    """A defective part without a score is held back whatever the limit is: it counts, above all others."""
    promise = Promise(0.05)

    assert math.nextafter(1.0, 0) == escape_limit([1.0, *[math.nan] * 40, *[-math.inf] * 18], promise)


def test_a_plan_states_what_its_limits_do() -> None:
    """Escapes, overkill and outright rejections are counted on the held-out parts, each with its exact bound."""
    found = plan(Wish(Promise(0.05)), held([0.9] * 20 + [2.0] * 39, good_parts()))

    assert isinstance(found, Plan)
    assert (math.nextafter(0.9, 0), 2.0) == (found.accept_below, found.reject_above)
    assert (0, 59, 0) == (found.escaped.k, found.escaped.n, found.allowed)
    assert (10, 100, 0) == (found.overkill.k, found.overkill.n, found.rejected.k)
    assert (upper_bound(10, 100), upper_bound(0, 100)) == (found.overkill_upper, found.rejected_upper)
    assert 0.95 == found.assurance
    assert found.load is None


def test_nothing_more_suspicious_than_every_good_part_is_accepted() -> None:
    """Where defects score far above all good parts, the limit stays at the good ones: that costs nothing."""
    found = plan(Wish(Promise(0.05)), held([50.0] * 59, good_parts()))

    assert isinstance(found, Plan)
    assert 0.99 == found.accept_below


def test_too_few_defects_are_refused_with_the_number_needed() -> None:
    """The line names what there is, what was asked, what is needed, and what could be had."""
    found = plan(Wish(Promise(0.005)), held([1.0] * 140, good_parts()))

    assert (
        Impossible(
            "impossible with 140 defects at 0.5 % and 95 %: 598 needed without a miss; add 458 held-out real ones, or "
            "promise 2.12 %, which 140 can prove",
            598,
            140,
        )
        == found
    )
    assert plan(Wish(Promise(0.0212)), held([1.0] * 140, good_parts())) != found
    assert "impossible with 0 defects at 0.5 % on average: 199 needed without a miss; add 199 held-out real ones" == (
        plan(Wish(Promise(0.005, guarantee=EXPECTED)), held([], good_parts())).text
    )


def test_a_promise_that_accepts_nothing_is_refused() -> None:
    """Limits under every good part would keep any promise and stop the line."""
    found = plan(Wish(Promise(0.05)), held([-1.0] * 59, good_parts()))

    assert isinstance(found, Impossible)
    assert "accepts 0 of 100 good parts" in found.text


def test_numbers_that_mean_nothing_are_bad_input() -> None:
    """No good part, rates beyond their ends, and shifts that are none, are refused by name."""
    parts = held([1.0] * 59, good_parts())
    for wish, other, said in (
        (Wish(Promise(0.05)), held([1.0] * 59, []), "0 held-out good parts"),
        (Wish(Promise(0.05)), HeldOut((1.0,), (), (0.0,)), "0 lists of classes"),
        (Wish(Promise(0.05), defect_rate=1.0), parts, "defect rate 1"),
        (Wish(Promise(0.05), overkill=0.0), parts, "overkill 0"),
        (Wish(Promise(0.05), shift=Shift(0, 5, 10)), parts, "parts per shift 0"),
        (Wish(Promise(0.05), shift=Shift(10, -5, 10)), parts, "seconds per review -5"),
        (Wish(Promise(0.05), shift=Shift(10, 5, math.inf)), parts, "inf minutes"),
    ):
        with pytest.raises(ConfigError, match=said):
            plan(wish, other)


def test_each_class_keeps_the_promise_where_it_has_enough_defects() -> None:
    """The worst class sets the limit; a class with too few defects is named as not promised."""
    defects = [0.5] * 1 + [0.8] * 99 + [0.9] * 59 + [0.1] * 5
    kinds = [("dent",)] * 100 + [("scratch",)] * 59 + [("void",)] * 5
    parts = held(defects, good_parts(), kinds)
    mixed, each = (plan(Wish(Promise(0.1), each_class=own), parts) for own in (False, True))

    assert isinstance(mixed, Plan)
    assert isinstance(each, Plan)
    assert math.nextafter(0.8, 0) == mixed.accept_below == each.accept_below
    assert [("dent", 100, True), ("scratch", 59, True), ("void", 5, False)] == [
        (one.kind, one.escaped.n, one.proven) for one in each.classes
    ]
    assert {29} == {one.needed for one in each.classes}


def test_one_bad_class_is_not_hidden_by_the_mix() -> None:
    """Where one class escapes and the others do not, only a promise for each class lowers the limit."""
    defects = [0.2] * 10 + [0.8] * 30 + [2.0] * 300
    kinds = [("faint",)] * 40 + [("dent",)] * 300
    mixed, each = (
        plan(Wish(Promise(0.1), each_class=own), held(defects, good_parts(), kinds)) for own in (False, True)
    )

    assert isinstance(mixed, Plan)
    assert isinstance(each, Plan)
    assert (math.nextafter(0.8, 0), math.nextafter(0.2, 0)) == (mixed.accept_below, each.accept_below)
    assert [True, False] == [one.proven for one in mixed.classes]
    assert [True, True] == [one.proven for one in each.classes]


def test_an_expected_promise_states_how_likely_this_limit_keeps_it() -> None:
    """Average and assured are not the same: the probability that this very limit keeps the rate is stated."""
    found = plan(Wish(Promise(0.05, guarantee=EXPECTED)), held([float(n) for n in range(1, 60)], [*good_parts(), 9.0]))

    assert isinstance(found, Plan)
    assert 2 == found.allowed
    assert pytest.approx(1 - at_most(2, 59, 0.05)) == found.assurance
    assert 0.4 < found.assurance < 0.65


def test_reviews_fit_into_the_shift() -> None:
    """The reject limit is the largest whose reviews fit, by their upper bound; a minute more may raise it."""
    shift = Shift(1000, 6, 20)
    limit = reject_limit(good_parts(), 0.5, 9.0, shift, 0.01, 0.95)
    between = sum(0.5 < score <= limit for score in good_parts())

    assert 0.5 < limit < 0.99
    assert shift.minutes_of(0.99 * upper_bound(between, 100) + 0.01) <= 20
    assert shift.minutes_of(0.99 * upper_bound(between + 1, 100) + 0.01) > 20
    assert 9.0 == reject_limit(good_parts(), 0.5, 9.0, Shift(1000, 6, 100), 0.01, 0.95)
    assert 0.5 == reject_limit(good_parts(), 0.5, 9.0, Shift(1000, 6, 0.5), 0.01, 0.95)


def test_a_plan_states_the_review_minutes() -> None:
    """Predicted from the counts, bounded with every defective part, the sample and the unknown ones in review."""
    shift = Shift(parts=6000, seconds=10, minutes=300, sample_share=0.01, unknown_rate=0.02)
    found = plan(Wish(Promise(0.05), 0.01, shift), held([0.9] * 20 + [2.0] * 39, good_parts()))

    assert isinstance(found, Plan)
    assert found.load is not None
    assert (10, 59) == (found.load.good.k, found.load.defects.k)
    assert pytest.approx(0.99 * (0.1 + 0.01 * 0.9 + 0.02) + 0.01) == found.load.share
    assert pytest.approx(0.99 * upper_bound(10, 100) + 0.01 + 0.03) == found.load.share_upper
    assert pytest.approx(1000 * found.load.share) == found.load.minutes
    assert found.load.minutes < found.load.minutes_upper <= 300


def test_minutes_that_the_sample_alone_takes_are_refused() -> None:
    """Whatever the limits are, sample and unknown parts are looked at: fewer minutes are impossible."""
    shift = Shift(6000, 10, 29, 0.01, 0.02)
    found = plan(Wish(Promise(0.05), 0.01, shift), held([0.9] * 59, good_parts()))

    assert 30.0 == pytest.approx(floor_minutes(shift))
    assert isinstance(found, Impossible)
    assert (
        "impossible with 29 review minutes per shift: the random sample of 1 % and 2 % taken for unknown need 30"
        in (found.text)
    )


def test_overkill_and_minutes_that_exclude_each_other_are_refused() -> None:
    """The line names the minutes that would do, and they do; or the good parts that would."""
    parts = held([0.9] * 59, good_parts())
    wish = Wish(Promise(0.05), 0.01, Shift(6000, 10, 20), overkill=0.05)
    found = plan(wish, parts)

    assert isinstance(found, Impossible)
    assert "10 of 100 are, up to 16.37 % at 95 %; 161 review minutes per shift would do, 20 stated" in found.text
    enough = plan(Wish(Promise(0.05), 0.01, Shift(6000, 10, 161), overkill=0.05), parts)
    assert isinstance(enough, Plan)
    assert enough.rejected_upper <= 0.05
    short = plan(Wish(Promise(0.05), 0.01, Shift(6000, 10, 161), overkill=0.02), parts)
    assert isinstance(short, Impossible)
    assert (149, 100) == (short.needed, short.present)


def test_escapes_per_million_need_the_defect_rate() -> None:
    """Of all parts, so many escape: the share of defects there are times the share of them accepted."""
    assert pytest.approx(0.05) == escape_rate_of(100, 0.002)
    assert pytest.approx(100) == per_million(0.05, 0.002)
    assert pytest.approx(0.975) == halved(0.95)
    with pytest.raises(ConfigError, match="2000 defective parts per million"):
        escape_rate_of(2000, 0.002)
    with pytest.raises(ConfigError, match="defect rate 0"):
        escape_rate_of(10, 0.0)


def test_a_promise_ends_with_its_bundle_precision_or_drift() -> None:
    """It speaks of one bundle in one precision on a line that has not changed."""
    risk = RiskLimits(1.0, 2.0, 0.05, 0.95, 59, 0, 100, "sha256:a", "bf16", "0" * 64)

    assert not is_expired(risk, "sha256:a", "bf16", drifted=False)
    assert is_expired(risk, "sha256:a", "bf16", drifted=True)
    assert is_expired(risk, "sha256:b", "bf16", drifted=False)
    assert is_expired(risk, "sha256:a", "f32", drifted=False)
