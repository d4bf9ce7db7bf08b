"""Play the record's disk in the simulated world: the real record service writes to it, until it is full.

The disk outlives the processes that write to it, as a disk does; what a killed process had not written is lost with it.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from msgspec import Struct

from appliance.ports.device import Device
from appliance.ports.node import Node
from appliance.schema.actuation import Actuation
from appliance.schema.audit import AuditEntry
from appliance.schema.clocks import MS, HostNs, UtcNs
from appliance.schema.errors import StoreError
from appliance.schema.part import PartId
from appliance.services.record import IMAGES, RecordNode
from appliance.storage.image_messages import ImageFailed, ImageKept, ImageMissing, KeepImage
from appliance.storage.image_plan import ImagePlan
from appliance.storage.record_store import RecordStore

UTC_OFFSET = 1_790_000_000_000_000_000
"""Wall clock less host clock, ns."""
HOLD_NS = 750 * MS
ACCEPT_SHARE = 0.05
FULL = "record.db: cannot keep facts: database or disk is full; free disk space"

Fact = tuple[str, int, int, Struct]


class DiskTwin:
    """Hold what was written; while `full` it takes nothing more."""

    free_mb = 1000

    def __init__(self) -> None:
        self.full = False
        self.facts: Counter[str] = Counter()
        """Facts held, by kind."""
        self.actuated: set[PartId] = set()
        """Parts of which an Actuation is held."""
        self.images = 0
        self.refusals = 0
        """Times that it was asked and was full."""

    def check_space(self) -> None:
        """Refuse while it is full, as the image folder does."""
        if self.full:
            self.refusals += 1
            raise StoreError(FULL)


class StoreTwin:
    """Be the store that one process of `record` opens on the disk."""

    wal_reset_risk = False

    def __init__(self, disk: DiskTwin) -> None:
        self.blobs = disk

    def write(self, facts: Sequence[Fact], at: UtcNs, host_now: HostNs | None = None) -> tuple[str, ...]:
        """Keep all facts, or none of them."""
        self.blobs.check_space()
        for _, _, _, message in facts:
            self.blobs.facts[type(message).__name__] += 1
            if isinstance(message, Actuation):
                self.blobs.actuated.add(message.part)
        return ()

    def image_rows(
        self, images: Sequence[ImageKept | ImageFailed | ImageMissing], at: UtcNs, host_now: HostNs | None = None
    ) -> None:
        """Keep what became of images."""
        self.blobs.check_space()
        self.blobs.images += sum(isinstance(image, ImageKept) for image in images)

    def audit(self, actor: str, action: str, subject: str, before: str, after: str, at: UtcNs) -> None:
        """Count a link of the audit chain; it needs room as facts do."""
        self.blobs.check_space()
        self.blobs.facts[action] += 1

    def audit_head(self) -> AuditEntry | None:
        """Give none: each process begins a chain."""
        return None

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give none: the simulated bus replays nothing."""
        return {}

    def scrub(self, at: UtcNs) -> int:
        """Find nothing half written."""
        return 0

    def probe(self) -> None:
        """Answer: a full disk can be read."""

    def close(self) -> None:
        """Leave the disk as it is."""


class ImagesTwin:
    """Be the image writer: each image is on the disk, or refused by it, a few milliseconds later."""

    SPENT = 8 * MS

    def __init__(self, disk: DiskTwin) -> None:
        self._disk = disk
        self._due: deque[tuple[HostNs, KeepImage]] = deque()

    def fileno(self) -> int:
        """There is no descriptor: the world asks `wake_at`."""
        return -1

    @property
    def wake_at(self) -> HostNs | None:
        """Instant of the next answer."""
        return self._due[0][0] if self._due else None

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take the answers that are due."""
        answers: list[Struct] = []
        while self._due and self._due[0][0] <= now:
            wish = self._due.popleft()[1]
            if self._disk.full:
                answers.append(ImageFailed(wish.part, wish.frame, wish.disposition, FULL))
            else:
                answers.append(ImageKept(wish.part, wish.frame, wish.disposition, str(wish.part), "", 1, "png"))
        return answers

    def write(self, message: Struct, now: HostNs) -> None:
        """Begin with an image; rings and frames need no care here."""
        if isinstance(message, KeepImage):
            self._due.append((HostNs(now + self.SPENT), message))

    def close(self) -> None:
        """Forget what was begun, as the death of the process does."""
        self._due.clear()


class ClockTwin:
    """Tell the simulated world's time."""

    def __init__(self, now: Callable[[], HostNs]) -> None:
        self.now = now

    def utc(self) -> UtcNs:
        """Wall clock in UTC, ns."""
        return UtcNs(UTC_OFFSET + self.now())


def make_record(disk: DiskTwin, clock: ClockTwin) -> tuple[Node, Mapping[str, Device]]:
    """Start a process of the real record service on a simulated disk."""
    store = cast("RecordStore", StoreTwin(disk))  # the part of it that the service calls
    node = RecordNode(store, ImagePlan(ACCEPT_SHARE, HOLD_NS), clock, "simulated", "none", 0)
    return node, {IMAGES: ImagesTwin(disk)}
