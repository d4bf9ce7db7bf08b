"""Play a camera and its ring in the simulated world, under the real acquire service."""

import heapq
import itertools
import random
from collections.abc import Sequence

from msgspec import Struct

from appliance.bus.ring import ReaderState, RingCounts
from appliance.cameras.messages import (
    CameraLost,
    CameraOpened,
    CameraStatistics,
    FrameArrived,
    LatchTime,
    Reopen,
    Start,
    TimeLatched,
)
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs
from appliance.schema.frame import SlotRef

SLOTS = 8
OPENING = 40 * MS
"""From a camera in reach to one that is set up."""

RETRY = 200 * MS
POLL = 500 * MS
EXPOSURE_US = 1000.0
CLOCK_PPM = -48.0
CLOCK_ORIGIN = 7_700_000_000


class CameraFaults(Struct):
    """Count what the camera still has to do wrong."""

    lose: int = 0
    double: int = 0
    incomplete: int = 0
    delay: int = 0
    delay_ns: int = 0


class RingTwin:
    """Number slots as the ring does; the pixels are the model twin's own knowledge."""

    slots = SLOTS
    out = 0
    counts = RingCounts()

    def __init__(self, generator: random.Random) -> None:
        self._random = generator
        self._generation = 0
        self.epoch = generator.getrandbits(48)

    def publish(self, slot: int, now: HostNs) -> SlotRef:
        """Name a filled slot."""
        self._generation += 2
        return SlotRef(self.epoch, slot, self._generation)

    def reclaim(self, now: HostNs) -> list[int]:
        """Keep nothing: every slot is free again at once."""
        return []

    def readers(self) -> list[ReaderState]:
        """Name nobody."""
        return []

    def restart(self, payload_bytes: int) -> None:
        """Begin a new epoch."""
        self.epoch = self._random.getrandbits(48)


class CameraTwin:
    """Be the device `camera` of acquire: an edge on its line becomes a frame some milliseconds later.

    It outlives the processes that open it, as a camera does; its clock is its own.
    """

    def __init__(self, generator: random.Random, now: HostNs) -> None:
        self.faults = CameraFaults()
        self.has_encoder = True
        """Whether the camera latches the belt's encoder with each trigger."""
        self.seen: dict[tuple[int, int], int] = {}
        """Physical part number by (epoch, frame id): what the pixels show."""
        self._random = generator
        self._order = itertools.count()
        self._due: list[tuple[int, int, Struct]] = []
        self._ring = RingTwin(generator)
        self._frame_id = 0
        self._attempts = 0
        self._open = self._acquiring = self._unplugged = False
        self._now = now
        self._arrived = now

    def attach(self, ring: RingTwin, now: HostNs) -> None:
        """Be opened by a new acquire process."""
        self.close()
        self._ring, self._now = ring, now
        self._try_to_open(now)

    def unplug(self, now: HostNs) -> None:
        """Pull the cable."""
        self._unplugged = True
        if self._open:
            self._due.clear()
            self._open = self._acquiring = False
            self._attempts = 0
            self._try_to_open(now)

    def replug(self) -> None:
        """Put the cable back; the next try to open succeeds."""
        self._unplugged = False

    def edge(self, at: HostNs, counts: EncoderCounts, part: int) -> None:
        """Take a rising edge on the camera line while `part` lies under the camera (0: empty belt)."""
        if not self._acquiring:
            return
        faults = self.faults
        doubled = faults.double > 0
        faults.double -= doubled
        for number in range(2 if doubled else 1):
            self._expose(HostNs(at + number * MS), counts, part)

    def fileno(self) -> int:
        """There is no descriptor: the world asks `wake_at`."""
        return -1

    @property
    def wake_at(self) -> HostNs | None:
        """Instant at which the next message is in hand."""
        return HostNs(self._due[0][0]) if self._due else None

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take what has happened."""
        self._now = now
        happened: list[Struct] = []
        while self._due and self._due[0][0] <= now:
            message = heapq.heappop(self._due)[2]
            if isinstance(message, Reopen):
                self._try_to_open(now)
                continue
            if isinstance(message, CameraOpened):
                self._open = True
            if isinstance(message, CameraStatistics):
                self._later(POLL, message)
            happened.append(message)
        return happened

    def write(self, message: Struct, now: HostNs) -> None:
        """Do what the service asks."""
        self._now = now
        if isinstance(message, Start) and self._open:
            self._acquiring, self._frame_id = True, 0
            self._later(POLL, CameraStatistics(0, 0, SLOTS))
        elif isinstance(message, Reopen):
            self.close()
            self._try_to_open(now)
        elif isinstance(message, LatchTime) and self._open:
            reading = self._random.randrange(20_000, 60_000)
            self._later(reading, TimeLatched(now, HostNs(now + reading), self._clock(now + reading // 2)))

    def close(self) -> None:
        """Be let go by the process that held it."""
        self._due.clear()
        self._open = self._acquiring = False
        self._attempts = 0

    def _try_to_open(self, now: HostNs) -> None:
        self._now = now
        if self._unplugged:
            self._attempts += 1
            self._later(0, CameraLost("it is not connected; check cable and power", self._attempts, RETRY // MS))
            self._later(RETRY, Reopen("next try"))
        else:
            self._later(OPENING, CameraOpened("twin", "T0", 2, can_latch=True))

    def _expose(self, at: HostNs, counts: EncoderCounts, part: int) -> None:
        faults = self.faults
        frame_id, self._frame_id = self._frame_id, self._frame_id + 1
        self.seen[self._ring.epoch, frame_id] = part
        if faults.lose:
            faults.lose -= 1
            return
        incomplete, late = faults.incomplete > 0, faults.delay > 0
        faults.incomplete -= incomplete
        faults.delay -= late
        transfer = 2 * MS + self._random.randrange(2 * MS) + (faults.delay_ns if late else 0)
        arrived = HostNs(max(at + transfer, self._arrived))  # a producer hands its frames over in order
        self._arrived = arrived
        frame = FrameArrived(
            slot=frame_id % SLOTS,
            frame_id=frame_id,
            exposed=self._clock(at),
            arrived=arrived,
            exposure_us=EXPOSURE_US,
            gain_db=0.0,
            encoder=counts if self.has_encoder else None,
            copies=0,
            underruns=0,
            complete=not incomplete,
        )
        heapq.heappush(self._due, (arrived, next(self._order), frame))

    def _later(self, span: int, message: Struct) -> None:
        heapq.heappush(self._due, (self._now + span, next(self._order), message))

    def _clock(self, at: int) -> CameraNs:
        return CameraNs(CLOCK_ORIGIN + at + int(at * CLOCK_PPM / 1e6))
