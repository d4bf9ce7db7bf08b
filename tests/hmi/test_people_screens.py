"""Sign-in, people and recipe, touched by a finger."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from appliance.governance.credentials import SALT_BYTES, matches, secret_of
from appliance.governance.rights import Right
from appliance.schema.command import ActivateBundle, ChangePerson, NoteDeed, RollbackBundle, StageBundle
from appliance.schema.health import Component, Condition, Health
from appliance.schema.person import Role
from appliance.sim.hmi_station import PINS, Sample, sample_desk, sample_station
from hmi import app
from hmi.desk import Desk
from hmi.session import IDLE_S
from hmi.words import PSEUDO
from tests.hmi.hmi_rig import Rig, Stage, px_per_mm
from tests.hmi.looks import faults

READY = "sha256:0123 from next is ready to be activated"


class Terminal:
    """Hold a sample station, its touchscreen and the screen that is shown."""

    def __init__(self, rig: Rig, sample: Sample, desk: Desk) -> None:
        self.rig, self.sample, self.desk = rig, sample, desk
        read = desk.session._read_people
        desk.session._read_people = lambda: [replace(one, language="en") for one in read()]
        desk.session.look()

    def open(self, screen: str, role: str = "") -> Stage:
        """Show a screen to a person of a role."""
        if role:
            self.sample.sign_in(self.desk, role)
        self.stage = self.rig.open(screen, self.desk)
        self.settle()
        return self.stage

    def settle(self) -> None:
        """Let workers and outbox do what they have."""
        for _ in range(3):
            self.desk.settle()
            self.stage.tick()

    def enter(self, digits: str) -> None:
        """Type on the pad and press Enter."""
        self.touch(digits[0])
        for key in (*digits[1:], "Enter"):
            self.stage.touch(key)
        self.settle()

    def touch(self, *names: str) -> None:
        """Touch keys one after the other, each when what the one before changed is laid out."""
        for name in names:
            self.stage.window.grabWindow()
            self.stage.touch(name)

    def wishes(self, kind: Any) -> list[Any]:
        """Give the wishes of a kind that were sent."""
        return [wish for _, wish in self.sample.link.asked if isinstance(wish, kind)]

    def notes(self) -> list[tuple[str, str, str]]:
        """Give who did what, and what it says, of the deeds sent."""
        return [(note.deed.actor, note.deed.action, note.deed.after) for note in self.wishes(NoteDeed)]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Give a terminal of a sample station."""
    app.application()
    with sample_station() as sample:
        desk = sample_desk(sample, app.words_of("en"))
        try:
            with Rig() as rig:
                yield Terminal(rig, sample, desk)
        finally:
            desk.close()


def test_a_tile_and_a_pin_let_a_person_in(terminal: Terminal) -> None:
    """Nobody may anything before; a tap on the name and the PIN are all it takes, and the screen leads on to run."""
    stage = terminal.open("sign_in")
    assert not stage.find("1").isEnabled()
    assert not terminal.desk.session.may(Right.DECIDE)
    terminal.touch("Anna Berger")
    terminal.enter(PINS["o-anna"])

    assert "o-anna" == terminal.desk.session.who
    assert "RunView" == type(stage.view).__name__
    assert ("o-anna", "signed_in", "") in terminal.notes()


def test_a_badge_chooses_and_does_not_let_in(terminal: Terminal) -> None:
    """Who holds a badge still needs the PIN; an unknown badge says so."""
    stage = terminal.open("sign_in")
    stage.type("BADGE-nobody")
    terminal.settle()
    assert any("not known" in text for text in stage.texts())
    stage.type("BADGE-o-ben")
    terminal.settle()
    assert terminal.desk.session.person is None
    terminal.enter(PINS["o-ben"])

    assert "o-ben" == terminal.desk.session.who


def test_five_wrong_pins_stop_the_pad(terminal: Terminal) -> None:
    """The screen says how long no PIN is taken; the right PIN does not get past it, another person does."""
    stage = terminal.open("sign_in")
    terminal.touch("Anna Berger")
    for left in (4, 3, 2, 1):
        terminal.enter("9090")
        assert any(text.startswith(f"{left} more wrong") for text in stage.texts())
    terminal.enter("9090")

    assert any("No PIN is taken for 5:00" in text for text in stage.texts())
    assert not stage.find("1").isEnabled()
    assert "locked_out" in [action for _, action, _ in terminal.notes()]
    terminal.touch("Ben Ortiz")
    terminal.settle()
    terminal.enter(PINS["o-ben"])
    assert "o-ben" == terminal.desk.session.who


def test_a_switch_of_people_is_fast(terminal: Terminal) -> None:
    """From the tap on the name to the next screen, PIN digest at its full cost, the machine takes well under 3 s."""
    secret = secret_of(PINS["l-clara"], b"s" * SALT_BYTES)
    people = [replace(one, secret=secret) if one.person == "l-clara" else one for one in terminal.desk.session.people()]
    terminal.desk.session._read_people = lambda: people
    terminal.open("sign_in", "operator")
    started = time.process_time()
    terminal.touch("Clara Weiß")
    terminal.enter(PINS["l-clara"])
    spent = time.process_time() - started

    assert "l-clara" == terminal.desk.session.who
    assert spent < 3.0


def test_an_idle_screen_locks(terminal: Terminal) -> None:
    """After the idle time the screen asks for the PIN of who was there, and nobody may anything meanwhile."""
    stage = terminal.open("recipe", "quality")
    terminal.sample.advance(IDLE_S)
    terminal.settle()

    assert terminal.desk.session.person is None
    assert "SignInView" == type(stage.view).__name__
    assert any("Locked by Dora" in text for text in stage.texts())
    terminal.enter(PINS["q-dora"])
    assert "q-dora" == terminal.desk.session.who


def test_a_person_changes_the_own_pin(terminal: Terminal) -> None:
    """The present PIN, then the new one twice; an easy one is refused, and what is sent proves the new one only."""
    stage = terminal.open("sign_in", "operator")
    terminal.touch("New PIN")
    terminal.enter("9090")
    assert any("PIN is wrong" in text for text in stage.texts())
    terminal.enter(PINS["o-anna"])
    terminal.enter("1234")
    assert any("too easily guessed" in text for text in stage.texts())
    terminal.enter("8352")
    terminal.enter("8353")
    assert any("differ" in text for text in stage.texts())
    terminal.enter("8352")
    terminal.enter("8352")
    sent = terminal.wishes(ChangePerson)

    assert ["o-anna"] == [wish.person.by for wish in sent]
    assert matches("8352", sent[0].person.secret)
    assert not matches(PINS["o-anna"], sent[0].person.secret)


def test_an_admin_enrols_a_person(terminal: Terminal) -> None:
    """Id, name, role and PIN; nothing is sent before the admin's own PIN was given."""
    terminal.open("people", "admin")
    terminal.touch("Enrol a person")
    terminal.touch("o", "n", "e", "w", "Enter", "Capitals", "N", "e", "w", "Enter")
    terminal.touch("Role", "Shift lead", "Level", "2: class and region", "PIN")
    terminal.enter("8352")
    terminal.enter("8352")
    terminal.touch("Save")
    terminal.settle()
    terminal.enter("9090")
    assert [] == terminal.wishes(ChangePerson)
    terminal.enter(PINS["a-frida"])
    wish = terminal.wishes(ChangePerson)[0].person

    assert ("onew", "New", Role.LEAD, 2, True, "a-frida") == (
        wish.person, wish.name, wish.role, wish.level, wish.active, wish.by,
    )  # fmt: skip
    assert matches("8352", wish.secret)


def test_nobody_changes_himself_and_only_an_admin_changes_people(terminal: Terminal) -> None:
    """The admin's own fields are off; a view that another role got to sends nothing and the attempt is noted."""
    stage = terminal.open("people", "admin")
    stage.view.choose("a-frida")
    terminal.settle()
    assert not any(stage.find(field).isEnabled() for field in ("Name", "Role", "Level", "PIN"))
    stage.view.choose("o-anna")
    stage.view.stand()
    terminal.sample.sign_in(terminal.desk, "lead")
    stage.view.save()
    terminal.settle()

    assert [] == terminal.wishes(ChangePerson)
    assert ("l-clara", "right_refused", "change_people") in terminal.notes()


def judge(terminal: Terminal, staging: str = "") -> None:
    """Let the judge say which bundle decides and what is staged."""
    components = (
        Component("bundle", Condition.OK, "sha256:aaaa"),
        Component("staging", Condition.OK, staging),
    )
    terminal.sample.link.say(Health("judge", Condition.OK, components, 9, terminal.desk.now()))
    terminal.settle()


def test_a_bundle_is_made_ready_with_reason_and_pin(terminal: Terminal) -> None:
    """Nothing is asked of the judge before a reason and the right PIN; who, what and why reach the audit chain."""
    terminal.open("recipe", "quality")
    terminal.touch("Model")
    judge(terminal)
    terminal.touch("Make ready", "Better figures on the same parts")
    terminal.enter("9090")
    assert [] == terminal.wishes(StageBundle)
    terminal.enter(PINS["q-dora"])

    assert [StageBundle("day-one", "q-dora")] == terminal.wishes(StageBundle)
    assert ("q-dora", "stage_done", "day-one: Better figures on the same parts") in terminal.notes()
    assert [] == terminal.wishes(ActivateBundle)


def test_going_back_is_asked_of_the_judge(terminal: Terminal) -> None:
    """A shift lead may go back to the bundle before, and may not put another one in force."""
    stage = terminal.open("recipe", "lead")
    terminal.touch("Model")
    judge(terminal, READY)
    assert not stage.find("Put in force").isEnabled()
    terminal.touch("Go back", "Another reason", "b", "a", "d", "Enter")
    terminal.enter(PINS["l-clara"])

    assert [RollbackBundle("l-clara")] == terminal.wishes(RollbackBundle)
    assert "bad" in terminal.notes()[-1][2]


def test_an_operator_sees_and_changes_nothing(terminal: Terminal) -> None:
    """Every key of the recipe screen is off for who may only look; a call past the key is noted and opens nothing."""
    stage = terminal.open("recipe", "operator")
    for tab in ("versions", "model", "recipes"):
        stage.view.openTab(tab)
        terminal.settle()
        deeds = stage.view.property("deeds")
        assert deeds
        assert not any(deed["able"] for deed in deeds)
    stage.view.begin("activate_bundle")

    assert "" == stage.view.property("shown")["panel"]
    terminal.settle()
    assert ("o-anna", "right_refused", "activate") in terminal.notes()


def test_record_down_the_recipe_is_shown(terminal: Terminal) -> None:
    """Without the record database what is in force still shows, and that the rest is not known."""
    (terminal.sample.loaded.state / "record.db").unlink()
    stage = terminal.open("recipe")
    stage.shell.open("recipe")
    terminal.settle()

    assert any("decide" in text for text in stage.texts())


PANELS = {
    "sign_in": (("choose", "o-anna"), ("startPin",)),
    "people": (("choose", "o-anna"), ("edit", "role"), ("edit", "level"), ("edit", "name"), ("edit", "badge"),
               ("edit", "pin"), ("stand",), ("save",)),
    "recipe": (("openTab", "versions"), ("openTab", "recipes"), ("openTab", "model"), ("begin", "stage"),
               ("reason", ""), ("reason", "why")),
}  # fmt: skip
"""What is called, one after the other; the window is looked at after each."""


@pytest.mark.parametrize(("screen", "role"), [("sign_in", "operator"), ("people", "admin"), ("recipe", "quality")])
def test_no_panel_cuts_a_text(terminal: Terminal, screen: str, role: str) -> None:
    """Every panel fits the smallest screen in German, Arabic and with texts 40 % longer."""
    stage = terminal.open(screen, role)
    found = {}
    for name, *given in PANELS[screen]:
        getattr(stage.view, name)(*given)
        for language in ("de", "ar", PSEUDO):
            terminal.desk.words.use(language)
            stage.tick(2)
            stage.window.grabWindow()  # what was told anew is laid out, what is gone is gone
            stage.settle()
            found[name, *given, language] = faults(stage, px_per_mm("1280x800"))

    assert {} == {panel: said for panel, said in found.items() if said}
