"""Turn what a model made of one view into a disposition, with every reason that holds.

Each rule says for itself what it would do with the view; the worst of them decides and speaks first. So no rule can
make an accept of what another one holds back, and making any of them stricter never opens the gate.
"""

import math
from collections.abc import Iterator, Sequence

from appliance.decision.bands import UNCALIBRATED, Said, at_rate, by_bands, by_limits
from appliance.decision.novelty import is_unknown
from appliance.decision.promise import is_expired
from appliance.schema.finding import HeadScore, ViewResult
from appliance.schema.limits import Limits
from appliance.schema.policy import Basis, Policy, Role
from appliance.schema.verdict import Disposition, Reason

SEVERITY = (
    Disposition.ACCEPT,
    Disposition.REVIEW,
    Disposition.REJECT,
    Disposition.UNKNOWN,
    Disposition.NO_VERDICT,
)
"""From the only one that opens the gate to the one that says least; a part is what its worst view is."""

REQUIRED = "required"
OFF = "off"
"""Values of `Policy.novelty`."""

Judged = tuple[Disposition, tuple[Reason, ...]]


def is_fault(score: float) -> bool:
    """Say whether a score is none: not a number, or better than any image can be."""
    return math.isnan(score) or score == -math.inf


def judge_score(score: float, accept_below: float | None, reject_above: float | None) -> Said:
    """Judge a score by a bundle's own limits and nothing else; on the line `judge_view` says what counts beside it."""
    return (
        (Disposition.NO_VERDICT, Reason.MODEL_FAULT)
        if is_fault(score)
        else by_limits(score, accept_below, reject_above)
    )


def judge_view(
    view: ViewResult, limits: Limits, policy: Policy, bundle: str, precision: str, *, expired: bool = False
) -> Judged:
    """Judge one view under a recipe's policy; all reasons that hold, the worst first.

    limits: what the calibration of `bundle` knows in `precision`. expired: the promise behind limits by risk no longer
    stands for this bundle, whatever else is true.
    """
    if any(is_fault(score) for score in (view.score, *(head.score for head in view.heads))):
        return Disposition.NO_VERDICT, (Reason.MODEL_FAULT,)
    return worst([
        *_unknown(view, limits, policy),
        *([(Disposition.REJECT, Reason.RULE_BROKEN)] if view.broken_rules else []),
        *_by_heads(view, limits, policy),
        *_promise(policy, bundle, precision, expired=expired),
    ])  # fmt: skip


def worst(said: Sequence[Said]) -> Judged:
    """Let the worst decide: its reasons first, each once. What says nothing is no verdict."""
    if not said:
        return Disposition.NO_VERDICT, ()
    ordered = sorted(said, key=lambda one: SEVERITY.index(one[0]), reverse=True)
    return ordered[0][0], tuple(dict.fromkeys(reason for _, reason in ordered))


def _unknown(view: ViewResult, limits: Limits, policy: Policy) -> Iterator[Said]:
    if policy.novelty == OFF:
        return
    if view.novelty_p is None:
        yield Disposition.REVIEW, Reason.NOVELTY_MISSING
    elif is_unknown(view.novelty_p, limits.known_parts, policy.unknown_rate):
        yield Disposition.UNKNOWN, Reason.UNKNOWN_DEFECT


def _promise(policy: Policy, bundle: str, precision: str, *, expired: bool) -> Iterator[Said]:
    if policy.basis is not Basis.RISK or policy.risk is None:
        return
    if is_expired(policy.risk, bundle, precision, expired):
        yield Disposition.REVIEW, Reason.PROMISE_EXPIRED


def _by_heads(view: ViewResult, limits: Limits, policy: Policy) -> list[Said]:
    """Let those heads decide that may, and a head that must confirm send a reject by score to a person."""
    default = Role.DECIDES
    deciding: list[Said] = []
    confirmed, tasks = True, set()
    for task, said in _heads(view, limits, policy):
        tasks.add(task)
        match policy.heads.get(task, default):
            case Role.DECIDES:
                deciding += said
            case Role.CONFIRMS:
                # One without limits cannot say that there is nothing.
                confirmed &= worst(said)[0] is not Disposition.ACCEPT
        default = Role.INFORMS
    silent = any(role is Role.DECIDES and task not in tasks for task, role in policy.heads.items())
    if silent or not deciding:
        deciding.append(UNCALIBRATED)
    if confirmed or not any(disposition is Disposition.REJECT for disposition, _ in deciding):
        return deciding
    return [(Disposition.REVIEW, reason) for reason in (Reason.NOT_CONFIRMED, *worst(deciding)[1])]


def _heads(view: ViewResult, limits: Limits, policy: Policy) -> Iterator[tuple[str, list[Said]]]:
    """Yield each head's task with what it says, the bundle's first head first."""
    yield limits.task, [*_first(view, limits, policy), *_findings(view, limits.task, limits, policy)]
    for head in view.heads:
        yield head.task, [_other(head), *_findings(view, head.task, limits, policy)]


def _other(head: HeadScore) -> Said:
    return by_limits(head.score, head.accept_below, head.reject_above)


def _first(view: ViewResult, limits: Limits, policy: Policy) -> Iterator[Said]:
    match policy.basis:
        case Basis.LIMITS:
            yield by_limits(view.score, limits.accept_below, limits.reject_above)
        case Basis.RISK:
            risk = policy.risk if limits.calibrated else None
            yield by_limits(view.score, *((risk.accept_below, risk.reject_above) if risk else (None, None)))
        case Basis.CONFIDENCE:
            if view.score == math.inf:
                yield by_limits(view.score, None, None)
            yield by_bands(_free(view.probability, limits, policy), policy.bands)


def _findings(view: ViewResult, task: str, limits: Limits, policy: Policy) -> Iterator[Said]:
    """Yield what the bands say of each defect that a head found, where confidence decides."""
    if policy.basis is not Basis.CONFIDENCE:
        return
    others = {head.task for head in view.heads}
    for finding in view.findings:
        own = limits.kinds.get(finding.kind, limits.task)
        # A head that said nothing else cannot answer for what it found; the deciding one does.
        if finding.kind not in limits.features and (own if own in others else limits.task) == task:
            bands = policy.class_bands.get(finding.kind, policy.bands)
            yield by_bands(_free(finding.confidence, limits, policy), bands)


def _free(probability: float | None, limits: Limits, policy: Policy) -> float | None:
    """Give the confidence that there is no defect.

    A finding is carried over by the odds of the images: right ones come from defective parts and grow with these, wrong
    ones mostly from good parts.
    """
    carried = at_rate(probability, limits.base_rate, policy.defect_rate)
    return None if carried is None else 1 - carried
