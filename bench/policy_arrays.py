"""Apply a recipe's policy to many parts at once; `test_bench_decision.py` holds it against the product part by part."""

import numpy as np
from numpy.typing import NDArray

from appliance.decision.disposition import OFF, SEVERITY
from appliance.schema.bundle import ConfidenceCurve
from appliance.schema.limits import Limits
from appliance.schema.policy import Basis, Policy
from appliance.schema.verdict import Disposition

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

ACCEPT, REVIEW, REJECT, UNKNOWN, NO_VERDICT = (
    SEVERITY.index(one)
    for one in (
        Disposition.ACCEPT,
        Disposition.REVIEW,
        Disposition.REJECT,
        Disposition.UNKNOWN,
        Disposition.NO_VERDICT,
    )
)


def dispose(
    score: Floats,
    probability: Floats | None,
    novelty_p: Floats | None,
    limits: Limits,
    policy: Policy,
    expired: NDArray[np.bool_],
) -> Codes:
    """Give each part's disposition as its place in SEVERITY: (n,) int8.

    score, probability, novelty_p: (n, views) of the one head that there is; None where the bundle has none. expired:
    (n,) whether the promise had expired when the part came.
    """
    said = [_by_score(score, probability, limits, policy)]
    if policy.novelty != OFF:
        if novelty_p is None:
            said.append(np.full(score.shape, REVIEW, np.int8))
        else:
            strange = ~(novelty_p > max(policy.unknown_rate, 1 / (limits.known_parts + 1)))
            said.append(np.where(strange, UNKNOWN, ACCEPT).astype(np.int8))
    if policy.basis is Basis.RISK:
        said.append(np.broadcast_to(np.where(expired, REVIEW, ACCEPT).astype(np.int8)[:, None], score.shape))
    views = np.maximum.reduce(said)
    views = np.where(np.isnan(score) | (score == -np.inf), NO_VERDICT, views)
    return views.max(axis=1).astype(np.int8)


def p_values(novelty: Floats, known: Floats) -> Floats:
    """Give conformal p-values against the ascending scores of known parts, as `calibration.conformal_p_value`."""
    at_least = known.size - np.searchsorted(known, novelty, side="left")
    return (at_least + 1) / (known.size + 1)


def probabilities(curve: ConfidenceCurve, score: Floats) -> Floats:
    """Give what a curve makes of scores, as `confidence.confidence_of`."""
    return np.interp(score, curve.scores, curve.confidences)


def at_rate(probability: Floats, measured: float, expected: float) -> Floats:
    """Carry probabilities of a defect to another base rate, as `bands.at_rate`."""
    defect = probability * expected / measured
    good = (1 - probability) * (1 - expected) / (1 - measured)
    return defect / (defect + good)


def _by_score(score: Floats, probability: Floats | None, limits: Limits, policy: Policy) -> Codes:
    if policy.basis is Basis.CONFIDENCE:
        return np.where(score == np.inf, REJECT, _by_bands(score, probability, limits, policy)).astype(np.int8)
    pair = (limits.accept_below, limits.reject_above)
    if policy.basis is Basis.RISK:
        risk = policy.risk if limits.calibrated else None
        pair = (risk.accept_below, risk.reject_above) if risk else (None, None)
    accept_below, reject_above = pair
    if accept_below is None or reject_above is None:
        return np.where(score == np.inf, REJECT, REVIEW).astype(np.int8)
    between = np.where(score <= accept_below, ACCEPT, REVIEW)
    return np.where(score > reject_above, REJECT, between).astype(np.int8)


def _by_bands(score: Floats, probability: Floats | None, limits: Limits, policy: Policy) -> Codes:
    if probability is None:
        return np.full(score.shape, REVIEW, np.int8)
    carried = probability
    if policy.defect_rate is not None:
        if limits.base_rate is None or not 0 < limits.base_rate < 1:
            return np.full(score.shape, REVIEW, np.int8)
        carried = at_rate(probability, limits.base_rate, policy.defect_rate)
    free = 1 - carried
    between = np.where(free > policy.bands.accept_above, ACCEPT, REVIEW)
    return np.where(free < policy.bands.reject_below, REJECT, between).astype(np.int8)
