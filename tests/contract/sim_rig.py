"""A plant file, the camera's expected pixels, and GenTL's data path through ctypes, for the tests of `sim.cti`."""

import ctypes
import mmap
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from genicam import gentl
from harvesters.core import ImageAcquirer

from appliance.sim.plant_layout import MAGIC, VERSION, PlantLayout

ERROR, QUEUE = gentl.GC_ERROR_LIST, gentl.ACQ_QUEUE_TYPE_LIST
EXCLUSIVE = gentl.DEVICE_ACCESS_FLAGS_LIST.DEVICE_ACCESS_EXCLUSIVE
MONO8, RGB8 = 0x01080001, 0x02180014
SENSOR = (2048, 2448)  # rows, columns
WINDOW = (240, 320)

# plant.h, mirrored: offset of each word that the tests write or read
HEADER, SCENES_AT, SCENE, CAMERA_AT, CAMERA = 56, 72, 48, 56 + 256 * 24, 72 + 16 * 48
PLANT_BYTES = ctypes.sizeof(PlantLayout)
WORDS = {"line1": 0, "line1_counts": 8, "line1_ns": 16, "unplugged": 24, "drop_total": 28, "incomplete_total": 32}
WORDS |= {"double_total": 36, "delay_total": 40, "delay_ns": 48, "exposures": 56, "delivered": 60, "missed": 64}
WIDE = {"line1_counts": "<q", "line1_ns": "<Q", "delay_ns": "<Q"}


class Plant:
    """A plant with a stopped belt; camera 0 sees a colour part at counts 1000..2000, grey elsewhere; camera 1 grey."""

    def __init__(self, path: Path) -> None:
        random = np.random.default_rng(7)
        self.path = path
        self.part = random.integers(0, 256, (500, 700, 3), np.uint8)
        self.empty = random.integers(0, 256, SENSOR, np.uint8)
        path.write_bytes(bytes(PLANT_BYTES) + self.part.tobytes() + self.empty.tobytes())
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        struct.pack_into("<IIQ", self.map, 0, MAGIC, VERSION, len(self.map))
        self.belt(1500)
        grey_at = PLANT_BYTES + self.part.nbytes
        for camera in (0, 1):
            self._scene(camera, 0, MONO8, self.empty, (0, 0), grey_at)
        self._scene(0, 1, RGB8, self.part, (1000, 2000), PLANT_BYTES)

    def _scene(self, camera: int, at: int, code: int, image: np.ndarray, counts: tuple[int, int], offset: int) -> None:
        entry = struct.pack("<IIIIqqQQ", 0, code, image.shape[1], image.shape[0], *counts, at, offset)
        start = CAMERA_AT + camera * CAMERA + SCENES_AT + at * SCENE
        self.map[start : start + SCENE] = entry

    def belt(self, counts: int) -> None:
        struct.pack_into("<IIQqq", self.map, 16, 0, 0, 0, counts, 0)

    def lock_empty_scene(self, seq: int) -> None:
        """Set scene 0's sequence lock: odd while its writer works."""
        struct.pack_into("<I", self.map, CAMERA_AT + SCENES_AT, seq)

    def __getitem__(self, word: str) -> int:
        return struct.unpack_from(WIDE.get(word, "<I"), self.map, CAMERA_AT + WORDS[word])[0]

    def __setitem__(self, word: str, value: int) -> None:
        struct.pack_into(WIDE.get(word, "<I"), self.map, CAMERA_AT + WORDS[word], value)

    def edge(self, counts: int, edges: int = 1, ns: int | None = None) -> int:
        ns = time.monotonic_ns() if ns is None else ns
        self["line1_counts"], self["line1_ns"] = counts, ns
        self["line1"] += edges
        return ns


def expected(scene: np.ndarray, pixel_format: str, window: tuple[int, int, int, int], factor: float) -> np.ndarray:
    """Return what the camera must send: (rows, columns[, 3]) uint8 for window (x, y, width, height)."""
    x, y, width, height = window
    if scene.ndim == 2:
        scene = np.repeat(scene[..., None], 3, axis=2)
    sensor = np.zeros((*SENSOR, 3), np.uint8)
    sensor[: scene.shape[0], : scene.shape[1]] = scene
    rgb = sensor[y : y + height, x : x + width]
    if pixel_format == "RGB8":
        image = rgb
    elif pixel_format == "Mono8":
        image = ((rgb.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32) + 32768) >> 16).astype(np.uint8)
    else:
        image = rgb[..., 1].copy()
        image[0::2, 0::2] = rgb[0::2, 0::2, 0]
        image[1::2, 1::2] = rgb[1::2, 1::2, 2]
    return np.minimum(np.floor(image * factor + 0.5), 255).astype(np.uint8)


def until(condition: Callable[[], bool]) -> None:
    """Wait for the other thread; fail after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("nothing happened within 10 s")
        threading.Event().wait(0.0005)


class Data:
    """The stream of an open device through ctypes: page-aligned slots of a mapping, as `acquire` announces them."""

    def __init__(self, lib: ctypes.CDLL, stream: int, event: int | None, slot_bytes: int, slots: int) -> None:
        self.lib, self.stream = lib, ctypes.c_void_p(stream)
        self.event = ctypes.c_void_p(event)
        if event is None:
            check(lib.GCRegisterEvent(self.stream, gentl.EVENT_TYPE_LIST.EVENT_NEW_BUFFER, ctypes.byref(self.event)))
        self.stride = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.ring = mmap.mmap(-1, self.stride * slots)
        self.pixels = np.frombuffer(self.ring, np.uint8).reshape(slots, self.stride)
        self.buffers = [ctypes.c_void_p() for _ in range(slots)]
        for i, buffer in enumerate(self.buffers):
            base = ctypes.c_void_p(self.pixels[i].ctypes.data)
            user = ctypes.c_void_p(i + 1)
            check(lib.DSAnnounceBuffer(self.stream, base, ctypes.c_size_t(slot_bytes), user, ctypes.byref(buffer)))
            check(self.queue(i))

    def queue(self, slot: int) -> int:
        return self.lib.DSQueueBuffer(self.stream, self.buffers[slot])

    def start(self) -> None:
        check(self.lib.DSStartAcquisition(self.stream, 0, ctypes.c_uint64(2**64 - 1)))

    def wait(self, timeout_ms: int = 5000) -> tuple[int, int]:
        """Return (error, slot) of EventGetData."""
        data, size = (ctypes.c_void_p * 2)(), ctypes.c_size_t(16)
        error = self.lib.EventGetData(self.event, data, ctypes.byref(size), ctypes.c_uint64(timeout_ms))
        return error, (data[1] or 0) - 1

    def take(self) -> int:
        error, slot = self.wait()
        check(error)
        return slot

    def info(self, slot: int, command: int) -> int:
        value, size = ctypes.c_uint64(), ctypes.c_size_t(8)
        answer = (None, ctypes.byref(value), ctypes.byref(size))
        check(self.lib.DSGetBufferInfo(self.stream, self.buffers[slot], int(command), *answer))
        return value.value

    def count(self, command: int) -> int:
        value, size = ctypes.c_uint64(), ctypes.c_size_t(8)
        check(self.lib.DSGetInfo(self.stream, int(command), None, ctypes.byref(value), ctypes.byref(size)))
        return value.value

    def stop(self) -> None:
        check(self.lib.DSStopAcquisition(self.stream, 1))
        check(self.lib.DSFlushQueue(self.stream, QUEUE.ACQ_QUEUE_ALL_DISCARD))
        for buffer in self.buffers:
            check(self.lib.DSRevokeBuffer(self.stream, buffer, None, None))


def check(error: int) -> None:
    if error:
        raise OSError(ERROR(error).name)


def opened(lib: ctypes.CDLL, device_id: bytes) -> tuple[ctypes.c_void_p, ctypes.c_void_p]:
    """Open a device by the C entry points alone and return its (device, remote port) handles."""
    system, interface, device, port = (ctypes.c_void_p() for _ in range(4))
    check(lib.GCInitLib())
    check(lib.TLOpen(ctypes.byref(system)))
    check(lib.TLOpenInterface(system, b"firstshift-sim", ctypes.byref(interface)))
    check(lib.IFUpdateDeviceList(interface, None, ctypes.c_uint64(0)))
    check(lib.IFOpenDevice(interface, device_id, EXCLUSIVE, ctypes.byref(device)))
    check(lib.DevGetPort(device, ctypes.byref(port)))
    return device, port


def snap(camera: ImageAcquirer) -> np.ndarray:
    """Trigger by software and return the frame, (rows, columns[, 3]) uint8."""
    camera.remote_device.node_map.TriggerSoftware.execute()
    with camera.fetch(timeout=5) as buffer:
        image = buffer.payload.components[0]
        shape = (image.height, image.width, -1)
        return image.data.reshape(shape).copy().squeeze()


def fire_when_ready(camera: ImageAcquirer, plant: Plant) -> None:
    """Trigger by software until the camera takes it."""
    exposures = plant["exposures"]
    while plant["exposures"] == exposures:
        missed = plant["missed"]
        camera.remote_device.node_map.TriggerSoftware.execute()
        until(lambda: plant["exposures"] > exposures or plant["missed"] > missed)  # noqa: B023
