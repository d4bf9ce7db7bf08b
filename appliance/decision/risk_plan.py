"""Join promise, overkill and review load to one pair of limits, or say why there is none and what would be needed.

The accept limit comes from defective parts alone (capped by the largest good score), so good parts give an honest
overkill. Where each class shall keep the promise, the limit is the lowest of all that are proven; that costs no
assurance, since a limit is taken only where every class proves it (intersection-union test: Berger, "Multiparameter
hypothesis testing and acceptance sampling", Technometrics 24 (1982)).
"""

import math
from collections.abc import Sequence

from msgspec import Struct

from appliance.decision import review_load, risk_refusal
from appliance.decision.calibration import at_most, upper_bound
from appliance.decision.review_load import Load, Shift
from appliance.decision.risk import Count, Promise, allowed, counted, escape_limit, needed, suspicion
from appliance.decision.risk_refusal import Impossible, Outright
from appliance.schema.errors import ConfigError
from appliance.schema.policy import Guarantee


class HeldOut(Struct, frozen=True):
    """Hold scores of real parts that the bundle did not learn from, one to a part: that of its worst picture."""

    defects: tuple[float, ...]
    kinds: tuple[tuple[str, ...], ...]
    """Of each defective part, the classes that it shows."""
    good: tuple[float, ...]


class Wish(Struct, frozen=True):
    """State what limits shall keep."""

    promise: Promise
    defect_rate: float = 0.0
    """Share of defective parts on the line, at most; 0: not stated, and left out of the review load."""
    shift: Shift | None = None
    """None: no bound on reviews, and nothing that was seen is rejected without a person looking."""
    overkill: float | None = None
    """Largest share of good parts that may be rejected outright; None: any."""
    each_class: bool = False
    """Every class with enough defects shall keep the promise by itself; else it holds in the mix of the data."""


class ClassPromise(Struct, frozen=True):
    """State how one class of defects stands to the promise."""

    kind: str
    escaped: Count
    needed: int
    """Defective parts of the class that would prove the promise without an escape."""
    proven: bool
    """Keeps the promise by itself, with the assurance."""


class Plan(Struct, frozen=True):
    """State limits and what they promise; each bound holds with the assurance by itself."""

    accept_below: float
    reject_above: float
    promise: Promise
    assurance: float
    """That the promise holds of the limit; with an expected guarantee, the probability that this one keeps the rate."""
    allowed: int
    """Held-out defective parts that may escape."""
    escaped: Count
    overkill: Count
    """Good parts not accepted, whether rejected or held for a person."""
    overkill_upper: float
    rejected: Count
    """Good parts rejected outright."""
    rejected_upper: float
    classes: tuple[ClassPromise, ...]
    load: Load | None
    """None where no shift was stated."""


def plan(wish: Wish, held: HeldOut) -> Plan | Impossible:
    """Give the limits that keep the wish on parts drawn as the held-out ones were, or say what is missing.

    ConfigError for numbers that mean nothing, and for no good part.
    """
    _check(wish, held)
    promise = wish.promise
    escaped = allowed(promise, len(held.defects))
    limit = escape_limit(held.defects, promise)
    if escaped is None or limit is None:
        return risk_refusal.too_few(promise, len(held.defects))
    own = _by_class(held) if wish.each_class else {}
    single = [found for scores in own.values() if (found := escape_limit(scores, promise)) is not None]
    finite = [score for score in map(suspicion, (*held.good, *held.defects)) if math.isfinite(score)]
    known_good = [score for score in map(suspicion, held.good) if math.isfinite(score)]
    accept_below = min(limit, *single, max(known_good, default=-math.inf))
    if not any(suspicion(score) <= accept_below for score in held.good):
        return risk_refusal.none_accepted(promise, len(held.good))
    return _with_reviews(wish, held, accept_below, max(accept_below, *finite), escaped)


def per_million(escape_rate: float, defect_rate: float) -> float:
    """Give the escapes in a million parts of the line, good ones among them."""
    return 1e6 * escape_rate * defect_rate


def escape_rate_of(escapes_per_million: float, defect_rate: float) -> float:
    """Give the escape rate of defective parts that so many escapes in a million parts are.

    ConfigError where even accepting every part would keep to it, or for numbers that mean nothing.
    """
    if not 0 < defect_rate < 1:
        raise ConfigError(f"risk: defect rate {defect_rate:g}, must lie between 0 and 1; state it as a share")
    if not 0 < escapes_per_million < 1e6 * defect_rate:
        raise ConfigError(
            f"risk: {escapes_per_million:g} escapes per million, must lie between 0 and the {1e6 * defect_rate:g} "
            "defective parts per million; promise fewer, or inspect nothing"
        )
    return escapes_per_million / (1e6 * defect_rate)


def halved(assurance: float) -> float:
    """Give the assurance that each of two statements needs for both to hold with this one (union bound)."""
    return 1 - (1 - assurance) / 2


def _check(wish: Wish, held: HeldOut) -> None:
    if len(held.kinds) != len(held.defects):
        raise ConfigError(f"risk: {len(held.kinds)} lists of classes for {len(held.defects)} defects; give one each")
    if not held.good:
        raise ConfigError("risk: 0 held-out good parts, so overkill cannot be stated; add good parts to the data")
    if not 0 <= wish.defect_rate < 1:
        raise ConfigError(f"risk: defect rate {wish.defect_rate:g}, must be 0 or more and under 1; state it as a share")
    if wish.overkill is not None and not 0 < wish.overkill < 1:
        raise ConfigError(f"risk: overkill {wish.overkill:g}, must lie between 0 and 1; state it as a share")
    if wish.shift is not None:
        review_load.check(wish.shift)


def _by_class(held: HeldOut) -> dict[str, list[float]]:
    names = sorted({kind for kinds in held.kinds for kind in kinds})
    return {
        name: [score for score, kinds in zip(held.defects, held.kinds, strict=True) if name in kinds] for name in names
    }


def _with_reviews(wish: Wish, held: HeldOut, accept_below: float, top: float, escaped: int) -> Plan | Impossible:
    promise, shift, reject_above = wish.promise, wish.shift, top
    level = promise.assurance
    if shift is not None:
        if review_load.floor_minutes(shift) > shift.minutes:
            return risk_refusal.no_time(shift)
        reject_above = review_load.reject_limit(held.good, accept_below, top, shift, wish.defect_rate, level)
    limits = (accept_below, reject_above)
    overkill, rejected = (_over(held.good, limit) for limit in limits)
    rejected_upper = upper_bound(rejected.k, rejected.n, level)
    if wish.overkill is not None and rejected_upper > wish.overkill:
        outright = Outright(wish.overkill, rejected.k, _over(held.good, top).k, overkill.k, len(held.good))
        return risk_refusal.too_much_overkill(outright, promise, shift, wish.defect_rate)
    escapes = counted(sum(suspicion(score) <= accept_below for score in held.defects), len(held.defects))
    return Plan(
        accept_below=accept_below,
        reject_above=reject_above,
        promise=promise,
        assurance=_assurance(promise, len(held.defects), escaped),
        allowed=escaped,
        escaped=escapes,
        overkill=overkill,
        overkill_upper=upper_bound(overkill.k, overkill.n, level),
        rejected=rejected,
        rejected_upper=rejected_upper,
        classes=tuple(_class(kind, scores, accept_below, promise) for kind, scores in _by_class(held).items()),
        load=None
        if shift is None
        else review_load.load(held.good, held.defects, limits, shift, wish.defect_rate, level),
    )


def _class(kind: str, scores: Sequence[float], accept_below: float, promise: Promise) -> ClassPromise:
    escapes = counted(sum(suspicion(score) <= accept_below for score in scores), len(scores))
    own = escape_limit(scores, promise)
    return ClassPromise(kind, escapes, needed(promise), own is not None and accept_below <= own)


def _assurance(promise: Promise, defects: int, escaped: int) -> float:
    if promise.guarantee is Guarantee.ASSURED:
        return promise.assurance
    return 1 - at_most(escaped, defects, promise.escape_rate)


def _over(scores: Sequence[float], limit: float) -> Count:
    return counted(sum(suspicion(score) > limit for score in scores), len(scores))
