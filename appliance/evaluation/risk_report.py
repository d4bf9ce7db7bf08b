"""Say what limits by risk promise, with counts and bounds, and write them as a recipe's policy."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from appliance.decision.calibration import FEWEST_GOOD_IMAGES, calibrate, upper_bound
from appliance.decision.risk import Count, counted, suspicion
from appliance.decision.risk_plan import ClassPromise, HeldOut, Plan, Wish, per_million
from appliance.decision.risk_refusal import percent
from appliance.schema.bundle import GoodOnlyCalibration
from appliance.schema.policy import Guarantee, Policy

HOLD_BACK = 0.05
"""Share of good parts that a first limit may hold back (decision 0007)."""


class GoodOnly(Struct, frozen=True):
    """State what limits from good parts alone do; of escapes they say nothing."""

    own: GoodOnlyCalibration | None
    """The bundle's; None: it has none, and every part goes to a person."""
    overkill: Count | None
    """Held-out good parts that its limits do not accept."""
    overkill_upper: float | None
    """One-sided 95 % bound of that share."""
    fresh: GoodOnlyCalibration | None
    """What the held-out good parts would set; None: too few."""


def good_only(own: GoodOnlyCalibration | None, good: Sequence[float]) -> GoodOnly:
    """Hold a bundle's limits against held-out good parts, and give those that these would set."""
    ranked = [suspicion(score) for score in good]
    finite = [score for score in ranked if score < float("inf")]
    fresh = calibrate(finite, HOLD_BACK) if len(finite) == len(ranked) >= FEWEST_GOOD_IMAGES else None
    if own is None:
        return GoodOnly(None, None, None, fresh)
    over = counted(sum(score > own.accept_below for score in ranked), len(ranked))
    return GoodOnly(own, over, upper_bound(over.k, over.n), fresh)


def good_only_lines(found: GoodOnly) -> Iterator[str]:
    """Yield the report for people."""
    if found.own is None or found.overkill is None or found.overkill_upper is None:
        yield "  the bundle has no limits: every part goes to a person"
    else:
        yield (
            f"  accept up to {found.own.accept_below:.5g}, reject over {found.own.reject_above:.5g}: the bundle's own "
            f"limits, from {found.own.images} good ones; overkill at most {percent(found.own.overkill_upper)} (95 %)"
        )
        yield f"  overkill on these parts: {_said(found.overkill, found.overkill_upper, 0.95)}"
    if found.fresh is not None:
        yield (
            f"  these {found.fresh.images} good parts would set {found.fresh.accept_below:.5g}: overkill expected "
            f"{percent(found.fresh.overkill_expected)}, at most {percent(found.fresh.overkill_upper)} (95 %); "
            "`firstshift bundle calibrate` puts such limits into a bundle"
        )
    yield "  nothing is promised of escapes: that takes held-out parts with defects (`firstshift risk needed`)"


def plan_lines(found: Plan, wish: Wish, defect_rate: float | None, together: float) -> Iterator[str]:
    """Yield the report for people; every promise with its counts and bound."""
    promise, level = found.promise, found.promise.assurance
    yield (
        f"  accept up to {found.accept_below:.5g}, reject over {found.reject_above:.5g}; between the two a person looks"
    )
    sure = f"with assurance {percent(level)}"
    if promise.guarantee is Guarantee.EXPECTED:
        sure = f"on average over calibrations; this one keeps it with probability {percent(found.assurance)}"
    yield (
        f"  promised: at most {percent(promise.escape_rate)} of defective parts are accepted, {sure}; held out "
        f"{_interval(found.escaped)} were, {found.allowed} may be"
    )
    if defect_rate is not None:
        bound = per_million(promise.escape_rate, defect_rate)
        counted_now = per_million(found.escaped.k / found.escaped.n, defect_rate)
        of = f", {percent(together)} together with the bound of the defect rate" if together < level else ""
        yield (
            f"  escapes in a million parts at {percent(defect_rate)} defective: at most {bound:,.4g}{of}; as counted "
            f"{counted_now:,.4g}"
        )
    overkill = _said(found.overkill, found.overkill_upper, level)
    yield f"  overkill by these limits, rejected or held for a person: {overkill}"
    yield f"  of these rejected outright: {_said(found.rejected, found.rejected_upper, level)}"
    if found.load is not None and wish.shift is not None:
        defects = "" if defect_rate is not None else "; defective parts come on top, their share is not stated"
        yield (
            f"  reviews per shift: {found.load.minutes:.0f} minutes as counted, at most {found.load.minutes_upper:.0f} "
            f"({percent(level)}) of {wish.shift.minutes:g}; {found.load.good.k} of {found.load.good.n} good and "
            f"{found.load.defects.k} of {found.load.defects.n} defective parts lie between the limits{defects}"
        )
    yield from (f"  class {_class(one)}" for one in found.classes)
    if not wish.each_class and found.classes:
        yield "  the promise holds for defects in the mix of these data; --each-class promises every class"
    bounds = 3 if found.load is None else 4
    yield (
        f"  each bound holds at {percent(level)} by itself, all {bounds} at "
        f"{percent(max(0.0, 1 - bounds * (1 - level)))} at least; they speak of parts drawn as these were, and end "
        "with another bundle, another precision, or drift"
    )


def prediction(found: Plan, held: HeldOut) -> dict[str, Any]:
    """Give what a proposed recipe version states of the limits: counts of held-out parts."""
    between = sum(found.accept_below < suspicion(one) <= found.reject_above for one in (*held.good, *held.defects))
    return {
        "escapes": found.escaped,
        "overkill": found.overkill,
        "review": counted(between, len(held.good) + len(held.defects)),
        "unit": "part",
        "words": (
            f"limits by risk: at most {percent(found.promise.escape_rate)} escapes "
            f"({found.promise.guarantee}, {percent(found.assurance)}), on {len(held.defects)} defective and "
            f"{len(held.good)} good held-out real parts"
        ),
    }


def policy_toml(policy: Policy) -> str:
    """Give the policy's table, without what is at its default and no part of the plan."""
    own: dict[str, Any] = msgspec.to_builtins(policy)
    kept = ("basis", "defect_rate", "sample_share", "unknown_rate")
    lines = ["[policy]", *(f"{key} = {_toml(own[key])}" for key in kept if own[key] is not None)]
    if own["risk"] is not None:
        lines += ["", "[policy.risk]", *(f"{key} = {_toml(value)}" for key, value in own["risk"].items())]
    return "\n".join(lines) + "\n"


def _class(one: ClassPromise) -> str:
    said = f"{one.kind}: {_interval(one.escaped)} accepted, "
    if one.proven:
        return said + "keeps the promise by itself"
    short = one.escaped.n < one.needed
    return said + (
        f"too few to promise it ({one.needed:,} needed without a miss)" if short else "not promised by itself"
    )


def _interval(count: Count) -> str:
    return f"{count.k} of {count.n} ({percent(count.low)} to {percent(count.high)})"


def _said(count: Count, upper: float, level: float) -> str:
    return f"{count.k} of {count.n} good parts, at most {percent(upper)} ({percent(level)})"


def _toml(value: Any) -> str:
    """Write a text, number or list of texts; JSON's escapes of these are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
