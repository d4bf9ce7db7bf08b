"""Give every screen the one object it works with: what is known, who is there, and what can be done."""

import itertools
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path

from appliance.config import Loaded, load
from appliance.governance.approval import recipe_digest
from appliance.monitoring.shifts import shift_at, starts
from appliance.ports.clock import Clock
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, S, UtcNs
from appliance.schema.command import Command, NoteAlarm, NoteDeed, Reply
from appliance.schema.errors import ConfigError, StoreError
from appliance.schema.frame import FrameReady
from appliance.schema.health import AlarmStep
from appliance.schema.part import PartId
from appliance.schema.person import Person
from appliance.schema.policy import Basis
from appliance.schema.recipe import Recipe
from appliance.schema.verdict import Reason
from appliance.storage import alarm_queries, people_queries
from appliance.storage.database import open_reader, store_error
from appliance.storage.places import DATABASE
from hmi.alarm_watch import AlarmWatch
from hmi.client import MOST, BusLink, Link, units_of
from hmi.fold import StationFold
from hmi.held import Held, Overview, Read, overview
from hmi.outbox import Entry, Kept, Outbox, new_id
from hmi.prints import Pictures
from hmi.session import HMI, Session, SessionClock
from hmi.words import Words
from hmi.worker import Done, Worker

FOLDER = "hmi"
"""Folder of the touchscreen's own files in the station's state folder."""

ANSWER_NS = 1 * S
"""A unit answers a wish within one turn of its loop; later it counts as no answer."""

OVERVIEW_NS = 5 * S
"""Time between two looks at what the record database holds of the shift."""

ALARMS_NS = 24 * 3600 * S
"""Alarms of the last day are fetched at the start."""

FOR_EVER = UtcNs((1 << 63) - 1)

Answered = Callable[[Reply], None]


class WallClock:
    """Tell the computer's time."""

    def now(self) -> HostNs:
        """CLOCK_MONOTONIC, ns."""
        return HostNs(time.monotonic_ns())

    def utc(self) -> UtcNs:
        """Wall clock in UTC, ns."""
        return UtcNs(time.time_ns())


class Desk:
    """Hold the touchscreen's whole business but its screens. One thread, the GUI's; nothing here waits but the disk."""

    def __init__(
        self, loaded: Loaded, link: Link, clock: Clock, words: Words, terminal: str = "", zone: tzinfo | None = None
    ) -> None:
        """Take the station's configuration, the way to it, and its time zone (None: the computer's).

        StoreError when another touchscreen of this station runs.
        """
        self.loaded, self.words, self.terminal = loaded, words, terminal
        self.fault = ""
        """Why something could not be kept; empty: all is kept."""
        self._link, self._clock, self.zone = link, clock, zone
        folder = loaded.state / FOLDER
        self._outbox = Outbox(folder)
        self._held = Held(loaded.state / DATABASE)
        self._worker = Worker("hmi")
        self.pictures = Pictures(loaded, self.query, self._frame_of)
        self.alarms = AlarmWatch()
        pairing = int(loaded.config.judge.pairing_tolerance_ms * MS)
        self._fold = StationFold(units_of(loaded), clock.now(), pairing)
        self._follow(loaded.recipe)
        self._tickets = itertools.count(1)
        self._asked: dict[int, Answered] = {}
        self._overview_at = HostNs(0)
        self._alarms_since = UtcNs(0)
        self._left_recipe = ""
        self.session = Session(
            self._people,
            folder / "lockout",
            SessionClock(clock.now, _boot()),
            self._note,
            terminal,
            self._worker.ask,
        )
        self.state = self._fold.at(clock.now(), clock.utc())

    def now(self) -> HostNs:
        """CLOCK_MONOTONIC, ns."""
        return self._clock.now()

    def utc(self) -> UtcNs:
        """Wall clock in UTC, ns."""
        return self._clock.utc()

    def pulse(self) -> None:
        """Take what the bus says and what workers have done; some 40 times a second, for a live picture."""
        now, utc = self.now(), self.utc()
        messages, lost = self._link.drain(MOST)
        self._fold.lose(lost)
        for message in messages:
            self._fold.hear(message, now, utc)
            if isinstance(message, FrameReady):
                self.pictures.offer(message)
        for ticket, reply in self._link.answers(now):
            if not self._outbox.answered(ticket, reply, now, utc):
                self._asked.pop(ticket)(reply)
        while (entry := self._outbox.to_send(ticket := next(self._tickets), now)) is not None:
            self._link.send("record", entry.command, ticket, HostNs(now + ANSWER_NS))
        self._held.deliver()
        self._worker.deliver()
        self.pictures.deliver()

    def tick(self) -> None:
        """Bring `state`, alarms and session up to date; ten times a second."""
        self.pulse()
        now, utc = self.now(), self.utc()
        if now >= self._overview_at:
            self._overview_at = HostNs(now + OVERVIEW_NS)
            limit = self.loaded.recipe.policy.review_limit
            since = shift_began(utc, self.zone, self.loaded.config.station.shifts)
            self.query(partial(overview, since=since, limit=limit, now=now), self._overlooked)
            self.query(partial(_alarms, since=self._alarms_since or UtcNs(utc - ALARMS_NS)), self._remember)
        self.state = self._fold.at(now, utc, len(self._outbox.pending()), len(self._outbox.refused()))
        self._follow_line()
        self.alarms.refresh(self.state, utc)
        self.session.tick()

    def new_id(self) -> str:
        """Make an id for a label, a note or a change."""
        return new_id(self.utc())

    def put(self, command: Kept, hold_s: float = 0.0) -> str:
        """Keep a wish for `record` and give its id; see `Outbox.put`. StoreError: it was not kept, say so."""
        name = self._outbox.put(command, self.now(), self.utc(), hold_s)
        if isinstance(command, NoteAlarm):
            self.alarms.step(command.step)
        return name

    def withdraw(self, name: str) -> bool:
        """Take a wish back that is still held back; False when it was sent, or may have been."""
        return self._outbox.withdraw(name, self.utc())

    def pending(self) -> tuple[Entry, ...]:
        """Give what `record` has not answered yet, in the order in which it was put."""
        return self._outbox.pending()

    def refused(self) -> tuple[Entry, ...]:
        """Give what `record` refused and nobody has dismissed."""
        return self._outbox.refused()

    def dismiss(self, name: str) -> None:
        """Note that somebody has seen why a wish was refused."""
        self._outbox.dismiss(name, self.utc())

    def ask(self, unit: str, command: Command, done: Answered) -> None:
        """Send a wish that must be answered now; `done` gets the answer, `again` of it is True when none came."""
        ticket = next(self._tickets)
        self._asked[ticket] = done
        self._link.send(unit, command, ticket, HostNs(self.now() + ANSWER_NS))

    def query(self, read: Read, done: Done) -> None:
        """Read the record database on another thread; `done` gets the value, or a StoreError. The newest wins."""
        self._held.ask(read, done)

    def note(self, action: str, subject: str, before: str = "", after: str = "") -> None:
        """Put a deed of who is signed in into the audit chain."""
        self._note(AuditRequest(self.session.who or HMI, action, subject, before, after))

    def settle(self, timeout_s: float = 5.0) -> bool:
        """Wait until the workers are idle and hand their answers over; for screenshots and tests."""
        for _ in range(5):  # an answer may ask again
            idle = all(part.settle(timeout_s) for part in (self._held, self._worker, self.pictures))
            self.pulse()
        return idle

    def close(self) -> None:
        """Give everything back; what waits in the outbox is sent after the next start."""
        self.pictures.close()
        self._held.close()
        self._worker.close()
        self._outbox.close()
        self._link.close()

    def _note(self, request: AuditRequest) -> None:
        """Put a deed into the outbox; where the disk refuses, the screen says so and goes on."""
        try:
            self.put(NoteDeed(self.new_id(), request, self.utc()))
        except StoreError as error:
            self.fault = str(error)

    def _people(self) -> Sequence[Person]:
        path = self.loaded.state / DATABASE
        connection = open_reader(path)
        try:
            return people_queries.people(connection)
        except sqlite3.Error as error:
            raise store_error(path, "be read", error) from error
        finally:
            connection.close()

    def _overlooked(self, found: Overview | StoreError) -> None:
        if isinstance(found, Overview):
            self._fold.take_baseline(found.baseline, found.review)

    def _remember(self, found: tuple[list[alarm_queries.Raised], list[AlarmStep]] | StoreError) -> None:
        if isinstance(found, StoreError):
            return
        alarms, steps = found
        self.alarms.remember(alarms, steps, self.utc())
        instants = (*(alarm.at for alarm in alarms), *(step.at for step in steps))
        self._alarms_since = max((self._alarms_since, *instants))

    def _frame_of(self, part: str, camera: str) -> FrameReady | None:
        """Give the frame of a part that the station spoke of lately."""
        boot, _, number = part.partition("-")
        found = self.state.part(PartId(int(boot, 16), int(number)))
        return found.frames.get(camera) if found is not None else None

    def _follow(self, recipe: Recipe) -> None:
        bands = recipe.policy.basis is Basis.CONFIDENCE
        between = Reason.BETWEEN_BANDS if bands else Reason.BETWEEN_LIMITS
        self._fold.run_recipe(recipe.mode, recipe_digest(recipe), between)

    def _follow_line(self) -> None:
        """Read the configuration again where `line` runs another recipe; once for each that it names."""
        line = self.state.line
        if self.state.mode is not None or line is None or line.recipe_sha256 == self._left_recipe:
            return
        self._left_recipe = line.recipe_sha256
        try:
            loaded = load(self.loaded.path)
        except ConfigError as error:
            self.fault = str(error)
            return
        if recipe_digest(loaded.recipe) == line.recipe_sha256:
            self.loaded, self.fault = loaded, ""
            self._left_recipe = ""
            self._follow(loaded.recipe)


def open_desk(loaded: Loaded, words: Words, terminal: str = "") -> Desk:
    """Open the desk of a running station."""
    return Desk(loaded, BusLink(loaded.runtime, units_of(loaded)), WallClock(), words, terminal)


def shift_began(utc: UtcNs, zone: tzinfo | None = None, stated: Sequence[str] = ()) -> UtcNs:
    """Give the instant at which the shift of an instant began; zone: the station's, None: the computer's.

    stated: the station's own starts of shifts, as `monitoring.shifts.starts` reads them.
    """
    here = zone or datetime.fromtimestamp(utc / S, UTC).astimezone().tzinfo or UTC
    return shift_at(utc, starts(stated), here).begin


def _alarms(connection: sqlite3.Connection, since: UtcNs) -> tuple[list[alarm_queries.Raised], list[AlarmStep]]:
    return alarm_queries.alarms_between(connection, since, FOR_EVER), alarm_queries.steps_since(connection, since)


def _boot() -> str:
    """Name this start of the machine; monotonic instants of another mean nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
