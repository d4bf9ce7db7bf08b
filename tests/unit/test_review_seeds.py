"""Seeded parts at the review desk: known defects that are reviewed like any other, and never trained on."""

from pathlib import Path

import pytest

from appliance.governance import audit_chain
from appliance.schema.actuation import Cause, HandActuation, Lane
from appliance.schema.clocks import HostNs, S
from appliance.schema.command import Accepted, SeedPart
from appliance.schema.health import Alarm
from appliance.schema.label import Label
from appliance.schema.review import ManualVerdict, Seeded
from appliance.schema.verdict import Reason
from appliance.storage import queries, review_queries
from tests.unit.review_rig import UTC, actuation, count, entered, part, reject, running, verdict, waiting, why
from tests.unit.test_review_desk import REJECT, REVIEW


def test_the_next_part_that_enters_is_the_seeded_one(tmp_path: Path) -> None:
    """One announcement, one part; who announced it and when is audited."""
    with running(tmp_path) as rig:
        rig.hear("part.entered", entered(1))
        first, second = rig.ask(SeedPart("scratch", "qe-1")), rig.ask(SeedPart("dent", "qe-1"))
        rig.hear("part.entered", entered(2), entered(3))
        (seeded,) = rig.published(Seeded)
        seeds = rig.store.ask(review_queries.seeds)
        actions = [(entry.actor, entry.action) for entry in rig.store.ask(lambda held: [*queries.audit_entries(held)])]

        assert (Accepted, "a scratch waits for the next part already") == (type(first), why(second)[6:47])
        assert {part(2): ("scratch", "qe-1")} == seeds
        assert (part(2), "scratch", "qe-1", UTC + 9 * S) == (seeded.part, seeded.kind, seeded.person, seeded.at)
        assert [("qe-1", "seed_announced"), ("qe-1", "part_seeded")] == actions[-2:]
        assert audit_chain.verify(rig.store.ask(lambda held: [*queries.audit_entries(held)])) is None


def test_an_announced_seed_survives_a_restart(tmp_path: Path) -> None:
    """The known defect is on the line whether the service lives or not."""
    with running(tmp_path) as rig:
        rig.ask(SeedPart("scratch", "qe-1"))
    with running(tmp_path) as rig:
        rig.hear("part.entered", entered(1))
        rig.hear("part.entered", entered(2))
    with running(tmp_path) as rig:
        rig.hear("part.entered", entered(3))

        assert {part(1): ("scratch", "qe-1")} == rig.store.ask(review_queries.seeds)


def test_a_seeded_part_never_gets_a_label(tmp_path: Path) -> None:
    """It is reviewed as any other, and its answer stays out of training data."""
    with running(tmp_path) as rig:
        rig.ask(SeedPart("scratch", "qe-1"))
        rig.hear("part.entered", entered(1))
        rig.hear("verdict", verdict(1, REVIEW), verdict(2, REVIEW))
        rig.ask(reject(1))
        rig.ask(reject(2))
        labels = rig.published(Label)

        assert [part(2)] == [label.part for label in labels]
        assert 2 == len(rig.published(ManualVerdict))
        assert 1 == count(rig, "labels")


def test_who_put_a_defect_there_does_not_review_it(tmp_path: Path) -> None:
    """That person knows the answer."""
    with running(tmp_path) as rig:
        rig.ask(SeedPart("scratch", "op-1"))
        rig.hear("part.entered", entered(1))
        rig.hear("verdict", verdict(1, REVIEW))

        assert "'op-1' put it there as a known scratch" in why(rig.ask(reject(1, "op-1")))
        assert Accepted is type(rig.ask(reject(1, "op-2")))


def test_a_known_part_can_be_seeded_into_review(tmp_path: Path) -> None:
    """A held part that nobody was asked about comes as any review; a decided or accepted one is refused."""
    with running(tmp_path) as rig:
        rig.hear("verdict", verdict(1, REJECT, (Reason.ABOVE_REJECT_LIMIT,)), verdict(2, REVIEW))
        rig.hear(
            "actuation", actuation(1, Lane.REJECT, Cause.DECIDED_REJECT), actuation(3, Lane.ACCEPT, Cause.ACCEPTED)
        )
        rig.ask(reject(2))
        inserted = rig.ask(SeedPart("dent", "qe-1", part(1)))

        assert (Accepted, [1]) == (type(inserted), waiting(rig))
        assert "is seeded already as dent" in why(rig.ask(SeedPart("dent", "qe-1", part(1))))
        assert "op-1 has decided it already" in why(rig.ask(SeedPart("dent", "qe-1", part(2))))
        assert "lies in the accept lane" in why(rig.ask(SeedPart("dent", "qe-1", part(3))))
        assert "is not known to this station" in why(rig.ask(SeedPart("dent", "qe-1", part(4))))
        assert "is no defect" in why(rig.ask(SeedPart("good", "qe-1")))


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_seeded_part_in_the_accept_lane_is_an_alarm(tmp_path: Path, by_hand: bool) -> None:
    """A known defect must never leave the plant with the good parts."""
    with running(tmp_path) as rig:
        rig.ask(SeedPart("scratch", "qe-1"))
        rig.hear("part.entered", entered(1))
        rig.published(Alarm)
        if by_hand:
            rig.hear("hand", HandActuation(part(1), Lane.ACCEPT, Cause.OPERATOR, "m", "op-1", HostNs(13 * S)))
        else:
            rig.hear("actuation", actuation(1, Lane.ACCEPT, Cause.ACCEPTED))
        (alarm,) = rig.published(Alarm)

        assert ("seed_accepted", str(part(1))) == (alarm.kind, alarm.part)
