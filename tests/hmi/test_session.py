"""Who is at the screen."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from appliance.governance import credentials
from appliance.governance.credentials import CHEAP, badge_digest, secret_of
from appliance.governance.rights import Right
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, S, UtcNs
from appliance.schema.errors import StoreError
from appliance.schema.label import LabelLevel
from appliance.schema.person import Person, Role
from hmi.lockout import FIRST_S, FORGET_S, LONGEST_S, PERSON_TRIES, TERMINAL_TRIES, WINDOW_S
from hmi.session import IDLE_S, READ_S, WAITING, Answer, Run, Session, SessionClock, inline

PIN, WRONG_PIN = "4711", "4712"


def person(name: str, role: Role = Role.OPERATOR, pin: str = PIN, **other: Any) -> Person:
    """Give a person with a PIN and a badge `badge NAME`."""
    fields = {"language": "en", "active": True, "secret": secret_of(pin, name.encode().ljust(16), CHEAP)} | other
    badge = badge_digest(f"badge {name}")
    return Person("e1", name, name.title(), role, LabelLevel.CONFIRM, badge, by="a-adam", at=UtcNs(1), **fields)


class Terminal:
    """Hold a session with a clock to advance, a list of people to change and the notes it wrote."""

    def __init__(self, folder: Path, run: Run = inline) -> None:
        self.folder, self.run = folder, run
        self.time = 1000.0
        self.list = [person("o-anna"), person("q-quin", Role.QUALITY), person("a-adam", Role.ADMIN)]
        self.notes: list[AuditRequest] = []
        self.broken = False
        self.answers: list[Answer] = []
        self.start()

    def start(self, boot: str = "boot-1") -> None:
        """Start the program, as after a crash."""
        clock = SessionClock(lambda: HostNs(int(self.time * S)), boot)
        self.session = Session(self._people, self.folder / "lockout.json", clock, self.notes.append, "t1", self.run)

    def pin(self, who: str, pin: str) -> Answer:
        """Try a PIN."""
        self.session.sign_in(who, pin, self.answers.append)
        return self.answers[-1]

    def confirm(self, pin: str) -> Answer:
        """Try the PIN of who is signed in."""
        self.session.confirm(pin, self.answers.append)
        return self.answers[-1]

    def wrong(self, who: str, times: int) -> None:
        """Give wrong PINs."""
        for _ in range(times):
            self.pin(who, WRONG_PIN)

    @property
    def actions(self) -> list[str]:
        """What was noted, in order."""
        return [note.action for note in self.notes]

    def _people(self) -> list[Person]:
        if self.broken:
            raise StoreError("record.db: is not there")
        return self.list


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person without a PIN cost as little as the others here."""
    monkeypatch.setattr(credentials, "COST", CHEAP)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """Give a terminal at which nobody is signed in."""
    return Terminal(tmp_path)


def test_nobody_signed_in_may_nothing(terminal: Terminal) -> None:
    """Before a PIN, and after signing out, no right stands."""
    assert not any(terminal.session.may(right) for right in Right)
    terminal.pin("o-anna", PIN)
    assert terminal.session.may(Right.DECIDE)
    terminal.session.sign_out()
    assert not any(terminal.session.may(right) for right in Right)
    assert ["signed_in", "signed_out"] == terminal.actions


def test_badge_names_and_pin_proves(terminal: Terminal) -> None:
    """A badge only names a person; the PIN lets in, and another's PIN does not."""
    found = terminal.session.by_badge("badge o-anna\r")

    assert found is not None
    assert terminal.session.person is None
    assert terminal.session.by_badge("badge nobody") is None
    assert terminal.session.by_badge(" ") is None
    assert not terminal.pin(found.person, WRONG_PIN).right
    assert terminal.pin(found.person, PIN).right
    assert "o-anna" == terminal.session.who


def test_a_switch_keeps_one_person(terminal: Terminal) -> None:
    """Signing in over another takes the other's place, and the audit names both."""
    terminal.pin("o-anna", PIN)
    terminal.pin("q-quin", PIN)

    assert "q-quin" == terminal.session.who
    assert ("q-quin", "o-anna") == (terminal.notes[-1].actor, terminal.notes[-1].before)


@pytest.mark.parametrize("change", [{"active": False}, {"secret": None}])
def test_who_is_disabled_or_has_no_pin_stays_out(terminal: Terminal, change: dict[str, Any]) -> None:
    """An inactive person, one without a PIN, and an unknown one are not let in."""
    terminal.list[0] = replace(terminal.list[0], **change)

    assert not terminal.pin("o-anna", PIN).right
    assert not terminal.pin("nobody", PIN).right
    assert terminal.session.person is None


def test_five_wrong_pins_lock_a_person_and_the_lock_doubles(terminal: Terminal) -> None:
    """After the fifth wrong PIN even the right one waits 5 min, after five more 10 min; others are let in."""
    terminal.wrong("o-anna", PERSON_TRIES - 1)
    assert 1 == terminal.answers[-1].left
    terminal.wrong("o-anna", 1)

    assert WAITING == terminal.pin("o-anna", PIN).why
    assert terminal.pin("q-quin", PIN).right
    terminal.time += FIRST_S - 1
    assert not terminal.pin("o-anna", PIN).right
    terminal.time += WINDOW_S
    terminal.wrong("o-anna", PERSON_TRIES)
    assert 2 * FIRST_S == terminal.session.wait_s("o-anna")
    terminal.time += 2 * FIRST_S
    assert terminal.pin("o-anna", PIN).right
    assert 2 == terminal.actions.count("locked_out")


def test_wrong_pins_age_out(terminal: Terminal) -> None:
    """Wrong PINs further apart than the window do not lock."""
    for _ in range(3 * PERSON_TRIES):
        terminal.wrong("o-anna", 1)
        terminal.time += WINDOW_S / (PERSON_TRIES - 1)

    assert terminal.pin("o-anna", PIN).right


def test_the_right_pin_forgives_the_person_and_a_quiet_day_the_locks(terminal: Terminal) -> None:
    """Slips of the finger before a right PIN do not add up; after a day without one the next lock is a first one."""
    for _ in range(2):
        terminal.wrong("o-anna", PERSON_TRIES - 1)
        assert terminal.pin("o-anna", PIN).right
    terminal.time += FORGET_S
    for _ in range(2):
        terminal.wrong("o-anna", PERSON_TRIES)
        assert FIRST_S == terminal.session.wait_s("o-anna")
        terminal.time += FORGET_S + 1


def test_the_terminal_locks_over_many_names(terminal: Terminal) -> None:
    """Wrong PINs over different people, known or not, lock the terminal for all; one right PIN frees nothing."""
    terminal.wrong("o-anna", PERSON_TRIES - 1)
    terminal.pin("o-anna", PIN)
    terminal.wrong("q-quin", PERSON_TRIES - 1)
    terminal.wrong("nobody", TERMINAL_TRIES - 2 * (PERSON_TRIES - 1))

    assert FIRST_S == terminal.session.wait_s()
    assert WAITING == terminal.pin("a-adam", PIN).why


def test_a_lock_is_not_freed_by_a_restart_or_a_new_boot(terminal: Terminal) -> None:
    """A restart of the program leaves the lock and the tries; after a start of the machine the lock runs anew."""
    terminal.wrong("o-anna", PERSON_TRIES - 1)
    terminal.start()
    terminal.wrong("o-anna", 1)
    assert FIRST_S == terminal.session.wait_s("o-anna")
    terminal.time += 100
    terminal.start()
    assert FIRST_S - 100 == terminal.session.wait_s("o-anna")
    terminal.time = 3.0
    terminal.start("boot-2")
    assert FIRST_S == terminal.session.wait_s("o-anna")


def test_a_crash_before_the_answer_counts_as_wrong(tmp_path: Path) -> None:
    """A PIN whose check never ended is one of the tries."""
    terminal = Terminal(tmp_path, run=lambda *_: None)
    for _ in range(PERSON_TRIES):
        terminal.session.sign_in("o-anna", PIN, terminal.answers.append)
        terminal.start()
    terminal.run = inline
    terminal.start()

    assert FIRST_S == terminal.session.wait_s("o-anna")
    assert not terminal.pin("o-anna", PIN).right


def test_a_damaged_file_locks_once_and_a_full_disk_lets_nobody_try(terminal: Terminal) -> None:
    """What cannot be read may have held a lock; where no try can be counted, none is made."""
    file = terminal.folder / "lockout.json"
    file.write_bytes(b"{ no json")
    terminal.start()
    assert FIRST_S == terminal.session.wait_s()
    file.unlink()
    terminal.start()
    file.with_name(".lockout.json.part").mkdir()

    answer = terminal.pin("o-anna", PIN)

    assert not answer.right
    assert "cannot be written" in answer.why
    assert terminal.session.person is None


def test_record_down_signing_in_goes_on(terminal: Terminal) -> None:
    """With the list of people unreadable the last one holds, and the fault is told."""
    terminal.broken = True

    assert terminal.pin("o-anna", PIN).right
    assert "record.db" in terminal.session.fault
    terminal.broken = False
    terminal.session.look()
    assert terminal.session.fault == ""


def test_an_idle_session_locks_and_the_pin_opens_it(terminal: Terminal) -> None:
    """Without a touch nobody may anything after the idle time; a touch puts it off; the person's PIN opens it."""
    terminal.pin("o-anna", PIN)
    terminal.time += IDLE_S - 1
    terminal.session.tick()
    terminal.session.touch()
    terminal.time += IDLE_S - 1
    terminal.session.tick()
    assert terminal.session.may(Right.DECIDE)
    terminal.time += 1
    terminal.session.tick()

    assert not terminal.session.may(Right.DECIDE)
    assert terminal.session.resting is not None
    assert "session_locked" == terminal.actions[-1]
    assert terminal.pin(terminal.session.resting.person, PIN).right
    assert terminal.session.resting is None


@pytest.mark.parametrize("change", [{"active": False}, {"secret": secret_of("8352", bytes(16), CHEAP)}])
def test_who_is_disabled_is_signed_out(terminal: Terminal, change: dict[str, Any]) -> None:
    """A person who is disabled, or whose PIN was replaced, is out within seconds; a new role holds at once."""
    terminal.pin("o-anna", PIN)
    terminal.list[0] = replace(terminal.list[0], role=Role.LEAD)
    terminal.time += READ_S
    terminal.session.tick()
    assert terminal.session.may(Right.SHELVE)
    terminal.list[0] = replace(terminal.list[0], **change)
    terminal.time += READ_S
    terminal.session.tick()

    assert terminal.session.person is None


def test_confirming_takes_the_own_pin_and_locks_on_guessing(terminal: Terminal) -> None:
    """A deed that needs the PIN again takes that of who is signed in alone; guessing it locks the session."""
    terminal.list[1] = person("q-quin", Role.QUALITY, "8352")
    assert not terminal.confirm(PIN).right
    terminal.pin("q-quin", "8352")

    assert terminal.confirm("8352").right
    assert not terminal.confirm(PIN).right
    for _ in range(PERSON_TRIES - 1):
        terminal.confirm(PIN)
    assert terminal.session.person is None
    assert "confirm_failed" in terminal.actions


def test_a_confirmation_of_another_is_void(tmp_path: Path) -> None:
    """A PIN that is still being checked when another is signed in, or nobody, confirms nothing."""
    waiting: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
    terminal = Terminal(tmp_path)
    terminal.pin("q-quin", PIN)
    terminal.session.run = lambda work, done: waiting.append((work, done))
    terminal.session.confirm(PIN, terminal.answers.append)
    terminal.session.sign_out()
    work, done = waiting.pop()
    done(work())

    assert not terminal.answers[-1].right


def test_a_refused_right_is_noted(terminal: Terminal) -> None:
    """What a person tries without the right goes into the audit chain; what is allowed does not."""
    terminal.pin("o-anna", PIN)

    assert terminal.session.demand(Right.DECIDE)
    assert not terminal.session.demand(Right.APPROVE)
    assert ("right_refused", "approve") == (terminal.notes[-1].action, terminal.notes[-1].after)
    assert 1 == terminal.actions.count("right_refused")


def test_notes_hold_no_pin_and_no_name(terminal: Terminal) -> None:
    """Neither PIN, badge nor name reaches the audit chain or the file."""
    terminal.wrong("o-anna", PERSON_TRIES)
    terminal.wrong("nobody-known", 1)
    terminal.pin("q-quin", PIN)
    terminal.confirm(PIN)
    told = "".join(map(repr, terminal.notes)) + (terminal.folder / "lockout.json").read_text()

    for secret in (PIN, WRONG_PIN, "O-Anna", "Q-Quin", "badge", "nobody-known"):
        assert secret not in told


tries = st.lists(st.tuples(st.booleans(), st.floats(0, 700), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(tries)
def test_no_history_gives_more_tries(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    """Whatever is waited and restarted, no more than five wrong PINs of a person are checked in any ten minutes."""
    terminal = Terminal(tmp_path_factory.mktemp("t"))
    checked: list[float] = []
    for _, pause, restart in steps:
        terminal.time += pause / 20
        if restart:
            terminal.start()
        before = terminal.session.wait_s("o-anna")
        terminal.wrong("o-anna", 1)
        if not before:
            checked.append(terminal.time)

    for at in checked:
        assert len([other for other in checked if at <= other < at + FIRST_S]) <= PERSON_TRIES


@given(st.integers(1, 60))
def test_a_lock_ends(locks: int) -> None:
    """No number of wrong PINs keeps a person out for longer than the longest lock."""
    from hmi.lockout import _lock_s

    assert FIRST_S <= _lock_s(locks) <= LONGEST_S


def test_a_switch_takes_under_three_seconds(tmp_path: Path) -> None:
    """With the cost in force a PIN is checked in a fraction of 3 s of processor time."""
    terminal = Terminal(tmp_path)
    terminal.list[0] = replace(terminal.list[0], secret=secret_of(PIN, bytes(16)))
    before = time.process_time()
    right = terminal.pin("o-anna", PIN).right
    spent = time.process_time() - before

    assert right
    assert spent < 3.0
    assert json.loads((tmp_path / "lockout.json").read_text())["boot"] == "boot-1"
