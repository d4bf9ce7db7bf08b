"""In parallel mode a tap decides the part that was seen at press, once, and the person learns what became of it."""

import pytest

from tests.hmi.run_rig import Open, asked, gate, later, opened, said, steady, waiting  # isort: skip

from PySide6.QtCore import QPointF

from appliance.schema.actuation import Cause
from appliance.schema.clocks import EncoderCounts, HostNs, McuTicks, S, UtcNs
from appliance.schema.command import Accepted, RefusedReply, SubmitLabel
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.policy import Mode
from appliance.schema.review import ManualVerdict, Occasion
from appliance.schema.verdict import Disposition

__all__ = ["opened"]


def test_a_good_part_is_decided_by_one_tap(opened: Open) -> None:
    """The label names part, person, class, level and time; the prediction was not shown."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    part = waiting(stage).part
    later(sample, stage, 2.5)
    stage.touch("GOOD PART")
    (wish,) = asked(sample)
    assert isinstance(wish, SubmitLabel)

    assert (part, "good", 1, False) == (wish.label.part, wish.label.kind, wish.label.level, wish.label.prediction_shown)
    assert ("o-anna", "line-1") == (wish.label.person, wish.label.terminal)
    assert 2.5 == pytest.approx(wish.label.seconds, abs=0.2)


def test_a_defect_takes_its_class(opened: Open) -> None:
    """DEFECT asks for the class; nothing is sent before it is named, and Back takes it back."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    later(sample, stage, 1)
    stage.touch("DEFECT")
    before = asked(sample)
    stage.touch("Back")
    stage.touch("DEFECT")
    stage.touch("stain")

    assert [] == before
    assert ["stain"] == [wish.label.kind for wish in asked(sample) if isinstance(wish, SubmitLabel)]


def test_the_two_answers_are_alike_and_keep_their_sides(opened: Open) -> None:
    """Neither answer is easier than the other, and a language changes nothing about where they are."""
    places = []
    for language in ("en", "ar"):
        _, stage = opened(Mode.PARALLEL, "operator", language)
        defect, good = stage.find("defect"), stage.find("good")
        places.append(defect.mapToScene(QPointF(0, 0)).x() < good.mapToScene(QPointF(0, 0)).x())

        assert (defect.width(), defect.height()) == (good.width(), good.height())
    assert [True, True] == places


def test_a_tap_right_after_the_picture_changed_means_nothing(opened: Open) -> None:
    """For 300 ms a touch was meant for the picture before."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    good = stage.find("good")
    stage.touch(good)
    later(sample, stage, 0.2)
    stage.touch(good)
    early = asked(sample)
    later(sample, stage, 0.2)
    stage.touch(good)

    assert [] == early
    assert 1 == len(asked(sample))


def test_a_part_that_leaves_under_the_finger_is_not_decided(opened: Open) -> None:
    """Pressed on one part, lifted on the next: neither of them is decided."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    part = waiting(stage).part
    later(sample, stage, 1)
    stage.press("good")
    sample.link.say(gate(part, Cause.NO_VERDICT, sample.clock.now()))
    steady(stage)
    stage.release()

    assert [] == asked(sample)


def test_a_palette_goes_with_its_part(opened: Open) -> None:
    """Classes of a part that the gate has taken are shown no longer, and the screen says why."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    part = waiting(stage).part
    later(sample, stage, 1)
    stage.touch("DEFECT")
    was = said(stage, "manual")["palette"]
    sample.link.say(gate(part, Cause.NO_VERDICT, sample.clock.now()))
    steady(stage)

    assert ("", True) == (said(stage, "manual")["palette"], bool(was))
    assert "The part has passed the gate: it is a reject." == said(stage, "line")["message"]


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (Accepted("kept"), "Taken"),
        (RefusedReply("part 1: decided already"), "Refused"),
        (RefusedReply("no answer", again=True), "No answer: not taken. Press again."),
    ],
)
def test_every_answer_of_the_record_is_shown(opened: Open, reply: Accepted | RefusedReply, fate: str) -> None:
    """A person learns whether the decision counts."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    sample.link.answer = lambda _unit, _command: reply
    later(sample, stage, 1)
    stage.touch("good")
    steady(stage)

    assert fate == said(stage, "manual")["last"]["fate"]


def test_an_answer_that_got_lost_is_sent_again_as_the_same_label(opened: Open) -> None:
    """Pressed again the same decision has the same id and content, so that it counts once."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    sample.link.answer = lambda _unit, _command: RefusedReply("no answer", again=True)
    later(sample, stage, 1)
    stage.touch("good")
    steady(stage)
    later(sample, stage, 1)
    stage.touch("good")
    one, other = asked(sample)

    assert one == other


def test_an_accept_that_came_after_the_gate_is_late(opened: Open) -> None:
    """Taken by the record and too late for the gate: the person is told."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    part = waiting(stage).part
    later(sample, stage, 1)
    stage.touch("good")
    sample.link.say(gate(part, Cause.NO_VERDICT, sample.clock.now()))
    steady(stage)

    assert "Too late: the gate had rejected the part." == said(stage, "manual")["last"]["fate"]


def test_nobody_decides_without_signing_in(opened: Open) -> None:
    """The keys are off and say why; pressed all the same they do nothing."""
    sample, stage = opened(Mode.PARALLEL)
    later(sample, stage, 1)
    stage.touch("good")

    assert ([], "Sign in to decide") == (asked(sample), said(stage, "manual")["reason"])
    assert not stage.find("good").isEnabled()


def test_the_models_word_is_shown_beside_the_persons_once_that_is_known(opened: Open) -> None:
    """Before: nothing. After the manual verdict was heard the seal is opened from the record database."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    decided = next(one for one in stage.desk.state.parts if one.manual is not None)
    undecided = waiting(stage)
    stage.view.freeze(str(undecided.part))
    before = said(stage, "verdict")["model"]
    stage.view.freeze(str(decided.part))
    later(sample, stage, 1.5)
    steady(stage)

    assert "" == before
    assert said(stage, "verdict")["model"] in {one.value for one in Disposition}


def test_a_manual_verdict_from_elsewhere_ends_the_question(opened: Open) -> None:
    """Decided at another terminal the part is asked about no longer."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    part = waiting(stage).part
    now = sample.clock.now()
    sample.link.say(
        ManualVerdict(
            "v", part, True, "good", "o-ben", Occasion.PARALLEL, 2.0, prediction_shown=False, decided=now, at=UtcNs(1)
        )
    )
    later(sample, stage, 1)

    assert "No part waits" == said(stage, "manual")["reason"]


def test_a_part_without_a_picture_is_not_asked_about(opened: Open) -> None:
    """What nobody sees nobody decides: a part waits for its picture, and one that is lost ends the question."""
    sample, stage = opened(Mode.PARALLEL, "operator")
    part = waiting(stage).part
    now = sample.clock.now()
    sample.link.say(gate(part, Cause.NO_VERDICT, now))
    coming = PartId(part.boot, part.number + 1)
    order = (now, 1000, McuTicks(0), EncoderCounts(0), HostNs(now + 5 * S))
    sample.link.say(PartEntered(coming, *order, ("top",)))
    later(sample, stage, 1)
    reason = said(stage, "manual")["reason"]
    stage.touch("good")
    sample.link.say(PartExposed(coming, "top", coming.number, now, 1000, McuTicks(0), EncoderCounts(0)))
    sample.frame(sample.picture(0), now)
    later(sample, stage, 1)
    later(sample, stage, 1)
    ready = said(stage, "manual")["ready"]
    picture = said(stage, "picture")
    stage.view.lacks(picture["front"], picture["sources"][picture["front"]])
    stage.view.answer(said(stage, "manual")["bound"], "good")

    assert ("The picture is coming", True) == (reason, ready)
    assert ([], False) == (asked(sample), said(stage, "manual")["ready"])
