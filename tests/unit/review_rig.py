"""A record service with its review desk on a real store, for tests."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from appliance.schema.actuation import Actuation, Cause, HandActuation, Lane
from appliance.schema.clocks import MS, EncoderCounts, HostNs, McuTicks, S, UtcNs
from appliance.schema.command import Command, DecidePart, RefusedReply, Reply
from appliance.schema.finding import ViewResult
from appliance.schema.part import PartEntered, PartId
from appliance.schema.policy import Mode, Policy
from appliance.schema.review import Change, ManualVerdict, Occasion, ReviewStep, Seeded
from appliance.schema.verdict import Disposition, InspectionResult, Reason, SealedVerdict, StageTimes, Verdict
from appliance.services._review_desk import ReviewDesk
from appliance.services.record import RecordNode
from appliance.storage import review_queries
from appliance.storage.image_plan import ImagePlan
from appliance.storage.record_store import RecordStore

UTC = 1_795_265_276_000_000_000
BY_DEFAULT = Policy()
SAMPLED = (Reason.RANDOM_SAMPLE, Reason.WITHIN_LIMITS)


class ManualClock:
    """Tell the time that a test sets."""

    def __init__(self) -> None:
        self.host = HostNs(10 * S)

    def now(self) -> HostNs:
        return self.host

    def utc(self) -> UtcNs:
        return UtcNs(UTC + self.host)


class Rig:
    """Hold one process of `record` on a state folder; `quality` lists the quality engineers."""

    def __init__(
        self, state: Path, policy: Policy, mode: Mode, clock: ManualClock, quality: tuple[str, ...] = ("qe-1", "qe-2")
    ) -> None:
        self.clock = clock
        self.store = RecordStore(state, 16)
        desk = ReviewDesk(self.store, policy, mode, quality, random.Random(7).getrandbits)
        self.node = RecordNode(self.store, ImagePlan(1.0, 1500 * MS), clock, "cell-4", "c0ffee", 42, desk)
        self.said = list(self.node.start(clock.now()))
        self._sequences: dict[str, int] = {}

    def hear(self, topic: str, *messages: msgspec.Struct) -> None:
        """Let facts arrive and be written, as one turn of the loop does."""
        for message in messages:
            sequence = self._sequences[topic] = self._sequences.get(topic, -1) + 1
            self.said += self.node.receive_envelope(topic, 9, sequence, message, self.clock.now())
        self.said += self.node.wake(self.clock.now())

    def ask(self, command: Command) -> Reply:
        """Let a person wish for something."""
        reply, outputs = self.node.command(command, self.clock.now())
        self.said += outputs
        return reply

    def published(self, kind: type[msgspec.Struct]) -> list[msgspec.Struct]:
        """Give what was said of one type since the last call."""
        found = [output.message for output in self.said if isinstance(output.message, kind)]
        self.said = [output for output in self.said if not isinstance(output.message, kind)]
        return found


@contextmanager
def running(
    state: Path, policy: Policy = BY_DEFAULT, mode: Mode = Mode.PRIMARY, clock: ManualClock | None = None
) -> Iterator[Rig]:
    """Run a record service until the end of the block."""
    rig = Rig(state, policy, mode, clock or ManualClock())
    try:
        yield rig
    finally:
        rig.node.finish(rig.clock.now())


def part(number: int) -> PartId:
    """Name a part of the test's boot."""
    return PartId(0xA0B1C2D3, number)


def entered(number: int) -> PartEntered:
    """Let a part enter."""
    return PartEntered(part(number), HostNs(9 * S), 500, McuTicks(10), EncoderCounts(20), HostNs(11 * S), ("top",))


def verdict(
    number: int,
    disposition: Disposition,
    reasons: tuple[Reason, ...] = (Reason.BETWEEN_LIMITS,),
    sampling: float = 0.0,
) -> Verdict:
    """Decide a part as the judge does."""
    return Verdict(part(number), disposition, reasons, HostNs(9 * S + 20 * MS), HostNs(11 * S), number, sampling)


def sealed(number: int, disposition: Disposition) -> SealedVerdict:
    """Seal what the model would decide."""
    view = ViewResult("top", 1, number, 0.125, None, ())
    result = InspectionResult(
        part(number), (view,), "sha256:5ea1ed", "openvino", "f32", StageTimes(), 0, HostNs(9 * S + 20 * MS)
    )
    reasons = (Reason.WITHIN_LIMITS if disposition is Disposition.ACCEPT else Reason.ABOVE_REJECT_LIMIT,)
    return SealedVerdict(part(number), disposition, reasons, HostNs(9 * S + 20 * MS), HostNs(11 * S), result)


def actuation(number: int, lane: Lane, cause: Cause, at: int = 12 * S) -> Actuation:
    """Let the gate act."""
    way = Disposition.ACCEPT if lane is Lane.ACCEPT else Disposition.REJECT
    return Actuation(part(number), lane, cause, way, 0, HostNs(at), McuTicks(1), EncoderCounts(1))


def accept(number: int, person: str = "op-1") -> DecidePart:
    """Find a part good."""
    return DecidePart(part(number), accept=True, kind="good", person=person, seconds=2.5)


def reject(number: int, person: str = "op-1", kind: str = "scratch") -> DecidePart:
    """Find a part defective."""
    return DecidePart(part(number), accept=False, kind=kind, person=person, seconds=2.5)


def review_facts() -> list[tuple[str, int, int, msgspec.Struct]]:
    """Give one fact of each kind that review leaves of a part, as (topic, epoch, sequence, message)."""
    manual = ManualVerdict(
        "m-1", part(99), True, "good", "op-1", Occasion.PARALLEL, 1.5, False, HostNs(10 * S), UtcNs(UTC)
    )
    return [
        ("sealed", 6, 0, sealed(99, Disposition.ACCEPT)),
        ("review", 0, -1, ReviewStep(part(99), 1, Change.OPENED, Occasion.PARALLEL, "", "", UtcNs(UTC))),
        ("manual", 0, -1, manual),
        ("hand", 7, 0, HandActuation(part(99), Lane.ACCEPT, Cause.OPERATOR, "m-1", "op-1", HostNs(13 * S))),
        ("seed", 0, -1, Seeded(part(99), "scratch", "qe-1", UtcNs(UTC))),
    ]


def waiting(rig: Rig) -> list[int]:
    """Numbers of the parts that wait, by what is durable."""
    items = rig.store.ask(lambda held: review_queries.items(held, (Change.OPENED, Change.REOPENED)))
    return [item.part.number for item in items]


def count(rig: Rig, table: str) -> int:
    """Rows of a table."""
    return int(rig.store.ask(lambda held: held.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))  # noqa: S608


def why(reply: Reply) -> str:
    """Give the one line of a refusal."""
    assert isinstance(reply, RefusedReply)
    assert "\n" not in reply.reason
    return reply.reason
