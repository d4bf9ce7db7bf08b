"""Lay out a sample station: a folder as a station leaves it, and the messages of one moment, without any process.

Screenshots and tests of the touchscreen stand on it. It is built once (about 5 s) and kept under `build/` by the digest
of what it was made from; each sample is a copy of it.
"""

import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance import config
from appliance.bus.ring import RingWriter, ring_path
from appliance.config import Loaded
from appliance.governance.approval import recipe_digest
from appliance.schema.clocks import CameraNs, HostNs, S, UtcNs
from appliance.schema.codec import unpack
from appliance.schema.command import Accepted, Command, Reply
from appliance.schema.errors import Refused
from appliance.schema.finding import ViewResult
from appliance.schema.frame import FrameCounts, FrameReady, PixelFormat
from appliance.schema.health import Component, Condition, Health
from appliance.schema.line import JobMode, LineState
from appliance.schema.policy import Mode
from appliance.schema.verdict import InspectionResult
from appliance.sim import hmi_history as made
from appliance.sim import hmi_wires, station
from appliance.sim.hmi_crew import PINS
from appliance.sim.hmi_template import DRAWN, MOMENT, Newest, template
from appliance.sim.station import Layout, Settings
from appliance.storage.record_store import DATABASE, IMAGES
from hmi.client import units_of
from hmi.desk import Desk
from hmi.session import Answer
from hmi.words import Words

TMPFS = Path("/dev/shm")  # noqa: S108  rings are made for it

SLOTS = 16
"""All are reclaimed at once when none is left: nobody here holds a lease."""

WAITING = 14
"""Parts that wait for a person."""

AT, HOST = made.AT, made.HOST


class SampleClock:
    """Tell the time that it was told."""

    def __init__(self) -> None:
        self.host = HOST
        self.wall = AT

    def now(self) -> HostNs:
        """Give the host's time."""
        return self.host

    def utc(self) -> UtcNs:
        """Give the time of the day."""
        return self.wall

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.host = HostNs(self.host + round(seconds * S))
        self.wall = UtcNs(self.wall + round(seconds * S))


class SampleLink:
    """Stand for the bus: gives what was said, keeps what was asked, and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Command]] = []
        """Wishes sent, with the unit they went to."""
        self.answer: Callable[[str, Command], Reply | None] = lambda _unit, _command: Accepted("kept")
        """Gives the answer to a wish; None: none yet, `reply` gives it later."""
        self._said: deque[Struct] = deque()
        self._lost = 0
        self._answers: list[tuple[int, Reply]] = []
        self._open: list[tuple[int, str, Command]] = []

    def say(self, *messages: Struct) -> None:
        """Put messages on the bus."""
        self._said.extend(messages)

    def lose(self, count: int) -> None:
        """Let messages be lost."""
        self._lost += count

    def reply(self, reply: Reply) -> None:
        """Answer the oldest wish that is still open."""
        ticket, _, _ = self._open.pop(0)
        self._answers.append((ticket, reply))

    def drain(self, most: int) -> tuple[list[Struct], int]:
        """Give what was said."""
        taken = [self._said.popleft() for _ in range(min(most, len(self._said)))]
        lost, self._lost = self._lost, 0
        return taken, lost

    def send(self, unit: str, command: Command, ticket: int, due: HostNs) -> None:
        """Take a wish."""
        self.asked.append((unit, command))
        reply = self.answer(unit, command)
        if reply is None:
            self._open.append((ticket, unit, command))
        else:
            self._answers.append((ticket, reply))

    def answers(self, now: HostNs) -> list[tuple[int, Reply]]:
        """Give the answers."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Forget everything."""
        self._said.clear()


class Sample:
    """Own one sample station: its folders, its rings and its clock; removed by `close`."""

    def __init__(self, mode: Mode = Mode.PRIMARY, waiting: int = WAITING) -> None:
        """Make the station; ConfigError where the C parts were not built."""
        made_of = template(mode, waiting)
        self._folder = Path(tempfile.mkdtemp(prefix="sample-", dir=made_of.parent))
        self._tmpfs = Path(tempfile.mkdtemp(prefix="firstshift-", dir=TMPFS if TMPFS.is_dir() else None))
        layout = Layout(self._folder, self._tmpfs)
        shutil.copytree(made_of / IMAGES, layout.state / IMAGES, copy_function=os.link)
        shutil.copytree(made_of / "bundles", layout.state / "bundles")
        shutil.copy(made_of / DATABASE, layout.state / DATABASE)
        station.write_config(layout, _settings(mode))
        hmi_wires.leave_check(layout.state, AT)
        self.mode = mode
        self.loaded: Loaded = config.load(layout.config)
        self.clock = SampleClock()
        self.link = SampleLink()
        self.silent: set[str] = set()
        """Units that say nothing."""
        self.newest = msgspec.msgpack.decode((made_of / MOMENT).read_bytes(), type=tuple[Newest, ...])
        """The parts that the bus spoke of, oldest first."""
        self._drawn = np.load(made_of / DRAWN, mmap_mode="r")
        self._ring = RingWriter.create(ring_path(self._tmpfs, made.CAMERA), SLOTS, made.SIZE[0] * made.SIZE[1])
        self._free = deque(range(SLOTS))
        self._frames = 0
        self.link.say(*self._statuses(), *self._moment())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def advance(self, seconds: float) -> None:
        """Let time pass; every unit that is not silent says once a second how it is doing."""
        end = self.clock.host + round(seconds * S)
        while end - self.clock.host > S:
            self.clock.advance(1)
            self.link.say(*self._statuses())
        self.clock.advance((end - self.clock.host) / S)
        self.link.say(*self._statuses())

    def sign_in(self, desk: Desk, role: str) -> str:
        """Sign in the sample's first person of a role and give the operator id; waits for the PIN to be checked."""
        person = next(one for one in desk.session.people() if one.role == role)
        answers: list[Answer] = []
        desk.session.sign_in(person.person, PINS[person.person], answers.append)
        desk.settle()
        if not answers or not answers[0].right:
            raise Refused(f"sample station: {person.person} cannot sign in: {answers}; look at its people")
        desk.tick()
        return person.person

    def picture(self, number: int) -> NDArray[np.uint8]:
        """Give one of the pictures, (rows, columns) uint8 BayerRG8."""
        return np.array(self._drawn[number])

    def frame(self, pixels: NDArray[np.uint8], at: HostNs | None = None) -> FrameReady:
        """Put a frame into the ring and say so.

        pixels: (rows, columns) uint8 of the sample's size, BayerRG8. at: start of its exposure; None: now.
        """
        width, height = made.SIZE
        if not self._free:
            self._free.extend(self._ring.reclaim(self.clock.host))
        slot = self._free.popleft()
        with self._ring.pixels(slot) as view:
            view[: width * height] = np.ascontiguousarray(pixels).reshape(-1).data
        ref = self._ring.publish(slot, self.clock.host)
        now, number = self.clock.host, self._frames
        self._frames += 1
        frame = FrameReady(
            made.CAMERA,
            ref,
            number,
            CameraNs(now),
            at or now,
            1000,
            None,
            now,
            height,
            width,
            PixelFormat.BAYER_RG8,
            900.0,
            0.0,
            0,
            FrameCounts(good=number + 1),
        )
        self.link.say(frame)
        return frame

    def close(self) -> None:
        """Remove the station."""
        self._ring.close()
        shutil.rmtree(self._tmpfs, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _moment(self) -> Iterator[Struct]:
        """Give what the bus said of the last parts; their frames lie in the ring."""
        for item in self.newest:
            frame = self.frame(self._drawn[item.picture], item.exposed_at)
            for data in item.said:
                _, fact = unpack(data)
                if isinstance(fact, InspectionResult):
                    fact = replace(fact, views=tuple(_seen_in(view, frame) for view in fact.views))
                yield fact

    def _statuses(self) -> Iterator[Struct]:
        """Give what each unit says once a second."""
        now = self.clock.host
        for unit in units_of(self.loaded):
            if unit not in self.silent:
                components = _components(unit)
                condition = max((item.condition for item in components), key=list(Condition).index)
                yield Health(unit, condition, components, now // S, now)
        if "line" not in self.silent:
            recipe = self.loaded.recipe
            yield LineState(
                now,
                JobMode.CONTINUOUS,
                "acquiring",
                ready=True,
                plc_alive=True,
                recipe=recipe.name,
                recipe_sha256=recipe_digest(recipe),
                recipe_number=recipe.number,
                parts=self.newest[-1].number,
                session=1,
                words=hmi_wires.STATUS,
                control=hmi_wires.CONTROL,
                wires=hmi_wires.wires(now, self.newest[-1].number),
            )


def sample_station(mode: Mode = Mode.PRIMARY, waiting: int = WAITING) -> Sample:
    """Make a sample station with so many parts waiting for a person."""
    return Sample(mode, waiting)


def sample_desk(sample: Sample, words: Words | None = None, terminal: str = "line-1") -> Desk:
    """Open the touchscreen's desk over a sample station, brought up to its moment."""
    desk = Desk(sample.loaded, sample.link, sample.clock, words or Words({}, zone=UTC), terminal, UTC)
    desk.tick()
    desk.settle()
    desk.tick()
    return desk


def _seen_in(view: ViewResult, frame: FrameReady) -> ViewResult:
    return replace(view, epoch=frame.ref.epoch, frame_id=frame.frame_id)


def _components(unit: str) -> tuple[Component, ...]:
    if unit == "publish":
        remedy = "start the broker or correct [mqtt] host and port"
        return (Component("mqtt", Condition.DEGRADED, "127.0.0.1:1883: connection refused, 412 messages wait", remedy),)
    return (Component(unit.partition("@")[0], Condition.OK),)


def _settings(mode: Mode) -> Settings:
    width, height = made.SIZE
    return Settings(10.0, width, height, PixelFormat.BAYER_RG8, "f32", None, mode=mode, sample_share=0.01, signed_at=AT)
