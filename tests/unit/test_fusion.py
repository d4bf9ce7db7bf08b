"""Protect what several views of a part mean together: the worst rules, and a missing one is worse."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.disposition import SEVERITY, Judged
from appliance.decision.fusion import fuse
from appliance.schema.verdict import Disposition, Reason
from tests.unit.disposition_rig import (
    ACCEPT,
    NO_VERDICT,
    REJECT,
    REVIEW,
    UNKNOWN,
    VIEWS,
)


@given(VIEWS, st.integers(0, 4))
def test_accept_needs_every_view(views: list[Judged], needed: int) -> None:
    """A part is accepted only when all views it needs are there and each is an ACCEPT."""
    accepted = fuse(views, needed)[0] is ACCEPT

    assert accepted == (bool(views) and len(views) >= needed and all(one is ACCEPT for one, _ in views))


@given(VIEWS)
def test_order_of_views_does_not_matter(views: list[Judged]) -> None:
    """Cameras have no rank."""
    assert {fuse(list(order), len(views))[0] for order in itertools.permutations(views)} == {fuse(views, len(views))[0]}


@given(VIEWS, st.integers(0, 3))
def test_a_worse_view_makes_no_better_part(views: list[Judged], place: int) -> None:
    """Each view for itself can only hold the part back."""
    if not views:
        return
    before = SEVERITY.index(fuse(views, len(views))[0])
    for worse in SEVERITY[SEVERITY.index(views[place % len(views)][0]) :]:
        changed = [*views]
        changed[place % len(views)] = (worse, (Reason.MODEL_FAULT,))

        assert before <= SEVERITY.index(fuse(changed, len(views))[0])


@given(VIEWS, st.integers(1, 4))
def test_a_view_that_is_missing_is_no_verdict(views: list[Judged], missing: int) -> None:
    """However good the others are, the part that was not seen whole is not decided; what they say follows."""
    disposition, reasons = fuse(views, len(views) + missing)

    assert (NO_VERDICT, Reason.VIEW_MISSING) == (disposition, reasons[0])
    assert {reason for _, own in views for reason in own} <= set(reasons)
    assert len(reasons) == len(set(reasons))


def test_the_worst_view_decides_and_speaks_first() -> None:
    """The first reason is that of the view that decided; each reason stands once."""
    fine = (ACCEPT, (Reason.WITHIN_LIMITS,))
    views = [fine, (REJECT, (Reason.ABOVE_REJECT_LIMIT, Reason.NOVELTY_MISSING)), fine]

    assert (REJECT, (Reason.ABOVE_REJECT_LIMIT, Reason.NOVELTY_MISSING, Reason.WITHIN_LIMITS)) == fuse(views, 3)


@pytest.mark.parametrize("one", SEVERITY)
@pytest.mark.parametrize("other", SEVERITY)
@pytest.mark.parametrize("third", SEVERITY)
def test_the_worst_of_three_views_rules(one: Disposition, other: Disposition, third: Disposition) -> None:
    """All 125 triples: no verdict before unknown, unknown before reject, reject before review, review before accept."""
    reasons = (Reason.WITHIN_LIMITS,)
    expected = max((one, other, third), key=SEVERITY.index)

    assert expected is fuse([(one, reasons), (other, reasons), (third, reasons)], 3)[0]
    assert NO_VERDICT is fuse([(one, reasons), (other, reasons), (third, reasons)], 4)[0]


def test_severity_ranks_every_disposition() -> None:
    """A disposition that had no rank would be lost in a fusion; the order is the safety case's own."""
    assert (ACCEPT, REVIEW, REJECT, UNKNOWN, NO_VERDICT) == SEVERITY
    assert set(Disposition) == set(SEVERITY)
    assert 2 == len(get_args(Judged))
