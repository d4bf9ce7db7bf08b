"""An edge node under test, served as the publish service serves it, with facts of a line to tell."""

import random
import select
import time
from contextlib import contextmanager
from dataclasses import dataclass

from appliance.config_plant import Mqtt
from appliance.outputs.channels import Heard, OutboxGrew
from appliance.outputs.outbox import Outbox
from appliance.outputs.part_report import PartReport
from appliance.outputs.sparkplug.bdseq import BirthNumber
from appliance.outputs.sparkplug.edge import Names
from appliance.outputs.sparkplug.output import SparkplugOutput
from appliance.outputs.sparkplug.rows import entries
from appliance.schema.actuation import Cause, Lane
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.line import JobMode, LineState
from appliance.schema.part import PartId
from appliance.schema.verdict import Disposition

NAMES = Names("factory", "cell-4", "inspection", "scada")
LIMIT_S = 20.0
SHA = "ab" * 32


class Clock:
    """The system's clock; the test may move it on."""

    ahead_ns = 0

    def now(self):
        return time.monotonic_ns() + self.ahead_ns

    def utc(self):
        return time.time_ns() + self.ahead_ns


def report(number, utc_ns, *, good=True):
    return PartReport(
        part=PartId(0xA0B1C2D3, number),
        result_id=f"site/line/cell-4/a0b1c2d3-{number:06d}",
        lane=Lane.ACCEPT if good else Lane.REJECT,
        cause=Cause.ACCEPTED if good else Cause.DECIDED_REJECT,
        disposition=Disposition.ACCEPT if good else Disposition.REJECT,
        verdict=Disposition.ACCEPT if good else Disposition.REJECT,
        reasons=(),
        bundle="sha256:ab",
        precision="bf16",
        recipe="caps",
        recipe_sha256=SHA,
        score=0.25,
        latency_ms=20.5,
        entered=utc_ns,
        decided=utc_ns,
        actuated=utc_ns,
        replayed=False,
    )


@dataclass
class Node:
    """What the publish service does for one channel."""

    output: SparkplugOutput
    outbox: Outbox
    clock: Clock
    number: int = 0
    told: int = 0

    @property
    def edge(self):
        return self.output.edge

    def parts(self, count, *, good=True):
        """Tell the results of the next parts."""
        for _ in range(count):
            self.number += 1
            utc, now = self.clock.utc(), self.clock.now()
            made = report(self.number, utc, good=good)
            heard = Heard("actuation", ("actuation", 5, self.number), utc, now)
            self.outbox.put_all([(entries(made, heard), heard.source)])
            self.output.write(made, now)
            self.output.write(OutboxGrew(), now)

    def alarm(self, kind="pairing_mismatch"):
        utc, now = self.clock.utc(), self.clock.now()
        self.told += 1
        alarm = Alarm("line", kind, f"{kind} at the gate", "a0b1c2d3-000001", now)
        heard = Heard("alarm.line", ("alarm.line", 5, self.told), utc, now)
        self.outbox.put_all([(entries(alarm, heard), heard.source)])
        self.output.write(alarm, now)
        self.output.write(OutboxGrew(), now)

    def line(self, **fields):
        now = self.clock.now()
        state = {"mode": JobMode.CONTINUOUS, "handshake": "ready", "ready": True, "parts": self.number, **fields}
        self.output.write(LineState(at=now, **state), now)

    def health(self, condition=Condition.OK, unit="judge"):
        now = self.clock.now()
        self.output.write(Health(unit, condition, (), 1, now), now)

    def run_until(self, condition, what=""):
        """Serve the device as the loop does, with a line that speaks, until the condition holds; gives what it told."""
        components = []
        deadline = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {LIMIT_S} s; told: {components[-3:]}"
            select.select([self.output.fileno()], [], [], 0.02)
            components += self.output.read(self.clock.now())
        return components

    def serve(self, seconds):
        until = time.monotonic() + seconds
        return self.run_until(lambda: time.monotonic() >= until)


@contextmanager
def node_at(port, folder, *, names=NAMES, limit=100_000, mqtt=None):
    folder.mkdir(parents=True, exist_ok=True)
    outbox, clock = Outbox(folder / "sparkplug.db", limit), Clock()
    settings = mqtt or Mqtt("127.0.0.1", port, 5)
    output = SparkplugOutput(names, outbox, settings, BirthNumber(folder / "sparkplug.bdseq"), clock, random.Random(1))
    try:
        yield Node(output, outbox, clock)
    finally:
        output.close()
        outbox.close()
