"""Hold the review screen of the sample station and one finger on it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.labelling.queue import Task
from appliance.schema.clocks import UtcNs
from appliance.schema.command import SubmitLabel
from appliance.schema.label import Label, LabelLevel, Purpose
from appliance.schema.part import PartId
from appliance.schema.review import Occasion
from appliance.sim.hmi_station import PINS, Sample, sample_desk, sample_station
from hmi import app
from tests.hmi.hmi_rig import Rig, Stage

MANY = 100


class Person:
    """Hold the screen and one finger."""

    def __init__(self, sample: Sample, stage: Stage) -> None:
        self.sample, self.stage, self.view = sample, stage, stage.view
        self.taps = 0

    def wait(self, seconds: float = 0.4, turns: int = 3) -> None:
        """Let time pass and everything that was asked be answered."""
        for _ in range(turns):
            self.stage.desk.settle()
            self.sample.advance(seconds / turns)
            self.stage.tick()

    def tap(self, name: str) -> None:
        """Touch a key, once the screen is drawn as it stands: a person touches what he sees."""
        self.taps += 1
        self.stage.grab()
        self.stage.touch(name)

    def see(self) -> str:
        """Wait for a part that can be answered, and give its id."""
        for _ in range(40):
            if self.view.session.bound:
                return str(self.view.session.task.part)
            self.wait(0.2, 1)
        raise AssertionError(f"no part shows: {self.view.property('state')}")

    @property
    def labels(self) -> list[Label]:
        """What lies in the outbox or was sent to `record`."""
        waiting = [entry.command for entry in self.stage.desk.pending()]
        sent = [command for _, command in self.sample.link.asked]
        told = [one.label for one in (*sent, *waiting) if isinstance(one, SubmitLabel)]
        return list({label.label_id: label for label in told}.values())


def many(connection: sqlite3.Connection, **_: object) -> list[Task]:
    """Ask for a hundred parts and more: the newest of which a picture is kept, as if all of them waited."""
    rows = connection.execute(
        "SELECT p.boot, p.number FROM parts p WHERE EXISTS (SELECT 1 FROM images i WHERE i.part = p.id AND i.path NOT"
        " NULL) ORDER BY p.id DESC LIMIT ?",
        (MANY + 30,),
    )
    return [
        Task(
            PartId(*row), Purpose.REVIEW, Occasion.REVIEW, LabelLevel.CONFIRM, blind=True,
            prediction_hidden=row[1] % 10 == 0, since=UtcNs(0),
        )
        for row in rows
    ]  # fmt: skip


@contextmanager
def at_work(who: str = "o-anna", waiting: int = 14, language: str = "en", size: str = "1280x800") -> Iterator[Person]:
    """Open the screen for a person of the sample station."""
    app.application()
    with sample_station(waiting=waiting) as sample:
        desk = sample_desk(sample, app.words_of(language))
        try:
            said: list[object] = []
            desk.session.sign_in(who, PINS[who], said.append)
            desk.settle()
            desk.tick()
            with Rig() as rig:
                person = Person(sample, rig.open("review", desk, language=language, size=size))
                person.wait()
                yield person
        finally:
            desk.close()
