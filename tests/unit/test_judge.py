"""Protect the judge's rules: one verdict per part, in time, and ACCEPT only on proven, whole, good views."""

import pytest

from appliance.schema.clocks import MS, EncoderCounts, HostNs, S
from appliance.schema.command import Drain, RefusedReply
from appliance.schema.errors import (
    ApplianceError,
    CameraError,
    ConfigError,
    FrameOverwritten,
    LinkError,
    Refused,
    RuntimeFault,
    StoreError,
)
from appliance.schema.frame import FrameName
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import BeltPosition, PartId
from appliance.schema.verdict import Disposition, InspectionResult, Reason, Verdict
from appliance.services.judge import DECIDED_KEPT, UNPAIRED_LIFE
from tests.unit.judge_rig import (
    BEGIN,
    MARGIN,
    WINDOW,
    Model,
    Rig,
    decision,
    entered,
    exposed,
    frame,
    only,
)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.5, (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,))),
        (1.0, (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,))),
        (1.5, (Disposition.REVIEW, (Reason.BETWEEN_LIMITS,))),
        (2.5, (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,))),
        (float("nan"), (Disposition.NO_VERDICT, (Reason.MODEL_FAULT,))),
        (float("inf"), (Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,))),
        (float("-inf"), (Disposition.NO_VERDICT, (Reason.MODEL_FAULT,))),
    ],
)
def test_the_score_decides(score: float, expected: tuple[Disposition, tuple[Reason, ...]]) -> None:
    """A whole, proven view is judged by its score; a score that is not a number is never accepted."""
    rig = Rig()
    rig.model.score = score
    rig.part(0)

    assert [expected] == [decision(verdict) for verdict in rig.verdicts]


def test_verdict_and_result_name_the_part() -> None:
    """The verdict goes first, since the gate waits for it; both name part, model and what was seen."""
    rig = Rig()
    verdict, result = only(rig.part(0), Verdict | InspectionResult)

    assert isinstance(verdict, Verdict)
    assert (PartId(1, 1), 1, BEGIN + WINDOW) == (verdict.part, verdict.sequence, verdict.decide_by)
    assert (PartId(1, 1), "sha256:a", "twin", "f32") == (result.part, result.bundle, result.runtime, result.precision)
    assert [0.5] == [view.score for view in result.views]


def test_order_of_messages_does_not_matter() -> None:
    """Frame, exposure and part may overtake each other: two writers, three topics."""
    told = {"entered": entered(0), "exposed": exposed(0), "frame": frame(0)}
    orders = [("frame", "exposed", "entered"), ("exposed", "frame", "entered"), ("frame", "entered", "exposed"),
              ("exposed", "entered", "frame"), ("entered", "frame", "exposed")]  # fmt: skip
    for order in orders:
        rig = Rig()
        for name in order:
            rig.tell(told[name], BEGIN + 10 * MS)

        assert [Disposition.ACCEPT] == [verdict.disposition for verdict in rig.verdicts], order


def test_a_part_has_one_verdict() -> None:
    """Doubled messages open no second verdict, however often they come."""
    rig = Rig()
    for _ in range(3):
        rig.part(0)
    rig.wake(BEGIN + 2 * S)

    assert len(rig.verdicts) == 1


def test_a_doubled_entry_forgets_no_view() -> None:
    """A part that is told of twice keeps what was seen of it."""
    rig = Rig(("top", "side"))
    rig.part(0)
    rig.tell(entered(0, ("top", "side")), BEGIN)
    rig.tell(exposed(0, "side"), BEGIN)
    rig.tell(frame(0, "side"), BEGIN + 12 * MS)

    assert [Disposition.ACCEPT] == [verdict.disposition for verdict in rig.verdicts]


def test_decided_parts_are_remembered_and_forgotten() -> None:
    """The memory of decided parts is bounded; it is longer than any message may stay under way."""
    rig = Rig()
    for index in range(DECIDED_KEPT + 5):
        rig.part(index)

    assert len(rig.node._decided) == DECIDED_KEPT


def test_a_missing_view_is_no_verdict_at_the_deadline() -> None:
    """The judge waits until its margin before the deadline and not a moment longer."""
    rig = Rig()
    rig.tell(entered(0), BEGIN)
    due = BEGIN + WINDOW - MARGIN

    assert [] == only(rig.wake(due - 1), Verdict)
    assert rig.node.wake_at == due
    assert [(Disposition.NO_VERDICT, (Reason.VIEW_MISSING,))] == [decision(one) for one in only(rig.wake(due), Verdict)]


def test_every_view_must_be_good() -> None:
    """The worst view decides, and one that is missing is worse than any."""
    rig = Rig(("top", "side"))
    rig.tell(entered(0, ("top", "side")), BEGIN)
    rig.tell(exposed(0, "top"), BEGIN)
    rig.tell(exposed(0, "side"), BEGIN)
    rig.tell(frame(0, "top"), BEGIN + 10 * MS)

    assert [] == rig.verdicts

    rig.model.score = 9.0
    rig.tell(frame(0, "side"), BEGIN + 12 * MS)

    reasons = (Reason.ABOVE_REJECT_LIMIT, Reason.WITHIN_LIMITS)

    assert [(Disposition.REJECT, reasons)] == list(map(decision, rig.verdicts))


def test_one_of_two_views_is_no_verdict() -> None:
    """A good view does not stand for the other."""
    rig = Rig(("top", "side"))
    rig.part(0)
    rig.wake(BEGIN + WINDOW)

    assert [(Disposition.NO_VERDICT, (Reason.VIEW_MISSING, Reason.WITHIN_LIMITS))] == list(map(decision, rig.verdicts))


def test_an_incomplete_frame_is_never_judged() -> None:
    """Part of an image proves nothing about the part."""
    rig = Rig()
    results = only(rig.part(0, complete=False), InspectionResult)

    assert [(Disposition.NO_VERDICT, (Reason.FRAME_INCOMPLETE,))] == list(map(decision, rig.verdicts))
    assert [((), (FrameName("top", 1, 0),))] == [(result.views, result.unjudged) for result in results]
    assert ([], [0]) == (rig.ring.borrowed, rig.ring.released)


def test_an_overwritten_frame_decides_nothing() -> None:
    """A score from pixels that changed meanwhile is thrown away."""
    rig = Rig()
    rig.ring.overwritten = True
    rig.part(0)

    assert [(Disposition.NO_VERDICT, (Reason.FRAME_OVERWRITTEN,))] == list(map(decision, rig.verdicts))


def test_a_model_fault_is_no_verdict_and_shows_in_health() -> None:
    """The line goes on rejecting, and a technician reads why."""
    rig = Rig()
    rig.model.fault = RuntimeFault("model: no memory")
    rig.part(0)
    (health,) = only(rig.wake(BEGIN + 2 * S), Health)

    assert [(Disposition.NO_VERDICT, (Reason.MODEL_FAULT,))] == list(map(decision, rig.verdicts))
    assert (Condition.DEGRADED, "model: no memory") == (health.condition, health.components[0].cause)


@pytest.mark.parametrize(
    "kind", [ApplianceError, ConfigError, CameraError, FrameOverwritten, RuntimeFault, LinkError, StoreError, Refused]
)
def test_no_error_of_a_model_stops_the_judge(kind: type[ApplianceError]) -> None:
    """Whatever goes wrong in a bundle costs that part its ACCEPT; the next part is judged as if nothing had been."""
    rig = Rig()
    rig.part(0)
    rig.model.fault = kind("something is wrong")
    rig.part(1)
    rig.model.fault = None
    rig.part(2)

    assert [Disposition.ACCEPT, Disposition.NO_VERDICT, Disposition.ACCEPT] == [one.disposition for one in rig.verdicts]


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_a_score_that_is_no_number_shows_in_health(score: float) -> None:
    """A model that stops giving numbers is named, with the frame, before anyone has to look for it."""
    rig = Rig()
    rig.model.score = score
    rig.part(3, frame_id=3)
    rig.part(4, frame_id=4)
    (health,) = only(rig.wake(BEGIN + 2 * S), Health)

    assert [Disposition.NO_VERDICT] * 2 == [one.disposition for one in rig.verdicts]
    assert (Condition.DEGRADED, f"camera top: frame 4 has score {score}") == (
        health.condition,
        health.components[0].cause.partition(",")[0],
    )


@pytest.mark.parametrize("score", [0.5, 1.5, 2.5])
@pytest.mark.parametrize("limits", [(1.0, 2.0), (None, None)], ids=["calibrated", "uncalibrated"])
def test_a_broken_rule_rejects_whatever_the_score(score: float, limits: tuple[float | None, float | None]) -> None:
    """What must be there and is not is a defect, however good the rest looks, and no person has to look at it."""
    rig = Rig(model=Model("sha256:a", *limits))
    rig.model.score, rig.model.broken = score, ("screws: found 1 screw, asked 2",)
    results = only(rig.part(0), InspectionResult)

    assert [(Disposition.REJECT, Reason.RULE_BROKEN)] == [(one.disposition, one.reasons[0]) for one in rig.verdicts]
    assert [("screws: found 1 screw, asked 2",)] == [view.broken_rules for one in results for view in one.views]


def test_a_broken_rule_of_one_view_rejects_the_part() -> None:
    """A good view does not make up for a rule that another one breaks."""
    rig = Rig(("top", "side"))
    rig.tell(entered(0, ("top", "side")), BEGIN)
    rig.tell(exposed(0, "top"), BEGIN)
    rig.tell(exposed(0, "side"), BEGIN)
    rig.tell(frame(0, "top"), BEGIN + 10 * MS)
    rig.model.broken = ("label: found 0 label, asked at least 1",)
    rig.tell(frame(0, "side"), BEGIN + 12 * MS)

    assert [(Disposition.REJECT, (Reason.RULE_BROKEN, Reason.WITHIN_LIMITS))] == list(map(decision, rig.verdicts))


def test_without_a_bundle_nothing_is_accepted() -> None:
    """A judge that has no model says so and decides nothing."""
    rig = Rig()
    rig.bundles.active = None
    rig.part(0)

    assert [(Disposition.NO_VERDICT, (Reason.NO_BUNDLE,))] == list(map(decision, rig.verdicts))
    assert only(rig.wake(BEGIN + 2 * S), Health)[0].condition is Condition.FAILED


@pytest.mark.parametrize(("accept", "reject"), [(None, None), (1.0, None), (None, 2.0)])
def test_without_limits_nothing_is_accepted(accept: float | None, reject: float | None) -> None:
    """An uncalibrated bundle sends every part to a person."""
    rig = Rig(model=Model(accept=accept, reject=reject))
    rig.part(0)

    assert [(Disposition.REVIEW, (Reason.UNCALIBRATED,))] == list(map(decision, rig.verdicts))


def test_a_frame_after_the_deadline_is_not_looked_at() -> None:
    """Time is not spent on a part that cannot be saved; its verdict was given when its time was up."""
    rig = Rig()
    rig.part(0, now=BEGIN + WINDOW)
    rig.wake(BEGIN + WINDOW)

    assert [(Disposition.NO_VERDICT, (Reason.TOO_LATE,))] == list(map(decision, rig.verdicts))
    assert ([], [0]) == (rig.ring.borrowed, rig.ring.released)


def stood(at: int) -> BeltPosition:
    """Give a belt that has stood since the first part came."""
    return BeltPosition(HostNs(at), 0, entered(0).at_counts, 10_000.0, entered(0).part.boot)


def test_a_frame_that_waited_while_the_belt_stood_is_looked_at() -> None:
    """A judge that was frozen finds the frame before the word that the belt stood: the frame waits for it."""
    rig = Rig()
    late = BEGIN + 10 * WINDOW
    rig.model.finished = late
    rig.tell(entered(0, close_counts=EncoderCounts(entered(0).at_counts + 3750)), BEGIN)
    rig.tell(exposed(0), BEGIN)
    rig.tell(frame(0), late)
    before = list(rig.verdicts)
    rig.tell(stood(late - 2 * WINDOW), late)
    still = list(rig.verdicts)
    rig.tell(stood(late), late)
    rig.wake(late)

    assert ([], []) == (before, still)
    assert [Disposition.ACCEPT] == [one.disposition for one in rig.verdicts]
    assert [0] == rig.ring.borrowed


def test_a_frame_of_a_part_that_is_gone_is_given_back() -> None:
    """What waits for the belt holds no slot of the ring beyond the next turn."""
    rig = Rig()
    rig.part(0, now=BEGIN + 10 * WINDOW)
    rig.wake(BEGIN + 10 * WINDOW)
    rig.tell(stood(BEGIN + 20 * WINDOW), BEGIN + 20 * WINDOW)

    assert [0] == rig.ring.released
    assert len(rig.verdicts) == 1


def test_a_model_that_took_too_long_decides_nothing() -> None:
    """A score that was in hand within the margin of the deadline is too late."""
    rig = Rig()
    rig.model.finished = BEGIN + WINDOW - MARGIN
    rig.part(0)

    assert [(Disposition.NO_VERDICT, (Reason.TOO_LATE,))] == list(map(decision, rig.verdicts))


def test_a_replayed_part_is_not_judged() -> None:
    """A part that was read from memory after a gap is past its gate."""
    rig = Rig()
    rig.tell(entered(0, replayed=True), BEGIN)
    rig.tell(exposed(0), BEGIN)
    rig.tell(frame(0), BEGIN)
    rig.wake(BEGIN + 2 * S)

    assert [] == rig.verdicts
    assert [0] == rig.ring.released


@pytest.mark.parametrize(
    ("first", "second", "reason", "alarm"),
    [(5, 5, Reason.PAIRING_UNPROVEN, "pairing_unproven"), (0, 0, Reason.PAIRING_MISMATCH, "pairing_mismatch")],
)
def test_a_pair_that_is_not_proven_is_no_verdict_and_an_alarm(
    first: int, second: int, reason: Reason, alarm: str
) -> None:
    """The classic bug of this trade costs its part the ACCEPT, and someone is told."""
    rig = Rig()
    if first == 0:
        rig.part(0)
        rig.said.clear()
        second = 1
    told = rig.part(second, frame_id=second + 3)

    assert [(Disposition.NO_VERDICT, (reason,))] == list(map(decision, rig.verdicts))
    assert [alarm] == [one.kind for one in only(told, Alarm)]
    assert rig.ring.released == [second + 3]


def test_what_never_finds_its_partner_is_given_back() -> None:
    """Each frame's slot goes back to the ring, with or without a part."""
    rig = Rig()
    rig.tell(frame(0), BEGIN + 10 * MS)  # no exposure comes
    rig.tell(exposed(1), BEGIN + 100 * MS)  # no part comes
    rig.tell(frame(1), BEGIN + 110 * MS)
    rig.tell(frame(2, camera="unknown"), BEGIN + 110 * MS)
    rig.wake(BEGIN + 2 * UNPAIRED_LIFE)

    assert [0, 1, 2] == sorted(rig.ring.released)
    assert [] == rig.verdicts


def test_a_wish_that_is_not_the_judges_is_refused() -> None:
    """A judge has nothing to drain: what it cannot decide in time is rejected by its absence."""
    refused, outputs = Rig().node.command(Drain(), HostNs(BEGIN))

    assert RefusedReply("judge does not take Drain") == refused
    assert () == outputs


def test_health_is_stated_at_once_and_every_second() -> None:
    """Progress grows with work and with real idle checks, so the watchdog is fed by life only."""
    rig = Rig()
    first = only([one.message for one in rig.said], Health)
    second = only(rig.wake(BEGIN + 1 * S), Health)

    assert (1, 1) == (len(first), len(second))
    assert second[0].progress > first[0].progress
    assert [] == rig.wake(BEGIN + 1 * S + 1)
    assert rig.ring.refreshed == 1
