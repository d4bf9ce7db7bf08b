"""Turn each rule of the decision round, one at a time, and see which promise the judge breaks."""

from collections.abc import Iterator

import pytest

from appliance.schema.policy import Policy
from appliance.schema.verdict import Reason
from appliance.services.judge import JudgeNode
from appliance.sim.line_world import LineWorld, Trouble
from firmware_bridge.build import build_core
from tests.line.decision_promises import OUT_OF_ORDER, broken
from tests.line.test_inversion import BUILD, HARD_DAY, PARTS, RATE_HZ, Change, Workshop, kinds, play

JUDGE, POLICY, VOICE = (f"appliance.services.{name}" for name in ("judge", "_judge_policy", "_judge_voice"))
BANDS, DISPOSITION, FUSION, NOVELTY, PROMISE, SAMPLING = (
    f"appliance.decision.{name}" for name in ("bands", "disposition", "fusion", "novelty", "promise", "sampling")
)
WAY = {
    JUDGE: (),
    POLICY: (),
    VOICE: (),
    FUSION: (),
    SAMPLING: (VOICE,),
    DISPOSITION: (POLICY,),
    BANDS: (DISPOSITION, POLICY),
    NOVELTY: (DISPOSITION, POLICY),
    PROMISE: (DISPOSITION, POLICY),
}
"""Modules through which the judge comes by a rule."""

ESCAPED = "defective and accepted"


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.clean()


def turned(workshop: Workshop, module: str, *changes: Change) -> type[JudgeNode]:
    """Give a judge that decides with one module's rules turned round."""
    made, name = workshop.turn(module, *changes), module
    for user in (*WAY[module], *([JUDGE] if module != JUDGE else [])):
        made, name = workshop.turn(user, instead={name: made.__name__}), user
    return made.JudgeNode


def test_nothing_breaks_with_the_rules_as_they_are() -> None:
    """What breaks below breaks by the rule turned round."""
    assert set() == broken(JudgeNode)


INVERSIONS: dict[str, tuple[str, list[Change], str]] = {
    "unknown_is_no_worse_than_review": (
        DISPOSITION,
        [
            ("    Disposition.UNKNOWN,\n    Disposition.NO_VERDICT,\n)", "    Disposition.NO_VERDICT,\n)"),
            (
                "    Disposition.ACCEPT,\n    Disposition.REVIEW,",
                "    Disposition.ACCEPT,\n    Disposition.UNKNOWN,\n    Disposition.REVIEW,",
            ),
        ],
        "unknown not shown",
    ),
    "unknown_is_not_looked_for": (DISPOSITION, [("*_unknown(view, limits, policy),", "")], "unknown not shown"),
    "unknown_is_known": (NOVELTY, [("return not novelty_p > max", "return novelty_p > max")], "unknown not shown"),
    "unknown_is_good_enough": (
        DISPOSITION,
        [("yield Disposition.UNKNOWN, Reason.UNKNOWN_DEFECT", "yield Disposition.ACCEPT, Reason.UNKNOWN_DEFECT")],
        OUT_OF_ORDER,
    ),
    "unknown_is_never_looked_for": (
        DISPOSITION,
        [("policy.novelty == OFF", "policy.novelty != OFF")],
        "unknown not shown",
    ),
    "blind_is_good_enough": (
        DISPOSITION,
        [("yield Disposition.REVIEW, Reason.NOVELTY_MISSING", "yield Disposition.ACCEPT, Reason.NOVELTY_MISSING")],
        OUT_OF_ORDER,
    ),
    "blind_is_not_noticed": (DISPOSITION, [("if view.novelty_p is None:", "if False:")], OUT_OF_ORDER),
    "expired_is_good_enough": (
        DISPOSITION,
        [("yield Disposition.REVIEW, Reason.PROMISE_EXPIRED", "yield Disposition.ACCEPT, Reason.PROMISE_EXPIRED")],
        OUT_OF_ORDER,
    ),
    "expired_is_not_looked_at": (
        DISPOSITION,
        [("*_promise(policy, bundle, precision, expired=expired),", "")],
        OUT_OF_ORDER,
    ),
    "expired_is_turned": (PROMISE, [("return drifted or", "return not drifted or")], "held though in order"),
    "drift_is_forgotten": (PROMISE, [("return drifted or", "return")], OUT_OF_ORDER),
    "the_judge_does_not_tell_of_drift": (
        POLICY,
        [("expired = bool(self._void(by.bundle))", "expired = False")],
        "drift forgiven",
    ),
    "drift_is_not_heard": (POLICY, [("alarm.kind != DRIFT", "True")], "drift forgiven"),
    "every_alarm_is_drift": (POLICY, [("alarm.kind != DRIFT or ", "")], "lamp punished"),
    "drift_is_not_remembered": (POLICY, [("self._promise.void(bundle, cause)", "pass")], "drift forgiven"),
    "a_lost_alarm_is_none": (JUDGE, [("if topic.startswith(ALARM):", "if False:")], "lost alarm forgiven"),
    "alarms_go_nowhere": (
        JUDGE,
        [("return self._policing.alarmed(message, self._bundles.active, now)", "return ()")],
        "drift forgiven",
    ),
    "uncalibrated_is_good_enough": (
        BANDS,
        [("UNCALIBRATED: Said = (Disposition.REVIEW,", "UNCALIBRATED: Said = (Disposition.ACCEPT,")],
        OUT_OF_ORDER,
    ),
    "a_raw_bundle_may_promise": (
        DISPOSITION,
        [("policy.risk if limits.calibrated else None", "policy.risk")],
        OUT_OF_ORDER,
    ),
    "no_probability_is_none_of_a_defect": (
        DISPOSITION,
        [("return None if carried is None else 1 - carried", "return 1 - (carried or 0.0)")],
        OUT_OF_ORDER,
    ),
    "a_fault_is_a_score": (
        DISPOSITION,
        [
            (
                "    if any(is_fault(score) for score in (view.score, *(head.score for head in view.heads))):",
                "    if False:",
            )
        ],
        "decided unseen",
    ),
    "a_fault_is_good_enough": (
        DISPOSITION,
        [("return Disposition.NO_VERDICT, (Reason.MODEL_FAULT,)", "return Disposition.ACCEPT, (Reason.MODEL_FAULT,)")],
        OUT_OF_ORDER,
    ),
    "the_best_rule_decides": (
        DISPOSITION,
        [("SEVERITY.index(one[0]), reverse=True)", "SEVERITY.index(one[0]))")],
        OUT_OF_ORDER,
    ),
    "the_best_view_decides": (
        FUSION,
        [("SEVERITY.index(view[0]), reverse=True)", "SEVERITY.index(view[0]))")],
        "better view decides",
    ),
    "a_missing_view_is_none": (FUSION, [("if len(views) < needed or not views:", "if not views:")], OUT_OF_ORDER),
    "no_view_needs_to_be_there": (
        JUDGE,
        [("return fuse(views, len(part.entered.cameras))", "return fuse(views, 1)")],
        OUT_OF_ORDER,
    ),
    "a_missing_view_is_good_enough": (
        FUSION,
        [("return Disposition.NO_VERDICT, tuple", "return Disposition.ACCEPT, tuple")],
        OUT_OF_ORDER,
    ),
    "a_late_frame_is_looked_at": (
        JUDGE,
        [
            ("frame.complete and now >= self._latest(part):", "frame.complete and False:"),
            ("elif now >= due:\n            view.failure = Reason.TOO_LATE", "elif False:\n            pass"),
        ],
        "decided unseen",
    ),
    "a_broken_rule_is_not_looked_at": (DISPOSITION, [("if view.broken_rules else", "if False else")], OUT_OF_ORDER),
    "a_broken_rule_is_good_enough": (
        DISPOSITION,
        [("(Disposition.REJECT, Reason.RULE_BROKEN)", "(Disposition.ACCEPT, Reason.RULE_BROKEN)")],
        OUT_OF_ORDER,
    ),
    "a_broken_rule_is_a_persons": (
        DISPOSITION,
        [("(Disposition.REJECT, Reason.RULE_BROKEN)", "(Disposition.REVIEW, Reason.RULE_BROKEN)")],
        "broken rule not rejected",
    ),
    "limits_turned": (BANDS, [("if score > reject_above:", "if score < accept_below:")], "held though in order"),
    "over_the_limit_is_accepted": (
        BANDS,
        [
            (
                "    if score > reject_above:\n        return Disposition.REJECT,",
                "    if score > reject_above:\n        return Disposition.ACCEPT,",
            )
        ],
        OUT_OF_ORDER,
    ),
    "between_is_accepted": (
        BANDS,
        [("else (Disposition.REVIEW, Reason.BETWEEN_LIMITS)", "else (Disposition.ACCEPT, Reason.BETWEEN_LIMITS)")],
        OUT_OF_ORDER,
    ),
    "bands_turned": (
        BANDS,
        [("if confidence < bands.reject_below:", "if confidence > bands.reject_below:")],
        "held though in order",
    ),
    "unsure_is_accepted": (
        BANDS,
        [("else (Disposition.REVIEW, Reason.BETWEEN_BANDS)", "else (Disposition.ACCEPT, Reason.BETWEEN_BANDS)")],
        OUT_OF_ORDER,
    ),
    "the_defects_confidence_is_the_parts": (
        DISPOSITION,
        [("is None else 1 - carried", "is None else carried")],
        "held though in order",
    ),
    "nobody_needs_to_decide": (
        DISPOSITION,
        [("if silent or not deciding:", "if False:")],
        "accepted with nobody deciding",
    ),
    "who_informs_decides": (
        DISPOSITION,
        [("silent = any(", "silent = not deciding and any(")],
        "accepted with nobody deciding",
    ),
    "the_drawn_are_accepted": (
        SAMPLING,
        [("return Sampled(Disposition.REVIEW,", "return Sampled(Disposition.ACCEPT,")],
        OUT_OF_ORDER,
    ),
    "nothing_is_drawn": (SAMPLING, [("< share * (1 << DIGITS)", "< 0")], OUT_OF_ORDER),
    "the_draw_is_turned": (SAMPLING, [("< share * (1 << DIGITS)", ">= share * (1 << DIGITS)")], "held though in order"),
    "the_draw_is_over_what_is_held": (
        SAMPLING,
        [("if disposition is not Disposition.ACCEPT:", "if disposition is Disposition.NO_VERDICT:")],
        "draw of what is held anyway",
    ),
    "the_draw_is_not_told": (
        SAMPLING,
        [("reasons), policy.sample_share)\n    return", "reasons), 0.0)\n    return")],
        "draw not told",
    ),
    "parallel_mode_speaks": (
        JUDGE,
        [
            (
                "SealedVoice() if primary is None else OpenVoice(primary, policy)",
                "OpenVoice(primary or Primary('r', 1, '', ''), policy)",
            )
        ],
        "not one word in the right place",
    ),
    "primary_mode_is_sealed": (
        JUDGE,
        [("SealedVoice() if primary is None else OpenVoice(primary, policy)", "SealedVoice()")],
        "not one word in the right place",
    ),
    "the_seal_is_thin": (
        VOICE,
        [("return [Publish(SEALED, sealed)]", "return [Publish(SEALED, sealed), Publish(RESULT, decided.result)]")],
        "not one word in the right place",
    ),
    "the_belt_is_not_asked": (
        JUDGE,
        [("HostNs(latest(part.entered, self._belt) - self._margin)", "HostNs(part.entered.decide_by - self._margin)")],
        "expired on a belt that stands",
    ),
    "the_margin_is_turned": (
        JUDGE,
        [
            (
                "HostNs(latest(part.entered, self._belt) - self._margin)",
                "HostNs(latest(part.entered, self._belt) + self._margin)",
            )
        ],
        "never expires",
    ),
}


@pytest.mark.parametrize("name", INVERSIONS)
def test_a_rule_turned_round_breaks_its_promise(workshop: Workshop, name: str) -> None:
    """Each rule of the decision is held up by itself: turned round, it breaks the promise that it is there for."""
    module, changes, promise = INVERSIONS[name]

    assert promise in broken(turned(workshop, module, *changes))


# ---- in the whole world ----

STRANGE = Trouble(unknown=0.3)


@pytest.mark.parametrize(
    ("module", "changes", "trouble", "breach"),
    [
        (DISPOSITION, [("*_unknown(view, limits, policy),", "")], STRANGE, "unknown and accepted"),
        (
            BANDS,
            [("if score > reject_above:", "if False:"), ("if score <= accept_below", "if score > 0")],
            HARD_DAY,
            ESCAPED,
        ),
        (
            BANDS,
            [
                (
                    "if score == math.inf:\n        return Disposition.REJECT,",
                    "if score == math.inf:\n        return Disposition.ACCEPT,",
                )
            ],
            Trouble(wild_model=0.5),
            ESCAPED,
        ),
        (
            DISPOSITION,
            [("math.isnan(score) or score == -math.inf", "math.isnan(score)")],
            Trouble(wild_model=0.5),
            ESCAPED,
        ),
        (DISPOSITION, [("if view.broken_rules else", "if False else")], HARD_DAY, ESCAPED),
        (
            SAMPLING,
            [("return Sampled(disposition, reasons, 0.0)", "return Sampled(Disposition.ACCEPT, reasons, 0.0)")],
            HARD_DAY,
            ESCAPED,
        ),
    ],
    ids=["unknown", "over_the_limit", "infinity", "no_number", "broken_rule", "draw"],
)
def test_on_a_hard_day_the_rule_keeps_the_gate_shut(
    workshop: Workshop, module: str, changes: list[Change], trouble: Trouble, breach: str
) -> None:
    """The same day breaks nothing with the rule as it is, and opens the gate to the wrong part without it."""
    assert set() == kinds(play(trouble=trouble))
    assert breach in kinds(play(judge=turned(workshop, module, *changes), trouble=trouble))


def test_the_sample_of_a_good_day_costs_what_it_says() -> None:
    """The drawn share of the good parts goes to a person, every other good part is accepted, and nothing is broken."""
    world = LineWorld(build_core(BUILD), PARTS, RATE_HZ, 7, policy=Policy(sample_share=0.2))
    world.play()
    drawn = sum(one.kind == "verdict" and Reason.RANDOM_SAMPLE in one.why for one in world.shown)

    assert set() == kinds(world)
    assert world.defective.count(False) == world.accepted + drawn
    assert 0.1 < drawn / world.defective.count(False) < 0.3
