"""Say who is at the screen and what they may do; no Qt.

The list of people comes from the record database, which is read, so that signing in works while `record` is down; what
happens goes into the audit chain through the outbox, without PIN or name.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from appliance.governance.credentials import badge_digest, matches
from appliance.governance.rights import Right, may
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import HostNs, S
from appliance.schema.errors import StoreError
from appliance.schema.person import Person
from hmi.lockout import Lockout

IDLE_S = 300.0
"""Time without a touch after which the session locks."""

READ_S = 5.0
"""Time between two looks at the list of people: whoever was disabled is signed out within it."""

HMI = "service:hmi"
"""Actor of what happens at the screen while nobody is signed in."""

WRONG = "The PIN is wrong, or the person is not known"
WAITING = "Too many wrong PINs: wait, or fetch another person"
NO_PIN = "No PIN yet: an admin sets it with this person"
NOBODY = "Nobody is signed in"
BUSY = "The last PIN is still being checked"

Run = Callable[[Callable[[], Any], Callable[[Any], None]], None]
"""run(work, done): do the work on another thread, then give its value to `done` on the caller's."""


class Answer(Struct, frozen=True):
    """State what came of a PIN."""

    right: bool
    why: str = ""
    """One of the sentences of this module, to be translated; or what is wrong with the disk."""
    wait_s: float = 0.0
    """Seconds until a PIN is taken again."""
    left: int = 0
    """Wrong PINs that are left."""


class SessionClock(Struct, frozen=True):
    """Hold what tells the time to a session."""

    now: Callable[[], HostNs]
    boot: str
    """Names this start of the machine, as /proc/sys/kernel/random/boot_id does."""


def inline(work: Callable[[], Any], done: Callable[[Any], None]) -> None:
    """Do the work at once."""
    done(work())


class Session:
    """Keep who is signed in; used by one thread, which `run` brings every answer back to."""

    def __init__(
        self,
        people: Callable[[], Sequence[Person]],
        lockout: Path,
        clock: SessionClock,
        note: Callable[[AuditRequest], None],
        terminal: str,
        run: Run = inline,
        idle_s: float = IDLE_S,
    ) -> None:
        """Take the way to read the list of people, the file of wrong PINs, and the way into the audit chain.

        people: newest statement of each person; StoreError when it cannot be read, then the last list holds.
        """
        self._read_people, self._clock, self._note = people, clock, note
        self.run = run
        """Does slow things with PINs and keys on another thread."""
        self._terminal, self._idle_s = terminal, idle_s
        self._lockout = Lockout(lockout, clock.boot, clock.now())
        self._people: dict[str, Person] = {}
        self._touched = self._looked = clock.now()
        self._busy = False
        self.person: Person | None = None
        """Who is signed in; None: nobody, or the session is locked."""
        self.resting: Person | None = None
        """Whose session is locked."""
        self.version = 0
        """Grows with every change of what this object tells."""
        self.fault = ""
        """Why the list of people, or the file of wrong PINs, cannot be used; empty: both can."""
        self._look()

    @property
    def who(self) -> str:
        """Operator id of who is signed in; empty: nobody."""
        return self.person.person if self.person is not None else ""

    def may(self, right: Right) -> bool:
        """Say whether who is signed in may do something; nobody may nothing."""
        return may(self.person, right)

    def demand(self, right: Right) -> bool:
        """Say the same when it is about to be done; a refusal goes into the audit chain."""
        allowed = self.may(right)
        if not allowed:
            self._tell(self.who, "right_refused", after=right.value)
        return allowed

    def people(self) -> tuple[Person, ...]:
        """Give the people who can sign in here, by name."""
        return tuple(sorted((one for one in self._people.values() if one.active), key=lambda one: one.name.casefold()))

    def by_badge(self, text: str) -> Person | None:
        """Give whose badge was read; None for an unknown one."""
        digest = badge_digest(text)
        return next((one for one in self.people() if digest and one.badge_sha256 == digest), None)

    def wait_s(self, person: str = "") -> float:
        """Give the seconds until a PIN of a person, or any PIN at this terminal, is taken again."""
        now = self._clock.now()
        return max(self._lockout.wait_s("", now), self._lockout.wait_s(person, now) if person else 0.0)

    def sign_in(self, person: str, pin: str, done: Callable[[Answer], None]) -> None:
        """Let a person in, in place of who was; `done` gets the answer."""
        self._look()
        found = self._people.get(person)
        if found is not None and found.active and found.secret is None:
            done(Answer(right=False, why=NO_PIN))
            return
        self._prove(found if found is not None and found.active else None, pin, done, self._enter)

    def confirm(self, pin: str, done: Callable[[Answer], None]) -> None:
        """Prove once more that who is signed in is at the screen; too many wrong PINs lock the session."""
        if self.person is None:
            done(Answer(right=False, why=NOBODY))
            return
        self._prove(self.person, pin, done, self._confirmed)

    def sign_out(self) -> None:
        """Let nobody be signed in."""
        leaving = self.person or self.resting
        self.person = self.resting = None
        if leaving is not None:
            self._tell(leaving.person, "signed_out")
            self._changed()

    def lock(self, why: str = "key") -> None:
        """Let nobody do anything until a PIN is given; whose session it was is kept."""
        if self.person is None:
            return
        self.resting, self.person = self.person, None
        self._tell(self.resting.person, "session_locked", after=why)
        self._changed()

    def touch(self) -> None:
        """Note that somebody touched the screen or a key."""
        self._touched = self._clock.now()

    def tick(self) -> None:
        """Lock an idle session, and learn who was changed or disabled; called ten times a second."""
        now = self._clock.now()
        if self.person is not None and now - self._touched >= self._idle_s * S:
            self.lock("idle")
        if now - self._looked >= READ_S * S:
            self._look()

    def look(self) -> None:
        """Read the list of people now, as after a change of it."""
        self._look()

    def _prove(
        self,
        person: Person | None,
        pin: str,
        done: Callable[[Answer], None],
        then: Callable[[Person], bool],
    ) -> None:
        """Check a PIN on another thread; an unknown person takes as long and counts at the terminal."""
        names = (person.person, "") if person is not None else ("",)
        wait = max(self._lockout.wait_s(name, self._clock.now()) for name in names)
        if self._busy or wait > 0:
            done(Answer(right=False, why=BUSY if self._busy else WAITING, wait_s=wait))
            return
        try:
            self._lockout.take(names, self._clock.now())
        except StoreError as error:
            self.fault = str(error)
            self._changed()
            done(Answer(right=False, why=self.fault))
            return
        self._busy = True

        def checked(right: bool) -> None:  # noqa: FBT001  called by `run`
            self._busy = False
            done(self._right(person, then) if right and person is not None else self._wrong(person, names))

        self.run(lambda: matches(pin, person.secret if person is not None else None), checked)

    def _right(self, person: Person, then: Callable[[Person], bool]) -> Answer:
        self._keep(lambda: self._lockout.right(person.person, self._clock.now()))
        self.touch()
        return Answer(right=True) if then(person) else Answer(right=False, why=WRONG)

    def _wrong(self, person: Person | None, names: tuple[str, ...]) -> Answer:
        now = self._clock.now()
        who = person.person if person is not None else ""
        self._tell(who, "sign_in_failed" if self.person is None or who != self.who else "confirm_failed")
        locked: list[str] = []
        self._keep(lambda: locked.extend(self._lockout.wrong(names, now)))
        for name in names:
            if self._lockout.wait_s(name, now) > 0:
                self._tell(who, "locked_out", after=f"{name or 'terminal'}: {self._lockout.wait_s(name, now):.0f} s")
        wait = self.wait_s(who)
        if wait and self.person is not None and who == self.who:
            self.lock("wrong PINs")
        return Answer(False, WAITING if wait else WRONG, wait, min(self._lockout.left(name, now) for name in names))

    def _enter(self, person: Person) -> bool:
        """Let a person in, unless disabled or changed while the PIN was checked."""
        self._look()
        if not self._same(person):
            return False
        before = self.who
        self.person, self.resting = person, None
        self._tell(person.person, "signed_in", before=before)
        self._changed()
        return True

    def _confirmed(self, person: Person) -> bool:
        """Say whether the person who proved the PIN is still the one signed in."""
        if self.who != person.person or not self._same(person):
            return False
        self._tell(person.person, "confirmed")
        return True

    def _same(self, person: Person) -> bool:
        now = self._people.get(person.person)
        return now is not None and now.active and now.secret == person.secret

    def _look(self) -> None:
        self._looked = self._clock.now()
        try:
            found = {one.person: one for one in self._read_people()}
        except StoreError as error:
            if self.fault != str(error):
                self.fault = str(error)
                self._changed()
            return
        if found == self._people and not self.fault:
            return
        self._people, self.fault = found, ""
        self._changed()
        for held in (self.person, self.resting):
            if held is not None and not self._same(held):
                self.sign_out()  # disabled, or with a new PIN
        if self.person is not None:
            self.person = found[self.person.person]

    def _keep(self, write: Callable[[], None]) -> None:
        """Write what was counted; it holds in memory where the disk takes nothing."""
        try:
            write()
        except StoreError as error:
            self.fault = str(error)

    def _tell(self, actor: str, action: str, before: str = "", after: str = "") -> None:
        self._note(AuditRequest(actor or HMI, action, f"terminal {self._terminal}", before, after))

    def _changed(self) -> None:
        self.version += 1
