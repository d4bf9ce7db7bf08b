"""Protect the way from what a model saw to a disposition: the worst rule decides, and of several views the worst."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.decision.disposition import OFF, judge_score, judge_view, worst
from appliance.schema.finding import Finding, HeadScore, ViewResult
from appliance.schema.limits import READ, Limits
from appliance.schema.policy import Bands, Basis, Policy, Role
from appliance.schema.verdict import Disposition, Reason
from tests.unit.disposition_rig import (
    ACCEPT,
    BASES,
    BUNDLE,
    BY_CONFIDENCE,
    BY_LIMITS,
    BY_RISK,
    LIMITS,
    NO_VERDICT,
    NUMBERS,
    PRECISION,
    REJECT,
    REVIEW,
    RISK,
    UNKNOWN,
    VIEW,
    found,
    judge,
)


@pytest.mark.parametrize(
    ("policy", "reason"),
    [(BY_LIMITS, Reason.WITHIN_LIMITS), (BY_CONFIDENCE, Reason.CONFIDENT), (BY_RISK, Reason.WITHIN_LIMITS)],
)
def test_a_view_in_order_is_accepted(policy: Policy, reason: Reason) -> None:
    """The tests below can fail: with everything in order each basis accepts, for one reason."""
    assert (ACCEPT, (reason,)) == judge(policy=policy)


@pytest.mark.parametrize("policy", BASES)
def test_an_unknown_view_outranks_every_band(policy: Policy) -> None:
    """What is unlike everything known is held and shown, whatever its score says; what else holds follows."""
    unlike = replace(VIEW, novelty_p=0.001)
    wild = replace(unlike, score=99.0, probability=1.0, broken_rules=("screws: found 1, asked 2",))
    disposition, reasons = judge(wild, policy)

    assert (UNKNOWN, Reason.UNKNOWN_DEFECT) == (judge(unlike, policy)[0], judge(unlike, policy)[1][0])
    assert (UNKNOWN, Reason.UNKNOWN_DEFECT, Reason.RULE_BROKEN) == (disposition, *reasons[:2])
    assert len(reasons) == 3


@pytest.mark.parametrize(("p", "expected"), [(0.0100001, ACCEPT), (0.01, UNKNOWN), (0.0, UNKNOWN), (math.nan, UNKNOWN)])
def test_the_unknown_rate_is_the_share_of_known_parts_held(p: float, expected: Disposition) -> None:
    """A p-value up to the rate is unknown, and so is one that is no number."""
    assert expected is judge(replace(VIEW, novelty_p=p), Policy(unknown_rate=0.01))[0]


@pytest.mark.parametrize("policy", BASES)
def test_without_a_detector_of_unknown_parts_nothing_is_accepted(policy: Policy) -> None:
    """A bundle that cannot tell what it does not know sends would-be accepts to a person, unless switched off."""
    blind = replace(VIEW, novelty_p=None)

    assert (REVIEW, Reason.NOVELTY_MISSING) == (judge(blind, policy)[0], judge(blind, policy)[1][0])
    assert ACCEPT is judge(blind, replace(policy, novelty=OFF))[0]
    assert REJECT is judge(replace(blind, broken_rules=("r",)), policy)[0]


def test_a_detector_that_is_off_holds_nothing() -> None:
    """A signed recipe version may do without it."""
    assert ACCEPT is judge(replace(VIEW, novelty_p=0.0), Policy(novelty=OFF))[0]


@pytest.mark.parametrize("policy", BASES)
@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_a_score_that_is_none_is_no_verdict(policy: Policy, score: float) -> None:
    """Not a number, or better than any image can be: the model failed, and nothing else it says counts."""
    everything = replace(VIEW, novelty_p=0.0, broken_rules=("r",))
    other = replace(VIEW, heads=(HeadScore("semantic", score, 1.0, 2.0),))

    assert (NO_VERDICT, (Reason.MODEL_FAULT,)) == judge(replace(everything, score=score), policy)
    assert (NO_VERDICT, (Reason.MODEL_FAULT,)) == judge(other, policy)


@pytest.mark.parametrize("policy", BASES)
def test_infinity_is_rejected(policy: Policy) -> None:
    """What a task holds for worse than anything is rejected by any bundle, calibrated or not."""
    for limits in (LIMITS, Limits(known_parts=999)):
        assert (REJECT, Reason.ABOVE_REJECT_LIMIT) == (
            judge(replace(VIEW, score=math.inf), policy, limits)[0],
            judge(replace(VIEW, score=math.inf), policy, limits)[1][0],
        )


@pytest.mark.parametrize("policy", BASES)
def test_uncalibrated_goes_to_a_person(policy: Policy) -> None:
    """Without limits and curve nothing is accepted; a broken rule still rejects."""
    raw = replace(VIEW, probability=None)
    nothing = Limits(known_parts=999)

    assert (REVIEW, (Reason.UNCALIBRATED,)) == judge(raw, policy, nothing)
    assert (REJECT, (Reason.RULE_BROKEN, Reason.UNCALIBRATED)) == judge(
        replace(raw, broken_rules=("r",)), policy, nothing
    )


@pytest.mark.parametrize("limits", [Limits(1.0, None, known_parts=9), Limits(None, 1.0, known_parts=9)])
def test_half_a_limit_is_none(limits: Limits) -> None:
    """Both limits are needed."""
    assert (REVIEW, (Reason.UNCALIBRATED,)) == judge(policy=Policy(unknown_rate=0.5), limits=limits)


@given(NUMBERS, st.none() | NUMBERS, st.sampled_from(BASES))
def test_a_broken_rule_is_never_accepted(score: float, accept: float | None, policy: Policy) -> None:
    """Whatever score and limits are, a view that breaks a rule is rejected, or says that its model failed."""
    fault = math.isnan(score) or score == -math.inf
    said = judge(replace(VIEW, score=score, broken_rules=("r",)), policy, replace(LIMITS, accept_below=accept))

    assert (NO_VERDICT if fault else REJECT) is said[0]
    assert (Reason.MODEL_FAULT if fault else Reason.RULE_BROKEN) is said[1][0]


# ---- confidence ----


@pytest.mark.parametrize(
    ("probability", "finding", "expected"),
    [
        (0.01, None, (ACCEPT, (Reason.CONFIDENT,))),
        (0.10, None, (REVIEW, (Reason.BETWEEN_BANDS,))),
        (0.40, None, (REJECT, (Reason.LOW_CONFIDENCE,))),
        (0.01, 0.10, (REVIEW, (Reason.BETWEEN_BANDS, Reason.CONFIDENT))),
        (0.01, 0.90, (REJECT, (Reason.LOW_CONFIDENCE, Reason.CONFIDENT))),
        (0.40, 0.01, (REJECT, (Reason.LOW_CONFIDENCE, Reason.CONFIDENT))),
        (None, 0.01, (REVIEW, (Reason.UNCALIBRATED, Reason.CONFIDENT))),
    ],
)
def test_the_least_confidence_decides(
    probability: float | None, finding: float | None, expected: tuple[Disposition, tuple[Reason, ...]]
) -> None:
    """Of the image and of each finding of a defect, the worst speaks for the view."""
    view = VIEW if finding is None else found("scratch", finding)

    assert expected == judge(replace(view, probability=probability), BY_CONFIDENCE)


@pytest.mark.parametrize("confidence", [None, math.nan])
def test_a_defect_without_a_confidence_is_a_persons(confidence: float | None) -> None:
    """A class that nobody calibrated is never accepted by confidence, however sure the image is."""
    assert (REVIEW, (Reason.UNCALIBRATED, Reason.CONFIDENT)) == judge(found("scratch", confidence), BY_CONFIDENCE)


@pytest.mark.parametrize("policy", [BY_LIMITS, BY_RISK])
def test_findings_decide_by_confidence_alone(policy: Policy) -> None:
    """Where limits on the score decide, a finding is shown and has no say of its own."""
    assert [(ACCEPT, (Reason.WITHIN_LIMITS,))] * 2 == [judge(found("scratch", one), policy) for one in (None, 0.99)]


def test_a_class_has_its_own_bands() -> None:
    """A critical class is rejected where another one is a person's; the others keep the recipe's bands."""
    policy = replace(BY_CONFIDENCE, class_bands={"crack": Bands(0.999, 0.98)})

    assert [REJECT, REVIEW] == [judge(found(kind, 0.05), policy)[0] for kind in ("crack", "scratch")]


def test_what_is_no_defect_decides_nothing() -> None:
    """Texts, codes and classes that rules count need no confidence."""
    limits = replace(LIMITS, features=READ | {"screw"})

    assert [ACCEPT] * 3 == [judge(found(kind, None), BY_CONFIDENCE, limits)[0] for kind in ("screw", "text", "code")]


def test_the_lines_defect_rate_moves_the_confidence() -> None:
    """What half-defective calibration data leaves to a person, a line with one defect in a thousand accepts."""
    unsure = replace(VIEW, probability=0.2)

    assert REVIEW is judge(unsure, BY_CONFIDENCE)[0]
    assert ACCEPT is judge(unsure, replace(BY_CONFIDENCE, defect_rate=0.001))[0]
    assert (REVIEW, (Reason.UNCALIBRATED,)) == judge(
        unsure, replace(BY_CONFIDENCE, defect_rate=0.001), replace(LIMITS, base_rate=None)
    )


# ---- risk ----


@pytest.mark.parametrize(
    "expiry",
    [{"bundle": "sha256:b"}, {"precision": "bf16"}, {"expired": True}],
    ids=["other_bundle", "other_precision", "drift"],
)
def test_an_expired_promise_accepts_nothing(expiry: dict[str, object]) -> None:
    """Limits found for another bundle or precision, or before the drift, leave every would-be accept to a person."""
    assert (REVIEW, (Reason.PROMISE_EXPIRED, Reason.WITHIN_LIMITS)) == judge(policy=BY_RISK, **expiry)
    assert REJECT is judge(replace(VIEW, score=9.0), BY_RISK, **expiry)[0]
    assert ACCEPT is judge(policy=BY_LIMITS, **expiry)[0]


def test_risk_without_limits_is_uncalibrated() -> None:
    """A recipe that asks for a promise and states none accepts nothing."""
    assert (REVIEW, (Reason.UNCALIBRATED,)) == judge(policy=Policy(basis=Basis.RISK))


# ---- every rule at once ----

POLICIES = st.builds(
    Policy,
    st.sampled_from(Basis),
    st.builds(Bands, st.floats(0, 1), st.floats(0, 1)),
    st.dictionaries(st.sampled_from(["scratch", "dent"]), st.builds(Bands, st.floats(0, 1), st.floats(0, 1))),
    st.none() | st.floats(0.001, 0.999),
    st.sampled_from([None, RISK, replace(RISK, bundle="sha256:b"), replace(RISK, precision="bf16")]),
    st.dictionaries(st.sampled_from(["anomaly", "semantic", "detection"]), st.sampled_from(Role)),
    st.sampled_from(["required", "off"]),
    st.sampled_from([0.01, 0.5]),
)
FINDINGS = st.lists(
    st.builds(Finding, st.sampled_from(["scratch", "dent", "screw"]), NUMBERS, st.none() | st.floats(0, 1)), max_size=3
).map(tuple)
SCORED = st.floats(-1, 4) | st.sampled_from([math.nan, math.inf, -math.inf])
OTHERS = st.lists(
    st.builds(HeadScore, st.sampled_from(["semantic", "detection"]), SCORED, st.none() | st.just(1.0), st.just(2.0)),
    max_size=2,
).map(tuple)
SEEN = st.builds(
    ViewResult,
    st.just("top"),
    st.just(1),
    st.just(1),
    SCORED,
    st.none(),
    FINDINGS,
    st.sampled_from([(), ("r",)]),
    st.none() | st.floats(0, 1),
    st.none(),
    st.none() | st.floats(0, 1),
    OTHERS,
)
KNOWING = st.builds(
    Limits,
    st.none() | st.just(1.0),
    st.none() | st.just(2.0),
    st.none() | st.just(0.5),
    st.just("anomaly"),
    st.just({"dent": "semantic"}),
    st.just(READ | {"screw"}),
    st.sampled_from([0, 9, 999]),
)


@given(SEEN, KNOWING, POLICIES, st.booleans())
def test_an_accept_means_that_everything_is_in_order(
    view: ViewResult, limits: Limits, policy: Policy, expired: bool
) -> None:
    """Told in other words than the code's: no accept with anything missing, broken, unlike, void or not a number."""
    if judge(view, policy, limits, expired=expired)[0] is not ACCEPT:
        return
    scores = [view.score, *(head.score for head in view.heads)]

    assert all(score > -math.inf for score in scores)
    assert () == view.broken_rules
    assert policy.novelty == "off" or view.novelty_p > policy.unknown_rate
    assert Role.DECIDES in {policy.heads.get("anomaly", Role.DECIDES), *policy.heads.values()}
    if policy.heads.get("anomaly", Role.DECIDES) is Role.DECIDES:
        assert view.score < math.inf
        assert policy.basis is not Basis.LIMITS or view.score <= limits.accept_below
        assert policy.basis is not Basis.RISK or view.score <= policy.risk.accept_below
        assert policy.basis is not Basis.CONFIDENCE or view.probability is not None
    if policy.basis is Basis.RISK and policy.risk is not None:
        assert (BUNDLE, PRECISION, False) == (policy.risk.bundle, policy.risk.precision, expired)
    for task, role in policy.heads.items():
        assert role is not Role.DECIDES or task in {limits.task, *(head.task for head in view.heads)}
    for head in view.heads:
        assert policy.heads.get(head.task) is not Role.DECIDES or head.score <= head.accept_below


WORSE = {
    "score": lambda view, limits, policy: (replace(view, score=view.score + 0.7), limits, policy),
    "fault": lambda view, limits, policy: (replace(view, score=math.nan), limits, policy),
    "rule": lambda view, limits, policy: (replace(view, broken_rules=("r",)), limits, policy),
    "unlike": lambda view, limits, policy: (
        replace(view, novelty_p=view.novelty_p and view.novelty_p / 4),
        limits,
        policy,
    ),
    "blind": lambda view, limits, policy: (replace(view, novelty_p=None), limits, policy),
    "probability": lambda view, limits, policy: (
        replace(view, probability=view.probability and (1 + view.probability) / 2),
        limits,
        policy,
    ),
    "raw": lambda view, limits, policy: (replace(view, probability=None), limits, policy),
    "finding": lambda view, limits, policy: (
        replace(view, findings=(*view.findings, Finding("scratch", 1.0, 0.5))),
        limits,
        policy,
    ),
    "findings": lambda view, limits, policy: (
        replace(view, findings=tuple(replace(one, confidence=None) for one in view.findings)),
        limits,
        policy,
    ),
    "heads": lambda view, limits, policy: (
        replace(view, heads=tuple(replace(head, score=head.score + 0.7) for head in view.heads)),
        limits,
        policy,
    ),
    "uncalibrated": lambda view, limits, policy: (
        view,
        replace(limits, accept_below=None, reject_above=None, base_rate=None),
        policy,
    ),
    "bands": lambda view, limits, policy: (
        view,
        limits,
        replace(policy, bands=Bands((1 + policy.bands.accept_above) / 2, policy.bands.reject_below)),
    ),
    "required": lambda view, limits, policy: (view, limits, replace(policy, novelty="required")),
    "unpromised": lambda view, limits, policy: (view, limits, replace(policy, risk=None)),
    "missing_head": lambda view, limits, policy: (
        view,
        limits,
        replace(policy, heads={**policy.heads, "ocr": Role.DECIDES}),
    ),
}
"""Ways in which one input gets worse."""


@pytest.mark.parametrize("worse", WORSE)
@given(view=SEEN, limits=KNOWING, policy=POLICIES, expired=st.booleans())
def test_no_single_thing_gets_worse_and_opens_the_gate(
    worse: str, view: ViewResult, limits: Limits, policy: Policy, expired: bool
) -> None:
    """Making any one input worse never turns into an accept what was none."""
    before = judge(view, policy, limits, expired=expired)[0]
    after = judge_view(*WORSE[worse](view, limits, policy), BUNDLE, PRECISION, expired=expired)[0]

    assert not (before is not ACCEPT and after is ACCEPT)


@given(SEEN, KNOWING, POLICIES)
def test_expiry_opens_nothing(view: ViewResult, limits: Limits, policy: Policy) -> None:
    """Drift, another bundle and another precision take accepts away and give none."""
    before = judge(view, policy, limits)[0]
    ways = [{"expired": True}, {"bundle": "sha256:c"}, {"precision": "int8"}]

    assert before is ACCEPT or ACCEPT not in {judge(view, policy, limits, **way)[0] for way in ways}


@given(SEEN, KNOWING, POLICIES)
def test_reasons_stand_once_the_worst_first(view: ViewResult, limits: Limits, policy: Policy) -> None:
    """Every disposition has a reason, none twice, and an accept has only reasons to accept."""
    disposition, reasons = judge(view, policy, limits)

    assert len(reasons) == len(set(reasons)) > 0
    if disposition is ACCEPT:
        assert {Reason.WITHIN_LIMITS, Reason.CONFIDENT} >= set(reasons)
    else:
        assert reasons[0] not in {Reason.WITHIN_LIMITS, Reason.CONFIDENT}


def test_nothing_said_is_no_verdict() -> None:
    """Silence opens nothing."""
    assert (NO_VERDICT, ()) == worst([])


@pytest.mark.parametrize("score", [math.nan, -math.inf])
def test_a_score_alone_that_is_none_is_no_verdict(score: float) -> None:
    """Under every limit it would be accepted."""
    assert (NO_VERDICT, Reason.MODEL_FAULT) == judge_score(score, 1.0, 2.0)


@given(NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)
def test_a_score_alone_is_judged_as_in_a_view(score: float, accept: float | None, reject: float | None) -> None:
    """Evaluation counts by the same limits as the line."""
    disposition, reason = judge_score(score, accept, reject)
    said = judge(replace(VIEW, score=score), limits=replace(LIMITS, accept_below=accept, reject_above=reject))

    assert (disposition, (reason,)) == said
