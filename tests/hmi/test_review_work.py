"""What the review screen offers, and what becomes of an answer that cannot be delivered or is not taken."""

import statistics

import pytest

from appliance.labelling.queue import Task
from appliance.labelling.systematic import Flag
from appliance.learning.rates import rate
from appliance.schema.clocks import HostNs, UtcNs
from appliance.schema.command import RefusedReply
from appliance.schema.label import GOOD, UNSURE, LabelLevel, Purpose
from appliance.schema.review import Occasion
from appliance.sim.hmi_station import sample_station
from appliance.storage import review_queries
from appliance.storage.database import open_reader
from appliance.storage.label_queries import all_labels
from appliance.storage.record_store import DATABASE
from hmi import app
from hmi.labelling import lineup
from hmi.screens.review import facts, saying
from hmi.screens.review.twin_search import TwinSearch
from tests.hmi.review_rig import at_work


@pytest.fixture(autouse=True)
def _lone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare no twins where a test is not about them: they take most of the time."""
    if "twin" not in request.node.name:
        monkeypatch.setattr(TwinSearch, "start", lambda _search: None)


def test_unsure_hands_the_part_on() -> None:
    """One tap says that a person cannot tell."""
    with at_work() as person:
        part = person.see()
        person.tap("unsure")

        assert [(part, UNSURE)] == [(str(label.part), label.kind) for label in person.labels]


def test_label_only_work_comes_when_no_part_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a part waits for the person, nothing else is offered; the queues say so by their counts."""
    with at_work("q-dora") as person:
        person.see()
        waiting = {tab["name"]: tab["count"] for tab in person.view.property("tabs")}
        monkeypatch.setattr(review_queries, "items", lambda *_: [])
        person.wait(2, 4)
        person.see()
        idle = {tab["name"]: tab["count"] for tab in person.view.property("tabs")}

    assert (0, 0) == (waiting["audit"], waiting["disagreement"])
    assert min(idle["audit"], idle["disagreement"]) > 0


def test_answers_wait_while_record_is_down() -> None:
    """With `record` silent everything goes on; the screen counts what is not delivered yet."""
    with at_work() as person:
        person.sample.link.answer = lambda _unit, _command: None
        for _ in range(3):
            person.see()
            person.tap("good")
            person.wait(0.8)
        person.wait(12, 6)

        assert 3 == len(person.stage.desk.pending())
        assert "3 not delivered yet" in person.view.property("progress")


def test_a_refused_label_comes_back_with_its_reason() -> None:
    """What `record` refuses is said in its words, and the part is asked again."""
    with at_work() as person:
        person.sample.link.answer = lambda _unit, _command: RefusedReply("part x: decided already; look at the next")
        part = person.see()
        person.tap("good")
        person.wait(12, 6)
        told = person.view.property("notices")

        assert "Not taken: part x: decided already; look at the next" in [notice["text"] for notice in told]
        assert part in [str(task.part) for task in lineup.in_order(person.view.session.lineup)]

        person.view.session.choose(lineup.Tab.REVIEW)
        person.sample.link.answer = lambda _unit, _command: None
        while person.see() != part:
            person.tap("skip")
        person.tap("good")
        person.wait()

        assert part not in [str(task.part) for task in lineup.in_order(person.view.session.lineup)]


def test_a_part_is_found_by_its_scanned_id() -> None:
    """A scanner's line opens the part it names; one that nobody knows is said to be unknown."""
    with at_work() as person:
        person.see()
        third = str(person.view.session.lineup.tasks[3].part)
        person.stage.type(third)
        person.wait()
        found = person.see()
        person.stage.type("ffffffff-000001")
        person.wait()
        told = [notice["text"] for notice in person.view.property("notices")]

        assert (third, ["ffffffff-000001: no part with this id or serial is known"]) == (found, told)


def test_whom_to_train_is_said_once() -> None:
    """A flag of the error matrix becomes one line for lead and quality, however often it was raised."""
    flag = Flag("o-ben", "scratch", GOOD, 8, rate(9, 12), 60.0, UtcNs(0), 40)
    told = saying.notices(("", HostNs(0)), HostNs(1), [flag, flag], [], app.words_of("en"))

    assert ["Train o-ben on Scratch: 9 of 12 wrong, mostly taken for Good part"] == [one["text"] for one in told]


def test_progress_and_flags_are_read_from_the_record() -> None:
    """The figures of the person are those of the database: every answer since the shift began, and its median time."""
    with sample_station() as sample, open_reader(sample.loaded.state / DATABASE) as connection:
        since = UtcNs(sample.clock.utc() - 48 * 3600 * 10**9)
        said = [label for label in all_labels(connection) if label.person == "o-anna" and label.at >= since]
        read = facts.read_progress(connection, "o-anna", since)

        assert (len(said), statistics.median(label.seconds for label in said)) == (read.answers, read.median_s)
        assert [] == facts.read_flags(connection, ("scratch",), 1)


def test_a_database_that_cannot_be_read_is_said() -> None:
    """The screen does not pretend that there is no work."""
    with at_work() as person:
        person.see()
        (person.sample.loaded.state / DATABASE).write_bytes(b"no database" * 1000)
        person.wait(4, 8)

        assert any("cannot" in notice["text"] for notice in person.view.property("notices"))


def test_known_answers_are_told_in_the_words_of_a_review() -> None:
    """Nothing that the screen says of a known answer tells it from a part that waits."""
    words = app.words_of("en")
    said = {
        saying.heading(
            Task(
                None, purpose, Occasion.REVIEW, LabelLevel.CONFIRM, blind=True, prediction_hidden=False, since=UtcNs(0)
            ),
            LabelLevel.CONFIRM,
            words,
        )
        for purpose in (Purpose.REVIEW, Purpose.KNOWN_ANSWER)
    }

    assert {"Decide this part"} == said


def test_the_twins_of_a_part_stand_beside_it() -> None:
    """A known good part and a known defect, of other parts and other pictures, are shown at the place in question."""
    with at_work() as person:
        person.see()
        for _ in range(30):
            person.view._search._worker.settle(5)
            person.wait(0.1, 1)
            if person.view._twins is not None and not person.view._twins.left:
                break
        shown, part = person.view.property("twins"), str(person.view.session.task.part)

        assert "Good part" == shown["good"]["text"]
        assert shown["defect"]["text"] in [key["text"] for key in person.view.property("palette")]
        assert part not in (shown["good"]["part"], shown["defect"]["part"])
        assert person.view.property("source") not in (shown["good"]["source"], shown["defect"]["source"])
