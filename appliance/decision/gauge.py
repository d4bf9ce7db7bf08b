"""Place what was measured of a view between the limits that decided it, for people to see how close it was."""

import math
from collections.abc import Iterator

from msgspec import Struct

from appliance.decision.bands import Said, at_rate, by_bands, by_limits
from appliance.decision.disposition import SEVERITY
from appliance.schema.finding import ViewResult
from appliance.schema.limits import Limits
from appliance.schema.policy import Bands, Basis, Policy
from appliance.schema.verdict import Disposition

BESIDE = 1.5
"""Room beside the limits of a score, in widths of the band between them: a score has no end of its own."""


class Gauge(Struct, frozen=True):
    """State a value with the two limits it is held against."""

    value: float
    reject: float
    """Where the reject zone begins."""
    accept: float
    """Where the accept zone begins."""
    worst: float
    """End of the axis on the reject side; a value beyond it stands at it."""
    best: float
    is_confidence: bool
    """True: confidence that the part is free of a defect. False: raw score, lower is better."""
    kind: str = ""
    """Class of the finding that is shown; empty: the whole view."""

    def place(self, value: float) -> float:
        """Give where a value stands along the axis: 0 at the worst end, 1 at the best."""
        return min(max((value - self.worst) / (self.best - self.worst), 0.0), 1.0)


def gauge_of(view: ViewResult, limits: Limits, policy: Policy) -> Gauge | None:
    """Give what the recipe's basis makes of the deciding head; None where nothing could be held against limits."""
    if policy.basis is Basis.CONFIDENCE:
        return _by_confidence(view, limits, policy)
    held: Limits | None = limits
    accept, reject = limits.accept_below, limits.reject_above
    if policy.basis is Basis.RISK:
        held = limits if limits.calibrated and policy.risk is not None else None
        accept, reject = (policy.risk.accept_below, policy.risk.reject_above) if policy.risk else (None, None)
    if held is None or accept is None or reject is None or not math.isfinite(view.score):
        return None
    room = BESIDE * max(reject - accept, abs(accept) * 0.1, 1e-9)
    return Gauge(view.score, reject, accept, reject + room, accept - room, is_confidence=False)


def zone(gauge: Gauge) -> Disposition:
    """Say which zone the value lies in, by the very rules that judged it."""
    if gauge.is_confidence:
        return by_bands(gauge.value, Bands(gauge.accept, gauge.reject))[0]
    return by_limits(gauge.value, gauge.accept, gauge.reject)[0]


def _by_confidence(view: ViewResult, limits: Limits, policy: Policy) -> Gauge | None:
    """Give the worst of what confidence says of the view and of each defect in it."""
    found = list(_confidences(view, limits, policy))
    if not found:
        return None
    kind, value, bands, _ = max(found, key=lambda one: (SEVERITY.index(one[3][0]), -one[1]))
    worst = max(0.0, bands.reject_below - 2 * (1 - bands.reject_below))
    return Gauge(value, bands.reject_below, bands.accept_above, worst, 1.0, is_confidence=True, kind=kind)


def _confidences(view: ViewResult, limits: Limits, policy: Policy) -> Iterator[tuple[str, float, Bands, Said]]:
    others = {head.task for head in view.heads}
    said = [("", view.probability, policy.bands)] + [
        (finding.kind, finding.confidence, policy.class_bands.get(finding.kind, policy.bands))
        for finding in view.findings
        if finding.kind not in limits.features and limits.kinds.get(finding.kind, limits.task) not in others
    ]
    for kind, probability, bands in said:
        carried = at_rate(probability, limits.base_rate, policy.defect_rate)
        if carried is not None:
            yield kind, 1 - carried, bands, by_bands(1 - carried, bands)
