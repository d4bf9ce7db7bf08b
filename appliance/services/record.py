"""Write down what happened: the only writer of the record database, the image files and the audit chain."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from msgspec import Struct

from appliance.bus.ring import RingReader
from appliance.config import Loaded
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.frames import Frames
from appliance.ports.node import Output, Publish, Send
from appliance.schema.actuation import Actuation
from appliance.schema.audit import AuditRequest
from appliance.schema.clocks import MS, HostNs, S
from appliance.schema.command import Accepted, Command, Drain, RefusedReply, Reply
from appliance.schema.errors import Refused, StoreError
from appliance.schema.frame import FrameReady
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.topics import (
    ACTUATION,
    ALARM,
    AUDIT,
    FRAME,
    HAND,
    PART_ENTERED,
    PART_EXPOSED,
    PLC_ACKNOWLEDGED,
    RESULT,
    SEALED,
    SHADOW,
    STATUS,
    VERDICT,
    Loss,
    topic_of,
)
from appliance.schema.verdict import Disposition, InspectionResult, SealedVerdict, Verdict
from appliance.services._loop import SystemClock
from appliance.services._record_wishes import Desks, Wish
from appliance.services._review_desk import Deed, ReviewDesk
from appliance.storage.fact_queue import LIMIT, FactQueue
from appliance.storage.image_messages import ImageFailed, ImageKept, ImageMissing, KeepImage, MeetRing
from appliance.storage.image_plan import ImagePlan, Step
from appliance.storage.image_writer import QUEUE_LIMIT, ImageWriter
from appliance.storage.recipe_audit import unaudited
from appliance.storage.record_store import ACTOR, UNNUMBERED, RecordStore

IMAGES = "images"
"""Name of the image writer among the node's devices."""

STATUS_PERIOD = 1 * S

log = structlog.get_logger()


@dataclass
class _Counts:
    """Count what `status.record` states."""

    facts: int = 0
    refused: int = 0
    images: int = 0
    images_failed: int = 0
    asked: int = 0
    """Images asked for and not answered yet."""
    probes: int = 0


class RecordNode:
    """Keep the facts of one loop turn in one transaction; the loop calls `wake` once it has taken all messages."""

    name = "record"
    topics = (
        PART_ENTERED,
        PART_EXPOSED,
        FRAME,
        RESULT,
        VERDICT,
        SEALED,
        SHADOW,
        ACTUATION,
        HAND,
        PLC_ACKNOWLEDGED,
        ALARM,
        AUDIT,
        STATUS,
    )

    def __init__(
        self,
        store: RecordStore,
        plan: ImagePlan,
        clock: Clock,
        station: str,
        digest: str,
        pid: int,
        desk: ReviewDesk | None = None,
        intents: Sequence[AuditRequest] = (),
    ) -> None:
        """Own the store; `digest` is the effective configuration's. Without a desk nobody is asked about parts.

        intents: what was put in force while nobody could audit it.
        """
        self._store = store
        self._plan = plan
        self._clock = clock
        self._station = station
        self._digest = digest
        self._pid = pid
        self._desk = desk
        self._desks = Desks(store, desk) if desk is not None else None
        self._intents = intents
        self._desk_stale = False
        """True when the desk could not be asked; it is built again from the store once that answers."""
        self._queue = FactQueue()
        self._images: list[ImageKept | ImageFailed | ImageMissing] = []
        self._counts = _Counts()
        self._fault = ""
        self._image_fault = ""
        self._status_at = HostNs(0)
        self._condition = Condition.STARTING

    @property
    def wake_at(self) -> HostNs | None:
        """Next write, expiry of a frame or of a review, or status."""
        if self._images and not self._queue.is_failing:
            return HostNs(0)
        times = (self._status_at, self._plan.wake_at, self._queue.due)  # reviews expire with the status
        return min(time for time in times if time is not None)

    def positions(self) -> dict[str, tuple[int, int]]:
        """Give (epoch, sequence) of the newest fact held of each topic."""
        return self._store.positions()

    def start(self, now: HostNs) -> Sequence[Output]:
        """Remove what a crash left and note the start in the audit chain."""
        at = self._clock.utc()
        removed = self._store.scrub(at)
        if self._store.audit_head() is None:
            self._store.audit(ACTOR, "chain_started", f"station {self._station}", "", f"config {self._digest}", at)
        for intent in self._intents:
            self._store.audit(intent.actor, intent.action, intent.subject, intent.before, intent.after, at)
        self._store.audit(ACTOR, "service_started", "record", "", f"config {self._digest}", at)
        log.info("images_scrubbed", removed=removed)
        outputs = self._do(self._desk.start(at), now) if self._desk is not None else ()
        return [*outputs, *self._status(now)]

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message whose place in its writer's count is not known."""
        return self.receive_envelope(topic, 0, UNNUMBERED, message, now)

    def receive_envelope(self, topic: str, epoch: int, sequence: int, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take a message with its place; it is durable, and its place held, after the next `wake`."""
        if isinstance(message, ImageKept | ImageFailed):
            return self._answered(message)
        if isinstance(message, FrameReady):
            return self._steps(self._plan.frame(message, now))
        if isinstance(message, Health):
            name, _, camera = message.unit.partition("@")
            return (Send(IMAGES, MeetRing(camera)),) if name == "acquire" else ()
        self._queue.put(topic, epoch, sequence, message, now)
        return [*self._review_of(message, now), *self._steps(self._planned(message, now))]

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Note in the audit chain that facts are gone for good; a frame costs an image, what is repeated nothing."""
        log.warning("messages_lost", topic=topic, count=count)
        if topic_of(topic).loss in {Loss.IGNORE, Loss.REJECT}:
            return ()
        return self._note_gap(topic, count, "never reached this service", now)

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Grant Drain: write everything that waits; take what people decide, say, and did."""
        if isinstance(command, Wish):
            return self._wish(command, now)
        if not isinstance(command, Drain):
            return RefusedReply(f"record: {type(command).__name__} is not for this service; ask its owner"), ()
        outputs = [*self._write(now), *self._status(now)]
        if len(self._queue) or self._images:
            return RefusedReply(f"record: {len(self._queue)} facts cannot be written yet: {self._fault}"), outputs
        return Accepted(f"{self._counts.facts} facts and {self._counts.images} images held"), outputs

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Write what waits, give unclaimed frames back, let reviews expire, tell how it goes."""
        outputs = list(self._steps(self._plan.expire(now)))
        if self._desk is not None and now >= self._status_at:
            outputs += self._do(self._desk.expire(now, self._clock.utc()), now)
        due = self._queue.due
        if (due is not None and now >= due) or (self._images and not self._queue.is_failing):
            outputs += self._write(now)
        if now >= self._status_at:
            outputs += [*self._refreshed(now), *self._status(now)]
        return outputs

    def finish(self, now: HostNs) -> None:
        """Write what waits and close the store; the last call."""
        self._write(now)
        self._store.close()

    def _wish(self, wish: Wish, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Answer a person once all that was said before, and what follows from the wish, is durable."""
        if self._desk is None or self._desks is None:
            return RefusedReply("record: no review desk is held here"), ()
        outputs = list(self._write(now))
        if len(self._queue):
            return RefusedReply(f"record: nothing can be kept now: {self._fault}", again=True), outputs
        at = self._clock.utc()
        try:
            deed = self._desks.answer(wish, now, at)
            refused = self._store.write([(topic, 0, UNNUMBERED, fact) for topic, fact in deed.facts], at, now)
        except Refused as error:
            return RefusedReply(str(error)), outputs
        except StoreError as error:
            return RefusedReply(f"record: the decision was not kept: {error}", again=True), outputs
        if refused:  # the store knows better than the desk: it begins again with what is held
            outputs += self._do(self._desk.start(at), now)
            return RefusedReply(f"record: {refused[0]}"), [*outputs, *self._alarm("fact_refused", refused[0])]
        self._desk.keep(deed)
        self._counts.facts += len(deed.facts)
        return Accepted(deed.detail), [*outputs, *deed.outputs]

    def _review_of(self, message: Struct, now: HostNs) -> Sequence[Output]:
        if self._desk is None:
            return ()
        try:
            return self._do(self._desk.hear(message, now, self._clock.utc()), now)
        except StoreError as error:
            self._desk_stale = True
            log.error("review_failed", error=str(error))
            return ()

    def _refreshed(self, now: HostNs) -> Sequence[Output]:
        """Build the desk again when it missed something and the store is well."""
        if self._desk is None or not self._desk_stale or len(self._queue):
            return ()
        try:
            deed = self._desk.start(self._clock.utc())
        except StoreError:
            return ()
        self._desk_stale = False
        return self._do(deed, now)

    def _do(self, deed: Deed, now: HostNs) -> Sequence[Output]:
        for topic, fact in deed.facts:
            self._queue.put(topic, 0, UNNUMBERED, fact, now)
        return deed.outputs

    def _planned(self, message: Struct, now: HostNs) -> Sequence[Step]:
        """Give what a fact means for images. Of a sealed verdict they tell nothing: all are kept as of a review."""
        match message:
            case InspectionResult():
                return self._plan.result(message, now)
            case SealedVerdict():
                way = self._plan.decided(message.part, Disposition.REVIEW, now)
                return [*way, *self._plan.result(message.result, now)]
            case Verdict() | Actuation():
                return self._plan.decided(message.part, message.disposition, now)
        return ()

    def _steps(self, steps: Sequence[Step]) -> Sequence[Output]:
        outputs: list[Output] = []
        for step in steps:
            if isinstance(step, ImageFailed | ImageMissing):
                self._hold(step)
            else:
                self._counts.asked += isinstance(step, KeepImage)
                outputs.append(Send(IMAGES, step))
        return outputs

    def _answered(self, image: ImageKept | ImageFailed) -> Sequence[Output]:
        self._counts.asked -= 1
        self._hold(image)
        if isinstance(image, ImageKept):
            self._image_fault = ""
            return ()
        self._counts.images_failed += 1
        is_new = not self._image_fault
        self._image_fault = image.reason
        return self._alarm("image_not_kept", image.reason, str(image.part)) if is_new else ()

    def _hold(self, image: ImageKept | ImageFailed | ImageMissing) -> None:
        if len(self._images) < LIMIT:
            self._images.append(image)
        else:
            self._queue.drop(IMAGES)

    def _write(self, now: HostNs) -> Sequence[Output]:
        facts, images = self._queue.waiting(), tuple(self._images)
        at = self._clock.utc()
        try:
            refused = self._store.write(facts, at, now) if facts else ()
            if images:
                self._store.image_rows(images, at, now)
        except StoreError as error:
            return self._failed(str(error), now)
        dropped = self._queue.written()
        self._images = []
        self._counts.facts += len(facts)
        self._counts.refused += len(refused)
        self._counts.images += sum(isinstance(image, ImageKept) for image in images)
        outputs: list[Output] = []
        if self._fault:
            log.info("store_recovered", facts=len(facts))
            self._fault = ""
        for topic, count in dropped.items():
            outputs += self._note_gap(topic, count, f"the store refused them and the queue of {LIMIT} was full", now)
        for line in refused:
            outputs += self._alarm("fact_refused", line)
        return outputs

    def _failed(self, fault: str, now: HostNs) -> Sequence[Output]:
        due = self._queue.failed(now)
        log.error("store_failed", error=fault, waiting=len(self._queue), again_ms=(due - now) // MS)
        is_new = not self._fault
        self._fault = fault
        return [*self._alarm("store_failed", fault), *self._status(now)] if is_new else ()

    def _note_gap(self, topic: str, count: int, why: str, now: HostNs) -> Sequence[Output]:
        request = AuditRequest(ACTOR, "facts_lost", topic, "", f"{count}: {why}")
        try:
            self._store.write([(f"{AUDIT}{self.name}", 0, UNNUMBERED, request)], self._clock.utc())
        except StoreError as error:
            self._queue.put(f"{AUDIT}{self.name}", 0, UNNUMBERED, request, now)
            return self._failed(str(error), now)
        return self._alarm("facts_lost", f"{topic}: {count} facts are missing from the record: {why}")

    def _alarm(self, kind: str, text: str, part: str = "") -> Sequence[Output]:
        return (Publish(f"{ALARM}{self.name}", Alarm(self.name, kind, text, part, self._clock.now())),)

    def _status(self, now: HostNs) -> Sequence[Output]:
        self._status_at = HostNs(now + STATUS_PERIOD)
        components = (self._database(), self._disk(), self._image_queue(), *self._review())
        order = list(Condition)
        condition = max((component.condition for component in components), key=order.index)
        progress = self._counts.facts + self._counts.images + self._counts.probes
        health = Health(self.name, condition, components, progress, now, self._pid)
        return (Publish(f"{STATUS}{self.name}", health),)

    def _database(self) -> Component:
        if self._fault:
            cause = f"{self._fault} ({len(self._queue)} facts wait, limit {LIMIT})"
            return Component("database", Condition.FAILED, cause, "free disk space or restore the database")
        try:
            self._store.probe()
        except StoreError as error:
            return Component("database", Condition.FAILED, str(error), "restore the newest backup")
        self._counts.probes += 1
        cause = "this SQLite has the WAL-reset bug; safe while this process alone writes" * self._store.wal_reset_risk
        if self._counts.refused:
            cause = f"{self._counts.refused} contradicting facts kept out"
            return Component("database", Condition.DEGRADED, cause, "see fact_refused in the audit chain")
        return Component("database", Condition.OK, cause)

    def _disk(self) -> Component:
        try:
            self._store.blobs.check_space()
        except StoreError as error:
            return Component("disk", Condition.DEGRADED, str(error), "free space; rows are still written")
        return Component("disk", Condition.OK, f"{self._store.blobs.free_mb} MB free")

    def _image_queue(self) -> Component:
        if self._image_fault:
            cause = f"{self._counts.images_failed} images not kept, last: {self._image_fault}"
            return Component("images", Condition.DEGRADED, cause, "check disk space and load")
        return Component("images", Condition.OK, f"{self._counts.asked} of {QUEUE_LIMIT} queued")

    def _review(self) -> Sequence[Component]:
        if self._desk is None:
            return ()
        cause = f"{self._desk.waiting} of {self._desk.limit} parts wait for a person"
        if self._desk.waiting < self._desk.limit:
            return (Component("review", Condition.OK, cause),)
        remedy = "decide some of them; further parts go into quarantine"
        return (Component("review", Condition.DEGRADED, cause, remedy),)


def build(
    loaded: Loaded, frames: Frames | None = None, clock: Clock | None = None
) -> tuple[RecordNode, dict[str, Device]]:
    """Open the store and put the service together; StoreError when another process writes it.

    `frames` and `clock` are the station's rings and the system's clock unless others are given.
    """
    clock = clock or SystemClock()
    rings = frames or RingReader(loaded.runtime, name="record")
    config = loaded.config
    store = RecordStore(loaded.state, config.record.min_free_mb)
    hold = min(camera.lease_ms for camera in config.camera.values()) * MS * 3 // 4
    plan = ImagePlan(config.record.accept_share, hold)
    people = config.approval.people
    desk = ReviewDesk(store, loaded.recipe.policy, loaded.recipe.mode, people, secrets.randbits)
    intents = store.ask(partial(unaudited, loaded))
    node = RecordNode(store, plan, clock, config.station.name, loaded.digest, os.getpid(), desk, intents)
    return node, {IMAGES: ImageWriter(rings, store.blobs, clock)}
