"""Hold a view's findings against the logical rules of a recipe: presence, count, order, distance.

A finding lies where the centre of its box lies; a centre on a region's edge is inside. What cannot be evaluated (no
box, a place that is not a number, no scale) breaks its rule: a rule is never skipped.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from appliance.schema.finding import Box, Finding
from appliance.schema.rule import Count, Distance, Order, Presence, Rule


class _Place(Struct, frozen=True):
    """Give the kind and the centre of one finding, px."""

    kind: str
    x: float
    y: float


def broken(rules: Sequence[Rule], view: str, findings: Sequence[Finding], mm_per_px: float | None) -> tuple[str, ...]:
    """Give one line per rule of this view that does not hold: its name, what was found, what was asked.

    mm_per_px: the view's scale in the plane of the part; None: unknown. Rules for texts and codes are not looked at
    here.
    """
    lines = []
    for rule in rules:
        if rule.view != view:
            continue
        match rule:
            case Presence():
                fault = _count(findings, rule.kind, rule.region, 1, None)
            case Count():
                fault = _count(findings, rule.kind, rule.region, rule.least, rule.most)
            case Order():
                fault = _order(findings, rule)
            case Distance():
                fault = _distance(findings, rule, mm_per_px)
            case _:
                continue
        if fault:
            lines.append(f"{rule.name}: {fault}")
    return tuple(lines)


def kinds_of(rule: Presence | Count | Order | Distance) -> tuple[str, ...]:
    """Give the classes that a rule speaks of."""
    match rule:
        case Presence() | Count():
            return (rule.kind,)
        case Order():
            return rule.kinds
    return (rule.one, rule.other)


def _count(findings: Sequence[Finding], kind: str, region: Box | None, least: int, most: int | None) -> str:
    of_kind = [item for item in findings if item.kind == kind]
    where = "" if region is None else " in the region"
    if region is None:
        number = len(of_kind)
    else:
        places = _places(of_kind, (kind,))
        if places is None:
            return f"found {kind} without a place, asked {_asked(least, most)} {kind}{where}"
        number = sum(_is_inside(place, region) for place in places)
    if number >= least and (most is None or number <= most):
        return ""
    return f"found {number} {kind}{where}, asked {_asked(least, most)}"


def _order(findings: Sequence[Finding], rule: Order) -> str:
    asked = f"asked {' '.join(rule.kinds)} along {rule.along}"
    places = _places(findings, rule.kinds)
    if places is None:
        return f"found one without a place, {asked}"
    ordered = sorted((place.x if rule.along == "x" else place.y, place.kind) for place in places)
    found = tuple(kind for _, kind in ordered)
    for (at, kind), (following, other) in pairwise(ordered):
        if at == following:
            return f"found {kind} and {other} both at {rule.along} {at:g} px, {asked}"
    return "" if found == rule.kinds else f"found {' '.join(found) or 'none'}, {asked}"


def _distance(findings: Sequence[Finding], rule: Distance, mm_per_px: float | None) -> str:
    asked = f"asked {rule.least_mm:g} to {rule.most_mm:g} mm from {rule.one} to {rule.other}"
    wanted = sorted((rule.one, rule.other))
    places = _places(findings, wanted)
    if places is None:
        return f"found one without a place, {asked}"
    if sorted(place.kind for place in places) != wanted:
        counts = ", ".join(f"{sum(place.kind == kind for place in places)} {kind}" for kind in dict.fromkeys(wanted))
        return f"found {counts}, {asked}, one of each"
    if mm_per_px is None or not 0 < mm_per_px < math.inf:
        return f"found no scale of the view, {asked}; set it"
    one, other = places
    apart_mm = math.hypot(one.x - other.x, one.y - other.y) * mm_per_px
    return "" if rule.least_mm <= apart_mm <= rule.most_mm else f"found {apart_mm:g} mm, {asked}"


def _places(findings: Sequence[Finding], kinds: Sequence[str]) -> list[_Place] | None:
    """Give the places of the findings of these kinds; None when one of them has none."""
    places = []
    for finding in findings:
        if finding.kind not in kinds:
            continue
        box = finding.box
        if box is None:
            return None
        place = _Place(finding.kind, box.x_px + box.width_px / 2, box.y_px + box.height_px / 2)
        if not (math.isfinite(place.x) and math.isfinite(place.y)):
            return None
        places.append(place)
    return places


def _is_inside(place: _Place, region: Box) -> bool:
    return (
        region.x_px <= place.x <= region.x_px + region.width_px
        and region.y_px <= place.y <= region.y_px + region.height_px
    )


def _asked(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least}"
    return str(least) if least == most else f"{least} to {most}"
