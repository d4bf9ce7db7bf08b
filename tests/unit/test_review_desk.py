"""The review desk of the record service: every decision is durable before it acts, and nothing that waits is lost."""

import uuid
from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.schema.actuation import Cause, Lane
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import (
    Accepted,
    DecidePart,
    QuarantinePart,
    RefusedReply,
    ReinspectPart,
)
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.ids import uuid7
from appliance.schema.label import Label, LabelLevel
from appliance.schema.part import PartId
from appliance.schema.policy import Mode, Policy
from appliance.schema.review import Change, ManualVerdict, Occasion
from appliance.schema.verdict import Disposition, Reason
from appliance.storage import queries, review_queries
from appliance.storage.image_messages import KeepImage
from tests.unit.review_rig import (
    SAMPLED,
    UTC,
    ManualClock,
    accept,
    actuation,
    count,
    entered,
    part,
    reject,
    running,
    sealed,
    verdict,
    waiting,
    why,
)
from tests.unit.test_record import frame_of

REVIEW, UNKNOWN, ACCEPT, REJECT = Disposition.REVIEW, Disposition.UNKNOWN, Disposition.ACCEPT, Disposition.REJECT


def test_review_and_unknown_wait_for_a_person_and_the_others_do_not(tmp_path: Path) -> None:
    """A model that is unsure asks; the steps are durable with the verdict."""
    with running(tmp_path) as rig:
        rig.hear(
            "verdict",
            verdict(1, REVIEW),
            verdict(2, UNKNOWN, (Reason.UNKNOWN_DEFECT,)),
            verdict(3, REJECT, (Reason.ABOVE_REJECT_LIMIT,)),
            verdict(4, ACCEPT, (Reason.WITHIN_LIMITS,), 0.1),
            verdict(5, REVIEW, SAMPLED, 0.1),
            verdict(6, Disposition.NO_VERDICT, (Reason.VIEW_MISSING,)),
        )
        occasions = [rig.store.ask(lambda held, n=n: review_queries.standing(held, part(n))) for n in (1, 2, 5)]

        assert [1, 2, 5] == waiting(rig)
        assert [Occasion.REVIEW, Occasion.UNKNOWN, Occasion.SAMPLE] == [item.occasion for item in occasions if item]


def test_a_decision_is_durable_before_it_is_told(tmp_path: Path) -> None:
    """Verdict, label and step are in the database when the reply and the topics leave."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW))
        reply, outputs = rig.node.command(accept(1), rig.clock.now())
        (held,) = rig.store.ask(lambda held: review_queries.manual_verdicts(held, part(1)))
        rig.said = list(outputs)
        (said,), (label,) = rig.published(ManualVerdict), rig.published(Label)

        assert (Accepted, []) == (type(reply), waiting(rig))
        assert held == said
        assert (True, "good", "op-1", Occasion.REVIEW, 2.5, False) == (
            held.accept, held.kind, held.person, held.occasion, held.seconds, held.prediction_shown,
        )  # fmt: skip
        assert (LabelLevel.CONFIRM, "good", "op-1", part(1)) == (label.level, label.kind, label.person, label.part)
        assert 1 == count(rig, "labels")
        assert 7 == uuid.UUID(held.verdict_id).version


def test_a_decision_that_finds_the_disk_full_is_no_decision(tmp_path: Path) -> None:
    """The person is told, nothing acts, the part goes on waiting."""
    with running(tmp_path, Policy(review_limit=500)) as rig:
        rig.hear("verdict", *(verdict(number, REVIEW) for number in range(1, 200)))
        pages = rig.store._database.execute("PRAGMA page_count").fetchone()[0]
        rig.store._database.execute(f"PRAGMA max_page_count={pages}")
        replies = [rig.ask(accept(number)) for number in range(1, 200)]
        rig.store._database.execute("PRAGMA max_page_count=1000000")
        refused = [number for number, reply in enumerate(replies, 1) if isinstance(reply, RefusedReply)]

        assert len(refused) > 1
        assert "the decision was not kept" in why(replies[refused[0] - 1])
        assert "free disk space" in why(replies[refused[0] - 1])
        assert refused == waiting(rig)
        assert 199 - len(refused) == len(rig.published(ManualVerdict)) == count(rig, "manual_verdicts")
        assert Accepted is type(rig.ask(accept(refused[0])))


def test_a_refused_write_leaves_the_part_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store says no: no verdict, no label, no step; the next try succeeds."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW))
        rig.published(Health)
        with monkeypatch.context() as patch:
            patch.setattr(rig.store, "write", _full)
            reply = rig.ask(accept(1))
            said = [output.message for output in rig.said]
        after = rig.ask(accept(1))

        assert "disk is full" in why(reply)
        assert [] == said
        assert Accepted is type(after)


def _full(*_arguments: object) -> None:
    from appliance.schema.errors import StoreError

    raise StoreError("record.db: disk is full")


def test_answers_for_parts_that_are_not_open_are_refused_in_one_line(tmp_path: Path) -> None:
    """Decided already: by whom and when. Unknown: so. Accepted by the model: nobody is asked."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW), verdict(2, ACCEPT, (Reason.WITHIN_LIMITS,)))
        rig.ask(reject(1))

        assert "decided already by op-1 at 2026-11-21T12:48:06Z" in why(rig.ask(accept(1, "op-2")))
        assert "nobody is asked to decide it" in why(rig.ask(accept(2)))
        assert "is not known to this station" in why(rig.ask(accept(77)))
        assert "is not known to this station" in why(rig.ask(replace(accept(1), part=PartId(1 << 70, 1))))
        assert 1 == count(rig, "manual_verdicts")


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (replace(accept(1), kind="scratch"), "an accept as 'scratch' contradicts itself"),
        (replace(reject(1), kind="good"), "a reject as 'good' contradicts itself"),
        (replace(reject(1), kind=""), "class '': 1 to 80 printable characters"),
        (replace(accept(1), person=" op-1"), "person ' op-1': 1 to 80 printable"),
        (replace(accept(1), person="o\nne"), "printable"),
        (replace(accept(1), seconds=float("nan")), "nan s to decide, limit is 0 or more"),
        (replace(accept(1), seconds=-1.0), "-1.0 s to decide"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(tmp_path: Path, wish: DecidePart, said: str) -> None:
    """What a person did not mean is not kept for ever."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW))

        assert said in why(rig.ask(wish))
        assert [1] == waiting(rig)


def test_only_a_quality_engineer_decides_an_unknown_part(tmp_path: Path) -> None:
    """Quality engineers are those whom the station file lists under [approval] people."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, UNKNOWN, (Reason.UNKNOWN_DEFECT,)))
        refused = why(rig.ask(accept(1, "op-1")))

        assert "'op-1' is not listed as a quality engineer" in refused
        assert Accepted is type(rig.ask(accept(1, "qe-1")))


def test_in_parallel_mode_every_part_that_enters_is_a_persons(tmp_path: Path) -> None:
    """Whatever the model thinks; its word comes sealed and opens nothing."""
    with running(tmp_path, mode=Mode.PARALLEL) as rig:
        rig.hear("part.entered", entered(1), entered(2))
        rig.hear("sealed", sealed(1, REJECT), sealed(2, ACCEPT))
        rig.ask(accept(1))
        (said,) = rig.published(ManualVerdict)

        assert Occasion.PARALLEL is said.occasion
        assert [2] == waiting(rig)


def test_the_images_of_parallel_mode_tell_nothing_of_the_sealed_verdict(tmp_path: Path) -> None:
    """All are kept in the same way, or a file's name would break the seal."""
    with running(tmp_path, mode=Mode.PARALLEL) as rig:
        for number, way in ((1, ACCEPT), (2, REJECT)):
            rig.hear("frame.top", frame_of(number))
            rig.hear("part.entered", entered(number))
            rig.hear("sealed", sealed(number, way))
        kept = rig.published(KeepImage)

        assert [(part(1), REVIEW), (part(2), REVIEW)] == [(wish.part, wish.disposition) for wish in kept]


def test_a_full_queue_quarantines_with_one_alarm(tmp_path: Path) -> None:
    """No part is dropped, the operator is told once, and the health says how many wait."""
    with running(tmp_path, Policy(review_limit=2)) as rig:
        rig.published(Health)
        rig.hear("verdict", *(verdict(number, REVIEW) for number in range(1, 6)))
        rig.clock.host = HostNs(rig.clock.host + S)
        rig.hear("verdict")
        (alarm,) = rig.published(Alarm)
        health = rig.published(Health)[-1]
        tally = rig.store.ask(review_queries.tally)
        review = next(item for item in health.components if item.name == "review")

        assert ("review_full", str(part(3))) == (alarm.kind, alarm.part)
        assert (5, 0, 3, 2) == (tally.opened, tally.decided, tally.quarantined, tally.waiting)
        assert (Condition.DEGRADED, "2 of 2 parts wait for a person") == (review.condition, review.cause)
        assert "in quarantine since" in why(rig.ask(accept(4, "qe-1")))


def test_what_nobody_decides_in_time_is_quarantined_with_an_alarm(tmp_path: Path) -> None:
    """The time counts from the part's coming, across a restart of the service."""
    clock = ManualClock()
    policy = Policy(review_minutes=1.0)
    with running(tmp_path, policy, clock=clock) as rig:
        rig.hear("verdict", verdict(1, REVIEW))
    clock.host = HostNs(clock.host + 59 * S)
    with running(tmp_path, policy, clock=clock) as rig:
        before = waiting(rig)
        clock.host = HostNs(clock.host + 1 * S)
        rig.hear("verdict")
        (alarm,) = rig.published(Alarm)

        assert ([1], []) == (before, waiting(rig))
        assert ("review_expired", str(part(1))) == (alarm.kind, alarm.part)
        assert "nobody decided it in 1 minutes" in alarm.text


def test_quarantine_ends_by_reinspection_alone(tmp_path: Path) -> None:
    """A person asks for it, and a person decides under that occasion."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW))
        rig.ask(QuarantinePart(part(1), "op-1", "cannot tell"))
        refused = why(rig.ask(accept(1)))
        rig.ask(ReinspectPart(part(1), "op-2", "new lamp"))
        decided = rig.ask(accept(1))
        (said,) = rig.published(ManualVerdict)
        chain = rig.store.ask(lambda held: [*queries.audit_entries(held)])[-2:]

        assert [("op-1", "part_quarantined", "cannot tell"), ("op-2", "reinspection_asked", "new lamp")] == [
            (entry.actor, entry.action, entry.after) for entry in chain
        ]
        assert "in quarantine since 2026-11-21T12:48:06Z: cannot tell; ask for a re-inspection first" in refused
        assert (Accepted, Occasion.REINSPECTION) == (type(decided), said.occasion)


def test_a_part_may_be_decided_again_by_another_person(tmp_path: Path) -> None:
    """Both decisions stay; a part that only the model rejected can be asked for as well."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW), verdict(2, REJECT, (Reason.ABOVE_REJECT_LIMIT,)))
        rig.ask(reject(1, "op-1"))
        rig.ask(ReinspectPart(part(1), "op-2", "looks fine"))
        rig.ask(ReinspectPart(part(2), "op-2", "looks fine"))
        same = why(rig.ask(accept(1, "op-1")))
        other, overruled = rig.ask(accept(1, "op-2")), rig.ask(accept(2, "op-1"))
        held = rig.store.ask(lambda held: review_queries.manual_verdicts(held, part(1)))

        assert "another person must inspect it again" in same
        assert (Accepted, Accepted) == (type(other), type(overruled))
        assert [False, True] == [one.accept for one in held]
        assert "is not known to this station" in why(rig.ask(ReinspectPart(part(9), "op-1", "where is it")))


def test_after_a_restart_the_queue_is_the_same(tmp_path: Path) -> None:
    """Built again from the store; a replayed verdict opens nothing twice."""
    with running(tmp_path) as rig:
        rig.hear("verdict", *(verdict(number, REVIEW) for number in range(1, 5)))
        rig.ask(accept(1))
        rig.ask(QuarantinePart(part(2), "op-1", "odd"))
        before = rig.node._desk._queue.waiting  # type: ignore[union-attr]
    with running(tmp_path) as rig:
        rig.hear("verdict", *(verdict(number, REVIEW) for number in range(1, 5)))
        after = rig.node._desk._queue.waiting  # type: ignore[union-attr]

        assert [3, 4] == [item.part.number for item in after]
        assert before == after
        assert 6 == count(rig, "review_steps")


def test_a_part_whose_step_was_lost_is_opened_at_the_next_start(tmp_path: Path) -> None:
    """What ought to wait and does not, waits again: no item is ever lost."""
    with running(tmp_path) as rig:
        rig.store.write([("verdict", 9, 0, verdict(7, UNKNOWN)), ("sealed", 9, 0, sealed(8, ACCEPT))], UTC)
        rig.store.write([("verdict", 9, 1, verdict(9, REVIEW, SAMPLED, 0.5))], UTC)
    with running(tmp_path) as rig:
        rig.hear("verdict")
        items = rig.store.ask(lambda held: review_queries.items(held, (Change.OPENED,)))

        assert {7: Occasion.UNKNOWN, 8: Occasion.PARALLEL, 9: Occasion.SAMPLE} == {
            item.part.number: item.occasion for item in items
        }


def test_what_the_desk_missed_while_the_store_could_not_be_read_is_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not answer for a moment costs no item and does not end the service."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REVIEW))
        with monkeypatch.context() as patch:
            patch.setattr(rig.store, "ask", _full)
            rig.hear("verdict", verdict(2, REVIEW))
        rig.clock.host = HostNs(rig.clock.host + S)
        rig.hear("verdict")
        rig.hear("verdict")

        assert [1, 2] == waiting(rig)


def test_a_part_whose_verdict_was_lost_is_opened_by_its_actuation(tmp_path: Path) -> None:
    """The gate held it back for a person: the actuation says so too. What was opened before is not opened again."""
    held = [
        replace(actuation(number, Lane.REJECT, Cause.DECIDED_REJECT), disposition=way)
        for number, way in ((1, REVIEW), (2, UNKNOWN), (3, REJECT), (4, REVIEW), (5, Disposition.NO_VERDICT))
    ]
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(4, REVIEW, SAMPLED, 0.5))
        rig.ask(reject(4))
        rig.hear("actuation", *held)
        unknown = rig.store.ask(lambda held: review_queries.standing(held, part(2)))

        assert [1, 2] == waiting(rig)
        assert unknown is not None
        assert unknown.needs_quality


@pytest.mark.parametrize("mode", list(Mode))
def test_an_accept_that_the_gate_did_not_follow_is_asked_again(tmp_path: Path, mode: Mode) -> None:
    """No hand has moved it, so it waits again, for the same person too.

    A part accepted after the gate, rejected, or let through by the gate is done.
    """
    with running(tmp_path, mode=mode) as rig:
        rig.hear("part.entered", *(entered(number) for number in range(1, 6)))
        rig.hear("verdict", *(verdict(number, REVIEW) for number in range(1, 6)))
        for number in (1, 2, 4):
            rig.ask(accept(number))
        rig.ask(reject(3))
        rig.hear(
            "actuation",
            actuation(1, Lane.REJECT, Cause.LATE, rig.clock.host + 1),
            actuation(2, Lane.ACCEPT, Cause.OPERATOR, rig.clock.host + 1),
            actuation(3, Lane.REJECT, Cause.OPERATOR, rig.clock.host + 1),
            actuation(4, Lane.REJECT, Cause.NO_VERDICT, rig.clock.host - 1),
        )
        asked = waiting(rig)
        again = rig.ask(accept(1))

        assert ([5, 1], [5]) == (asked, waiting(rig))
        assert Accepted is type(again)


def test_a_part_whose_entry_was_lost_is_still_a_persons_in_parallel_mode(tmp_path: Path) -> None:
    """Every part is a person's, whatever was lost on the way."""
    with running(tmp_path, mode=Mode.PARALLEL) as rig:
        rig.hear("part.entered", entered(1))
        rig.hear("actuation", *(actuation(number, Lane.REJECT, Cause.NO_VERDICT) for number in (1, 2)))

        assert [1, 2] == waiting(rig)


def test_a_wish_without_a_desk_is_refused() -> None:
    """A record service that holds no desk says so."""
    from appliance.services.record import RecordNode
    from appliance.storage.image_plan import ImagePlan

    node = RecordNode(None, ImagePlan(1.0, MS), ManualClock(), "cell-4", "c0ffee", 42)  # type: ignore[arg-type]
    reply, outputs = node.command(accept(1), HostNs(1))

    assert ("record: no review desk is held here", ()) == (why(reply), tuple(outputs))


def test_a_uuid_of_version_seven_sorts_by_time() -> None:
    """RFC 9562: 48 bits of ms, version, variant."""
    first, second = uuid7(UTC, (1 << 74) - 1), uuid7(UTC + MS, 0)
    read = uuid.UUID(first)

    assert (7, uuid.RFC_4122, UTC // MS) == (read.version, read.variant, read.int >> 80)
    assert first < second
    assert first != uuid7(UTC, 5)
