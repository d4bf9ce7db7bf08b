"""A label that a real `record` process has accepted survives its SIGKILL, once; one that it has not is sent again."""

import random
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import zmq

from appliance.bus.control import ask
from appliance.governance import audit_chain
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import UtcNs
from appliance.schema.command import Accepted, NoteDeed, SubmitLabel
from appliance.schema.errors import LinkError
from appliance.schema.frame import PixelFormat
from appliance.schema.label import Label, Purpose
from appliance.schema.verdict import Disposition
from appliance.sim import station
from appliance.storage import label_queries, queries
from appliance.storage.database import open_reader
from appliance.storage.record_store import DATABASE, RecordStore
from tests.unit.label_rig import keep, label
from tests.unit.review_rig import part, verdict

PATIENCE_S = 60.0
"""Longest wait for a process on a machine that others use too."""

ANSWER_MS = 250
"""Wait for an answer before the label is sent again."""


@contextmanager
def fresh_station(labels: int) -> Iterator[station.Layout]:
    """Make a station whose store has parts that wait for a person, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="labels-") as folder:
        layout = station.Layout(Path(folder) / "state", Path(folder) / "run")
        station.write_config(layout, station.Settings(1.0, 64, 64, PixelFormat.MONO8, "f32", None))
        layout.runtime.mkdir()
        store = RecordStore(layout.state, 16)
        keep(store, *(verdict(number, Disposition.REVIEW) for number in range(1, labels + 1)))
        store.close()
        yield layout


class Record:
    """Run `record` as systemd does: started again whenever it was killed."""

    def __init__(self, layout: station.Layout) -> None:
        self._layout = layout
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._log = (layout.state / "record.log").open("ab")
        self._process = self._started()
        self.kills = 0

    def kill_in(self, delay_s: float) -> threading.Timer:
        """Kill it after a while, from another thread."""

        def kill() -> None:
            self._process.send_signal(signal.SIGKILL)
            self.kills += 1

        timer = threading.Timer(delay_s, kill)
        timer.start()
        return timer

    def accepted(self, wish: SubmitLabel | NoteDeed) -> int:
        """Send a wish until it is accepted, as the touchscreen does; gives how often it was sent."""
        until = time.monotonic() + PATIENCE_S
        for tries in range(1, 1 << 30):
            if self._process.poll() is not None:
                self._process = self._started()
            try:
                assert isinstance(ask(self._context, self._layout.runtime, "record", wish, ANSWER_MS), Accepted)
            except LinkError:
                if time.monotonic() > until:
                    raise
            else:
                return tries
        raise AssertionError

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE_S)
        self._context.destroy(linger=0)
        self._log.close()

    def _started(self) -> subprocess.Popen[bytes]:
        command = station.service_command("record", self._layout.config)
        return subprocess.Popen(command, stdout=self._log, stderr=self._log)


def told(record: Record, wishes: Sequence[SubmitLabel | NoteDeed], kills: int, chance: random.Random) -> int:
    """Have every wish accepted while the process is killed at random moments; gives how many were sent again."""
    again = 0
    doomed = sorted(chance.sample(range(len(wishes)), kills))
    for place, wish in enumerate(wishes):
        timer = record.kill_in(chance.uniform(0.0, 0.02)) if place in doomed else None
        again += record.accepted(wish) > 1
        if timer is not None:
            timer.join()
    return again


@pytest.mark.parametrize(("labels", "kills"), [(8, 2), pytest.param(60, 20, marks=pytest.mark.slow)])
def test_every_label_that_was_accepted_is_held_once(labels: int, kills: int) -> None:
    """Killed at random while labels and deeds are put: each is there once, and the chain is whole."""
    chance = random.Random(kills)
    reviews = [label(number, chance.choice(["good", "dent"]), name=f"r-{number}") for number in range(1, labels + 1)]
    audits = [label(number, "good", "op-2", 1, Purpose.AUDIT, f"a-{number}") for number in range(1, labels // 2)]
    said: list[Label] = [*reviews, *audits]
    deeds = [AuditRequest("op-1", "signed_in", f"terminal {number}") for number in range(labels // 3)]
    notes = [NoteDeed(f"n-{number}", deed, UtcNs(1 + number)) for number, deed in enumerate(deeds)]
    with fresh_station(labels) as layout, closing(Record(layout)) as record:
        again = told(record, [*map(SubmitLabel, said), *notes], kills, chance)
        record.close()
        with closing(open_reader(layout.state / DATABASE)) as held:
            found = label_queries.all_labels(held)
            verdicts = Counter(row[0] for row in held.execute("SELECT verdict_id FROM manual_verdicts"))
            decided = held.execute("SELECT count(*) FROM review_steps WHERE change = 'decided'").fetchone()[0]
            chain = list(queries.audit_entries(held))
            fault = audit_chain.verify(chain)
            check = held.execute("PRAGMA integrity_check").fetchone()[0]

        assert [one.label_id for one in said] == [one.label_id for one in found]
        assert [one.kind for one in said] == [one.kind for one in found]
        assert ({one.label_id: 1 for one in reviews}, labels) == (dict(verdicts), decided)
        assert [deed.subject for deed in deeds] == [entry.subject for entry in chain if entry.action == "signed_in"]
        assert (None, "ok", kills) == (fault, check, record.kills)
        assert again > 0
        assert {str(part(number)) for number in range(1, labels + 1)} == {str(one.part) for one in found}
