"""Acquire one camera's frames: account for every exposure, tell where it lies in time, lend it, take it back."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from appliance.bus.ring import ReaderState, RingCounts, RingWriter, ring_path
from appliance.cameras.messages import (
    CameraLost,
    CameraOpened,
    CameraStatistics,
    FrameArrived,
    LatchTime,
    Reopen,
    Requeue,
    Start,
    TimeLatched,
)
from appliance.config import Camera, Loaded
from appliance.ports.clock import Clock
from appliance.ports.device import Device
from appliance.ports.node import Output, Publish, Send
from appliance.schema.clocks import MS, CameraNs, HostNs, S
from appliance.schema.command import Command, RefusedReply, Reply
from appliance.schema.errors import ConfigError
from appliance.schema.frame import FrameCounts, FrameReady, SlotRef
from appliance.schema.health import Alarm, Component, Condition, Health
from appliance.schema.topics import ALARM, FRAME, STATUS
from appliance.services._loop import SystemClock
from firmware_bridge.clocksync import ClockSync

CAMERA = "camera"
"""Name of the node's one device."""

HEALTH_NS = S
RECLAIM_NS = 5 * MS
"""Readers release silently; at 10 parts/s and 8 slots a slot may wait 800 ms, so 5 ms costs nothing."""

LATCH_NS = S
LATCH_FAST_NS = 50 * MS
LATCHES_FAST = 8
"""The clock fit keeps the quickest quarter of its exchanges; a few at once give it a choice early."""

ALARM_NS = S
"""An alarm of one kind is raised at most this often; the counts in each frame miss nothing."""

TRANSFER_NS = 100 * MS
"""Longest time from the end of exposure to a frame in hand: 5 MB take 45 ms over GigE, twice that when busy."""

CHUNK_ROOM = 4096
"""Bytes reserved behind the pixels for chunk data; a camera that needs more gets a larger ring when it is opened."""

FOLDER_RATE_HZ = 10.0
"""A folder of images is replayed at the line's nominal rate."""


class FrameRing(Protocol):
    """Say what the node asks of its ring; `bus.ring.RingWriter` is the real one."""

    slots: int

    @property
    def out(self) -> int:
        """Slots lent to readers."""

    @property
    def counts(self) -> RingCounts:
        """The account of slots."""

    def publish(self, slot: int, now: HostNs) -> SlotRef:
        """Lend a filled slot."""

    def reclaim(self, now: HostNs) -> list[int]:
        """Take back what nobody waits for."""

    def readers(self) -> list[ReaderState]:
        """List the living readers."""

    def restart(self, payload_bytes: int) -> None:
        """Begin a new epoch with all slots free."""


class _ExposureAccount:
    """Account for every exposure since an acquisition start; starts from the totals of those before."""

    def __init__(self, before: FrameCounts) -> None:
        self.counts = before
        self._next = 0
        self._underruns = 0

    def add(self, frame: FrameArrived) -> int | None:
        """Count a frame and the exposures lost before it; gives how many were lost, None when the count went back."""
        lost = frame.frame_id - self._next
        if lost < 0:
            return None
        underrun = min(lost, frame.underruns - self._underruns)
        self._next = frame.frame_id + 1
        self._underruns += underrun
        c = self.counts
        self.counts = FrameCounts(
            c.good + frame.complete,
            c.incomplete + (not frame.complete),
            c.underrun + underrun,
            c.missed + lost - underrun,
        )
        return lost


class AcquireNode:
    """Implement `ports.node.Node` for one camera."""

    topics: tuple[str, ...] = ()

    def __init__(self, camera: str, settings: Camera, ring: FrameRing, pid: int = 0) -> None:
        self.name = f"acquire@{camera}"
        self._camera = camera
        self._settings = settings
        self._ring = ring
        self._pid = pid
        self._account = _ExposureAccount(FrameCounts())
        self._clock = ClockSync(tick_ns=1.0)
        self._acquiring = False
        self._opened: CameraOpened | None = None
        self._latches = 0
        self._latch_at: HostNs | None = None
        self._health_at: HostNs | None = None
        self._reclaim_at: HostNs | None = None
        self._progress = 0
        self._forced = 0
        self._alarmed: dict[str, HostNs] = {}
        self._state = Component(CAMERA, Condition.STARTING, "it is being opened")
        self._told: tuple[Component, ...] = ()

    @property
    def wake_at(self) -> HostNs | None:
        """Next report, latch, or look at the slots that are out."""
        times = [time for time in (self._health_at, self._latch_at, self._reclaim_at) if time is not None]
        return min(times, default=None)

    def start(self, now: HostNs) -> Sequence[Output]:
        """Report that the camera is being opened; its device does so by itself."""
        return self._report(now)

    def receive(self, topic: str, message: Struct, now: HostNs) -> Sequence[Output]:
        """Take what the camera reports."""
        match message:
            case FrameArrived():
                return self._frame(message, now)
            case CameraStatistics():
                self._progress += 1
                return self._reclaim(now)
            case TimeLatched():
                self._clock.update(message.sent, message.received, message.camera)
                return ()
            case CameraOpened():
                return self._open(message, now)
            case CameraLost():
                return self._lose(message, now)
        return ()

    def lost(self, topic: str, count: int, now: HostNs) -> Sequence[Output]:
        """Learn of lost messages: there are none."""
        return ()

    def command(self, command: Command, now: HostNs) -> tuple[Reply, Sequence[Output]]:
        """Refuse: a camera is set by its configuration alone."""
        return RefusedReply(
            f"{self.name} takes no {type(command).__name__}; change the configuration and restart it"
        ), ()

    def wake(self, now: HostNs) -> Sequence[Output]:
        """Take slots back, read the camera's clock, report."""
        outputs: list[Output] = []
        if self._reclaim_at is not None and now >= self._reclaim_at:
            outputs += self._reclaim(now)
        if self._latch_at is not None and now >= self._latch_at:
            self._latches += 1
            self._latch_at = HostNs(now + (LATCH_NS if self._latches > LATCHES_FAST else LATCH_FAST_NS))
            outputs.append(Send(CAMERA, LatchTime()))
        if self._health_at is not None and now >= self._health_at:
            outputs += self._report(now)
        return outputs

    def _open(self, opened: CameraOpened, now: HostNs) -> Sequence[Output]:
        """Start in a new epoch: exposures are counted from 0 again, and readers can see that they are."""
        self._ring.restart(opened.payload_bytes)
        self._account = _ExposureAccount(self._account.counts)
        self._clock = ClockSync(tick_ns=1.0)
        self._opened = opened
        self._acquiring = True
        self._latches = 0
        self._latch_at = HostNs(now + LATCH_FAST_NS) if opened.can_latch else None
        self._state = Component(CAMERA, Condition.OK)
        return [Send(CAMERA, LatchTime()), Send(CAMERA, Start()), *self._changed(now)]

    def _lose(self, lost: CameraLost, now: HostNs) -> Sequence[Output]:
        """Report the loss once, and every failed try as a sign of life."""
        self._progress += 1
        was_acquiring, self._acquiring = self._acquiring, False
        self._latch_at = None
        cause, _, remedy = lost.cause.rpartition("; ")
        self._state = Component(CAMERA, Condition.FAILED, cause or lost.cause, remedy if cause else "")
        alarm = self._alarm("camera_lost", lost.cause, now) if was_acquiring or lost.attempt == 1 else []
        return [*alarm, *self._changed(now)]

    def _frame(self, frame: FrameArrived, now: HostNs) -> Sequence[Output]:
        if not self._acquiring:
            return ()  # its slot went with the old epoch
        lost = self._account.add(frame)
        if lost is None:
            self._acquiring = False
            cause = (
                f"its exposure count went back to {frame.frame_id}, parts cannot be told apart; check its power supply"
            )
            return [*self._alarm("frame_id_went_back", cause, now), Send(CAMERA, Reopen(cause))]
        self._progress += 1
        outputs: list[Output] = [Publish(FRAME + self._camera, self._ready(frame, now))]
        if lost:
            text = f"{lost} exposures lost before exposure {frame.frame_id}: {self._account.counts}"
            outputs += self._alarm("frame_lost", text, now)
        outputs += self._reclaim(now)
        return outputs

    def _ready(self, frame: FrameArrived, now: HostNs) -> FrameReady:
        at, uncertainty_ns = self._locate(frame)
        return FrameReady(
            camera=self._camera,
            ref=self._ring.publish(frame.slot, now),
            frame_id=frame.frame_id,
            exposed=frame.exposed if frame.exposed is not None else CameraNs(0),
            exposed_at=at,
            exposed_uncertainty_ns=uncertainty_ns,
            encoder=frame.encoder,
            arrived=frame.arrived,
            rows=self._settings.height_px,
            columns=self._settings.width_px,
            pixel_format=self._settings.pixel_format,
            exposure_us=frame.exposure_us,
            gain_db=frame.gain_db,
            copies=frame.copies,
            counts=self._account.counts,
            complete=frame.complete,
        )

    def _locate(self, frame: FrameArrived) -> tuple[HostNs, int]:
        """Give the start of exposure in host time and its half width in ns.

        Without a latched clock only this is sure: exposure ended before the frame arrived, and not long before.
        """
        if frame.exposed is not None and self._clock.synchronised:
            return self._clock.to_host(frame.exposed)
        latest = frame.arrived - round(frame.exposure_us * 1000)
        return HostNs(latest - TRANSFER_NS // 2), TRANSFER_NS // 2

    def _reclaim(self, now: HostNs) -> list[Output]:
        """Give slots back to the camera, and say so when there are none to give."""
        outputs: list[Output] = [Send(CAMERA, Requeue(slot)) for slot in self._ring.reclaim(now)]
        self._reclaim_at = HostNs(now + RECLAIM_NS) if self._ring.out else None
        forced = self._ring.counts.forced
        if forced != self._forced:
            late = ", ".join(reader.name for reader in self._ring.readers() if reader.suspended) or "a reader"
            text = f"{late} held a frame over lease_ms = {self._settings.lease_ms} ms; restart it, or raise lease_ms"
            outputs += self._alarm("lease_expired", text, now)
            self._forced = forced
        if self._acquiring and self._ring.out == self._ring.slots:
            outputs += self._alarm("slots_exhausted", self._exhausted(), now)
        return outputs + self._changed(now)

    def _exhausted(self) -> str:
        held = ", ".join(f"{reader.name} {len(reader.holds)}" for reader in self._ring.readers()) or "nobody alive"
        return f"all {self._ring.slots} slots are lent out ({held}), frames are being lost; raise slots, or load less"

    def _changed(self, now: HostNs) -> list[Output]:
        """Report at once when a component's condition changed."""
        return [] if self._components() == self._told else self._report(now)

    def _report(self, now: HostNs) -> list[Output]:
        self._told = self._components()
        self._health_at = HostNs(now + HEALTH_NS)
        order = list(Condition)
        worst = max((component.condition for component in self._told), key=order.index)
        return [Publish(STATUS + self.name, Health(self.name, worst, self._told, self._progress, now, self._pid))]

    def _components(self) -> tuple[Component, ...]:
        if not self._acquiring:
            return (self._state,)
        ring = Component("ring", Condition.OK)
        if self._ring.out == self._ring.slots:
            cause, _, remedy = self._exhausted().rpartition("; ")
            ring = Component("ring", Condition.DEGRADED, cause, remedy)
        clock = Component("clock", Condition.OK)
        if self._opened is not None and not self._opened.can_latch:
            cause = f"the camera's clock cannot be read, exposures are known to {TRANSFER_NS // 2 // MS} ms only"
            clock = Component("clock", Condition.DEGRADED, cause, "use a camera with TimestampLatch")
        return (self._state, ring, clock)

    def _alarm(self, kind: str, text: str, now: HostNs) -> list[Output]:
        last = self._alarmed.get(kind)
        if last is not None and now - last < ALARM_NS:
            return []
        self._alarmed[kind] = now
        return [Publish(ALARM + self.name, Alarm(self.name, kind, f"camera {self._camera}: {text}", at=now))]


def build(loaded: Loaded, camera: str) -> tuple[AcquireNode, dict[str, Device]]:
    """Make the node and the device of one camera, with the ring between them; StoreError when tmpfs is full.

    A producer that is a folder is replayed. The device opens the camera by itself, and again whenever it is lost.
    """
    settings = loaded.config.camera.get(camera)
    if settings is None:
        known = ", ".join(sorted(loaded.config.camera))
        raise ConfigError(f"{loaded.path}: camera.{camera}: no such table, cameras are {known}; correct the unit")
    image_bytes = settings.width_px * settings.height_px * settings.pixel_format.channels
    path = ring_path(loaded.runtime, camera)
    ring = RingWriter.create(path, settings.slots, image_bytes + CHUNK_ROOM, settings.lease_ms)
    return AcquireNode(camera, settings, ring, os.getpid()), {CAMERA: _device(camera, settings, ring, SystemClock())}


def _device(camera: str, settings: Camera, ring: RingWriter, clock: Clock) -> Device:
    folder = Path(settings.producer)
    if folder.is_dir():
        from appliance.cameras.folder import FolderCamera  # noqa: PLC0415  only the chosen adapter is imported

        return FolderCamera(camera, folder, settings, ring, FOLDER_RATE_HZ)
    from appliance.cameras.device import GenicamCamera  # noqa: PLC0415  only the chosen adapter is imported

    return GenicamCamera(camera, settings, ring, clock)
