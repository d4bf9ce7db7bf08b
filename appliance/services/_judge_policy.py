"""Hold a judge's views against the recipe's policy, and remember what drift has voided."""

from collections.abc import Sequence

from appliance.decision.disposition import REQUIRED, Judged, judge_view
from appliance.decision.promise import is_expired
from appliance.ports.inspector import Inspector
from appliance.ports.node import Output, Publish
from appliance.ports.promise import Promise
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs
from appliance.schema.errors import StoreError
from appliance.schema.finding import ViewResult
from appliance.schema.health import Alarm, Component, Condition
from appliance.schema.limits import Limits
from appliance.schema.policy import Basis, Policy
from appliance.schema.topics import ALARM, AUDIT

JUDGE = "judge"
DRIFT = "drift"
"""Kind of the alarm that voids a promise: parts, light or lens are no longer those behind it."""


class Policing:
    """Judge views by one recipe version's policy."""

    def __init__(self, policy: Policy, promise: Promise) -> None:
        """Take the policy and the memory in which a void promise outlives this process."""
        self._policy, self._promise = policy, promise
        self._doubt = ""

    def judge(self, view: ViewResult, by: Inspector) -> Judged:
        """Judge one view by what its bundle knows."""
        expired = bool(self._void(by.bundle))
        return judge_view(view, by.limits, self._policy, by.bundle, by.precision, expired=expired)

    def missed(self, topic: str, count: int) -> None:
        """Doubt the promise while this process lives: one of the alarms that were lost may have been for drift."""
        self._doubt = f"{count} messages of {topic} were lost and may have told of drift"

    def alarmed(self, alarm: Alarm, active: Inspector | None, now: HostNs) -> Sequence[Output]:
        """Void the promise on an alarm for drift; other alarms are for other ears."""
        risk = self._policy.risk
        if alarm.kind != DRIFT or self._policy.basis is not Basis.RISK or risk is None:
            return ()
        bundle = active.bundle if active else risk.bundle
        if self._promise.cause(bundle):
            return ()
        cause = f"{alarm.unit}: {alarm.text}"
        outputs: list[Output] = [
            Publish(AUDIT + JUDGE, AuditRequest(f"service:{JUDGE}", "promise_voided", bundle, "stands", cause))
        ]
        try:
            self._promise.void(bundle, cause)
        except StoreError as error:
            outputs.append(Publish(ALARM + JUDGE, Alarm(JUDGE, "promise_not_stored", str(error), at=now)))
        return outputs

    def components(self, active: Inspector | None) -> list[Component]:
        """Name what keeps the active bundle from accepting anything; and say how the promise is."""
        if active is None:
            return []
        found = []
        lacking = _lacking(active.limits, self._policy)
        if lacking:
            remedy = "calibrate the bundle for it, or propose a recipe version with another basis"
            found.append(Component("policy", Condition.DEGRADED, f"{lacking}: nothing is accepted", remedy))
        if self._policy.novelty == REQUIRED and not active.limits.known_parts:
            found.append(
                Component(
                    "novelty",
                    Condition.DEGRADED,
                    f"{active.bundle} cannot tell unknown parts: nothing is accepted",
                    'use a bundle with a detector, or a recipe version with policy.novelty = "off"',
                )
            )
        if self._policy.basis is Basis.RISK:
            found.append(self._promised(active))
        return found

    def _promised(self, active: Inspector) -> Component:
        risk, drift = self._policy.risk, self._void(active.bundle)
        remedy = "find new limits on held-out data (`firstshift risk plan`) and propose the next recipe version"
        if drift and drift == self._doubt:
            remedy = "look through the alarms in the record; if none was for drift, restart judge"
        if risk is None:
            return Component("promise", Condition.DEGRADED, "basis is risk and no limits are stated", remedy)
        if drift:
            return Component("promise", Condition.DEGRADED, f"void, nothing is accepted: {drift}", remedy)
        if is_expired(risk, active.bundle, active.precision, drifted=False):
            told = f"found for {risk.bundle} in {risk.precision}, active is {active.bundle} in {active.precision}"
            return Component("promise", Condition.DEGRADED, f"void, nothing is accepted: {told}", remedy)
        told = f"at most {risk.escape_rate:.3%} of defective parts pass ({risk.assurance:.0%}, n={risk.defects})"
        return Component("promise", Condition.OK, told)

    def _void(self, bundle: str) -> str:
        return self._promise.cause(bundle) or self._doubt


def _lacking(limits: Limits, policy: Policy) -> str:
    """Say what the recipe's basis needs and the active bundle has not; empty: nothing."""
    match policy.basis:
        case Basis.LIMITS if limits.accept_below is None or limits.reject_above is None:
            return "basis is limits, and the bundle has none in this precision"
        case Basis.CONFIDENCE if limits.base_rate is None:
            return "basis is confidence, and the bundle has no curve of the image score in this precision"
        case Basis.CONFIDENCE if policy.defect_rate is not None and not 0 < (limits.base_rate or 0) < 1:
            return f"defect_rate {policy.defect_rate:g} needs good and defective images behind the curve"
    return ""
