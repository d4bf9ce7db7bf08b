"""Protect the way from scores to a disposition: the worst view decides, and what is missing is worst."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.disposition import SEVERITY, fuse, judge_view
from appliance.schema.verdict import Disposition, Reason

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
VIEWS = st.lists(st.tuples(st.sampled_from(Disposition), st.sampled_from(Reason)), max_size=4)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.9, Disposition.ACCEPT),
        (1.0, Disposition.ACCEPT),
        (1.0000001, Disposition.REVIEW),
        (2.0, Disposition.REVIEW),
        (2.0000001, Disposition.REJECT),
    ],
)
def test_limits_belong_to_the_lower_band(score: float, expected: Disposition) -> None:
    """A score on a limit is what a score just under it is, as the calibration counted it."""
    assert expected is judge_view(score, 1.0, 2.0)[0]


@given(NUMBERS, st.floats(0, 10), st.floats(0, 10))
def test_only_a_score_within_the_limit_is_accepted(score: float, accept_below: float, width: float) -> None:
    """Whatever the score, an ACCEPT means that it is a finite number no greater than the accept limit."""
    accepted = judge_view(score, accept_below, accept_below + width)[0] is Disposition.ACCEPT

    assert accepted == (math.isfinite(score) and score <= accept_below)


@given(st.none() | NUMBERS, st.none() | NUMBERS)
def test_infinity_is_over_every_limit(accept_below: float | None, reject_above: float | None) -> None:
    """What a task holds for worse than anything is rejected, by any bundle."""
    assert (Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT) == judge_view(math.inf, accept_below, reject_above)


@given(NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
def test_a_broken_rule_is_never_accepted(score: float, accept_below: float | None, reject_above: float | None) -> None:
    """Whatever score and limits are, a view that breaks a rule is rejected, or says that its model failed."""
    expected = (
        (Disposition.NO_VERDICT, Reason.MODEL_FAULT)
        if math.isnan(score) or score == -math.inf
        else (Disposition.REJECT, Reason.RULE_BROKEN)
    )

    assert expected == judge_view(score, accept_below, reject_above, rule_broken=True)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([(None, None), (1.0, None), (None, 1.0)]))
def test_without_limits_a_person_decides(score: float, limits: tuple[float | None, float | None]) -> None:
    """An uncalibrated bundle accepts nothing and rejects nothing."""
    assert (Disposition.REVIEW, Reason.UNCALIBRATED) == judge_view(score, *limits)


@given(VIEWS, st.integers(0, 4))
def test_accept_needs_every_view(views: list[tuple[Disposition, Reason]], needed: int) -> None:
    """A part is accepted only when all views it needs are there and each is an ACCEPT."""
    accepted = fuse(views, needed)[0] is Disposition.ACCEPT

    assert accepted == (
        bool(views) and len(views) >= needed and all(disposition is Disposition.ACCEPT for disposition, _ in views)
    )


@given(VIEWS)
def test_order_of_views_does_not_matter(views: list[tuple[Disposition, Reason]]) -> None:
    """Cameras have no rank."""
    assert {fuse(list(order), len(views))[0] for order in itertools.permutations(views)} == {fuse(views, len(views))[0]}


def test_the_worst_view_decides_and_speaks_first() -> None:
    """The first reason is that of the view that decided; each reason stands once."""
    views = [
        (Disposition.ACCEPT, Reason.WITHIN_LIMITS),
        (Disposition.REJECT, Reason.ABOVE_REJECT_LIMIT),
        (Disposition.ACCEPT, Reason.WITHIN_LIMITS),
    ]

    assert (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT, Reason.WITHIN_LIMITS)) == fuse(views, 3)


def test_a_missing_view_is_no_verdict() -> None:
    """Fewer views than needed say that something is missing, and what the others saw."""
    assert (Disposition.NO_VERDICT, (Reason.VIEW_MISSING,)) == fuse([], 1)
    assert (Disposition.NO_VERDICT, (Reason.VIEW_MISSING, Reason.WITHIN_LIMITS)) == fuse(
        [(Disposition.ACCEPT, Reason.WITHIN_LIMITS)], 2
    )


def test_severity_ranks_every_disposition() -> None:
    """A disposition that had no rank would be lost in a fusion; ACCEPT is the mildest."""
    assert set(Disposition) == set(SEVERITY)
    assert SEVERITY[0] is Disposition.ACCEPT
    assert SEVERITY[-1] is Disposition.NO_VERDICT
