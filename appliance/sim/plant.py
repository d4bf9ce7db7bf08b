"""Map the simulated plant's file: belt, part sensor, scenes, camera faults and the gate's log.

`plant.h` is the layout (mirrored in `plant_layout.py`) and says who writes what; this module writes only the plant's
own members. One process, one thread of it, is the plant; others open the same file and read. Instants are passed in as
CLOCK_MONOTONIC ns.
"""

import ctypes
import errno
import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Final, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from appliance.schema.clocks import EncoderCounts, HostNs, S
from appliance.schema.errors import ConfigError, StoreError
from appliance.sim.plant_layout import (
    CAMERAS,
    CHANNELS,
    EMPTY_BELT,
    EXTRAS,
    GATE_LOG,
    LANE_ACCEPT,
    LANE_REJECT,
    MAGIC,
    MONO8,
    PARTS,
    RGB8,
    SCENES,
    TAKEN,
    VERSION,
    BeltLayout,
    GateEventLayout,
    PlantLayout,
    SceneLayout,
)

__all__ = ["LANE_ACCEPT", "LANE_REJECT", "MONO8", "RGB8", "CameraCounters", "GateEvent", "GateNews", "Plant"]

_PAGE: Final = mmap.PAGESIZE


class GateEvent(Struct, frozen=True):
    """Say when and where on the belt's way the gate moved."""

    ns: HostNs
    counts: EncoderCounts
    lane: int
    """LANE_REJECT or LANE_ACCEPT."""
    part: int
    """The microcontroller's own part number, for reports only."""


class GateNews(Struct, frozen=True):
    """Give the gate events that a reader has not seen yet."""

    events: list[GateEvent]
    next_index: int
    """Pass it as `since` the next time."""
    lost: int
    """Events overwritten before they were read."""


class CameraCounters(Struct, frozen=True):
    """Count what the wires and the camera did; 32-bit counters that wrap."""

    edges: int
    edge_counts: EncoderCounts
    edge_ns: HostNs
    exposures: int
    delivered: int
    missed: int


class Plant:
    """Hold the mapped plant file; `close` (or leaving a `with`) unmaps it, the file stays."""

    def __init__(self, path: Path, pages: mmap.mmap) -> None:
        """Wrap a mapped file; use `create` or `open`."""
        self.path = path
        self._pages = pages
        self.layout = PlantLayout.from_buffer(pages)
        """The mapped members themselves, as plant.h names them."""
        self._fence = Lock()

    @classmethod
    def create(cls, path: Path, cameras: Mapping[int, tuple[int, int, int]]) -> Self:
        """Make the file for cameras {index: (width, height, MONO8 or RGB8)} with the belt at rest at 0 counts.

        All pages are claimed now: a full disk is a StoreError here, never a bus error later. A former file is replaced.
        """
        for index, (width, height, pixel_format) in cameras.items():
            if index not in range(CAMERAS) or pixel_format not in CHANNELS or min(width, height) < 1:
                raise ConfigError(
                    f"camera {index} of {width}x{height} px, format {pixel_format:#010x}: the plant has cameras"
                    f" 0..{CAMERAS - 1} in Mono8 or RGB8; choose one of these"
                )
        offsets, size = _place_pixels(cameras)
        # A new inode: whoever still maps the old file keeps it and never sees a half-made one.
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        pages = _claim(fresh, size)
        plant = cls(path, pages)
        for index, (width, height, pixel_format) in cameras.items():
            for slot, scene in enumerate(plant.layout.cameras[index].scenes):
                scene.format, scene.width, scene.height = pixel_format, width, height
                scene.pixel_offset = offsets[index, slot]
        plant.layout.file_bytes = size
        plant.layout.version = VERSION
        plant.layout.magic = MAGIC
        fresh.rename(path)
        return plant

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map a file that `create` made; raises ConfigError when it is no plant of this version."""
        try:
            with path.open("r+b") as file:
                pages = mmap.mmap(file.fileno(), 0)
        except (OSError, ValueError) as error:
            raise ConfigError(f"plant file {path} cannot be mapped: {error}; start the plant first") from error
        size = len(pages)
        head = PlantLayout.from_buffer_copy(pages) if size >= ctypes.sizeof(PlantLayout) else PlantLayout()
        if (head.magic, head.version, head.file_bytes) != (MAGIC, VERSION, size):
            pages.close()
            raise ConfigError(
                f"plant file {path} of {size} bytes has magic {head.magic:#x}, version {head.version}, not"
                f" {MAGIC:#x}, {VERSION}; start the plant again"
            )
        return cls(path, pages)

    def __enter__(self) -> Self:
        """Use the plant for the length of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Unmap the file."""
        self.close()

    def close(self) -> None:
        """Unmap the file; views given out before must be gone."""
        if not self._pages.closed:
            del self.layout
            self._pages.close()

    # belt

    def counts(self, now: HostNs) -> EncoderCounts:
        """Give the belt's position at an instant, in encoder counts."""
        belt = self.layout.belt
        while True:
            before = belt.seq
            epoch_ns, epoch_counts, speed = belt.epoch_ns, belt.epoch_counts, belt.counts_per_s
            if before % 2 == 0 and before == belt.seq:
                return EncoderCounts(epoch_counts + (now - epoch_ns) * speed // S)

    @property
    def counts_per_s(self) -> int:
        """Give the belt's speed; 0 when it stands."""
        return int(self.layout.belt.counts_per_s)

    def run_belt(self, counts_per_s: int, now: HostNs) -> None:
        """Start, stop (0) or change the belt at an instant without a jump in position; it never runs backwards."""
        if counts_per_s < 0:
            raise ConfigError(f"belt speed {counts_per_s} counts/s is below 0; the belt runs one way only")
        here = self.counts(now)
        belt = self.layout.belt
        self._begin(belt)
        belt.epoch_ns, belt.epoch_counts, belt.counts_per_s = now, here, counts_per_s
        self._end(belt)

    # parts and scenes

    def schedule_part(self, number: int, enter: int, leave: int) -> None:
        """Lay a part on the belt: the sensor is high while enter <= counts < leave."""
        entry = self.layout.parts[number % PARTS]
        entry.number = 0
        self._order()
        entry.enter_counts, entry.leave_counts = enter, leave
        self._order()
        entry.number = number
        self._order()
        self.layout.parts_scheduled = max(number, self.layout.parts_scheduled)

    def write_scene(
        self, camera: int, slot: int, image: NDArray[np.uint8], from_counts: int, to_counts: int, part_number: int
    ) -> None:
        """Show an image to a camera while from_counts <= counts < to_counts.

        `image`: (rows, cols) uint8 for a Mono8 camera, (rows, cols, 3) uint8 RGB for an RGB8 one. Copies it.
        The scene is locked only while its window closes and opens again, not while a megabyte is copied: a camera
        looks at all scenes for each exposure and would wait. In between the scene matches nothing. The empty belt has
        no window, so it is locked throughout. Raises ValueError when shape or type are not the camera's.
        """
        scene = self.layout.cameras[camera].scenes[slot]
        pixels = self._pixels(scene)
        if image.shape != pixels.shape or image.dtype != np.uint8:
            raise ValueError(f"scene of camera {camera} is {pixels.shape} uint8, not {image.shape} {image.dtype}")
        self._begin(scene)
        scene.from_counts, scene.to_counts = 0, 0
        if slot != EMPTY_BELT:
            self._end(scene)
        pixels[:] = image
        if slot != EMPTY_BELT:
            self._begin(scene)
        scene.from_counts, scene.to_counts, scene.part_number = from_counts, to_counts, part_number
        self._end(scene)

    def read_scene(self, camera: int, counts: int) -> tuple[int, NDArray[np.uint8]]:
        """Give part number and a copy of what a camera sees at a belt position, as the camera itself would find it."""
        scenes = self.layout.cameras[camera].scenes
        while True:
            matching = [s for s in scenes[1:] if s.from_counts <= counts < s.to_counts]
            scene = matching[0] if matching else scenes[EMPTY_BELT]
            before = scene.seq
            number, pixels = int(scene.part_number), self._pixels(scene).copy()
            if before % 2 == 0 and before == scene.seq:
                return number, pixels

    # faults

    def unplug(self, camera: int) -> None:
        """Pull the camera's cable."""
        self.layout.cameras[camera].unplugged = 1

    def replug(self, camera: int) -> None:
        """Put the camera's cable back."""
        self.layout.cameras[camera].unplugged = 0

    def drop(self, camera: int, exposures: int) -> None:
        """Let the next exposures never arrive."""
        self._add(camera, "drop_total", exposures)

    def incomplete(self, camera: int, frames: int) -> None:
        """Let the next frames lack their lower half."""
        self._add(camera, "incomplete_total", frames)

    def double(self, camera: int, triggers: int) -> None:
        """Let the next triggers expose twice."""
        self._add(camera, "double_total", triggers)

    def delay(self, camera: int, frames: int, delay_ns: int) -> None:
        """Deliver the next frames late."""
        self.layout.cameras[camera].delay_ns = delay_ns
        self._order()
        self._add(camera, "delay_total", frames)

    # the microcontroller's inputs

    def place_gate_sensor(self, counts: int) -> None:
        """Stand the gate's own sensor this far after the part sensor, counts; 0: there is none."""
        self.layout.wires.gate_sensor_counts = counts

    def take(self, number: int) -> None:
        """Let a hand take a part from the belt before it comes to the gate."""
        self.layout.wires.taken[number % TAKEN] = number

    def place_extra(self, enter: int, leave: int) -> None:
        """Lay a part behind the part sensor: the gate's own sensor is high while enter <= counts < leave."""
        wires = self.layout.wires
        number = wires.extras_scheduled + 1
        entry = wires.extras[number % EXTRAS]
        entry.number = 0
        self._order()
        entry.enter_counts, entry.leave_counts = enter, leave
        self._order()
        entry.number = number
        self._order()
        wires.extras_scheduled = number

    def slip(self, counts: int) -> None:
        """Let the encoder count so much more than the belt moves: noise, or a belt that slips."""
        self.layout.wires.encoder_offset += counts

    def spoil_encoder(self) -> None:
        """Let the encoder make one illegal transition."""
        self.layout.wires.encoder_errors += 1

    def stick(self, sensor: str, level: int) -> None:
        """Let the sensor `part` or `gate` be stuck (SENSOR_LOW, SENSOR_HIGH) or work again (SENSOR_WORKS)."""
        setattr(self.layout.wires, f"{sensor}_sensor", level)

    # what others did

    def gate_events(self, since: int) -> GateNews:
        """Give the gate's moves from event `since` on (0 for all); call it often enough for a log of 1024."""
        end = int(self.layout.gate_moves)
        first = max(since, end - GATE_LOG)
        events = [_gate_event(self.layout.gate_log[i % GATE_LOG]) for i in range(first, end)]
        # Meanwhile the writer may have gone on; the entry it works at is the oldest of the ring.
        intact = min(end, max(first, int(self.layout.gate_moves) - GATE_LOG + 1))
        return GateNews(events[intact - first :], end, intact - since)

    def camera_counters(self, camera: int) -> CameraCounters:
        """Give a camera's counters; each is whole, together they may straddle an exposure."""
        entry = self.layout.cameras[camera]
        return CameraCounters(
            edges=entry.line1,
            edge_counts=EncoderCounts(entry.line1_counts),
            edge_ns=HostNs(entry.line1_ns),
            exposures=entry.exposures,
            delivered=entry.delivered,
            missed=entry.missed,
        )

    def _add(self, camera: int, name: str, n: int) -> None:
        if n < 0:
            raise ConfigError(f"fault count {n} of camera {camera} is below 0; give how many frames it shall hit")
        entry = self.layout.cameras[camera]
        setattr(entry, name, getattr(entry, name) + n)  # ctypes wraps at 32 bits, as the reader's difference does

    def _pixels(self, scene: SceneLayout) -> NDArray[np.uint8]:
        channels = CHANNELS[scene.format]
        shape = (scene.height, scene.width) if channels == 1 else (scene.height, scene.width, channels)
        flat = np.frombuffer(self._pages, np.uint8, scene.width * scene.height * channels, scene.pixel_offset)
        return flat.reshape(shape)

    def _begin(self, locked: BeltLayout | SceneLayout) -> None:
        locked.seq += 1
        self._order()

    def _end(self, locked: BeltLayout | SceneLayout) -> None:
        self._order()
        locked.seq += 1

    def _order(self) -> None:
        """Keep stores before it ahead of stores after it on processors that reorder stores (aarch64).

        Python has no fence. One lock and unlock lets both sides leak into the section; the unlock of the first pair
        and the lock of the second cannot pass each other, so nothing passes both.
        """
        with self._fence:
            pass
        with self._fence:
            pass


def _gate_event(entry: GateEventLayout) -> GateEvent:
    return GateEvent(HostNs(entry.ns), EncoderCounts(entry.counts), entry.lane, entry.part)


def _place_pixels(cameras: Mapping[int, tuple[int, int, int]]) -> tuple[dict[tuple[int, int], int], int]:
    """Give each scene's offset, on a page of its own, and the file's size in bytes."""
    offsets = {}
    end = _whole_pages(ctypes.sizeof(PlantLayout))
    for index, (width, height, pixel_format) in sorted(cameras.items()):
        for slot in range(SCENES):
            offsets[index, slot] = end
            end += _whole_pages(width * height * CHANNELS[pixel_format])
    return offsets, end


def _whole_pages(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def _claim(path: Path, size: int) -> mmap.mmap:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
    try:
        os.posix_fallocate(file, 0, size)
        return mmap.mmap(file, size)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.ENOMEM, errno.EDQUOT):
            raise
        where, needed = path.parent, size >> 20
        raise StoreError(
            f"plant file needs {needed} MiB in {where}: {error.strerror}; free space there or use smaller frames"
        ) from error
    finally:
        os.close(file)
