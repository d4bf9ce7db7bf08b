"""Encode and store images beside the record service's loop, in one thread that alone touches the frame rings."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog
from msgspec import Struct

from appliance.ports.clock import Clock
from appliance.ports.frames import Frames
from appliance.schema.clocks import MS, HostNs
from appliance.schema.errors import FrameOverwritten, StoreError
from appliance.storage.blobs import Blobs, encode
from appliance.storage.image_messages import ImageFailed, ImageKept, KeepImage, MeetRing, ReleaseFrame

log = structlog.get_logger()

QUEUE_LIMIT = 32
"""Images waiting: at 30 ms each they take 1 s, half of the shortest usual lease."""

REFRESH = 100 * MS
"""A frame ring takes a reader for dead when it shows no sign of life for a lease."""


BACKGROUND = 10
"""Nice value of the encoding thread: an image may be late by a second, the judge beside it may not."""


class ImageWriter:
    """Keep images as the record node asks; a Device: called from the loop's thread, never blocks."""

    def __init__(self, frames: Frames, blobs: Blobs, clock: Clock) -> None:
        """Start the worker; `frames` belongs to it from now on."""
        self._frames = frames
        self._blobs = blobs
        self._clock = clock
        self._worker = ThreadPoolExecutor(1, "image-writer", _step_back)
        self._jobs: list[Future[Any]] = []
        self._refused: list[ImageKept | ImageFailed] = []
        self._ready = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._refresh_at = HostNs(0)

    @property
    def queued(self) -> int:
        """Jobs not finished yet."""
        return sum(not job.done() for job in self._jobs)

    def fileno(self) -> int:
        """Descriptor that is readable when an answer waits."""
        return self._ready

    @property
    def wake_at(self) -> HostNs | None:
        """Next sign of life to the frame rings."""
        return self._refresh_at

    def read(self, now: HostNs) -> Sequence[ImageKept | ImageFailed]:
        """Take the answers; an error that is nobody's whim (a codec's bug) is raised here and ends the service."""
        if self._ready >= 0:
            self._clear()
            if now >= self._refresh_at:
                self._refresh_at = HostNs(now + REFRESH)
                self._submit_refresh(now)
        done = [job for job in self._jobs if job.done()]
        self._jobs = [job for job in self._jobs if not job.done()]
        answers, self._refused = self._refused, []
        answers += [answer for job in done if (answer := job.result()) is not None]
        return answers

    def write(self, message: Struct, now: HostNs) -> None:
        """Queue one KeepImage, ReleaseFrame or MeetRing; a full queue answers ImageFailed at once."""
        if isinstance(message, KeepImage) and self.queued >= QUEUE_LIMIT:
            reason = f"image queue full, limit {QUEUE_LIMIT}; the disk or the processor is too slow"
            self._refused.append(ImageFailed(message.part, message.frame, message.disposition, reason))
            message = ReleaseFrame(message.frame)
            self._signal()
        if isinstance(message, KeepImage):
            self._submit(self._worker.submit(self._keep, message))
        elif isinstance(message, ReleaseFrame):
            self._submit(self._worker.submit(self._frames.release, message.frame))
        elif isinstance(message, MeetRing):
            self._submit(self._worker.submit(self._meet, message.camera))

    def close(self) -> None:
        """Finish the queue and end the worker; `read` still gives the last answers."""
        if self._ready < 0:
            return
        self._submit(self._worker.submit(self._frames.close))
        self._worker.shutdown(wait=True)
        os.close(self._ready)
        self._ready = -1

    def _keep(self, request: KeepImage) -> ImageKept | ImageFailed:
        frame = request.frame
        try:
            with self._frames.borrow(frame) as pixels:
                self._blobs.check_space()
                encoded = encode(pixels, frame.pixel_format, request.disposition)
            blob = self._blobs.keep(encoded.data, encoded.extension, self._clock.utc())
        except (FrameOverwritten, StoreError) as error:
            return ImageFailed(request.part, frame, request.disposition, str(error))
        return ImageKept(request.part, frame, request.disposition, blob.path, blob.sha256, blob.size, encoded.encoding)

    def _meet(self, camera: str) -> None:
        try:
            self._frames.attach(camera)
        except StoreError as error:
            log.warning("ring_not_met", camera=camera, error=str(error))

    def _submit_refresh(self, now: HostNs) -> None:
        self._submit(self._worker.submit(self._frames.refresh, now))

    def _submit(self, job: "Future[Any]") -> None:
        self._jobs.append(job)
        job.add_done_callback(self._on_done)

    def _on_done(self, _job: object) -> None:
        self._signal()

    def _signal(self) -> None:
        os.eventfd_write(self._ready, 1)

    def _clear(self) -> None:
        try:
            os.eventfd_read(self._ready)
        except BlockingIOError:
            return


def _step_back() -> None:
    """Let everything that has a deadline run first; on Linux a nice value belongs to a thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND)
