"""Alarms, statistics and trends: what stands is dealt with, figures are true and nobody's but whose they may be."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from appliance.cli_hmi import sample
from appliance.monitoring.charts import Rule
from appliance.schema.clocks import S, UtcNs
from appliance.schema.command import NoteAlarm
from appliance.schema.health import Alarm, AlarmDeed
from appliance.schema.label import LabelLevel
from appliance.schema.policy import Mode
from appliance.sim.hmi_station import Sample, sample_desk, sample_station
from appliance.storage.database import open_writer
from appliance.storage.migrations import migrate
from appliance.storage.record_store import DATABASE
from appliance.storage.shift_queries import Bucket
from hmi import app
from hmi.screens.alarms import view as alarms
from hmi.screens.statistics import view as statistics
from hmi.screens.trends import view as trends
from hmi.screens.trends.series import HOUR, Baseline, Series
from tests.hmi.hmi_rig import LANGUAGES, Rig, Stage, px_per_mm
from tests.hmi.looks import faults

PAGES = {
    "alarms": ("active", "away", "journal"),
    "statistics": ("shift", "causes", "classes", "people", "escapes"),
    "trends": ("score", "latency_ms", "reviewed"),
}
"""Pages of each screen; a trend's page is its figure."""


class Station:
    """Hold a sample station with its desk and the screen."""

    def __init__(self, stack: ExitStack, rig: Rig, mode: Mode = Mode.PRIMARY, prepare: Any = None) -> None:
        self.rig = rig
        self.sample: Sample = stack.enter_context(sample_station(mode))
        if prepare is not None:
            prepare(self.sample)
        self.desk: Any = stack.enter_context(closing(sample_desk(self.sample, app.words_of("en"))))

    def open(self, screen: str, role: str = "", language: str = "en", size: str = "1280x800") -> Stage:
        if role:
            self.sample.sign_in(self.desk, role)
        stage = self.rig.open(screen, self.desk, language=language, size=size)
        return self.settle(stage)

    def settle(self, stage: Stage) -> Stage:
        for _ in range(3):
            self.desk.settle()
            stage.tick()
        return stage

    def notes(self) -> list[NoteAlarm]:
        return [wish for unit, wish in self.sample.link.asked if isinstance(wish, NoteAlarm)]


@pytest.fixture
def station() -> Iterator[Callable[..., Station]]:
    """Give what makes stations; all are closed, and Qt's warnings fail."""
    app.application()
    with ExitStack() as stack, Rig() as rig:
        yield lambda **settings: Station(stack, rig, **settings)
        rig.close()


def _turn(screen: str, view: Any, page: str) -> None:
    (view.choose if screen == "trends" else view.open_tab)(page)


@pytest.mark.parametrize("size", ["1280x800", "1920x1080"])
@pytest.mark.parametrize("screen", PAGES)
def test_every_page_fits(station: Callable[..., Station], screen: str, size: str) -> None:
    """No page of these screens cuts a text or crowds its keys, in any language, 40 % longer ones too."""
    place = station()
    stage = place.open(screen, "lead", size=size)
    found = {}
    for page in PAGES[screen]:
        _turn(screen, stage.view, page)
        place.settle(stage)
        for language in (*LANGUAGES, "xx") if size == "1280x800" else ("de",):
            place.desk.words.use(language)
            stage.tick(2)
            stage.settle()
            found[page, language] = faults(stage, px_per_mm(size))

    assert {} == {where: said for where, said in found.items() if said}


def _wild() -> Series:
    """Give hours that break every rule."""
    values = [0.3 + 0.01 * (-1) ** hour for hour in range(24)]
    values += [0.3 + 0.004 * hour for hour in range(7)] + [0.5] + [0.33] * 12 + [0.36, 0.3, 0.36]
    found = [Bucket(UtcNs(HOUR * (489_000 + hour)), 40, 3, 2, value, 40.0, 40) for hour, value in enumerate(values)]
    return Series(
        tuple(one.begin for one in found), tuple(found), HOUR, Baseline(None, found[24].begin, tuple(found[:24]))
    )


def test_a_chart_with_every_mark_fits(station: Callable[..., Station]) -> None:
    """Every broken rule has a shape and a word in the legend, which fits in every language."""
    place = station()
    stage = place.open("trends", "lead")
    stage.view.choose("score")
    stage.view._take(_wild())
    stage.settle()
    shown = stage.view.property("shown")
    found = {}
    for language in (*LANGUAGES, "xx"):
        place.desk.words.use(language)
        stage.tick(2)
        stage.settle()
        found[language] = faults(stage, px_per_mm("1280x800"))

    assert {*Rule, "astray"} == {one["shape"] for one in shown["legend"]}
    assert {} == {language: said for language, said in found.items() if said}


def test_every_word_is_translated() -> None:
    """What these screens take from tables, such as titles and remedies of alarms, is there in every language."""
    words = app.words_of("en")
    missing = [
        (text, language)
        for text in (*alarms.SAYS, *statistics.SAYS, *trends.SAYS)
        for language in LANGUAGES[1:]
        if not words.catalogue.get(text, {}).get(language)
    ]

    assert [] == missing


def test_an_alarm_is_acknowledged_by_one_tap(station: Callable[..., Station]) -> None:
    """The step names the alarm, the person and the time; the alarm is seen at once, before record has answered."""
    place = station()
    place.sample.link.answer = lambda _unit, _wish: None
    stage = place.open("alarms", "operator")
    before = place.desk.alarms.unacknowledged
    key = stage.view.property("shown")["chosen"]
    stage.touch("Acknowledge")
    stage.tick()
    step = place.notes()[0].step

    assert (key, AlarmDeed.ACKNOWLEDGED, place.desk.session.who) == (f"{step.unit} {step.kind}", step.deed, step.person)
    assert place.desk.utc() == step.at
    assert before - 1 == place.desk.alarms.unacknowledged


def test_a_tap_means_the_alarm_that_was_shown(station: Callable[..., Station]) -> None:
    """Another alarm that is shown while the finger is down is not acknowledged by it."""
    place = station()
    stage = place.open("alarms", "operator")
    meant = stage.view.property("shown")["chosen"]
    stage.press("Acknowledge")
    stage.view.choose("publish mqtt")
    stage.tick(2)
    shown = stage.view.property("shown")["chosen"]
    stage.release()
    stage.tick()

    assert (True, "publish mqtt") == (meant != shown, shown)
    assert [meant] == [f"{note.step.unit} {note.step.kind}" for note in place.notes()]


def test_a_finger_on_a_row_is_not_lost(station: Callable[..., Station]) -> None:
    """A row whose words change, as every minute, stays the row that was pressed."""
    place = station()
    stage = place.open("alarms", "operator")
    place.sample.link.say(Alarm("record", "fact_refused", "part 1", "", place.desk.now()))
    stage.tick(2)
    row = next(item for item in stage.items() if str(item.property("name")).startswith("Contradicting record refused"))
    stage.press(row)
    place.sample.advance(130)
    stage.tick(2)
    stage.release()

    assert "record fact_refused" == stage.view.property("shown")["chosen"]
    assert "2 min" in row.property("name")


def test_shelving_is_for_those_who_may(station: Callable[..., Station]) -> None:
    """A lead shelves for a time that he chooses, and it comes back by itself; what is urgent cannot be shelved."""
    place = station()
    stage = place.open("alarms", "lead")
    stage.view.choose("publish mqtt")
    stage.tick()
    stage.touch("Shelve")
    stage.touch("15 min")
    stage.tick()
    step = place.notes()[0].step
    away = place.desk.alarms.board.points["publish", "mqtt"].state
    place.sample.advance(15 * 60)
    place.desk.tick()
    back = place.desk.alarms.board.points["publish", "mqtt"].state

    assert ("mqtt", AlarmDeed.SHELVED, 15 * 60 * S) == (step.kind, step.deed, step.until - step.at)
    assert ("shelved", "unacknowledged") == (away, back)


def test_an_operator_neither_shelves_nor_takes_out(station: Callable[..., Station]) -> None:
    """Keys that are not a person's right are off and say so; called all the same, nothing is noted."""
    place = station()
    stage = place.open("alarms", "operator")
    keys = [stage.find(name) for name in ("Shelve", "Out of service")]
    stage.view.shelve(15, "publish mqtt")
    stage.view.do("out_of_service", "publish mqtt")
    stage.tick()

    assert [False, False] == [key.property("enabled") for key in keys]
    assert [] == place.notes()


def test_high_alarms_are_never_shelved(station: Callable[..., Station]) -> None:
    """No time is offered for what tells of a defect that passed, and a wish for it is refused in words."""
    place = station()
    place.sample.link.say(Alarm("line", "accepted_without_verdict", "part 7", "", place.desk.now()))
    stage = place.open("alarms", "lead")
    offered = stage.view.property("shown")["details"]["shelvings"]
    stage.view.shelve(15, "line accepted_without_verdict")

    assert [] == offered
    assert "cannot be shelved" in stage.view.property("shown")["told"]
    assert [] == place.notes()


def test_maintenance_takes_out_and_puts_back(station: Callable[..., Station]) -> None:
    """Out of service it calls nobody, until maintenance puts it back."""
    place = station()
    stage = place.open("alarms", "maintenance")
    stage.view.choose("publish mqtt")
    stage.tick()
    stage.touch("Out of service")
    stage.tick()
    gone = "publish mqtt" in [f"{one.unit} {one.kind}" for one in place.desk.alarms.calling]
    stage.view.open_tab("away")
    stage.tick()
    stage.touch("Back in service")
    stage.tick()

    assert [AlarmDeed.OUT_OF_SERVICE, AlarmDeed.IN_SERVICE] == [note.step.deed for note in place.notes()]
    assert not gone
    assert "publish mqtt" in [f"{one.unit} {one.kind}" for one in place.desk.alarms.calling]


def test_the_first_cause_is_on_top(station: Callable[..., Station]) -> None:
    """A service that falls silent stands as an alarm with its remedy, in the words of the screen's language."""
    place = station()
    stage = place.open("alarms", "operator", language="de")
    place.sample.silent.add("judge")
    place.sample.advance(5)
    stage.tick(2)
    stage.view.choose("judge absent")

    assert "Prüfung antwortet nicht" in stage.texts()
    assert "judge absent" in [f"{one.unit} {one.kind}" for one in place.desk.alarms.standing]


def test_shares_stand_on_counts(station: Callable[..., Station]) -> None:
    """Every share of a shift is shown with its count and its interval, and the shift before is another one."""
    place = station()
    stage = place.open("statistics", "lead")
    now = stage.view.property("shown")
    stage.touch("Shift before")
    place.settle(stage)
    before = stage.view.property("shown")

    assert all(card["said"] and card["range"] for card in now["cards"][1:7])
    assert now["title"] != before["title"]
    assert (True, False) == (now["runs"], before["runs"])


def test_an_operator_sees_his_own_figures_alone(station: Callable[..., Station]) -> None:
    """Other people's figures, and escapes, are for lead and quality; the figures of who was here before are gone."""
    place = station()
    stage = place.open("statistics", "lead")
    everyone = {row[0] for row in stage.view.property("shown")["people"]["rows"]}
    place.desk.session.sign_out()
    who = place.sample.sign_in(place.desk, "operator")
    stage.view.refresh()
    at_once = stage.view.property("shown").get("people")
    place.settle(stage)
    shown = stage.view.property("shown")

    assert len(everyone) > 1
    assert None is at_once
    assert {row[0] for row in shown["people"]["rows"]} <= {who}
    assert ([], False) == (shown["escapes"]["rows"], shown["others"])


def test_parallel_mode_keeps_its_seal(station: Callable[..., Station]) -> None:
    """Neither classes nor trends tell what the model made of parts that nobody has decided."""
    place = station(mode=Mode.PARALLEL)
    stage = place.open("statistics", "lead")
    shown = stage.view.property("shown")
    curve = place.open("trends", "").view.property("shown")

    told = {card["caption"]: card["value"] for card in shown["cards"]}

    assert (True, []) == (shown["is_parallel"], shown["classes"])
    assert {"\u2013"} == {told[name] for name in ("First-pass yield", "To review", "Unknown", "No verdict")}
    assert "\u2013" != told["Accepted"]
    assert shown["parallel"]["lines"]
    assert (True, True) == (curve["is_parallel"], curve["chart"]["empty"])


def _emptied(place: Sample) -> None:
    path = place.loaded.state / DATABASE
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    connection = open_writer(path)
    migrate(connection)
    connection.close()


def _one_part(place: Sample) -> None:
    _emptied(place)
    connection = open_writer(place.loaded.state / DATABASE)
    at = place.clock.utc() - 60 * S
    connection.execute("INSERT INTO parts VALUES (1, 1, 1)")
    connection.execute("INSERT INTO entered VALUES (1, ?, 5, 0, 0, 0, 6, '[]', 0, x'00')", (at,))
    connection.close()


@pytest.mark.parametrize(("prepare", "parts"), [(_emptied, "0"), (_one_part, "1")])
def test_nothing_and_one_part_look_right(station: Callable[..., Station], prepare: Any, parts: str) -> None:
    """An empty database has dashes and sentences, one part has its wide interval; nothing fails, nothing is cut."""
    place = station(prepare=prepare)
    cut = []
    for screen, pages in PAGES.items():
        stage = place.open(screen)
        for page in pages:
            _turn(screen, stage.view, page)
            place.settle(stage)
            cut += faults(stage, px_per_mm("1280x800"))
        if screen == "statistics":
            cards = stage.view.property("shown")["cards"]

    assert [] == cut
    assert parts == cards[0]["value"]
    assert "\u2013" == cards[1]["value"]


def test_the_chart_draws_what_it_was_given(station: Callable[..., Station]) -> None:
    """Every point lies within the axis, limits stand on a stated baseline, and each broken rule has its own shape."""
    place = station()
    stage = place.open("trends", "lead")
    chart = stage.view.property("shown")["chart"]
    values = [one["value"] for one in chart["points"] if one["value"] is not None]
    pixels = stage.grab()

    assert values
    assert chart["bottom"] <= min(values) <= max(values) <= chart["peak"]
    assert chart["baseline"] > 0
    assert len({tuple(pixel) for pixel in pixels[300:600:3, 400:1200:3].reshape(-1, 3)}) > 3
    assert len(trends.wording.RULES) == len(set(trends.wording.RULES.values()))


def test_a_sample_of_the_gallery_can_be_made() -> None:
    """The roles that the gallery signs in may see these screens."""
    with Rig() as rig, sample(app.words_of("en"), "statistics") as desk:
        stage = rig.open("statistics", desk)

        assert desk.session.person.level >= LabelLevel.CONFIRM
        assert stage.texts()
