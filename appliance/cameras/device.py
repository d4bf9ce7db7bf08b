"""Run one GenICam camera behind `ports.device.Device`: open it, keep it acquiring, open it again when it is lost.

Two threads, since a producer's calls block: `control` owns the camera from open to close, `stream` waits for filled
slots. Both only put messages into a queue that the loop drains; `Requeue` alone is done in the loop's thread, at once.
"""

import contextlib
import os
import queue
import threading
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from appliance.cameras.exposures import ExposureNumbers
from appliance.cameras.genicam import GenicamSession, Producer
from appliance.cameras.gentl import PFNC, Filled, Stream
from appliance.cameras.messages import (
    CameraLost,
    CameraStatistics,
    FrameArrived,
    LatchTime,
    Reopen,
    Requeue,
    SoftwareTrigger,
    Start,
)
from appliance.cameras.slots import SlotMemory, place
from appliance.config import Camera
from appliance.ports.clock import Clock
from appliance.schema.clocks import MS, CameraNs, EncoderCounts, HostNs, S
from appliance.schema.errors import ApplianceError, CameraError

POLL_MS = 100
"""Longest wait for a frame; so late a stop is noticed."""

STATISTICS_NS = 500 * MS
"""Half the interval of health reports."""

RETRY_MS = (200, 400, 800, 1600, 3200, 5000)
"""Back-off between tries to open: a replugged cable is back within a second, a rebooting camera takes ten."""

STEADY_NS = 5 * S
"""A camera that acquired this long was well; its next loss starts the back-off anew."""

JOIN_S = 5.0
"""A producer that has not returned by then hangs; the process ends without it."""


class _Close(Struct, frozen=True):
    """End both threads."""


class _Broken(Struct, frozen=True):
    """Tell `control` that `stream` ended."""

    error: ApplianceError


class GenicamCamera:
    """Implement `ports.device.Device` for one camera of a GenTL producer; one a process and producer.

    Gives CameraOpened, FrameArrived, CameraStatistics, TimeLatched, CameraLost; takes Start, Requeue, SoftwareTrigger,
    LatchTime, Reopen. After CameraOpened the service makes the ring large enough and sends `Start`.
    """

    def __init__(self, name: str, camera: Camera, memory: SlotMemory, clock: Clock) -> None:
        self._name = name
        self._camera = camera
        self._memory = memory
        self._clock = clock
        self._messages: deque[Struct] = deque()
        self._commands: queue.SimpleQueue[Struct] = queue.SimpleQueue()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stream: Stream | None = None  # set while slots may be queued
        self._stream_lock = threading.Lock()
        self._halt = threading.Event()
        self._pump: threading.Thread | None = None
        self._started = HostNs(0)  # 0: not acquiring
        self._control = threading.Thread(target=self._run, name=f"camera-{name}-control", daemon=True)
        self._control.start()

    def fileno(self) -> int:
        """Give an eventfd that is readable when messages wait."""
        return self._bell

    @property
    def wake_at(self) -> HostNs | None:
        """Nothing is due by time alone."""
        return None

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take what the camera reported; CameraError when the adapter itself broke."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        taken = [self._messages.popleft() for _ in range(len(self._messages))]
        if not taken and not self._control.is_alive():
            raise CameraError(f"camera {self._name}: its control thread ended; the process must be started anew")
        return taken

    def write(self, message: Struct, now: HostNs) -> None:
        """Hand over a wish; while the camera is lost it is dropped."""
        if isinstance(message, Requeue):
            with self._stream_lock:
                if self._stream is not None:
                    self._requeue(self._stream, message.slot)
        else:
            self._commands.put(message)

    def close(self) -> None:
        """Stop the camera and give it back; blocks until its threads ended."""
        self._commands.put(_Close())
        self._control.join(JOIN_S)
        if not self._control.is_alive():
            os.close(self._bell)

    def _requeue(self, stream: Stream, slot: int) -> None:
        try:
            stream.queue(slot)
        except CameraError as error:
            self._commands.put(_Broken(error))

    def _run(self) -> None:
        """Open, serve, and open again, until told to close. Control thread."""
        producer: Producer | None = None
        attempt = 0
        while True:
            self._started = HostNs(0)
            try:
                producer = producer or Producer(self._name, self._camera.producer)
                self._open_and_serve(producer)
                break
            except ApplianceError as error:
                was_steady = self._started > 0 and self._clock.now() - self._started > STEADY_NS
                attempt = 1 if was_steady else attempt + 1
                retry_ms = RETRY_MS[min(attempt, len(RETRY_MS)) - 1]
                self._post(CameraLost(str(error), attempt, retry_ms))
                if not self._pause(retry_ms):
                    break
        if producer is not None:
            producer.close()

    def _open_and_serve(self, producer: Producer) -> None:
        session = producer.open(self._camera, self._clock)
        try:
            self._post(session.opened)
            while True:
                command = self._command(1.0)
                if isinstance(command, _Close):
                    return
                self._obey(session, command)
                if self._pump is not None and not self._pump.is_alive() and command is None:
                    raise CameraError(f"camera {self._name}: its stream thread ended unexpectedly; see the log")
        finally:
            self._stop(session)
            session.close()

    def _obey(self, session: GenicamSession, command: Struct | None) -> None:
        if isinstance(command, Start) and self._pump is None:
            self._start(session)
        elif isinstance(command, SoftwareTrigger):
            session.trigger()
        elif isinstance(command, LatchTime):
            latched = session.latch()
            if latched is not None:
                self._post(latched)
        elif isinstance(command, Reopen):
            raise CameraError(f"camera {self._name}: {command.cause}")
        elif isinstance(command, _Broken):
            raise CameraError(
                f"camera {self._name}: lost while acquiring: {command.error}; check cable and power"
            ) from command.error

    def _command(self, timeout_s: float) -> Struct | None:
        try:
            return self._commands.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _pause(self, pause_ms: int) -> bool:
        """Wait before the next try, dropping wishes; False when told to close."""
        until = self._clock.now() + pause_ms * MS
        while (left := until - self._clock.now()) > 0:
            if isinstance(self._command(left / S), _Close):
                return False
        return True

    def _start(self, session: GenicamSession) -> None:
        """Announce and queue every slot, then let the camera run."""
        stream, memory = session.stream, self._memory
        for slot in range(memory.slots):
            stream.announce(memory.address(slot), memory.payload_bytes)
        for slot in range(memory.slots):
            stream.queue(slot)
        stream.start()
        self._halt.clear()
        self._pump = threading.Thread(
            target=self._deliver, args=(stream, session.transport), name=f"camera-{self._name}-stream", daemon=True
        )
        self._pump.start()
        with self._stream_lock:
            self._stream = stream
        session.start()
        self._started = self._clock.now()

    def _stop(self, session: GenicamSession) -> None:
        with self._stream_lock:
            self._stream = None
        self._halt.set()
        session.stop()
        if self._pump is not None:
            self._pump.join()
            self._pump = None
        session.stream.stop()

    def _deliver(self, stream: Stream, transport: str) -> None:
        """Report each filled slot. Stream thread."""
        numbers = ExposureNumbers(transport)
        report_at = self._clock.now()
        known = -1, 0  # last exposure, underruns up to there
        try:
            while not self._halt.is_set():
                slot = stream.wait(POLL_MS)
                now = self._clock.now()
                if slot is not None:
                    frame = self._arrived(stream, stream.describe(slot), numbers, now, known)
                    known = frame.frame_id, frame.underruns
                    self._post(frame)
                if now >= report_at:
                    self._post(CameraStatistics(stream.delivered(), stream.underruns(), stream.queued()))
                    report_at = HostNs(now + STATISTICS_NS)
        except ApplianceError as error:
            self._commands.put(_Broken(error))

    def _arrived(
        self, stream: Stream, filled: Filled, numbers: ExposureNumbers, now: HostNs, known: tuple[int, int]
    ) -> FrameArrived:
        camera = self._camera
        image_bytes = camera.width_px * camera.height_px * camera.pixel_format.channels
        delivered = (filled.width, filled.height, filled.pixel_format)
        if delivered != (camera.width_px, camera.height_px, PFNC[camera.pixel_format.value]):
            raise CameraError(
                f"a frame of {filled.width} x {filled.height} px, format {filled.pixel_format:#x}, was delivered, set "
                f"were {camera.width_px} x {camera.height_px} px, {camera.pixel_format}; let no other program set it"
            )
        frame_id = numbers.number(filled.frame_id)
        timestamp = filled.chunks.get("ChunkTimestamp", filled.timestamp_ns)
        encoder = filled.chunks.get("ChunkEncoderValue")
        return FrameArrived(
            slot=filled.slot,
            frame_id=frame_id,
            exposed=None if timestamp is None else CameraNs(int(timestamp)),
            arrived=now,
            exposure_us=float(filled.chunks.get("ChunkExposureTime", camera.exposure_us)),
            gain_db=float(filled.chunks.get("ChunkGain", camera.gain_db)),
            encoder=None if encoder is None else EncoderCounts(int(encoder)),
            copies=place(filled, camera.width_px * camera.pixel_format.channels, self._memory),
            underruns=known[1] if frame_id == known[0] + 1 else stream.underruns(),
            complete=not filled.incomplete and filled.bytes_filled >= image_bytes,
        )

    def _post(self, message: Struct) -> None:
        self._messages.append(message)
        os.eventfd_write(self._bell, 1)
