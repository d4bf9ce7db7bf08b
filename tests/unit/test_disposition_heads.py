"""Protect what several heads of a bundle have to say in one view, each by its role."""

import pytest
from msgspec.structs import replace

from appliance.decision.disposition import Judged
from appliance.schema.finding import HeadScore
from appliance.schema.policy import Policy, Role
from appliance.schema.verdict import Disposition, Reason
from tests.unit.disposition_rig import ACCEPT, BY_CONFIDENCE, LIMITS, REJECT, REVIEW, UNKNOWN, VIEW, found, judge

HEAD = HeadScore("semantic", 0.5, 1.0, 2.0)


def with_head(score: float, role: Role | None, own: float = 0.5, head: HeadScore = HEAD) -> Judged:
    policy = Policy(heads={"semantic": role} if role else {})
    return judge(replace(VIEW, score=own, heads=(replace(head, score=score),)), policy)


@pytest.mark.parametrize(
    ("role", "own", "other", "expected"),
    [
        (None, 0.5, 9.0, ACCEPT),
        (Role.INFORMS, 0.5, 9.0, ACCEPT),
        (Role.INFORMS, 9.0, 0.5, REJECT),
        (Role.DECIDES, 0.5, 0.5, ACCEPT),
        (Role.DECIDES, 0.5, 1.5, REVIEW),
        (Role.DECIDES, 0.5, 9.0, REJECT),
        (Role.DECIDES, 9.0, 0.5, REJECT),
        (Role.CONFIRMS, 9.0, 9.0, REJECT),
        (Role.CONFIRMS, 9.0, 1.5, REJECT),
        (Role.CONFIRMS, 9.0, 0.5, REVIEW),
        (Role.CONFIRMS, 1.5, 0.5, REVIEW),
        (Role.CONFIRMS, 0.5, 9.0, ACCEPT),
    ],
)
def test_heads_have_the_say_that_their_role_gives(
    role: Role | None, own: float, other: float, expected: Disposition
) -> None:
    """Of those that decide the worst counts; a confirming one sends a reject to a person, and opens nothing."""
    assert expected is with_head(other, role, own)[0]


def test_what_is_not_confirmed_says_so_first() -> None:
    """The person reads that one head rejected and the other saw nothing."""
    assert (REVIEW, (Reason.NOT_CONFIRMED, Reason.ABOVE_REJECT_LIMIT)) == with_head(0.5, Role.CONFIRMS, 9.0)


def test_a_confirming_head_softens_no_rule_and_no_unknown() -> None:
    """Only a reject by score waits for confirmation."""
    policy = Policy(heads={"semantic": Role.CONFIRMS})
    seen = replace(VIEW, score=9.0, heads=(HEAD,))

    assert REJECT is judge(replace(seen, broken_rules=("r",)), policy)[0]
    assert UNKNOWN is judge(replace(seen, novelty_p=0.0), policy)[0]


def test_a_head_without_limits_neither_decides_nor_confirms() -> None:
    """Uncalibrated it cannot say that there is nothing: a reject stays one, and where it decides a person does."""
    blind = HeadScore("semantic", 0.0)

    assert REJECT is with_head(0.0, Role.CONFIRMS, 9.0, blind)[0]
    assert (REVIEW, (Reason.UNCALIBRATED, Reason.WITHIN_LIMITS)) == with_head(0.0, Role.DECIDES, head=blind)


def test_a_deciding_head_that_is_not_there_accepts_nothing() -> None:
    """A recipe that leans on a head which this bundle lacks sends every part to a person."""
    policy = Policy(heads={"semantic": Role.DECIDES})

    assert (REVIEW, (Reason.UNCALIBRATED, Reason.WITHIN_LIMITS)) == judge(policy=policy)


def test_without_a_deciding_head_nothing_is_accepted() -> None:
    """Where all only inform or confirm nobody has said that the part is good."""
    for role in (Role.INFORMS, Role.CONFIRMS):
        assert (REVIEW, (Reason.UNCALIBRATED,)) == judge(policy=Policy(heads={"anomaly": role}))


def test_the_first_head_may_only_inform() -> None:
    """A recipe may let another head of the bundle decide alone."""
    policy = Policy(heads={"anomaly": Role.INFORMS, "semantic": Role.DECIDES})

    assert [ACCEPT, REJECT] == [judge(replace(VIEW, score=9.0, heads=(replace(HEAD, score=score),)), policy)[0]
                                for score in (0.5, 9.0)]  # fmt: skip


def test_findings_speak_for_the_head_that_made_them() -> None:
    """What an informing head finds is shown and decides nothing; the same finding of a deciding head does."""
    limits = replace(LIMITS, kinds={"stain": "semantic"})
    seen = replace(found("stain", 0.9), heads=(HEAD,))

    assert [ACCEPT, REJECT] == [
        judge(seen, replace(BY_CONFIDENCE, heads={"semantic": role}), limits)[0]
        for role in (Role.INFORMS, Role.DECIDES)
    ]


def test_no_finding_is_nobodys() -> None:
    """What a head found that gave no score of its own counts as the deciding head's."""
    limits = replace(LIMITS, kinds={"stain": "semantic"})

    assert REJECT is judge(found("stain", 0.9), BY_CONFIDENCE, limits)[0]
