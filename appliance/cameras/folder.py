"""Replay images of a folder as a camera would deliver them; `producer` then names the folder."""

import ctypes
import os
import select
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.cameras.messages import CameraOpened, CameraStatistics, FrameArrived, Requeue, SoftwareTrigger, Start
from appliance.cameras.slots import SlotMemory
from appliance.config import Camera
from appliance.schema.clocks import CameraNs, HostNs, S
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})


class FolderCamera:
    """Implement `ports.device.Device` over images, in the order of their names, over and over.

    rate_hz: images per second; 0: one per SoftwareTrigger
    """

    def __init__(self, name: str, folder: Path, camera: Camera, memory: SlotMemory, rate_hz: float) -> None:
        self._images = [_load(name, path, camera) for path in _list(name, folder)]
        self._camera = camera
        self._memory = memory
        self._period_ns = round(S / rate_hz) if rate_hz else 0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._due: HostNs | None = None
        self._queued: list[int] = []
        self._taken = self._underruns = 0
        self._waiting: list[Struct] = []
        size = camera.width_px * camera.height_px * camera.pixel_format.channels
        self._post(CameraOpened("folder", folder.name, size))

    def fileno(self) -> int:
        """Give an eventfd that is readable when messages wait."""
        return self._bell

    @property
    def wake_at(self) -> HostNs | None:
        """Instant of the next image."""
        return self._due

    def read(self, now: HostNs) -> Sequence[Struct]:
        """Take what is due."""
        if self._due is not None and now >= self._due:
            self._due = HostNs(self._due + self._period_ns)
            self._expose(now)
        if select.select([self._bell], [], [], 0)[0]:
            os.eventfd_read(self._bell)
        taken, self._waiting = self._waiting, []
        return taken

    def write(self, message: Struct, now: HostNs) -> None:
        """Hand over a wish."""
        if isinstance(message, Start):
            self._queued = list(range(self._memory.slots))
            self._taken = self._underruns = 0
            self._due = HostNs(now + self._period_ns) if self._period_ns else None
            self._post(CameraStatistics(0, 0, len(self._queued)))
        elif isinstance(message, Requeue):
            self._queued.append(message.slot)
        elif isinstance(message, SoftwareTrigger):
            self._expose(now)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._bell)

    def _expose(self, now: HostNs) -> None:
        number, self._taken = self._taken, self._taken + 1
        if not self._queued:
            self._underruns += 1
            return
        slot = self._queued.pop(0)
        image = self._images[number % len(self._images)]
        ctypes.memmove(self._memory.address(slot), image.ctypes.data, image.nbytes)
        camera = self._camera
        exposed = CameraNs(now)  # its clock is the host's
        self._post(
            FrameArrived(
                slot,
                number,
                exposed,
                now,
                camera.exposure_us,
                camera.gain_db,
                None,
                copies=1,
                underruns=self._underruns,
            )
        )

    def _post(self, message: Struct) -> None:
        self._waiting.append(message)
        os.eventfd_write(self._bell, 1)


def _list(name: str, folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES) if folder.is_dir() else []
    if not paths:
        raise ConfigError(f"camera {name}: folder {folder} holds no image; kinds: {' '.join(sorted(SUFFIXES))}")
    return paths


def _load(name: str, path: Path, camera: Camera) -> NDArray[np.uint8]:
    """Read an image into the camera's format: (rows, columns) uint8 for Mono8, (rows, columns, 3) uint8 for RGB8."""
    flag = cv2.IMREAD_COLOR if camera.pixel_format is PixelFormat.RGB8 else cv2.IMREAD_GRAYSCALE
    image = cv2.imread(str(path), flag)
    if image is None or image.shape[:2] != (camera.height_px, camera.width_px):
        is_size = "no image" if image is None else f"{image.shape[1]} x {image.shape[0]} px"
        raise ConfigError(
            f"camera {name}: {path} is {is_size}, must be {camera.width_px} x {camera.height_px} px; resize it, or "
            f"correct camera.{name}"
        )
    if camera.pixel_format is PixelFormat.RGB8:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    elif camera.pixel_format is PixelFormat.BAYER_RG8:
        raise ConfigError(f"camera {name}: BayerRG8 cannot be replayed from images; set pixel_format to Mono8 or RGB8")
    return np.ascontiguousarray(image, np.uint8)
