"""Who may label what: a label is admitted by how the labels stand as it arrives, kept once, and decides what waits."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from appliance.labelling.standing import State
from appliance.schema.command import Accepted, FreezeSnapshot, RefusedReply, Reply, SeedPart, SubmitLabel
from appliance.schema.finding import Box
from appliance.schema.label import Label, LabelLevel, Purpose, Region
from appliance.schema.review import ManualVerdict
from appliance.schema.verdict import Disposition
from appliance.storage import label_queries, queries, review_queries
from tests.unit.label_rig import keep, keep_images, label
from tests.unit.review_rig import Rig, accept, count, entered, part, reject, running, verdict, waiting, why

REVIEW, AUDIT, KNOWN = Purpose.REVIEW, Purpose.AUDIT, Purpose.KNOWN_ANSWER
CORRECTION, DISAGREEMENT = Purpose.CORRECTION, Purpose.DISAGREEMENT


def submit(rig: Rig, said: Label) -> Reply:
    return rig.ask(SubmitLabel(said))


def known(rig: Rig, *numbers: int) -> None:
    """Let parts be known that nobody is asked about."""
    for number in numbers:
        rig.hear("part.entered", entered(number))


def opened(rig: Rig, *numbers: int, way: Disposition = Disposition.REVIEW) -> None:
    """Let parts wait for a person."""
    for number in numbers:
        rig.hear("verdict", verdict(number, way))


def state(rig: Rig, number: int) -> tuple[State, str]:
    found = rig.store.ask(lambda held: label_queries.standing_of(held, part(number)))
    return found.state, found.kind


def test_a_label_on_a_part_that_waits_decides_it(tmp_path: Path) -> None:
    """One answer, one transaction: step, decision and label; the decision bears the label's id."""
    with running(tmp_path) as rig:
        opened(rig, 1, 2)
        replies = [submit(rig, label(1, "good", name="l-1")), submit(rig, label(2, "scratch", name="l-2"))]
        held = rig.store.ask(lambda connection: connection)
        verdicts = [review_queries.manual_verdicts(held, part(number))[0] for number in (1, 2)]
        said = [label_queries.labels_of(held, part(number))[0] for number in (1, 2)]
        published = rig.published(Label)

        assert [True, True] == [isinstance(reply, Accepted) for reply in replies]
        assert [] == waiting(rig)
        assert [("l-1", True), ("l-2", False)] == [(one.verdict_id, one.accept) for one in verdicts]
        assert said == published
        assert ["", ""] == [one.previous for one in said]
        assert 2 == len(rig.published(ManualVerdict))


def test_a_label_sent_again_is_accepted_and_changes_nothing(tmp_path: Path) -> None:
    """The touchscreen sends until it is answered, across restarts; what the service filled in does not matter."""
    said = label(1, "scratch")
    with running(tmp_path) as rig:
        opened(rig, 1)
        first = submit(rig, said)
        again = submit(rig, said)
        second = label(1, "scratch", "op-2", 1, AUDIT)
        audits = [submit(rig, second), submit(rig, second)]
    with running(tmp_path) as rig:
        late = submit(rig, said)

        assert [True] * 5 == [isinstance(reply, Accepted) for reply in (first, again, late, *audits)]
        assert (2, 1, 2) == tuple(count(rig, table) for table in ("labels", "manual_verdicts", "review_steps"))
        assert "another label has this id" in why(submit(rig, replace(said, kind="dent")))


def test_a_part_that_does_not_wait_is_not_reviewed(tmp_path: Path) -> None:
    """As for a decision: what nobody asks about, or somebody has decided, takes no review; nothing is kept."""
    with running(tmp_path) as rig:
        known(rig, 1)
        opened(rig, 2)
        submit(rig, label(2, "good"))

        assert "nobody is asked to decide it" in why(submit(rig, label(1, "good")))
        assert "decided already by op-1" in why(submit(rig, label(2, "good", "op-2")))
        assert "is not known to this station" in why(submit(rig, label(3, "good")))
        assert 1 == count(rig, "labels")


def test_an_unsure_answer_hands_the_part_to_a_quality_engineer(tmp_path: Path) -> None:
    """It waits on, across a restart; no operator decides it any more, and no decision was made of it."""
    with running(tmp_path) as rig:
        opened(rig, 1)
        reply = submit(rig, label(1, "unsure"))

        assert isinstance(reply, Accepted)
        assert (1, 0) == (count(rig, "labels"), count(rig, "manual_verdicts"))
        assert State.UNSURE == state(rig, 1)[0]
    with running(tmp_path) as rig:
        assert [part(1)] == [item.part for item in rig.node._desk._queue.waiting]  # type: ignore[union-attr]
        assert "somebody could not say" in why(submit(rig, label(1, "good", "op-2")))
        assert "somebody could not say" in why(submit(rig, label(1, "unsure", "op-2")))
        assert "somebody could not say" in why(rig.ask(accept(1, "op-2")))
        assert isinstance(submit(rig, label(1, "dent", "qe-1", 2)), Accepted)
        assert (State.SINGLE, "dent") == state(rig, 1)


def test_unsure_is_no_decision_by_itself(tmp_path: Path) -> None:
    """A decision names a class: `unsure` would be a reject that nobody made."""
    with running(tmp_path) as rig:
        opened(rig, 1)

        assert "decides nothing" in why(rig.ask(reject(1, kind="unsure")))
        assert 0 == count(rig, "labels")


def test_a_handed_on_part_cannot_be_seeded(tmp_path: Path) -> None:
    """Somebody has looked at it: what would come of it would be no test."""
    with running(tmp_path) as rig:
        opened(rig, 1)
        submit(rig, label(1, "unsure"))

        assert "has looked at it already" in why(rig.ask(SeedPart("dent", "qe-1", part(1))))


def test_whoever_accepted_a_part_may_decide_it_again_after_the_gate_held_it_back_and_another_was_unsure(
    tmp_path: Path,
) -> None:
    """Nobody asked for a re-inspection, so the one quality engineer of a shift is not shut out."""
    with running(tmp_path) as rig:
        opened(rig, 1)
        submit(rig, label(1, "good", "qe-1", 2))
        step = rig.node._desk._queue.returning(part(1), "held back", rig.clock.utc())  # type: ignore[union-attr]
        keep(rig.store, step)  # type: ignore[arg-type]
    with running(tmp_path) as rig:
        first = submit(rig, label(1, "unsure", "op-2"))
        second = submit(rig, label(1, "good", "qe-1", 2))

        assert (True, True) == (isinstance(first, Accepted), isinstance(second, Accepted))


def test_a_seeded_part_looks_like_any_other(tmp_path: Path) -> None:
    """What is said of it is answered, told again and shown as a label, and is none: training never sees it."""
    with running(tmp_path) as rig:
        opened(rig, 1, 2)
        rig.ask(SeedPart("dent", "qe-2", part(1)))
        replies = [submit(rig, label(1, "unsure", name="l-1")), submit(rig, label(1, "unsure", name="l-1"))]
        replies += [submit(rig, label(1, "dent", "qe-1", 2, name="l-2"))]
        replies += [submit(rig, label(1, "good", "op-3", 2, CORRECTION, "l-3"))]
        replies += [submit(rig, label(1, "dent", "op-3", 3, CORRECTION, "l-3", "seen again"))]
        said = rig.store.ask(lambda held: label_queries.labels_of(held, part(1)))
        answers = rig.store.ask(label_queries.seeded_answers)

        assert [True, True, True, False, True] == [isinstance(reply, Accepted) for reply in replies]
        assert ["l-1", "l-2", "l-3"] == [one.label_id for one in said]
        assert [("unsure", "dent"), ("dent", "dent"), ("dent", "dent")] == [(one.kind, put) for one, put in answers]
        assert (0, [], State.NONE) == (count(rig, "labels"), rig.published(Label), state(rig, 1)[0])
        assert "another person must decide it" in why(submit(rig, label(1, "good", "qe-2", 2)))


def told(rig: Rig, *labels: Label) -> None:
    """Let labels stand that were given before."""
    known(rig, *{one.part.number for one in labels})

    assert () == keep(rig.store, *labels)


def test_nobody_audits_himself(tmp_path: Path) -> None:
    """A second look is another person's, and needs a first."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "op-1"))
        known(rig, 2)

        assert "'op-1' has labelled it; another person must audit it" in why(
            submit(rig, label(1, "good", "op-1", 1, AUDIT))
        )
        assert "has no label" in why(submit(rig, label(2, "good", "op-2", 1, AUDIT)))
        assert isinstance(submit(rig, label(1, "good", "op-2", 1, AUDIT)), Accepted)
        assert (State.AGREED, "good") == state(rig, 1)


def test_a_disagreement_is_settled_from_above(tmp_path: Path) -> None:
    """By a level above every label that contradicts, or by an expert who is not among them."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "op-1"), label(1, "dent", "qe-1", 2, AUDIT))

        assert "it needs level 3" in why(submit(rig, label(1, "dent", "qe-2", 2, DISAGREEMENT)))
        assert isinstance(submit(rig, label(1, "scratch", "ex-1", 3, DISAGREEMENT, name="l-3")), Accepted)
        assert (State.SETTLED, "scratch") == state(rig, 1)
        entry = rig.store.audit_head()
        assert entry is not None
        assert ("labels_settled", "good / dent", "scratch, level 3") == (entry.action, entry.before, entry.after)
        told(rig, label(1, "good", "ex-2", 3, AUDIT))
        assert State.CONFLICT == state(rig, 1)[0]
        assert "a person who has not labelled the part" in why(submit(rig, label(1, "dent", "ex-2", 3, DISAGREEMENT)))
        assert "a person who has not labelled the part" in why(submit(rig, label(1, "dent", "qe-2", 2, DISAGREEMENT)))
        assert isinstance(submit(rig, label(1, "dent", "ex-3", 3, DISAGREEMENT)), Accepted)
        assert (State.SETTLED, "dent") == state(rig, 1)


def test_what_is_no_disagreement_is_not_settled(tmp_path: Path) -> None:
    """Two who answer the same question from two terminals: the second is told what stands, and may correct it."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "op-1"), label(1, "dent", "op-2", 1, AUDIT))
        submit(rig, label(1, "dent", "qe-1", 2, DISAGREEMENT))

        assert "is 'dent' and settled; correct it" in why(submit(rig, label(1, "good", "ex-1", 3, DISAGREEMENT)))


def test_an_unsure_part_goes_up_level_by_level(tmp_path: Path) -> None:
    """Who could not say is no party; of his own level nobody settles it, but for experts."""
    with running(tmp_path) as rig:
        told(rig, label(1, "unsure", "op-1"))

        assert "it needs level 2" in why(submit(rig, label(1, "good", "op-2", 1, DISAGREEMENT)))
        assert isinstance(submit(rig, label(1, "unsure", "qe-1", 2, DISAGREEMENT)), Accepted)
        assert State.UNSURE == state(rig, 1)[0]
        assert "it needs level 3" in why(submit(rig, label(1, "good", "qe-2", 2, DISAGREEMENT)))
        assert isinstance(submit(rig, label(1, "good", "ex-1", 3, DISAGREEMENT)), Accepted)


def test_anothers_label_is_corrected_from_above_and_with_a_reason(tmp_path: Path) -> None:
    """Level 2 at least, and above his; the chain says who, from what, to what, and why."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "op-1", name="l-1"), label(2, "good", "qe-1", 2))

        assert "has no reason" in why(submit(rig, label(1, "dent", "qe-1", 2, CORRECTION)))
        assert "needs level 2" in why(submit(rig, label(1, "dent", "op-2", 1, CORRECTION, reason="looks so")))
        assert "needs level 3" in why(submit(rig, label(2, "dent", "qe-2", 2, CORRECTION, reason="looks so")))
        assert isinstance(submit(rig, label(1, "dent", "qe-1", 2, CORRECTION, "l-2", "a chip")), Accepted)
        assert (State.SETTLED, "dent") == state(rig, 1)
        said = rig.store.ask(lambda held: label_queries.labels_of(held, part(1)))[-1]
        entry = rig.store.audit_head()
        assert ("l-1", "good") == (said.previous, said.old)
        assert entry is not None
        assert ("qe-1", "label_corrected", str(part(1)), "good", "dent, level 2: a chip") == (
            entry.actor, entry.action, entry.subject, entry.before, entry.after,
        )  # fmt: skip


def test_an_experts_label_is_not_corrected_but_audited(tmp_path: Path) -> None:
    """There is no level above his: a second expert makes it a disagreement."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "ex-1", 3))

        assert "audit it instead" in why(submit(rig, label(1, "dent", "ex-2", 3, CORRECTION, reason="seen")))


def test_ones_own_slip_is_said_anew(tmp_path: Path) -> None:
    """With a reason, at one's own level; it replaces one's own word and overrules nobody's."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "op-1", name="l-1"))

        assert "has no reason" in why(submit(rig, label(1, "dent", "op-1", 1, CORRECTION)))
        assert isinstance(submit(rig, label(1, "dent", "op-1", 1, CORRECTION, reason="slipped")), Accepted)
        assert (State.SINGLE, "dent") == state(rig, 1)
        told(rig, label(1, "dent", "op-2", 1, AUDIT))
        submit(rig, label(1, "good", "op-1", 1, CORRECTION, reason="unsure"))
        assert State.CONFLICT == state(rig, 1)[0]


def test_a_known_answer_says_nothing_of_the_part(tmp_path: Path) -> None:
    """It measures the person; the part stands as it stood."""
    with running(tmp_path) as rig:
        told(rig, label(1, "good", "op-1"))
        known(rig, 2)

        assert isinstance(submit(rig, label(1, "dent", "op-2", 1, KNOWN)), Accepted)
        assert (State.SINGLE, "good") == state(rig, 1)
        assert "has no label" in why(submit(rig, label(2, "dent", "op-2", 1, KNOWN)))


def test_the_label_before_is_filled_in_by_the_service(tmp_path: Path) -> None:
    """Whatever a terminal says of it; a decision from the command line bears it too."""
    with running(tmp_path) as rig:
        opened(rig, 1)
        rig.ask(accept(1, "op-1"))
        first = rig.store.ask(lambda held: label_queries.labels_of(held, part(1)))[0]
        said = replace(label(1, "dent", "op-2", 1, AUDIT), previous="made up", old="made up")
        submit(rig, said)
        second = rig.store.ask(lambda held: label_queries.labels_of(held, part(1)))[1]

        assert (first.label_id, "good") == (second.previous, second.old)
        assert ("", "") == (first.previous, first.old)


BOX = Box(1.0, 1.0, 4.0, 4.0)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"kind": ""}, "class ''"),
        ({"person": " op"}, "person ' op'"),
        ({"label_id": "x" * 90}, "id 'xxx"),
        ({"seconds": float("nan")}, "nan s to decide"),
        ({"seconds": -1.0}, "-1.0 s to decide"),
        ({"at": 0}, "set the clock"),
        ({"at": 1 << 63}, "set the clock"),
        ({"severity": "awful"}, "choose minor, major, critical"),
        ({"cause": "a\nb"}, "cause 'a"),
        ({"regions": (Region("top", "dent", Box(1.0, 1.0, 0.0, 4.0)),)}, "over 0 px is needed"),
        ({"regions": (Region("top", "dent", Box(float("inf"), 1.0, 1.0, 4.0)),)}, "over 0 px is needed"),
        ({"regions": (Region("top", "dent", BOX, ((1.0, 1.0), (2.0, 2.0))),)}, "2 points, 3 are needed"),
        ({"regions": (Region("top", "dent", BOX, (), (3, 4), (4, 4)),)}, "covers 7 px, its frame has 16"),
        ({"regions": (Region("top", "dent", BOX, (), (-1, 17), (4, 4)),)}, "covers 16 px"),
        ({"regions": (Region("top", "dent", BOX, ((0.5, 0.5),) * 60_000),)}, "limit is 1000000"),
    ],
)
def test_a_label_that_makes_no_sense_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, object], fault: str
) -> None:
    """Whatever a terminal sends: nothing is kept that nobody can read."""
    with running(tmp_path) as rig:
        opened(rig, 1)

        assert fault in why(submit(rig, replace(label(1, "dent"), **change)))
        assert 0 == count(rig, "labels")


def test_outlines_come_back_as_they_were_drawn(tmp_path: Path) -> None:
    """Box, outline and mask, with the level that drew them."""
    regions = (
        Region("top", "dent", BOX, ((1.0, 1.0), (5.0, 1.0), (5.0, 5.0))),
        Region("side", "scratch", BOX, (), (4, 2, 10), (4, 4)),
    )
    with running(tmp_path) as rig:
        opened(rig, 1)
        submit(rig, replace(label(1, "dent", "qe-1", 2), regions=regions))
        said = rig.store.ask(lambda held: label_queries.labels_of(held, part(1)))[0]

        assert (regions, LabelLevel.CLASSIFY) == (said.regions, said.level)


def test_freezing_needs_something_to_freeze_and_happens_once(tmp_path: Path) -> None:
    """The answer is the snapshot's id; the same id for something else is refused."""
    wish = FreezeSnapshot("qe-1", "training", "s-1")
    with running(tmp_path) as rig:
        told(rig, label(1, "good"))
        nothing = why(rig.ask(wish))
        keep_images(rig.store, (1,))
        replies = [rig.ask(wish), rig.ask(wish)]
        frozen = [row for row in rig.store.ask(lambda held: [*queries.audit_entries(held)]) if "frozen" in row.action]

        assert "0 kept images" in nothing
        assert [Accepted("s-1")] * 2 == replies
        assert (1, 1, 1) == (count(rig, "snapshots"), count(rig, "snapshot_items"), len(frozen))
        assert "was frozen by qe-1" in why(rig.ask(FreezeSnapshot("qe-2", "training", "s-1")))


def test_a_full_disk_is_a_moment_and_not_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The touchscreen sends the label again; nothing was kept, and the part waits on."""
    from appliance.schema.errors import StoreError

    with running(tmp_path) as rig:
        opened(rig, 1)

        def full(*_: object) -> tuple[str, ...]:
            raise StoreError("disk full")

        said = label(1, "good")
        with monkeypatch.context() as patch:
            patch.setattr(rig.store, "write", full)
            reply = submit(rig, said)

        assert isinstance(reply, RefusedReply)
        assert reply.again
        assert [1] == waiting(rig)
        assert isinstance(submit(rig, said), Accepted)
