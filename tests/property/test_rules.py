"""Hold the logical rules against their plain words, over findings of every kind and place, numbers or not."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from appliance.decision.disposition import judge_view
from appliance.decision.rules import broken
from appliance.schema.finding import Box, Finding, ViewResult
from appliance.schema.limits import Limits
from appliance.schema.policy import Policy
from appliance.schema.rule import Count, Distance, Order, Presence
from appliance.schema.verdict import Disposition

KINDS = st.sampled_from(["cap", "nut", "pin"])
WHOLE = st.integers(-3, 6).map(float)
"""Few places, so that edges and ties are common."""
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
BOXES = st.builds(Box, WHOLE, WHOLE, st.sampled_from([0.0, 2.0]), st.sampled_from([0.0, 2.0]))
WILD = st.builds(Box, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
REGIONS = st.none() | st.builds(Box, WHOLE, WHOLE, WHOLE.map(abs), WHOLE.map(abs))
PLACED = st.lists(st.builds(Finding, KINDS, NUMBERS, st.none(), BOXES), max_size=6)
ANY = st.lists(st.builds(Finding, KINDS, NUMBERS, st.none(), st.none() | BOXES | WILD), max_size=6)
RULES = st.one_of(
    st.builds(Presence, st.just("r"), st.just("top"), KINDS, REGIONS),
    st.builds(Count, st.just("r"), st.just("top"), KINDS, st.integers(0, 3), st.integers(0, 3), REGIONS),
    st.builds(Order, st.just("r"), st.just("top"), st.lists(KINDS, min_size=2, max_size=4).map(tuple)),
    st.builds(Distance, st.just("r"), st.just("top"), KINDS, KINDS, st.integers(0, 3), st.integers(0, 9)),
)
SCALES = st.none() | NUMBERS


def centre(box: Box) -> tuple[float, float]:
    return box.x_px + box.width_px / 2, box.y_px + box.height_px / 2


def within(finding: Finding, region: Box | None) -> bool:
    if region is None:
        return True
    x, y = centre(finding.box)
    return 0 <= x - region.x_px <= region.width_px and 0 <= y - region.y_px <= region.height_px


@given(PLACED, KINDS, REGIONS, st.integers(0, 3), st.integers(0, 3))
def test_count_counts(findings: list[Finding], kind: str, region: Box | None, least: int, most: int) -> None:
    """The rule holds exactly when the number of centres inside lies between its limits."""
    number = sum(item.kind == kind and within(item, region) for item in findings)
    rule = Count("r", "top", kind, least, most, region)

    assert (least <= number <= most) == (not broken((rule,), "top", findings, None))


@given(PLACED, KINDS, REGIONS)
def test_presence_is_a_count_of_one_at_least(findings: list[Finding], kind: str, region: Box | None) -> None:
    """Two ways to ask the same get the same answer."""
    present, counted = Presence("r", "top", kind, region), Count("r", "top", kind, 1, 10_000, region)

    assert bool(broken((present,), "top", findings, None)) == bool(broken((counted,), "top", findings, None))


@given(PLACED, st.lists(KINDS, min_size=2, max_size=4).map(tuple), st.sampled_from(["x", "y"]))
def test_order_is_the_only_one_possible(findings: list[Finding], kinds: tuple[str, ...], along: str) -> None:
    """The rule holds exactly when one arrangement of the findings goes strictly upwards, and it reads as asked."""
    taken = [item for item in findings if item.kind in kinds]
    axis = "xy".index(along)
    upwards = [
        tuple(item.kind for item in order)
        for order in itertools.permutations(taken)
        if all(centre(a.box)[axis] < centre(b.box)[axis] for a, b in itertools.pairwise(order))
    ]

    assert (upwards == [kinds]) == (not broken((Order("r", "top", kinds, along),), "top", findings, None))


@given(PLACED, KINDS, KINDS, st.integers(0, 3), st.integers(0, 9), st.sampled_from([0.5, 1.0, 2.0]))
def test_distance_measures_one_pair(
    findings: list[Finding], one: str, other: str, least: int, most: int, scale: float
) -> None:
    """The rule holds exactly when there is one finding of each kind and their centres are as far apart as asked."""
    taken = [item for item in findings if item.kind in {one, other}]
    holds = sorted(item.kind for item in taken) == sorted((one, other))
    if holds:
        holds = least <= math.dist(*(centre(item.box) for item in taken)) * scale <= most

    assert holds == (not broken((Distance("r", "top", one, other, least, most),), "top", findings, scale))


@given(RULES, ANY, SCALES)
def test_every_rule_answers_in_one_line(rule: Presence, findings: list[Finding], scale: float | None) -> None:
    """Whatever a model gives, a rule either holds or says in one line that it does not; nothing is raised."""
    lines = broken((rule,), "top", findings, scale)

    assert [("r", 1)] * len(lines) == [(line.partition(": ")[0], len(line.splitlines())) for line in lines]
    assert len(lines) <= 1


@given(RULES, ANY, SCALES)
def test_the_order_of_findings_does_not_matter(rule: Presence, findings: list[Finding], scale: float | None) -> None:
    """A model may list what it found in any order."""
    assert {broken((rule,), "top", findings, scale)} == {
        broken((rule,), "top", order, scale) for order in (findings[::-1], findings[1:] + findings[:1])
    }


@given(RULES, ANY, SCALES, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
def test_a_broken_rule_is_never_accepted(
    rule: Presence, findings: list[Finding], scale: float | None, score: float, accept: float, reject: float
) -> None:
    """No score, limit or scale turns a broken rule into an ACCEPT."""
    lines = broken((rule,), "top", findings, scale)
    view = ViewResult("top", 1, 1, score, None, tuple(findings), lines, novelty_p=1.0)
    disposition, _ = judge_view(view, Limits(accept, reject, known_parts=999), Policy(), "sha256:a", "f32")

    assert not (lines and disposition is Disposition.ACCEPT)
