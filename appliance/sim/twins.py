"""Play the judge's and the line's neighbours in the simulated world: ring, model, stager and wire.

Each twin speaks the same port as the real thing and can be as bad: the ring is overwritten, the model is slow, a bundle
cannot be loaded, the wire garbles.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.ports.inspector import Inspection
from appliance.schema.clocks import MS, HostNs
from appliance.schema.errors import FrameOverwritten
from appliance.schema.finding import Finding, ViewResult
from appliance.schema.frame import FrameReady
from appliance.schema.limits import READ, Limits
from appliance.services._staging import Answer, Stage, Staged, StagingFailed, StagingStep
from appliance.sim.camera_twin import CameraTwin
from firmware_bridge.board import CoreBoard

DEFECT_SCORE = 3.0
GOOD_SCORE = 0.5
BROKEN_RULE = "screws: found 1 screw, asked 2"
DEFECT = ((DEFECT_SCORE, ()), (GOOD_SCORE, (BROKEN_RULE,)))
"""How a defect shows, in turn: by a high score, or by a broken rule beside a good score."""
LIMIT = 1.0
KNOWN_PARTS = 999
UNLIKE_ALL = 1 / (KNOWN_PARTS + 1)
"""The p-value of a part that is unlike every known one."""
SHOWN = "shown"
"""Kind of the finding in which the model's twin says which part it really saw, and by which bundle: its score is the
part's number, its text the bundle."""
KNOWN = Limits(LIMIT, LIMIT, task="twin", features=READ | {SHOWN}, known_parts=KNOWN_PARTS)
"""What the model's twin knows: limits on the score, and held-out known parts."""
DAY_ONE, SHADOWED = "sha256:twin", "sha256:shadow"
STAGING = 900 * MS
"""From the wish to a bundle that is ready, or to the word that it cannot be."""
SPOILT = "spoilt"
"""Path of the bundle that cannot be loaded."""


class FramesTwin:
    """Play the ring for one reader; now and then a slot was reclaimed meanwhile."""

    def __init__(self, generator: random.Random, overwritten: float) -> None:
        self._random = generator
        self._overwritten = overwritten

    def attach(self, camera: str) -> None:
        """Find the ring: it is always there."""

    @contextmanager
    def borrow(self, frame: FrameReady) -> Iterator[NDArray[np.uint8]]:
        """Lend no pixels worth looking at; the model's twin looks the part up by the frame."""
        yield np.zeros((1, 2), np.uint8)
        if self._overwritten and self._random.random() < self._overwritten:
            raise FrameOverwritten(
                f"camera {frame.camera}: slot {frame.ref.slot} was reclaimed; raise slots or lease_ms"
            )

    def release(self, frame: FrameReady) -> None:
        """Nothing is held."""

    def refresh(self, now_ns: int) -> None:
        """Nobody asks."""

    def close(self) -> None:
        """Nothing is held."""


class PromiseTwin:
    """Play the file in which a void promise outlives the judge."""

    def __init__(self) -> None:
        self.voided: dict[str, str] = {}

    def cause(self, bundle: str) -> str:
        """Give why the promise is void for a bundle."""
        return self.voided.get(bundle, "")

    def void(self, bundle: str, cause: str) -> None:
        """Hold it void."""
        self.voided.setdefault(bundle, cause)


class Process(Struct):
    """Hold until when a simulated process is busy; all models of one process share it."""

    busy_until: HostNs = HostNs(0)


class InspectorTwin:
    """Play a perfect model that takes its time: it knows the truth of the part that the frame really shows."""

    runtime = "twin"
    precision = "f32"

    def __init__(
        self,
        camera: CameraTwin,
        defective: Callable[[int], bool],
        clock: Callable[[], HostNs],
        generator: random.Random,
        process: Process,
        bundle: str = DAY_ONE,
        *,
        typical_ns: int = 6 * MS,
        slow: float = 0.0,
        slow_ns: int = 400 * MS,
        wild: float = 0.0,
        unknown: float = 0.0,
        limits: Limits = KNOWN,
    ) -> None:
        self.bundle = bundle
        self.limits = limits
        self._process = process
        self._camera = camera
        self._defective = defective
        self._clock = clock
        self._random = generator
        self._typical, self._slow, self._slow_ns = typical_ns, slow, slow_ns
        self._wild, self._unknown = wild, unknown

    def inspect(self, frame: FrameReady, pixels: NDArray[np.uint8]) -> Inspection:
        """Judge the part that was under the camera when this frame was exposed."""
        part = self._camera.seen[frame.ref.epoch, frame.frame_id]
        score, rules = DEFECT[part % len(DEFECT)] if part == 0 or self._defective(part) else (GOOD_SCORE, ())
        if self._wild and self._random.random() < self._wild:
            score = self._random.choice((math.nan, math.inf, -math.inf))
        spent = self._typical // 2 + self._random.randrange(self._typical)
        if self._slow and self._random.random() < self._slow:
            spent += self._slow_ns
        finished = HostNs(max(self._clock(), self._process.busy_until) + spent)
        self._process.busy_until = finished
        shown = Finding(SHOWN, float(part), None, text=self.bundle)
        strange = bool(self._unknown) and self._random.random() < self._unknown
        view = ViewResult(
            frame.camera,
            frame.ref.epoch,
            frame.frame_id,
            score,
            1.0,
            (shown,),
            rules,
            novelty=float(strange),
            novelty_p=UNLIKE_ALL if strange else 1.0,
        )
        return Inspection(view, 0.0, spent / MS, finished)


class StagerTwin:
    """Play the stager: a bundle named `next` is `sha256:next` after a while, the spoilt one is refused."""

    def __init__(self, load: Callable[[str], InspectorTwin]) -> None:
        self._load = load
        self._due: list[tuple[HostNs, Answer]] = []

    def fileno(self) -> int:
        """There is no descriptor: the world asks `wake_at`."""
        return -1

    @property
    def wake_at(self) -> HostNs | None:
        """Instant of the next answer."""
        return self._due[0][0] if self._due else None

    def read(self, now: HostNs) -> Sequence[Answer]:
        """Take the answers that are due."""
        ready = [answer for at, answer in self._due if at <= now]
        self._due = [(at, answer) for at, answer in self._due if at > now]
        return ready

    def write(self, message: Struct, now: HostNs) -> None:
        """Begin with one bundle."""
        if not isinstance(message, Stage):
            return
        path = message.path
        last: Answer = Staged(path, self._load(path))
        if path == SPOILT:
            last = StagingFailed(path, "golden tensor map differs by 0.4, limit 0.001; build the bundle again")
        self._due = [(HostNs(now + STAGING // 2), StagingStep(path, "loading")), (HostNs(now + STAGING), last)]

    def close(self) -> None:
        """Forget what was begun, as the death of the process does."""
        self._due.clear()


ROUND_TRIP = 300_000
"""From a request to the microcontroller's answer, ns: 2 x 15 bytes at 1 Mbaud, and a turn of its loop."""


class WireTwin:
    """Play the serial line to the core: bytes may be garbled or vanish."""

    def __init__(self, board: CoreBoard, generator: random.Random, damage: float) -> None:
        self._board = board
        self._random = generator
        self._damage = damage
        self._received = b""
        self.answer_at: HostNs | None = None
        """When the core's answer to what was written is on the wire; None when it was asked nothing."""

    def listen(self) -> bool:
        """Take what the core has sent by now and say whether anything waits; called after each step of the core."""
        if self.answer_at is not None and self.answer_at <= self._board.now:
            self.answer_at = None
        self._received += self._garble(self._board.read())
        return bool(self._received)

    def fileno(self) -> int:
        """Any descriptor while something waits, -1 otherwise: what a poll would tell."""
        return 0 if self._received else -1

    def read(self) -> bytes:
        """Take what waits."""
        data, self._received = self._received, b""
        return data

    def write(self, data: bytes) -> None:
        """Send to the core."""
        self._board.write(self._garble(data))
        self.answer_at = HostNs(self._board.now + ROUND_TRIP)

    def close(self) -> None:
        """Nothing is open."""

    def _garble(self, data: bytes) -> bytes:
        if not data or not self._damage or self._random.random() >= self._damage:
            return data
        if self._random.random() < 0.5:
            return b""
        broken = bytearray(data)
        broken[self._random.randrange(len(broken))] ^= 1 << self._random.randrange(8)
        return bytes(broken)
