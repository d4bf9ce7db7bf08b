"""Listen to every topic of a running station and keep what the live view, the summary and scenarios need."""

from collections import Counter
from pathlib import Path

import zmq
from msgspec import Struct

from appliance.bus.channel import Gap, Sequence, Subscriber
from appliance.bus.control import ask
from appliance.schema.actuation import Actuation, Lane, PlcAcknowledged
from appliance.schema.clocks import MS, HostNs
from appliance.schema.codec import unpack
from appliance.schema.command import Replay, Replayed
from appliance.schema.errors import LinkError, Refused
from appliance.schema.frame import FrameCounts, FrameReady
from appliance.schema.health import Alarm, Condition, Health
from appliance.schema.part import PartEntered, PartExposed, PartId
from appliance.schema.review import ManualVerdict
from appliance.schema.topics import ACTUATION, SHADOW, TOPICS
from appliance.schema.verdict import Disposition, InspectionResult, SealedVerdict, StageTimes, Verdict
from appliance.sim.scenario import Shown

RECENT = 200
REPLAY_MS = 500


class Inspected(Struct):
    """Hold what was heard of one part."""

    part: PartId
    entered: PartEntered | None = None
    exposed: PartExposed | None = None
    verdict: Verdict | None = None
    result: InspectionResult | None = None
    sealed: SealedVerdict | None = None
    manual: ManualVerdict | None = None
    actuation: Actuation | None = None
    acknowledged: PlcAcknowledged | None = None

    @property
    def latency_ms(self) -> float | None:
        """Camera trigger to verdict, the sealed one in parallel mode."""
        verdict = self.verdict or self.sealed
        if self.exposed is None or verdict is None:
            return None
        return (verdict.decided - self.exposed.at) / MS

    @property
    def seen(self) -> InspectionResult | None:
        """What the model saw, sealed or not."""
        return self.sealed.result if self.sealed is not None else self.result


class Collector:
    """Hear all topics; one thread."""

    def __init__(self, runtime: Path, units: tuple[str, ...], *, parallel: bool = False) -> None:
        """Connect to the units; parallel: people are asked about every part, else about those the judge doubts."""
        self._parallel = parallel
        self.asked: list[Inspected] = []
        """Parts that a person is asked about, in the order in which they came up."""
        self.parts: dict[PartId, Inspected] = {}
        self.health: dict[str, Health] = {}
        self.shown: list[tuple[HostNs, Shown]] = []
        self.alarms: list[Alarm] = []
        self.frames: dict[tuple[str, int], FrameCounts] = {}
        """Account per camera and run of its process, which goes on counting when the camera comes back."""
        self.frame_ids: Counter[str] = Counter()
        self.frame_copies = 0
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self._subscriber = Subscriber(self._context, runtime, units, tuple(topic.name for topic in TOPICS))
        self._runtime = runtime
        self._places = Sequence(None, from_origin=True)

    def poll(self, wait_ms: int, now: HostNs) -> None:
        """Take what has been said, waiting for the first message for at most `wait_ms`."""
        self._subscriber.socket.poll(wait_ms)
        for envelope, message in self._subscriber.drain(5000):
            _, gap = self._places.follow(envelope)
            if gap is not None and gap.topic == ACTUATION:
                self._fetch(gap, now)
            if isinstance(message, FrameReady):
                self.frames[message.camera, envelope.epoch] = message.counts
            self._hear(message, now)

    def _fetch(self, gap: Gap, now: HostNs) -> None:
        """Hear what `line` said before this end was connected again, such as what the gate did while it was down."""
        try:
            reply = ask(self._context, self._runtime, "line", Replay(gap.topic, gap.first), REPLAY_MS)
        except (LinkError, Refused):
            return
        for raw in reply.messages if isinstance(reply, Replayed) else ():
            envelope, message = unpack(bytes(raw))
            if envelope.sequence < gap.until:
                self._hear(message, now)

    def close(self) -> None:
        """Give the sockets back."""
        self._subscriber.close()
        self._context.term()

    def waiting_for(self, units: tuple[str, ...]) -> list[str]:
        """Name what is not ready yet, with its cause."""
        missing = [f"{unit}: not heard yet" for unit in units if unit not in self.health]
        for unit in units:
            health = self.health.get(unit)
            missing += [
                f"{unit}: {item.name} {item.cause}"
                for item in (health.components if health else ())
                if item.condition not in {Condition.OK, Condition.DEGRADED}
                or (unit == "line" and item.condition != Condition.OK)
            ]
        return missing

    def failed(self) -> list[str]:
        """Name what has failed, with its cause; nothing waits for a shadow."""
        return [
            f"{health.unit}: {item.cause}"
            for health in self.health.values()
            for item in health.components
            if item.condition is Condition.FAILED and health.unit != SHADOW
        ]

    @property
    def boots(self) -> frozenset[int]:
        """Boots of the microcontroller whose parts were heard of."""
        return frozenset(part.boot for part in self.parts)

    @property
    def frame_counts(self) -> FrameCounts:
        """Sum of the accounts of all cameras and epochs."""
        every = list(self.frames.values())
        return FrameCounts(
            good=sum(item.good for item in every),
            incomplete=sum(item.incomplete for item in every),
            underrun=sum(item.underrun for item in every),
            missed=sum(item.missed for item in every),
        )

    def stages(self) -> list[StageTimes]:
        """Give the times of the stages of every part that was inspected."""
        return [item.seen.stages for item in self.parts.values() if item.seen is not None and item.seen.views]

    def _hear(self, message: object, now: HostNs) -> None:  # noqa: C901, PLR0912  one case per topic, one line each
        match message:
            case PartEntered():
                known = self._part(message.part)
                if known.entered is None and self._parallel:
                    self.asked.append(known)
                known.entered = message
            case PartExposed():
                self._part(message.part).exposed = message
            case Verdict():
                known = self._part(message.part)
                if known.verdict is None and message.disposition in {Disposition.REVIEW, Disposition.UNKNOWN}:
                    self.asked.append(known)
                known.verdict = message
                self.shown.append((now, Shown(now, "verdict", message.disposition, tuple(message.reasons))))
            case InspectionResult():
                self._part(message.part).result = message
            case SealedVerdict():
                self._part(message.part).sealed = message
            case ManualVerdict():
                self._part(message.part).manual = message
            case Actuation():
                known = self._part(message.part)
                if known.actuation is None:
                    known.actuation = message
                    held, manual = message.lane is Lane.REJECT, known.manual
                    if held and manual is not None and manual.accept and manual.decided <= message.at:
                        self.asked.append(known)  # accepted before the gate, which did not follow
                    self.shown.append((now, Shown(now, "actuation", message.lane, (message.cause,))))
            case PlcAcknowledged():
                self._part(message.part).acknowledged = message
            case FrameReady():
                self.frame_ids[message.camera] += 1
                self.frame_copies += message.copies
            case Health():
                self.health[message.unit] = message
            case Alarm():
                self.alarms.append(message)
                self.shown.append((now, Shown(now, "alarm", message.kind)))

    def _part(self, part: PartId) -> Inspected:
        if part not in self.parts:
            self.parts[part] = Inspected(part)
        return self.parts[part]
