"""The review screen, touched by a finger: what a person says reaches the outbox, and nothing that he did not mean."""

import random

import pytest
from PySide6.QtCore import QPoint, QPointF

from appliance.labelling.queue import Task
from appliance.schema.label import GOOD, LabelLevel, Purpose
from appliance.schema.review import Occasion
from appliance.storage.database import open_reader
from appliance.storage.record_store import DATABASE
from hmi.labelling import session as sessions
from hmi.labelling.taps import GUARD_NS
from hmi.screens.review import facts, view
from hmi.screens.review.twin_search import TwinSearch
from tests.hmi.review_rig import MANY, Person, at_work, many


@pytest.fixture(autouse=True)
def _lone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare no twins where a test is not about them: they take most of the time."""
    if "twin" not in request.node.name:
        monkeypatch.setattr(TwinSearch, "start", lambda _search: None)


def test_an_operator_clears_a_hundred_parts_with_two_taps_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 parts take 200 taps at most, each label names its own part, and every one reaches `record`."""
    monkeypatch.setattr(facts, "read_tasks", many)
    with at_work() as person:
        seen = []
        for number in range(MANY):
            seen.append(person.see())
            person.tap("good" if number % 3 else "defect")
            if len(person.labels) < len(seen):  # no class was shown: DEFECT asks for it
                person.tap(person.view.property("palette")[0]["text"])
        person.wait(24, 12)

        assert (seen, MANY) == ([str(label.part) for label in person.labels], len(set(seen)))
        assert person.taps <= 2 * MANY
        assert () == person.stage.desk.pending()


def wrong_labels(person: Person, seed: int, deeds: int) -> tuple[int, int]:
    """Touch and change pictures at random; give how many labels there are, and how many were not meant."""
    chance, wrong = random.Random(seed), 0
    pressed: tuple[str, bool] | None = None
    for _ in range(deeds):
        deed, task = chance.choice(("touch", "touch", "other", "wait", "tick")), person.view.session.task
        shows = person.view.property("state") == "work"
        if deed == "touch" and pressed is None and shows:
            showing, now = person.view.session.showing, person.sample.clock.now()
            pressed = (str(task.part), bool(showing.subject) and now - showing.since >= GUARD_NS)
            person.stage.press(chance.choice(("good", "defect")))
        elif deed == "touch" and pressed is not None:
            before = person.labels
            person.stage.release()
            after = person.labels
            wrong += len(after) > len(before) and (not pressed[1] or str(after[-1].part) != pressed[0])
            pressed = None
        elif deed == "other" and task is not None:  # another person decides the part that is shown
            person.view._take_work([one for one in person.view.session.lineup.tasks if one.part != task.part])
        elif deed == "wait":
            person.wait(chance.choice((0.05, 0.3, 0.6)), 2)
        else:
            person.stage.desk.settle()
            person.stage.tick()
    if pressed is not None:
        person.stage.release(QPoint(2, 2))
    return len(person.labels), wrong


def test_a_touch_meant_for_the_previous_part_never_labels_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever changes under the finger, a label names the part that was on the screen for 300 ms at the press."""
    monkeypatch.setattr(facts, "read_tasks", many)
    with at_work() as person:
        given, wrong = wrong_labels(person, 7, 300)

        assert 0 == wrong
        assert given > 5


def test_without_binding_and_guard_a_touch_labels_the_next_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test before dies when a press counts at once, and a release for whatever is shown."""
    monkeypatch.setattr(view, "guarded", lambda _showing, _now: False)
    monkeypatch.setattr(sessions.taps, "meant", lambda showing, _bound: showing.subject)
    monkeypatch.setattr(sessions.taps, "bind", lambda showing, _now: showing.subject)
    monkeypatch.setattr(facts, "read_tasks", many)
    with at_work() as person:
        assert wrong_labels(person, 7, 150)[1] > 0


def test_undo_takes_the_answer_out_of_the_outbox() -> None:
    """Within ten seconds UNDO leaves nothing to send and shows the part again; later the key is off."""
    with at_work() as person:
        part = person.see()
        person.tap("good")
        person.wait(1)
        person.tap("undo")
        person.wait()
        back = (person.see(), person.labels)
        person.tap("good")
        person.wait(11)

        assert (part, []) == back
        assert not person.stage.find("undo").isEnabled()


def test_the_label_says_what_was_on_the_screen_and_how_long() -> None:
    """Seconds run from the picture's appearance; terminal, software and the model's answer stand in the label."""
    with at_work() as person:
        person.see()
        began = person.view.session.showing.since
        person.wait(4)
        person.tap("good")
        label = person.labels[-1]
        seconds = (person.sample.clock.now() - began) / 1e9

        assert (round(seconds, 6), "line-1", GOOD) == (round(label.seconds, 6), label.terminal, label.kind)
        assert label.prediction_shown == (label.shown is not None)
        assert label.software.startswith("firstshift ")


def test_time_on_another_screen_is_not_counted() -> None:
    """Who looks at the run screen does not look at the part: it appears anew, and its seconds go on from there."""
    with at_work() as person:
        part = person.see()
        person.wait(2)
        counted = person.view.session
        person.stage.shell.open("run")
        person.wait(200)
        person.stage.shell.open("review")
        again = person.see()
        person.tap("good")

        assert (part, True) == (again, counted is person.view.session)
        assert person.labels[-1].seconds < 10


def test_nothing_of_a_hidden_answer_is_on_the_screen() -> None:
    """Where the prediction is hidden no text, outline, heat map or twin's place depends on what the model saw."""
    with at_work() as person:
        person.see()
        session = person.view.session
        open_, hidden = session.task, Task(
            session.task.part, Purpose.REVIEW, Occasion.REVIEW, LabelLevel.CONFIRM, blind=True,
            prediction_hidden=True, since=session.task.since,
        )  # fmt: skip
        with open_reader(person.sample.loaded.state / DATABASE) as connection:
            seen, unseen = facts.read_part(connection, open_), facts.read_part(connection, hidden)
        session.want(hidden)
        person.wait()
        person.see()
        told = person.view._said

        assert (True, {}, None, ()) == (bool(seen.views), unseen.views, unseen.shown, unseen.labels)
        assert ([], {"shown": False}, "which one?") == (told["marks"], told["heat"], told["answer"]["defect"])
        assert (None, False) == (person.view._search._question.box, person.stage.find("overlay").isEnabled())


def test_a_box_drawn_by_finger_is_the_region_of_the_label() -> None:
    """Level 2: class, box and SAVE by touch; the label's region is where the finger went, in pixels of the frame."""
    with at_work("q-dora") as person:
        person.see()
        person.tap(person.view.property("palette")[1]["text"])
        person.tap("Box")
        pane = next(item for item in person.stage.items() if "PartPane" in item.metaObject().className())
        corner = pane.mapToScene(QPointF(0, 0))
        picture = pane.childItems()[0]
        places = [picture.toFrame(150, 120), picture.toFrame(260, 200)]
        person.stage.press(QPoint(int(corner.x() + 150), int(corner.y() + 120)))
        for step in (180, 220, 260):
            person.stage.move(QPoint(int(corner.x() + step), int(corner.y() + 120 + (step - 150) * 80 // 110)))
        person.wait()
        person.stage.release()
        person.tap("save")
        label = person.labels[-1]
        box = label.regions[0].box

        assert (2, person.view._feed.classes[0]) == (label.level, label.kind)
        assert abs(box.x_px - places[0].x()) + abs(box.y_px - places[0].y()) < 4
        assert abs(box.x_px + box.width_px - places[1].x()) + abs(box.y_px + box.height_px - places[1].y()) < 4


def test_an_expert_says_outline_severity_and_cause() -> None:
    """Level 3 is saved when class, region, severity and cause are said, each by touch; SAVE names what is missing."""
    with at_work("q-dora") as person:
        person.see()
        person.tap("level 3")
        lacks = [person.view.property("answerKeys")["lack"]]
        person.tap(person.view.property("palette")[2]["text"])
        lacks.append(person.view.property("answerKeys")["lack"])
        person.tap("Whole picture")
        lacks.append(person.view.property("answerKeys")["lack"])
        person.tap("details")
        for key in ("Major", "Tool worn", "Comment", "Not in the catalogue", "Close"):
            person.wait(0.2, 2)
            person.tap(key)
        person.tap("save")
        label = person.labels[-1]

        assert ["Choose what it is", "Mark where it is", "Choose how severe it is"] == lacks
        assert (3, "major", "Tool worn", "Not in the catalogue") == (
            label.level, label.severity, label.cause, label.reason,
        )  # fmt: skip
        assert 1 == len(label.regions)


@pytest.mark.parametrize("language", ["en", "ar"])
def test_the_two_answers_are_equal_and_keep_their_sides(language: str) -> None:
    """Neither answer is larger, and DEFECT stands left of GOOD PART in every language: hands remember it."""
    with at_work(language=language) as person:
        person.stage.desk.words.use(language)
        person.see()
        person.stage.grab()
        defect, good = person.stage.find("defect"), person.stage.find("good")

        assert abs(defect.width() - good.width()) <= 1  # px of rounding
        assert defect.height() == good.height()
        assert person.stage.centre(defect).x() < person.stage.centre(good).x()
