"""Protect what the recipe's policy makes of the judge: who hears it, whom it asks, and which promises still stand."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.decision.sampling import is_drawn
from appliance.ports.node import Publish
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import ActivateBundle, RollbackBundle
from appliance.schema.errors import StoreError
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.limits import Limits
from appliance.schema.policy import Basis, Policy
from appliance.schema.topics import SEALED
from appliance.schema.verdict import Disposition, InspectionResult, Reason, SealedVerdict, Verdict
from appliance.services._judge_voice import SealedVoice
from appliance.services._staging import Staged
from appliance.sim.twins import PromiseTwin
from appliance.storage.promise import PromiseFile
from tests.unit.judge_rig import (
    BEGIN,
    BY_RISK,
    DRIFT,
    KNOWN,
    RISK,
    WINDOW,
    Model,
    Rig,
    decision,
    entered,
    exposed,
    frame,
    only,
)

VIEWS = ("top", "side", "back")
BY_CONFIDENCE = Policy(basis=Basis.CONFIDENCE)


def play(rig: Rig, scores: Sequence[float], *, novelty: Sequence[float | None] = (1.0,) * 9, seen: int = 9) -> None:
    """Play one part whose views have these scores; views from `seen` on never come."""
    rig.tell(entered(0, rig.cameras), BEGIN)
    for camera, score, p in list(zip(rig.cameras, scores, novelty, strict=False))[:seen]:
        rig.model.score, rig.model.novelty_p = score, p
        rig.tell(exposed(0, camera), BEGIN)
        rig.tell(frame(0, camera), BEGIN + 10 * MS)
    rig.wake(BEGIN + WINDOW)


def component(rig: Rig, name: str, now: int = BEGIN + 2 * S) -> Component:
    (health,) = only(rig.wake(now), Health)
    return next(one for one in health.components if one.name == name)


# ---- who hears it ----


def test_in_parallel_mode_nothing_is_said_but_under_the_seal() -> None:
    """No verdict, no bare result, whatever the score: the sealed verdict holds what was seen, and nobody else does."""
    for score in (0.5, 1.5, 2.5, float("nan")):
        rig = Rig(primary=None)
        rig.model.score = score
        rig.part(0)
        said = [one for one in rig.said if isinstance(one, Publish)]

        assert [] == only([one.message for one in said], Verdict | InspectionResult)
        assert [(SEALED, SealedVerdict)] == [(one.topic, type(one.message)) for one in said if one.topic == SEALED]


def test_the_sealed_voice_knows_no_word_that_opens_a_gate() -> None:
    """What it says is built without the types and topics that `line` acts on: no branch of it can."""
    names = {name for one in vars(SealedVoice).values() if callable(one) for name in one.__code__.co_names}

    assert {"SealedVerdict", "SEALED"} <= names
    assert {"Verdict", "VERDICT", "RESULT", "InspectionResult"}.isdisjoint(names)


def test_a_sealed_verdict_is_the_verdict_that_primary_mode_would_give() -> None:
    """What is compared with people later is what the model would have done: disposition, reasons, deadline, result."""
    opened, under_seal = Rig(), Rig(primary=None)
    verdict, result = only(opened.part(0), Verdict | InspectionResult)
    (sealed,) = only(under_seal.part(0), SealedVerdict)

    assert (verdict.part, verdict.disposition, verdict.reasons, verdict.decided, verdict.decide_by, result) == (
        sealed.part,
        sealed.disposition,
        sealed.reasons,
        sealed.decided,
        sealed.decide_by,
        sealed.result,
    )


def test_parallel_mode_counts_nothing_where_people_see_it() -> None:
    """A count that grows with each part would break the seal of a slow line."""
    rig = Rig(primary=None)
    before = component(rig, "decision")
    for index in range(20):
        rig.part(index)

    assert before == component(rig, "decision", BEGIN + 4 * S)
    assert "parallel mode: people decide, what the model says is sealed" == before.cause


def test_primary_mode_says_who_signed_and_what_work_it_makes() -> None:
    """A technician reads the recipe version, the person, and the width of the review band in parts an hour."""
    rig = Rig()
    rig.model.score = 1.5
    for index in range(11):
        rig.part(index)

    assert (
        "primary by recipe r version 3, qe-4; 36000 parts/h over 11 parts: "
        "review band 36000/h, review 36000/h, unknown 0/h"
    ) == component(rig, "decision", BEGIN + 1013 * MS).cause


# ---- whom it asks ----


def test_the_drawn_share_goes_to_a_person() -> None:
    """Exactly the parts of the seeded draw become REVIEW; each would-be accept states the draw's probability."""
    rig = Rig(policy=Policy(sample_share=0.25, sample_seed=9))
    for index in range(60):
        rig.part(index)
    drawn = [is_drawn(one.part, 9, 0.25) for one in rig.verdicts]
    expected = {
        True: (Disposition.REVIEW, (Reason.RANDOM_SAMPLE, Reason.WITHIN_LIMITS)),
        False: (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,)),
    }

    assert 5 < sum(drawn) < 30
    assert [expected[one] for one in drawn] == list(map(decision, rig.verdicts))
    assert {0.25} == {one.sampling for one in rig.verdicts}


def test_what_is_held_back_anyway_is_in_no_draw() -> None:
    """A reject keeps its reason and states no probability, though everything is drawn."""
    rig = Rig(policy=Policy(sample_share=1.0))
    rig.model.score = 9.0
    rig.part(0)

    assert [(Disposition.REJECT, (Reason.ABOVE_REJECT_LIMIT,), 0.0)] == [
        (*decision(one), one.sampling) for one in rig.verdicts
    ]


# ---- several views ----


@pytest.mark.parametrize("scores", list(itertools.product((0.5, 1.5, 9.0, float("nan")), repeat=3)))
def test_the_worst_view_rules(scores: tuple[float, ...]) -> None:
    """All 64 triples of good, unsure, bad and failed views: the part is what its worst view is."""
    rig = Rig(VIEWS)
    play(rig, scores)
    ranks = {0.5: Disposition.ACCEPT, 1.5: Disposition.REVIEW, 9.0: Disposition.REJECT}
    alone = [ranks.get(score, Disposition.NO_VERDICT) for score in scores]
    order = [Disposition.NO_VERDICT, Disposition.REJECT, Disposition.REVIEW, Disposition.ACCEPT]

    assert [next(one for one in order if one in alone)] == [one.disposition for one in rig.verdicts]


@pytest.mark.parametrize("score", [0.5, 1.5, 9.0])
@pytest.mark.parametrize("seen", [0, 1, 2])
def test_a_missing_view_is_no_verdict(score: float, seen: int) -> None:
    """One or two views of three, however good or bad, decide nothing at the deadline; what they say is told."""
    rig = Rig(VIEWS)
    play(rig, (score,) * 3, seen=seen)

    assert [(Disposition.NO_VERDICT, Reason.VIEW_MISSING, 1 + bool(seen))] == [
        (one.disposition, one.reasons[0], len(one.reasons)) for one in rig.verdicts
    ]


def test_one_unknown_view_makes_the_part_unknown() -> None:
    """It outranks another view's reject, and not another one's missing verdict."""
    rig = Rig(VIEWS)
    play(rig, (0.5, 9.0, 0.5), novelty=(1.0, 1.0, 0.001))
    failed = Rig(VIEWS)
    play(failed, (0.5, float("nan"), 0.5), novelty=(1.0, 1.0, 0.001))

    assert [(Disposition.UNKNOWN, Reason.UNKNOWN_DEFECT)] == [(one.disposition, one.reasons[0]) for one in rig.verdicts]
    assert [Disposition.NO_VERDICT] == [one.disposition for one in failed.verdicts]


def test_one_view_without_a_detector_holds_the_part() -> None:
    """Each view for itself must be known."""
    rig = Rig(VIEWS)
    play(rig, (0.5, 0.5, 0.5), novelty=(1.0, None, 1.0))

    assert [(Disposition.REVIEW, (Reason.NOVELTY_MISSING, Reason.WITHIN_LIMITS))] == list(map(decision, rig.verdicts))


# ---- promises ----


def test_drift_voids_the_promise_at_once() -> None:
    """From the alarm on would-be accepts go to a person; the audit chain says since when and why, once."""
    rig = Rig(policy=BY_RISK)
    rig.part(0)
    said = [*rig.tell(DRIFT, BEGIN + 50 * MS), *rig.tell(DRIFT, BEGIN + 60 * MS)]
    rig.part(1)

    assert [
        (Disposition.ACCEPT, (Reason.WITHIN_LIMITS,)),
        (Disposition.REVIEW, (Reason.PROMISE_EXPIRED, Reason.WITHIN_LIMITS)),
    ] == list(map(decision, rig.verdicts))
    assert [("promise_voided", "sha256:a")] == [(one.action, one.subject) for one in only(said, AuditRequest)]
    assert "void, nothing is accepted: record: scores of good parts rose by 3 sigma" == component(rig, "promise").cause


def test_other_alarms_and_other_bases_void_nothing() -> None:
    """Only drift speaks about the data behind the promise, and only limits by risk rest on it."""
    by_risk, by_limits = Rig(policy=BY_RISK), Rig()
    told = [*by_risk.tell(replace(DRIFT, kind="pairing_mismatch"), BEGIN), *by_limits.tell(DRIFT, BEGIN)]
    by_risk.part(0)
    by_limits.part(0)

    assert [] == told
    assert [Disposition.ACCEPT] * 2 == [one.disposition for rig in (by_risk, by_limits) for one in rig.verdicts]


def test_no_restart_and_no_rollback_makes_a_promise_whole(tmp_path: Path) -> None:
    """Judge restarted, bundle swapped there and back: only a newer version of the recipe promises again."""
    place = tmp_path / "promise.json"
    Rig(policy=BY_RISK, promise=PromiseFile(place, "r", 3)).tell(DRIFT, BEGIN)

    def accepted(version: int, recipe: str = "r") -> Disposition:
        rig = Rig(policy=BY_RISK, promise=PromiseFile(place, recipe, version))
        rig.part(0)
        return rig.verdicts[0].disposition

    assert [Disposition.REVIEW, Disposition.REVIEW] == [accepted(3), accepted(2)]
    assert [Disposition.ACCEPT, Disposition.ACCEPT] == [accepted(4), accepted(3, "another")]

    swapped = Rig(policy=BY_RISK, promise=PromiseFile(place, "r", 3))
    swapped.bundles.staged = Staged("b", Model("sha256:b"))
    swapped.node.command(ActivateBundle("sha256:b", "operator-7"), HostNs(BEGIN))
    swapped.node.command(RollbackBundle("operator-7"), HostNs(BEGIN))
    swapped.part(0)

    assert [Disposition.REVIEW] == [one.disposition for one in swapped.verdicts]


def test_a_bundle_that_drift_never_spoke_of_keeps_its_own_promise() -> None:
    """Limits that were found for the bundle activated next stand, though the one before it drifted."""
    promise = PromiseTwin()
    rig = Rig(policy=replace(BY_RISK, risk=replace(RISK, bundle="sha256:b")), promise=promise)
    rig.tell(DRIFT, BEGIN)
    rig.part(0)
    rig.bundles.active = Model("sha256:b")
    rig.part(1)

    assert {"sha256:a"} == promise.voided.keys()
    assert [Disposition.REVIEW, Disposition.ACCEPT] == [one.disposition for one in rig.verdicts]


def test_a_bundle_in_another_precision_than_promised_is_not_promised() -> None:
    """Limits by risk hold for one precision; health says what they were found for."""
    rig = Rig(policy=replace(BY_RISK, risk=replace(RISK, precision="bf16")))
    rig.part(0)

    assert [(Disposition.REVIEW, (Reason.PROMISE_EXPIRED, Reason.WITHIN_LIMITS))] == list(map(decision, rig.verdicts))
    assert "found for sha256:a in bf16, active is sha256:a in f32" in component(rig, "promise").cause


def test_a_promise_that_stands_says_what_it_is() -> None:
    """The bound with its assurance and count, never a bare percentage."""
    told = component(Rig(policy=BY_RISK), "promise")

    assert (Condition.OK, "at most 0.100% of defective parts pass (95%, n=3000)") == (told.condition, told.cause)


class FullDisk(PromiseTwin):
    """Remember, and fail to write."""

    def void(self, bundle: str, cause: str) -> None:
        super().void(bundle, cause)
        raise StoreError("promise.json: cannot be written (No space left on device); make room")


def test_a_full_disk_does_not_keep_a_promise() -> None:
    """The promise is void in this process all the same, and someone is told that a restart would forget."""
    rig = Rig(policy=BY_RISK, promise=FullDisk())
    said = rig.tell(DRIFT, BEGIN)
    rig.part(0)

    assert ["promise_not_stored"] == [one.kind for one in only(said, Alarm)]
    assert [Disposition.REVIEW] == [one.disposition for one in rig.verdicts]


@pytest.mark.parametrize("damaged", [b'[{"recipe": "r", "ver', b'[{"recipe": "\xff"}]', b"\x00" * 64])
def test_a_damaged_promise_promises_nothing(tmp_path: Path, damaged: bytes) -> None:
    """A file that cannot be read might have held anything: void for every bundle, with a remedy."""
    place = tmp_path / "promise.json"
    place.write_bytes(damaged)
    rig = Rig(policy=BY_RISK, promise=PromiseFile(place, "r", 3))
    rig.part(0)

    assert [Disposition.REVIEW] == [one.disposition for one in rig.verdicts]
    assert "make a new recipe version" in component(rig, "promise").cause


def test_a_promise_that_cannot_be_written_says_so_and_holds_in_memory(tmp_path: Path) -> None:
    """The caller hears of it; what was asked is remembered while the process lives."""
    promise = PromiseFile(tmp_path / "state" / "promise.json", "r", 3)
    (tmp_path / "state").write_bytes(b"no folder")
    with pytest.raises(StoreError, match="cannot be written"):
        promise.void("sha256:a", "drift")

    assert "drift" == promise.cause("sha256:a")


@given(st.lists(st.tuples(st.sampled_from("rs"), st.integers(1, 4), st.sampled_from("ab")), max_size=8))
def test_the_file_holds_what_was_voided(tmp_path_factory: pytest.TempPathFactory, voided: list) -> None:
    """For each recipe, version and bundle: void exactly when this or a newer version was voided for it."""
    place = tmp_path_factory.mktemp("promise") / "promise.json"
    newest: dict[tuple[str, str], int] = {}
    for recipe, version, bundle in voided:
        if version < max((newest.get((recipe, other), 0) for other in "ab"), default=0):
            continue  # a station goes back to an older version only as a newer one
        PromiseFile(place, recipe, version).void(bundle, "drift")
        newest[recipe, bundle] = max(version, newest.get((recipe, bundle), 0))
    for recipe, version, bundle in itertools.product("rs", range(1, 5), "ab"):
        last = max((newest.get((recipe, other), 0) for other in "ab"), default=0)
        if version >= last:
            void = bool(PromiseFile(place, recipe, version).cause(bundle))

            assert void == (newest.get((recipe, bundle), 0) >= version)


def test_a_lost_alarm_may_have_been_for_drift() -> None:
    """What cannot be shown to stand does not: would-be accepts are a person's until someone has looked."""
    rig = Rig(policy=BY_RISK)
    rig.node.lost("alarm.record", 2, HostNs(BEGIN))
    rig.part(0)
    other = Rig(policy=BY_RISK)
    other.node.lost("part.entered", 2, HostNs(BEGIN))
    other.part(0)
    told = component(rig, "promise")

    assert [Disposition.REVIEW, Disposition.ACCEPT] == [one.disposition for one in (*rig.verdicts, *other.verdicts)]
    assert "2 messages of alarm.record were lost and may have told of drift" in told.cause
    assert "restart judge" in told.remedy


# ---- what keeps it from accepting shows in health ----


@pytest.mark.parametrize(
    ("limits", "policy", "expected"),
    [
        (Limits(base_rate=0.5), Policy(), "basis is limits, and the bundle has none in this precision"),
        (Limits(1.0, 2.0), BY_CONFIDENCE, "basis is confidence, and the bundle has no curve of the image score"),
        (Limits(base_rate=1.0), replace(BY_CONFIDENCE, defect_rate=0.01), "defect_rate 0.01 needs good and defective"),
    ],
)
def test_a_basis_that_the_bundle_cannot_serve_shows_in_health(limits: Limits, policy: Policy, expected: str) -> None:
    """The recipe asks for what this bundle does not know; the line says so before anyone counts rejects."""
    rig = Rig(policy=policy)
    rig.model.limits = limits
    told = component(rig, "policy")

    assert (Condition.DEGRADED, True) == (told.condition, told.cause.startswith(expected))


def test_an_uncalibrated_bundle_says_so_in_health() -> None:
    """A technician reads why nothing is accepted, and what to do."""
    rig = Rig(model=Model("sha256:a", None, None))
    told = component(rig, "bundle")

    assert (Condition.DEGRADED, "sha256:a is uncalibrated in f32: nothing is accepted") == (told.condition, told.cause)


def test_a_bundle_that_knows_no_unknown_says_so_in_health() -> None:
    """The recipe requires a detector of unknown parts and the bundle has none."""
    rig = Rig()
    rig.model.limits = Limits(1.0, 2.0)
    told = component(rig, "novelty")
    rig.model.limits = Limits(1.0, 2.0, known_parts=KNOWN)
    (health,) = only(rig.wake(BEGIN + 4 * S), Health)

    assert (Condition.DEGRADED, "sha256:a cannot tell unknown parts: nothing is accepted") == (
        told.condition,
        told.cause,
    )
    assert "novelty" not in [one.name for one in health.components]
