"""The desk joins bus, store, outbox and people for every screen, and goes on when one of them is missing."""

from contextlib import closing
from datetime import UTC

import pytest

from appliance import config
from appliance.governance.approval import recipe_digest
from appliance.schema.clocks import S, UtcNs
from appliance.schema.command import Accepted, Drain, NoteDeed, RefusedReply, SubmitLabel
from appliance.schema.errors import StoreError
from appliance.schema.label import Label, LabelLevel
from appliance.schema.line import JobMode, LineState
from appliance.schema.policy import Mode
from appliance.sim.hmi_history import SHIFT_BEGAN
from appliance.sim.hmi_station import AT, sample_desk, sample_station
from appliance.storage.database import open_reader
from appliance.storage.record_store import DATABASE
from hmi.desk import shift_began


@pytest.fixture
def sample():
    with sample_station() as made:
        yield made


@pytest.fixture
def desk(sample):
    with closing(sample_desk(sample)) as made:
        yield made


def label(desk, name):
    part = desk.state.parts[0].part
    return SubmitLabel(Label(name, part, LabelLevel.CONFIRM, "o-anna", "good", 3.0, False, desk.utc()))


def test_counts_and_load_are_those_of_the_store(sample, desk):
    """The header shows the shift as the record database holds it, and the parts that wait."""
    with closing(open_reader(sample.loaded.state / DATABASE)) as connection:
        held = connection.execute("SELECT count(*) FROM actuations WHERE utc_ns >= ?", (SHIFT_BEGAN,)).fetchone()[0]

    assert (held, SHIFT_BEGAN) == (desk.state.counts.parts, desk.state.counts.since)
    assert (14, 200) == (desk.state.review.waiting, desk.state.review.limit)


def test_what_is_put_goes_to_record_and_leaves_when_it_is_taken(sample, desk):
    """A label is sent to `record` alone, and is pending until that has answered."""
    sample.link.answer = lambda _unit, _command: None
    sample.link.asked.clear()
    name = desk.put(label(desk, desk.new_id()))
    desk.tick()
    before = [entry.id for entry in desk.pending()]
    sample.link.reply(Accepted())
    desk.tick()
    desk.tick()

    assert ([name], ()) == (before, desk.pending())
    assert [("record", SubmitLabel)] == [(unit, type(command)) for unit, command in sample.link.asked]
    assert 0 == desk.state.unsent


def test_a_refused_label_is_shown(sample, desk):
    """What `record` refuses is counted and kept with its reason until somebody has looked."""
    sample.link.answer = lambda _unit, _command: RefusedReply("o-anna: level 2 is needed; ask a lead")
    desk.put(label(desk, desk.new_id()))
    desk.tick()
    desk.tick()
    shown = [entry.reason for entry in desk.refused()]
    desk.dismiss(desk.refused()[0].id)

    assert ["o-anna: level 2 is needed; ask a lead"] == shown
    assert (1, ()) == (desk.state.refused, desk.refused())


def test_a_wish_is_answered_to_who_asked(sample, desk):
    """Two wishes under way are answered each to its own asker."""
    sample.link.answer = lambda unit, _command: Accepted(unit)
    told = []
    for unit in ("line", "judge"):
        desk.ask(unit, Drain(), lambda reply, unit=unit: told.append((unit, reply.detail)))
    desk.pulse()

    assert [("line", "line"), ("judge", "judge")] == told


def test_the_newest_question_is_answered(desk):
    """Of questions that one asker has asked, only the newest is answered; a broken one comes back as StoreError."""
    told = []

    def take(value):
        told.append(value)

    for number in range(20):
        desk.query(lambda _connection, number=number: number, take)
    desk.settle()
    desk.query(lambda connection: connection.execute("SELECT * FROM nothing"), take)
    desk.settle()

    assert 19 == told[0]
    assert (2, True) == (len(told), isinstance(told[1], StoreError))


def test_no_question_can_write(desk):
    """The connection that questions get refuses every change."""
    told = []
    desk.query(lambda connection: connection.execute("DELETE FROM labels"), told.append)
    desk.settle()

    assert isinstance(told[0], StoreError)


def test_another_recipe_on_the_line_is_read_and_followed(sample, desk):
    """When `line` runs another recipe the desk reads the configuration again, and knows the mode once both agree."""
    path = sample.loaded.recipe_path
    path.write_text(path.read_text("utf-8").replace('mode = "primary"', 'mode = "parallel"'), "utf-8")
    digest = recipe_digest(config.load(sample.loaded.path).recipe)
    sample.link.say(LineState(desk.now(), JobMode.CONTINUOUS, "ready", ready=True, recipe_sha256=digest))
    desk.tick()
    unknown = desk.state.mode
    desk.tick()

    assert (None, Mode.PARALLEL) == (unknown, desk.state.mode)
    assert Mode.PARALLEL is desk.loaded.recipe.mode


def test_a_recipe_that_cannot_be_read_hides_the_model(sample, desk):
    """While nobody knows the mode, nothing of the model is shown, and the desk says why."""
    sample.loaded.recipe_path.write_text("nonsense", "utf-8")
    sample.link.say(LineState(desk.now(), JobMode.CONTINUOUS, "ready", ready=True, recipe_sha256="f" * 64))
    desk.tick()
    desk.tick()

    assert (None, True) == (desk.state.mode, all(part.verdict is None for part in desk.state.parts if not part.manual))
    assert "recipe.toml" in desk.fault


def test_deeds_go_into_the_audit_chain_in_the_name_of_who_is_there(sample, desk):
    """A note names the person at the screen; with nobody there, the touchscreen."""
    sample.link.asked.clear()
    desk.note("theme_changed", "line-1", "light", "dark")
    person = sample.sign_in(desk, "lead")
    desk.note("theme_changed", "line-1", "dark", "light")
    desk.tick()
    notes = [command.deed for _, command in sample.link.asked if isinstance(command, NoteDeed)]

    assert ["service:hmi", person] == [note.actor for note in notes if note.action == "theme_changed"]


def test_a_full_disk_is_said_and_the_screen_goes_on(desk):
    """A note that cannot be kept is told as a fault; a label raises, since its author must know."""
    desk._outbox._database.execute("PRAGMA query_only=ON")
    desk.note("theme_changed", "line-1")
    desk.tick()

    assert "cannot keep a wish" in desk.fault
    with pytest.raises(StoreError):
        desk.put(label(desk, desk.new_id()))


def test_the_touchscreen_starts_where_nothing_was_recorded(sample):
    """Without a record database there are no people and no counts, and the screen stands."""
    (sample.loaded.state / DATABASE).unlink()
    with closing(sample_desk(sample)) as desk:
        assert ((), None) == (desk.session.people(), desk.state.review)
        assert desk.session.fault


@pytest.mark.parametrize(("hours", "began"), [(0, 0), (3.4, 0), (3.65, 8), (-4.41, -8)])
def test_a_shift_begins_on_the_hour(hours, began):
    """Shifts are thirds of the day from 06:00."""
    instant = UtcNs(AT + round(hours * 3600) * S)

    assert SHIFT_BEGAN + began * 3600 * S == shift_began(instant, UTC)


def test_a_station_with_shifts_of_its_own_counts_from_them():
    """What the station file states takes the place of the thirds, over midnight too."""
    midnight = UtcNs(AT - AT % (24 * 3600 * S))
    begins = [
        (shift_began(UtcNs(midnight + hour * 3600 * S), UTC, ("07:30", "19:30")) - midnight) / 3600 / S
        for hour in (7, 8, 20)
    ]

    assert [-4.5, 7.5, 19.5] == begins
